"""The embedded store: one SQLite file, one owner, one thread that does all writes.

Calls wait in a queue while a transaction is on its way to the disk; whatever waits then is the next transaction.
The thread has to win the interpreter's lock back after every SQLite step, so statements carry many rows each
and answers come as one JSON text: a busy event loop would otherwise starve the writer.
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self

from gateway.errors import CorruptEvent, StoreError, StoreUnavailable
from gateway.model import Delivery, Event, Release
from gateway.store.activities import Activity, Task
from gateway.store.holds import Assignment, Hold
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Rejected, Retention, Unredacted, Want
from gateway.store.sqlite import tasks
from gateway.store.sqlite.calls import Append, Call, Change, Claim, Load, Settle, Write
from gateway.store.sqlite.connection import unchecked_message
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.file import File
from gateway.store.sqlite.plans import Plan
from gateway.store.sqlite.reads import SQLiteReads
from gateway.store.sqlite.snapshots import Snapshots

#: Seconds between two tries to open the file again after a disk error.
RETRY_S: Final = 1.0
#: Nothing that waits in the store starts while a commit is older than this: a loop that never idles starves the writer.
WRITER_PATIENCE_S: Final = 0.005
#: The file has one owner, so the owner decides for every destination, for good and with all slots.
FOR_GOOD: Final = Assignment()


class SQLiteStore(SQLiteReads):
    """The Store of one process. Its methods belong to one event loop; a thread of its own owns the file."""

    name: str = "sqlite"

    def __init__(self, database: Database, snapshots: Snapshots, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(snapshots)
        self._database = database
        self._loop = loop
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        #: Appends and settles that wait for their commit, the oldest first.
        self._uncommitted: dict[Call, None] = {}
        self._closed: asyncio.Future[None] | None = None
        #: From when on there is something that no hint has named, and a signal that it has changed.
        self._moment = database.records.take_moment()
        self._moved = asyncio.Event()
        self._next_try = 0.0
        threading.Thread(target=self._run, name="store", daemon=True).start()

    @classmethod
    async def open(cls, path: str, *, clock: Callable[[], float], wall: Callable[[], float]) -> Self:
        """Become the owner of the file, created if absent. Raises StoreError."""
        file = File(path, clock, wall)
        database = Database(file)
        await asyncio.to_thread(database.open)
        return cls(database, Snapshots(path, file.now, wall), asyncio.get_running_loop())

    # the contract

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        call = Append(future=self._loop.create_future(), since=time.monotonic(), events=events, replica=replica)
        if refusal := self._refusal():
            call.future.set_exception(refusal)
        else:
            self._submit(call)
        return call.future

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        leases: Sequence[Lease] = await self._ask(Claim, replica=replica, wants=dict(wants))
        return leases

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        loaded: Mapping[str, Event | CorruptEvent] = await self._ask(Load, event_ids=event_ids) if event_ids else {}
        return loaded

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        held: frozenset[str] = await self._ask(Settle, outcomes=outcomes)
        return held

    async def wake(self) -> Collection[str]:
        file, leases = self._database.file, self._database.records.leases
        while (ahead_s := self._moment - file.now()) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(ahead_s if ahead_s < math.inf else None):
                    await self._moved.wait()
        now = file.now()
        self._moment = leases.next_moment(now)
        return leases.maybe_due(now)

    async def breathe(self) -> None:
        # The writer thread needs the interpreter now, not an event later.
        while self._oldest_uncommitted_s() > WRITER_PATIENCE_S:
            await asyncio.sleep(0.001)

    def _oldest_uncommitted_s(self) -> float:
        for call in self._uncommitted:
            return time.monotonic() - call.since
        return 0.0

    async def assigned(self, replica: str, destinations: Collection[str]) -> Mapping[str, Assignment]:  # noqa: ARG002
        return dict.fromkeys(destinations, FOR_GOOD)

    async def set_hold(self, hold: Hold) -> bool:
        is_set: bool = await self._ask(Write, run=lambda change: self._database.records.set_hold(hold, change.now))
        return is_set

    async def crashed(self, delivery_id: str) -> Delivery | None:
        delivery: Delivery | None = await self._ask(
            Write, run=lambda change: self._database.records.crashed(delivery_id, change.now)
        )
        return delivery

    async def begin(self, task: Task) -> Activity:
        if known := await asyncio.to_thread(self._reader.same, task):
            return await self._known(known)
        while True:
            plan = await asyncio.to_thread(self._reader.plan, task)
            if id_ := await self._ask(Write, run=partial(self._begin, task, plan)):
                return await self._known(id_)

    def _begin(self, task: Task, plan: Plan, change: Change) -> str:
        return tasks.begin(self._database.records, task, plan, self._database.file.wall(), change)

    async def go_on(self, replica: str) -> bool:
        task = await asyncio.to_thread(self._reader.unfinished, replica)
        if task is not None:
            await self._ask(Write, run=lambda change: tasks.go_on(self._database.records, task, replica, change))
        return task is not None

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        await self._ask(Write, run=lambda change: tasks.stop(self._database.records, activity_id, by, change))
        return await self._known(activity_id)

    async def _known(self, activity_id: str) -> Activity:
        activity = await self.activity(activity_id)
        assert activity is not None
        return activity

    async def note(self, activity: Activity) -> None:
        await self._ask(Write, run=lambda _change: tasks.note(self._database.records, activity))

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        if rejected:
            await self._ask(Write, run=lambda _change: self._database.records.reject(rejected))

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

    async def cleanse(self, headers: Mapping[str, Collection[str]], *, limit: int = 250) -> bool:
        more: bool = await self._ask(Write, run=lambda _change: self._database.cleanse(headers, limit))
        return more

    async def index(self, *, limit: int = 250) -> bool:
        # Called every second or so: nothing is written if nothing is new.
        more: bool = self._database.is_index_behind and await self._ask(
            Write, run=lambda _change: self._database.index(limit)
        )
        return more

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._queue.put(None)
        await asyncio.shield(self._closed)

    @property
    def healthy(self) -> bool:
        return self._database.file.healthy and self._closed is None

    # on the event loop

    def _refusal(self) -> StoreUnavailable | None:
        if self._closed is not None:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return None if self._database.file.healthy else StoreUnavailable(unchecked_message(self._snapshots.path))

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
            else:
                self._give_back(call)
        if moment < self._moment:
            self._moment = moment
            self._moved.set()

    def _give_back(self, call: Call) -> None:
        """The caller has gone: nobody else knows of the leases that it was granted."""
        leases: Sequence[Lease] = ()
        if isinstance(call, Claim):
            leases = call.answer or ()
        elif isinstance(call, Append):
            leases = [lease for appended in call.answer or () for lease in appended.leases]
        if leases and self._refusal() is None:
            outcomes = [Outcome(lease, Release()) for lease in leases]
            released = Settle(future=self._loop.create_future(), since=time.monotonic(), outcomes=outcomes)
            # Should the disk refuse, the leases expire.
            released.future.add_done_callback(lambda future: future.exception())
            self._submit(released)

    # on the store's thread

    def _run(self) -> None:
        while (calls := self._take()) is not None:
            self._check_disk()
            if calls:
                self._serve(calls)
                self._database.file.checkpoint()
        self._snapshots.close()
        self._database.file.close()
        self._on_loop(self._set_closed)

    def _take(self) -> list[Call] | None:
        """Everything that waits, the oldest first; nothing when it is time to try the disk again; None at the end."""
        try:
            call = self._queue.get(timeout=None if self._database.file.healthy else RETRY_S)
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
        if not self._database.file.healthy and time.monotonic() >= self._next_try:
            with suppress(StoreError):
                self._database.reopen()
                self._on_loop(self._finish, (), self._database.records.take_moment())
            self._next_try = time.monotonic() + RETRY_S

    def _serve(self, calls: Sequence[Call]) -> None:
        try:
            self._carry_out(calls)
        except Exception as error:  # noqa: BLE001  a bug: nobody is left waiting for ever
            for call in calls:
                call.error = call.error or error
        self._on_loop(self._finish, calls, self._database.records.take_moment())

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
