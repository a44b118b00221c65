"""The read side of a store: of the one that is running, and of one opened only to look."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.store.nouns import (
    Activity,
    ActivityPage,
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    Pause,
    Rejected,
    Stats,
)

#: Called now and then, from another thread, with how much is done of how much.
OnProgress = Callable[[int, int], None]


class Reads(Protocol):
    """What can be asked of a store. Every answer is a value and shows one moment.

    Positions (``position``, ``next``; ``before``, ``after``) are handed out by the store and mean nothing outside it.
    Methods raise QueryRefused for a position that it did not hand out, StoreUnavailable when the disk refuses.
    """

    async def events(self, query: EventQuery = ...) -> EventPage:
        """Matching events, newest first; ends early rather than search for long."""

    async def candidates(self, query: EventQuery) -> CandidatePage:
        """The same events with their bodies and without their deliveries, for a caller that looks into payloads."""

    async def event(self, event_id: str) -> EventHistory | None:
        """One event by its id or by the id of one of its deliveries."""

    async def deliveries(self, query: DeliveryQuery = ...) -> DeliveryPage:
        """Matching deliveries, those of the newest event first; ends early rather than search for long.

        Matching deliveries of one event are on one page, even if that makes it longer than ``limit``.
        """

    async def count(self, which: DeliveryQuery) -> int:
        """Count matching deliveries; looks at each in an index. Raises KeyError for an unknown id."""

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Pending deliveries by (route, destination). Looks at each of them: ask rarely."""

    async def stats(self) -> Stats:
        """Current numbers. Costs the same however many deliveries wait."""

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        """Refused requests, newest first."""

    async def activities(self, *, limit: int = 50, before: str = "") -> ActivityPage:
        """What people did, newest first."""

    async def activity(self, activity_id: str) -> Activity | None:
        """One activity with its progress."""

    async def pauses(self) -> Sequence[Pause]:
        """Every pause and mute, by destination."""

    async def stored_time(self) -> float:
        """The store's clock, seconds since the epoch: never earlier than anything that was stored."""

    async def backup(self, path: str, on_progress: OnProgress | None = None, *, replaces: bool = False) -> int:
        """Copy the store to ``path`` as of now, also while it is in use; returns bytes. Progress is in bytes.

        The copy gets its name once it is complete. Raises StoreError, also for a file that exists unless
        ``replaces`` is set, and for one that belongs to a store in use. Cancelling stops the copy.
        """

    async def check(self, on_progress: OnProgress | None = None) -> Sequence[str]:
        """Check the whole store; returns what is wrong, a sentence each. Progress is in events. Cancelling stops it."""

    async def close(self) -> None:
        """Let go of the store."""
