"""Records that events are about, as the PostgreSQL store keeps them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.event import tracks
from gateway.store import rules, tracking
from gateway.store.nouns import NewEvent, Record
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.rows import affected, columns, lock_of, packed, unpacked
from gateway.store.tracking import Decided, RecordKey

_OF_KEYS: Final = """
FROM unnest($1::text[], $2::bytea[]) AS k (source, key) JOIN record r ON r.source = k.source AND r.key = k.key
WHERE r.expires > gateway_now()
"""
LAST: Final = f"SELECT r.source, r.key, r.event_id {_OF_KEYS}"
READ: Final = f"SELECT r.key, r.event_id, r.track {_OF_KEYS}"
WRITE: Final = """
INSERT INTO record (source, key, event_id, track, expires)
SELECT source, key, event_id, track, $6 + keeps_s
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[], $5::float8[]) AS k (source, key, event_id, track, keeps_s)
ON CONFLICT (key, source) DO UPDATE SET event_id = excluded.event_id, track = excluded.track, expires = excluded.expires
"""
FREE_KEYS: Final = """
DELETE FROM dedupe d USING unnest($1::text[], $2::bytea[], $3::text[]) AS k (source, key, event_id)
WHERE d.source = k.source AND d.key = k.key AND d.event_id = k.event_id
"""
MENTIONING: Final = "SELECT source, key, track FROM record WHERE position($1 IN track) > 0"
TRACKS: Final = "SELECT source, track FROM event WHERE seq = ANY ($1::bigint[]) AND track IS NOT NULL"
FORGET: Final = """
DELETE FROM record r USING unnest($1::text[], $2::bytea[]) AS k (source, key) WHERE r.source = k.source AND r.key = k.key
"""
COUNT: Final = "SELECT source, count(*) FROM record GROUP BY source"
PRUNE: Final = """
DELETE FROM record WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM record WHERE source = $1 AND expires <= gateway_now() ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""
NTH: Final = "SELECT expires FROM record WHERE source = $1 ORDER BY expires OFFSET $2 LIMIT 1"
EVICT: Final = """
DELETE FROM record WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM record WHERE source = $1 AND expires < $2 ORDER BY expires LIMIT $3 FOR UPDATE SKIP LOCKED
))
"""
# A loose scan: one look-up in the index for each source.
SOURCES: Final = """
WITH RECURSIVE known (source) AS (
    (SELECT source FROM record ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT r.source FROM record r WHERE r.source > known.source ORDER BY r.source LIMIT 1) FROM known
    WHERE known.source IS NOT NULL
)
SELECT source FROM known WHERE source IS NOT NULL
"""


def locks_of(keys: Sequence[RecordKey]) -> list[int]:
    """The advisory locks of records: whoever writes one holds its lock, whether there is a row of it yet or not."""
    return [lock_of("record", *key) for key in keys]


async def decide(
    connection: Connection,
    requests: Sequence[Sequence[NewEvent]],
    owners: Sequence[str | None],
    keys: Sequence[RecordKey],
    now: float,
) -> Decided:
    """Which requests have to be planned again: the keys of their events are free once more. Writes the other records.

    The locks of the records, whose ``keys`` are given, are held.
    """
    rows = await connection.fetch(LAST, *columns([(source, packed(key)) for source, key in keys], 2))
    last = {(source, unpacked(key)): event_id for source, key, event_id in rows}
    decided = tracking.decide(requests, owners, last)
    if refused := [(new.event.source, new.key, new.event.id) for new in decided.refused]:
        await connection.execute(FREE_KEYS, *columns(refused, 3))
    if decided.written:
        await _write(connection, decided.written, now)
    return decided


async def _write(connection: Connection, written: Mapping[RecordKey, NewEvent], now: float) -> None:
    rows = [
        (source, packed(key), new.event.id, new.event.track, new.record.keeps_s)
        for (source, key), new in written.items()
        if new.record is not None
    ]
    await connection.execute(WRITE, *columns(rows, 5), now)


async def read(connection: Connection, source: str, keys: Collection[str]) -> Mapping[str, Record]:
    """The records of a source that are remembered, by key."""
    rows = await connection.fetch(READ, *columns([(source, packed(key)) for key in keys], 2))
    return {unpacked(row["key"]): Record(row["event_id"], row["track"]) for row in rows}


async def counts(connection: Connection) -> Mapping[str, int]:
    """How many records are remembered, by source."""
    return dict(await connection.fetch(COUNT))


async def of_events(connection: Connection, seqs: Sequence[int]) -> Sequence[RecordKey]:
    """The records that events are about, given their numbers."""
    rows = await connection.fetch(TRACKS, seqs)
    return [(source, track.key) for source, stored in rows if (track := tracks.decoded(stored)) is not None]


async def forget(connection: Connection, records: Sequence[RecordKey]) -> None:
    """Forget records whose locks are held: what another replica is about to write of one goes, too."""
    await connection.execute(FORGET, *columns([(source, packed(key)) for source, key in records], 2))


async def forget_mentions(connection: Connection, value: str) -> None:
    """Forget the records that have a value as a word of its own."""
    rows = await connection.fetch(MENTIONING, packed(value))
    found = [(row["source"], unpacked(row["key"])) for row in rows if rules.mentions(unpacked(row["track"]), value)]
    if found:
        await connection.execute(sql.LOCK, locks_of(found))
        await forget(connection, found)


async def prune(connection: Connection, limit: int) -> int:
    """Remove records that have expired; how many."""
    removed = 0
    for row in await connection.fetch(SOURCES):
        removed += affected(await connection.execute(PRUNE, row["source"], limit - removed))
        if removed >= limit:
            break
    return removed


async def crowded(connection: Connection, most: int) -> dict[str, float]:
    """Sources with more than ``most`` records: until when those that stay are remembered at least. Looks at each record."""
    found = {source: count - most for source, count in (await counts(connection)).items() if count > most}
    return {source: await connection.fetchval(NTH, source, many) for source, many in found.items()}


async def evict(connection: Connection, source: str, until: float, limit: int) -> int:
    """Remove records of a source that are remembered for less long; how many."""
    return affected(await connection.execute(EVICT, source, until, limit))
