"""The entries of a file, compiled: which events they match, and what they send to each destination."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from gateway.destinations import Parts
from gateway.destinations.target import NO_OPTIONS
from gateway.errors import NothingChosen, Place
from gateway.event.explain import Explanation, explain
from gateway.event.match import Matcher, Rule
from gateway.event.naming import INVALID
from gateway.event.paths import Facts, lookup
from gateway.model import Content, Event, Text
from gateway.render import Namespace, Renderer
from gateway.routing.gathering import Debounce, Digest
from gateway.routing.keys import key_text
from gateway.routing.memory import Recall, Remember
from gateway.routing.timing import Timing
from gateway.store.nouns import Firing


class Once(Struct, frozen=True, kw_only=True):
    """Lets an entry fire only once per key."""

    per: Renderer[Text]
    window_s: float

    def firing(self, entry: "Entry", facts: Facts) -> Firing | None:
        """The firing for an event; None: the event has no key, so nothing is held back. Raises RenderError."""
        key = key_text(self.per(facts).text.strip())
        routes = frozenset(route for route, _ in entry.deliveries)
        return None if key is None else Firing(name=entry.name, key=key, window_s=self.window_s, routes=routes)


class Message(Struct, frozen=True, kw_only=True):
    """What an entry sends to one destination, compiled."""

    method: str | None = None
    path: Renderer[str] | None = None
    query: tuple[tuple[str, Renderer[str]], ...] = ()
    #: Whether path or query is made from the event.
    is_own_address: bool = False
    headers: tuple[tuple[str, Renderer[str]], ...] = ()
    #: None: the exact bytes received.
    content: Renderer[Content] | None = None
    #: Options of the destination that are templates.
    options: tuple[tuple[str, Renderer[Text]], ...] = ()
    #: Whether the text itself mentions how many dead deliveries it covers.
    counts: bool = False
    recalls: tuple[Recall, ...] = ()
    remember: Remember | None = None
    #: The elements of ``choose``: the first that holds is sent, and nothing else here says what. Empty: it has none.
    choices: tuple["Choice", ...] = ()

    def chosen(self, facts: Facts) -> tuple["Message", int]:
        """What is sent of an event, and which element of ``choose`` says so, from 1; 0: there are none.

        Raises NothingChosen, or RenderError if a condition fails.
        """
        if not self.choices:
            return self, 0
        for at, choice in enumerate(self.choices, start=1):
            if choice.holds is None or choice.holds(facts):
                return choice.message, at
        raise NothingChosen(f"no element of choose holds ({self.choices[0].place})")

    def render(self, facts: Facts, event: Event, delivery_id: str, kept_headers: frozenset[str]) -> Parts:
        """Render the parts of the request for one event. Raises RenderError."""
        # Exact bytes, as in an archive, rarely need a template.
        names = facts if self.content is None and not self.options else Namespace(facts)
        return Parts(
            event=event,
            delivery_id=delivery_id,
            method=self.method,
            path="" if self.path is None else self.path(names),
            query=tuple((name, value(names)) for name, value in self.query),
            headers=tuple((name, value(names)) for name, value in self.headers),
            content=None if self.content is None else self._content(names, facts),
            options={name: value(names).text for name, value in self.options} if self.options else NO_OPTIONS,
            verbatim_headers=()
            if self.content is not None
            else tuple((name, value) for name, value in event.headers.items() if name in kept_headers),
        )

    def _content(self, names: Facts, facts: Facts) -> Content:
        assert self.content is not None
        content = self.content(names)
        more = lookup(facts, _COUNT)
        if isinstance(more, int) and more > 1 and isinstance(content, Text) and not self.counts:
            return Text(f"{content.text} (and {more - 1:,} more like it within a minute)")
        return content


_COUNT: Final = ("delivery", "count")


class Choice(Struct, frozen=True, kw_only=True):
    """One element of ``choose``."""

    place: Place
    #: None: it always holds.
    holds: Renderer[bool] | None
    message: Message


class Fetch(Struct, frozen=True, kw_only=True):
    """What an entry looks up before it is sent."""

    #: What templates call the answer.
    name: str
    #: Where it looks.
    destination: str
    #: The request; its method is GET or POST, and its content is never the event itself.
    message: Message
    #: How long an answer may be used again, seconds; 0: never.
    cache_s: float = 0.0


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of ``always``, ``routes``, ``unmatched`` or ``failed``."""

    name: str
    #: ``always``, ``routes``, ``unmatched``, ``invalid`` or ``failed``.
    section: str
    place: Place
    rule: Rule
    #: Messages by destination, in the order written; empty: the event is ignored.
    messages: Mapping[str, Message]
    #: (entry, destination) of every delivery, including those of its ``send``.
    deliveries: tuple[tuple[str, str], ...]
    once: Once | None = None
    #: None: what it sends is sent at once.
    timing: Timing | None = None
    #: None: each event is sent by itself.
    gathers: Digest | Debounce | None = None
    #: Whether it only shows what it would send.
    shadow: bool = False
    #: What each delivery looks up first, in this order.
    fetches: tuple[Fetch, ...] = ()

    def names_source(self, name: str) -> bool:
        """Whether it names a source under ``source``."""
        return self.rule.sources is not None and name in self.rule.sources

    @property
    def waits_for_hours(self) -> bool:
        """Whether each of its attempts is made within its hours."""
        return self.timing is not None and self.timing.hours is not None and not self.timing.skips

    def is_skipped(self, now: float) -> bool:
        """Whether it sends nothing for an event that is received now, outside its hours."""
        return self.timing is not None and self.timing.is_skipped(now)


