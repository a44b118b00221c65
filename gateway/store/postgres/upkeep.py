"""What is removed, and redacted, in small slices; a day that nobody needs any more goes as a whole."""
# ruff: noqa: S608  the only things put into these texts are our own constants

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.event import tracks
from gateway.store.nouns import Retention
from gateway.store.numbers import MINUTES_KEPT
from gateway.store.postgres import days, memory, tracked, words
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.questions import AT_REST
from gateway.store.postgres.rows import affected, columns
from gateway.store.postgres.tables import DAY_BITS, DAY_S, belongs

#: A slice of pruning ends after this many bytes of bodies.
PRUNE_BYTES: Final = 1024 * 1024
#: How often old events whose bodies were still needed are looked at again, seconds.
SWEEP_S: Final = 3600.0
#: How often the records of each source, and the keys of each name, are counted, seconds.
COUNT_S: Final = 60.0
#: Rows of numbers that are put together when there are more.
FOLDED: Final = 200

# $1: recorded until then; $3, $4: after these; $5: of events stored before that day.
PRUNE_ATTEMPTS: Final = """
WITH looked AS MATERIALIZED (
    SELECT delivery_seq, number, recorded_at FROM attempt
    WHERE (delivery_seq, number) > ($3, $4) AND delivery_seq >= $3 AND delivery_seq < $5 ORDER BY delivery_seq, number LIMIT $2
), gone AS (
    DELETE FROM attempt a USING looked l
    WHERE l.recorded_at <= $1 AND a.delivery_seq = l.delivery_seq AND a.number = l.number RETURNING 1
)
SELECT delivery_seq, number, (SELECT count(*) FROM gone) FROM looked ORDER BY delivery_seq DESC, number DESC LIMIT 1
"""
PRUNE_KEYS: Final = """
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(SELECT ctid FROM dedupe WHERE expires <= gateway_now() LIMIT $1 FOR UPDATE SKIP LOCKED))
"""
PRUNE_ONCE: Final = """
DELETE FROM once WHERE ctid = ANY (ARRAY(SELECT ctid FROM once WHERE expires <= gateway_now() LIMIT $1 FOR UPDATE SKIP LOCKED))
"""
OLD_BODIES: Final = f"""
SELECT max(seq) AS last, array_agg(seq) FILTER (WHERE body_is <> 'removed' AND {AT_REST}) AS old
FROM (SELECT seq, stored_at, body_is FROM event WHERE seq > $1 ORDER BY seq LIMIT $2) e WHERE e.stored_at <= $3
"""
_TRACK: Final = f"substring(track FROM 1 FOR {tracks.KEY_BYTES}) AS track"
LOCK_EVENTS: Final = f"""
SELECT seq, {_TRACK} FROM event WHERE seq = ANY ($1::bigint[]) AND seq BETWEEN $2 AND $3 FOR UPDATE
"""
EMPTY_BODIES: Final = f"""
UPDATE event e SET body = '', body_is = 'removed', redact = false, track = k.track
FROM unnest($1::bigint[], $4::bytea[]) AS k (seq, track)
WHERE e.seq = k.seq AND e.seq BETWEEN $2 AND $3 AND {AT_REST}
"""
LOCK_REDACTED: Final = f"SELECT id, {_TRACK} FROM event WHERE id = ANY ($1::text[]) AND redact FOR UPDATE"
REDACT: Final = f"""
UPDATE event e SET body = k.body, sha256 = k.sha256, body_is = 'redacted', redact = false, track = k.track
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS k (id, body, sha256, track)
WHERE e.id = k.id AND e.redact AND {AT_REST} RETURNING e.seq
"""
OLD_EVENTS: Final = f"""
SELECT max(seq) AS last, array_agg(seq) FILTER (WHERE
    NOT EXISTS (SELECT 1 FROM queue q WHERE {belongs("q.seq", "e.seq")})
    AND NOT EXISTS (SELECT 1 FROM done d WHERE {belongs("d.seq", "e.seq")} AND d.state = 'dead' AND d.changed_at > $1)
) AS old
FROM (
    SELECT seq, stored_at, sum(size) OVER (ORDER BY seq) - size AS bytes_before
    FROM (SELECT seq, stored_at, length(body) AS size FROM event WHERE seq > $2 ORDER BY seq LIMIT $3) s
) e WHERE e.stored_at <= $4 AND e.bytes_before < $5
"""
_OF_EVENTS: Final = f"""
d.seq = ANY (ARRAY(
    SELECT b.seq FROM unnest($1::bigint[]) AS k (seq) CROSS JOIN LATERAL (SELECT seq FROM done WHERE {belongs("seq", "k.seq")} OFFSET 0) b
)) AND d.seq BETWEEN $2 AND $3
"""
PRUNE_EVENTS: Final = (
    f"DELETE FROM notice WHERE delivery_seq IN (SELECT seq FROM done d WHERE {_OF_EVENTS})",
    f"DELETE FROM timing WHERE delivery_seq IN (SELECT seq FROM done d WHERE {_OF_EVENTS})",
    f"DELETE FROM memory_wait WHERE delivery_seq IN (SELECT seq FROM done d WHERE {_OF_EVENTS})",
    f"""
    DELETE FROM attempt WHERE delivery_seq = ANY (ARRAY(SELECT seq FROM done d WHERE {_OF_EVENTS}))
        AND delivery_seq BETWEEN $2 AND $3
    """,
    f"""
    WITH gone AS (DELETE FROM done d WHERE {_OF_EVENTS} RETURNING destination, state, cause)
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT destination, state, cause, -count(*) FROM gone GROUP BY 1, 2, 3
    """,
    "DELETE FROM held_back WHERE event_seq = ANY ($1::bigint[]) AND event_seq BETWEEN $2 AND $3",
    "DELETE FROM event WHERE seq = ANY ($1::bigint[]) AND seq BETWEEN $2 AND $3",
)
# What is added meanwhile is not seen, and stays.
FOLD: Final = (
    """
    WITH old AS (DELETE FROM tally RETURNING *)
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT destination, state, cause, sum(deliveries) FROM old GROUP BY 1, 2, 3 HAVING sum(deliveries) <> 0
    """,
    """
    WITH old AS (DELETE FROM came RETURNING *)
    INSERT INTO came (minute, source, events)
    SELECT minute, source, sum(events) FROM old WHERE minute >= $1 GROUP BY 1, 2
    """,
    """
    WITH old AS (DELETE FROM went RETURNING *)
    INSERT INTO went (minute, destination, outcome, bucket, attempts)
    SELECT minute, destination, outcome, bucket, sum(attempts) FROM old WHERE minute >= $1 GROUP BY 1, 2, 3, 4
    """,
)
#: Held while numbers are put together.
FOLDING: Final = "SELECT pg_try_advisory_xact_lock(6004243)"
ROWS: Final = "SELECT (SELECT count(*) FROM tally) + (SELECT count(*) FROM came) + (SELECT count(*) FROM went)"

