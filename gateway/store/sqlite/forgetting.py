"""Erasures as the owner's thread carries them out: whatever was stored of an event goes, but that it was there."""

# ruff: noqa: S608  the only things put into these texts are our own constants

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec

from gateway.model import new_id
from gateway.store import rules
from gateway.store.activities import Erasure, OpenErasure
from gateway.store.places import Place
from gateway.store.sqlite import gathering, tasks, tracked
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.rows import storable, to_json
from gateway.store.sqlite.words import WordIndex

VERB: Final = "forget"

# --- the erasure itself ---

UNFINISHED: Final = """
SELECT id, which, position, ends FROM activity
WHERE finished = 0 AND verb = 'forget' AND (owner IN ('', ?1) OR leased_until <= ?2) ORDER BY seq LIMIT 1
"""
ANY_UNFINISHED: Final = "SELECT EXISTS (SELECT 1 FROM activity WHERE finished = 0 AND verb = 'forget')"
TASK: Final = "SELECT seq, by FROM activity WHERE id = ?"
# What was looked for goes once everything was looked at.
WENT_ON: Final = """
UPDATE activity SET total = moved + ?2, moved = moved + ?2, position = ?3, finished = position >= ends,
    which = iif(?3 >= ends, NULL, which)
WHERE seq = ?1
"""
# First what is quick: a key, a path or a reason that has these characters at all.
REFUSED: Final = "DELETE FROM rejected WHERE (instr(path, ?1) AND mentions(path, ?1)) OR (instr(reason, ?1) AND mentions(reason, ?1))"
_KEY: Final = "instr(key, ?1) AND mentions(key, ?1)"
MENTIONING: Final = (
    f"SELECT json_group_array(json_array(name, key)) FROM once WHERE {_KEY}",
    f"SELECT json_group_array(json_array(event_seq, name)) FROM held_back WHERE {_KEY}",
    f"""
    SELECT json_group_array(json_array(name, key)) FROM memory
    WHERE ({_KEY}) OR (instr(said, ?1) AND mentions(said, ?1))
    """,
    tracked.MENTIONING,
)
_NAMED: Final = "(SELECT value ->> 0, value ->> 1 FROM json_each(?1))"
MENTIONED: Final = (
    f"DELETE FROM once WHERE (name, key) IN {_NAMED}",
    f"DELETE FROM held_back WHERE (event_seq, name) IN {_NAMED}",
    f"DELETE FROM memory WHERE (name, key) IN {_NAMED}",
    f"DELETE FROM record WHERE (source, key) IN {_NAMED}",
)

# --- what is stored of events; each is given their numbers as JSON ---

_THESE: Final = "(SELECT value FROM json_each(?1))"
SIZES: Final = f"SELECT seq, length(body) FROM event WHERE id IN {_THESE} AND body_is <> 'forgotten'"
DELIVERIES: Final = f"SELECT event_seq, seq, destination, lane, state FROM delivery WHERE event_seq IN {_THESE}"
ATTEMPTS: Final = f"""
SELECT d.event_seq, count(*) FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq WHERE d.event_seq IN {_THESE} GROUP BY 1
"""
_STATES: Final = ", ".join(f"'{state}'" for state in rules.FORGOTTEN)
_ENDS: Final = f"state IN ({_STATES})"
CLEAR_DELIVERIES: Final = f"""
UPDATE delivery SET due = NULL, cause = '', last_answer = '', lane = NULL, reason = iif({_ENDS}, ?2, ''),
    changed_at = iif({_ENDS}, ?3, changed_at), task = iif({_ENDS}, ?4, task), state = iif({_ENDS}, 'discarded', state)
WHERE event_seq IN {_THESE}
"""
_OF_THESE: Final = f"delivery_seq IN (SELECT seq FROM delivery WHERE event_seq IN {_THESE})"
CLEAR: Final = (
    f"UPDATE attempt SET reason = '', answer = '', sent_sha256 = x'', memory = NULL, looked_up = NULL WHERE {_OF_THESE}",
    f"DELETE FROM memory_wait WHERE {_OF_THESE}",
    f"DELETE FROM memory WHERE event_id IN (SELECT id FROM event WHERE seq IN {_THESE})",
    f"UPDATE notice SET dead = json_set(dead, '$.reason', '') WHERE json_valid(dead) AND {_OF_THESE}",
    f"DELETE FROM once WHERE event_id IN (SELECT id FROM event WHERE seq IN {_THESE})",
    f"DELETE FROM awaited WHERE event_id IN (SELECT id FROM event WHERE seq IN {_THESE})",
    f"""
    DELETE FROM held_back WHERE event_seq IN {_THESE} OR event_id IN (SELECT id FROM event WHERE seq IN {_THESE})
    """,
    f"""
    DELETE FROM rejected WHERE EXISTS (SELECT 1 FROM event WHERE seq IN {_THESE} AND instr(rejected.reason, id))
    """,
)
BURY: Final = """
UPDATE event SET headers = '{}', label = '', body = ?, sha256 = ?, body_is = 'forgotten', redact = 0, track = NULL WHERE seq = ?
"""


