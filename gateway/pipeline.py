"""The life of an event, top to bottom: received, delivered; and the loop that keeps deliveries going.

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

from gateway import signatures, telemetry
from gateway.destinations import gates, retry
from gateway.destinations.gates import Gate, Learned, Rules
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
)
from gateway.event import payload as facts
from gateway.event import traces
from gateway.event.paths import Facts
from gateway.hiding.addresses import masked_path
from gateway.model import (
    Attempt,
    Dead,
    Delivered,
    Delivery,
    Event,
    FileAppend,
    Notice,
    OutboundRequest,
    Release,
    Reply,
    Retry,
    Verdict,
    new_id,
)
from gateway.presets import OWN
from gateway.routing import Config, Destination, Entry, Received, Source
from gateway.signatures import Request
from gateway.signatures.handshakes import Answer
from gateway.store import Store
from gateway.store.nouns import (
    Activity,
    Appended,
    Firing,
    Lease,
    NewDelivery,
    NewEvent,
    Outcome,
    Pause,
    Told,
    Verb,
    Want,
)
from gateway.wording import duration, iso_time, printable

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
    #: Where senders post to, and where the console listens, for links; empty until they do.
    ingest: str = ""
    console: str = ""
    #: Wall clock, seconds since the epoch.
    clock: Callable[[], float] = time.time
    #: Seconds that no one sets back.
    monotonic: Callable[[], float] = time.monotonic
    #: In [0, 1): the jitter of retries.
    noise: Callable[[], float] = random.random


async def note(gateway: Gateway, verb: Verb, subject: str, *, by: str, reason: str = "") -> None:
    """Leave a trace of what somebody did, for the others. Raises StoreUnavailable."""
    now = gateway.clock()
    await gateway.store.note(Activity(id=new_id("act", now), at=now, by=by, verb=verb, subject=subject, reason=reason))


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
    received = source.received(traces.taken_over(request.headers), request.body, now=now)
    if source.handshakes and (answer := _handshake(source, request, {"payload": received[0].payload}, now)):
        return answer
    planned = [_planned(each, dispatcher, config, source) for each in received]
    new = [one for one, _ in planned]
    appended = await gateway.store.append(new, partial(dispatcher.appended, new))
    for (one, entries), known in zip(planned, appended, strict=True):
        _log_received(one, known)
        if not known.duplicate:
            _count_matches(one.event, entries)
    return appended


def _log_received(new: NewEvent, known: Appended) -> None:
    telemetry.log(
        "event.received",
        event_id=known.event_id,
        source=new.event.source,
        type=new.event.type,
        duplicate=known.duplicate,
        deliveries=0 if known.duplicate else sum(each.route not in known.held_back for each in new.deliveries),
        trace_id=traces.trace_id(new.event.headers),
    )


def _count_matches(event: Event, entries: Sequence[Entry]) -> None:
    for entry in entries:
        telemetry.ROUTE_MATCHES.of(entry.name).inc()
        telemetry.ROUTE_LAST_MATCH.of(entry.name).set(event.received_at)
    if event.source != OWN and not any(entry.section == "routes" for entry in entries):
        telemetry.EVENTS_UNMATCHED.of(event.source).inc()


def _planned(
    received: Received, dispatcher: "Dispatcher", config: Config, source: Source
) -> tuple[NewEvent, Sequence[Entry]]:
    """The event with its deliveries, and the entries that take it."""
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
    firings = [firing for entry in entries if entry.once and (firing := _firing(entry, known, event, source))]
    new = NewEvent(
        event=event,
        key=received.key,
        window_s=source.dedupe_s,
        deliveries=deliveries,
        firings=firings,
        is_redacted_later=source.redaction.is_stored,
    )
    return new, entries


def _firing(entry: Entry, known: Facts, event: Event, source: Source) -> Firing | None:
    assert entry.once is not None
    try:
        return entry.once.firing(entry, known)
    except RenderError as error:
        # Rather twice than never.
        reason = source.redaction.mask_of(event)(str(error))
        telemetry.log("delivery.unkeyed", event_id=event.id, route=entry.name, reason=reason)
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
        raise UnknownSource(f"no source listens at {masked_path(path)}")
    return source, unquote_to_bytes(secret)


def _authenticate(source: Source, request: Request, now: float) -> None:
    verdict = source.verifier.verify(request, now)
    if isinstance(verdict, signatures.Refused):
        if source.verifier.takes_path_secret:
            # As if nothing were there: a path with a secret is not confirmed to who does not know it.
            raise UnknownSource(f"{source.path}/***: {verdict.reason}")
        raise SignatureRefused(verdict.reason)


# --- a delivery goes out ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt: what it came to, what is kept of it, and what it told about its destination."""

    result: Delivered | Retry | Dead
    attempt: Attempt
    learned: Learned
    #: What happened, in one of few words: the label of its counter.
    word: str


