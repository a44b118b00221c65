"""How new events are stored with their deliveries: which are duplicates, which routes fire, which deliveries start."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from gateway.model import Delivery, Event
from gateway.store import rules
from gateway.store.contents import head_of
from gateway.store.nouns import Appended, Lease, NewDelivery, NewEvent
from gateway.store.sqlite import gathering, tables, tracked
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.awaited import follow_up
from gateway.store.sqlite.calls import Append, Change
from gateway.store.sqlite.leases import Fresh
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.rows import storable, to_json

NO_ROUTES: Final[frozenset[str]] = frozenset()


def append(records: Records, calls: Sequence[Append], change: Change) -> int:
    """Store the events of all calls and answer them; the number of rows that have the time of this transaction."""
    found = _owners(records, [new for call in calls for new in call.events], change.now)
    stale = _stale(records, calls, found, change.now)
    owners = iter(found)
    adding = _Adding(records=records, change=change, busy=_busy_lanes(records, calls))
    for at, call in enumerate(calls):
        call.answer = []
        for new in call.events:
            owner = next(owners)
            if at in stale:
                call.answer.append(Appended(new.event.id, False, stale=True))
            else:
                call.answer.append(Appended(owner, True) if owner else adding.event(new, call.replica))
    adding.write_deliveries()
    for row in adding.late:
        records.db.execute(gathering.NOT_BEFORE, row)
    return records.add_events(adding.events)


def _owners(records: Records, news: Sequence[NewEvent], now: float) -> Sequence[str | None]:
    """For each event the id of the first one with its key, or None where it is the first itself."""
    rows = [(new.event.source, new.key, new.event.id, now + new.window_s) for new in news]
    if records.add(sql.TAKE_KEYS, rows, now) == len(rows):
        return [None] * len(rows)
    keys = to_json([(source, key.hex()) for source, key, _, _ in rows])
    owners: list[tuple[str, int]] = msgspec.json.decode(records.db.execute(sql.KEY_OWNERS, (keys,)).get)
    known = {id_ for id_, is_stored in owners if is_stored}
    first: list[str | None] = []
    for new, (owner, _) in zip(news, owners, strict=True):
        first.append(None if owner == new.event.id and owner not in known else owner)
        known.add(owner)
    return first


def _stale(records: Records, calls: Sequence[Append], owners: Sequence[str | None], now: float) -> Collection[int]:
    """The positions of the calls that have to be planned again, since another event has changed a record of theirs."""
    for call in calls:
        for new in call.events:
            if new.record is not None:
                return tracked.decide(records, [each.events for each in calls], owners, now).stale
    return ()


def _busy_lanes(records: Records, calls: Iterable[Append]) -> set[tuple[str, str]]:
    """The lanes of new deliveries in which others are pending."""
    lanes = {
        (each.destination, storable(each.lane))
        for call in calls
        for new in call.events
        for each in new.deliveries
        if each.lane is not None
    }
    return set(records.db.execute(sql.BUSY_LANES, (to_json(list(lanes)),))) if lanes else lanes


class _Adding(Struct, kw_only=True):
    """The rows that a transaction adds."""

    records: Records
    change: Change
    busy: set[tuple[str, str]]
    events: list[tuple[Any, ...]] = field(default_factory=list)
    deliveries: list[tuple[Any, ...]] = field(default_factory=list)
    #: (number, when) of deliveries that are not due before, although they may be the first of their lane.
    late: list[tuple[int, float]] = field(default_factory=list)

    def event(self, new: NewEvent, replica: str) -> Appended:
        seq = self.records.next_event()
        self.events.append(_event_row(seq, new.event, self.change.now, redact=new.is_redacted_later))
        held_back = self._held_back(seq, new) if new.firings else NO_ROUTES
        if new.meets or new.awaits:
            follow_up(self.records.db, new, self.change.now)
        sent = [each for each in new.deliveries if each.route not in held_back]
        leases = [self._delivery(each, seq, new.event, replica) for each in sent]
        return Appended(new.event.id, False, tuple(lease for lease in leases if lease), held_back)

    def _held_back(self, event_seq: int, new: NewEvent) -> frozenset[str]:
        """Those of its routes that have fired for their key; the others have done so now."""
        db, now, late = self.records.db, self.change.now, set[str]()
        for firing in new.firings:
            key = storable(firing.key)
            if rules.fires(db.execute(sql.FIRED, (firing.name, key)).get, now):
                db.execute(sql.FIRE, (firing.name, key, new.event.id, now, now + firing.window_s))
            else:
                db.execute(sql.HOLD_BACK, (event_seq, firing.name, key))
                late |= firing.routes
        return frozenset(late)

    def write_deliveries(self) -> None:
        """Add the rows of deliveries so far: what gathers looks for those before it."""
        self.records.add_deliveries(self.deliveries)
        self.change.pending += len(self.deliveries)
        self.deliveries.clear()

    def _delivery(self, new: NewDelivery, event_seq: int, event: Event, replica: str) -> Lease | None:
        records, change = self.records, self.change
        seq, now = records.next_delivery(), change.now
        row = (seq, new.id, event_seq, new.route, new.destination, "pending")
        if new.gather is not None:
            self.write_deliveries()
            due = gathering.admit(records, change, seq, new, len(event.body))
            self.deliveries.append((*row, due, now, None, seq))
            return None
        lane = new.lane and storable(new.lane)
        others_due = new.destination in change.fresh or records.leases.is_due(new.destination, now)
        admission = rules.admitted(new, lane, self.busy, others_due=others_due)
        due = tables.BEHIND if admission == "behind" else now + new.wait_s
        self.deliveries.append((*row, due, now, lane, seq))
        if lane is not None:
            self.busy.add((new.destination, lane))
        if admission == "due":
            change.fresh.setdefault(new.destination, []).append(Fresh(now, seq, new, event.id, lane, replica))
        if admission == "later":
            change.lower(new.destination, due)
        elif admission == "behind" and new.wait_s > 0:
            self.late.append((seq, now + new.wait_s))
        if admission != "leased":
            return None
        assert new.lease_s is not None
        delivery = Delivery(
            id=new.id, event_id=event.id, route=new.route, destination=new.destination, due_in_s=0.0, lane=lane
        )
        held = records.lease(delivery, replica, seq, now, new.lease_s, now)
        change.granted.append(held)
        return held.lease


def _event_row(seq: int, event: Event, now: float, *, redact: bool) -> tuple[Any, ...]:
    headers = head_of(event).decode()
    named = (seq, event.id, event.source, storable(event.type))
    return (
        *named,
        event.received_at,
        now,
        headers,
        event.sha256,
        event.body,
        int(redact),
        storable(event.label),
        event.track or None,
    )
