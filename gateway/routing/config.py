"""The Config in force: immutable, and valid by construction, so nothing checks it again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from gateway.errors import NameGone, Place, Problem, RenderError
from gateway.event.paths import Facts
from gateway.hiding.masks import Hiding, Masks
from gateway.hiding.redaction import EVERYTHING, NOTHING, Redaction
from gateway.model import Delivery, Event, Notice, OutboundRequest
from gateway.presets import OWN
from gateway.routing import memory
from gateway.routing.cases import Test
from gateway.routing.destinations import Destination
from gateway.routing.entries import Considered, Entries, Entry, Fetch, Message, Sections
from gateway.routing.gathering import Digest
from gateway.routing.memory import Asked, Recall, Recollection, Remembering
from gateway.routing.peers import Peers
from gateway.routing.sources import Source
from gateway.routing.timing import UNTIMED, Waiting, waiting
from gateway.store import rules
from gateway.store.nouns import Limits, Retention

#: How a file looks without being read: inode, time of its content and of its inode, size.
Look = tuple[int, int, int, int]


class Trials(Protocol):
    """Entries that are not in the file, compiled as if they were; see ``config.trial``."""

    def config(self, entry: str, templates: Mapping[str, str], kind: str = "") -> "Config": ...
    def written(self, place: Place, masks: Masks) -> str: ...
    @property
    def templates(self) -> Mapping[str, str]: ...


class Built(Struct, frozen=True):
    """The request of a delivery."""

    request: OutboundRequest
    #: What its route sends to its destination.
    message: Message
    #: The element of ``choose`` that says what is sent, from 1; 0: there are none.
    choice: int = 0


NOTHING_LOOKED_UP: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A valid routes.yaml with its templates, compiled."""

    #: 8 hex digits of a hash of the file and the templates it uses.
    revision: str
    #: SHA-256 of every file that was read, by name in the folder: routes.yaml, included files, templates.
    files: Mapping[str, bytes]
    #: How each file that holds a value looked when it was read, by its path as written: ``${file:...}``, ``tls.ca``.
    values: Mapping[str, Look | None]
    #: The patterns under ``include``: a new file that matches one will be read, too.
    includes: tuple[str, ...]
    sources: Mapping[str, Source]
    #: Sources by the path they listen at.
    doors: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    #: The entries of all sections, by name, without those with ``shadow: true``.
    entries: Mapping[str, Entry]
    #: What the deliveries of a route look up first, by the route's name; without those that look up nothing.
    fetches: Mapping[str, Sequence[Fetch]]
    #: The entries for events of ``sources``.
    sections: Sections
    #: The names of entries that have ``hours`` in which every attempt is made.
    with_hours: frozenset[str] = frozenset()
    #: The names of entries that do not send at once: with delay, hours, digest or debounce.
    timed: frozenset[str] = frozenset()
    #: The source of the gateway's own events.
    own: Source
    #: The entries for those.
    own_sections: Sections
    #: The entries that report dead deliveries.
    failed: Entries
    #: Where people reach the console: ``https://gateway.example.com``; empty: the address it listens at.
    console_url: str = ""
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)
    #: The machines in front of the gateway.
    peers: Peers = field(default_factory=Peers)
    #: Destinations that ``gateway dev`` records, because a variable in their address is not set.
    inboxes: frozenset[str] = frozenset()
    #: Sources that use DEMO_SECRET for the same reason.
    demo_sources: frozenset[str] = frozenset()
    #: Where the path of each destination of type file is written, and the line as it may be shown.
    paths: Mapping[str, tuple[Place, str]] = field(default_factory=dict)
    #: Destinations of type file whose path has a made-up value, so that nothing is known about its folder.
    made_up_paths: frozenset[str] = frozenset()
    #: Destinations with ``enabled: false``, treated as absent.
    disabled: frozenset[str] = frozenset()
    #: The same file as if its entries with ``shadow: true`` sent, too; None: it has no such entry.
    shadow: "Config | None" = None
    tests: tuple[Test, ...] = ()
    warnings: tuple[Problem, ...] = ()
    #: Each secret that is written in the file itself, with what to write instead.
    literal_secrets: tuple[Problem, ...] = ()
    #: Hides the secrets of the file in everything that is printed.
    masks: Masks = field(default_factory=lambda: Masks(()))
    #: The same configuration with the values that its files hold now, whatever was saved elsewhere. Raises ConfigError.
    reread: Callable[[], "Config"] = field(repr=False, compare=False)
    #: For somebody who tries an entry out before it is in the file.
    trials: Trials = field(repr=False, compare=False)

    @property
    def routes(self) -> int:
        """Number of entries in ``always`` and ``routes``."""
        return len(self.sections.always) + len(self.sections.routed)

    @property
    def takers(self) -> Sequence[str]:
        """The names of the entries that match events, without the elements of their ``send``."""
        return (
            *self.sections.always.names,
            *self.sections.routed.names,
            *self.sections.unmatched.names,
            *self.sections.invalid.names,
        )

    def sections_of(self, source: str) -> Sections:
        """The entries for events of a source."""
        return self.own_sections if source == OWN else self.sections

    def plan(self, source: Source, facts: Facts, now: float | None = None) -> tuple[tuple[str, str], ...]:
        """(route, destination) of every delivery of an event received ``now``, as if no ``once`` had fired before.

        None: at a time when the hours of all entries are open.
        """
        matching = self.sections_of(source.name).matching(facts)
        sending = (entry for entry in matching if now is None or not entry.is_skipped(now))
        return tuple(delivery for entry in sending for delivery in entry.deliveries)

    def closed_s(self, route: str, now: float) -> float:
        """Seconds until the hours of an entry open for an attempt; 0 while they are open."""
        timing = self.entries[route].timing if route in self.with_hours else None
        return timing.closed_s(now) if timing is not None else 0.0

    def waiting(self, route: str, destination: str, now: float) -> Waiting | None:
        """What an event that is received ``now`` waits for before its first attempt; None: nothing in the file."""
        entry, known = self.entries.get(route), self.destinations.get(destination)
        timing = (entry.timing if entry else None) or UNTIMED
        return waiting(timing, known.hours if known else None, now, entry.gathers if entry else None)

    def explain(self, source: Source, facts: Facts) -> Sequence[Considered]:
        """Every entry of always, routes and unmatched, in order, and why it matches the event or not."""
        return self.sections_of(source.name).considered(facts)

    def tell(self, notice: Notice, event: Event, payload: object) -> tuple[tuple[str, str], ...]:
        """(route, destination) of every message about a dead delivery of this event."""
        source = self.sources.get(event.source)
        if source is None or not len(self.failed):
            return ()
        facts = self._with_notice(source.naming.facts(event, payload), notice, event)
        return tuple(delivery for entry in self.failed.matching(facts) for delivery in entry.deliveries)

    def explain_failed(self, notice: Notice, event: Event, facts: Facts) -> Sequence[Considered]:
        """Every entry of failed, and why it would report a dead delivery of this event or not."""
        return self.failed.considered(self._with_notice(facts, notice, event))

    def _with_notice(self, facts: Facts, notice: Notice, event: Event, console: str = "") -> Facts:
        delivery = {
            "id": notice.id,
            "destination": notice.destination,
            "route": notice.route,
            "attempts": notice.attempts,
            "reason": notice.reason,
            "status": notice.status,
            "count": notice.count,
            "link": f"{self.console_url or console}/events/{event.id}",
        }
        return {**facts, "delivery": delivery}

    def built(
        self,
        delivery: Delivery,
        event: Event,
        payload: object,
        console: str = "",
        *,
        facts: Facts | None = None,
        others: Sequence[tuple[Event, object]] = (),
        recalled: Recollection = memory.NOTHING,
        looked_up: Mapping[str, object] = NOTHING_LOOKED_UP,
    ) -> Built:
        """Build the request of a delivery by this configuration; ``console`` is the address the console listens at.

        ``facts``: of the event, if they are at hand; ``others``: of a digest, the events that followed ``event``, each with
        its payload; ``recalled``: what its message recalls; ``looked_up``: what its route has looked up, by name. Raises
        BuildError, such as NameGone or RenderError, and NothingChosen.
        """
        try:
            destination = self._destination(delivery.destination)
            entry, message = self._message(delivery)
            source = self._source(event)
            if facts is None or delivery.notice is not None:
                facts = self._facts(source, delivery, event, payload, console)
            every = (facts, *(self._source(other).naming.facts(other, said) for other, said in others))
            if entry.rule.expression is not None:
                # An expression that failed counted as a match: here it raises the reason.
                for each in every:
                    entry.rule.expression.evaluate(each)
            if isinstance(entry.gathers, Digest):
                facts = entry.gathers.facts(every)
            elif others:
                raise _gone(f'the route "{delivery.route}" no longer has the digest of these {len(every)} events')
            if message.recalls:
                facts = {**facts, **memory.recollected(message.recalls, recalled)}
            if looked_up:
                facts = {**facts, **looked_up}
            chosen, choice = message.chosen(facts)
            parts = chosen.render(facts, event, delivery.id, source.forwarded_headers(event))
            return Built(destination.kind.request(destination.target, parts), message, choice)
        except RenderError as error:
            raise _with_types(error, event, *(other for other, _ in others)) from None

    def lookup(
        self, fetch: Fetch, delivery: Delivery, event: Event, payload: object, before: Mapping[str, object]
    ) -> OutboundRequest:
        """Build the request of one look-up of a delivery; ``before``: what was looked up before it, by name.

        Raises BuildError.
        """
        try:
            destination = self._destination(fetch.destination)
            source = self._source(event)
            facts = {**source.naming.facts(event, payload), **before}
            parts = fetch.message.render(facts, event, delivery.id, frozenset())
            return destination.kind.request(destination.target, parts)
        except RenderError as error:
            raise _with_types(error, event) from None

    def _facts(self, source: Source, delivery: Delivery, event: Event, payload: object, console: str = "") -> Facts:
        facts = source.naming.facts(event, payload)
        return facts if delivery.notice is None else self._with_notice(facts, delivery.notice, event, console)

    def recalls(self, delivery: Delivery) -> Sequence[Recall]:
        """What its message recalls; nothing if the file no longer has it."""
        entry = self.entries.get(delivery.route)
        message = entry.messages.get(delivery.destination) if entry is not None else None
        return message.recalls if message is not None else ()

    def asked(self, delivery: Delivery, event: Event, payload: object) -> Asked:
        """What its message recalls for an event. Raises BuildError."""
        if not (recalls := self.recalls(delivery)):
            return ()
        try:
            facts = self._facts(self._source(event), delivery, event, payload)
            return [(each, each.subject(facts)) for each in recalls]
        except RenderError as error:
            raise _with_types(error, event) from None

    def remembering(self, delivery: Delivery, event: Event, payload: object) -> Remembering | None:
        """What its message keeps of the answer; None: nothing. Raises BuildError."""
        remember = self._message(delivery)[1].remember
        if remember is None:
            return None
        try:
            return remember.remembering(self._facts(self._source(event), delivery, event, payload))
        except RenderError as error:
            raise _with_types(error, event) from None

    def _destination(self, name: str) -> Destination:
        destination = self.destinations.get(name)
        if name in self.disabled:
            raise NameGone(f'the destination "{name}" is disabled: enable it and replay')
        if destination is None:
            raise _gone(f'the destination "{name}" is no longer in routes.yaml')
        return destination

    def message(self, delivery: Delivery) -> Message:
        """What its route sends to its destination. Raises NameGone."""
        return self._message(delivery)[1]

    def _message(self, delivery: Delivery) -> tuple[Entry, Message]:
        entry = self.entries.get(delivery.route)
        if entry is None and self.shadow is not None and delivery.route in self.shadow.entries:
            raise NameGone(
                f'the route "{delivery.route}" is a shadow now and sends nothing: remove "shadow" and replay, or discard '
                "the delivery"
            )
        if entry is None:
            raise _gone(f'the route "{delivery.route}" is no longer in routes.yaml')
        message = entry.messages.get(delivery.destination)
        if message is None:
            raise _gone(f'the route "{delivery.route}" no longer sends to "{delivery.destination}"')
        return entry, message

    def redaction(self, event: Event) -> Redaction:
        """What to hide of an event; all of it if its source is gone and any other source redacts something."""
        source = self.source(event.source)
        if source is not None:
            return source.redaction
        return EVERYTHING if any(each.redaction.paths for each in self.sources.values()) else NOTHING

    def hiding(self, event: Event, destination: str) -> Hiding:
        """Hides the secrets of the file and the redacted values of an event in what a destination said."""
        return Hiding(masks=self.masks, destination=destination, redact=self.redaction(event).mask_of(event))

    def hiding_all(self, events: Sequence[Event], destination: str) -> Hiding:
        """The same for what was said of several events."""
        redacts = [mask for event in events if (mask := self.redaction(event).mask_of(event)) is not str]

        def redact(text: str) -> str:
            for each in redacts:
                text = each(text)
            return text

        return Hiding(masks=self.masks, destination=destination, redact=redact if redacts else str)

    def stripped(self, event: Event) -> bytes:
        """The stored body of an event, redacted; ``{}`` if the file no longer says how."""
        redaction = self.redaction(event)
        return redaction.stripped(event) if redaction.paths else b"{}"

    @property
    def secret_headers(self) -> Mapping[str, frozenset[str]]:
        """By source, the headers that prove who sends; under ``""`` those of every event."""
        return {"": NOTHING.dropped, **{name: source.redaction.dropped for name, source in self.sources.items()}}

    def source(self, name: str) -> Source | None:
        """The source of that name, including the gateway's own; None if it is not in the file."""
        return self.own if name == OWN else self.sources.get(name)

    def _source(self, event: Event) -> Source:
        source = self.source(event.source)
        if source is None:
            raise _gone(f'the source "{event.source}" is no longer in routes.yaml')
        return source


def _with_types(error: RenderError, *events: Event) -> RenderError:
    """With the type of its event in the reason of a template that fails, of a digest those of its events."""
    return RenderError(error.place, rules.with_types(error.message, {event.type for event in events}))


def _gone(what: str) -> NameGone:
    return NameGone(f"{what}: put it back and replay, or discard the delivery")
