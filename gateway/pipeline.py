"""The life of an event, top to bottom: it is received, its deliveries are planned, and each is delivered.

The answer to the sender comes after ``store.append`` has completed: nothing acknowledged is lost.
"""

import asyncio
import hashlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway import poison, presets, telemetry
from gateway.asking import ask
from gateway.destinations import gates, retry
from gateway.destinations.gates import Learned
from gateway.errors import (
    AddressBlocked,
    BuildError,
    Conflict,
    EgressError,
    NothingChosen,
    NoToken,
    Poisonous,
    SignatureRefused,
    StoreFull,
    StoreUnavailable,
    TooOld,
)
from gateway.event import codings, traces
from gateway.event import payload as facts
from gateway.event.repeats import ID_REPEATED, MANY
from gateway.model import (
    Announcement,
    Attempt,
    Dead,
    Delivered,
    Delivery,
    DeliveryState,
    Discard,
    Event,
    OutboundRequest,
    Reply,
    Retry,
    Verdict,
)
from gateway.process import Gateway
from gateway.routing import Config, Destination, Entry, Source, lookups, planning, questions
from gateway.routing.authentic import authenticate
from gateway.routing.lookups import LookedUp
from gateway.routing.memory import NOTHING_FOUND, Found
from gateway.routing.planning import Known
from gateway.routing.questions import Asked
from gateway.routing.replies import Accepted
from gateway.signatures import Request
from gateway.signatures.handshakes import Answer
from gateway.store import room
from gateway.store.activities import Task
from gateway.store.memory import Remembered
from gateway.store.nouns import Appended, NewEvent
from gateway.store.queries import DeliveryQuery
from gateway.wording import printable

#: The most characters of an answer that are kept with its attempt.
KEPT_ANSWER: Final = 1024
_JSON: Final = [(b"content-type", b"application/json")]


class Starter(Protocol):
    """Starts new deliveries straight from memory; the dispatcher does."""

    def reserve(self, destination: Destination) -> float | None:
        """Take a slot before the append, and the length of the lease to ask for in seconds; None: it has to wait."""

    def appended(
        self,
        new: Sequence[NewEvent],
        known: Sequence[Known | None],
        asked_at: float,
        appending: "asyncio.Future[Sequence[Appended]]",
    ) -> None:
        """The append is over, or its caller has gone: start what was leased, give the other slots back.

        ``known``: of each event, if it is small; ``asked_at``: when it was begun, on the monotonic clock.
        """


# --- an event comes in ---


async def receive(
    gateway: Gateway,
    starter: Starter,
    config: Config,
    source: Source,
    request: Request,
    hold: Callable[[int], bool] = codings.unbounded,
) -> Accepted | Answer:
    """Verify, parse, match and store the events of one request, all or none; durable on return.

    A sender's handshake is answered instead, and nothing is stored. Header names are in lower case; ``hold`` is asked for
    room for a body that has to be decompressed. Raises RequestRefused, KeysUnavailable, StoreFull when there is no room for
    events, or StoreUnavailable when they could not be stored.
    """
    now = gateway.clock()
    is_packed = bool(request.coding or codings.coding_of(request.body))
    if is_packed and source.reads_content:
        request = await _unpacked(request, source, hold)
    if source.learns:
        source = await gateway.with_learned(source)
    if (source.handshakes or source.ping) and (asked := questions.asked(source, request, now)):
        return await _answered(gateway, source, asked, now)
    if request.method not in source.methods:
        sender = presets.sender(source.preset) or source.name
        raise SignatureRefused(f"this {request.method} is not a handshake that {sender} makes")
    await authenticate(source, request, now, gateway.egress)
    if is_packed and request.unpacked is None:
        request = await _unpacked(request, source, hold)
    headers = traces.taken_over(request.headers)
    content = request.body if request.unpacked is None else request.unpacked
    received = source.received(
        headers, request.body, now=now, query=request.query, method=request.method, content=content
    )
    if source.handshakes and (asked := questions.asked_by_event(source, request, received[0].payload)):
        return await _answered(gateway, source, asked, now)
    # Only its bytes, as they came, are kept until the disk is ready.
    del request, content
    # Before a slot is taken. What the gateway says of itself is stored all the same.
    if refusal := room.refusal(gateway.store.room, config.limits):
        raise StoreFull(refusal)
    # A large payload is forgotten before the disk is ready, unless the answer needs it.
    shown = received[0] if source.replies else None
    append = partial(_append, gateway, starter, config)
    if source.naming.tracking is not None:
        plans, new, appended = await gateway.heads.stored(gateway.store, config, source, received, append)
        shown = shown and replace(shown, event=new[0].event)
    else:
        plans = await planning.plans(received, config, source)
        del received
        new, appending = append(plans)
        appended = await appending
    for plan, one, known in zip(plans, new, appended, strict=True):
        _log_received(one, known)
        if not known.duplicate:
            _count_matches(one.event, plan.entries)
        else:
            await _report_repeats(gateway, starter, one.event, known)
    if source.replays_redelivered and any(known.duplicate for known in appended):
        appended = [await _redelivered(gateway, source, known) if known.duplicate else known for known in appended]
    return Accepted(appended, source.reply_to(shown, appended[0].event_id) if shown else None)


