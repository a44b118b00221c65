"""What the read side of a store is asked, and what it answers."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

from gateway.errors import CorruptEvent
from gateway.model import Attempt, Delivery, DeliveryState, Event
from gateway.store.memory import Subject
from gateway.store.nouns import BodyIs, HeldBack

#: Rows that a search looks at before it ends early; takes some 50 ms.
EFFORT: Final = 20_000
#: Rows that reading a body and looking into it counts for.
BODY_EFFORT: Final = 5


class EventQuery(Struct, frozen=True, kw_only=True):
    """Which events, newest first; a field left at its default does not narrow the result."""

    source: str = ""
    #: A glob on the type: ``contact.created``, ``contact.*``.
    type: str = ""
    #: One of its deliveries goes there, and is in ``state`` if that is given as well.
    destination: str = ""
    state: DeliveryState | None = None
    #: Received within these bounds, seconds ago by the store's clock.
    since_s: float | None = None
    until_s: float | None = None
    #: Words that its payload has, as ``rules.words_in`` splits them; ``ada*`` is a prefix. They only narrow the search:
    #: an event that is not in the index yet always passes.
    words: tuple[str, ...] = ()
    #: As ``words``, and all those of one of these are enough.
    any_of: tuple[tuple[str, ...], ...] = ()
    #: Only these events; all of them are on one page and nothing else is asked.
    ids: tuple[str, ...] = ()
    limit: int = 50
    #: Positions that the store handed out: only what is older than one, only what is newer than the other.
    before: str = ""
    after: str = ""
    #: Rows that the search may look at before it ends early; reading a body counts for ``BODY_EFFORT``.
    effort: int = EFFORT


class DeliveryQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries, those of the newest event first. Stored with a task as JSON, so names of fields stay."""

    state: DeliveryState | None = None
    destination: str = ""
    route: str = ""
    #: Exactly this group of dead ones.
    cause: str | None = None
    source: str = ""
    #: A glob on the event's type.
    type: str = ""
    #: Their event was received within these bounds, seconds ago by the store's clock.
    since_s: float | None = None
    until_s: float | None = None
    #: Ids of deliveries, or of events for all their deliveries; the other fields narrow them further.
    ids: tuple[str, ...] = ()
    #: As in EventQuery; with ids everything is on one page.
    limit: int = 50
    before: str = ""
    effort: int = EFFORT


class EventRow(Struct, frozen=True, kw_only=True):
    """An event in a list: without its body, with its deliveries."""

    #: For ``before`` and ``after``; opaque.
    position: str
    id: str
    source: str
    type: str
    received_at: float
    size: int
    body_is: BodyIs = "kept"
    deliveries: tuple[Delivery, ...] = ()


class EventPage(Struct, frozen=True, kw_only=True):
    """Part of a query's result. A search that takes too long ends early: then there may be few rows, or none."""

    rows: tuple[EventRow, ...]
    #: ``before`` of the next page, which ends at the same ``after``; empty on the last page.
    next: str = ""
    #: How far back a search that ended early has looked, wall clock; None if it did not end early.
    searched_to: float | None = None


class Candidate(NamedTuple):
    """An event to look into. A tuple, since a search makes thousands."""

    #: For ``before``; opaque.
    position: str
    event: Event


class CandidatePage(Struct, frozen=True, kw_only=True):
    """Like EventPage, with bodies; events without an intact body are left out. Large bodies end a page early."""

    rows: tuple[Candidate, ...]
    next: str = ""
    searched_to: float | None = None
    #: Effort spent on this page.
    spent: int = 0


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """Like EventPage, for deliveries."""

    rows: tuple[Delivery, ...]
    next: str = ""
    searched_to: float | None = None


class EventHistory(Struct, frozen=True, kw_only=True):
    """Everything known of one event."""

    #: For ``before`` and ``after``; opaque.
    position: str = ""
    event: Event
    #: Whether the body still matches its checksum.
    intact: bool
    deliveries: tuple[Delivery, ...] = ()
    #: By delivery id, in order.
    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    held_back: tuple[HeldBack, ...] = ()
    body_is: BodyIs = "kept"
    #: By delivery id: what a pending delivery waits for.
    waits_for: Mapping[str, tuple[Subject, ...]] = field(default_factory=dict)


class LastError(Struct, frozen=True, kw_only=True):
    """Why the last attempt at a destination that failed did."""

    #: Wall clock, seconds since the epoch.
    at: float
    #: Without secrets and redacted values.
    reason: str
    event_id: str


class Unredacted(Struct, frozen=True, kw_only=True):
    """Events whose source redacts their bodies, after their last delivery, by id; CorruptEvent for a damaged body."""

    events: Mapping[str, Event | CorruptEvent]
    #: ``after`` of the next page; empty on the last page.
    next: str = ""


class Survey(Struct, frozen=True, kw_only=True):
    """Some of all events, oldest first, with what is left of their bodies; those that were forgotten are left out."""

    events: tuple[Event, ...]
    #: The position up to which every event is on this page or on one before.
    to: str
    is_last: bool


class Traffic(Struct, frozen=True, kw_only=True):
    """Attempts of the last hour at one destination, a number per minute, oldest first; the last minute is incomplete."""

    delivered: tuple[int, ...] = ()
    #: Failed attempts: those that are retried, and those that ended a delivery.
    retried: tuple[int, ...] = ()
    died: tuple[int, ...] = ()
    #: Duration of an attempt, seconds: median and 95th percentile; None if there was none.
    p50_s: float | None = None
    p95_s: float | None = None


class DestinationStats(Struct, frozen=True, kw_only=True):
    """Deliveries of one destination by state."""

    pending: int = 0
    dead: int = 0
    delivered: int = 0
    discarded: int = 0
    #: Seconds by which the most overdue delivery is late; 0 if none.
    oldest_due_s: float = 0.0
    #: Seconds until the next delivery is due; 0 if one is, or if none waits for its time.
    next_due_s: float = 0.0
    traffic: Traffic = Traffic()


class DeadGroup(Struct, frozen=True, kw_only=True):
    """Dead deliveries with the same destination and cause."""

    destination: str
    cause: str
    count: int


class Stats(Struct, frozen=True, kw_only=True):
    """Numbers that the store keeps as it goes; reading them looks at no event and no delivery."""

    #: By destination; also those that are no longer in routes.yaml but still have deliveries.
    destinations: Mapping[str, DestinationStats]
    #: Events accepted in the last hour by source, a number per minute.
    received: Mapping[str, tuple[int, ...]]
    #: Largest group first.
    dead: tuple[DeadGroup, ...]
    #: Space that the store takes on its disk, bytes.
    used_bytes: int = 0
    #: Free space there, bytes; None: unknown, since the disk is another machine's.
    free_bytes: int | None = 0

    @property
    def pending(self) -> Mapping[str, int]:
        """The number of pending deliveries, by destination."""
        return {name: each.pending for name, each in self.destinations.items()}


class Rejected(Struct, frozen=True, kw_only=True):
    """A refused request, without its body, its headers or a secret in its path."""

    #: Wall clock, seconds since the epoch.
    at: float
    #: ``unknown`` for a path that belongs to no source.
    source: str
    #: With its secret masked.
    path: str
    status: int
    #: For people: ``no signature``, ``over 1048576 bytes``.
    reason: str
    #: The address it came from; empty: unknown, or several.
    client: str = ""
    #: How many like it this one represents, itself included.
    count: int = 1
