"""What crosses the store's seam: what is appended, leased, settled, asked for and done. Frozen values without behaviour."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from gateway.model import Attempt, Dead, Delivered, Delivery, Discard, Event, Notice, Release, Retry, Waits
from gateway.store.memory import Learnt

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
    """An event to be stored with all of its deliveries, or recognized as a duplicate."""

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

    def has_due(self, delivery: NewDelivery) -> bool:
        """Whether a delivery of the event was stored, and is not to be sent later."""
        return not (self.duplicate or self.stale or delivery.route in self.held_back or delivery.wait_s)


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
        return not isinstance(self.result, Retry | Release | Waits)


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
    #: The most records of one source; those without an event for the longest time are removed first.
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