async def deliver(
    delivery: Delivery,
    event: Event,
    gateway: Gateway,
    working_on: Callable[[str], AbstractContextManager[None]],
) -> Tried:
    """Make one attempt with the configuration of this moment. Never touches the store; never raises."""
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
            request = _traced(config.build(delivery, event, facts.payload_of(event), gateway.console), event)
        assert destination is not None
        reply = await gateway.egress.send(request, timeout_s=destination.timeout_s, door=destination.door)
        with working_on(delivery.id):
            verdict = destination.kind.judge(destination.target, reply, gateway.clock())
            status = destination.kind.status_of(reply)
        verdict = retry.overridden(policy, verdict, status)
        learned, word = _learned(status, verdict), _word(status, verdict)
    except (BuildError, AddressBlocked, TooOld, Poisonous) as error:
        verdict, word = Dead(str(error)), error.reason
    except EgressError as error:
        verdict, learned, word = Retry(str(error)), Learned(outcome="failed"), error.reason
    except Exception as error:  # noqa: BLE001
        # Ours to mend, not the event's fault: it is seen, it is replayable, and the others go on.
        telemetry.log("internal.error", delivery_id=delivery.id, exc_info=True)
        verdict, word = Dead(f"a defect of the gateway: {type(error).__name__}; see the log, then replay"), "defect"
    # What was refused is often repeated with the reason, and both are kept and logged.
    hide = config.redaction(event).mask_of(event)
    if not isinstance(verdict, Delivered):
        verdict = replace(verdict, reason=hide(verdict.reason))
    result = verdict
    if isinstance(verdict, Retry):
        noise = gateway.noise()
        result = retry.decide(
            policy, verdict, failures=failures + 1, spent_s=delivery.spent_s, noise=noise, age_s=age_s
        )
    sent = request.sent if request else b""
    attempt = Attempt(
        number=delivery.attempts + 1,
        started_at=started,
        duration_s=time.monotonic() - began,
        outcome=_OUTCOMES[type(result)],
        status=reply.status if reply else None,
        reason="" if isinstance(result, Delivered) else result.reason,
        answer=hide(reply.body.decode("utf-8", "replace"))[:KEPT_ANSWER] if reply else "",
        config_revision=config.revision,
        sent_bytes=len(sent),
        sent_sha256=hashlib.sha256(sent).digest() if request else b"",
        next_s=result.after_s if isinstance(result, Retry) else None,
    )
    return Tried(result=result, attempt=attempt, learned=learned, word=word)


def _traced(request: OutboundRequest, event: Event) -> OutboundRequest:
    """With the event's trace, unless the file says something else of it; a line in a file has none."""
    if isinstance(request, FileAppend) or "traceparent" in dict(request.headers):
        return request
    return replace(request, headers=request.headers + traces.passed_on(event.headers))


def _word(status: int, verdict: Verdict) -> str:
    if 200 <= status < 300 and not isinstance(verdict, Delivered):
        return "not_taken"
    return "429" if status == 429 else f"{status // 100}xx"


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


def _learned(status: int, verdict: Verdict) -> Learned:
    """Any answer but trouble of its own speaks for the destination; a 429 asks all of us to wait."""
    if status >= 500:
        return Learned(outcome="failed")
    if not isinstance(verdict, Retry):
        return Learned(outcome="answered")
    if status in retry.ABOUT_THE_DESTINATION:
        return Learned(outcome="gone" if status == 410 else "denied")
    is_limit = status == 429 or status < 300
    return Learned(outcome="answered", wait_s=verdict.after_s if is_limit else 0.0)


_OUTCOMES: Final[Mapping[type, Literal["delivered", "retry", "dead"]]] = {
    Delivered: "delivered",
    Retry: "retry",
    Dead: "dead",
}


# --- the loop that keeps deliveries going ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with one destination, at this moment."""

    #: What holds it, in words; empty: nothing does.
    held: str
    circuit: Literal["closed", "open", "probing"]
    #: In a row.
    failures: int
    #: Slots that are taken.
    in_flight: int
    #: By a person or the gateway, other than in the file.
    paused: Pause | None
    muted: Pause | None


