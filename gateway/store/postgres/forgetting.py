"""Erasures: whatever was stored of an event goes, but that it was there."""
# ruff: noqa: S608  the only things put into these texts are our own constants

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from gateway.model import Notice, new_id
from gateway.store import rules
from gateway.store.activities import Erasure, OpenErasure
from gateway.store.places import Place
from gateway.store.postgres import gathering, tasks, words
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.outcomes import Lanes, let_next_go, lock_lanes
from gateway.store.postgres.questions import LAST_EVENT, OF_EVENTS
from gateway.store.postgres.rows import name_of, packed, to_json, unpacked
from gateway.store.postgres.tasks import Moved

VERB: Final = "forget"

# --- the erasure itself ---

ADD: Final = """
INSERT INTO activity (id, at, by, verb, subject, reason, key, asked, which, total, moved, began, position, ends, interval_s,
    next_due, as_new, finished)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $2, 0, $10, 0, $2, false, false)
"""
UNFINISHED: Final = f"""
SELECT id, which, position, ends FROM activity WHERE NOT finished AND verb = 'forget' AND {tasks.FREE} ORDER BY seq LIMIT 1
"""
# Only if it is where its events were looked at, and free.
TAKE: Final = f"""
UPDATE activity SET owner = $1, owner_replica = $2, leased_until = gateway_now() + {rules.TASK_LEASE_S}
WHERE id = $3 AND position = $4 AND NOT finished AND {tasks.FREE} RETURNING seq, by
"""
# What was looked for goes once everything was looked at.
WENT_ON: Final = """
UPDATE activity SET total = moved + $2, moved = moved + $2, position = $3, finished = position >= ends,
    which = CASE WHEN $3 >= ends THEN NULL ELSE which END
WHERE seq = $1
"""
REFUSED_WITH: Final = (
    "SELECT seq, path, reason FROM rejected WHERE position($1 IN path) > 0 OR position($1 IN reason) > 0"
)
FORGET_REFUSED: Final = "DELETE FROM rejected WHERE seq = ANY ($1::bigint[])"
KEYS_WITH: Final = "SELECT DISTINCT key FROM {table} WHERE position($1 IN key) > 0"
FORGET_KEYS: Final = "DELETE FROM {table} WHERE key = ANY ($1::bytea[])"

# --- what is stored of events ---

SIZES: Final = """
SELECT seq, id, length(body) AS size FROM event WHERE id = ANY ($1::text[]) AND body_is <> 'forgotten' ORDER BY seq FOR UPDATE
"""
DELIVERIES: Final = f"SELECT event_seq, d.seq, destination, lane, state FROM {OF_EVENTS}"
ATTEMPTS: Final = "SELECT delivery_seq, count(*) FROM attempt WHERE delivery_seq = ANY ($1::bigint[]) GROUP BY 1"
_KEPT: Final = "id, event_seq, event_id, route, destination, grants, attempts, attempts_before_replay, spent_s, crashes, last_status"
_STATES: Final = ", ".join(f"'{state}'" for state in rules.FORGOTTEN)
CLEAR_DELIVERIES: Final = f"""
WITH waited AS (
    DELETE FROM queue WHERE seq = ANY ($1::bigint[]) RETURNING *
), before AS MATERIALIZED (
    SELECT seq, destination, state, cause FROM done WHERE seq = ANY ($1::bigint[]) FOR UPDATE
), ended AS (
    UPDATE done d SET cause = '', last_answer = '', lane = NULL, reason = CASE WHEN d.state IN ({_STATES}) THEN $2::bytea ELSE ''::bytea END,
        changed_at = CASE WHEN d.state IN ({_STATES}) THEN gateway_now() ELSE d.changed_at END,
        task = CASE WHEN d.state IN ({_STATES}) THEN $3::bigint ELSE d.task END,
        state = CASE WHEN d.state IN ({_STATES}) THEN 'discarded' ELSE d.state END
    FROM before b WHERE d.seq = b.seq
), moved AS (
    INSERT INTO done (seq, {_KEPT}, state, reason, last_answer, changed_at, task)
    SELECT seq, {_KEPT}, 'discarded', $2::bytea, ''::bytea, gateway_now(), $3::bigint FROM waited
), ends AS (
    SELECT destination, 'pending' AS state, ''::bytea AS cause FROM waited
    UNION ALL SELECT destination, state, cause FROM before WHERE state IN ({_STATES})
)
INSERT INTO tally (destination, state, cause, deliveries)
SELECT destination, state, cause, -count(*) FROM ends GROUP BY 1, 2, 3
UNION ALL SELECT destination, 'discarded', ''::bytea, count(*) FROM ends GROUP BY 1
"""
CLEAR_ATTEMPTS: Final = """
UPDATE attempt SET reason = '', answer = '', sent_sha256 = '' WHERE delivery_seq = ANY ($1::bigint[])
"""
NOTICES: Final = "SELECT delivery_seq, dead FROM notice WHERE delivery_seq = ANY ($1::bigint[])"
SET_NOTICE: Final = "UPDATE notice SET dead = $2 WHERE delivery_seq = $1"
CLEAR: Final = (
    "DELETE FROM once WHERE event_id = ANY ($1::text[])",
    "DELETE FROM held_back WHERE event_id = ANY ($1::text[])",
    """
    DELETE FROM rejected WHERE EXISTS (SELECT 1 FROM unnest($1::text[]) id WHERE position(convert_to(id, 'UTF8') IN reason) > 0)
    """,
)
CLEAR_HELD_BACK: Final = "DELETE FROM held_back WHERE event_seq = ANY ($1::bigint[])"
BURY: Final = """
UPDATE event e SET headers = '{}', label = '', body = k.body, sha256 = k.sha256, body_is = 'forgotten', redact = false
FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS k (seq, body, sha256) WHERE e.seq = k.seq
"""