async def _answered(gateway: Gateway, source: Source, asked: Asked, now: float) -> Answer:
    """The answer to a handshake. A secret that comes with one is accepted only while somebody expects it."""
    if asked.secret is not None:
        if not await gateway.expected.is_expected(gateway.store, source.name, now):
            raise SignatureRefused(
                f"a secret came in a handshake that nobody expects: run `gateway handshake {source.name}`, and let the "
                "sender ask again"
            )
        if not source.fits(asked.secret):
            raise SignatureRefused("the secret of a handshake is not a valid key")
        await gateway.store.secrets.add(source.name, asked.secret)
        telemetry.log("source.secret_learned", source=source.name)
    telemetry.log("source.handshake", source=source.name)
    return asked.answer


async def _unpacked(request: Request, source: Source, hold: Callable[[int], bool]) -> Request:
    """The request with its body decompressed. Raises Unparsable, BodyTooLarge or NoRoom."""
    return replace(request, unpacked=await codings.unpacked(request.body, request.coding, source.max_body, hold))


async def _redelivered(gateway: Gateway, source: Source, known: Appended) -> Appended:
    """Replay the dead deliveries of an event that its sender sent again. Raises StoreUnavailable."""
    which = DeliveryQuery(ids=(known.event_id,), state=DeliveryState.DEAD)
    try:
        if not (dead := await gateway.store.count(which)):
            return known
        by, reason = f"source {source.name}", "sent again by the sender"
        task = Task(verb="replay", by=by, which=which, subject=known.event_id, reason=reason)
        activity = await gateway.store.begin(task)
    except KeyError:
        # Its key is remembered for longer than the event was kept.
        return known
    except Conflict as error:
        telemetry.log("event.not_replayed", event_id=known.event_id, source=source.name, reason=str(error))
        return known
    telemetry.log("activity.begun", activity=activity.id, verb="replay", by=by, subject=known.event_id)
    return replace(known, replayed=dead)


async def _report_repeats(gateway: Gateway, starter: Starter, event: Event, known: Appended) -> None:
    """Say once that the id of a source does not identify its events: they are lost as duplicates."""
    bodies = gateway.repeats.add(known.event_id, event.sha256)
    if bodies == MANY - 1:
        for first in (await gateway.store.load([known.event_id])).values():
            bodies = gateway.repeats.add(known.event_id, first.sha256) if isinstance(first, Event) else bodies
    if bodies == MANY and gateway.repeats.is_news(event.source, gateway.config.revision):
        telemetry.log("event.id_repeated", event_id=known.event_id, source=event.source, bodies=bodies)
        fields = {"source": event.source, "event_id": known.event_id, "bodies": bodies}
        message = ID_REPEATED.format(**fields)
        with suppress(StoreUnavailable):
            page = f"events/{known.event_id}"
            await announce(gateway, starter, Announcement("source.id_repeated", message, fields, page=page))


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
        telemetry.ROUTE_MATCHES.inc(entry.name)
        telemetry.ROUTE_LAST_MATCH.set(event.received_at, entry.name)
    if event.invalid is not None:
        telemetry.EVENTS_INVALID.inc(event.source)
    elif event.source != presets.OWN and not any(entry.section == "routes" for entry in entries):
        telemetry.EVENTS_UNMATCHED.inc(event.source)


