"""The contract of a store. The promises of the gateway are kept on the other side of it."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from gateway.errors import CorruptEvent
from gateway.model import Delivery, Event
from gateway.store.holds import Assignment, Hold
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
    Rejected,
    Retention,
    Stats,
    Task,
    Want,
)


class Store(Protocol):
    """Durable on return. The store owns the clock: all times cross this seam as seconds from now.

    A store serves one or many replicas: processes that receive and deliver. Every method but ``wake`` and ``breathe``
    raises StoreUnavailable when the disk or the server refuses.
    """

    #: ``sqlite``; shown in the ready line.
    name: str

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        """Store the events of one request with their deliveries, all or nothing, on disk before the future is done.

        A key seen within its window stores nothing and gives the first event's id. Calls that wait at the same time
        share one transaction. ``replica`` gets a lease for each delivery that asks for one, unless other deliveries
        for its destination are due. The append is carried out even if the caller goes away: if it cancels the future,
        the leases are given back.
        """

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        """Lease due deliveries to ``replica``, those overdue the longest first, at most ``slots`` per destination.

        A delivery is leased to one replica at a time. If the caller goes away, the leases are given back.
        """

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        """Events with their bodies; a CorruptEvent for each whose checksum is wrong. Unknown ids are absent."""

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        """Record attempts and new states together; the ids whose lease was still held. A lost lease changes nothing."""

    async def wake(self) -> Collection[str]:
        """Return destinations that may have something due, as soon as there is something new to tell.

        A hint: it may come late and may name too many. The first call names everything that is due; after that a hint
        comes once for each change: what is already due and cannot be taken does not end the next wait.
        """

    async def breathe(self) -> None:
        """Return once the store's own work has had its turn; await it before each piece of work for the store."""

    async def assigned(self, replica: str, destinations: Collection[str]) -> Mapping[str, Assignment]:
        """Those of these destinations that ``replica`` decides for from now on, and until when."""

    async def holds(self) -> Sequence[Hold]:
        """Everything that holds a destination or has ever held it, by destination."""

    async def set_hold(self, hold: Hold) -> bool:
        """Store a hold as revision ``hold.rev + 1``; False, and nothing is changed, if ``hold.rev`` is not the present one."""

    async def crashed(self, delivery_id: str) -> Delivery | None:
        """Count a death of the process against a pending delivery; the delivery as it is now, or None if it is not pending."""

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
        """Finish what waits, and release what is held."""

    @property
    def healthy(self) -> bool:
        """Whether appends can be expected to succeed: False after an error until the store was opened again and checked."""