#: Removes at most so many of what a source or a name remembers, up to a moment; how many.
_Evict = Callable[[Connection, str, float, int], Awaitable[int]]


class Upkeep:
    """Remembers how far it has come; everything else is in the database."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._pruned_to = self._emptied_to = 0
        #: The attempt that was looked at last.
        self._tried_to = (0, 0)
        self._swept_at = self._tried_at = self._added_at = self._counted_at = -math.inf
        #: What is remembered one too many of, and up to which moment that is removed.
        self._crowded: list[tuple[_Evict, str, float]] = []

    async def prune(self, retention: Retention, limit: int) -> int:
        """Remove a slice; how many items, 0 if there was nothing left to remove."""
        await self._look_ahead()
        if await days.remove_one(self._line, retention):
            return 1
        while True:
            async with self._line.transaction() as connection:
                removed, more = await self._prune(connection, retention, limit)
            if removed or not more:
                return removed

    async def _look_ahead(self) -> None:
        """Days are made before they come."""
        async with self._line.alone() as connection:
            now = await connection.fetchval(sql.NOW)
        if now - self._added_at >= SWEEP_S:
            await days.add(self._line)
            self._added_at = now

    async def _prune(self, connection: Connection, retention: Retention, limit: int) -> tuple[int, bool]:
        """The number of items removed, and whether there may be more even if it is 0."""
        now = await connection.fetchval(sql.NOW)
        removed, more = await self._forget_attempts(connection, retention, limit, now)
        if removed or more:
            return removed, more
        for statement in (PRUNE_KEYS, PRUNE_ONCE, memory.PRUNE):
            if removed := affected(await connection.execute(statement, limit)):
                return removed, True
        if removed := await tracked.prune(connection, limit) or await self._evict(connection, retention, limit, now):
            return removed, True
        removed, more = await self._empty(connection, retention, limit, now)
        if not (removed or more):
            removed, more = await self._remove(connection, retention, limit, now)
        return removed, more

    async def _forget_attempts(
        self, connection: Connection, retention: Retention, limit: int, now: float
    ) -> tuple[int, bool]:
        """Remove records of attempts; continues where it stopped, and now and then from the beginning."""
        if now - self._tried_at >= SWEEP_S:
            self._tried_at, self._tried_to = now, (0, 0)
        until = now - retention.attempts_s
        # What was recorded by then is of an event that was stored by then.
        end = (int(until // DAY_S) + 1) << DAY_BITS
        last = await connection.fetchrow(PRUNE_ATTEMPTS, until, limit, *self._tried_to, end)
        if last is None:
            return 0, False
        seq, number, removed = last
        self._tried_to = (seq, number)
        return removed, True

    async def _evict(self, connection: Connection, retention: Retention, limit: int, now: float) -> int:
        """Remove the oldest where too much is remembered. Counting looks at everything, so it is done once a minute."""
        if not self._crowded and now - self._counted_at >= COUNT_S:
            self._counted_at = now
            self._crowded += ((memory.evict, *each) for each in (await memory.crowded(connection)).items())
            records = await tracked.crowded(connection, retention.records)
            self._crowded += ((tracked.evict, *each) for each in records.items())
        while self._crowded:
            evict, name, moment = self._crowded[-1]
            if removed := await evict(connection, name, moment, limit):
                return removed
            self._crowded.pop()
        return 0

    async def _empty(self, connection: Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        """Remove bodies of events that are kept; continues where it stopped, and now and then from the beginning."""
        if retention.bodies_s >= retention.events_s:
            return 0, False
        if now - self._swept_at >= SWEEP_S:
            self._swept_at, self._emptied_to = now, 0
        last, old = await connection.fetchrow(OLD_BODIES, self._emptied_to, limit, now - retention.bodies_s)
        self._emptied_to = last or self._emptied_to
        if not old:
            return 0, last is not None
        rows = await connection.fetch(LOCK_EVENTS, old, min(old), max(old))
        seqs, keys = columns([(row["seq"], _key_of(row)) for row in rows], 2)
        removed = affected(await connection.execute(EMPTY_BODIES, seqs, min(old), max(old), keys))
        await words.forget(connection, old)
        return removed, True

    async def _remove(self, connection: Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        bounds = (now - retention.dead_s, self._pruned_to, limit, now - retention.events_s, PRUNE_BYTES)
        last, old = await connection.fetchrow(OLD_EVENTS, *bounds)
        self._pruned_to = last or 0
        if not old:
            return 0, last is not None
        await remove(connection, old)
        return len(old), True

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        rows = sorted((id_, body, hashlib.sha256(body).digest()) for id_, body in bodies.items())
        async with self._line.transaction() as connection:
            # Whoever wants to send one again waits, or was first: then it is not at rest.
            locked = await connection.fetch(LOCK_REDACTED, [id_ for id_, _, _ in rows])
            keys = {row["id"]: _key_of(row) for row in locked}
            values = columns([(*row, keys.get(row[0])) for row in rows], 4)
            redacted = [row["seq"] for row in await connection.fetch(REDACT, *values)]
            await words.renew(connection, redacted)
        return len(redacted)

    async def fold(self) -> None:
        """Put one row in the place of many that are added up; forget the minutes of long ago."""
        async with self._line.transaction() as connection:
            if await connection.fetchval(ROWS) < FOLDED or not await connection.fetchval(FOLDING):
                return
            oldest = int(await connection.fetchval(sql.NOW) // 60) - MINUTES_KEPT
            tally, *minutes = FOLD
            await connection.execute(tally)
            for statement in minutes:
                await connection.execute(statement, oldest)


async def remove(connection: Connection, seqs: Sequence[int]) -> None:
    """Remove events, none of which has a pending delivery, and everything of theirs."""
    low, high = min(seqs), max(seqs) | days.LAST
    await words.forget(connection, seqs)
    for statement in PRUNE_EVENTS:
        await connection.execute(statement, seqs, days.first_of(low), high)


def _key_of(row: Mapping[str, Any]) -> bytes | None:
    return row["track"] and tracks.only_key(row["track"])
