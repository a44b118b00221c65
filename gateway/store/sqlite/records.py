"""What the owner's thread works on inside a transaction: the tables, the last numbers given, and the leases in memory."""

import itertools
import math
import os
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Final

import apsw
import msgspec

from gateway.model import Delivery
from gateway.store.holds import Hold
from gateway.store.nouns import Lease
from gateway.store.queries import Rejected
from gateway.store.rules import REJECTED_KEPT
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.leases import Held, Leases
from gateway.store.sqlite.pace import parts
from gateway.store.sqlite.rows import delivery_of, hold_row, storable, to_json
from gateway.store.sqlite.tables import BEHIND

#: The most rows of one statement.
ROWS: Final = 64
#: Up to this many rows go into one statement of exactly that size; more go in multiples of 8, then the rest.
EXACT_ROWS: Final = 24
#: Events up to this size, headers included, share the statements that stay compiled; bytes.
LIGHT: Final = 4 * 1024
#: Heavier ones go in statements of so many bytes, unless one event has more.
PART: Final = 1024 * 1024


@cache
def _sql(statement: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(rows=",".join([row] * rows))


def _weight(event_row: tuple[Any, ...]) -> int:
    _seq, _id, _source, _type, _received_at, _stored_at, headers, _sha256, body, _redact, _label, track = event_row
    return len(headers) + len(body) + len(track or b"")


def decoded(answer: bytes) -> Any:
    """A text that the disk has damaged must not stop its neighbours, nor the start."""
    return msgspec.json.decode(answer.decode("utf-8", "replace"))


CRASHED: Final = """
UPDATE delivery SET crashes = crashes + 1 WHERE id = ? AND state = 'pending' RETURNING crashes
"""
HASTEN: Final = """
UPDATE delivery SET due = ?2
WHERE id = ?1 AND state = 'pending' AND due > ?2 AND due < ?3 AND attempts > 0 RETURNING destination
"""


class Records:
    """The rows of one file, as its owner changes them. Only the hints of ``leases`` are for other threads."""

    #: The owner's connection.
    db: apsw.Connection
    #: The last numbers given to an event and to a delivery.
    event_seq: int
    delivery_seq: int
    #: The number of pending deliveries. For any thread.
    pending: int

    def __init__(self) -> None:
        self.leases = Leases()
        #: Of records that events were about lately, by source and key: the last event, and when the record expires. Whatever
        #: else changes a record, or a transaction that is rolled back, clears it.
        self.last_events: dict[tuple[str, str], tuple[str, float]] = {}
        #: Random at the start: a lease from before a restart must not pass for a new one.
        self._tokens = itertools.count(int.from_bytes(os.urandom(6), "big"))
        self._moment = math.inf

    def begin(self, db: apsw.Connection) -> None:
        """Read what is kept in memory beside the leases: the last numbers, and the bounds of what is due."""
        self.db = db
        self.last_events.clear()
        self.event_seq, self.delivery_seq = db.execute(sql.LAST_SEQS).get
        self.pending = db.execute(sql.PENDING).get
        bounds: list[Any] = db.execute(sql.BOUNDS).fetchall()
        for destination, due in bounds:
            self.leases.lower(destination, due)
        self._moment = -math.inf

    def begin_again(self, db: apsw.Connection) -> None:
        """After a disk error: leases stay for what is still pending."""
        self.leases.forget_fresh()
        ids = db.execute(sql.STILL_PENDING, (to_json(list(self.leases.ids())),)).get
        self.leases.keep(set(msgspec.json.decode(ids)))
        self.begin(db)

    # rows

    def add(self, statement: str, rows: Sequence[tuple[Any, ...]], *after: object) -> int:
        """Execute for all rows, in few statements of few sizes; the number of rows that changed."""
        done = changed = 0
        while done < len(rows):
            left = len(rows) - done
            size = left if left <= EXACT_ROWS else min(ROWS, left // 8 * 8)
            values = itertools.chain.from_iterable(rows[done : done + size])
            self.db.execute(_sql(statement, len(rows[0]), size), (*values, *after))
            changed += self.db.changes()
            done += size
        return changed

    def add_events(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Rows of ADD_EVENTS; their number."""
        light: list[tuple[Any, ...]] = []
        heavy: list[tuple[Any, ...]] = []
        for row in rows:
            (light if _weight(row) <= LIGHT else heavy).append(row)
        added = self.add(sql.ADD_EVENTS, light)
        for part in parts(heavy, _weight, PART):
            # Not kept compiled: with the statement, what is bound to it would stay in memory.
            values = itertools.chain.from_iterable(part)
            self.db.execute(_sql(sql.ADD_EVENTS, len(part[0]), len(part)), tuple(values), can_cache=False)
            added += len(part)
        return added

    def add_deliveries(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of ADD_DELIVERIES."""
        self.add(sql.ADD_DELIVERIES, rows)

    def next_event(self) -> int:
        """A number that no event has had."""
        self.event_seq += 1
        return self.event_seq

    def next_delivery(self) -> int:
        """A number that no delivery has had."""
        self.delivery_seq += 1
        return self.delivery_seq

    # leases

    def lease(self, delivery: Delivery, owner: str, seq: int, due: float, lease_s: float, now: float) -> Held:
        """A lease to be granted once it is certain."""
        lease = Lease(delivery, owner, next(self._tokens), lease_s)
        return Held(lease=lease, seq=seq, due=due, until=now + lease_s)

    def grant(self, held: Held) -> None:
        self.leases.grant(held)
        self.come_up(held.until)

    def leased(self) -> Sequence[int]:
        """The numbers of the deliveries that are leased."""
        return [held.seq for held in self.leases.all()]

    def end_leases(self, seqs: Collection[int], change: Change) -> None:
        """Whatever the attempts in flight come to is not recorded."""
        change.ended.update({held.lease.delivery.id: held for held in self.leases.all() if held.seq in seqs})

    def keep(self, change: Change) -> None:
        """What is on disk now is true in memory too."""
        self.pending = self.db.execute(sql.PENDING).get if change.is_recounted else self.pending + change.pending
        for held in change.ended.values():
            self.leases.end(held)
        for held in change.granted:
            self.grant(held)
        if change.is_moved:
            self.leases.forget_fresh()
        for destination, due in change.lowered.items():
            self.leases.lower(destination, due)
            self.come_up(due)
        for destination, fresh in change.fresh.items():
            if change.is_moved:
                self.leases.lower(destination, fresh[0].due)
            else:
                self.leases.add_fresh(destination, fresh)
            self.come_up(fresh[0].due)

    def come_up(self, moment: float) -> None:
        """Something can be claimed from this moment on."""
        self._moment = min(self._moment, moment)

    def take_moment(self) -> float:
        """The earliest moment since this was last asked from which something new can be claimed; infinity: none."""
        moment, self._moment = self._moment, math.inf
        return moment

    # lanes

    def fall_in(self, seqs: Sequence[int]) -> None:
        """Put deliveries that are pending again at the ends of their lanes."""
        for (seq,) in self.db.execute(sql.LANED, (to_json(seqs),)).fetchall():
            self.db.execute(sql.LAST_IN_LANE, (self.next_delivery(), seq))
        self.db.execute(sql.FALL_IN, (to_json(seqs),))

    def let_next_go(self, change: Change) -> None:
        """The next ones of lanes that may have lost their first are due, now or when they have waited long enough."""
        freed: list[Any] = self.db.execute(sql.NEXT_IN_LANES, (to_json(list(change.freed)), change.now)).fetchall()
        for destination, due in freed:
            change.lower(destination, due)

    # small things

    def set_hold(self, hold: Hold, now: float) -> bool:
        """False: it is not based on the present revision."""
        self.db.execute(sql.SET_HOLD, hold_row(hold, now))
        return self.db.changes() > 0

    def crashed(self, delivery_id: str, now: float) -> Delivery | None:
        if self.db.execute(CRASHED, (delivery_id,)).get is None:
            return None
        return delivery_of(decoded(self.db.execute(sql.DELIVERY_BY_ID, (delivery_id,)).get), now)

    def hasten(self, delivery_ids: Collection[str], change: Change) -> int:
        """Make those due now that wait for another attempt; how many."""
        count = 0
        for id_ in delivery_ids:
            due: list[Any] = self.db.execute(HASTEN, (id_, change.now, BEHIND)).fetchall()
            for (destination,) in due:
                change.lower(destination, change.now)
                count += 1
        return count

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Remember requests that were refused; of each source only the newest REJECTED_KEPT stay."""
        rows = [
            (
                each.at,
                *map(storable, (each.source, each.path)),
                each.status,
                *map(storable, (each.reason, each.client)),
                each.count,
            )
            for each in rejected
        ]
        self.add(sql.REJECT, rows)
        for source in {storable(each.source) for each in rejected}:
            self.db.execute(sql.FORGET_REJECTED, (source, REJECTED_KEPT))
