"""What entries remember of answers, in the PostgreSQL store: what a settle changes, what is removed, and how it is read."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gateway.model import Waits
from gateway.store import memory, rules
from gateway.store.memory import Known, Recalled, Subject
from gateway.store.nouns import Outcome
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.rows import affected, columns, fence_of, lock_of, name_of, packed, unpacked

# --- what a settle changes ---

REMEMBER: Final = """
INSERT INTO memory (name, key, said, event_id, remembered_at, expires)
SELECT name, key, said, event_id, gateway_now(), gateway_now() + for_s
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::float8[]) AS k (name, key, said, event_id, for_s)
ON CONFLICT (name, key) DO UPDATE SET said = excluded.said, event_id = excluded.event_id,
    remembered_at = excluded.remembered_at, expires = excluded.expires
"""
# Those that were tried meanwhile, or are to be tried again, have another due time.
WAKE: Final = """
UPDATE queue q SET due = gateway_now()
WHERE q.due > gateway_now() AND q.seq = ANY(ARRAY(
    SELECT w.delivery_seq FROM unnest($1::text[], $2::bytea[]) AS k (name, key)
    JOIN memory_wait w ON w.name = k.name AND w.key = k.key
)) AND EXISTS (SELECT 1 FROM memory_wait w WHERE w.delivery_seq = q.seq AND w.until = q.due)
RETURNING q.destination, q.due
"""
SINCE: Final = "SELECT min(since) FROM memory_wait WHERE delivery_seq = $1"
WAIT_NO_MORE: Final = "DELETE FROM memory_wait WHERE delivery_seq = ANY ($1::bigint[])"
WAIT: Final = """
INSERT INTO memory_wait (delivery_seq, name, key, since, until)
SELECT q.seq, k.name, k.key, coalesce($2, gateway_now()), q.due
FROM queue q CROSS JOIN unnest($3::text[], $4::bytea[]) AS k (name, key) WHERE q.seq = $1
"""
# What a delivery waits for may have been remembered while it looked for it.
KNOWN_BY_NOW: Final = """
UPDATE queue q SET due = gateway_now() WHERE q.seq = $1 AND EXISTS (
    SELECT 1 FROM memory_wait w JOIN memory m ON m.name = w.name AND m.key = w.key
    WHERE w.delivery_seq = q.seq AND m.expires > gateway_now()
) RETURNING q.destination, q.due
"""

# --- what is removed ---

PRUNE: Final = """
DELETE FROM memory WHERE ctid = ANY (ARRAY(SELECT ctid FROM memory WHERE expires <= gateway_now() LIMIT $1 FOR UPDATE SKIP LOCKED))
"""
MEMORIES: Final = "SELECT name, count(*) AS keys FROM memory GROUP BY name ORDER BY name"
NTH: Final = "SELECT remembered_at FROM memory WHERE name = $1 ORDER BY remembered_at OFFSET $2 LIMIT 1"
EVICT: Final = """
DELETE FROM memory WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM memory WHERE name = $1 AND remembered_at < $2 ORDER BY remembered_at LIMIT $3 FOR UPDATE SKIP LOCKED
))
"""
WITH_VALUE: Final = "SELECT name, key, said FROM memory WHERE position($1 IN key) > 0 OR position($1 IN said) > 0"
FORGET: Final = """
DELETE FROM memory m USING unnest($1::text[], $2::bytea[]) AS k (name, key) WHERE m.name = k.name AND m.key = k.key
"""

# --- reading ---

RECALL: Final = """
SELECT m.name, m.key, m.said, m.event_id, m.remembered_at
FROM unnest($1::text[], $2::bytea[]) AS k (name, key) JOIN memory m ON m.name = k.name AND m.key = k.key
WHERE m.expires > gateway_now()
"""
WAITED: Final = """
SELECT gateway_now() - min(w.since) FROM memory_wait w WHERE w.delivery_seq = (SELECT seq FROM queue WHERE id = $1)
"""
WAITING_FOR: Final = """
SELECT q.id, w.name, w.key FROM queue q JOIN memory_wait w ON w.delivery_seq = q.seq AND w.until = q.due
WHERE q.event_seq = $1 ORDER BY q.seq, w.name, w.key
"""

_Stored = tuple[str, bytes]


def _stored(subject: Subject) -> _Stored:
    name, key = subject
    return name_of(name), packed(key)


def locks(outcomes: Sequence[Outcome]) -> set[int]:
    """Held until the end of a settle: who begins to wait for something sees it, or is seen by whoever remembers it."""
    subjects = {_stored(each) for outcome in outcomes for each in _subjects(outcome)}
    return {lock_of("memory", *each) for each in subjects}


def _subjects(outcome: Outcome) -> Sequence[Subject]:
    assert outcome.learnt is not None
    kept = outcome.learnt.remembered
    return (*outcome.learnt.waits_for, *([kept.subject] if kept is not None else []))


async def learn(connection: Connection, outcomes: Sequence[Outcome]) -> Sequence[tuple[str, float]]:
    """What outcomes that were recorded mean for what is remembered; (destination, since when) of what is due by that."""
    due = await _remember(connection, outcomes)
    over = [_seq(each) for each in outcomes if each.learnt and each.learnt.has_waited and each.is_end]
    if over:
        await connection.execute(WAIT_NO_MORE, over)
    for outcome in outcomes:
        if isinstance(outcome.result, Waits):
            due += await _wait(connection, outcome)
    return due


async def _remember(connection: Connection, outcomes: Sequence[Outcome]) -> list[tuple[str, float]]:
    # What is remembered last stays.
    kept = {
        _stored(each.learnt.remembered.subject): (each.lease.delivery.event_id, each.learnt.remembered)
        for each in outcomes
        if each.learnt and each.learnt.remembered
    }
    if not kept:
        return []
    rows = [(*subject, each.values, event_id, each.for_s) for subject, (event_id, each) in sorted(kept.items())]
    await connection.execute(REMEMBER, *columns(rows, 5))
    return [tuple(row) for row in await connection.fetch(WAKE, *columns(sorted(kept), 2))]


async def _wait(connection: Connection, outcome: Outcome) -> list[tuple[str, float]]:
    assert outcome.learnt is not None
    seq = _seq(outcome)
    since = await connection.fetchval(SINCE, seq)
    await connection.execute(WAIT_NO_MORE, [seq])
    waits_for = sorted({_stored(each) for each in outcome.learnt.waits_for})
    await connection.execute(WAIT, seq, since, *columns(waits_for, 2))
    return [tuple(row) for row in await connection.fetch(KNOWN_BY_NOW, seq)]


def _seq(outcome: Outcome) -> int:
    return fence_of(outcome.lease.token)[0]


async def crowded(connection: Connection) -> dict[str, float]:
    """Names with too many keys: since when those that stay are remembered. Looks at each key."""
    found = {name: keys - memory.MOST_KEYS for name, keys in (await memories(connection)).items()}
    return {name: await connection.fetchval(NTH, name, many) for name, many in found.items() if many > 0}


async def evict(connection: Connection, name: str, since: float, limit: int) -> int:
    """Remove keys of a name that were remembered before; how many."""
    return affected(await connection.execute(EVICT, name, since, limit))


async def forget_mentions(connection: Connection, value: str) -> None:
    """Remove what has a value as a word of its own in its key or in what is remembered."""
    rows = await connection.fetch(WITH_VALUE, packed(value))
    found = [
        (name, key) for name, key, said in rows if any(rules.mentions(unpacked(each), value) for each in (key, said))
    ]
    await connection.execute(FORGET, *columns(found, 2))


async def recall(connection: Connection, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
    """What is remembered, and how long a delivery has waited for it."""
    asked = {_stored(each): each for each in subjects}
    rows = await connection.fetch(RECALL, *columns(list(asked), 2))
    return Recalled(
        known={
            asked[name, key]: Known(values=said, event_id=event_id, remembered_at=at)
            for name, key, said, event_id, at in rows
        },
        waited_s=await connection.fetchval(WAITED, name_of(delivery_id)),
    )


async def waiting_for(connection: Connection, event_seq: int) -> Mapping[str, tuple[Subject, ...]]:
    """By delivery of an event: what it waits for."""
    found: dict[str, tuple[Subject, ...]] = {}
    for id_, name, key in await connection.fetch(WAITING_FOR, event_seq):
        found[id_] = (*found.get(id_, ()), (name, unpacked(key)))
    return found


async def memories(connection: Connection) -> Mapping[str, int]:
    """How many keys are remembered, by name."""
    rows = await connection.fetch(MEMORIES)
    return {name: keys for name, keys in rows}  # noqa: C416  a Record is no tuple
