"""Plays an event through a Config: what would be planned and sent. Nothing is stored or leaves the process."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import BuildError, NothingChosen, RenderError
from gateway.event.paths import Facts
from gateway.model import Delivery, Event, Notice, OutboundRequest, new_id
from gateway.routing import Config, Source
from gateway.routing.cases import JSON_HEADERS
from gateway.routing.entries import Considered, Fetch
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
    #: Every entry of failed, as if the first delivery became dead; empty: nothing is sent or reported.
    told: Sequence[Considered] = ()
    #: For a stored event: entries that had fired for its key before, with the explanation.
    held_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ignored(self) -> bool:
        """Whether a ``to: []`` matched and no other entry of ``routes`` sends it anywhere."""
        routed = [each.entry for each in self.considered if each.taken and each.entry.section == "routes"]
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
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsal:
    """Play ``body`` as if it had been received at ``now`` with a valid signature.

    ``headers`` have lower-case names; ``looked_up`` is as in ``attempted``. Raises RequestRefused.
    """
    if len(body) > source.max_body:
        raise source.too_large
    first = source.received(headers, body, now=now, query=query, method=source.first_method)[0]
    return rehearse_event(config, source, replace(first.event, id=EVENT_ID), first.payload, looked_up=looked_up)


def rehearse_event(
    config: Config,
    source: Source,
    event: Event,
    payload: object,
    held_back: Mapping[str, str] = NONE_HELD_BACK,
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsal:
    """Play an event received before; ``payload`` is its parsed body, ``held_back`` as in Rehearsal.

    ``looked_up`` is as in ``attempted``.
    """
    facts = source.naming.facts(event, payload)
    considered = config.explain(source, facts)
    silent = {route for each in considered if each.entry.name in held_back for route, _ in each.entry.deliveries}
    plan = [each for each in config.plan(source, facts) if each[0] not in silent]
    return Rehearsal(
        event=event,
        facts=facts,
        considered=considered,
        deliveries=tuple(
            attempted(config, planned(event, number, *each), event, payload, looked_up=looked_up)
            for number, each in enumerate(plan, start=1)
        ),
        told=() if not plan or source is config.own else config.explain_failed(_given_up(*plan[0]), event, facts),
        held_back=held_back,
    )


def _given_up(route: str, destination: str) -> Notice:
    reason = "HTTP 503 Service Unavailable"
    return Notice(
        id=_DELIVERY_ID.format(1), destination=destination, route=route, attempts=12, reason=reason, status=503
    )


def planned(event: Event, number: int, route: str, destination: str) -> Delivery:
    """The ``number``-th delivery of a rehearsal, from 1."""
    return Delivery(id=_DELIVERY_ID.format(number), event_id=event.id, route=route, destination=destination)


def once(each: Considered, rehearsal: Rehearsal, shown_key: Callable[[str], str] = str) -> str:
    """Whether ``once`` lets an entry fire, in words; empty: it has none. ``shown_key`` masks the key for people."""
    entry = each.entry
    if entry.once is None or not each.taken:
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
    looked_up: Mapping[str, object] | None = None,
) -> Rehearsed:
    """A delivery as an attempt would send it now; ``console`` is the address the console listens at.

    ``looked_up``: what look-ups find, by name, and null for what is left out. None: nobody knows, so the request is shown
    as if nothing were found.
    """
    fetches = config.fetches.get(delivery.route, ())
    known = {fetch.name: (looked_up or {}).get(fetch.name) for fetch in fetches}
    asked = tuple(_asking(config, fetch, delivery, event, payload, known) for fetch in fetches)
    names = " and ".join(known)
    is_assumed = bool(known) and looked_up is None
    made = Rehearsed(route=delivery.route, destination=delivery.destination, lookups=asked)
    unasked = next((each for each in asked if each.error), None)
    if unasked is not None:
        return replace(made, error=f"fetch {unasked.name}: {unasked.error}")
    try:
        request = config.built(delivery, event, payload, console, known).request
    except NothingChosen as error:
        return replace(made, not_shown=_depends(names)) if is_assumed else replace(made, discarded=str(error))
    except BuildError as error:
        return replace(made, not_shown=_depends(names)) if is_assumed else replace(made, error=str(error))
    return replace(made, request=request, assumed=f"as if {names} had found nothing" if is_assumed else "")


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
