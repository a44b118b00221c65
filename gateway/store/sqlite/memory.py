"""What entries remember of answers, in the SQLite store: what a settle changes, and how it is read."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import apsw
from msgspec import Struct, field

from gateway.model import Waits
from gateway.store import memory
from gateway.store.memory import Known, Recalled, Subject
from gateway.store.nouns import Outcome
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.leases import Held
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.rows import storable, to_json

PRUNE: Final = """
DELETE FROM memory WHERE (name, key) IN (SELECT name, key FROM memory WHERE expires <= ? ORDER BY expires LIMIT ?)
"""

# --- what a settle changes ---

REMEMBER: Final = """
INSERT INTO memory (name, key, said, event_id, remembered_at, expires) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET said = excluded.said, event_id = excluded.event_id, remembered_at = excluded.remembered_at,
    expires = excluded.expires
"""
# Those that were tried meanwhile, or are to be tried again, have another due time.
WAKE: Final = """
UPDATE delivery SET due = ?1 WHERE state = 'pending' AND due > ?1 AND seq IN (
    SELECT w.delivery_seq FROM memory_wait w WHERE w.name = ?2 AND w.key = ?3 AND w.until = delivery.due
) RETURNING destination
"""
TOO_MANY: Final = "SELECT keys - ?2 FROM memories WHERE name = ?1 AND keys > ?2"
FORGET_OLDEST: Final = """
DELETE FROM memory WHERE name = ?1 AND key IN (
    SELECT key FROM memory WHERE name = ?1 ORDER BY remembered_at, key LIMIT ?2
)
"""
SINCE: Final = "SELECT min(since) FROM memory_wait WHERE delivery_seq = ?"
WAIT: Final = "INSERT INTO memory_wait (delivery_seq, name, key, since, until) VALUES (?, ?, ?, ?, ?)"
IS_KNOWN: Final = "SELECT EXISTS (SELECT 1 FROM memory WHERE name = ? AND key = ? AND expires > ?)"
DUE_NOW: Final = "UPDATE delivery SET due = ?1 WHERE seq = ?2 AND state = 'pending'"
WAIT_NO_MORE: Final = "DELETE FROM memory_wait WHERE delivery_seq = ?"

# --- reading ---

RECALL: Final = """
SELECT m.name, m.key, CAST(m.said AS BLOB), m.event_id, m.remembered_at
FROM json_each(?1) k CROSS JOIN memory m ON m.name = k.value ->> 0 AND m.key = k.value ->> 1 WHERE m.expires > ?2
"""
WAITED_SINCE: Final = """
SELECT min(w.since) FROM delivery d JOIN memory_wait w ON w.delivery_seq = d.seq WHERE d.id = ?
"""
WAITING_FOR: Final = """
SELECT d.id, w.name, w.key FROM delivery d JOIN memory_wait w ON w.delivery_seq = d.seq AND w.until = d.due
WHERE d.event_seq = ? AND d.state = 'pending' ORDER BY d.seq, w.name, w.key
"""
MEMORIES: Final = "SELECT name, keys FROM memories WHERE keys > 0 ORDER BY name"


class Learning(Struct, kw_only=True):
    """What the outcomes of a transaction mean for what is remembered; applied after the deliveries have moved."""

    records: Records
    change: Change
    outcomes: list[tuple[Held, Outcome]] = field(default_factory=list)

    def apply(self) -> None:
        """In the order of the outcomes: what is remembered last stays."""
        for held, outcome in self.outcomes:
            self._remember(held, outcome)
        for held, outcome in self.outcomes:
            self._wait(held, outcome)

    def _remember(self, held: Held, outcome: Outcome) -> None:
        assert outcome.learnt is not None
        db, now, learnt = self.records.db, self.change.now, outcome.learnt
        if learnt.remembered is None:
            return
        name, key = map(storable, learnt.remembered.subject)
        said = learnt.remembered.values.decode("utf-8", "replace")
        event_id = held.lease.delivery.event_id
        db.execute(REMEMBER, (name, key, said, event_id, now, now + learnt.remembered.for_s))
        woken: list[Any] = db.execute(WAKE, (now, name, key)).fetchall()
        for (destination,) in woken:
            self.change.lower(destination, now)
        if too_many := db.execute(TOO_MANY, (name, memory.MOST_KEYS)).get:
            db.execute(FORGET_OLDEST, (name, too_many))

    def _wait(self, held: Held, outcome: Outcome) -> None:
        assert outcome.learnt is not None
        db, now = self.records.db, self.change.now
        if not isinstance(outcome.result, Waits):
            if outcome.learnt.has_waited and outcome.is_end:
                db.execute(WAIT_NO_MORE, (held.seq,))
            return
        since = db.execute(SINCE, (held.seq,)).get
        since, until = now if since is None else since, now + outcome.result.after_s
        db.execute(WAIT_NO_MORE, (held.seq,))
        for name, key in dict.fromkeys(tuple(map(storable, each)) for each in outcome.learnt.waits_for):
            db.execute(WAIT, (held.seq, name, key, since, until))
            if db.execute(IS_KNOWN, (name, key, now)).get:
                # It was remembered while the delivery looked for it.
                db.execute(DUE_NOW, (now, held.seq))
                self.change.lower(held.lease.delivery.destination, now)


def recall(db: apsw.Connection, now: float, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
    """What is remembered, and how long a delivery has waited for it."""
    asked = {tuple(map(storable, each)): each for each in subjects}
    rows: list[Any] = db.execute(RECALL, (to_json(list(asked)), now)).fetchall()
    since = db.execute(WAITED_SINCE, (delivery_id,)).get
    return Recalled(
        known={
            asked[name, key]: Known(values=said, event_id=event_id, remembered_at=at)
            for name, key, said, event_id, at in rows
        },
        waited_s=None if since is None else now - since,
    )


def waiting_for(db: apsw.Connection, event_seq: int) -> Mapping[str, tuple[Subject, ...]]:
    """By delivery of an event: what it waits for."""
    found: dict[str, tuple[Subject, ...]] = {}
    rows: Sequence[Any] = db.execute(WAITING_FOR, (event_seq,)).fetchall()
    for id_, name, key in rows:
        found[id_] = (*found.get(id_, ()), (name, key))
    return found


def memories(db: apsw.Connection) -> Mapping[str, int]:
    """How many keys are remembered, by name."""
    rows: Sequence[Any] = db.execute(MEMORIES).fetchall()
    return dict(rows)