async def announce(gateway: Gateway, starter: Starter, what: Announcement) -> None:
    """Store an event of the gateway's own, routed like any other. Raises StoreUnavailable."""
    config = gateway.config
    link = f"{config.console_url or gateway.console}/{what.page}"
    said = {"type": f"{presets.OWN}.{what.happened}", "message": what.message, **what.fields, "link": link}
    body = {name: printable(value) if isinstance(value, str) else value for name, value in said.items()}
    headers = traces.taken_over(_JSON)
    [received] = config.own.received(headers, msgspec.json.encode(body), now=gateway.clock())
    # Without a key two that say the same are two.
    received = replace(received, key=(what.key or received.event.id).encode())
    plan = planning.plan(received, config, config.own)
    await _append(gateway, starter, config, [plan])[1]
    _count_matches(received.event, plan.entries)


# --- it is stored with its deliveries ---


def _append(
    gateway: Gateway, starter: Starter, config: Config, plans: Sequence[planning.Plan]
) -> "tuple[Sequence[NewEvent], asyncio.Future[Sequence[Appended]]]":
    """Done once the events are on disk. Cancelling it undoes nothing: what was stored is claimed like all that waits."""
    asked_at = gateway.monotonic()
    # Nothing waits from here to the append: it is the append that gives back the slots taken here.
    new = [plan.new_event(config, starter.reserve) for plan in plans]
    appending = gateway.store.append(new, replica=gateway.replica)
    # Called before whoever awaits this, and it only creates tasks: the answers to all the senders of a transaction go
    # out before the deliveries that start from here.
    appending.add_done_callback(partial(starter.appended, new, [plan.known for plan in plans], asked_at))
    if gateway.spans is not None:
        gateway.spans.appending([each.event for each in new], appending)
    return new, appending


# --- a delivery goes out ---


class Tried(Struct, frozen=True, kw_only=True):
    """One attempt: its result, the record of it, and what it says about its destination."""

    result: Delivered | Retry | Dead | Discard
    attempt: Attempt
    learned: Learned
    #: The result in one of a few words: a label of the attempt counter.
    word: str
    #: Values of the answer to keep.
    remembered: Remembered | None = None


#: How the result of an attempt is recorded and counted.
Word = Literal["delivered", "retry", "dead", "discarded"]
OUTCOMES: Final[Mapping[type, Word]] = {Delivered: "delivered", Retry: "retry", Dead: "dead", Discard: "discarded"}


