"""Look-ups of deliveries, made before they are sent: whose turn it is, what was found, and what may be used again.

A look-up in another destination takes a slot there, and its delivery has none of its own until it is back: a slow CRM
must not hold up what else goes to a chat. In its own destination it uses the slot that the delivery has. Either way it
takes a turn, so that rate, circuit and pauses hold for look-ups, too; what cannot have one soon is put back, and that
spends nothing of its retry budget.
"""

import traceback
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from gateway import poison, telemetry
from gateway.asking import Answered, ask
from gateway.destinations import gates, retry
from gateway.destinations.gates import Learned
from gateway.dispatcher.kept import KeptAnswers, key_of
from gateway.dispatcher.lines import Lines
from gateway.errors import AddressBlocked, BuildError, EgressError, NoToken, Poisonous, TooOld, Unparsable
from gateway.event import traces
from gateway.event.payload import payload_of
from gateway.holds import Holds
from gateway.machine.memory import Held
from gateway.model import Dead, Delivered, Delivery, Event, Lookup, OutboundRequest, Release, Reply, Retry
from gateway.pipeline import Tried
from gateway.process import Gateway
from gateway.routing import Config, Destination
from gateway.routing.entries import Fetch
from gateway.routing.lookups import LONGEST_ANSWER, PATIENCE_S, Failed, LookedUp, about, judged, value_of

#: The most deliveries that wait in memory for their turn in one destination.
MOST_WAITING: Final = 1_000
#: Seconds after which one that had no turn is tried again, at least and at most.
SOON_S: Final = 1.0
LATER_S: Final = 30.0
#: What a look-up is believed to take before there was one, and how much each one changes that.
_USUAL_S: Final = 0.1
_WEIGHT: Final = 0.2
#: A parsed answer takes this many times the memory of its body.
_PARSED: Final = 8


class Trip(Struct, kw_only=True):
    """One delivery while it looks things up."""

    config: Config
    delivery: Delivery
    event: Event
    payload: object
    #: On the monotonic clock: it does not wait beyond this moment, and begins no request after the other one.
    until: float
    latest: float
    values: dict[str, object] = field(default_factory=dict)
    made: list[Lookup] = field(default_factory=list)
    #: Destinations that it has asked, with what.
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    #: Why it is not sent now.
    failed: Failed | None = None

    @property
    def own(self) -> str:
        return self.delivery.destination

    @property
    def found(self) -> LookedUp:
        return LookedUp(values=self.values, lookups=tuple(self.made), failed=self.failed)


class _PutBack(Exception):
    """It cannot have its turn soon."""

    def __init__(self, result: Retry | Release) -> None:
        self.result = result