def mentioning(db: apsw.Connection, value: str) -> Sequence[str]:
    """Where a value is in keys of entries and in records, for ``begin``; it looks at each: not for the owner's thread."""
    return [str(db.execute(statement, (storable(value),)).get) for statement in MENTIONING]


def begin(records: Records, erasure: Erasure, mentioned: Sequence[str], change: Change) -> str:
    """Store the erasure and remove what mentions its value; its id, or that of the one with the same key.

    Raises KeyReused if something else than an erasure had the key. For whom it was is not remembered.
    """
    db = records.db
    if known := tasks.same(db, erasure.key, VERB):
        return known
    id_ = new_id("act", change.wall)
    texts = (*map(storable, (erasure.by, VERB, erasure.subject, erasure.reason)), storable(erasure.key) or None)
    which = to_json(storable(erasure.find))
    place = (change.now, 0, records.event_seq)
    db.execute(
        sql.ADD_ACTIVITY, (id_, change.wall, *texts, which, 0, 0, *place, 0.0, change.now, 0, 0, VERB)
    ).fetchall()
    db.execute(sql.FORGET_ACTIVITIES, (rules.ACTIVITIES_KEPT,))
    db.execute(REFUSED, (storable(erasure.value),))
    for statement, keys in zip(MENTIONED, mentioned, strict=True):
        db.execute(statement, (keys,))
    return id_


def unfinished(db: apsw.Connection, now: float, replica: str) -> OpenErasure | None:
    """The oldest unfinished erasure that no other replica holds."""
    row: Any = db.execute(UNFINISHED, (replica, now)).get
    if row is None:
        return None
    id_, which, position, ends = row
    find = msgspec.json.decode(which, type=str) if which else ""
    return OpenErasure(activity_id=id_, find=find, after=str(Place(position)), until=str(Place(ends)))


def is_open(db: apsw.Connection) -> bool:
    """Whether an erasure is unfinished."""
    return bool(db.execute(ANY_UNFINISHED).get)


def forget(
    records: Records,
    words: WordIndex,
    erasure: OpenErasure,
    event_ids: Collection[str],
    to: str,
    replica: str,
    change: Change,
) -> None:
    """Forget these events, unless the erasure was continued, stopped or taken by another replica meanwhile."""
    task, by = records.db.execute(TASK, (erasure.activity_id,)).get
    lease = (task, Place.read(erasure.after).at, replica, change.now, change.now + rules.TASK_LEASE_S)
    if records.db.execute(sql.TAKE_TASK, lease).get is None:
        return
    found: list[Any] = records.db.execute(SIZES, (to_json(list(event_ids)),)).fetchall()
    sizes = dict(found)
    if sizes:
        _erase(records, sizes, task, storable(by), erasure.activity_id, change)
        words.forget(records.db, list(sizes))
    records.db.execute(WENT_ON, (task, len(sizes), Place.read(to).at))


def _erase(records: Records, sizes: Mapping[int, int], task: int, by: str, activity_id: str, change: Change) -> None:
    db, these = records.db, to_json(list(sizes))
    deliveries: list[Any] = db.execute(DELIVERIES, (these,)).fetchall()
    made: list[Any] = db.execute(ATTEMPTS, (these,)).fetchall()
    attempts = dict(made)
    ended = Counter(event for event, *_, state in deliveries if state in rules.FORGOTTEN)
    db.execute(CLEAR_DELIVERIES, (these, rules.forgotten_reason(by), change.now, task))
    for statement in CLEAR:
        db.execute(statement, (these,))
    tracked.forget(db, these)
    for seq, size in sizes.items():
        numbers = {"size": size, "discarded": ended[seq], "attempts": attempts.get(seq, 0)}
        body = rules.tombstone(by=by, at=change.wall, activity_id=activity_id, **numbers)
        db.execute(BURY, (body, hashlib.sha256(body).digest(), seq))
    gathering.leave(db, [seq for _, seq, *_ in deliveries], change)
    # What an attempt in flight comes to is not recorded.
    records.end_leases({seq for _, seq, *_ in deliveries}, change)
    change.freed.update((destination, lane) for _, _, destination, lane, _ in deliveries if lane is not None)
    if change.freed:
        records.let_next_go(change)
