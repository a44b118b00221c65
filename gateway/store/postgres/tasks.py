"""Replays, reroutes and discards: slice by slice, each a transaction that has the row of its task locked."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from gateway.errors import KeyReused, StoreError
from gateway.model import new_id
from gateway.store import rules
from gateway.store.activities import Activity, Task, TaskVerb
from gateway.store.cluster import LAPSED_S
from gateway.store.nouns import NewDelivery
from gateway.store.postgres import gathering, memory, plans
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection, Snapshot
from gateway.store.postgres.hints import lower
from gateway.store.postgres.outcomes import Lanes, let_next_go, lock_events, lock_lanes
from gateway.store.postgres.rows import columns, name_of, packed, to_json, unpacked
from gateway.store.postgres.tables import PLACE_BITS, PLACES
from gateway.store.queries import DeliveryQuery
from gateway.store.rules import TASK_LEASE_S, Slice, discard_reason, paced, stop_reason

#: Held while a task begins, so that what other tasks have yet to do does not change meanwhile.
BEGINNING: Final = "SELECT pg_advisory_xact_lock(6004242), gateway_now()"
#: Deliveries that a stopped task takes back at a time.
TAKEN_BACK: Final = 5000

ADD: Final = """
INSERT INTO activity (id, at, by, verb, subject, reason, key, asked, which, total, moved, began, position, ends, interval_s,
    next_due, as_new, finished)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $12, $13, $14, $11, $15, false) RETURNING seq
"""
NOTE: Final = "INSERT INTO activity (id, at, by, verb, subject, reason) VALUES ($1, $2, $3, $4, $5, $6)"
FORGET: Final = """
DELETE FROM activity WHERE finished IS DISTINCT FROM false AND seq <= (SELECT max(seq) FROM activity) - $1::bigint
"""
OF_KEY: Final = "SELECT id, asked FROM activity WHERE key = $1"
HERE: Final = "UPDATE replica SET seen = gateway_now() WHERE number = $1"
#: Those that no other replica holds: its time is over, or it has gone.
FREE: Final = f"""
(owner = '' OR (owner = $1 AND owner_replica = $2) OR leased_until <= gateway_now() OR NOT EXISTS (
    SELECT 1 FROM replica r WHERE r.number = owner_replica AND gateway_now() - r.seen < {LAPSED_S}
))
"""
NEXT: Final = f"""
SELECT seq, verb, by, reason, which, began, position, ends, interval_s, next_due, as_new FROM activity
WHERE NOT finished AND verb <> 'forget' AND {FREE} ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED
"""
TAKE: Final = f"""
UPDATE activity SET owner = $1, owner_replica = $2, leased_until = gateway_now() + {TASK_LEASE_S} WHERE seq = $3
"""
WENT_ON: Final = "UPDATE activity SET moved = moved + $2, position = $3, next_due = $4, finished = $5 WHERE seq = $1"
STOP: Final = """
UPDATE activity SET finished = verb <> 'forget', position = ends, which = CASE verb WHEN 'forget' THEN NULL ELSE which END,
    stopped_by = $1
