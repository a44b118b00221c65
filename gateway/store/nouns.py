"""What crosses the store's seam: what is appended, leased, settled, asked for and done. Frozen values without behaviour."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct, field

from gateway.errors import CorruptEvent
from gateway.model import (
    Attempt,
    Dead,
    Delivered,
    Delivery,
    DeliveryState,
    Discard,
    Event,
    Notice,
    Release,
    Retry,
    Waits,
)  # fmt: skip
from gateway.store.memory import Learnt, Subject

#: Rows that a search looks at before it ends early; takes some 50 ms.
EFFORT: Final = 20_000
#: Rows that reading a body and looking into it counts for.
BODY_EFFORT: Final = 5

#: ``kept``, or why a body is not what was received: ``removed`` by retention, ``redacted``, or ``forgotten``: then it
#: says who did it, and nothing else is left of the event.
BodyIs = Literal["kept", "removed", "redacted", "forgotten"]


class Gather(Struct, frozen=True, kw_only=True):
    """How a delivery gathers with others of its route, destination and key."""

    #: A ``digest`` sends all of them as one; of what is debounced, only the last one is sent.
    what: Literal["digest", "debounce"]
    key: str
    #: The most events of a digest.
    most: int = 1
    #: Whether a digest is sent as soon as it has that many, and not only at its time.
    is_sent_full: bool = True
    #: Seconds after the first event of a key at which the last one is sent although more keep coming.
    at_most_s: float = math.inf


class NewDelivery(Struct, frozen=True, kw_only=True):
    """A delivery to be stored with its event."""

    id: str
    route: str
    destination: str
    #: Ask for a lease of this many seconds, to start straight from memory; None: leave it pending. The store refuses
    #: when other deliveries for this destination are due, or are ahead of it in its lane.
    lease_s: float | None = None
    lane: str | None = None
    #: Seconds from now until it is due; one that waits for others in its lane is due no earlier than that, either.
    wait_s: float = 0.0
    #: Its ``wait_s`` counts for the first one of a digest, and for each one that is debounced. It has no lane.
    gather: Gather | None = None


class Firing(Struct, frozen=True, kw_only=True):
    """An entry that fires once per key: only the first event with its key in ``window_s`` seconds is sent."""

    #: The entry's name.
    name: str
    key: str
    window_s: float
    #: The routes of its deliveries.
    routes: frozenset[str]


class NewRecord(Struct, frozen=True, kw_only=True):
    """The record that an event is about: remembered as ``Event.track`` says, in the event's transaction."""

    #: Unique per source.
    key: str
    #: The event that had written the record when this one was planned; empty: none was remembered.
    after: str
    #: How long it is remembered, seconds.
    keeps_s: float


class Record(Struct, frozen=True):
    """A record as its last event has left it."""

    #: The event.
    event_id: str
    #: Its ``Event.track``.
    track: bytes


class Awaited(Struct, frozen=True, kw_only=True):
    """A later event of the same source that is wanted after this one."""

    #: The rule, and what it is about.
    name: str
    key: str
    within_s: float


class HeldBack(Struct, frozen=True, kw_only=True):
    """An entry that matched an event but had already fired for its key."""

    #: The entry's name.
    name: str
    key: str
    #: The event it fired for.
    event_id: str
    #: Seconds since the epoch.
    fired_at: float


class NewEvent(Struct, frozen=True, kw_only=True):
    """An event to be stored with all of its deliveries, or recognised as a duplicate."""

    event: Event
    #: Unique per source for ``window_s`` seconds.
    key: bytes
    window_s: float
    deliveries: Sequence[NewDelivery] = ()
    #: One for each matching entry that fires once per key.
    firings: Sequence[Firing] = ()
    #: (rule, key) of what was awaited and comes with this event; and what is awaited from now on.
    meets: Sequence[tuple[str, str]] = ()
    awaits: Sequence[Awaited] = ()
    #: Whether the fields its source redacts are removed from the store after the last delivery.
    is_redacted_later: bool = False
    #: The record it is about, if its source remembers any.
    record: NewRecord | None = None


class Lease(Struct, frozen=True):
    """The right of one replica to attempt one delivery; ``token`` fences the outcome of a lease that was lost."""

    delivery: Delivery
    #: The replica that holds it.
    owner: str
    token: int
    #: Seconds from when it was granted until another claim may take the delivery.
    expires: float


class Appended(Struct, frozen=True):
    """The result for one NewEvent: stored now, or known already."""

    #: The id of the first event with this key.
    event_id: str
    duplicate: bool
    leases: tuple[Lease, ...] = ()
    #: Routes that had already fired for their key: no delivery of theirs was stored.
    held_back: frozenset[str] = frozenset()
    #: Its dead deliveries that are sent again because its sender sent it again.
    replayed: int = 0
    #: Another event has changed the record of one of its request's events meanwhile: nothing of the request was stored, and
    #: it has to be planned again.
    stale: bool = False


class Want(Struct, frozen=True):
    """The most deliveries of one destination to claim, and the length of their leases in seconds."""

    slots: int
    lease_s: float
    #: Events whose deliveries are claimed only if no other is due, and those of the last of them only if nothing else
    #: is. For one slot.
    last: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """The result of an attempt, for the store."""

    lease: Lease
    result: Delivered | Retry | Dead | Discard | Release | Waits
    attempt: Attempt | None = None
    #: The notices to make because the delivery is dead.
    told: "Told | None" = None
    #: None: its entry neither remembers nor recalls anything.
    learnt: Learnt | None = None

    @property
    def is_end(self) -> bool:
        """Whether the delivery has ended with it."""
        return isinstance(self.result, Delivered | Dead)


class Told(Struct, frozen=True):
    """A dead delivery, and the (route, destination) pairs to notify of it."""

    notice: Notice
    routes: Sequence[tuple[str, str]]


class Retention(Struct, frozen=True, kw_only=True):
    """How long finished things are kept, seconds. A pending delivery is never removed, nor what it needs."""

    events_s: float = 30 * 86400.0
    #: Bodies go earlier than their events, if they are to; never while a delivery is pending or dead.
    bodies_s: float = math.inf
    attempts_s: float = 30 * 86400.0
    dead_s: float = 90 * 86400.0
    #: The most records of one source; those that have had no event for the longest time go first.
    records: int = 1_000_000


class Limits(Struct, frozen=True, kw_only=True):
    """When no more events are accepted, although they could still be stored."""

    #: Pending deliveries.
    max_pending: int = 1_000_000
    #: Bytes that stay free on the store's disk; None: ``room.usual_free_disk``.
    free_disk: int | None = None


class Room(NamedTuple):
    """What a store can take just now. A tuple, since one is made for each request."""

    #: Pending deliveries.
    pending: int
    #: Free space on its disk, bytes, without what the store still needs for a reserve of its own.
    free_bytes: int
    #: Size of its disk, bytes.
    disk_bytes: int
    #: What is wrong with what is stored, as far as it is known; empty: nothing.
    damage: str = ""


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
