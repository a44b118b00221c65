"""The read side over a file: every question is asked in a thread, so that the event loop continues."""

import asyncio
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

from gateway.errors import CorruptEvent
from gateway.model import Attempt, Event
from gateway.store.activities import Activity, ActivityPage
from gateway.store.holds import Hold
from gateway.store.logins import Login
from gateway.store.nouns import Record
from gateway.store.queries import (
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    LastError,
    Rejected,
    Stats,
    Survey,
)
from gateway.store.searching import ALL_DELIVERIES, EVERYTHING
from gateway.store.sqlite import numbers
from gateway.store.sqlite.reader import Reader
from gateway.store.sqlite.snapshots import Snapshots
from gateway.store.sqlite.whole import Job


class SQLiteReads:
    """Reads of one file, beside its owner or without one."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._reader = Reader(snapshots)
        self._job = Job(snapshots)

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        """Without owning the file. Raises StoreError if it does not exist."""
        return cls(Snapshots.of_file(path, wall=wall))

    async def events(self, query: EventQuery = EVERYTHING) -> EventPage:
        return await asyncio.to_thread(self._reader.events, query)

    async def candidates(self, query: EventQuery) -> CandidatePage:
        return await asyncio.to_thread(self._reader.candidates, query)

    async def survey(self, *, after: str = "", until: str = "") -> Survey:
        return await asyncio.to_thread(self._reader.survey, after, until)

    async def event(self, event_id: str) -> EventHistory | None:
        return await asyncio.to_thread(self._reader.event, event_id)

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        return await asyncio.to_thread(self._reader.load, event_ids)

    async def deliveries(self, query: DeliveryQuery = ALL_DELIVERIES) -> DeliveryPage:
        return await asyncio.to_thread(self._reader.deliveries, query)

    async def last_attempts(self, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
        return await asyncio.to_thread(self._reader.last_attempts, delivery_ids)

    async def last_errors(self, destinations: Collection[str]) -> Mapping[str, LastError]:
        return await asyncio.to_thread(self._reader.last_errors, destinations)

    async def count(self, which: DeliveryQuery) -> int:
        return await asyncio.to_thread(self._reader.count, which)

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        return await asyncio.to_thread(self._reader.waiting)

    async def memories(self) -> Mapping[str, int]:
        return await asyncio.to_thread(self._reader.memories)

    async def stats(self) -> Stats:
        return await asyncio.to_thread(self._stats)

    def _stats(self) -> Stats:
        with self._snapshots.take() as snapshot:
            return numbers.stats(snapshot, self._snapshots.path)

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        return await asyncio.to_thread(self._reader.rejected, limit)

    async def activities(self, *, limit: int = 50, before: str = "") -> ActivityPage:
        return await asyncio.to_thread(self._reader.activities, limit, before)

    async def activity(self, activity_id: str) -> Activity | None:
        return await asyncio.to_thread(self._reader.activity, activity_id)

    async def holds(self) -> Sequence[Hold]:
        return await asyncio.to_thread(self._reader.holds)

    async def records(self, source: str, keys: Collection[str]) -> Mapping[str, Record]:
        return await asyncio.to_thread(self._reader.records, source, keys)

    async def remembered(self) -> Mapping[str, int]:
        return await asyncio.to_thread(self._reader.remembered)

    async def logins(self) -> Sequence[Login]:
        return await asyncio.to_thread(self._reader.logins)

    async def stored_time(self) -> float:
        return await asyncio.to_thread(self._reader.stored_time)

    @property
    def progress(self) -> tuple[int, int]:
        return self._job.progress

    async def backup(self, path: str, *, replaces: bool = False) -> int:
        with self._new_job() as job:
            return await asyncio.to_thread(job.backup, path, replaces=replaces)

    async def check(self) -> Sequence[str]:
        with self._new_job() as job:
            return await asyncio.to_thread(job.check)

    @contextmanager
    def _new_job(self) -> Generator[Job]:
        """Its thread ends with it: soon, if the caller has gone."""
        self._job = job = Job(self._snapshots)
        try:
            yield job
        finally:
            job.stop()

    async def close(self) -> None:
        self._snapshots.close()
