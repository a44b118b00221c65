"""The embedded store: one SQLite file, one owner, one thread that does all writes.

Calls wait in a queue while a transaction is on its way to the disk; whatever waits then is the next transaction.
A thread has to win the interpreter's lock back after every SQLite step, so statements carry many rows each
and answers come as one JSON text: a busy event loop would otherwise starve the writer.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, Self

from gateway.errors import CorruptEvent, StoreError, StoreUnavailable
from gateway.model import Event, Release
from gateway.store.base import OnAppended
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
from gateway.store.sqlite import tasks
from gateway.store.sqlite.calls import Append, Call, Claim, Load, Settle, Write
from gateway.store.sqlite.connection import unchecked_message
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.reads import SQLiteReads
from gateway.store.sqlite.snapshots import Snapshots

#: After a disk error the file is tried again this often, seconds.
RETRY_S: Final = 1.0


class SQLiteStore(SQLiteReads):
    """The Store of one process. Its methods belong to one event loop; a thread of its own owns the file."""

    name: str = "sqlite"

    def __init__(self, database: Database, snapshots: Snapshots, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(snapshots)
        self._database = database
        self._loop = loop
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.poisoned = database.poisoned
        #: Appends and settles that wait for their commit, the oldest first.
        self._uncommitted: dict[Call, None] = {}
        self._closed: asyncio.Future[None] | None = None
        #: When there is something that the last ``wait`` did not tell of, and a signal that it moved.
        self._moment = database.take_moment()
        self._moved = asyncio.Event()
        self._next_try = 0.0
        threading.Thread(target=self._run, name="store", daemon=True).start()

    @classmethod
    async def open(cls, path: str, *, clock: Callable[[], float], wall: Callable[[], float]) -> Self:
        """Become the owner of the file, made when there is none. Raises StoreError."""
        database = Database(path, clock, wall)
        await asyncio.to_thread(database.open)
        return cls(database, Snapshots(path, database.now, wall), asyncio.get_running_loop())

    # the contract

    async def append(self, events: Sequence[NewEvent], on_done: OnAppended | None = None) -> Sequence[Appended]:
        call = Append(future=self._loop.create_future(), since=time.monotonic(), events=events, on_done=on_done)
        if refusal := self._refusal():
            call.error = refusal
            self._finish([call], math.inf)
        else:
            self._submit(call)
        answer: Sequence[Appended] = await call.future
        return answer

    async def claim(self, wants: Mapping[str, Want]) -> Sequence[Lease]:
        leases: Sequence[Lease] = await self._ask(Claim, wants=dict(wants))
        return leases

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        loaded: Mapping[str, Event | CorruptEvent] = await self._ask(Load, event_ids=event_ids) if event_ids else {}
        return loaded

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        held: frozenset[str] = await self._ask(Settle, outcomes=outcomes)
        return held

    def maybe_due(self) -> Collection[str]:
        return self._database.leases.maybe_due(self._database.now())

    def is_due(self, destination: str) -> bool:
        return self._database.leases.is_maybe_due(destination, self._database.now())

    async def wait(self, timeout_s: float) -> None:
        until = self._loop.time() + timeout_s
        while (left_s := until - self._loop.time()) > 0 and (ahead_s := self._moment - self._database.now()) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, ahead_s)):
                    await self._moved.wait()
        now = self._database.now()
        if self._moment <= now:
            self._moment = self._database.leases.next_moment(now)

    async def begin(self, task: Task) -> Activity:
        known = await asyncio.to_thread(self._reader.activity_of, task.key) if task.key else None
        if known is not None:
            return known
        plan = await asyncio.to_thread(self._reader.plan, task)
        wall = self._database.wall()
        id_ = await self._ask(Write, run=lambda change: tasks.begin(self._database, task, plan, wall, change))
        return await self._known(id_)

    async def go_on(self, replica: str) -> bool:
        task = await asyncio.to_thread(self._reader.unfinished, replica)
        if task is not None:
            await self._ask(Write, run=lambda change: tasks.go_on(self._database, task, replica, change))
        return task is not None

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        await self._ask(Write, run=lambda change: tasks.stop(self._database, activity_id, by, change))
        return await self._known(activity_id)

    async def _known(self, activity_id: str) -> Activity:
        activity = await self.activity(activity_id)
        assert activity is not None
        return activity

    async def note(self, activity: Activity) -> None:
        await self._ask(Write, run=lambda _change: tasks.note(self._database, activity))

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        if rejected:
            await self._ask(Write, run=lambda _change: self._database.reject(rejected))

    async def pause(self, pause: Pause) -> None:
        await self._ask(Write, run=lambda _change: self._database.pause(pause))

    async def resume(self, destination: str, *, is_mute: bool = False) -> bool:
        resumed: bool = await self._ask(Write, run=lambda _change: self._database.resume(destination, is_mute=is_mute))
        return resumed

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        removed, more = 0, True
        while more and not removed:
            removed, more = await self._ask(Write, run=lambda change: self._database.prune(retention, limit, change))
        return removed

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        return await asyncio.to_thread(self._reader.unredacted, after, limit)

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        redacted: int = await self._ask(Write, run=lambda _change: self._database.redact(bodies))
        return redacted

    async def index(self, *, limit: int = 250) -> bool:
        # It is asked every now and then; nothing is written when nothing has come.
        more: bool = self._database.is_index_behind and await self._ask(
            Write, run=lambda _change: self._database.index(limit)
        )
        return more

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._queue.put(None)
        await asyncio.shield(self._closed)

    def working_on(self, delivery_id: str) -> AbstractContextManager[None]:
        return self._database.poison.working_on(delivery_id)

    @property
    def oldest_uncommitted_s(self) -> float:
        for call in self._uncommitted:
            return time.monotonic() - call.since
        return 0.0

    @property
    def healthy(self) -> bool:
        return self._database.healthy and self._closed is None

    # on the event loop

    def _refusal(self) -> StoreUnavailable | None:
        if self._closed is not None:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return None if self._database.healthy else StoreUnavailable(unchecked_message(self._snapshots.path))

    async def _ask(self, kind: Callable[..., Call], **what: Any) -> Any:
        if refusal := self._refusal():
            raise refusal
        call = kind(future=self._loop.create_future(), since=time.monotonic(), **what)
        self._submit(call)
        return await call.future

    def _submit(self, call: Call) -> None:
        if isinstance(call, Append | Settle):
            self._uncommitted[call] = None
        self._queue.put(call)

    def _finish(self, calls: Sequence[Call], moment: float) -> None:
        for call in calls:
            self._uncommitted.pop(call, None)
            if not call.future.done():
                if call.error is None:
                    call.future.set_result(call.answer)
                else:
                    call.future.set_exception(call.error)
            elif isinstance(call, Claim) and call.answer:
                self._give_back(call.answer)
        # After all futures: the senders' answers go out before the deliveries that start from here.
        for call in calls:
            if isinstance(call, Append) and call.on_done is not None:
                self._tell(call.on_done, call.answer)
        if moment < self._moment:
            self._moment = moment
            self._moved.set()

    def _tell(self, on_done: OnAppended, appended: Sequence[Appended] | None) -> None:
        try:
            on_done(appended)
        except Exception as error:  # noqa: BLE001  one listener's defect must not cost the other callers their answers
            self._loop.call_exception_handler({"message": "on_done of an append failed", "exception": error})

    def _give_back(self, leases: Sequence[Lease]) -> None:
        """Nobody waits for this claim any more."""
        if self._refusal() is None:
            outcomes = [Outcome(lease, Release()) for lease in leases]
            self._submit(Settle(future=self._loop.create_future(), since=time.monotonic(), outcomes=outcomes))

    # on the store's thread

    def _run(self) -> None:
        while (calls := self._take()) is not None:
            self._check_disk()
            if calls:
                self._serve(calls)
                self._database.checkpoint()
        self._snapshots.close()
        self._database.close()
        self._on_loop(self._set_closed)

    def _take(self) -> list[Call] | None:
        """Whatever waits, the oldest first; nothing when the disk is to be tried again; None at the end."""
        try:
            call = self._queue.get(timeout=None if self._database.healthy else RETRY_S)
        except queue.Empty:
            return []
        calls = []
        while call is not None:
            calls.append(call)
            try:
                call = self._queue.get_nowait()
            except queue.Empty:
                return calls
        if calls:
            self._queue.put(None)
        return calls or None

    def _check_disk(self) -> None:
        if not self._database.healthy and time.monotonic() >= self._next_try:
            with suppress(StoreError):
                self._database.reopen()
                self._on_loop(self._finish, (), self._database.take_moment())
            self._next_try = time.monotonic() + RETRY_S

    def _serve(self, calls: Sequence[Call]) -> None:
        try:
            self._carry_out(calls)
        except Exception as error:  # noqa: BLE001  a defect: nobody is left waiting for ever
            for call in calls:
                call.error = call.error or error
        self._on_loop(self._finish, calls, self._database.take_moment())

    def _carry_out(self, calls: Sequence[Call]) -> None:
        writes = [call for call in calls if not isinstance(call, Claim | Load)]
        if writes:
            self._database.write(writes)
        for call in calls:
            if isinstance(call, Claim | Load):
                self._database.read(call)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # The loop may have ended without closing the store.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _set_closed(self) -> None:
        assert self._closed is not None
        self._closed.set_result(None)
