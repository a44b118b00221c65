"""One attempt: the request is made, its destination is judged by the answer, and the delivery has its outcome."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from gateway import pipeline, telemetry
from gateway.destinations import gates
from gateway.dispatcher import recalling
from gateway.dispatcher.lookups import Lookups, Trip
from gateway.errors import CorruptEvent, StoreUnavailable, Unparsable
from gateway.event.payload import payload_of
from gateway.holds import Holds
from gateway.model import Announcement, Attempt, Dead, Delivery, Event, Notice, Release, Retry
from gateway.pipeline import Tried
from gateway.presets import OWN
from gateway.process import Gateway
from gateway.routing import Config
from gateway.routing.lookups import NOTHING
from gateway.routing.memory import NOTHING_FOUND
from gateway.routing.planning import Known
from gateway.store.memory import Learnt
from gateway.store.nouns import Lease, Outcome, Told

#: What is left of a lease, at least, when the request of its delivery ends: to record the outcome, seconds.
RECORDING_S: Final = 10.0


class Attempts:
    """Makes attempts. One for each process."""

    def __init__(
        self,
        gateway: Gateway,
        holds: Holds,
        announce: Callable[[Announcement], Awaitable[None]],
        give_back: Callable[[str], None],
    ) -> None:
        """``give_back`` frees a slot of a destination."""
        self._gateway = gateway
        self.lookups = Lookups(gateway, holds, give_back, self._is_outdated)
        self._holds = holds
        self._announce = announce
        #: Looks for another login at once; called when a destination refuses what it was sent.
        self.look_for_login: Callable[[], Awaitable[None]] = _nowhere

    def too_early(self, lease: Lease) -> Outcome | None:
        """The outcome of a delivery whose entry does not send now: no attempt, and due when its hours open. None: it does."""
        config, delivery = self._gateway.config, lease.delivery
        if delivery.route not in config.with_hours:
            return None
        closed_s = config.closed_s(delivery.route, self._gateway.clock())
        return Outcome(lease, Retry(delivery.reason, after_s=closed_s)) if closed_s else None

    def turn(self, delivery: Delivery) -> float | None:
        """The seconds to wait for its turn, as of ``Holds``.

        One that recalls something may have to wait for it, and one that has something to look up takes several: each takes
        its turns itself.
        """
        config = self._gateway.config
        if delivery.route in config.fetches or config.recalls(delivery):
            return 0.0
        return self._holds.turn(delivery)

    async def make(
        self, lease: Lease, event: Event | CorruptEvent | None, known: Known | None, asked_at: float, wait_s: float
    ) -> tuple[Outcome, str]:
        """Attempt a delivery once its turn has come, in ``wait_s`` seconds; its outcome, and that in one of a few words.

        ``known``: of the event, if it is at hand; ``asked_at``: when the lease was asked for, on the monotonic clock.
        """
        if not isinstance(event, Event):
            return await self._damaged(lease, event, lease.delivery.event_id)
        name, found = lease.delivery.destination, NOTHING_FOUND
        payload = known.payload if known else None
        if self._gateway.config.recalls(lease.delivery):
            recalled = await recalling.look(self._gateway, lease, event, payload)
            if isinstance(recalled, Outcome):
                return recalled, ""
            found, payload = recalled, payload if recalled.payload is None else recalled.payload
            if lease.delivery.route not in self._gateway.config.fetches:
                # Only now: one that waits takes no turn from the others.
                turn_s = self._holds.turn(lease.delivery)
                if turn_s is None:
                    return Outcome(lease, Release()), ""
                wait_s = turn_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        others: Sequence[Event] = ()
        if lease.delivery.digest == lease.delivery.id:
            gathered = await self._others(lease)
            if isinstance(gathered, Outcome):
                return gathered, CorruptEvent.reason if isinstance(gathered.result, Dead) else ""
            others = gathered
        used, trip = self._gateway.config, None
        if lease.delivery.route in used.fetches:
            looked = await self._looked_up(lease, event, payload, asked_at)
            if isinstance(looked, Outcome):
                return looked, ""
            trip, payload = looked, looked.payload
        if self._gateway.monotonic() > self._latest(lease, asked_at) or not self._holds.may_send(name):
            # It has waited too long, or this replica has lost the slot: another one may be about to send it, or has.
            await self._holds.learn(lease.delivery, gates.NOTHING)
            return Outcome(lease, Release()), ""
        looked_up = trip.found if trip else NOTHING
        tried = await pipeline.deliver(
            lease.delivery,
            event,
            self._gateway,
            payload,
            known=known,
            others=others,
            found=found,
            looked_up=looked_up,
        )
        if trip:
            self.lookups.wrote(trip, tried)
        if tried.learned.outcome == "denied" and await self._is_outdated(used):
            return await self._with_another_login(lease, tried), tried.word
        outcome = await self._judged(lease, event, tried)
        if tried.attempt.memory:
            outcome = replace(outcome, learnt=Learnt(remembered=tried.remembered, has_waited=found.has_waited))
        return outcome, tried.word

    def _latest(self, lease: Lease, asked_at: float) -> float:
        """Until when its request may begin, on the monotonic clock, so that the outcome is recorded within the lease."""
        destination = self._gateway.config.destinations.get(lease.delivery.destination)
        request_s = destination.request_s if destination else 0.0
        return asked_at + lease.expires - request_s - RECORDING_S

    async def _others(self, lease: Lease) -> Sequence[Event] | Outcome:
        """The other events of a digest, or the outcome if they cannot be had."""
        own, store = lease.delivery.event_id, self._gateway.store
        try:
            ids = [id_ for id_ in await store.gathered(lease.delivery.id) if id_ != own]
            loaded = await store.load(ids)
        except StoreUnavailable as error:
            telemetry.log("store.unavailable", reason=str(error))
            await self._holds.learn(lease.delivery, gates.NOTHING)
            return Outcome(lease, Release())
        found: list[Event] = []
        for id_ in ids:
            event = loaded.get(id_)
            if not isinstance(event, Event):
                return (await self._damaged(lease, event, id_))[0]
            found.append(event)
        return found

    async def _looked_up(self, lease: Lease, event: Event, payload: object, asked_at: float) -> Trip | Outcome:
        """What a delivery looks up, and where; or the outcome that has it tried again. Each look-up takes its turn."""
        used = self._gateway.config
        found = await self.lookups.make(lease.delivery, event, payload, self._latest(lease, asked_at))
        if self._gateway.config is not used:
            # What was looked up may have another name now.
            found = Retry("the configuration changed during the look-up")
        if isinstance(found, Retry | Release):
            # Should it be the probe of its destination, another one is due.
            await self._holds.learn(lease.delivery, gates.NOTHING)
            return Outcome(lease, found)
        return found

    async def _damaged(self, lease: Lease, event: CorruptEvent | None, event_id: str) -> tuple[Outcome, str]:
        reason = str(event or f"event {event_id} is not in the store")
        await self._holds.learn(lease.delivery, gates.NOTHING)
        await self.say_damaged(lease.delivery, reason)
        return Outcome(lease, Dead(reason)), CorruptEvent.reason

    async def _is_outdated(self, used: Config) -> bool:
        """Whether the configuration in force is another than the one used, or has just become it."""
        if self._gateway.config is used:
            await self.look_for_login()
        return self._gateway.config is not used

    async def _with_another_login(self, lease: Lease, tried: Tried) -> Outcome:
        """Try again at once and at no expense: what was refused is no longer in force."""
        await self._holds.learn(lease.delivery, gates.NOTHING)
        again = Retry(tried.attempt.reason, after_s=0.0, spent_s=0.0)
        return Outcome(lease, again, replace(tried.attempt, outcome="retry", next_s=0.0))

    async def _judged(self, lease: Lease, event: Event, tried: Tried) -> Outcome:
        """The outcome of an attempt, after its destination was judged by it."""
        delivery, result, attempt = lease.delivery, tried.result, tried.attempt
        was_sent = tried.learned.was_sent
        is_muted = self._holds.is_muted(delivery.destination)
        aloud = not is_muted and not is_notice(delivery, event)
        is_held = await self._holds.learn(delivery, tried.learned, reason=attempt.reason, aloud=aloud)
        if is_held and was_sent and isinstance(result, Retry):
            # It waits for a person, so nothing of its budget is spent.
            waits = Retry(attempt.reason, after_s=0.0, spent_s=0.0)
            return Outcome(lease, waits, replace(attempt, outcome="retry", next_s=None))
        if not was_sent:
            # Without an access token that is accepted it is not an attempt.
            return Outcome(lease, result)
        told = None
        if isinstance(result, Dead) and not is_muted:
            told = notices(delivery, event, self._gateway.config, result, attempt)
        return Outcome(lease, result, attempt, told)

    async def say_damaged(self, delivery: Delivery, reason: str) -> None:
        """Notify of an event that cannot be sent any more."""
        if delivery.notice is None:
            message = f"A stored event is damaged and was not sent to {delivery.destination}: {reason}"
            id_, name = delivery.event_id, delivery.destination
            fields = {"destination": name, "event_id": id_, "reason": reason}
            await self._announce(Announcement("event.damaged", message, fields, page=f"events/{id_}"))


async def _nowhere() -> None:
    """There is nowhere to look."""


def notices(delivery: Delivery, event: Event, config: Config, result: Dead, attempt: Attempt) -> Told | None:
    """The notices to make of a dead delivery; of a notice there are none."""
    if is_notice(delivery, event):
        return None
    notice = Notice(
        id=delivery.id,
        destination=delivery.destination,
        route=delivery.route,
        attempts=attempt.number,
        reason=result.reason,
        status=attempt.status,
    )
    with suppress(Unparsable):
        if routes := config.tell(notice, event, payload_of(event)):
            return Told(notice, routes)
    return None


def is_notice(delivery: Delivery, event: Event) -> bool:
    """Whether it is about a dead delivery, or about the gateway itself."""
    return delivery.notice is not None or event.source == OWN