async def begin(connection: Connection, erasure: Erasure) -> str:
    """Store the erasure and remove what mentions its value; its id, or that of the one with the same key.

    Raises KeyReused if something else than an erasure had the key. For whom it was is not remembered.
    """
    _, now = await connection.fetchrow(tasks.BEGINNING)
    if known := await tasks.same(connection, erasure.key, VERB):
        return known
    id_ = new_id("act", now)
    texts = (packed(erasure.by), VERB, packed(erasure.subject), packed(erasure.reason))
    which = to_json(unpacked(packed(erasure.find)))
    ends = await connection.fetchval(LAST_EVENT)
    await connection.execute(ADD, id_, now, *texts, packed(erasure.key) or None, packed(VERB), which, ends)
    await connection.execute(tasks.FORGET, rules.ACTIVITIES_KEPT)
    await _forget_mentions(connection, unpacked(packed(erasure.value)))
    return id_


async def _forget_mentions(connection: Connection, value: str) -> None:
    """Refused requests and keys that have a value as a word of its own."""
    refused = [
        row["seq"]
        for row in await connection.fetch(REFUSED_WITH, packed(value))
        if rules.mentions(unpacked(row["path"]), value) or rules.mentions(unpacked(row["reason"]), value)
    ]
    await connection.execute(FORGET_REFUSED, refused)
    for table in ("once", "held_back"):
        rows = await connection.fetch(KEYS_WITH.format(table=table), packed(value))
        keys = [row["key"] for row in rows if rules.mentions(unpacked(row["key"]), value)]
        await connection.execute(FORGET_KEYS.format(table=table), keys)


async def unfinished(connection: Connection, number: int, replica: str) -> OpenErasure | None:
    """The oldest unfinished erasure that no other replica holds."""
    row = await connection.fetchrow(UNFINISHED, replica, number)
    if row is None:
        return None
    find = msgspec.json.decode(row["which"], type=str) if row["which"] else ""
    return OpenErasure(
        activity_id=row["id"], find=find, after=str(Place(row["position"])), until=str(Place(row["ends"]))
    )


async def forget(
    connection: Connection,
    number: int,
    replica: str,
    erasure: OpenErasure,
    event_ids: Collection[str],
    to: str,
    moved: Moved,
) -> None:
    """Forget these events, unless the erasure was continued, stopped or taken by another replica meanwhile."""
    await connection.execute(tasks.HERE, number)
    taken = await connection.fetchrow(TAKE, replica, number, erasure.activity_id, Place.read(erasure.after).at)
    if taken is None:
        return
    rows = await connection.fetch(SIZES, [name_of(each) for each in event_ids])
    sizes = {row["seq"]: row["size"] for row in rows}
    if sizes:
        by = unpacked(taken["by"])
        await _erase(connection, sizes, [row["id"] for row in rows], taken["seq"], by, erasure.activity_id, moved)
        await words.forget(connection, list(sizes))
    await connection.execute(WENT_ON, taken["seq"], len(sizes), Place.read(to).at)


async def _erase(
    connection: Connection,
    sizes: Mapping[int, int],
    ids: Sequence[str],
    task: int,
    by: str,
    activity_id: str,
    moved: Moved,
) -> None:
    now = await connection.fetchval(sql.NOW)
    seqs = list(sizes)
    lanes: Lanes = {
        (row["destination"], row["lane"]) for row in await connection.fetch(DELIVERIES, seqs) if row["lane"] is not None
    }
    if lanes:
        await lock_lanes(connection, lanes)
    deliveries = await connection.fetch(DELIVERIES, seqs)
    event_of = {row["seq"]: row["event_seq"] for row in deliveries}
    ended = Counter(row["event_seq"] for row in deliveries if row["state"] in rules.FORGOTTEN)
    attempts = Counter[int]()
    for seq, count in await connection.fetch(ATTEMPTS, list(event_of)):
        attempts[event_of[seq]] += count
    await connection.execute(CLEAR_DELIVERIES, sorted(event_of), packed(rules.forgotten_reason(by)), task)
    moved.pending -= sum(row["state"] == "pending" for row in deliveries)
    await gathering.leave(connection, list(event_of), moved.due)
    await connection.execute(CLEAR_ATTEMPTS, list(event_of))
    await _clear_notices(connection, list(event_of))
    for statement in CLEAR:
        await connection.execute(statement, ids)
    await connection.execute(CLEAR_HELD_BACK, seqs)
    bodies = []
    for seq, size in sizes.items():
        numbers = {"size": size, "discarded": ended[seq], "attempts": attempts[seq]}
        body = rules.tombstone(by=by, at=now, activity_id=activity_id, **numbers)
        bodies.append((seq, body, hashlib.sha256(body).digest()))
    await connection.execute(BURY, *zip(*bodies, strict=True))
    if lanes:
        await let_next_go(connection, lanes, moved.due)


async def _clear_notices(connection: Connection, deliveries: Sequence[int]) -> None:
    for seq, dead in await connection.fetch(NOTICES, deliveries):
        notice = msgspec.json.decode(dead, type=Notice)
        await connection.execute(SET_NOTICE, seq, to_json(msgspec.structs.replace(notice, reason="")))
