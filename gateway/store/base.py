"""The contract of a store, in words and types. The promises of the gateway live behind this seam."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.errors import CorruptEvent
from gateway.model import Delivery, Event
from gateway.store.nouns import (
    Activity,
    Appended,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    Lease,
    NewEvent,
    Outcome,
    Pause,
    Rejected,
    Retention,
    Stats,
    Task,
    Want,
)

OnAppended = Callable[[Sequence[Appended] | None], None]


class Store(Protocol):
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
        """Start a replay or a discard; durable on return, with its first slice done. One of few is finished then.

        Of many, the rest is done by ``go_on``, slice by slice, after a restart too. A replayed delivery is
        pending and due, at the task's pace; its attempts are numbered on, ``spent_s`` and ``crashes`` start
        at 0. Those already pending are left alone. Raises KeyError for an id that the store does not have,
        and BodyGone when an event of those named by id has no body any more.
        """

    async def go_on(self) -> bool:
        """Do the next slice of the oldest task that is not finished; False: there is none."""

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        """End a task: what it has not reached stays as it is, what waits for its first attempt is dead again.

        Raises KeyError for an unknown id.
        """

    async def note(self, activity: Activity) -> None:
        """Keep what somebody did."""

    async def activities(self, *, limit: int = 50, before: str = "") -> Sequence[Activity]:
        """What was done, the newest first."""

    async def activity(self, activity_id: str) -> Activity | None:
        """One of them, with how far it has come."""

    async def count(self, which: DeliveryQuery) -> int:
        """How many deliveries there are of a kind; looks at each of them, a look at an index."""

    async def events(self, query: EventQuery = ...) -> EventPage:
        """The newest events that fit; ends early rather than look for long."""

    async def event(self, event_id: str) -> EventHistory | None:
        """One event by its id, or by the id of one of its deliveries."""

    async def deliveries(self, query: DeliveryQuery = ...) -> DeliveryPage:
        """Deliveries that fit, those of the newest event first; ends early rather than look for long."""

    async def stats(self) -> Stats:
        """The numbers, as of now. Costs the same whatever waits."""

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        """Remember requests that were refused; the oldest are forgotten."""

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        """The newest requests that were refused."""

    async def pause(self, pause: Pause) -> None:
        """Remember a pause or a mute of a destination; a later one takes the place of an earlier one."""

    async def resume(self, destination: str, *, is_mute: bool = False) -> bool:
        """Forget that a destination was paused, or muted; whether it was."""

    async def pauses(self) -> Sequence[Pause]:
        """Every pause and mute, by destination."""

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many deliveries are pending, by (route, destination). Looks at each of them: for a rare question."""

    async def prune(
        self, retention: Retention, *, limit: int = 500, redacted: Callable[[Event], bytes] | None = None
    ) -> int:
        """Remove at most ``limit`` things past their retention; how many. Call again until it is 0.

        ``redacted`` gives the body that an event keeps after its last delivery, of those appended to be redacted.
        """

    async def index(self, *, limit: int = 250) -> bool:
        """Take at most ``limit`` newer events into the index of words; whether there are more. What is not yet in it is
        looked through when it is searched for.
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
