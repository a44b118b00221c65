"""Plays an event through a Config: what would be planned and sent. Nothing is stored or leaves the process."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import BuildError, NothingChosen, RenderError
from gateway.event.paths import Facts
from gateway.model import Delivery, Event, Notice, OutboundRequest, new_id
from gateway.render import Namespace
from gateway.routing import Config, Source
from gateway.routing.cases import JSON_HEADERS
from gateway.routing.entries import Considered, Fetch
from gateway.routing.gathering import Digest
from gateway.routing.memory import NOTHING, Known, Recollection, described, recollect
from gateway.routing.timing import Waiting
from gateway.signatures import CannotSign, RawHeaders, Request
from gateway.wording import duration

#: The same ids in every rehearsal, so that nothing rendered from them changes.
EVENT_ID: Final = "evt_00000000-0000-7000-8000-000000000000"
_DELIVERY_ID: Final = "dlv_00000000-0000-7000-8000-{:012d}"
NONE_HELD_BACK: Final[Mapping[str, str]] = MappingProxyType({})


class Asking(Struct, frozen=True, kw_only=True):
    """The request of one look-up, which nothing here makes."""

    #: What templates call its answer.
    name: str
    destination: str
    #: None: it cannot be built because of ``error``.
    request: OutboundRequest | None = None
    error: str = ""


class Rehearsed(Struct, frozen=True, kw_only=True):
    """One delivery, as its first attempt would send it."""

    route: str
    destination: str
    #: None: it would be dead because of ``error``, or discarded.
    request: OutboundRequest | None = None
    error: str = ""
    #: Why the request is not shown although there is one.
    not_shown: str = ""
    #: What it waits for before its first attempt; None: nothing in the file.
    waiting: Waiting | None = None
    #: What its templates have of earlier answers.
    recalled: Recollection = NOTHING
    #: The same, and what will be kept of its answer: a line each, for people.
    memory: tuple[str, ...] = ()
    #: Its event, where a rehearsal has several; of a digest the first one.
    event: Event | None = None
    #: Why the file discards it; empty: it does not.
    discarded: str = ""
    #: What it looks up first.
    lookups: tuple[Asking, ...] = ()
    #: What the request takes for granted; empty: nothing.
    assumed: str = ""


class Rehearsal(Struct, frozen=True, kw_only=True):
    """Everything that would happen to one event."""

    event: Event
    facts: Facts
    #: Every entry of always, routes and unmatched, and why it matches the event or not.
    considered: Sequence[Considered]
    deliveries: tuple[Rehearsed, ...]
    #: What entries with ``shadow: true`` would send.
    shadows: tuple[Rehearsed, ...] = ()
    #: Every entry of failed, as if the first delivery became dead; empty: nothing is sent or reported.
    told: Sequence[Considered] = ()
    #: For a stored event: entries that had fired for its key before, with the explanation.
    held_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ignored(self) -> bool:
        """Whether a ``to: []`` matched and no other entry of ``routes`` sends it anywhere."""
        taken = [each.entry for each in self.considered if each.taken and not each.entry.shadow]
        routed = [entry for entry in taken if entry.section == "routes"]
        return bool(routed) and not any(entry.deliveries for entry in routed)


def request_of(
    source: Source,
    body: bytes,
    sample_name: str = "",
    now: float = 0.0,
    *,
    headers: Mapping[str, str] | None = None,
    kept: Collection[str] = (),
) -> Request:
    """What the sender would post: ``body`` with its headers, signed. Raises CannotSign if only the sender can sign.

    ``headers``: by lower-case name, instead of those of the sample. Those in ``kept`` are not replaced by what is signed.
    """
    declared = _raw(source.sample_headers.get(sample_name, JSON_HEADERS) if headers is None else headers)
    signed = source.verifier.sign(Request(headers=declared, body=body), now, f"msg_{new_id('evt', now)[4:]}")
    own = {name: value for name, value in signed.headers if name not in kept}
    return Request(
        headers=[
            *((name, value) for name, value in declared if name.decode("latin-1") not in own),
            *((name.encode("latin-1"), value.encode("utf-8")) for name, value in own.items()),
        ],
        body=signed.body,
        path_secret=signed.path_secret.encode("utf-8"),
        query=signed.query.encode("ascii"),
        method=source.first_method,
    )


def sender_headers(
    source: Source,
    body: bytes,
    sample_name: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    kept: Collection[str] = (),
) -> RawHeaders:
    """The headers that the sender would post with ``body``, as ``request_of`` has them, signed if that is possible."""
    try:
        return request_of(source, body, sample_name, headers=headers, kept=kept).headers
    except CannotSign:
        return _raw(source.sample_headers.get(sample_name, JSON_HEADERS) if headers is None else headers)


def _raw(headers: Mapping[str, str]) -> RawHeaders:
    return [(name.encode("latin-1", "replace"), value.encode("utf-8")) for name, value in headers.items()]


def rehearse(
    config: Config,
    source: Source,
    body: bytes,
    headers: RawHeaders,
    now: float,
    query: bytes = b"",
    *,
    before: Mapping[str, object] | None = None,
    earlier: Sequence[Event] = (),
    known: Known | None = None,
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsal:
    """Play ``body`` as if it had been received at ``now`` with a valid signature.

    ``headers`` have lower-case names; ``before`` is what is known of the event's record, None: what ``earlier`` events said
    of it; ``known`` is what is remembered, None: examples stand for it; ``looked_up`` is as in ``attempted``. Raises
    RequestRefused.
    """
    if len(body) > source.max_body:
        raise source.too_large
    first = source.received(headers, body, now=now, query=query, method=source.first_method)[0]
    event = source.naming.after(replace(first.event, id=EVENT_ID), first.payload, before, earlier)
    return rehearse_event(config, source, event, first.payload, known=known, looked_up=looked_up)


def rehearse_event(
    config: Config,
    source: Source,
    event: Event,
    payload: object,
    held_back: Mapping[str, str] = NONE_HELD_BACK,
    known: Known | None = None,
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsal:
    """Play an event received before; ``payload`` is its parsed body, ``held_back`` as in Rehearsal.

    ``known`` and ``looked_up`` are as in ``attempted``.
    """
    facts = source.naming.facts(event, payload)
    considered = _considered(config, source, facts)
    silent = {route for each in considered if each.entry.name in held_back for route, _ in each.entry.deliveries}
    now = event.received_at
    plan = [each for each in config.plan(source, facts, now) if each[0] not in silent]
    return Rehearsal(
        event=event,
        facts=facts,
        considered=considered,
        deliveries=tuple(
            replace(
                attempted(config, planned(event, number, *each), event, payload, known=known, looked_up=looked_up),
                waiting=config.waiting(*each, now),
            )
            for number, each in enumerate(plan, start=1)
        ),
        shadows=_shadows(config, source, facts, event, payload, len(plan)),
        told=() if not plan or source is config.own else config.explain_failed(_given_up(*plan[0]), event, facts),
        held_back=held_back,
    )


def _considered(config: Config, source: Source, facts: Facts) -> Sequence[Considered]:
    """Every entry in order, and why it matches; those with ``shadow: true`` as if all of them sent."""
    considered = config.explain(source, facts)
    if config.shadow is None:
        return considered
    real = {each.entry.name: each for each in considered}
    return [each if each.entry.shadow else real[each.entry.name] for each in config.shadow.explain(source, facts)]


def _shadows(
    config: Config, source: Source, facts: Facts, event: Event, payload: object, before: int
) -> tuple[Rehearsed, ...]:
    if (shadow := config.shadow) is None:
        return ()
    plan = [each for each in shadow.plan(source, facts) if shadow.entries[each[0]].shadow]
    return tuple(
        attempted(shadow, planned(event, number, *each), event, payload)
        for number, each in enumerate(plan, start=before + 1)
    )


def _given_up(route: str, destination: str) -> Notice:
    reason = "HTTP 503 Service Unavailable"
    return Notice(
        id=_DELIVERY_ID.format(1), destination=destination, route=route, attempts=12, reason=reason, status=503
    )


def planned(event: Event, number: int, route: str, destination: str) -> Delivery:
    """The ``number``-th delivery of a rehearsal, from 1."""
    return Delivery(id=_DELIVERY_ID.format(number), event_id=event.id, route=route, destination=destination)


def hours(each: Considered, rehearsal: Rehearsal) -> str:
    """That an entry does not send what is received outside its hours, in words; empty: it does."""
    if not each.taken or not each.entry.is_skipped(rehearsal.event.received_at):
        return ""
    return "skipped: outside its hours, so nothing is sent"


def gathers(each: Considered, rehearsal: Rehearsal, shown_key: Callable[[str], str] = str) -> str:
    """How an entry gathers an event with others, in words; empty: it does not. ``shown_key`` masks the key for people."""
    how = each.entry.gathers
    if how is None or not each.taken or each.entry.is_skipped(rehearsal.event.received_at):
        return ""
    if isinstance(how, Digest):
        key = how.gather(rehearsal.facts).key
        return f"gathers in a digest of at most {how.most} events" + (f", for {shown_key(key)}" if key else "")
    try:
        gather = how.gather(Namespace(rehearsal.facts))
    except RenderError as error:
        return f"the key of debounce cannot be rendered, so it is sent at once: {error}"
    if gather is None:
        return "the key of debounce is empty, so it is sent at once"
    return f"sent once no other event of the key {shown_key(gather.key)} has come for {duration(how.quiet_s)}"


def once(each: Considered, rehearsal: Rehearsal, shown_key: Callable[[str], str] = str) -> str:
    """Whether ``once`` lets an entry fire, in words; empty: it has none. ``shown_key`` masks the key for people."""
    entry = each.entry
    if entry.once is None or not each.taken or entry.is_skipped(rehearsal.event.received_at):
        return ""
    if entry.name in rehearsal.held_back:
        return rehearsal.held_back[entry.name]
    try:
        firing = entry.once.firing(entry, rehearsal.facts)
    except RenderError as error:
        return f"the key of once cannot be rendered, so nothing is held back: {error}"
    if firing is None:
        return "the key of once is empty, so nothing is held back"
    return f"fires once in {duration(firing.window_s)} for the key {shown_key(firing.key)}"


def attempted(
    config: Config,
    delivery: Delivery,
    event: Event,
    payload: object,
    console: str = "",
    *,
    known: Known | None = None,
    recalled: Recollection | None = None,
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsed:
    """A delivery as an attempt would send it now; ``console`` is the address the console listens at.

    ``known``: what is remembered; None: examples stand for it. ``recalled``: what its templates have of it, if not that.
    ``looked_up``: what look-ups find, by name, and null for what is left out; None: nobody knows, so the request is shown
    as if nothing were found. It is signed as if it were sent when the event came in: so the same event always makes the
    same request.
    """
    fetches = config.fetches.get(delivery.route, ())
    found = {fetch.name: (looked_up or {}).get(fetch.name) for fetch in fetches}
    looking = tuple(_asking(config, fetch, delivery, event, payload, found) for fetch in fetches)
    names = " and ".join(found)
    is_assumed = bool(found) and looked_up is None
    made = Rehearsed(route=delivery.route, destination=delivery.destination, lookups=looking)
    unasked = next((each for each in looking if each.error), None)
    if unasked is not None:
        return replace(made, error=f"fetch {unasked.name}: {unasked.error}")
    try:
        asked = config.asked(delivery, event, payload)
        recalled = recollect(asked, known) if recalled is None else recalled
        made = replace(made, recalled=recalled, memory=tuple(described(asked, known)))
        request = config.built(delivery, event, payload, console, recalled=recalled, looked_up=found).request
        request = config.destinations[delivery.destination].signed(request, delivery.id, event.received_at)
        remembering = config.remembering(delivery, event, payload)
    except NothingChosen as error:
        return replace(made, not_shown=_depends(names)) if is_assumed else replace(made, discarded=str(error))
    except BuildError as error:
        return replace(made, not_shown=_depends(names)) if is_assumed else replace(made, error=str(error))
    assumed = f"as if {names} had found nothing" if is_assumed else ""
    promise = [remembering.promise] if remembering else []
    return replace(made, request=request, memory=(*made.memory, *promise), assumed=assumed)


def _depends(names: str) -> str:
    return f"it depends on what {names} finds, which is looked up at the attempt"


def _asking(
    config: Config, fetch: Fetch, delivery: Delivery, event: Event, payload: object, known: Mapping[str, object]
) -> Asking:
    try:
        request = config.lookup(fetch, delivery, event, payload, known)
    except BuildError as error:
        return Asking(name=fetch.name, destination=fetch.destination, error=str(error))
    return Asking(name=fetch.name, destination=fetch.destination, request=request)