class Dispatcher:
    """Gives every destination its slots: to new deliveries straight from memory, else to those that wait longest."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = gateway.store
        #: Slots taken, by destination.
        self._taken: Counter[str] = Counter()
        #: Destinations that may have something due and are neither full nor held: a round asks these and no others.
        self._ready: set[str] = set()
        #: Whether others may have something due by now.
        self._look = True
        #: Destinations that had something due and no slot for it.
        self._full: set[str] = set()
        self._opened = gates.opened(gateway.monotonic())
        self._gates: dict[str, Gate] = {}
        #: By destination, beside those that the file pauses.
        self._paused: dict[str, Pause] = {}
        #: By destination: nobody is told of its troubles.
        self._muted: dict[str, Pause] = {}
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
        full = self._taken[name] >= destination.concurrency or not self._is_free(name)
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
        for name in [*self._full, *self._held]:
            self._opens(name)
        self._look_again()

    # deliveries that wait in the store

    async def run(self) -> None:
        """Claim what is due for whoever has a slot, and keep the store tidy, until ``stop``."""
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(for_ever(step)) for step in (self._round, self._listen, self._upkeep)]
            await self._stop.wait()
            for loop in loops:
                loop.cancel()

    async def _round(self) -> None:
        await self._recording.wait()
        await writer_keeps_up(self._store)
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
            await writer_keeps_up(self._store)

    async def _load(self, leases: Sequence[Lease]) -> Mapping[str, Event | CorruptEvent]:
        try:
            return await self._store.load({lease.delivery.event_id for lease in leases})
        except StoreUnavailable:
            await self._settle([Outcome(lease, Release()) for lease in leases])
            raise

    def _wants(self) -> Mapping[str, Want]:
        if self._look:
            self._look = False
            self._ready.update(self._store.maybe_due())
            self._ready -= self._full | self._held.keys()
        wants = {}
        for name in list(self._ready):
            if self._store.is_due(name) and (want := self._want(name)).slots > 0:
                wants[name] = want
            else:
                self._ready.discard(name)
        return wants

    def _want(self, name: str) -> Want:
        destination = self._gateway.config.destinations.get(name)
        want, permitted = GONE, GONE.slots
        if destination is not None:
            want = Want(slots=destination.concurrency, lease_s=destination.timeout_s + LEASE_MARGIN_S)
            permitted = self._permitted(name)
        if permitted and self._taken[name] >= want.slots:
            self._full.add(name)
        return replace(want, slots=min(permitted, want.slots - self._taken[name]))

    def _permitted(self, name: str) -> int:
        """How many its gate lets start; for none it is held until the gate may have changed."""
        now = self._gateway.monotonic()
        permit = gates.permit(self._gate(name), self._rules(name), now)
        if permit.count == 0:
            self._hold(name, permit.again_at - now)
        return permit.count

    # when a destination may be sent to

    def _gate(self, name: str) -> Gate:
        return self._gates.get(name, self._opened)

    def _is_free(self, name: str) -> bool:
        return gates.is_free(self._gate(name), self._rules(name), self._gateway.monotonic())

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
        if self._is_free(name):
            return 0.0
        now = self._gateway.monotonic()
        self._gates[name], at = gates.started(self._gate(name), self._rules(name), now)
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
                f"held, and one delivery tries again in {duration(next_s)}."
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
        headers = traces.taken_over(_JSON)
        [received] = config.own.received(headers, msgspec.json.encode(body), now=gateway.clock())
        # Two that say the same are two.
        received = replace(received, key=received.event.id.encode())
        new, entries = _planned(received, self, config, config.own)
        try:
            await gateway.store.append([new], partial(self.appended, [new]))
            _count_matches(new.event, entries)
        except StoreUnavailable as error:
            # Whoever reads the log has it already.
            telemetry.log("store.unavailable", reason=str(error))

    async def recall(self) -> None:
        """Take up the pauses and mutes that the store remembers; before anything is received."""
        remembered = await self._store.pauses()
        self._paused = {pause.destination: pause for pause in remembered if not pause.is_mute}
        self._muted = {pause.destination: pause for pause in remembered if pause.is_mute}

    async def pause(self, name: str, *, by: str, reason: str, for_s: float | None = None, aloud: bool = True) -> Pause:
        """Hold the deliveries of a destination, also after a restart; attempts in flight end. StoreUnavailable.

        ``aloud``: as an event of the gateway, too.
        """
        now = self._gateway.clock()
        until = None if for_s is None else now + for_s
        pause = Pause(destination=name, by=by, reason=reason, since=now, until=until)
        # It holds at once, and longer than the disk needs; whoever is told that it failed has not paused it.
        before, self._paused[name] = self._paused.get(name), pause
        try:
            await self._store.pause(pause)
        except StoreUnavailable:
            self._unpause(name, before)
            raise
        telemetry.log("destination.paused", destination=name, by=by, reason=reason, for_s=for_s)
        await note(self._gateway, "pause", name, by=by, reason=_lasting(pause))
        if aloud and not self.is_muted(name):
            message = f"{name} is {_paused(pause)}. Nothing is lost; it goes on once it is resumed."
            iso = None if until is None else iso_time(until)
            fields = {"destination": name, "by": by, "reason": reason, "until": iso}
            await self.announce("destination.paused", message, fields)
        return pause

    def _unpause(self, name: str, before: Pause | None) -> None:
        if before is None:
            self._paused.pop(name, None)
        else:
            self._paused[name] = before
        self._opens(name)

    async def resume(self, name: str, *, by: str) -> bool:
        """Let a paused destination go on; whether it was paused, other than in the file.

        One whose circuit is open, or that has asked to wait, is tried at once.
        """
        was_paused = await self._store.resume(name) or name in self._paused
        self._paused.pop(name, None)
        self._gates[name] = gates.resumed(self._gate(name), self._gateway.monotonic())
        self._opens(name)
        if was_paused:
            telemetry.log("destination.resumed", destination=name, by=by)
            await note(self._gateway, "resume", name, by=by)
        if was_paused and not self.is_muted(name):
            message = f"{name} is resumed by {by}. What has waited for it goes out now."
            await self.announce("destination.resumed", message, {"destination": name, "by": by})
        return was_paused

    async def mute(self, name: str, *, by: str, reason: str, for_s: float | None = None) -> None:
        """Tell nobody of the troubles of a destination; its deliveries go on as ever. Also after a restart. StoreUnavailable."""
        now = self._gateway.clock()
        until = None if for_s is None else now + for_s
        mute = Pause(destination=name, by=by, reason=reason, since=now, until=until, is_mute=True)
        await self._store.pause(mute)
        self._muted[name] = mute
        telemetry.log("destination.muted", destination=name, by=by, reason=reason, for_s=for_s)
        await note(self._gateway, "mute", name, by=by, reason=_lasting(mute))

    async def unmute(self, name: str, *, by: str) -> bool:
        """Tell of its troubles again; whether it was muted."""
        was_muted = await self._store.resume(name, is_mute=True)
        self._muted.pop(name, None)
        if was_muted:
            telemetry.log("destination.unmuted", destination=name, by=by)
            await note(self._gateway, "unmute", name, by=by)
        return was_muted

    def is_muted(self, name: str) -> bool:
        """Whether nobody is to be told of its troubles now."""
        mute = self._muted.get(name)
        return mute is not None and not self._is_over(mute)

    def _is_over(self, pause: Pause) -> bool:
        return pause.until is not None and pause.until <= self._gateway.clock()

    def standing(self, name: str) -> Standing:
        """How it stands with a destination, whether it is in the file or not."""
        gate = self._gate(name)
        return Standing(
            held=self.health(name),
            circuit="closed" if not gate.is_open else "probing" if gate.is_probing else "open",
            failures=gate.failures,
            in_flight=self._taken[name],
            paused=self._paused.get(name),
            muted=self._muted.get(name) if self.is_muted(name) else None,
        )

    def is_paused(self, name: str) -> bool:
        """Whether its deliveries are held by the file, by a person or by the gateway."""
        return bool(self._rules(name).paused)

    def health(self, name: str) -> str:
        """What holds a destination now, in words; empty: nothing does."""
        return gates.permit(self._gate(name), self._rules(name), self._gateway.monotonic()).why

    def _hold(self, name: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._held[name] = loop.call_later(seconds, self._opens, name) if seconds < math.inf else None

    def _opens(self, name: str) -> None:
        """It has a slot again, or its gate has changed: ask it anew."""
        timer = self._held.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._full.discard(name)
        self._ready.add(name)
        self._wake.set()

    async def _listen(self) -> None:
        await self._store.wait(UPKEEP_INTERVAL_S)
        self._look_again()

    def _look_again(self) -> None:
        self._look = True
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
                outcome, word = await self._tried(lease, event, tried), tried.word
            else:
                self._learn(delivery.destination, gates.NOTHING)
                reason = str(event or f"event {delivery.event_id} is not in the store")
                outcome, word = Outcome(lease, Dead(reason)), CorruptEvent.reason
                await self._say_damaged(delivery, reason)
            await self._settle([outcome])
            _log_outcome(delivery, event, outcome)
            _count_outcome(outcome, event, word, self._gateway.clock())
        except Exception:  # noqa: BLE001  its lease ends, and then it is tried again
            telemetry.log("internal.error", delivery_id=delivery.id, exc_info=True)
        finally:
            self._give_back(delivery.destination)

    async def _tried(self, lease: Lease, event: Event, tried: Tried) -> Outcome:
        delivery, result, attempt = lease.delivery, tried.result, tried.attempt
        is_muted = self.is_muted(delivery.destination)
        aloud = not is_muted and not _tells(delivery, event)
        if reason := self._learn(delivery.destination, tried.learned, reason=attempt.reason, aloud=aloud):
            await self._pause_for(delivery.destination, reason, aloud=aloud)
            # It waits for a person, so nothing of its budget is spent.
            waits = Retry(attempt.reason, after_s=0.0, spent_s=0.0)
            return Outcome(lease, waits, replace(attempt, outcome="retry", next_s=None))
        told = None
        if isinstance(result, Dead) and not is_muted:
            told = _told(delivery, event, self._gateway.config, result, attempt)
        return Outcome(lease, result, attempt, told)

    async def _say_damaged(self, delivery: Delivery, reason: str) -> None:
        if delivery.notice is None:
            message = f"A stored event is damaged and was not sent to {delivery.destination}: {reason}"
            id_, name = delivery.event_id, delivery.destination
            fields = {"destination": name, "event_id": id_, "reason": reason}
            await self.announce("event.damaged", message, fields, page=f"events/{id_}")

    async def _pause_for(self, name: str, reason: str, *, aloud: bool) -> None:
        if self._rules(name).paused:
            return  # the answers of those that were on their way with the first
        by = "the gateway"
        try:
            await self.pause(name, by=by, reason=reason, aloud=aloud)
        except StoreUnavailable as error:
            # It holds until this process ends; the next one finds out anew.
            self._paused[name] = Pause(destination=name, by=by, reason=reason, since=self._gateway.clock())
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
            self._opens(name)

    # upkeep and the end

    async def _upkeep(self) -> None:
        await self._prune()
        for name, pause in list(self._paused.items()):
            if self._is_over(pause):
                await self.resume(name, by="the clock")
        for name, mute in list(self._muted.items()):
            if self._is_over(mute):
                await self.unmute(name, by="the clock")
        await asyncio.sleep(UPKEEP_INTERVAL_S)

    async def _prune(self) -> None:
        config = self._gateway.config
        while removed := await self._store.prune(config.retention, redacted=config.stripped):
            telemetry.log("store.pruned", removed=removed)

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


def _lasting(pause: Pause) -> str:
    return pause.reason if pause.until is None else f"{pause.reason} (until {iso_time(pause.until)})"


def _paused(pause: Pause) -> str:
    until = "" if pause.until is None else f" until {iso_time(pause.until)}"
    return f"paused by {pause.by}{until}: {pause.reason}"


async def writer_keeps_up(store: Store) -> None:
    """Return once no commit is overdue: whoever makes work for the store asks before each piece of it."""
    while store.oldest_uncommitted_s > WRITER_PATIENCE_S:
        await asyncio.sleep(0.001)  # the writer thread needs the interpreter now, not an event later


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
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
    telemetry.log(
        "delivery.dead" if isinstance(outcome.result, Dead) else "delivery.attempted",
        event_id=delivery.event_id,
        delivery_id=delivery.id,
        source=named.source if named else None,
        type=named.type if named else None,
        route=delivery.route,
        destination=delivery.destination,
        outcome=_OUTCOMES[type(outcome.result)],
        reason="" if isinstance(outcome.result, Delivered | Release) else outcome.result.reason,
        attempt=attempt.number if attempt else None,
        status=attempt.status if attempt else None,
        duration_ms=round(attempt.duration_s * 1000, 1) if attempt else None,
        next_s=attempt.next_s if attempt else None,
        trace_id=traces.trace_id(named.headers) if named else None,
    )


def _count_outcome(outcome: Outcome, event: Event | CorruptEvent | None, word: str, now: float) -> None:
    delivery, attempt = outcome.lease.delivery, outcome.attempt
    telemetry.ATTEMPTS.of(delivery.destination, _OUTCOMES[type(outcome.result)], word).inc()
    if word == RenderError.reason:
        telemetry.RENDER_ERRORS.of(delivery.route).inc()
    if attempt is not None and attempt.sent_sha256:
        telemetry.ATTEMPT_SECONDS.of(delivery.destination).observe(attempt.duration_s)
    is_first = not delivery.attempts_before_replay
    if isinstance(outcome.result, Delivered) and isinstance(event, Event) and is_first:
        telemetry.LATENCY_SECONDS.of(delivery.destination).observe(max(0.0, now - event.received_at))
