"""What crosses the store's seam: what is appended, leased, settled, asked for and done. Frozen values without behaviour."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.errors import CorruptEvent
from gateway.model import Attempt, Dead, Delivered, Delivery, DeliveryState, Event, Notice, Release, Retry

#: Rows that a search looks at before it ends early; takes some 50 ms.
EFFORT: Final = 20_000
#: Rows that reading a body and looking into it counts for.
BODY_EFFORT: Final = 5

#: ``kept``, or why a body is not what was received: ``removed`` by retention, or ``redacted``.
BodyIs = Literal["kept", "removed", "redacted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A delivery to be stored with its event."""

    id: str
    route: str
    destination: str
    #: Ask for a lease of so many seconds, to start straight from memory; None: leave it pending.
    #: The store refuses it when due deliveries already wait for this destination, and behind others of its lane.
    lease_s: float | None = None
    lane: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """An entry that fires once per key: it sends only what is the first with its key inside ``window_s`` seconds."""

    #: Of the entry.
    name: str
    key: str
    window_s: float
    #: The routes of its deliveries.
    routes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """An entry that took an event and had fired for its key before."""

    #: Of the entry.
    name: str
    key: str
    #: What it fired for.
    event_id: str
    #: Seconds since the epoch.
    fired_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be stored with all of its deliveries, or recognised as a duplicate."""

    event: Event
    #: Unique per source inside ``window_s`` seconds.
    key: bytes
    window_s: float
    deliveries: Sequence[NewDelivery] = ()
    #: Of the entries that fire once per key.
    firings: Sequence[Firing] = ()
    #: What its source redacts goes out of the store after its last delivery.
    is_redacted_later: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to attempt one delivery; ``token`` fences the outcome of a lease that was lost."""

    delivery: Delivery
    token: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a NewEvent: durable now, or known already."""

    #: Of the first event with this key.
    event_id: str
    duplicate: bool
    leases: tuple[Lease, ...] = ()
    #: Routes that had fired for their key before: nothing of them was stored.
    held_back: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Want:
    """How many deliveries of one destination may be claimed, and for how long."""

    slots: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, for the store."""

    lease: Lease
    result: Delivered | Retry | Dead | Release
    attempt: Attempt | None = None
    #: Who is to be told that it is dead.
    told: "Told | None" = None


