"""The loop that keeps deliveries going: which destination has a turn, and what becomes of each delivery it starts.

New deliveries start straight from memory while their destination has a free slot and nothing is ahead of them; the
rest waits in the store and is claimed. A slot is free again only after ``store.settle`` has recorded the outcome.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from gateway import pipeline, telemetry
from gateway.destinations import gates
from gateway.destinations.gates import Permit
from gateway.dispatcher.reporting import count_outcome, damaged, log_outcome
from gateway.errors import CorruptEvent, StoreUnavailable
from gateway.holds import Holds
from gateway.holds.assignments import GONE_SLOTS
from gateway.machine.memory import Held, delivery_room, memory_limit
from gateway.model import Announcement, Dead, Delivery, Event, Release, Retry
from gateway.pipeline import Gateway, Tried
from gateway.routing import Config, Destination
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Want

#: A lease outlives the attempt it is for by this many seconds, so it is never renewed.
LEASE_MARGIN_S: Final = 20.0
#: Seconds without a hint of the store until it is asked all the same, and between two looks for pauses that are over.
LOOK_INTERVAL_S: Final = 60.0
#: Seconds between two looks at what other replicas have changed.
REFRESH_INTERVAL_S: Final = 5.0
#: Seconds between two looks at what holds destinations, however often others change it.
HOLDS_PAUSE_S: Final = 0.2
#: How long a store that refuses is left alone before it is asked again, seconds.
STORE_PAUSE_S: Final = 1.0


class Dispatcher:
    """Gives every destination its slots: to new deliveries straight from memory, then to those overdue the longest."""

    def __init__(self, gateway: Gateway, *, room: int | None = None) -> None:
        """``room`` is how many bytes of events may be in memory for their deliveries."""
        self._gateway = gateway
        self._bodies = Held(delivery_room(memory_limit()) if room is None else room)
        self._store = gateway.store
        self.holds = Holds(gateway, announce=self.announce, changed=self._opens)
        #: Destinations that may have something due: new deliveries queue up behind it.
        self._due: set[str] = set()
        #: Those of them that are neither full nor held: a round asks for these and no others.
        self._ready: set[str] = set()
        #: Those without a free slot.
        self._full: set[str] = set()
        #: Those that are held, each with the timer that opens it, if time does: they cost nothing until then.
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._wake = asyncio.Event()
        #: Set when the store is to be asked at once what this replica decides for.
        self._reread = asyncio.Event()
        self._stop = asyncio.Event()
        #: Cleared while the store rejects outcomes: what is claimed then would be sent without a record, again and again.
        self._recording = asyncio.Event()
        self._recording.set()
        #: Looks for another login at once; called when a destination refuses what it was sent.
        self.look_for_login: Callable[[], Awaitable[None]] = partial(asyncio.sleep, 0)
        #: Attempts in flight, with the delivery of each.
        self._attempts: dict[asyncio.Task[None], Delivery] = {}

    async def recall(self) -> None:
        """Learn what this replica decides for and what holds it; before anything is received. Raises StoreUnavailable."""
        await self.holds.refresh()

    async def run(self) -> None:
        """Claim what is due for every destination with a free slot, until ``stop``."""
        steps = (self._round, self._listen, self._refresh, self._follow_holds, self._end_pauses)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(for_ever(step)) for step in steps]
            await self._stop.wait()
            for loop in loops:
                loop.cancel()

    def reconfigured(self) -> None:
        """Another configuration is in force: a destination that was full may have more slots now."""
        for name in [*self._full, *self._held]:
            self._opens(name)
        self._look_at(self._gateway.config.destinations)
        self._reread.set()

    # new deliveries, straight from memory

    def reserve(self, destination: Destination) -> float | None:
        """Take a slot before the append, and the length of the lease to ask for in seconds; None: it has to wait."""
        name = destination.name
        if name in self._due or self._stop.is_set() or not self.recording or not self._fitting(name):
            return None
        if not self.holds.reserve(name):
            return None
        return destination.timeout_s + LEASE_MARGIN_S

    def appended(self, new: Sequence[NewEvent], appending: "asyncio.Future[Sequence[Appended]]") -> None:
        """The append is over, or its caller has gone: start what was leased, give the other slots back."""
        is_stored = not appending.cancelled() and appending.exception() is None
        appended = appending.result() if is_stored else ()
        for at, one in enumerate(new):
            leases = appended[at].leases if appended else ()
            leased = {lease.delivery.id for lease in leases}
            for lease in leases:
                self._start(lease, one.event)
            for delivery in one.deliveries:
                if delivery.lease_s is not None and delivery.id not in leased:
                    self._give_back(delivery.destination)

    # deliveries that wait in the store

    async def _listen(self) -> None:
        """Follow the store's hints, and look without one now and then: a hint may come late."""
        names: Collection[str] = self._gateway.config.destinations
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL_S):
                names = await self._store.wake()
        # At once: should the store refuse now, it will not name them again.
        self._look_at(names)
        if unasked := self.holds.unasked(names):
            self._look_at(await self.holds.refresh(unasked))

    async def _refresh(self) -> None:
        self._reread.clear()
        # The store's hints for what it has just come to decide for went to another replica.
        self._look_at(await self.holds.refresh())
        # Its share of the slots may have grown.
        for name in [name for name in self._full if self.holds.free(name)]:
            self._opens(name)
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_INTERVAL_S):
                await self._reread.wait()

    async def _follow_holds(self) -> None:
        await self._store.holds_changed()
        await self.holds.reread()
        await asyncio.sleep(HOLDS_PAUSE_S)

    def _look_at(self, names: Collection[str]) -> None:
        """They may have something due."""
        self._due.update(names)
        self._ready.update(names)
        self._ready -= self._full | self._held.keys()
        self._wake.set()

    async def _round(self) -> None:
        await self._recording.wait()
        await self._store.breathe()
        self._wake.clear()
        if wants := self._wants():
            await self._claim(wants)
        else:
            await self._wake.wait()

    async def _claim(self, wants: Mapping[str, Want]) -> None:
        # The slots are taken before the claim: an append may finish meanwhile.
        for name, want in wants.items():
            self.holds.take(name, want.slots)
        claimed: Counter[str] = Counter()
        started: Counter[str] = Counter()
        try:
            leases = await self._store.claim(self._gateway.replica, wants)
            claimed.update(lease.delivery.destination for lease in leases)
            self._learn_what_is_left(wants, claimed)
            events = await self._load(leases)
            started = claimed
        except BaseException:
            self._look_at(wants)
            raise
        finally:
            for name, want in wants.items():
                self._give_back(name, want.slots - started[name])
        for lease in leases:
            self._start(lease, events.get(lease.delivery.event_id))
            await self._store.breathe()

    def _wants(self) -> Mapping[str, Want]:
        """What to claim now, and for that long none of them is ready: a hint that comes meanwhile counts."""
        ready, self._ready = self._ready, set()
        return {name: want for name in ready if (want := self._want(name))}

    def _want(self, name: str) -> Want | None:
        """What to claim of a destination now; None: it is full or paused, or another replica holds it."""
        destination = self._gateway.config.destinations.get(name)
        if not self.holds.is_holder(name):
            self._due.discard(name)
            return None
        # What waits for a destination that is no longer in the file only ends.
        permit = Permit(count=GONE_SLOTS) if destination is None else self._permit(name)
        if not permit.count:
            return None
        free = min(self.holds.free(name), self._fitting(name))
        if free <= 0:
            self._full.add(name)
            return None
        timeout_s = destination.timeout_s if destination else 0.0
        return Want(slots=min(permit.count, free), lease_s=timeout_s + LEASE_MARGIN_S, last=permit.last)

    def _fitting(self, name: str) -> int:
        return self._bodies.fitting(name, len(self._gateway.config.destinations))

    def _permit(self, name: str) -> Permit:
        """How many deliveries may start; if none, the destination is held until that may have changed."""
        permit = self.holds.permit(name)
        if permit.count == 0:
            self._hold(name, permit.again_at - self._gateway.monotonic())
        return permit

    def _learn_what_is_left(self, wants: Mapping[str, Want], claimed: Mapping[str, int]) -> None:
        """A destination that gave all that it was asked for may have more; of the others nothing else is due."""
        for name, want in wants.items():
            if claimed[name] >= want.slots:
                self._ready.add(name)
            elif name not in self._ready:
                self._due.discard(name)

    async def _load(self, leases: Sequence[Lease]) -> Mapping[str, Event | CorruptEvent]:
        try:
            return await self._store.load({lease.delivery.event_id for lease in leases})
        except StoreUnavailable:
            await self._settle([Outcome(lease, Release()) for lease in leases])
            raise

    def _hold(self, name: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._held[name] = loop.call_later(seconds, self._opens, name) if seconds < math.inf else None

    def _opens(self, name: str) -> None:
        """It has a free slot again, or its gate has changed: ask again."""
        timer = self._held.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._full.discard(name)
        if name in self._due:
            self._ready.add(name)
            self._wake.set()

    def _give_back(self, name: str, slots: int = 1) -> None:
        self.holds.give_back(name, slots)
        if slots and name in self._full:
            self._opens(name)

    # one attempt

    def _start(self, lease: Lease, event: Event | CorruptEvent | None) -> None:
        if self._stop.is_set():
            self._give_back(lease.delivery.destination)
            return
        wait_s = self.holds.turn(lease.delivery)
        work = self._release(lease) if wait_s is None else self._attempt(lease, event, wait_s)
        task = asyncio.create_task(work)
        self._attempts[task] = lease.delivery
        task.add_done_callback(self._attempts.pop)

    async def _release(self, lease: Lease) -> None:
        """It was leased just before something came to hold its destination, and waits in the store like the others."""
        try:
            await self._settle([Outcome(lease, Release())])
        finally:
            self._give_back(lease.delivery.destination)

    async def _attempt(self, lease: Lease, event: Event | CorruptEvent | None, wait_s: float) -> None:
        delivery = lease.delivery
        size = len(event.body) if isinstance(event, Event) else 0
        self._bodies.hold(delivery.destination, size)
        try:
            if isinstance(event, Event):
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                used = self._gateway.config
                tried = await pipeline.deliver(delivery, event, self._gateway)
                if tried.learned.outcome == "denied" and await self._is_outdated(used):
                    outcome, word = await self._with_another_login(lease, tried), tried.word
                else:
                    outcome, word = await self._judged(lease, event, tried), tried.word
            else:
                reason = str(event or f"event {delivery.event_id} is not in the store")
                outcome, word = Outcome(lease, Dead(reason)), CorruptEvent.reason
                await self.holds.learn(delivery, gates.NOTHING)
                if delivery.notice is None:
                    await self.announce(damaged(delivery, reason))
            await self._settle([outcome])
            log_outcome(delivery, event, outcome)
            count_outcome(outcome, event, word, self._gateway.clock())
        except Exception:  # noqa: BLE001  its lease ends, and then it is tried again
            telemetry.log("internal.error", delivery_id=delivery.id, exc_info=True)
        finally:
            self._bodies.release(delivery.destination, size)
            self._give_back(delivery.destination)

    async def _is_outdated(self, used: Config) -> bool:
        """Whether the configuration in force is another than the one used, or has just become it."""
        if self._gateway.config is used:
            await self.look_for_login()
        return self._gateway.config is not used

    async def _with_another_login(self, lease: Lease, tried: Tried) -> Outcome:
        """Try again at once and at no expense: what was refused is no longer in force."""
        await self.holds.learn(lease.delivery, gates.NOTHING)
        again = Retry(tried.attempt.reason, after_s=0.0, spent_s=0.0)
        return Outcome(lease, again, replace(tried.attempt, outcome="retry", next_s=0.0))

    async def _judged(self, lease: Lease, event: Event, tried: Tried) -> Outcome:
        """The outcome of an attempt, after its destination was judged by it."""
        delivery, result, attempt = lease.delivery, tried.result, tried.attempt
        is_muted = self.holds.is_muted(delivery.destination)
        aloud = not is_muted and not pipeline.is_notice(delivery, event)
        if await self.holds.learn(delivery, tried.learned, reason=attempt.reason, aloud=aloud):
            # It waits for a person, so nothing of its budget is spent.
            waits = Retry(attempt.reason, after_s=0.0, spent_s=0.0)
            return Outcome(lease, waits, replace(attempt, outcome="retry", next_s=None))
        told = None
        if isinstance(result, Dead) and not is_muted:
            told = pipeline.notices(delivery, event, self._gateway.config, result, attempt)
        return Outcome(lease, result, attempt, told)

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        try:
            held = await self._settled(outcomes)
        finally:
            self._recording.set()
        for outcome in outcomes:
            if outcome.lease.delivery.id not in held:
                telemetry.log("delivery.lease_lost", delivery_id=outcome.lease.delivery.id)

    async def _settled(self, outcomes: Sequence[Outcome]) -> Collection[str]:
        while True:
            try:
                return await self._store.settle(outcomes)
            except StoreUnavailable as error:
                if self._recording.is_set():
                    telemetry.log("store.unavailable", reason=str(error))
                self._recording.clear()
                await asyncio.sleep(STORE_PAUSE_S)

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

    @property
    def recording(self) -> bool:
        """Whether outcomes can be recorded; while they cannot, nothing is sent."""
        return self._recording.is_set()

    async def drained(self) -> None:
        """Return when no attempt is in flight any more; other replicas have each destination as soon as it is free."""
        while True:
            try:
                await self.holds.hand_over()
            except StoreUnavailable as error:
                telemetry.log("store.unavailable", reason=str(error))
            if not self._attempts:
                return
            await asyncio.wait(self._attempts, return_when=asyncio.FIRST_COMPLETED)

    async def idle(self) -> None:
        """Return when no attempt is in flight any more."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    async def abandon(self) -> None:
        """End the attempts that are still in flight; their deliveries stay pending."""
        for task, delivery in self._attempts.items():
            telemetry.log("delivery.abandoned", delivery_id=delivery.id, destination=delivery.destination)
            task.cancel()
        await self.idle()


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Take ``step`` again and again: neither a disk that refuses nor a bug may end deliveries in silence."""
    while True:
        try:
            await step()
        except StoreUnavailable as error:
            telemetry.log("store.unavailable", reason=str(error))
            await asyncio.sleep(STORE_PAUSE_S)
        except Exception:  # noqa: BLE001  logged, and the loop lives on
            telemetry.log("internal.error", exc_info=True)
            await asyncio.sleep(STORE_PAUSE_S)
