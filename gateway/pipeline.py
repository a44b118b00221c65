"""The life of an event, top to bottom: received, delivered, replayed; and the loop that keeps deliveries going.

Every promise about losing nothing rests on two lines here: the answer to the sender comes after
``store.append`` has returned, and a slot is free again only after ``store.settle`` has.
"""

import asyncio
import hashlib
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from gateway import facts, gates, retry, signatures, telemetry
from gateway.config import Config, Destination, Entry, Received, Source
from gateway.egress import Egress
from gateway.errors import (
    AddressBlocked,
    BuildError,
    CorruptEvent,
    EgressError,
    Poisonous,
    RenderError,
    SignatureRefused,
    StoreUnavailable,
    TooOld,
    UnknownSource,
    Unparsable,
    printable,
)
from gateway.gates import Gate, Learned, Rules
from gateway.handshakes import Answer
from gateway.model import (
    Appended,
    Attempt,
    Dead,
    Delivered,
    Delivery,
    Event,
    FileAppend,
    Firing,
    HttpRequest,
    Lease,
    NewDelivery,
    NewEvent,
    Notice,
    OutboundRequest,
    Outcome,
    Pause,
    Release,
    Reply,
    Retention,
    Retry,
    Told,
    Verdict,
    Want,
    new_id,
)
from gateway.presets import OWN
from gateway.signatures import Request
from gateway.store import Store

#: A lease outlives the attempt it is for by this much; so it is never renewed.
LEASE_MARGIN_S: Final = 20.0
#: Nothing that waits in the store starts while a commit is older than this: a loop that never idles starves the store's writer.
WRITER_PATIENCE_S: Final = 0.005
#: How much of an answer is kept with its attempt, characters.
KEPT_ANSWER: Final = 1024
#: A delivery that the process died over this often is dead.
MAX_CRASHES: Final = 3
#: Slots and lease for what waits for a destination that is no longer in routes.yaml: it only ends it.
GONE: Final = Want(slots=32, lease_s=LEASE_MARGIN_S)
UPKEEP_INTERVAL_S: Final = 60.0
#: How long a store that refuses is left alone before it is asked again.
STORE_PAUSE_S: Final = 1.0
_JSON: Final = [(b"content-type", b"application/json")]


@dataclass(slots=True, kw_only=True)
class Gateway:
    """All that an event needs on its way; the only dependency injection there is."""

    #: Replaced whole on a reload, never changed.
    config: Config
    store: Store
    egress: Egress
    #: Where the console listens, for links; empty until it does.
    console: str = ""
    #: Wall clock, seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Seconds that no one sets back.
    monotonic: Callable[[], float] = time.monotonic
    #: In [0, 1): the jitter of retries.
    noise: Callable[[], float] = random.random


# --- an event comes in ---


async def receive(
    gateway: Gateway, dispatcher: "Dispatcher", config: Config, source: Source, request: Request
) -> Sequence[Appended] | Answer:
    """Verify, parse, match and keep the events of one request, all or none; durable on return.

    A sender's handshake is answered instead, and nothing is kept. Header names are in lower case. Raises
    RequestRefused, or StoreUnavailable when it could not be kept.
    """
    now = gateway.clock()
    _authenticate(source, request, now)
    received = source.received(request.headers, request.body, now=now)
    if source.handshakes and (answer := _handshake(source, request, {"payload": received[0].payload}, now)):
        return answer
    new = [_planned(each, dispatcher, config, source) for each in received]
    appended = await gateway.store.append(new, partial(dispatcher.appended, new))
    for one, known in zip(new, appended, strict=True):
        telemetry.log(
            "event.received",
            event_id=known.event_id,
            source=one.event.source,
            type=one.event.type,
            duplicate=known.duplicate,
            deliveries=0 if known.duplicate else sum(each.route not in known.held_back for each in one.deliveries),
        )
    return appended


