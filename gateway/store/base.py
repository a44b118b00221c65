"""The contract of a store, in words and types. The promises of the gateway live behind this seam."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.errors import CorruptEvent
from gateway.model import Delivery, Event
from gateway.store.nouns import (
    Activity,
    Appended,
    Lease,
    NewEvent,
    Outcome,
    Pause,
    Rejected,
    Retention,
    Task,
    Unredacted,
    Want,
)
from gateway.store.reads import Reads

OnAppended = Callable[[Sequence[Appended] | None], None]


class Store(Reads, Protocol):
    """Durable on return. The store owns the clock: all times cross this seam as seconds from now.

    Every method but ``working_on`` and the properties raises StoreUnavailable when the disk refuses.
    """

    #: ``sqlite``; shown in the ready line.
    name: str
    #: The delivery that the last process died over, as it stands now; None: there was none. Fixed once it is open.
    poisoned: Delivery | None

    async def append(self, events: Sequence[NewEvent], on_done: OnAppended | None = None) -> Sequence[Appended]:
        """Keep the events of one request with their deliveries, all or nothing, fsynced before it returns.

        A key seen within its window stores nothing and answers the first event's id. Calls that wait at the
        same time share one transaction. Leases are granted for deliveries that asked for one, unless due
        deliveries already wait for that destination. The append is carried out even if the caller is
        cancelled: ``on_done`` is called on the event loop exactly once either way, with what append
        returns, or with None when nothing was stored.
        """

    async def claim(self, wants: Mapping[str, Want]) -> Sequence[Lease]:
        """Lease due deliveries, the longest due first, at most ``slots`` for each destination."""

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        """Events with their bodies; CorruptEvent in place of one whose checksum is wrong. Unknown ids are absent."""

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        """Record attempts and new states together; the ids whose lease still held. A lost lease changes nothing."""

    def maybe_due(self) -> Collection[str]:
        """Destinations that may have an unleased delivery due now. A hint without I/O: too many, never too few."""

    def is_due(self, destination: str) -> bool:
        """Whether ``maybe_due`` has this destination; without looking at the others."""

    async def wait(self, timeout_s: float) -> None:
        """Return once something more may be due than when it last returned, at the latest after ``timeout_s``.

        A hint, and one for each change: what is due already and cannot be taken does not return it again.
        """

    async def begin(self, task: Task) -> Activity:
        """Start a task; durable on return, with its first slice done. A small one is finished then.

        ``go_on`` does the rest slice by slice, also after a restart. A replayed delivery is pending and due, at the
        task's pace; its attempts are numbered on, ``spent_s`` and ``crashes`` start at 0. Deliveries that are
        pending already are left alone. Raises KeyError for an unknown id, and BodyGone when an event named by id
        has lost its body.
        """

    async def go_on(self, replica: str) -> bool:
        """Do the next slice of the oldest unfinished task that no other replica holds; False if there is none.

        The replica holds the task for ``rules.TASK_LEASE_S`` seconds more; after that another one may take it on.
        No slice is done twice, whoever does it.
        """

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        """End a task: deliveries it has not reached stay as they are, those not attempted since are dead again.

        Raises KeyError for an unknown id.
        """

    async def note(self, activity: Activity) -> None:
        """Remember what somebody did."""

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        """Remember requests that were refused; the oldest are forgotten."""

    async def pause(self, pause: Pause) -> None:
        """Remember a pause or a mute of a destination; a later one takes the place of an earlier one."""

    async def resume(self, destination: str, *, is_mute: bool = False) -> bool:
        """Forget that a destination was paused, or muted; whether it was."""

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        """Remove at most ``limit`` items past their retention; how many. Call again until it is 0."""

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        """Events that were appended to be redacted and have no delivery to go, oldest first. ``after``: a ``next``."""

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace the bodies of events from ``unredacted``, by id; how many. One that is to be sent again stays."""

    async def index(self, *, limit: int = 250) -> bool:
        """Add at most ``limit`` newer events to the index of words; whether there are more.

        A search looks into events that are not in the index yet.
        """

    async def close(self) -> None:
        """Finish what waits, checkpoint, release the lock."""

    def working_on(self, delivery_id: str) -> AbstractContextManager[None]:
        """While inside, a death of the process is held against this delivery; at the third it is dead.

        For synchronous work on the event loop only, one delivery at a time. Costs less than a microsecond.
        """

    @property
    def oldest_uncommitted_s(self) -> float:
        """How long the oldest append or settle has been waiting for its commit, seconds; 0 when none waits."""

    @property
    def healthy(self) -> bool:
        """Whether appends can be expected to succeed: False from a disk error until the store was reopened and checked."""
