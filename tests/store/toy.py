"""A store in memory that several instances share, as several processes share a database server.

It proves that the contract needs neither SQLite nor one process, and is for the conformance suite alone: tests of
everything else use the real store. Whatever every store decides alike comes from ``store/rules.py``. What it leaves
out: lists that are long, a search, numbers, retention and tasks.
"""

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.errors import StoreError, StoreUnavailable
from gateway.model import Delivery, DeliveryState, Release, Retry, new_id
from gateway.store import rules
from gateway.store.holds import Assignment
from gateway.store.nouns import (
    Appended,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    EventRow,
    HeldBack,
    Lease,
    NewEvent,
    Outcome,
)

#: A replica decides for a destination this long before it must ask again, seconds.
ASSIGNED_S = 30.0


@dataclass(slots=True, kw_only=True)
class Row:
    """A delivery on the server."""

    delivery: Delivery
    #: When it is or was due; None: it waits for the one ahead of it in its lane, or is not pending.
    due: float | None
    #: Its place in its lane.
    turn: int
    lease: Lease | None = None
    leased_until: float = 0.0

    @property
    def is_pending(self) -> bool:
        return self.delivery.state is DeliveryState.PENDING

    def free_from(self) -> float | None:
        """When it can be claimed."""
        if not self.is_pending or self.due is None:
            return None
        return max(self.due, self.leased_until) if self.lease else self.due

    def is_free(self, now: float) -> bool:
        moment = self.free_from()
        return moment is not None and moment <= now


