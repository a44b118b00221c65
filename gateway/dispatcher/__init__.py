"""The loop that keeps deliveries going: which destination has a turn, and what becomes of each delivery it starts.

New deliveries start straight from memory while their destination has a free slot and nothing is ahead of them; the
rest waits in the store and is claimed. A slot is free again only after ``store.settle`` has recorded the outcome.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from gateway import pipeline, telemetry
from gateway.destinations.gates import Permit
from gateway.dispatcher.ahead import Ahead, size_of
from gateway.dispatcher.attempts import Attempts
from gateway.dispatcher.due import Due
from gateway.dispatcher.handover import MOST_BYTES, AtHand, Handover, Loaded
from gateway.dispatcher.reporting import count_outcome, log_outcome
from gateway.dispatcher.settling import Ended, Settling
from gateway.dispatcher.steps import for_ever
from gateway.errors import StoreUnavailable
from gateway.holds import Holds
from gateway.holds.assignments import GONE_SLOTS
from gateway.machine.memory import Held, delivery_room, memory_limit
from gateway.model import Announcement, Delivery, Event, Release
from gateway.process import Gateway
from gateway.routing import Destination
from gateway.routing.planning import Known
from gateway.store.nouns import Appended, Lease, NewDelivery, NewEvent, Outcome, Want

#: A lease outlives the attempt it is for by this many seconds, so it is never renewed.
LEASE_MARGIN_S: Final = 20.0
#: Seconds without a hint of the store until it is asked all the same, and between two looks for pauses that are over.
LOOK_INTERVAL_S: Final = 60.0
#: Seconds between two looks at what other replicas have changed, at most and at least.
REFRESH_INTERVAL_S: Final = 3.0
SOON_S: Final = 0.01
#: Seconds between two looks at what holds destinations, however often others change it.
HOLDS_PAUSE_S: Final = 0.2


class Dispatcher:
    """Gives every destination its slots: to new deliveries straight from memory, then to those overdue the longest."""

    def __init__(self, gateway: Gateway, *, room: int | None = None) -> None:
        """``room`` is how many bytes of events may be in memory for their deliveries."""
        self._gateway = gateway
        self._due = Due()
        room = delivery_room(memory_limit()) if room is None else room
        self._bodies = Held(room)
        self._handover = Handover(min(MOST_BYTES, room // 4), gateway.monotonic)
        self._ahead = Ahead(gateway.monotonic)
        self._store = gateway.store
        self.holds = Holds(gateway, announce=self.announce, changed=self._due.opens)
        self.attempts = Attempts(gateway, self.holds, self.announce, self._give_back)
        self._lookups = self.attempts.lookups
        self._lookups.bodies = self._bodies
        self._lookups.lines.others_wait = lambda name: name in self._due.names or name in self._ahead
        self._settling = Settling(gateway.store, self._recorded)
        #: Set when the store is to be asked at once what this replica decides for.
        self.reread = asyncio.Event()
        self._stop = asyncio.Event()
        #: Attempts in flight, with the delivery of each.
        self._attempts: dict[asyncio.Task[None], Delivery] = {}

    async def recall(self) -> None:
        """Learn what this replica decides for and what holds it; before anything is received. Raises StoreUnavailable."""
        await self.holds.refresh()

    async def run(self) -> None:
        """Claim what is due for every destination with a free slot, until ``stop``."""
        claiming = (self._round, self._listen) if self._gateway.part != "upkeep" else ()
        steps = (*claiming, self._refresh, self._follow_holds, self._end_pauses)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(for_ever(step)) for step in steps]
            await self._stop.wait()
            for loop in loops:
                loop.cancel()

    def reconfigured(self) -> None:
        """Another configuration is in force: a destination that was full may have more slots now."""
        self._due.open_all()
        self._due.look_at(self._gateway.config.destinations)
        self.reread.set()

    # new deliveries, straight from memory

    def reserve(self, destination: Destination) -> float | None:
        """Take a slot before the append, and the length of the lease to ask for in seconds; None: it has to wait."""
        # An append follows: what waits to be recorded is in its transaction.
        self._settling.flush()
        name = destination.name
        if name in self._due.names or self._stop.is_set() or not self.recording or not self._fitting(name):
            return None
        if not self.holds.reserve(name):
            return None
        return destination.longest_s + LEASE_MARGIN_S

    def appended(
        self,
        new: Sequence[NewEvent],
        known: Sequence[Known | None],
        asked_at: float,
        appending: "asyncio.Future[Sequence[Appended]]",
    ) -> None:
        """The append is over, or its caller has gone: start what was leased, give the other slots back."""
        is_stored = not appending.cancelled() and appending.exception() is None
        appended = appending.result() if is_stored else ()
        for at, (one, small) in enumerate(zip(new, known, strict=True)):
            stored = appended[at] if appended else None
            leased = {lease.delivery.id: lease for lease in stored.leases} if stored else {}
            for delivery in one.deliveries:
                if lease := leased.get(delivery.id):
                    self._start(lease, one.event, small, asked_at)
                    continue
                if delivery.lease_s is not None:
                    self._give_back(delivery.destination)
                if stored and stored.has_due(delivery):
                    self._keep(one.event, small, delivery)

    def _keep(self, event: Event, known: Known | None, delivery: NewDelivery) -> None:
        """It has to wait: perhaps not for long."""
        name = delivery.destination
        if not self._stop.is_set() and self.holds.may_claim_now(name):
            self._handover.keep(name, delivery.id, event, known, len(self._gateway.config.destinations))

    # deliveries that wait in the store

    async def _listen(self) -> None:
        """Follow the store's hints, and look without one now and then: a hint may come late."""
        names: Collection[str] = self._gateway.config.destinations
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL_S):
                names = await self._store.wake()
        # At once: should the store refuse now, it will not name them again.
        self._due.look_at(names)
        if unasked := self.holds.assignments.unasked(names):
            self._due.look_at(await self.holds.refresh(unasked))

    async def _refresh(self) -> None:
        self.reread.clear()
        # The store's hints for what it has just come to decide for went to another replica.
        self._due.look_at(await self.holds.refresh())
        # Its share of the slots may have grown.
        self._lookups.lines.call_up_all()
        for name in [name for name in self._due.full if self.holds.free(name)]:
            self._due.opens(name)
        # At the moment when a replica that was killed is taken for dead.
        more_in_s = max(SOON_S, self.holds.assignments.more_in_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(REFRESH_INTERVAL_S, more_in_s)):
                await self.reread.wait()

    async def _follow_holds(self) -> None:
        await self._store.holds_changed()
        await self.holds.reread()
        await asyncio.sleep(HOLDS_PAUSE_S)

    async def _round(self) -> None:
        await self._settling.recording.wait()
        await self._store.breathe()
        self._due.wake.clear()
        if wants := self._wants():
            await self._claim(wants)
        else:
            await self._due.wake.wait()

    async def _claim(self, wants: Mapping[str, Want]) -> None:
        # The slots are taken before the claim: an append may finish meanwhile.
        taken = {name: min(want.slots, self.holds.free(name)) for name, want in wants.items()}
        for name, slots in taken.items():
            self.holds.take(name, slots)
        claimed: Counter[str] = Counter()
        started: Counter[str] = Counter()
        asked_at = self._gateway.monotonic()
        try:
            leases = await self._store.claim(self._gateway.replica, wants)
            claimed.update(lease.delivery.destination for lease in leases)
            # From here on the slots are theirs.
            started = claimed
            self._due.learn(wants, claimed)
            events = await self._load(leases, taken)
        except BaseException:
            self._due.look_at(wants)
            raise
        finally:
            for name, slots in taken.items():
                self._give_back(name, max(0, slots - started[name]))
        for lease in leases:
            self._started(lease, *events.get(lease.delivery.id, (None, None)), asked_at, taken)
            await self._store.breathe()

    def _started(
        self, lease: Lease, event: Loaded, known: Known | None, asked_at: float, taken: dict[str, int]
    ) -> None:
        """Start a claimed delivery in one of the slots that were taken, or have it wait for the next one."""
        name = lease.delivery.destination
        if taken[name]:
            taken[name] -= 1
            self._start(lease, event, known, asked_at)
        elif self._stop.is_set():
            self._release(lease, has_slot=False)
        else:
            self._bodies.hold(name, size_of(event))
            self._ahead.put(lease, event, known, asked_at)
            self._call_up(name)

    def _call_up(self, name: str) -> None:
        """Give free slots to those that were claimed already."""
        if name not in self._ahead:
            return
        free = self.holds.free(name)
        is_lost = free <= 0 and not self.holds.slots(name)
        while (free > 0 or is_lost) and (claimed := self._ahead.next(name)) is not None:
            self._bodies.release(name, size_of(claimed.event))
            if self._ahead.is_late(claimed) or is_lost:
                self._release(claimed.lease, has_slot=False)
            else:
                free -= 1
                self.holds.take(name, 1)
                self._start(claimed.lease, claimed.event, claimed.known, claimed.asked_at)

    def _wants(self) -> Mapping[str, Want]:
        """What to claim now."""
        return {name: want for name in self._due.take_ready() if (want := self._want(name))}

    def _want(self, name: str) -> Want | None:
        """What to claim of a destination now; None: it is full or held, or another replica's to claim."""
        destination = self._gateway.config.destinations.get(name)
        if not self.holds.assignments.may_claim(name):
            self._due.is_not_ours(name)
            return None
        # What waits for a destination that is no longer in the file only ends.
        permit = Permit(count=GONE_SLOTS) if destination is None else self._permit(name)
        if not permit.count:
            return None
        most = self._most(name, is_free=destination is not None and permit.count > self.holds.slots(name))
        if most <= 0:
            self._due.fill(name)
            return None
        longest_s = destination.longest_s if destination else 0.0
        return Want(slots=min(permit.count, most), lease_s=longest_s + LEASE_MARGIN_S, last=permit.last)

    def _most(self, name: str, *, is_free: bool) -> int:
        """How many deliveries to claim: for the free slots and, if nothing paces it, as many that wait for the next ones."""
        free, slots = self.holds.free(name), self.holds.slots(name)
        line = slots - self._ahead.count(name) if is_free else 0
        if free <= 0 and 2 * line < slots:
            return 0
        return min(free + line, self._fitting(name))

    def _fitting(self, name: str) -> int:
        return self._bodies.fitting(name, len(self._gateway.config.destinations))

    def _permit(self, name: str) -> Permit:
        """How many deliveries may start; if none, the destination is held until that may have changed."""
        permit = self.holds.permit(name)
        if permit.count and not self.holds.may_claim_now(name):
            permit = Permit(count=0, again_at=self._gateway.monotonic() + REFRESH_INTERVAL_S)
        if permit.count == 0:
            self._due.hold(name, permit.again_at - self._gateway.monotonic())
        return permit

    async def _load(self, leases: Sequence[Lease], taken: Mapping[str, int]) -> Mapping[str, AtHand]:
        """By delivery: its event, and what is known of it, if that is at hand."""
        loaded: dict[str, AtHand] = self._handover.taken(lease.delivery for lease in leases)
        missing = [lease.delivery for lease in leases if lease.delivery.id not in loaded]
        if not missing:
            return loaded
        try:
            events = await self._store.load({delivery.event_id for delivery in missing})
        except BaseException:
            left = Counter(taken)
            for lease in leases:
                name = lease.delivery.destination
                self._release(lease, has_slot=left[name] > 0)
                left[name] -= 1
            raise
        return loaded | {delivery.id: (events.get(delivery.event_id), None) for delivery in missing}

    def _give_back(self, name: str, slots: int = 1) -> None:
        self.holds.give_back(name, slots)
        self._lookups.lines.call_up(name)
        self._call_up(name)
        if slots and name in self._due.full and 2 * self._ahead.count(name) <= self.holds.slots(name):
            self._due.opens(name)

    # one attempt

    def _start(self, lease: Lease, event: Loaded, known: Known | None, asked_at: float) -> None:
        if (too_early := self.attempts.too_early(lease)) is not None:
            self._settling.add(Ended(outcome=too_early), soon=True)
            return
        wait_s = None if self._stop.is_set() else self.attempts.turn(lease.delivery)
        if wait_s is None:
            # It was leased just before the stop, or before something came to hold its destination: it waits in the store.
            self._release(lease)
            return
        task = asyncio.get_running_loop().create_task(self._attempt(lease, event, known, asked_at, wait_s))
        self._attempts[task] = lease.delivery
        task.add_done_callback(self._attempts.pop)

    def _release(self, lease: Lease, *, has_slot: bool = True) -> None:
        self._settling.add(Ended(outcome=Outcome(lease, Release()), has_slot=has_slot), soon=True)

    async def _attempt(self, lease: Lease, event: Loaded, known: Known | None, asked_at: float, wait_s: float) -> None:
        name, size = lease.delivery.destination, size_of(event)
        self._bodies.hold(name, size)
        try:
            outcome, word = await self.attempts.make(lease, event, known, asked_at, wait_s)
        except BaseException as error:
            # A defect: its lease ends, and then it is tried again.
            self._bodies.release(name, size)
            if self._lookups.over(lease.delivery):
                self._give_back(name)
            if not isinstance(error, Exception):
                raise
            telemetry.log("internal.error", delivery_id=lease.delivery.id, exc_info=True)
        else:
            ended = Ended(outcome=outcome, event=event, word=word, size=size)
            self._settling.add(ended, soon=self._is_wanted(lease.delivery))

    def _is_wanted(self, delivery: Delivery) -> bool:
        """Whether something waits for the slot of a delivery, or soon will, or for its end."""
        name = delivery.destination
        if name in self._due.names or delivery.lane is not None or self._stop.is_set():
            return True
        return 2 * self.holds.in_flight[name] > self.holds.slots(name)

    def _recorded(self, ended: Ended, is_recorded: bool) -> None:
        """Its slot is free again."""
        delivery, outcome = ended.outcome.lease.delivery, ended.outcome
        self._bodies.release(delivery.destination, ended.size)
        if ended.has_slot and self._lookups.over(delivery):
            self._give_back(delivery.destination)
        if is_recorded and ended.word:
            log_outcome(delivery, ended.event, outcome)
            count_outcome(outcome, ended.event, ended.word, self._gateway.clock())

    # what the gateway says of itself

    async def announce(self, what: Announcement) -> None:
        """Store an event of the gateway's own, routed like any other. Never raises."""
        try:
            await pipeline.announce(self._gateway, self, what)
        except StoreUnavailable as error:
            # What happened is in the log.
            telemetry.log("store.unavailable", reason=str(error))

    async def _end_pauses(self) -> None:
        await self.holds.end_overdue()
        await asyncio.sleep(LOOK_INTERVAL_S)

    # the end

    def stop(self) -> None:
        """Start no delivery from now on."""
        self._stop.set()
        self._lookups.lines.end()
        for claimed in self._ahead.end():
            self._bodies.release(claimed.lease.delivery.destination, size_of(claimed.event))
            self._release(claimed.lease, has_slot=False)
        self._settling.record()

    @property
    def recording(self) -> bool:
        """Whether outcomes can be recorded; while they cannot, nothing is sent."""
        return self._settling.recording.is_set()

    async def drained(self) -> None:
        """Return when no attempt is in flight any more; other replicas have each destination as soon as it is free."""
        while True:
            try:
                await self.holds.hand_over()
            except StoreUnavailable as error:
                telemetry.log("store.unavailable", reason=str(error))
            if not (under_way := self._under_way()):
                return
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)

    async def idle(self) -> None:
        """Return when no attempt is in flight any more, and every outcome is recorded."""
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    def _under_way(self) -> Collection["asyncio.Future[Any]"]:
        self._settling.record()
        return [*self._attempts, *self._settling.batches]

    async def abandon(self) -> None:
        """End the attempts in flight, whose deliveries stay pending. What was only leased cannot arrive twice: it is not logged."""
        ended = [each.outcome.lease.delivery for each in self._settling.unrecorded if each.word]
        for delivery in [*self._attempts.values(), *ended]:
            telemetry.log("delivery.abandoned", delivery_id=delivery.id, destination=delivery.destination)
        # Again and again: what the store refuses at once is over before it is cancelled, and would be tried until it is not.
        while under_way := self._under_way():
            for each in under_way:
                each.cancel()
            await asyncio.wait(under_way)