WHERE id = $2 AND finished IS NOT NULL AND stopped_by = '' RETURNING seq
"""
IS_TASK: Final = "SELECT seq FROM activity WHERE id = $1 AND finished IS NOT NULL"

# --- what a slice does with deliveries ---

LANES: Final = "SELECT DISTINCT destination, lane FROM delivery WHERE seq = ANY ($1::bigint[]) AND lane IS NOT NULL"
# Turns: of those that fall in after all that is stored.
TURNS: Final = f"SELECT ARRAY(SELECT nextval('number') << {PLACE_BITS} FROM generate_series(1, $1::integer))"
_STATES: Final = ", ".join(f"'{state}'" for state in rules.MAY_BE_REPLAYED)
_KEPT: Final = "id, event_seq, event_id, route, destination, grants"
_SAID: Final = "reason, last_status, last_answer, lane"
REPLAY: Final = f"""
WITH k AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::float8[], $3::bigint[]) AS k (seq, due, turn)
), back AS (
    DELETE FROM done d USING k WHERE d.seq = k.seq AND d.state IN ({_STATES}) RETURNING d.*, k.due, k.turn
), counted AS (
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT destination, state, cause, -count(*) FROM back GROUP BY 1, 2, 3
    UNION ALL SELECT destination, 'pending', ''::bytea, count(*) FROM back GROUP BY 1
)
INSERT INTO queue (seq, {_KEPT}, due, attempts, attempts_before_replay, {_SAID}, changed_at, turn, task)
SELECT seq, {_KEPT}, due, attempts, attempts, {_SAID}, gateway_now(), CASE WHEN lane IS NOT NULL THEN turn END, $4 FROM back
RETURNING seq, destination, due, lane
"""
# Those that are not the first ones of their lanes wait.
FALL_IN: Final = """
UPDATE queue q SET due = 'infinity' WHERE q.seq = ANY ($1::bigint[]) AND q.lane IS NOT NULL AND EXISTS (
    SELECT 1 FROM queue o WHERE o.destination = q.destination AND o.lane = q.lane AND o.turn < q.turn
)
"""
TO_COPY: Final = """
SELECT seq, event_seq, event_id, route, destination, lane FROM delivery
WHERE seq = ANY ($1::bigint[]) AND NOT EXISTS (SELECT 1 FROM notice n WHERE n.delivery_seq = seq) ORDER BY event_seq, seq
"""
EVENTS: Final = "SELECT id, seq FROM event WHERE id = ANY ($1::text[])"
ADD_DELIVERIES: Final = """
WITH new AS (
    INSERT INTO queue (seq, id, event_seq, event_id, route, destination, lane, due, turn, task, changed_at)
    SELECT k.*, $10, gateway_now()
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::float8[], $9::bigint[]) k
    RETURNING destination
)
INSERT INTO tally (destination, state, deliveries) SELECT destination, 'pending', count(*) FROM new GROUP BY 1
"""
# $2: the reason, $3: the task; from both tables.
DISCARD: Final = f"""
WITH waited AS (
    DELETE FROM queue WHERE seq = ANY ($1::bigint[]) RETURNING *
), moved AS (
    INSERT INTO done (seq, {_KEPT}, state, attempts, attempts_before_replay, spent_s, crashes, reason, last_status, last_answer, lane,
        changed_at, task)
    SELECT seq, {_KEPT}, 'discarded', attempts, attempts_before_replay, spent_s, crashes, $2, last_status, last_answer, lane,
        gateway_now(), $3 FROM waited
), before AS MATERIALIZED (
    SELECT seq, destination, cause FROM done WHERE seq = ANY ($1::bigint[]) AND state = 'dead' FOR UPDATE
), ended AS (
    UPDATE done d SET state = 'discarded', cause = '', reason = $2, changed_at = gateway_now(), task = $3
    FROM before b WHERE d.seq = b.seq
), counted AS (
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT destination, 'pending', ''::bytea, -count(*) FROM waited GROUP BY 1
    UNION ALL SELECT destination, 'dead', cause, -count(*) FROM before GROUP BY 1, 3
    UNION ALL SELECT destination, 'discarded', ''::bytea, count(*) FROM
        (SELECT destination FROM waited UNION ALL SELECT destination FROM before) both_ GROUP BY 1
)
SELECT seq, destination, lane, true AS waited FROM waited UNION ALL SELECT seq, destination, NULL, false FROM before
"""
# Deliveries that wait for their first attempt since the task moved them.
UNTRIED: Final = """
SELECT q.seq, q.attempts, q.reason, q.destination, q.lane,
    coalesce((SELECT d.attempts FROM timing t JOIN delivery d ON d.id = t.head WHERE t.delivery_seq = q.seq), 0) AS tried_together,
    (
        SELECT outcome FROM attempt a WHERE a.delivery_seq = coalesce(
            (SELECT d.seq FROM timing t JOIN delivery d ON d.id = t.head WHERE t.delivery_seq = q.seq), q.seq
        ) ORDER BY a.number DESC LIMIT 1
    ) AS outcome
FROM queue q WHERE q.task = $1 AND q.attempts = q.attempts_before_replay AND q.leased_until IS NULL LIMIT $2 FOR UPDATE OF q
"""


HASTEN: Final = """
UPDATE queue SET due = gateway_now()
WHERE id = ANY($1::text[]) AND due > gateway_now() AND due < 'infinity' AND attempts > 0
    AND (leased_until IS NULL OR leased_until <= gateway_now())
