"""The contract of a store, in words and types. The promises of the gateway live behind this seam."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.errors import CorruptEvent
from gateway.model import (
    Appended,
    Delivery,
    DeliveryState,
    Event,
    EventHistory,
    EventRow,
    Lease,
    NewEvent,
    Outcome,
    Pause,
    Retention,
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

    async def replay(self, ids: Sequence[str], *, by: str) -> Sequence[Delivery]:
        """Make dead or delivered deliveries pending and due now; an event's id stands for all of its deliveries.

        Attempts are numbered on; ``spent_s`` and ``crashes`` start at 0. Those already pending are left
        alone. Returns the deliveries that moved. Raises KeyError for an id that the store does not have.
        """

    async def events(self, *, limit: int = 50, before: str = "") -> Sequence[EventRow]:
        """The newest events first; ``before`` is the id of the last row of the page before."""

    async def event(self, event_id: str) -> EventHistory | None:
        """One event by its id, or by the id of one of its deliveries."""

    async def deliveries(
        self, *, state: DeliveryState, destination: str = "", limit: int = 50, before: str = ""
    ) -> Sequence[Delivery]:
        """Deliveries in one state, newest first."""

    async def pause(self, pause: Pause) -> None:
        """Remember that a destination holds its deliveries; a later one takes the place of an earlier one."""

    async def resume(self, destination: str) -> bool:
        """Forget that a destination was paused; whether it was."""

    async def pauses(self) -> Sequence[Pause]:
        """Every destination that was paused, by name."""

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many deliveries are pending, by (route, destination). Looks at each of them: for a rare question."""

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        """Remove at most ``limit`` things past their retention; how many. Call again until it is 0."""

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
