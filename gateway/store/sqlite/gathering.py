"""Deliveries that gather: those of a digest wait for their head, which sends all of them; of a key that is debounced only the
last one is sent. Inside the owner's transaction.
"""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec

from gateway.store import rules
from gateway.store.nouns import Gather, NewDelivery, Outcome
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.rows import storable, to_json
from gateway.store.sqlite.tables import BEHIND

_STATES: Final = ", ".join(f"'{state}'" for state in rules.MAY_BE_REPLAYED)
_THESE: Final = "(SELECT value FROM json_each(?1))"
# As the index has it, which is only of deliveries in digests.
_OF_HEAD: Final = "head = ?1 AND head <> ''"
_MEMBERS: Final = f"(SELECT delivery_seq FROM timing INDEXED BY timing_head WHERE {_OF_HEAD})"

OPEN: Final = """
SELECT t.delivery_seq, d.id, d.destination, t.began, t.count, t.size
FROM timing t JOIN delivery d ON d.seq = t.delivery_seq WHERE t.open = ?
"""
# One that may be the first of its lane before its time.
NOT_BEFORE: Final = "INSERT INTO timing (delivery_seq, head, began, due, count, size) VALUES (?1, '', ?2, ?2, 1, 0)"
ADD: Final = "INSERT INTO timing (delivery_seq, head, open, began, due, count, size) VALUES (?, ?, ?, ?, ?, 1, ?)"
JOIN: Final = "UPDATE timing SET count = count + 1, size = size + ?2 WHERE delivery_seq = ?1"
CLOSE: Final = "UPDATE timing SET open = NULL WHERE delivery_seq = ?"
CLOSE_HEAD: Final = f"UPDATE timing INDEXED BY timing_head SET open = NULL WHERE {_OF_HEAD} AND open IS NOT NULL"
SEND_NOW: Final = "UPDATE delivery SET due = ?2 WHERE seq = ?1 AND state = 'pending' AND due > ?2 AND attempts = 0"
SUPERSEDE: Final = """
UPDATE delivery SET state = 'discarded', due = NULL, reason = ?2, changed_at = ?3 WHERE seq = ?1 AND state = 'pending'
"""
GATHERED: Final = f"""
SELECT e.id FROM timing t INDEXED BY timing_head CROSS JOIN delivery d ON d.seq = t.delivery_seq
CROSS JOIN event e ON e.seq = d.event_seq
WHERE {_OF_HEAD} AND d.state = 'pending' ORDER BY d.event_seq, d.seq
"""
FOLLOW: Final = f"""
UPDATE delivery SET state = ?2, due = NULL, reason = ?3, cause = ?4, changed_at = ?5
WHERE state = 'pending' AND id <> ?1 AND seq IN {_MEMBERS}
"""
LEAVING: Final = f"""
SELECT d.id, t.head, t.open, t.began, t.due FROM timing t JOIN delivery d ON d.seq = t.delivery_seq WHERE d.seq IN {_THESE}
"""
LEAVE: Final = f"DELETE FROM timing WHERE delivery_seq IN {_THESE}"
FIRST: Final = f"SELECT seq, id, state, destination FROM delivery WHERE seq IN {_MEMBERS} ORDER BY seq LIMIT 1"
HEADED_BY: Final = f"UPDATE timing SET head = ?2 WHERE delivery_seq IN {_MEMBERS}"
AS_HEAD: Final = "UPDATE timing SET open = ?2, began = ?3, due = ?4 WHERE delivery_seq = ?1"
DUE: Final = "UPDATE delivery SET due = ?2 WHERE id = ?1 AND state = 'pending'"
COUNT_AGAIN: Final = f"""
UPDATE timing SET (count, size) =
    (SELECT count(*), coalesce(sum(size), 0) FROM timing INDEXED BY timing_head WHERE {_OF_HEAD})
WHERE delivery_seq = (SELECT seq FROM delivery WHERE id = ?1)
"""
WITHOUT_BODY: Final = f"""
SELECT json_group_array(t.delivery_seq) FROM (SELECT DISTINCT head FROM timing WHERE head <> '' AND delivery_seq IN {_THESE}) h
CROSS JOIN timing t INDEXED BY timing_head ON t.head = h.head AND t.head <> ''
CROSS JOIN delivery d ON d.seq = t.delivery_seq CROSS JOIN event e ON e.seq = d.event_seq AND e.body_is <> 'kept'
"""
HEADS: Final = f"""
SELECT t.head, min(d.due), EXISTS (SELECT 1 FROM delivery h WHERE h.id = t.head)
FROM timing t JOIN delivery d ON d.seq = t.delivery_seq WHERE t.head <> '' AND d.seq IN {_THESE} GROUP BY t.head
"""
REPLAY_WITH: Final = f"""
UPDATE delivery SET state = 'pending', due = {BEHIND}, attempts_before_replay = attempts, spent_s = 0, crashes = 0,
    changed_at = ?2, cause = '', task = ?3
WHERE state IN ({_STATES}) AND seq IN {_MEMBERS}
"""
BEHIND_HEAD: Final = f"UPDATE delivery SET due = {BEHIND} WHERE state = 'pending' AND seq IN {_MEMBERS}"


OF_DIGESTS: Final = f"""
SELECT delivery_seq, head, size FROM timing WHERE head <> '' AND delivery_seq IN {_THESE}
"""
ADD_COPY: Final = "INSERT INTO timing (delivery_seq, head, began, due, count, size) VALUES (?1, ?2, ?3, ?3, 1, ?4)"