RETURNING destination, due
"""


class Moved(Struct, kw_only=True):
    """What a transaction has moved, for hints and counts after its commit."""

    deliveries: int = 0
    #: By how much the number of pending deliveries has grown.
    pending: int = 0
    #: Destinations with something due now, and since when; and when others become due.
    due: dict[str, float] = field(default_factory=dict)
    later: list[tuple[str, float]] = field(default_factory=list)


class _Work(Struct, kw_only=True):
    """A task, as far as its slices are concerned."""

    seq: int
    verb: TaskVerb
    by: str
    reason: str
    interval_s: float
    next_due: float
    as_new: bool
    slice: Slice


async def note(connection: Connection, activity: Activity) -> None:
    """Remember what somebody did."""
    texts = (packed(activity.by), activity.verb, packed(activity.subject), packed(activity.reason))
    await connection.execute(NOTE, activity.id, activity.at, *texts)
    await connection.execute(FORGET, rules.ACTIVITIES_KEPT)


async def begin(connection: Connection, task: Task, moved: Moved) -> str:
    """Store a task with its first slice done; its id, or that of the task with the same key."""
    _, now = await connection.fetchrow(BEGINNING)
    if known := await same(connection, task.key, task.asked):
        return known
    plan = await plans.begin(Snapshot(connection, now), task)
    id_ = new_id("act", now)
    texts = (packed(task.by), task.verb, packed(task.subject), packed(task.reason))
    keys = (packed(task.key) or None, packed(task.asked), to_json(task.which))
    numbers = (plan.total + len(task.extra), plan.began, 0, plan.ends, task.interval_s, task.as_new)
    seq = await connection.fetchval(ADD, id_, now, *texts, *keys, *numbers)
    await _make(connection, task.extra, seq, now, moved)
    work = _Work(
        seq=seq,
        verb=task.verb,
        by=task.by,
        reason=task.reason,
        interval_s=task.interval_s,
        next_due=now,
        as_new=task.as_new,
        slice=plan.first,
    )
    await _do(connection, work, now, moved)
    await connection.execute(FORGET, rules.ACTIVITIES_KEPT)
    return id_


async def same(connection: Connection, key: str, wanted: str) -> str:
    """The id of the task with the same key; empty: there is none. Raises KeyReused if it was asked for something else."""
    found = await connection.fetchrow(OF_KEY, packed(key)) if key else None
    if found is None:
        return ""
    if found["asked"] not in (b"", packed(wanted)):
        raise KeyReused(rules.reused(key, found["id"]))
    return str(found["id"])


async def go_on(connection: Connection, number: int, replica: str, moved: Moved) -> bool:
    """Do the next slice of the oldest task that nobody else holds; False if there is none."""
    await connection.execute(HERE, number)
    row = await connection.fetchrow(NEXT, replica, number)
    if row is None:
        return False
    await connection.execute(TAKE, replica, number, row["seq"])
    now = await connection.fetchval(sql.NOW)
    which = msgspec.json.decode(row["which"], type=DeliveryQuery)
    bounds = {"position": row["position"], "ends": row["ends"], "began": row["began"]}
    work = _Work(
        seq=row["seq"],
        verb=row["verb"],
        by=unpacked(row["by"]),
        reason=unpacked(row["reason"]),
        interval_s=row["interval_s"],
        next_due=row["next_due"],
        as_new=row["as_new"],
        slice=await plans.next_of(Snapshot(connection, now), row["verb"], which, **bounds),
    )
    await _do(connection, work, now, moved)
    return True


async def _do(connection: Connection, work: _Work, now: float, moved: Moved) -> None:
    start = max(work.next_due, now)
    dues = paced(work.slice.deliveries, start, work.interval_s)
    if work.verb == "discard":
        await _discard(connection, work, moved)
    elif work.as_new:
        await _copy(connection, work, dues, now, moved)
    else:
        await _replay(connection, work, dues, now, moved)
    next_due = start + len(dues) * work.interval_s
    ends = (work.slice.position, next_due, work.slice.is_last)
    await connection.execute(WENT_ON, work.seq, moved.deliveries, *ends)


async def _lock(connection: Connection, seqs: Sequence[int]) -> Lanes:
    """Nobody else changes the lanes of these deliveries now."""
    lanes = {(row["destination"], row["lane"]) for row in await connection.fetch(LANES, list(seqs))}
    if lanes:
        await lock_lanes(connection, lanes)
    return lanes


async def _replay(connection: Connection, work: _Work, dues: Mapping[int, float], now: float, moved: Moved) -> None:
    if not dues:
        return
    dues = await gathering.with_digests(connection, dues, moved.due)
    lanes = await _lock(connection, list(dues))
    turns = await connection.fetchval(TURNS, len(dues))
    rows = [(seq, due, turn) for (seq, due), turn in zip(dues.items(), turns, strict=True)]
    replayed = await connection.fetch(REPLAY, *columns(sorted(rows), 3), work.seq)
    # However it ended before, it waits anew for what it recalls.
    await connection.execute(memory.WAIT_NO_MORE, [row["seq"] for row in replayed])
    if lanes:
        await connection.execute(FALL_IN, [row["seq"] for row in replayed])
    _count(moved, [(row["destination"], row["due"]) for row in replayed], now)


async def _copy(connection: Connection, work: _Work, dues: Mapping[int, float], now: float, moved: Moved) -> None:
    found = await connection.fetch(TO_COPY, list(dues))
    new = [(*row[1:], dues[row["seq"]], new_id("dlv", now)) for row in found]
    seqs = await _add(connection, new, work.seq, now, moved)
    copies = {row["seq"]: (seq, each[-1], each[-2]) for row, each, seq in zip(found, new, seqs, strict=True)}
    await gathering.copied(connection, copies)


async def _make(
    connection: Connection, extra: Iterable[tuple[str, NewDelivery]], task: int, now: float, moved: Moved
) -> None:
    extra = list(extra)
    if not extra:
        return
    events = dict(await connection.fetch(EVENTS, sorted({event_id for event_id, _ in extra})))
    new = [
        (events[id_], id_, each.route, each.destination, None if each.lane is None else packed(each.lane), now, each.id)
        for id_, each in extra
        if id_ in events
    ]
    await _add(connection, new, task, now, moved)


async def _add(
    connection: Connection, new: Sequence[tuple[Any, ...]], task: int, now: float, moved: Moved
) -> Sequence[int]:
    """Add deliveries: (event's seq, event's id, route, destination, lane, due, id); their seqs."""
    if not new:
        return ()
    lanes = {(destination, lane) for _, _, _, destination, lane, _, _ in new if lane is not None}
    if lanes:
        await lock_lanes(connection, lanes)
    events = {each[0] for each in new}
    await lock_events(connection, events)
    last = dict(await connection.fetch(sql.LAST_PLACES, list(events)))
    turns = await connection.fetchval(TURNS, len(new))
    rows = []
    for turn, (event, event_id, route, destination, lane, due, id_) in zip(turns, new, strict=True):
        last[event] += 1
        if last[event] - event > PLACES:
            raise StoreError(f"{event_id} has {PLACES} deliveries already, and no more of them can be made")
        rows.append((last[event], id_, event, event_id, route, destination, lane, due, None if lane is None else turn))
    await connection.execute(ADD_DELIVERIES, *columns(rows, 9), task)
    if lanes:
        await connection.execute(FALL_IN, [row[0] for row in rows])
    _count(moved, [(each[3], each[5]) for each in new], now)
    return [row[0] for row in rows]


def _count(moved: Moved, waiting: Sequence[tuple[str, float]], now: float) -> None:
    """These became pending."""
    moved.deliveries += len(waiting)
    moved.pending += len(waiting)
    earliest: dict[str, float] = {}
    for destination, due in waiting:
        lower(moved.due if due <= now else earliest, destination, due)
    moved.later += earliest.items()


async def _discard(connection: Connection, work: _Work, moved: Moved) -> None:
    seqs = sorted(work.slice.deliveries)
    lanes = await _lock(connection, seqs)
    reason = packed(discard_reason(work.by, work.reason))
    discarded = await connection.fetch(DISCARD, seqs, reason, work.seq)
    moved.deliveries += len(discarded)
    moved.pending -= sum(row["waited"] for row in discarded)
    await gathering.leave(connection, [row["seq"] for row in discarded], moved.due)
    if lanes:
        await let_next_go(connection, lanes, moved.due)


async def hasten(connection: Connection, delivery_ids: Collection[str], moved: Moved) -> int:
    """Make those due now that wait for another attempt; how many."""
    rows = await connection.fetch(HASTEN, [name_of(each) for each in delivery_ids])
    for destination, due in rows:
        lower(moved.due, destination, due)
    return len(rows)


async def stop(connection: Connection, activity_id: str, by: str, moved: Moved) -> None:
    """End a task; deliveries still waiting for their first attempt return to their state before. KeyError: no such task."""
    seq = await connection.fetchval(STOP, packed(by), activity_id)
    if seq is None:
        if await connection.fetchval(IS_TASK, activity_id) is None:
            raise KeyError(activity_id)
        return
    lanes: Lanes = set()
    dropped = packed(stop_reason(by))
    while rows := await connection.fetch(UNTRIED, seq, TAKEN_BACK):
        lanes |= {(row["destination"], row["lane"]) for row in rows if row["lane"] is not None}
        back = sorted(_taken_back(row, dropped) for row in rows)
        await connection.fetch(gathering.END, *columns(back, 4))
        moved.pending -= len(back)
    if lanes:
        await lock_lanes(connection, lanes)
        await let_next_go(connection, lanes, moved.due)


def _taken_back(row: Mapping[str, Any], dropped: bytes) -> tuple[int, str, bytes, bytes]:
    """Its seq, state, cause and reason when its replay is stopped before it was tried."""
    # Those of a digest have no attempts of their own.
    if not row["attempts"] and not row["reason"] and not row["tried_together"]:
        return row["seq"], "discarded", b"", dropped
    state = rules.state_before(row["outcome"])
    cause = packed(rules.cause_of(unpacked(row["reason"]))) if state == "dead" else b""
    return row["seq"], state.value, cause, row["reason"]
