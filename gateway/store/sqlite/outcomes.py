"""How outcomes are recorded, with the notices of the deliveries that died; and how due deliveries are claimed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.model import Delivery, Notice, Release, Retry, Waits, new_id
from gateway.store import rules
from gateway.store.nouns import Lease, Outcome, Want
from gateway.store.sqlite import gathering
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.calls import Change, Settle
from gateway.store.sqlite.leases import Fresh, Held
from gateway.store.sqlite.memory import Learning
from gateway.store.sqlite.records import Records, decoded
from gateway.store.sqlite.rows import attempt_row, delivery_of, move_row, storable, to_json


def settle(records: Records, calls: Sequence[Settle], change: Change) -> int:
    """Record the outcomes of all calls and answer them; the number of rows that have the time of this transaction."""
    settling = _Settling(records=records, change=change)
    for call in calls:
        settled = set()
        for outcome in call.outcomes:
            held = records.leases.holds(outcome.lease)
            if held is not None and held.lease.delivery.id not in change.ended:
                settled.add(held.lease.delivery.id)
                settling.outcome(held, outcome)
        call.answer = frozenset(settled)
    records.add(sql.MOVE_DELIVERIES, settling.moves)
    for outcome in settling.digests:
        gathering.follow(records, change, outcome)
    if change.freed:
        records.let_next_go(change)
    added = records.add(sql.ADD_ATTEMPTS, settling.attempts)
    if settling.learning is not None:
        settling.learning.apply()
    return added


class _Settling(Struct, kw_only=True):
    """The rows that a transaction changes."""

    records: Records
    change: Change
    moves: list[tuple[Any, ...]] = field(default_factory=list)
    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    #: Those that sent a digest.
    digests: list[Outcome] = field(default_factory=list)
    #: None: no outcome is about what is remembered.
    learning: Learning | None = None

    def outcome(self, held: Held, outcome: Outcome) -> None:
        before, change = held.lease.delivery, self.change
        change.ended[before.id] = held
        if isinstance(outcome.result, Release):
            change.lower(before.destination, held.due)
            return
        due = change.now + outcome.result.after_s if isinstance(outcome.result, Retry | Waits) else None
        change.pending -= due is None
        if due is not None:
            change.lower(before.destination, due)
        elif before.lane is not None:
            change.freed.add((before.destination, before.lane))
        if due is None and before.digest == before.id:
            self.digests.append(outcome)
        if outcome.told is not None:
            for route, destination in outcome.told.routes:
                self._notify(held, outcome.told.notice, route, destination)
        self.moves.append(move_row(held.seq, outcome, before, due, change.now))
        if outcome.attempt is not None:
            self.attempts.append(attempt_row(held.seq, outcome.attempt, change.now))
        if outcome.learnt is not None:
            self.learning = self.learning or Learning(records=self.records, change=change)
            self.learning.outcomes.append((held, outcome))

    def _notify(self, held: Held, notice: Notice, route: str, destination: str) -> None:
        db, now = self.records.db, self.change.now
        teller = to_json([route, destination, notice.destination])
        last_seq, last_due = db.execute(sql.LAST_NOTICE, (teller,)).get or (0, None)
        due = rules.next_notice(last_due, now)
        if due is None:
            db.execute(sql.ONE_MORE, (last_seq,))
            return
        seq, id_ = self.records.next_delivery(), new_id("dlv", self.change.wall)
        event_seq = db.execute(sql.EVENT_OF, (held.seq,)).get
        self.records.add_deliveries([(seq, id_, event_seq, route, destination, "pending", due, now, None, None)])
        dead = to_json(replace(notice, reason=storable(notice.reason)))
        db.execute(sql.ADD_NOTICE, (seq, teller, due, dead))
        self.change.pending += 1
        self.change.lower(destination, due)


# --- claims ---


def claim(records: Records, replica: str, wants: Mapping[str, Want], now: float) -> Sequence[Lease]:
    """Lease what is due, those overdue the longest first."""
    records.leases.expire(now)
    held: list[Held] = []
    for destination, want in wants.items():
        if want.slots > 0 and records.leases.is_due(destination, now):
            held += _claim_for(records, replica, destination, want, now)
    for one in held:
        records.grant(one)
    return [one.lease for one in sorted(held, key=lambda one: one.due)]


def _claim_for(records: Records, replica: str, destination: str, want: Want, now: float) -> Sequence[Held]:
    if want.last:
        records.leases.forget_fresh(destination)
    fresh = records.leases.take_fresh(destination, want.slots, replica)
    held = [_leased_fresh(records, replica, destination, want, now, each) for each in fresh]
    left = want.slots - len(held)
    if left and records.leases.is_row_due(destination, now):
        held += _claim_rows(records, replica, destination, replace(want, slots=left), now, [each.seq for each in fresh])
    return held


def _claim_rows(
    records: Records, replica: str, destination: str, want: Want, now: float, taken_seqs: Sequence[int]
) -> Sequence[Held]:
    running = to_json([*records.leases.running(destination), *taken_seqs])
    for events in (want.last, want.last[-1:]) if want.last else ():
        asked = (destination, running, now, to_json(events))
        if rows := decoded(records.db.execute(sql.CLAIM_ANOTHER, asked).get):
            # What is due next stays as it was: those that go last may be due.
            return [_leased(records, replica, want, now, row) for row in rows]
    rows = decoded(records.db.execute(sql.CLAIM, (destination, running, want.slots + 1)).get)
    taken = [row for row in rows[: want.slots] if row[0] <= now]
    next_due = rows[len(taken)][0] if len(taken) < len(rows) else math.inf
    records.leases.raise_to(destination, next_due)
    if next_due > now:
        records.come_up(next_due)
    return [_leased(records, replica, want, now, row) for row in taken]


def _leased_fresh(records: Records, replica: str, destination: str, want: Want, now: float, fresh: Fresh) -> Held:
    delivery = Delivery(
        id=fresh.new.id,
        event_id=fresh.event_id,
        route=fresh.new.route,
        destination=destination,
        due_in_s=fresh.due - now,
        lane=fresh.lane,
    )
    return records.lease(delivery, replica, fresh.seq, fresh.due, want.lease_s, now)


def _leased(records: Records, replica: str, want: Want, now: float, row: Sequence[Any]) -> Held:
    due, seq, *delivery = row
    return records.lease(delivery_of(delivery, now), replica, seq, due, want.lease_s, now)