@dataclass(frozen=True, slots=True)
class Told:
    """A dead delivery, and (route, destination) of those that are told of it."""

    notice: Notice
    routes: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A destination that somebody, or the gateway itself, has told to hold its deliveries, or to be silent about it."""

    destination: str
    by: str
    reason: str
    #: Wall clock, seconds since the epoch.
    since: float
    #: When it ends by itself; None: when somebody resumes it.
    until: float | None = None
    #: A mute: nothing is held, but nobody is told of its troubles.
    is_mute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long finished things are kept, seconds. A pending delivery is never removed, nor what it needs."""

    events_s: float = 30 * 86400.0
    #: Bodies go earlier than their events, if they are to; never while a delivery is pending or dead.
    bodies_s: float = math.inf
    attempts_s: float = 30 * 86400.0
    dead_s: float = 90 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events; what is left at its default does not narrow it. The newest come first."""

    source: str = ""
    #: A glob on the type: ``contact.created``, ``contact.*``.
    type: str = ""
    #: One of its deliveries goes there, and is in ``state`` if that is given too.
    destination: str = ""
    state: DeliveryState | None = None
    #: Received at the earliest and before so many seconds ago, by the store's clock.
    since_s: float | None = None
    until_s: float | None = None
    #: Words that its payload has, as ``rules.words_in`` splits them; ``ada*`` is a prefix. They only narrow the search:
    #: an event that is not in the index yet always passes.
    words: tuple[str, ...] = ()
    #: Only these events; all of them are on one page and nothing else is asked.
    ids: tuple[str, ...] = ()
    limit: int = 50
    #: Positions that the store handed out: only what is older than one, only what is newer than the other.
    before: str = ""
    after: str = ""
    #: Rows that the search may look at before it ends early; reading a body counts for ``BODY_EFFORT``.
    effort: int = EFFORT


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries; those of the newest event come first."""

    state: DeliveryState | None = None
    destination: str = ""
    route: str = ""
    #: Of dead ones: exactly this group.
    cause: str | None = None
    source: str = ""
    #: A glob on the event's type.
    type: str = ""
    #: Their event was received at the earliest and before so many seconds ago, by the store's clock.
    since_s: float | None = None
    until_s: float | None = None
    #: Ids of deliveries, or of events for all of theirs; the rest narrows them further.
    ids: tuple[str, ...] = ()
    #: As in EventQuery; with ids everything is on one page.
    limit: int = 50
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event in a list: without its body, with its deliveries."""

    #: For ``before`` and ``after``; opaque.
    position: str
    id: str
    source: str
    type: str
    received_at: float
    size: int
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Part of a query's result. A search that takes too long ends early: then there may be few rows, or none."""

    rows: tuple[EventRow, ...]
    #: ``before`` of the next page, which ends at the same ``after``; empty on the last page.
    next: str = ""
    #: How far back a search that ended early has looked, wall clock; None if it did not end early.
    searched_to: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An event to look into."""

    #: For ``before``; opaque.
    position: str
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePage:
    """Like EventPage, with bodies; events without an intact body are left out. Large bodies end a page early."""

    rows: tuple[Candidate, ...]
    next: str = ""
    searched_to: float | None = None
    #: Effort spent on this page.
    spent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """Like EventPage, for deliveries."""

    rows: tuple[Delivery, ...]
    next: str = ""
    searched_to: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHistory:
    """All that is known of one event."""

    #: For ``before`` and ``after``; opaque.
    position: str = ""
    event: Event
    #: Whether the body still has its checksum.
    intact: bool
    deliveries: tuple[Delivery, ...] = ()
    #: By delivery id, in order.
    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    held_back: tuple[HeldBack, ...] = ()
    body_is: BodyIs = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unredacted:
    """Events whose source redacts their bodies, after their last delivery, by id; CorruptEvent for a damaged body."""

    events: Mapping[str, Event | CorruptEvent]
    #: ``after`` of the next page; empty on the last page.
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The last hour of one destination, a number for each minute, the oldest first; the last one is under way."""

    delivered: tuple[int, ...] = ()
    #: Attempts after which it is tried again, and those that ended a delivery.
    retried: tuple[int, ...] = ()
    died: tuple[int, ...] = ()
    #: How long its attempts took, seconds: the middle one, and 95 of 100; None: there was none.
    p50_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStats:
    """Where the deliveries of one destination stand."""

    pending: int = 0
    dead: int = 0
    delivered: int = 0
    discarded: int = 0
    #: How long the one that has been due longest has been, seconds; 0: nothing is due.
    oldest_due_s: float = 0.0
    traffic: Traffic = Traffic()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadGroup:
    """Dead deliveries that have a destination and a cause in common."""

    destination: str
    cause: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Numbers that the store keeps as it goes; asking for them looks at no event and no delivery."""

    #: By destination, those too that are no longer in routes.yaml and still have deliveries.
    destinations: Mapping[str, DestinationStats]
    #: By source: events accepted in the last hour, a number for each minute.
    received: Mapping[str, tuple[int, ...]]
    #: The largest first.
    dead: tuple[DeadGroup, ...]
    #: What the store takes on its disk, and what is left there, bytes.
    used_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A request that was refused at the door. Nothing of its body, its headers or a path's secret is in it."""

    #: Wall clock, seconds since the epoch.
    at: float
    #: ``unknown`` for a path at which no source listens.
    source: str
    #: With a secret of it masked.
    path: str
    status: int
    #: For people: ``no signature``, ``over 1048576 bytes``.
    reason: str
    #: Alike ones that this one stands for, itself included.
    count: int = 1


#: What is done to deliveries, many at a time.
TaskVerb = Literal["replay", "reroute", "discard"]


Verb = TaskVerb | Literal["stop", "pause", "resume", "mute", "unmute", "reload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a replay or a discard has come."""

    #: Deliveries that it is about.
    total: int
    #: Those that it has reached.
    moved: int
    #: Where those stand now.
    pending: int = 0
    delivered: int = 0
    dead: int = 0
    #: Those that were taken back before they were tried, because it was stopped.
    not_sent: int = 0
    #: Whether it has reached all that it will reach.
    is_finished: bool = False
    #: Who stopped it; empty: nobody did.
    stopped_by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.is_finished and not self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something that somebody did, for the others who look after the gateway."""

    #: ``act_`` + UUIDv7.
    id: str
    #: Wall clock, seconds since the epoch.
    at: float
    by: str
    verb: Verb
    #: What it was done to: a destination, an id, a selection in words.
    subject: str
    reason: str = ""
    #: Of a replay and a discard.
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    """Part of what was done, newest first."""

    rows: tuple[Activity, ...]
    #: ``before`` of the next page; empty if this page is not full.
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A replay or a discard of many, as it is asked for."""

    verb: TaskVerb
    by: str
    #: What is fitting at the moment it is asked for; a replay takes dead and delivered ones, a discard dead and pending ones.
    which: DeliveryQuery
    #: The selection in words, for whoever reads of it.
    subject: str
    reason: str = ""
    #: A second one with the same key is the first one; empty: it has none.
    key: str = ""
    #: Between two deliveries that go out, seconds; 0: all at once.
    interval_s: float = 0.0
    #: Make new deliveries with ids of their own, in place of those that a receiver may have seen.
    as_new: bool = False
    #: Deliveries to be made beside them, for a reroute: (event id, NewDelivery).
    extra: Sequence[tuple[str, NewDelivery]] = ()
