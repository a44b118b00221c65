"""What routes.yaml comes to: an immutable Config. One that exists is valid, and nothing checks it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.errors import NameGone, Problem
from gateway.event.paths import Facts
from gateway.hiding.masks import Masks
from gateway.hiding.redaction import EVERYTHING, NOTHING, Redaction
from gateway.model import Delivery, Event, Notice, OutboundRequest
from gateway.presets import OWN
from gateway.routing.cases import Test
from gateway.routing.destinations import Destination
from gateway.routing.entries import Considered, Entries, Entry, Sections
from gateway.routing.sources import Source
from gateway.store.nouns import Retention


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
        return destination.kind.build(destination.target, parts)

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