class Considered(Struct, frozen=True, kw_only=True):
    """One entry checked against one event."""

    entry: Entry
    #: None: it was not checked, because an earlier entry matched.
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

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def names(self) -> Sequence[str]:
        return tuple(entry.name for entry in self._entries)

    def matching(self, facts: Facts) -> Sequence[Entry]:
        """The entries that match an event, in order."""
        return [self._entries[position] for position in self._matcher.match(facts)] if self._entries else ()

    def considered(self, facts: Facts) -> Sequence[Considered]:
        """Every entry in order, and why it matches the event or not."""
        found: list[Considered] = []
        is_over = False
        for entry in self._entries:
            each = Considered(entry=entry, explanation=None if is_over else explain(entry.rule, facts))
            is_over = is_over or (each.taken and entry.rule.stops)
            found.append(each)
        return found

    def passed_over(self) -> Sequence[Considered]:
        """Every entry in order, none of them checked."""
        return [Considered(entry=entry, explanation=None) for entry in self._entries]


class Sections(Struct, frozen=True, kw_only=True):
    """The sections that route events."""

    always: Entries = field(default_factory=Entries)
    routed: Entries = field(default_factory=Entries)
    unmatched: Entries = field(default_factory=Entries)
    #: Instead of the last two, for events that do not fit the schema of their source.
    invalid: Entries = field(default_factory=Entries)

    def matching(self, facts: Facts) -> Sequence[Entry]:
        """The entries that match an event: those of always, then the routes, or else those of unmatched."""
        if INVALID in facts:
            return [*self.always.matching(facts), *self.invalid.matching(facts)]
        return [*self.always.matching(facts), *(self.routed.matching(facts) or self.unmatched.matching(facts))]

    def considered(self, facts: Facts) -> Sequence[Considered]:
        """Every entry in order that is for such events, and why it matches the event or not."""
        if INVALID in facts:
            return [*self.always.considered(facts), *self.invalid.considered(facts)]
        routed = self.routed.considered(facts)
        is_routed = any(each.taken for each in routed)
        unmatched = self.unmatched.passed_over() if is_routed else self.unmatched.considered(facts)
        return [*self.always.considered(facts), *routed, *unmatched]