def _planned(received: Received, dispatcher: "Dispatcher", config: Config, source: Source) -> NewEvent:
    event, known = received.event, source.naming.facts(received.event, received.payload)
    entries = config.sections_of(source.name).taking(known)
    deliveries = [
        NewDelivery(
            id=new_id("dlv", event.received_at),
            route=route,
            destination=destination,
            lease_s=dispatcher.reserve(config.destinations[destination]),
            lane=config.destinations[destination].lane(known),
        )
        for entry in entries
        for route, destination in entry.deliveries
    ]
    firings = [firing for entry in entries if entry.once and (firing := _firing(entry, known, event))]
    return NewEvent(event=event, key=received.key, window_s=source.dedupe_s, deliveries=deliveries, firings=firings)


def _firing(entry: Entry, known: facts.Facts, event: Event) -> Firing | None:
    assert entry.once is not None
    try:
        return entry.once.firing(entry, known)
    except RenderError as error:
        # Rather twice than never.
        telemetry.log("delivery.unkeyed", event_id=event.id, route=entry.name, reason=str(error))
        return None


def answer_get(gateway: Gateway, source: Source, request: Request) -> Answer:
    """The answer to a GET handshake. Raises SignatureRefused for any other GET."""
    query = facts.query_fields(request.query)
    answer = _handshake(source, request, {"query": query}, gateway.clock())
    if answer is None:
        raise SignatureRefused("this GET is none of the sender's handshakes")
    return answer


def _handshake(source: Source, request: Request, asked: Mapping[str, object], now: float) -> Answer | None:
    for handshake, verifier in source.handshakes:
        if handshake.method != request.method or not handshake.asks(asked):
            continue
        if not handshake.shows_token(asked, source.handshake_tokens or source.secrets):
            raise SignatureRefused("a handshake with a wrong token")
        verdict = verifier.verify(request, now) if verifier else None
        if isinstance(verdict, signatures.Refused):
            raise SignatureRefused(f"a handshake: {verdict.reason}")
        telemetry.log("source.handshake", source=source.name)
        return handshake.reply(asked, source.secrets)
    return None


def source_at(config: Config, path: str) -> tuple[Source, bytes]:
    """The source that listens at ``path``, and the secret behind its own path; UnknownSource if there is none."""
    source = config.doors.get(path)
    if source is not None and not source.verifier.takes_path_secret:
        return source, b""
    base, _, secret = path.rpartition("/")
    source = config.doors.get(base)
    if source is None or not source.verifier.takes_path_secret or not secret:
        raise UnknownSource(f"no source listens at {facts.masked_path(path)}")
    return source, unquote_to_bytes(secret)


def _authenticate(source: Source, request: Request, now: float) -> None:
    verdict = source.verifier.verify(request, now)
    if isinstance(verdict, signatures.Refused):
        if source.verifier.takes_path_secret:
            # As if nothing were there: a path with a secret is not confirmed to who does not know it.
            raise UnknownSource(f"{source.path}/***: {verdict.reason}")
        raise SignatureRefused(verdict.reason)


# --- a delivery goes out ---