def admit(records: Records, change: Change, seq: int, new: NewDelivery, size: int) -> float:
    """When a new delivery that gathers is due; BEHIND in a digest of another one. ``size``: bytes of its event's body."""
    assert new.gather is not None
    gather, db = new.gather, records.db
    key = to_json([gather.what, new.route, new.destination, storable(gather.key)])
    found: Any = db.execute(OPEN, (key,)).get
    if gather.what == "debounce":
        began = change.now if found is None else _superseded(records, change, new, found)
        due = rules.debounced_due(gather, now=change.now, began=began, quiet_s=new.wait_s)
        db.execute(ADD, (seq, "", key, began, due, 0))
    elif found is not None and rules.joins(gather, count=found[4], size=found[5], more=size):
        db.execute(ADD, (seq, found[1], None, change.now, change.now, size))
        db.execute(JOIN, (found[0], size))
        if found[4] + 1 >= gather.most:
            _close(records, change, gather, found)
        return BEHIND
    else:
        if found is not None:
            _close(records, change, gather, found)
        due = change.now + new.wait_s
        db.execute(ADD, (seq, new.id, key if gather.most > 1 else None, change.now, due, size))
    change.lower(new.destination, due)
    return due


def _superseded(records: Records, change: Change, new: NewDelivery, found: Sequence[Any]) -> float:
    """Discard the delivery that waits for its key to be quiet; when the first event of the key came."""
    seq, _, destination, began, *_ = found
    records.db.execute(CLOSE, (seq,))
    if seq in records.leases.running(destination):
        return change.now
    records.db.execute(SUPERSEDE, (seq, rules.superseded(new.id), change.now))
    is_waiting = records.db.changes() > 0
    change.pending -= is_waiting
    return float(began) if is_waiting else change.now


def _close(records: Records, change: Change, gather: Gather, found: Sequence[Any]) -> None:
    """Nothing else joins a digest that is full."""
    seq, _, destination, *_ = found
    records.db.execute(CLOSE, (seq,))
    if gather.is_sent_full:
        records.db.execute(SEND_NOW, (seq, change.now))
        change.lower(destination, change.now)


def gathered(records: Records, head: str) -> Sequence[str]:
    """The ids of the events of a digest, in the order of acceptance; nothing joins it from now on."""
    records.db.execute(CLOSE_HEAD, (head,))
    found: list[Any] = records.db.execute(GATHERED, (head,)).fetchall()
    return [id_ for (id_,) in found]


def follow(records: Records, change: Change, outcome: Outcome) -> None:
    """The others of a digest take the outcome of their head."""
    head = outcome.lease.delivery
    taken = rules.settled(head, outcome)
    records.db.execute(CLOSE_HEAD, (head.id,))
    records.db.execute(FOLLOW, (head.id, taken.state, storable(taken.reason), storable(taken.cause), change.now))
    change.pending -= records.db.changes()


def leave(db: apsw.Connection, seqs: Collection[int], change: Change) -> None:
    """These are not sent with others any more: where one was the head of a digest, the next one is."""
    given = to_json(list(seqs))
    leaving: list[Any] = db.execute(LEAVING, (given,)).fetchall()
    if not leaving:
        return
    db.execute(LEAVE, (given,))
    heads = {head for _, head, *_ in leaving if head}
    for id_, head, *was in leaving:
        if id_ == head:
            heads = heads - {head} | _headed_by_next(db, head, was, change)
    for head in heads:
        db.execute(COUNT_AGAIN, (head,))


def _headed_by_next(db: apsw.Connection, head: str, was: Sequence[Any], change: Change) -> set[str]:
    """Let the first one of those that a head has left be the head; its id, if there is one."""
    found: Any = db.execute(FIRST, (head,)).get
    if found is None:
        return set()
    seq, id_, state, destination = found
    open_, began, due = was
    db.execute(HEADED_BY, (head, id_))
    db.execute(AS_HEAD, (seq, open_, began, due))
    if state == "pending":
        db.execute(DUE, (id_, due))
        change.lower(destination, due)
    return {id_}


def replay(db: apsw.Connection, seqs: Collection[int], task: int, change: Change) -> int:
    """Have whole digests replayed with those of their deliveries that were; how many more that makes.

    What has lost its body is not sent with the others again.
    """
    given = to_json(list(seqs))
    leave(db, msgspec.json.decode(db.execute(WITHOUT_BODY, (given,)).get), change)
    more = 0
    heads: list[Any] = db.execute(HEADS, (given,)).fetchall()
    for head, due, is_there in heads:
        if not is_there:
            [head] = _headed_by_next(db, head, (None, due, due), change)  # noqa: PLW2901
        db.execute(REPLAY_WITH, (head, change.now, task))
        more += db.changes()
        db.execute(BEHIND_HEAD, (head,))
        db.execute(DUE, (head, due))
    return more


def copied(db: apsw.Connection, rows: Mapping[int, Sequence[Any]]) -> None:
    """New deliveries for what was in digests are in digests: those of one slice that were in one.

    ``rows``: rows of ADD_DELIVERIES by the number of the delivery that each is a copy of.
    """
    found: list[Any] = db.execute(OF_DIGESTS, (to_json(list(rows)),)).fetchall()
    heads: dict[str, str] = {}
    for old, head, size in sorted(found):
        seq, id_, *_, due, _, _, _ = rows[old]
        first = heads.setdefault(head, id_)
        db.execute(ADD_COPY, (seq, first, due, size))
        if first != id_:
            db.execute(DUE, (id_, BEHIND))
    for first in heads.values():
        db.execute(COUNT_AGAIN, (first,))