class Lookups:
    """Makes the look-ups of deliveries. One for each process."""

    #: What deliveries keep in memory; the dispatcher's.
    bodies: Held

    def __init__(
        self,
        gateway: Gateway,
        holds: Holds,
        give_back: Callable[[str], None],
        is_outdated: Callable[[Config], Awaitable[bool]],
    ) -> None:
        """``give_back`` frees a slot of a destination; ``is_outdated`` says whether another configuration is in force."""
        self._gateway = gateway
        self._holds = holds
        self._give_back = give_back
        self._is_outdated = is_outdated
        #: Deliveries that have no slot of their own now, by id.
        self.away: set[str] = set()
        self.lines = Lines(holds, give_back)
        #: Bytes that answers take in memory until their delivery is sent, by its id.
        self._sizes: dict[str, int] = {}
        self._answers = KeptAnswers(gateway.monotonic)
        #: Seconds that look-ups in a destination take.
        self._usual_s: dict[str, float] = {}

    async def make(self, delivery: Delivery, event: Event, payload: object, latest: float) -> Trip | Retry | Release:
        """What a delivery looks up; then it has a slot and a turn of its own, unless it is not sent now.

        Otherwise what becomes of it without an attempt. ``latest``: when it may still be sent, on the monotonic clock.
        """
        config = self._gateway.config
        until = self._gateway.monotonic() + PATIENCE_S
        trip = Trip(config=config, delivery=delivery, event=event, payload=payload, until=until, latest=latest)
        try:
            if not self._may_look(trip):
                # The attempt says why not.
                return trip
            trip.failed = await self._all(trip)
            if trip.failed is None:
                await self._come_back(trip)
        except _PutBack as put_back:
            return put_back.result
        except Exception as error:  # noqa: BLE001  whatever it is, the delivery gets a verdict
            hide = config.hiding(event, delivery.destination).text
            telemetry.log("internal.error", delivery_id=delivery.id, exception=hide(traceback.format_exc()))
            reason = f"a defect of the gateway: {type(error).__name__}; see the log, then replay"
            trip.failed = Failed(verdict=Dead(reason), word="defect", destination=delivery.destination)
        return trip

    def _may_look(self, trip: Trip) -> bool:
        """Whether an attempt would be made at all."""
        delivery, gateway = trip.delivery, self._gateway
        destination = trip.config.destinations.get(trip.own)
        if destination is None:
            return False
        failures = delivery.attempts - delivery.attempts_before_replay
        try:
            poison.check_crashes(delivery)
            age_s = gateway.clock() - trip.event.received_at
            retry.check_age(destination.retry, failures=failures, age_s=age_s)
            if trip.payload is None:
                with gateway.crash_slot.working_on(delivery.id):
                    trip.payload = payload_of(trip.event)
        except (Poisonous, TooOld, Unparsable):
            return False
        return True

    async def _all(self, trip: Trip) -> Failed | None:
        """Make the look-ups in order; why the first that failed did."""
        for fetch in trip.config.fetches.get(trip.delivery.route, ()):
            if (failed := await self._one(trip, fetch)) is not None:
                return failed
        return None

    async def _one(self, trip: Trip, fetch: Fetch) -> Failed | None:
        gateway, delivery = self._gateway, trip.delivery
        try:
            with gateway.crash_slot.working_on(delivery.id):
                request = trip.config.lookup(fetch, delivery, trip.event, trip.payload, trip.values)
                key = key_of(fetch.destination, request)
        except BuildError as error:
            verdict = Dead(f"fetch {fetch.name}: {error}")
            return Failed(verdict=verdict, word=error.reason, destination=fetch.destination)
        destination = trip.config.destinations[fetch.destination]
        trip.asked.append((fetch.destination, key))
        if fetch.cache_s and (kept := self._answers.get(key, destination.identity)) is not None:
            self._found(trip, fetch, destination, kept, cached=True)
            return None
        await self._turn(trip, fetch.destination)
        request = traces.traced(request, trip.event)
        began = gateway.monotonic()
        try:
            asked = await self._asked(trip, fetch, destination, request)
        finally:
            took_s = gateway.monotonic() - began
            trip.until += took_s
            if fetch.destination != trip.own:
                self._give_back(fetch.destination)
            before = self._usual_s.get(fetch.destination, _USUAL_S)
            self._usual_s[fetch.destination] = before + _WEIGHT * (took_s - before)
        if isinstance(asked, Failed):
            trip.made.append(_lookup(fetch, asked.reply, took_s))
            self._trace(trip, request, asked.verdict.reason)
            return asked
        if fetch.cache_s:
            identity = destination.identity
            self._answers.keep(fetch.destination, key, asked.reply, identity, for_s=fetch.cache_s, asked_at=began)
        self._found(trip, fetch, destination, asked.reply, took_s=took_s)
        self._trace(trip, request)
        return None

    def _trace(self, trip: Trip, request: OutboundRequest, reason: str = "") -> None:
        """Tell of the look-up just made; ``reason``: why it failed."""
        if self._gateway.spans is not None:
            made = trip.made[-1]
            hidden = trip.config.hiding(trip.event, made.destination).text(reason)
            self._gateway.spans.looked_up(trip.delivery, trip.event, made, request, hidden or None)

    def _found(
        self,
        trip: Trip,
        fetch: Fetch,
        destination: Destination,
        reply: Reply,
        *,
        took_s: float = 0.0,
        cached: bool = False,
    ) -> None:
        size = _PARSED * len(reply.body)
        self._sizes[trip.delivery.id] = self._sizes.get(trip.delivery.id, 0) + size
        self.bodies.hold(trip.own, size)
        with self._gateway.crash_slot.working_on(trip.delivery.id):
            value = trip.values[fetch.name] = value_of(destination, reply)
        made = _lookup(fetch, reply, took_s)
        trip.made.append(replace(made, found=value is not None, cached=cached))

    async def _asked(
        self, trip: Trip, fetch: Fetch, destination: Destination, request: OutboundRequest
    ) -> Answered | Failed:
        """Ask, and let the destination be judged by the answer."""
        name, delivery = fetch.destination, replace(trip.delivery, destination=fetch.destination)
        hiding = trip.config.hiding(trip.event, name)
        failed, learned = None, gates.NOTHING
        try:
            asked = await ask(
                self._gateway,
                destination,
                destination.signed(request, delivery.id, self._gateway.clock()),
                delivery_id=delivery.id,
                hiding=hiding,
                is_own_address=fetch.message.is_own_address,
                judge=judged,
                most=LONGEST_ANSWER + 1,
            )
        except NoToken as error:
            reason = hiding.text(f"fetch {fetch.name}: {name}: {error}")
            shown = Learned(outcome=error.shows, was_sent=False)
            await self._holds.learn(delivery, shown, reason=reason, aloud=not self._holds.is_muted(name))
            raise _PutBack(Retry(reason, after_s=error.after_s)) from None
        except AddressBlocked as error:
            failed = Failed(verdict=Dead(f"fetch {fetch.name}: {name}: {error}"), word=error.reason, destination=name)
        except EgressError as error:
            failed = Failed(verdict=Retry(f"fetch {fetch.name}: {name}: {error}"), word=error.reason, destination=name)
            learned = Learned(outcome="failed")
        except Exception:
            # A defect of ours says nothing about the destination.
            await self._holds.learn(delivery, gates.NOTHING)
            raise
        else:
            learned = asked.learned
            verdict = about(fetch.name, name, asked.verdict)
            if isinstance(verdict, Delivered):
                await self._holds.learn(delivery, learned)
                return asked
            failed = Failed(verdict=verdict, word=asked.word, destination=name, reply=asked.reply)
        reason = hiding.text(failed.verdict.reason)
        if learned.outcome == "denied" and await self._is_outdated(trip.config):
            # What was refused is no longer in force.
            await self._holds.learn(delivery, gates.NOTHING)
            raise _PutBack(Retry(reason))
        if await self._holds.learn(delivery, learned, reason=reason, aloud=not self._holds.is_muted(name)):
            # It waits for a person, so nothing of its budget is spent.
            raise _PutBack(Retry(reason, after_s=LATER_S))
        return failed

    # turns

    async def _turn(self, trip: Trip, name: str) -> None:
        """Wait for a slot and a turn in the destination where it looks."""
        if name == trip.own:
            await self._own_slot(trip)
            await self._start(trip, name)
            return
        if not self._holds.slots(name):
            raise self._put_back(name, "another replica sends to it", SOON_S)
        if why := self._held(name, trip):
            raise self._put_back(name, *why)
        if name in self.lines or not self._holds.free(name):
            expected_s = self._expected_s(trip.config.destinations[name])
            if self.lines.count(name) >= MOST_WAITING or 2 * expected_s > PATIENCE_S:
                raise self._put_back(name, "others are ahead of it", expected_s)
        if self._sizes and not self.bodies.fitting(trip.own, len(trip.config.destinations)):
            raise self._put_back(name, "others have to be sent first, to free memory", SOON_S)
        self._go_away(trip)
        if not await self.lines.slot(name, self._left_s(trip)):
            raise self._put_back(name, "it had no free slot in time", SOON_S)
        try:
            await self._start(trip, name)
        except BaseException:
            self._give_back(name)
            raise

    async def _start(self, trip: Trip, name: str) -> None:
        """Take the next turn of a destination in which it has a slot; a request is to follow at once."""
        delivery = replace(trip.delivery, destination=name)
        while True:
            if self.lines.is_over:
                raise _PutBack(Release())
            if (wait_s := self._holds.turn(delivery)) is not None:
                break
            if why := self._held(name, trip):
                raise self._put_back("" if name == trip.own else name, *why)
            await self.lines.pause(max(0.0, self._holds.permit(name).again_at - self._gateway.monotonic()))
        await self.lines.pause(wait_s)
        if self.lines.is_over or self._gateway.monotonic() > trip.latest or not self._holds.may_send(name):
            # Its slot or its lease may be another replica's by now. What was its turn is the next one's.
            await self._holds.learn(delivery, gates.NOTHING)
            raise _PutBack(Release())

    def _held(self, name: str, trip: Trip) -> tuple[str, float] | None:
        """Why it is not worth waiting for a turn there, and for how many seconds there is none; None: it is."""
        permit = self._holds.permit(name)
        if permit.count:
            return None
        wait_s = permit.again_at - self._gateway.monotonic()
        is_short = wait_s <= self._left_s(trip) and self._holds.standing(name).circuit == "closed"
        return None if is_short else (permit.why, wait_s)

    def _expected_s(self, destination: Destination) -> float:
        """How long one more would wait in line."""
        name = destination.name
        each_s = self._usual_s.get(name, _USUAL_S) / max(1, self._holds.slots(name))
        return (self.lines.count(name) + 1) * max(each_s, destination.gate.interval_s)

    def _left_s(self, trip: Trip) -> float:
        return trip.until - self._gateway.monotonic()

    def _put_back(self, name: str, why: str, after_s: float) -> _PutBack:
        """``name``: where it cannot look; empty: in its own destination it cannot even be sent."""
        if self.lines.is_over:
            return _PutBack(Release())
        after_s = min(max(after_s, SOON_S), LATER_S) * (1.0 + self._gateway.noise() / 2)
        what = f"to look in {name}" if name else "for its turn"
        return _PutBack(Retry(f"waits {what}: {why}", after_s=after_s))

    # its own slot

    def _go_away(self, trip: Trip) -> None:
        if trip.delivery.id not in self.away:
            self.away.add(trip.delivery.id)
            self._give_back(trip.own)

    async def _own_slot(self, trip: Trip) -> None:
        if trip.delivery.id not in self.away:
            return
        if not await self.lines.slot(trip.own, self._left_s(trip)):
            raise self._put_back("", "it had no free slot in time", SOON_S)
        self.away.discard(trip.delivery.id)

    async def _come_back(self, trip: Trip) -> None:
        """Take a slot and a turn for the delivery itself."""
        await self._own_slot(trip)
        await self._start(trip, trip.own)

    def over(self, delivery: Delivery) -> bool:
        """The attempt at a delivery is over; whether it has a slot to give back."""
        if not self._sizes and not self.away:
            return True
        self.bodies.release(delivery.destination, self._sizes.pop(delivery.id, 0))
        has_slot = delivery.id not in self.away
        self.away.discard(delivery.id)
        return has_slot

    def wrote(self, trip: Trip, tried: Tried) -> None:
        """Forget what a delivery has found, if it has changed something at the same host."""
        if not tried.attempt.sent_sha256:
            return
        destinations = trip.config.destinations
        own, message = destinations[trip.own], trip.config.message(trip.delivery)
        if tried.attempt.choice:
            message = message.choices[tried.attempt.choice - 1].message
        if (message.method or own.target.method or "POST") in ("GET", "HEAD"):
            return
        for name, key in trip.asked:
            if _host(destinations[name]) == _host(own):
                self._answers.wrote(name, key)


def _host(destination: Destination) -> str:
    return urlsplit(destination.target.url).netloc


def _lookup(fetch: Fetch, reply: Reply | None, took_s: float) -> Lookup:
    return Lookup(
        name=fetch.name,
        destination=fetch.destination,
        method=fetch.message.method or "GET",
        status=reply.status if reply else None,
        duration_s=took_s,
        size=len(reply.body) if reply else 0,
    )