@dataclass(slots=True)
class Server:
    """The state that the instances share."""

    clock: object
    #: By id, in the order of acceptance, with their deliveries.
    events: dict[str, NewEvent] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    attempts: dict[str, list] = field(default_factory=dict)
    #: By (source, key): the first event, and when the key expires.
    keys: dict[tuple[str, bytes], tuple[str, float]] = field(default_factory=dict)
    #: By (entry, key): the event it fired for, when, and until when that counts.
    fired: dict[tuple[str, str], tuple[str, float, float]] = field(default_factory=dict)
    held_back: dict[str, list[HeldBack]] = field(default_factory=dict)
    #: By (route, destination, dead destination): the delivery that notifies, and when it is due.
    notices: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict)
    #: By destination: the hold, and when it was stored.
    holds: dict[str, tuple[object, float]] = field(default_factory=dict)
    #: By destination: who decides for it, until when, under which epoch.
    assigned: dict[str, tuple[str, float, int]] = field(default_factory=dict)
    instances: list["ToyStore"] = field(default_factory=list)
    numbers: object = field(default_factory=lambda: itertools.count(1))

    def now(self) -> float:
        return self.clock.monotonic()

    def seen(self, row: Row) -> Delivery:
        """A delivery as it crosses the seam: times are seconds from now."""
        is_due = row.is_pending and row.due is not None
        return replace(row.delivery, due_in_s=row.due - self.now() if is_due else None)

    def of_event(self, event_id: str) -> list[Row]:
        return [row for row in self.rows.values() if row.delivery.event_id == event_id]

    def others_due(self, destination: str) -> bool:
        return any(row.delivery.destination == destination and row.is_free(self.now()) for row in self.rows.values())

    def busy_lanes(self) -> set[tuple[str, str]]:
        pending = [row.delivery for row in self.rows.values() if row.is_pending]
        return {(each.destination, each.lane) for each in pending if each.lane is not None}

    def came_up(self, destination: str) -> None:
        """Something can be claimed now: tell every instance."""
        for instance in self.instances:
            instance.told(destination)

    # append

    def append(self, news: list[NewEvent], replica: str) -> list[Appended]:
        owners = self._owners(news)
        return [
            Appended(owner, True) if owner else self._event(new, replica)
            for new, owner in zip(news, owners, strict=True)
        ]

    def _owners(self, news: list[NewEvent]) -> list[str | None]:
        """Of each event the one whose key it repeats. Nothing is stored yet: it is all or nothing."""
        now, keys, owners = self.now(), dict(self.keys), []
        for new in news:
            first, expires = keys.get((new.event.source, new.key), ("", 0.0))
            owners.append(first if expires > now else None)
            if expires <= now:
                if new.event.id in self.events:
                    raise StoreError(f"there is an event {new.event.id} already")
                keys[new.event.source, new.key] = (new.event.id, now + new.window_s)
        self.keys = keys
        return owners

    def _event(self, new: NewEvent, replica: str) -> Appended:
        self.events[new.event.id] = new
        held_back = self._held_back(new)
        leases, busy = [], self.busy_lanes()
        for each in new.deliveries:
            if each.route in held_back:
                continue
            admission = rules.admitted(each, each.lane, busy, others_due=self.others_due(each.destination))
            row = self._add(Delivery(id=each.id, event_id=new.event.id, route=each.route, destination=each.destination))
            row.delivery = replace(row.delivery, lane=each.lane)
            busy |= {(each.destination, each.lane)} if each.lane is not None else set()
            if admission == "behind":
                row.due = None
            elif admission == "due":
                self.came_up(each.destination)
            else:
                leases.append(self._lease(row, replica, each.lease_s))
        return Appended(new.event.id, False, tuple(leases), held_back)

    def _held_back(self, new: NewEvent) -> frozenset[str]:
        late, now = set(), self.now()
        for firing in new.firings:
            event_id, at, expires = self.fired.get((firing.name, firing.key), ("", 0.0, None))
            if rules.fires(expires, now):
                self.fired[firing.name, firing.key] = (new.event.id, now, now + firing.window_s)
            else:
                late |= firing.routes
                seen = HeldBack(name=firing.name, key=firing.key, event_id=event_id, fired_at=at)
                self.held_back.setdefault(new.event.id, []).append(seen)
        return frozenset(late)

    def _add(self, delivery: Delivery, due: float | None = None) -> Row:
        row = Row(delivery=delivery, due=self.now() if due is None else due, turn=next(self.numbers))
        self.rows[delivery.id] = row
        return row

    def _lease(self, row: Row, owner: str, lease_s: float) -> Lease:
        row.leased_until = self.now() + lease_s
        row.lease = Lease(self.seen(row), owner, next(self.numbers), lease_s)
        return row.lease

    # claim and settle

    def claim(self, replica: str, wants) -> list[Lease]:
        now, claimed = self.now(), []
        for destination, want in wants.items():
            free = [row for row in self.rows.values() if row.delivery.destination == destination and row.is_free(now)]
            free.sort(key=lambda row: (row.due, row.turn))
            claimed += free[: want.slots]
        claimed.sort(key=lambda row: (row.due, row.turn))
        return [self._lease(row, replica, wants[row.delivery.destination].lease_s) for row in claimed]

    def settle(self, outcomes: list[Outcome]) -> frozenset[str]:
        held = [outcome for outcome in outcomes if self._settled(outcome)]
        return frozenset(outcome.lease.delivery.id for outcome in held)

    def _settled(self, outcome: Outcome) -> bool:
        row = self.rows.get(outcome.lease.delivery.id)
        if row is None or row.lease is None or row.lease.token != outcome.lease.token:
            return False
        row.lease = None
        if isinstance(outcome.result, Release):
            self.came_up(row.delivery.destination)
            return True
        moved = rules.settled(row.delivery, outcome)._asdict()
        row.delivery = replace(row.delivery, **{name: _storable(value) for name, value in moved.items()})
        if outcome.attempt is not None:
            self.attempts.setdefault(row.delivery.id, []).append(outcome.attempt)
        if isinstance(outcome.result, Retry):
            row.due = self.now() + outcome.result.after_s
        else:
            row.due = None
            self._let_next_go(row.delivery)
        if outcome.told is not None:
            self._notify(row.delivery, outcome.told)
        for instance in self.instances:
            instance.told()
        return True

    def _let_next_go(self, ended: Delivery) -> None:
        mates = [row for row in self.rows.values() if row.is_pending and row.delivery.lane == ended.lane is not None]
        mates = [row for row in mates if row.delivery.destination == ended.destination]
        first = min(mates, key=lambda row: row.turn, default=None)
        if first is not None and first.due is None:
            first.due = self.now()
            self.came_up(ended.destination)

    def _notify(self, dead: Delivery, told) -> None:
        for route, destination in told.routes:
            teller = (route, destination, told.notice.destination)
            id_, last_due = self.notices.get(teller, ("", None))
            due = rules.next_notice(last_due, self.now())
            if due is None:
                row = self.rows[id_]
                notice = replace(row.delivery.notice, count=row.delivery.notice.count + 1)
                row.delivery = replace(row.delivery, notice=notice)
                continue
            id_ = new_id("dlv", self.clock.wall())
            notice = Delivery(id=id_, event_id=dead.event_id, route=route, destination=destination, notice=told.notice)
            self._add(notice, due)
            self.notices[teller] = (id_, due)
            self.came_up(destination)

    # replicas

    def assign(self, replica: str, destinations) -> dict[str, Assignment]:
        """First come, first served, for a time; whoever takes over does so under another epoch."""
        now, assigned = self.now(), {}
        for name in destinations:
            owner, until, epoch = self.assigned.get(name, ("", 0.0, 0))
            if until <= now and owner != replica:
                owner, epoch = replica, epoch + 1
            if owner == replica:
                self.assigned[name] = (replica, now + ASSIGNED_S, epoch)
                assigned[name] = Assignment(until_s=ASSIGNED_S, epoch=epoch)
        return assigned

    def set_hold(self, hold) -> bool:
        known, _ = self.holds.get(hold.destination, (replace(hold, rev=0), 0.0))
        if known.rev != hold.rev:
            return False
        pause = hold.pause and replace(hold.pause, reason=_storable(hold.pause.reason))
        self.holds[hold.destination] = (replace(hold, rev=hold.rev + 1, pause=pause), self.now())
        return True

    def all_holds(self) -> list:
        return [self._aged(hold, self.now() - at) for _, (hold, at) in sorted(self.holds.items())]

    def _aged(self, hold, age_s: float):
        circuit = hold.circuit
        if circuit is not None:
            circuit = replace(circuit, next_probe_s=circuit.next_probe_s - age_s)
        return replace(hold, circuit=circuit, wait_s=max(0.0, hold.wait_s - age_s))

    def crashed(self, delivery_id: str) -> Delivery | None:
        row = self.rows.get(delivery_id)
        if row is None or not row.is_pending:
            return None
        row.delivery = replace(row.delivery, crashes=row.delivery.crashes + 1)
        return self.seen(row)