async def deliver(
    delivery: Delivery,
    event: Event,
    gateway: Gateway,
    payload: object = None,
    *,
    known: Known | None = None,
    others: Sequence[Event] = (),
    found: Found = NOTHING_FOUND,
    looked_up: LookedUp = lookups.NOTHING,
) -> Tried:
    """Make one attempt with the configuration of this moment. Never touches the store; never raises.

    ``payload``: of the event, and ``known``: its facts, if they are at hand; ``others``: those that a digest sends with it; ``found``:
    what its message recalls; ``looked_up``: what its route looks up first. If that failed, nothing is sent, and the attempt
    comes to what the look-up came to.
    """
    config, started, began = gateway.config, gateway.clock(), time.monotonic()
    destination = config.destinations.get(delivery.destination)
    policy = destination.retry if destination else retry.ONCE
    failures, age_s = delivery.attempts - delivery.attempts_before_replay, started - event.received_at
    request: OutboundRequest | None = None
    reply: Reply | None = None
    verdict: Verdict | Discard
    learned, choice, failed = gates.NOTHING, 0, looked_up.failed
    remembering, remembered, lines = None, None, found.lines
    hiding = config.hiding_all((event, *others), delivery.destination if failed is None else failed.destination)
    try:
        poison.check_crashes(delivery)
        retry.check_age(policy, failures=failures, age_s=age_s)
        with gateway.crash_slot.working_on(delivery.id):
            if payload is None:
                payload = facts.payload_of(event)
            if failed is None:
                more = [(each, facts.payload_of(each)) for each in others]
                recalled, values = found.recalled(), looked_up.values
                read = known.facts_by(config) if known else None
                built = config.built(
                    delivery,
                    event,
                    payload,
                    gateway.console,
                    facts=read,
                    others=more,
                    recalled=recalled,
                    looked_up=values,
                )
                assert destination is not None
                request, choice = traces.traced(built.request, event), built.choice
                request = destination.signed(request, delivery.id, started)
                if built.message.remember is not None:
                    remembering = config.remembering(delivery, event, payload)
        if request is None:
            assert failed is not None
            verdict, reply, word = failed.verdict, failed.reply, failed.word
        else:
            assert destination is not None
            is_own = built.message.is_own_address
            asked = await ask(
                gateway, destination, request, delivery_id=delivery.id, hiding=hiding, is_own_address=is_own
            )
            verdict, reply, learned, word = asked.verdict, asked.reply, asked.learned, asked.word
            if remembering is not None and isinstance(verdict, Delivered):
                with gateway.crash_slot.working_on(delivery.id):
                    remembered, line = remembering.of(asked.reply)
                lines = (*lines, line)
    except NothingChosen as error:
        verdict, word = Discard(str(error)), error.reason
    except (BuildError, AddressBlocked, TooOld, Poisonous) as error:
        verdict, word = Dead(str(error)), error.reason
    except NoToken as error:
        verdict, word = Retry(str(error), after_s=error.after_s), error.reason
        learned = Learned(outcome=error.shows, was_sent=False)
    except EgressError as error:
        verdict, learned, word = Retry(str(error)), Learned(outcome="failed"), error.reason
    except Exception as error:  # noqa: BLE001  whatever it is, the delivery gets a verdict
        # Our own bug and not the event's fault: it is visible, it can be replayed, and the others continue.
        # An exception can quote a whole payload, with values that are redacted.
        telemetry.log("internal.error", delivery_id=delivery.id, exception=hiding.text(traceback.format_exc()))
        verdict, word = Dead(f"a defect of the gateway: {type(error).__name__}; see the log, then replay"), "defect"
    if not isinstance(verdict, Delivered):
        verdict = replace(verdict, reason=hiding.text(verdict.reason))
    result = verdict
    if isinstance(verdict, Retry) and learned.was_sent:
        noise = gateway.noise()
        result = retry.decide(
            policy, verdict, failures=failures + 1, spent_s=delivery.spent_s, noise=noise, age_s=age_s
        )
    if isinstance(result, Retry) and delivery.route in config.with_hours:
        # The wait for its hours is not spent.
        result = replace(result, after_s=result.after_s + config.closed_s(delivery.route, started + result.after_s))
    sent = request.sent if request else b""
    attempt = Attempt(
        number=delivery.attempts + 1,
        started_at=started,
        duration_s=time.monotonic() - began,
        outcome=OUTCOMES[type(result)],
        status=reply.status if reply else None,
        reason="" if isinstance(result, Delivered) else result.reason,
        answer=reply.quotable.decode("utf-8", "replace")[:KEPT_ANSWER] if reply else "",
        config_revision=config.revision,
        sent_bytes=len(sent),
        sent_sha256=hashlib.sha256(sent).digest() if request else b"",
        next_s=result.after_s if isinstance(result, Retry) else None,
        memory=hiding.text("\n".join(lines))[:KEPT_ANSWER] if lines else "",
        lookups=looked_up.lookups,
        choice=choice,
    )
    if gateway.spans is not None and learned.was_sent:
        gateway.spans.attempted(delivery, event, attempt, word, request)
    return Tried(result=result, attempt=attempt, learned=learned, word=word, remembered=remembered)
