"""What routes.yaml comes to: an immutable Config. One that exists is valid, and nothing checks it again."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.destinations import Kind, Parts, Target
from gateway.destinations.gates import Rules
from gateway.destinations.retry import Policy
from gateway.destinations.target import NO_OPTIONS
from gateway.egress import Door
from gateway.errors import NameGone, Place, Problem
from gateway.event.match import Explanation, Matcher, Rule, explain
from gateway.event.naming import Naming
from gateway.event.paths import MISSING, Facts, lookup
from gateway.event.payload import kept_headers, parse, parse_body, slices
from gateway.hiding.addresses import masked_url
from gateway.hiding.masks import Masks
from gateway.hiding.redaction import EVERYTHING, NOTHING, Redaction
from gateway.hiding.requests import masked_request
from gateway.model import Content, Delivery, Event, Notice, OutboundRequest, Secret, Text, new_id
from gateway.presets import OWN
from gateway.render import Namespace, Renderer
from gateway.routing.cases import Test
from gateway.signatures import RawHeaders, Verifier
from gateway.signatures.handshakes import Handshake
from gateway.store.nouns import Firing, Retention

#: A longer key is known by its hash, characters.
LONGEST_KEY: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One event of a request, before it is matched."""

    event: Event
    payload: object
    #: What it is known by, for its source.
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who sends events, and how they are verified and named."""

    name: str
    #: Of its door on the ingest listener: ``/in/xobito``.
    path: str
    #: Empty: the file says everything.
    preset: str
    verifier: Verifier
    naming: Naming
    #: Asked before anything is sent.
    handshakes: tuple[tuple[Handshake, Verifier | None], ...] = ()
    #: What a GET handshake shows; the secrets where there is no token of its own.
    handshake_tokens: tuple[Secret, ...] = ()
    #: The status that says "taken".
    reply: int = 202
    #: Where its secrets come from, in words: ``${XOBITO_WEBHOOK_SECRET}, which is read at start``; empty: it has none.
    secret_from: str = ""
    #: A method with which the sender asks only whether anyone listens; empty: it does not.
    probe: str = ""
    #: Bytes.
    max_body: int = 1024 * 1024
    #: Lower-case names of headers that travel with verbatim bytes.
    kept_headers: frozenset[str] = frozenset()
    #: How long a key is remembered, seconds.
    dedupe_s: float = 30 * 86400.0
    #: What of its events people are not to see.
    redaction: Redaction = NOTHING

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Any of them will do."""
        return tuple(each.secret for each in self.verifier.credentials)

    @property
    def takes_get(self) -> bool:
        return any(handshake.method == "GET" for handshake, _ in self.handshakes)

    def received(self, headers: RawHeaders, body: bytes, *, now: float) -> list[Received]:
        """The events of a request, each with a new id. Raises Unparsable, and then none of them is one."""
        kept = kept_headers(headers)
        payload = parse_body(body, kept.get("content-type", ""))
        items = slices(body, self.naming.split) if self.naming.split else []
        if not items:
            event = self._event(kept, body, payload, now)
            return [Received(event=event, payload=payload, key=self.naming.key(payload, kept, event.sha256))]
        found = []
        for at, item in enumerate(items):
            payload = parse(item)
            event = self._event(kept, item, payload, now)
            found.append(Received(event=event, payload=payload, key=self.naming.key(payload, kept, event.sha256, at)))
        return found

    def _event(self, kept: Mapping[str, str], body: bytes, payload: object, now: float) -> Event:
        return Event(
            id=new_id("evt", now),
            source=self.name,
            type=self.naming.type_of(payload, kept),
            received_at=now,
            headers=kept,
            body=body,
            sha256=hashlib.sha256(body).digest(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """How to reach someone."""

    name: str
    kind: Kind
    target: Target
    #: Deliveries that may be on their way at once.
    concurrency: int = 32
    #: Of one attempt.
    timeout_s: float = 10.0
    retry: Policy = field(default_factory=Policy)
    #: When it may be sent to.
    gate: Rules = field(default_factory=Rules)
    #: How it may be reached.
    door: Door = field(default_factory=Door)
    #: Where the key of an event's lane stands; empty: order is nothing to it.
    order: tuple[str, ...] = ()

    def masked(self, request: OutboundRequest) -> OutboundRequest:
        """A request to it with ``***`` for what may be a secret of the file."""
        return masked_request(request, self.target.url, is_path_public=self.kind.is_path_public)

    def masked_url(self, url: str) -> str:
        """The url of a request to it, masked in the same way."""
        return masked_url(url, self.target.url, is_path_public=self.kind.is_path_public)

    def lane(self, facts: Facts) -> str | None:
        """What events that are to arrive one after the other have in common; None: this one has no such key."""
        return key_text(lookup(facts, self.order)) if self.order else None


def key_text(value: object) -> str | None:
    """A value as a key, at most LONGEST_KEY characters; None of what is missing, null or empty."""
    if value is MISSING or value is None or value == "":
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What makes an entry fire only once."""

    per: Renderer[Text]
    window_s: float

    def firing(self, entry: "Entry", facts: Facts) -> Firing | None:
        """What the entry fires for; None: the event has no such key, and nothing is held back. Raises RenderError."""
        key = key_text(self.per(facts).text.strip())
        routes = frozenset(route for route, _ in entry.deliveries)
        return None if key is None else Firing(name=entry.name, key=key, window_s=self.window_s, routes=routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What an entry says to one destination, compiled."""

    method: str | None = None
    path: Renderer[str] | None = None
    query: tuple[tuple[str, Renderer[str]], ...] = ()
    headers: tuple[tuple[str, Renderer[str]], ...] = ()
    #: None: the exact bytes received.
    content: Renderer[Content] | None = None
    #: Options of the destination that are templates.
    options: tuple[tuple[str, Renderer[Text]], ...] = ()
    #: Whether the text itself says how many dead deliveries it stands for.
    counts: bool = False

    def render(self, facts: Facts, event: Event, delivery_id: str, kept_headers: frozenset[str]) -> Parts:
        """The parts of the request for one event. Raises RenderError."""
        # Exact bytes, as of an archive, come without a template most often.
        names = facts if self.content is None and not self.options else Namespace(facts)
        return Parts(
            event=event,
            delivery_id=delivery_id,
            method=self.method,
            path="" if self.path is None else self.path(names),
            query=tuple((name, value(names)) for name, value in self.query),
            headers=tuple((name, value(names)) for name, value in self.headers),
            content=None if self.content is None else self._said(names, facts),
            options={name: value(names).text for name, value in self.options} if self.options else NO_OPTIONS,
            verbatim_headers=()
            if self.content is not None
            else tuple((name, value) for name, value in event.headers.items() if name in kept_headers),
        )

    def _said(self, names: Facts, facts: Facts) -> Content:
        assert self.content is not None
        said = self.content(names)
        more = lookup(facts, _COUNT)
        if isinstance(more, int) and more > 1 and isinstance(said, Text) and not self.counts:
            return Text(f"{said.text} (and {more - 1:,} more like it within a minute)")
        return said


_COUNT: Final = ("delivery", "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of ``always``, ``routes``, ``unmatched`` or ``failed``."""

    name: str
    #: ``always``, ``routes``, ``unmatched`` or ``failed``.
    section: str
    place: Place
    rule: Rule
    #: By destination, in the order written; none: the event is ignored.
    messages: Mapping[str, Message]
    #: (entry, destination) of every delivery, with those of its ``send``.
    deliveries: tuple[tuple[str, str], ...]
    once: Once | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One entry held against one event."""

    entry: Entry
    #: None: it was not looked at, because an entry before it took the event.
    explanation: Explanation | None

    @property
    def taken(self) -> bool:
        return self.explanation is not None and self.explanation.taken


class Entries:
    """The entries of one section with their index."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._entries = tuple(entries)
        self._matcher = Matcher([entry.rule for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def names(self) -> Sequence[str]:
        return tuple(entry.name for entry in self._entries)

    def taking(self, facts: Facts) -> Sequence[Entry]:
        """Those that take an event, in their order."""
        return [self._entries[position] for position in self._matcher.match(facts)] if self._entries else ()

    def considered(self, facts: Facts) -> Sequence[Considered]:
        """Every one of them, in order, and why it takes an event or does not."""
        found: list[Considered] = []
        is_over = False
        for entry in self._entries:
            each = Considered(entry=entry, explanation=None if is_over else explain(entry.rule, facts))
            is_over = is_over or (each.taken and entry.rule.stops)
            found.append(each)
        return found

    def passed_over(self) -> Sequence[Considered]:
        """Every one of them, none looked at."""
        return [Considered(entry=entry, explanation=None) for entry in self._entries]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What events are routed by."""

    always: Entries = field(default_factory=Entries)
    routed: Entries = field(default_factory=Entries)
    unmatched: Entries = field(default_factory=Entries)

    def taking(self, facts: Facts) -> Sequence[Entry]:
        """The entries that take an event: those of always, then each route that matches, else of unmatched."""
        return [*self.always.taking(facts), *(self.routed.taking(facts) or self.unmatched.taking(facts))]

    def considered(self, facts: Facts) -> Sequence[Considered]:
        """Every entry, in order, and why it takes an event or does not."""
        routed = self.routed.considered(facts)
        is_routed = any(each.taken for each in routed)
        unmatched = self.unmatched.passed_over() if is_routed else self.unmatched.considered(facts)
        return [*self.always.considered(facts), *routed, *unmatched]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A routes.yaml that is in order, with its templates."""

    #: 8 hex digits of a hash over the file and the templates it uses.
    revision: str
    #: The SHA-256 of everything that was read, by its name in the folder: the file, what it includes, templates.
    files: Mapping[str, bytes]
    #: The patterns of what it includes: a new file that fits one will be read, too.
    includes: tuple[str, ...]
    sources: Mapping[str, Source]
    #: By the path that they listen at.
    doors: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    #: Of every section, by name.
    entries: Mapping[str, Entry]
    #: What the events of ``sources`` are routed by.
    sections: Sections
    #: What happens to the gateway itself, as events; no sender's.
    own: Source
    #: The entries that take those.
    own_sections: Sections
    #: Who is told of dead deliveries.
    failed: Entries
    #: Where people reach the console: ``https://gateway.example.com``; empty: where it listens.
    console_url: str = ""
    retention: Retention = field(default_factory=Retention)
    #: Destinations whose url is made up, because a variable in it is not set (``gateway dev``).
    inboxes: frozenset[str] = frozenset()
    #: Sources that verify with DEMO_SECRET for the same reason.
    demo_sources: frozenset[str] = frozenset()
    #: Destinations with ``enabled: false``: as if absent.
    disabled: frozenset[str] = frozenset()
    tests: tuple[Test, ...] = ()
    warnings: tuple[Problem, ...] = ()
    #: What hides the secrets of the file in all that is printed.
    masks: Masks = field(default_factory=lambda: Masks(()))

    @property
    def routes(self) -> int:
        """How many entries ``routes`` has."""
        return len(self.sections.routed)

    @property
    def takers(self) -> Sequence[str]:
        """The names of the entries that take events; a part of one under ``send`` does not by itself."""
        return (*self.sections.always.names, *self.sections.routed.names, *self.sections.unmatched.names)

    def sections_of(self, source: str) -> Sections:
        """What the events of a source are routed by."""
        return self.own_sections if source == OWN else self.sections

    def plan(self, source: Source, facts: Facts) -> tuple[tuple[str, str], ...]:
        """(route, destination) of every delivery of an event, as if nothing had fired before."""
        taking = self.sections_of(source.name).taking(facts)
        return tuple(delivery for entry in taking for delivery in entry.deliveries)

    def explain(self, source: Source, facts: Facts) -> Sequence[Considered]:
        """Every entry of always, routes and unmatched, in order, and why it takes an event or does not."""
        return self.sections_of(source.name).considered(facts)

    def tell(self, notice: Notice, event: Event, payload: object) -> tuple[tuple[str, str], ...]:
        """(route, destination) of those that are told of a dead delivery of this event."""
        source = self.sources.get(event.source)
        if source is None or not len(self.failed):
            return ()
        facts = self._with_notice(source.naming.facts(event, payload), notice, event)
        return tuple(delivery for entry in self.failed.taking(facts) for delivery in entry.deliveries)

    def explain_failed(self, notice: Notice, event: Event, facts: Facts) -> Sequence[Considered]:
        """Every entry of failed, and why it would tell of a dead delivery of this event or would not."""
        return self.failed.considered(self._with_notice(facts, notice, event))

    def _with_notice(self, facts: Facts, notice: Notice, event: Event, console: str = "") -> Facts:
        told = {
            "id": notice.id,
            "destination": notice.destination,
            "route": notice.route,
            "attempts": notice.attempts,
            "reason": notice.reason,
            "status": notice.status,
            "count": notice.count,
            "link": f"{self.console_url or console}/events/{event.id}",
        }
        return {**facts, "delivery": told}

    def build(self, delivery: Delivery, event: Event, payload: object, console: str = "") -> OutboundRequest:
        """The request of a delivery, by the file as it is now; ``console`` is where the console listens.

        Raises NameGone, RenderError or another BuildError, and nothing else.
        """
        destination = self.destinations.get(delivery.destination)
        if delivery.destination in self.disabled:
            raise NameGone(f'the destination "{delivery.destination}" is disabled: enable it and replay')
        if destination is None:
            raise _gone(f'the destination "{delivery.destination}" is no longer in routes.yaml')
        entry = self.entries.get(delivery.route)
        if entry is None:
            raise _gone(f'the route "{delivery.route}" is no longer in routes.yaml')
        message = entry.messages.get(delivery.destination)
        if message is None:
            raise _gone(f'the route "{delivery.route}" no longer sends to "{delivery.destination}"')
        source = self._source(event)
        facts = source.naming.facts(event, payload)
        if delivery.notice is not None:
            facts = self._with_notice(facts, delivery.notice, event, console)
        if entry.rule.expression is not None:
            # One that failed took the event: here it says why.
            entry.rule.expression.evaluate(facts)
        parts = message.render(facts, event, delivery.id, source.kept_headers)
        return destination.kind.request(destination.target, parts)

    def redaction(self, event: Event) -> Redaction:
        """What of an event people are not to see; of a source that is gone all of it, where the file redacts anything."""
        source = self.source(event.source)
        if source is not None:
            return source.redaction
        return EVERYTHING if any(each.redaction.paths for each in self.sources.values()) else NOTHING

    def stripped(self, event: Event) -> bytes:
        """The body that an event keeps in the store that came in to be redacted: where the file no longer says how, none of it."""
        redaction = self.redaction(event)
        return redaction.stripped(event) if redaction.paths else b"{}"

    def source(self, name: str) -> Source | None:
        """The source of that name, the gateway's own too; None: it is not in the file."""
        return self.own if name == OWN else self.sources.get(name)

    def _source(self, event: Event) -> Source:
        source = self.source(event.source)
        if source is None:
            raise _gone(f'the source "{event.source}" is no longer in routes.yaml')
        return source


def _gone(what: str) -> NameGone:
    return NameGone(f"{what}: put it back and replay, or discard the delivery")