async def deliver(
    delivery: Delivery,
    event: Event,
    gateway: Gateway,
    working_on: Callable[[str], AbstractContextManager[None]],
) -> tuple[Delivered | Retry | Dead, Attempt, Learned]:
    """Make one attempt with the configuration of this moment, and say what it told about its destination.

    Never touches the store; never raises.
    """
    config, started, began = gateway.config, gateway.clock(), time.monotonic()
    destination = config.destinations.get(delivery.destination)
    policy = destination.retry if destination else retry.ONCE
    failures, age_s = delivery.attempts - delivery.attempts_before_replay, started - event.received_at
    request: OutboundRequest | None = None
    reply: Reply | None = None
    learned = gates.NOTHING
    try:
        _check_crashes(delivery)
        retry.check_age(policy, failures=failures, age_s=age_s)
        with working_on(delivery.id):
            request = config.build(delivery, event, facts.payload_of(event), gateway.console)
        assert destination is not None
        reply = await gateway.egress.send(request, timeout_s=destination.timeout_s, door=destination.door)
        with working_on(delivery.id):
            verdict = destination.kind.judge(destination.target, reply, gateway.clock())
        verdict = retry.overridden(policy, verdict, reply.status)
        learned = _learned(reply, verdict)
    except (BuildError, AddressBlocked, TooOld, Poisonous) as error:
        verdict = Dead(str(error))
    except EgressError as error:
        verdict, learned = Retry(str(error)), Learned(outcome="failed")
    except Exception as error:  # noqa: BLE001
        # Ours to mend, not the event's fault: it is seen, it is replayable, and the others go on.
        telemetry.log("internal.error", delivery_id=delivery.id, exc_info=True)
        verdict = Dead(f"a defect of the gateway: {type(error).__name__}; see the log, then replay")
    result = verdict
    if isinstance(verdict, Retry):
        noise = gateway.noise()
        result = retry.decide(
            policy, verdict, failures=failures + 1, spent_s=delivery.spent_s, noise=noise, age_s=age_s
        )
    sent = _sent(request)
    attempt = Attempt(
        number=delivery.attempts + 1,
        started_at=started,
        duration_s=time.monotonic() - began,
        outcome=_OUTCOMES[type(result)],
        status=reply.status if reply else None,
        reason="" if isinstance(result, Delivered) else result.reason,
        answer=reply.body[:KEPT_ANSWER].decode("utf-8", "replace") if reply else "",
        config_revision=config.revision,
        sent_bytes=len(sent),
        sent_sha256=hashlib.sha256(sent).digest() if request else b"",
        next_s=result.after_s if isinstance(result, Retry) else None,
    )
    return result, attempt, learned


def _check_crashes(delivery: Delivery) -> None:
    if delivery.crashes >= MAX_CRASHES:
        raise Poisonous(f"the gateway's process died {delivery.crashes} times while it worked on this delivery")


def _told(delivery: Delivery, event: Event, config: Config, result: Dead, attempt: Attempt) -> Told | None:
    """Who is told of a dead delivery; of one that tells something itself nobody is."""
    if _tells(delivery, event):
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
        if routes := config.tell(notice, event, facts.payload_of(event)):
            return Told(notice, routes)
    return None


def _tells(delivery: Delivery, event: Event | CorruptEvent | None) -> bool:
    """Whether it is about a dead delivery, or about the gateway itself."""
    return delivery.notice is not None or (isinstance(event, Event) and event.source == OWN)


def _learned(reply: Reply, verdict: Verdict) -> Learned:
    """Any answer but trouble of its own speaks for the destination; a 429 asks all of us to wait."""
    if reply.status >= 500:
        return Learned(outcome="failed")
    if not isinstance(verdict, Retry):
        return Learned(outcome="answered")
    if reply.status in retry.ABOUT_THE_DESTINATION:
        return Learned(outcome="gone" if reply.status == 410 else "denied")
    is_limit = reply.status == 429 or reply.status < 300
    return Learned(outcome="answered", wait_s=verdict.after_s if is_limit else 0.0)


_OUTCOMES: Final[Mapping[type, Literal["delivered", "retry", "dead"]]] = {
    Delivered: "delivered",
    Retry: "retry",
    Dead: "dead",
}


def _sent(request: OutboundRequest | None) -> bytes:
    match request:
        case HttpRequest(body=body):
            return body
        case FileAppend(line=line):
            return line
        case None:
            return b""


# --- a person wants it again ---


async def replay(gateway: Gateway, ids: Sequence[str], *, by: str) -> Sequence[Delivery]:
    """Make dead or delivered deliveries pending again; each is rendered by today's file. KeyError: an unknown id."""
    moved = await gateway.store.replay(ids, by=by)
    for delivery in moved:
        telemetry.log("delivery.replayed", delivery_id=delivery.id, destination=delivery.destination, by=by)
    return moved


# --- the loop that keeps deliveries going ---