def _storable(value):
    return value.encode("utf-8", "replace").decode() if type(value) is str else value


class ToyStore:
    """One replica's way to the server."""

    name = "toy"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        #: Destinations that came up and that no hint has named yet.
        self._fresh: set[str] = set()
        #: Everything that was free by then was named.
        self._named_to = float("-inf")
        self._news = asyncio.Event()
        self._closed = False
        self._pending: set[asyncio.Future] = set()
        server.instances.append(self)

    @property
    def healthy(self) -> bool:
        return not self._closed

    def told(self, *destinations: str) -> None:
        self._fresh.update(destinations)
        self._news.set()

    async def _ask(self, work, *arguments):
        if self._closed:
            raise StoreUnavailable("the store is closed")
        await asyncio.sleep(0)
        return work(*arguments)

    # the contract

    def append(self, events, *, replica=""):
        appending = self._loop.create_future()
        self._pending.add(appending)
        if self._closed:
            self._answer(appending, StoreUnavailable("the store is closed"))
        else:
            self._loop.call_soon(self._append, appending, events, replica)
        return appending

    def _append(self, appending, events, replica) -> None:
        try:
            answer = self._server.append(list(events), replica)
        except StoreError as error:
            answer = error
        if appending.cancelled() and isinstance(answer, list):
            leases = [lease for appended in answer for lease in appended.leases]
            self._server.settle([Outcome(lease, Release()) for lease in leases])
        self._answer(appending, answer)

    def _answer(self, appending, answer) -> None:
        self._pending.discard(appending)
        if isinstance(answer, Exception) and not appending.done():
            appending.set_exception(answer)
        elif not appending.done():
            appending.set_result(answer)

    async def claim(self, replica, wants):
        # Nothing is claimed before the caller is sure to hear of it.
        return await self._ask(self._server.claim, replica, wants)

    async def load(self, event_ids):
        events = self._server.events
        return await self._ask(lambda: {id_: events[id_].event for id_ in event_ids if id_ in events})

    async def settle(self, outcomes):
        return await self._ask(self._server.settle, outcomes)

    async def wake(self):
        while True:
            now, moments = self._server.now(), []
            for row in self._server.rows.values():
                moment = row.free_from()
                if moment is not None and self._named_to < moment <= now:
                    self._fresh.add(row.delivery.destination)
                elif moment is not None and moment > now:
                    moments.append(moment)
            self._named_to, names, self._fresh = now, self._fresh, set()
            if names:
                return names
            self._news.clear()
            try:
                async with asyncio.timeout(min(moments) - now if moments else None):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def breathe(self):
        await asyncio.sleep(0)

    async def assigned(self, replica, destinations):
        return await self._ask(self._server.assign, replica, destinations)

    async def holds(self):
        return await self._ask(self._server.all_holds)

    async def set_hold(self, hold):
        return await self._ask(self._server.set_hold, hold)

    async def crashed(self, delivery_id):
        return await self._ask(self._server.crashed, delivery_id)

    async def close(self):
        if not self._closed:
            self._closed = True
            await asyncio.sleep(0)
            self._server.instances.remove(self)

    # as much of the read side as the suite looks at

    async def events(self, query=EventQuery()):  # noqa: B008  it is frozen
        rows = [self._row(new) for new in reversed(self._server.events.values())]
        return await self._ask(lambda: EventPage(rows=tuple(rows[: query.limit])))

    def _row(self, new) -> EventRow:
        event, rows = new.event, self._server.of_event(new.event.id)
        deliveries = tuple(self._server.seen(row) for row in rows)
        size = len(event.body)
        named = {"id": event.id, "source": event.source, "type": event.type, "received_at": event.received_at}
        return EventRow(**named, size=size, deliveries=deliveries)

    async def event(self, event_id):
        row = self._server.rows.get(event_id)
        new = self._server.events.get(row.delivery.event_id if row else event_id)
        if new is None:
            return None
        deliveries = tuple(self._server.seen(each) for each in self._server.of_event(new.event.id))
        attempts = {each.id: tuple(made) for each in deliveries if (made := self._server.attempts.get(each.id))}
        held_back = tuple(self._server.held_back.get(new.event.id, ()))
        history = EventHistory(
            event=new.event, intact=True, deliveries=deliveries, attempts=attempts, held_back=held_back
        )
        return await self._ask(lambda: history)

    async def deliveries(self, query: DeliveryQuery):
        rows = [self._server.seen(row) for row in self._server.rows.values()]
        fitting = tuple(each for each in rows if query.state in (None, each.state))
        return await self._ask(lambda: DeliveryPage(rows=fitting))


class TakingTurns:
    """Two instances on one state: each call goes to the one that did not get the last."""

    def __init__(self, *instances) -> None:
        self._instances = instances
        self._turns = itertools.cycle(instances)

    def __getattr__(self, name):
        return getattr(next(self._turns), name)

    async def wake(self):
        # A process hears its own hints.
        return await self._instances[0].wake()

    async def close(self):
        for instance in self._instances:
            await instance.close()


class ToyKind:
    """How the tests open the toy: one instance, or two that share its state."""

    id = "toy"

    def __init__(self, _folder: Path) -> None:
        self._server = None

    def instance(self, clock):
        self._server = self._server or Server(clock)
        return ToyStore(self._server)

    async def open(self, clock):
        return self.instance(clock)


class TwoToysKind(ToyKind):
    """Whatever the suite does is done through two instances in turn."""

    id = "two-toys"

    async def open(self, clock):
        return TakingTurns(self.instance(clock), self.instance(clock))
