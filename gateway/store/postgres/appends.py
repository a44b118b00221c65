"""How new events are stored: keys first, then what fires once, then all rows in one statement."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from gateway.errors import StoreUnavailable
from gateway.model import Delivery
from gateway.store import rules
from gateway.store.nouns import Appended, Firing, Lease, NewDelivery, NewEvent
from gateway.store.postgres import direct, gathering
from gateway.store.postgres import statements as sql
from gateway.store.postgres.calls import Append
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.direct import Added, Key, owners_of
from gateway.store.postgres.gathering import Gathering
from gateway.store.postgres.rows import (
    columns,
    distinct,
    event_of_delivery,
    event_row,
    lock_of,
    packed,
    seq_of,
    token_of,
    turn_of,
)

NO_ROUTES: Final[frozenset[str]] = frozenset()

#: (entry, key as it is stored)
FiringKey = tuple[str, bytes]


async def append(line: Line, replica: int, calls: Sequence[Append], due_since: Callable[[str], float]) -> Added:
    """Store the events of all calls in one transaction. ``replica``: the number of this process.

    ``due_since``: what is due now for a destination was not due before. Raises StoreError if one of them cannot be stored: nothing is then; and StoreUnavailable.
    """
    if not has_order(calls):
        return await direct.append(line, replica, calls, due_since)
    added: Added | None = None
    try:
        async with line.transaction() as connection:
            added = await _add(connection, replica, calls, due_since)
    except StoreUnavailable:
        # The connection was lost while it was committed, perhaps.
        if added is None or not added.event_ids or not await _are_stored(line, added.event_ids):
            raise
    assert added is not None
    return added


def has_order(calls: Sequence[Append]) -> bool:
    """Whether it matters what is stored first: deliveries in a lane or due later, or entries that fire once per key."""
    for call in calls:
        for new in call.events:
            if new.firings:
                return True
            for each in new.deliveries:
                if each.lane is not None or each.wait_s or each.gather is not None:
                    return True
    return False


async def _are_stored(line: Line, event_ids: Sequence[str]) -> bool:
    async with line.taken() as connection:
        return bool(await connection.fetchval(sql.ARE_STORED, event_ids) == len(event_ids))


async def _add(
    connection: Connection, replica: int, calls: Sequence[Append], due_since: Callable[[str], float]
) -> Added:
    news = [new for call in calls for new in call.events]
    lanes = {(each.destination, packed(each.lane)) for each in _deliveries(news) if each.lane is not None}
    keys_gathered = gathering.keys_of(_deliveries(news))
    if lanes or keys_gathered:
        locks = [lock_of("lane", *lane) for lane in lanes]
        await connection.execute(sql.LOCK, [*locks, *gathering.locks_of(keys_gathered)])
    firsts: dict[Key, NewEvent] = {}
    for new in news:
        firsts.setdefault((new.event.source, new.key), new)
    keys = [(source, key, new.event.id, new.window_s) for (source, key), new in sorted(firsts.items())]
    wanted = distinct(each.destination for each in _deliveries(news))
    asked = (wanted, [due_since(each) for each in wanted])
    now, numbers, taken, due = await connection.fetchrow(sql.TAKE_KEYS, keys, len(firsts), *asked)
    owners = firsts if taken is None else await owners_of(connection, firsts, set(taken))
    stored = [new for new in firsts.values() if owners[new.event.source, new.key] is new]
    adding = _Adding(
        replica=replica,
        added=Added(now=now, event_ids=[new.event.id for new in stored]),
        numbers=iter(numbers),
        due=set(due),
        busy=await _busy(connection, lanes),
        fired=await _fire(connection, stored, now),
        gathering=await Gathering.of(connection, keys_gathered, now),
    )
    left = {id(new) for new in stored}
    for call in calls:
        answers: list[Appended] = []
        for new in call.events:
            owner = owners[new.event.source, new.key]
            if id(new) in left:
                left.discard(id(new))
                answers.append(adding.event(new, call.replica))
            else:
                answers.append(Appended(owner if isinstance(owner, str) else owner.event.id, True))
        adding.added.answers.append(answers)
    await adding.write(connection)
    return adding.added


def _deliveries(news: Iterable[NewEvent]) -> Iterator[NewDelivery]:
    return (each for new in news for each in new.deliveries)


async def _busy(connection: Connection, lanes: set[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """The lanes among these in which deliveries are pending."""
    if not lanes:
        return set()
    rows = await connection.fetch(sql.BUSY_LANES, *columns(sorted(lanes), 2))
    return {(destination, lane.decode()) for destination, lane in rows}


async def _fire(connection: Connection, stored: Sequence[NewEvent], now: float) -> Mapping[FiringKey, str]:
    """Of each key for which an entry fires now, the id of the event that it fires for."""
    firsts: dict[FiringKey, tuple[Firing, str]] = {}
    for new in stored:
        for firing in new.firings:
            firsts.setdefault((firing.name, packed(firing.key)), (firing, new.event.id))
    if not firsts:
        return {}
    rows = [(name, key, event_id, firing.window_s) for (name, key), (firing, event_id) in firsts.items()]
    fired = await connection.fetch(sql.FIRE, *columns(rows, 4), now)
    return {(name, key): firsts[name, key][1] for name, key in fired}


class _Adding(Struct, kw_only=True):
    """The rows that a transaction adds."""

    #: The number of this process.
    replica: int
    added: Added
    numbers: Iterator[int]
    #: Destinations for which others are due.
    due: set[str]
    #: Lanes with pending deliveries.
    busy: set[tuple[str, str]]
    fired: Mapping[FiringKey, str]
    gathering: Gathering
    events: list[tuple[Any, ...]] = field(default_factory=list)
    deliveries: list[tuple[Any, ...]] = field(default_factory=list)
    held_back: list[tuple[int, str, bytes]] = field(default_factory=list)
    #: (number, when) of deliveries that are not due before, although they may be the first of their lane.
    late: list[tuple[int, float]] = field(default_factory=list)
    #: How many of these by source, and by destination.
    came: Counter[str] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)

    def event(self, new: NewEvent, replica: str) -> Appended:
        seq = seq_of(self.added.now, next(self.numbers))
        self.came[new.event.source] += 1
        self.events.append(event_row(seq, new.event, redact=new.is_redacted_later))
        late = self._held_back(seq, new) if new.firings else NO_ROUTES
        kept = [each for each in new.deliveries if each.route not in late]
        leases = [self._delivery(each, seq | place, new, replica) for place, each in enumerate(kept, 1)]
        return Appended(new.event.id, False, tuple(lease for lease in leases if lease), late)

    def _held_back(self, event_seq: int, new: NewEvent) -> frozenset[str]:
        """Those of its routes that have fired for their key."""
        late = set[str]()
        for firing in new.firings:
            key = packed(firing.key)
            if self.fired.get((firing.name, key)) != new.event.id:
                self.held_back.append((event_seq, firing.name, key))
                late |= firing.routes
        return frozenset(late)

    def _delivery(self, new: NewDelivery, seq: int, event: NewEvent, replica: str) -> Lease | None:
        added = self.added
        if new.gather is not None:
            self._waits(new, event, seq, self.gathering.due(new, seq, len(event.event.body)))
            return None
        lane = None if new.lane is None else packed(new.lane).decode()
        admission = rules.admitted(new, lane, self.busy, others_due=new.destination in self.due)
        if lane is not None:
            self.busy.add((new.destination, lane))
        if admission == "due":
            self.due.add(new.destination)
            added.due.add(new.destination)
        is_leased = admission == "leased"
        until = added.now + new.lease_s if is_leased and new.lease_s is not None else None
        self.deliveries.append(
            (
                seq,
                new.id,
                event_of_delivery(seq),
                event.event.id,
                new.route,
                new.destination,
                _due(admission, added.now + new.wait_s),
                until,
                None if lane is None else lane.encode(),
                None if lane is None else turn_of(seq),
            )
        )
        if admission == "later":
            added.later.append((new.destination, added.now + new.wait_s))
        elif admission == "behind" and new.wait_s > 0:
            self.late.append((seq, added.now + new.wait_s))
        added.pending += 1
        self.pending[new.destination] += 1
        if new.lease_s is None or not is_leased:
            return None
        delivery = Delivery(
            id=new.id,
            event_id=event.event.id,
            route=new.route,
            destination=new.destination,
            due_in_s=0.0,
            lane=lane,
        )
        lease = Lease(delivery, replica, token_of(seq, 1), new.lease_s)
        added.leases.append(lease)
        return lease

    def _waits(self, new: NewDelivery, event: NewEvent, seq: int, due: float) -> None:
        """It gathers with others."""
        named = (seq, new.id, event_of_delivery(seq), event.event.id, new.route, new.destination)
        self.deliveries.append((*named, due, None, None, None))
        self.added.later.append((new.destination, due))
        self.added.pending += 1
        self.pending[new.destination] += 1

    async def write(self, connection: Connection) -> None:
        if self.events:
            await connection.execute(
                sql.ADD,
                self.added.now,
                self.events,
                self.replica,
                self.deliveries,
                *columns(sorted(self.came.items()), 2),
                *columns(sorted(self.pending.items()), 2),
            )
        for destination, due in await self.gathering.write(connection):
            self.added.later.append((destination, due))
        self.added.pending -= len(self.gathering.superseded)
        if self.late:
            await connection.execute(sql.NOT_BEFORE, *columns(self.late, 2))
        if self.held_back:
            await connection.execute(sql.HOLD_BACK, *columns(self.held_back, 3))


def _due(admission: str, later: float) -> float | None:
    """When it is due; None: now."""
    return float("inf") if admission == "behind" else later if admission == "later" else None