class Dispatcher:
    """Gives every destination its slots: to new deliveries straight from memory, else to those that wait longest."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = gateway.store
        #: Slots taken, by destination.
        self._taken: Counter[str] = Counter()
        #: Destinations that had something due and no slot for it.
        self._full: set[str] = set()
        self._opened_at = gateway.monotonic()
        self._gates: dict[str, Gate] = {}
        #: By destination, beside those that the file pauses.
        self._paused: dict[str, Pause] = {}
        #: Destinations whose gate is closed, each with what opens it by itself: they cost nothing until then.
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        #: Cleared while the store refuses outcomes: what is claimed then would be sent without a record, again and again.
        self._recording = asyncio.Event()
        self._recording.set()
        #: What is being told to the store, kept from the garbage collector.
        self._announcing: set[asyncio.Task[None]] = set()
        #: Attempts in flight, with the delivery of each.
        self._attempts: dict[asyncio.Task[None], Delivery] = {}

    # new deliveries, straight from memory

    def reserve(self, destination: Destination) -> float | None:
        """Take a slot before the append and ask for a lease of so many seconds; None: it has to wait its turn."""
        name = destination.name
        full = self._taken[name] >= destination.concurrency or not gates.is_free(self._gate(name), destination.gate)
        if full or self._stop.is_set() or not self.recording or self._store.is_due(name):
            return None
        self._taken[name] += 1
        return destination.timeout_s + LEASE_MARGIN_S

    def appended(self, new: Sequence[NewEvent], appended: Sequence[Appended] | None) -> None:
        """The append is over, whoever waits for it: start what was leased, give the other slots back."""
        for at, one in enumerate(new):
            leases = appended[at].leases if appended else ()
            leased = {lease.delivery.id for lease in leases}
            for lease in leases:
                self._start(lease, one.event)
            for delivery in one.deliveries:
                if delivery.lease_s is not None and delivery.id not in leased:
                    self._give_back(delivery.destination)

    def reconfigured(self) -> None:
        """Another configuration is in force: a destination that was full may have more slots now."""
        self._full.clear()
        for name in list(self._held):
            self._opens(name)
        self._wake.set()

    # deliveries that wait in the store

    async def run(self) -> None:
        """Claim what is due for whoever has a slot, and keep the store tidy, until ``stop``."""
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(_for_ever(step)) for step in (self._round, self._listen, self._upkeep)]
            await self._stop.wait()
            for loop in loops:
                loop.cancel()

    async def _round(self) -> None:
        await self._recording.wait()
        await self._writer_keeps_up()
        self._wake.clear()
        wants = self._wants()
        if not wants:
            await self._wake.wait()
            return
        # The slots are taken before the claim: an append may finish meanwhile.
        for name, want in wants.items():
            self._taken[name] += want.slots
        used: Counter[str] = Counter()
        try:
            leases = await self._store.claim(wants)
            events = await self._load(leases)
            used.update(lease.delivery.destination for lease in leases)
        finally:
            for name, want in wants.items():
                self._give_back(name, want.slots - used[name])
        for lease in leases:
            self._start(lease, events.get(lease.delivery.event_id))
            await self._writer_keeps_up()

    async def _load(self, leases: Sequence[Lease]) -> Mapping[str, Event | CorruptEvent]:
        try:
            return await self._store.load({lease.delivery.event_id for lease in leases})
        except StoreUnavailable:
            await self._settle([Outcome(lease, Release()) for lease in leases])
            raise

    def _wants(self) -> Mapping[str, Want]:
        wants = {}
        for name in self._store.maybe_due():
            if name in self._held:
                continue
            want = self._want(name)
            if want.slots > 0:
                wants[name] = want
            else:
                self._full.add(name)
        return wants

    def _want(self, name: str) -> Want:
        destination = self._gateway.config.destinations.get(name)
        if destination is None:
            return replace(GONE, slots=GONE.slots - self._taken[name])
        now = self._gateway.monotonic()
        permit = gates.permit(self._gate(name), destination.gate, now)
        if permit.count == 0:
            self._hold(name, permit.again_at - now)
        slots = min(permit.count, destination.concurrency - self._taken[name])
        return Want(slots=slots, lease_s=destination.timeout_s + LEASE_MARGIN_S)

    # when a destination may be sent to

    def _gate(self, name: str) -> Gate:
        return self._gates.get(name) or gates.opened(self._rules(name), self._opened_at)

    def _rules(self, name: str) -> Rules:
        destination = self._gateway.config.destinations.get(name)
        rules = destination.gate if destination else Rules()
        pause = self._paused.get(name) if self._paused else None
        if pause is None or rules.paused:
            return rules
        left_s = math.inf if pause.until is None else pause.until - self._gateway.clock()
        return replace(rules, paused=_paused(pause), paused_for_s=left_s) if left_s > 0 else rules

    def _turn(self, name: str) -> float:
        """Take the next turn of a destination; how long to wait for it, seconds."""
        now = self._gateway.monotonic()
        rules, gate = self._rules(name), self._gate(name)
        if gates.is_free(gate, rules):
            return 0.0
        self._gates[name], at = gates.started(gate, rules, now)
        return at - now

    def _learn(self, name: str, what: Learned, *, reason: str = "", aloud: bool = True) -> str:
        """Remember what an attempt taught; why the destination is to be paused, if it is. ``aloud``: as an event, too."""
        before = self._gate(name)
        quiet = what.outcome == "answered" and not what.wait_s
        if quiet and not before.failures and not before.denials and not before.is_open:
            return ""
        after = self._gates[name] = gates.learned(before, what, self._gateway.monotonic())
        if after.is_open and not before.is_open:
            self._say_opened(name, after, reason, aloud=aloud)
        elif before.is_open and not after.is_open:
            self._say_closed(name, before, aloud=aloud)
        if before.is_open or after.is_open or what.wait_s:
            self._opens(name)
        return gates.must_pause(after, what)

    def _say_opened(self, name: str, gate: Gate, reason: str, *, aloud: bool) -> None:
        failures, next_s = gate.failures, gate.probe_interval_s
        telemetry.log("circuit.opened", destination=name, failures=failures, next_s=next_s)
        if aloud:
            message = (
                f"{name} does not answer: {failures} failures in a row, the last one: {reason}. What waits for it is "
                f"held, and one delivery tries again in {retry.duration(next_s)}."
            )
            fields = {"destination": name, "failures": failures, "reason": reason, "next_s": next_s}
            self._announce_soon("circuit.opened", message, fields)

    def _say_closed(self, name: str, gate: Gate, *, aloud: bool) -> None:
        telemetry.log("circuit.closed", destination=name, failures=gate.failures)
        if aloud:
            message = (
                f"{name} answers again, after {gate.failures} failures in a row. What has waited for it goes out now."
            )
            self._announce_soon("circuit.closed", message, {"destination": name, "failures": gate.failures})

    def _announce_soon(self, happened: str, message: str, fields: Mapping[str, object]) -> None:
        task = asyncio.create_task(self.announce(happened, message, fields))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def announce(
        self, happened: str, message: str, fields: Mapping[str, object], *, page: str = "destinations"
    ) -> None:
        """Make an event of the source ``gateway`` of what happened to it, routed like any other. Never raises."""
        gateway = self._gateway
        config = gateway.config
        link = f"{config.console_url or gateway.console}/{page}"
        told = {"type": f"{OWN}.{happened}", "message": message, **fields, "link": link}
        body = {name: printable(value) if isinstance(value, str) else value for name, value in told.items()}
        [received] = config.own.received(_JSON, msgspec.json.encode(body), now=gateway.clock())
        # Two that say the same are two.
        received = replace(received, key=received.event.id.encode())
        new = [_planned(received, self, config, config.own)]
        try:
            await gateway.store.append(new, partial(self.appended, new))
        except StoreUnavailable as error:
            # Whoever reads the log has it already.
            telemetry.log("store.unavailable", reason=str(error))

    async def recall(self) -> None:
        """Take up the pauses that the store remembers; before anything is received."""
        self._paused = {pause.destination: pause for pause in await self._store.pauses()}

    async def pause(self, name: str, *, by: str, reason: str, for_s: float | None = None, aloud: bool = True) -> Pause:
        """Hold the deliveries of a destination, also after a restart; attempts in flight end. StoreUnavailable.

        ``aloud``: as an event of the gateway, too.
        """
        now = self._gateway.clock()
        until = None if for_s is None else now + for_s
        pause = Pause(destination=name, by=by, reason=reason, since=now, until=until)
        self._paused[name] = pause
        telemetry.log("destination.paused", destination=name, by=by, reason=reason, for_s=for_s)
        await self._store.pause(pause)
        if aloud:
            message = f"{name} is {_paused(pause)}. Nothing is lost; it goes on once it is resumed."
            iso = None if until is None else facts.iso_time(until)
            fields = {"destination": name, "by": by, "reason": reason, "until": iso}
            await self.announce("destination.paused", message, fields)
        return pause

    async def resume(self, name: str, *, by: str) -> bool:
        """Let a paused destination go on; whether it was paused, other than in the file."""
        was_paused = await self._store.resume(name) or name in self._paused
        self._paused.pop(name, None)
        gate = self._gates.get(name)
        if gate is not None:
            self._gates[name] = replace(gate, denials=0)
        self._opens(name)
        if was_paused:
            telemetry.log("destination.resumed", destination=name, by=by)
            message = f"{name} is resumed by {by}. What has waited for it goes out now."
            await self.announce("destination.resumed", message, {"destination": name, "by": by})
        return was_paused

    def paused(self, name: str) -> Pause | None:
        """The pause of a destination that somebody has set."""
        return self._paused.get(name)

    def health(self, name: str) -> str:
        """What holds a destination now, in words; empty: nothing does."""
        return gates.permit(self._gate(name), self._rules(name), self._gateway.monotonic()).why

    def _hold(self, name: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._held[name] = loop.call_later(seconds, self._opens, name) if seconds < math.inf else None

    def _opens(self, name: str) -> None:
        """Something about a gate has changed: ask it again."""
        timer = self._held.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._full.discard(name)
        self._wake.set()

    async def _writer_keeps_up(self) -> None:
        while self._store.oldest_uncommitted_s > WRITER_PATIENCE_S:
            await asyncio.sleep(0.001)  # the writer thread needs the interpreter now, not an event later

    async def _listen(self) -> None:
        await self._store.wait(UPKEEP_INTERVAL_S)
        self._wake.set()

    # one attempt

    def _start(self, lease: Lease, event: Event | CorruptEvent | None) -> None:
        if self._stop.is_set():
            self._give_back(lease.delivery.destination)
            return
        wait_s = self._turn(lease.delivery.destination)
        task = asyncio.create_task(self._attempt(lease, event, wait_s))
        self._attempts[task] = lease.delivery
        task.add_done_callback(self._attempts.pop)

    async def _attempt(self, lease: Lease, event: Event | CorruptEvent | None, wait_s: float) -> None:
        delivery = lease.delivery
        try:
            if isinstance(event, Event):
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                tried = await deliver(delivery, event, self._gateway, self._store.working_on)
                outcome = await self._tried(lease, event, *tried)
            else:
                self._learn(delivery.destination, gates.NOTHING)
                reason = str(event or f"event {delivery.event_id} is not in the store")
                outcome = Outcome(lease, Dead(reason))
                await self._say_damaged(delivery, reason)
            await self._settle([outcome])
            _log_outcome(delivery, event, outcome)
        except Exception:  # noqa: BLE001  its lease ends, and then it is tried again
            telemetry.log("internal.error", delivery_id=delivery.id, exc_info=True)
        finally:
            self._give_back(delivery.destination)

    async def _tried(
        self, lease: Lease, event: Event, result: Delivered | Retry | Dead, attempt: Attempt, learned: Learned
    ) -> Outcome:
        delivery, aloud = lease.delivery, not _tells(lease.delivery, event)
        if reason := self._learn(delivery.destination, learned, reason=attempt.reason, aloud=aloud):
            await self._pause_for(delivery.destination, reason, aloud=aloud)
            # It waits for a person, so nothing of its budget is spent.
            waits = Retry(attempt.reason, after_s=0.0, spent_s=0.0)
            return Outcome(lease, waits, replace(attempt, outcome="retry", next_s=None))
        told = _told(delivery, event, self._gateway.config, result, attempt) if isinstance(result, Dead) else None
        return Outcome(lease, result, attempt, told)

    async def _say_damaged(self, delivery: Delivery, reason: str) -> None:
        if delivery.notice is None:
            message = f"A stored event is damaged and was not sent to {delivery.destination}: {reason}"
            id_, name = delivery.event_id, delivery.destination
            fields = {"destination": name, "event_id": id_, "reason": reason}
            await self.announce("event.damaged", message, fields, page=f"events/{id_}")

    async def _pause_for(self, name: str, reason: str, *, aloud: bool) -> None:
        if name in self._paused:
            return  # the answers of those that were on their way with the first
        try:
            await self.pause(name, by="the gateway", reason=reason, aloud=aloud)
        except StoreUnavailable as error:
            # It holds until this process ends; the next one finds out anew.
            telemetry.log("store.unavailable", reason=str(error))

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        try:
            held = await self._settled(outcomes)
        finally:
            self._recording.set()
        for outcome in outcomes:
            if outcome.lease.delivery.id not in held:
                telemetry.log("delivery.lease_lost", delivery_id=outcome.lease.delivery.id)

    async def _settled(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        while True:
            try:
                return await self._store.settle(outcomes)
            except StoreUnavailable as error:
                if self._recording.is_set():
                    telemetry.log("store.unavailable", reason=str(error))
                self._recording.clear()
                await asyncio.sleep(STORE_PAUSE_S)

    def _give_back(self, name: str, slots: int = 1) -> None:
        self._taken[name] -= slots
        if not self._taken[name]:
            del self._taken[name]
        if slots and name in self._full:
            self._full.discard(name)
            self._wake.set()

    # upkeep and the end

    async def _upkeep(self) -> None:
        while removed := await self._store.prune(Retention()):
            telemetry.log("store.pruned", removed=removed)
        for name, pause in list(self._paused.items()):
            if pause.until is not None and pause.until <= self._gateway.clock():
                await self.resume(name, by="the clock")
        await asyncio.sleep(UPKEEP_INTERVAL_S)

    def stop(self) -> None:
        """Start no delivery from now on."""
        self._stop.set()

    @property
    def recording(self) -> bool:
        """Whether outcomes can be recorded; while they cannot, nothing is sent."""
        return self._recording.is_set()

    async def idle(self) -> None:
        """Return when no attempt is in flight any more."""
        while self._attempts or self._announcing:
            await asyncio.wait({*self._attempts, *self._announcing})

    async def abandon(self) -> None:
        """End the attempts that are still in flight; their deliveries stay pending."""
        for task, delivery in self._attempts.items():
            telemetry.log("delivery.abandoned", delivery_id=delivery.id, destination=delivery.destination)
            task.cancel()
        await self.idle()


def _paused(pause: Pause) -> str:
    until = "" if pause.until is None else f" until {facts.iso_time(pause.until)}"
    return f"paused by {pause.by}{until}: {pause.reason}"


async def _for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Take ``step`` again and again: neither a disk that refuses nor a defect may end deliveries in silence."""
    while True:
        try:
            await step()
        except StoreUnavailable as error:
            telemetry.log("store.unavailable", reason=str(error))
            await asyncio.sleep(STORE_PAUSE_S)
        except Exception:  # noqa: BLE001
            telemetry.log("internal.error", exc_info=True)
            await asyncio.sleep(STORE_PAUSE_S)


def _log_outcome(delivery: Delivery, event: Event | CorruptEvent | None, outcome: Outcome) -> None:
    attempt, named = outcome.attempt, event if isinstance(event, Event) else None
    came_to = _OUTCOMES[type(outcome.result)]
    telemetry.ATTEMPTS.labels(delivery.destination, came_to).inc()
    telemetry.log(
        "delivery.dead" if isinstance(outcome.result, Dead) else "delivery.attempted",
        event_id=delivery.event_id,
        delivery_id=delivery.id,
        source=named.source if named else None,
        type=named.type if named else None,
        route=delivery.route,
        destination=delivery.destination,
        outcome=came_to,
        reason="" if isinstance(outcome.result, Delivered | Release) else outcome.result.reason,
        attempt=attempt.number if attempt else None,
        status=attempt.status if attempt else None,
        duration_ms=round(attempt.duration_s * 1000, 1) if attempt else None,
        next_s=attempt.next_s if attempt else None,
    )
