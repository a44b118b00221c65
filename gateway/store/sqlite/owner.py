"""The embedded store: one SQLite file, one owner, one thread that does all writes.

Calls wait in a queue while a transaction is on its way to the disk; whatever waits then is the next transaction.
The thread has to win the interpreter's lock back after every SQLite step, so statements carry many rows each
and answers come as one JSON text: a busy event loop would otherwise starve the writer.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import apsw

from gateway.errors import CorruptEvent, StoreError, StoreUnavailable
from gateway.model import Delivery, Event, Release
from gateway.store.activities import Activity, Erasure, OpenErasure, Task
from gateway.store.cluster import Alone, Cluster
from gateway.store.holds import Assigned, Assignment, Hold, Terms
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Retention, Room, Want
from gateway.store.queries import Rejected, Unredacted
from gateway.store.sqlite import gathering, logins, tasks
from gateway.store.sqlite.awaited import AwaitedTable
from gateway.store.sqlite.calls import Append, Call, Change, Claim, EmptyLog, Settle, Write
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.file import File
from gateway.store.sqlite.hints import Hints
from gateway.store.sqlite.pace import SLICE_BYTES, Pace, parts
from gateway.store.sqlite.plans import Plan
from gateway.store.sqlite.reads import SQLiteReads
from gateway.store.sqlite.scrub import Scrub
from gateway.store.sqlite.secrets import ENDING, SecretsFile
from gateway.store.sqlite.snapshots import Snapshots
from gateway.store.sqlite.space import Space
from gateway.store.sqlite.writer import Writer

T = TypeVar("T")

#: The file has one owner, so the owner decides for every destination, for good and with all slots.
FOR_GOOD: Final = Assignment()


class SQLiteStore(SQLiteReads):
    """The Store of one process. Its methods belong to one event loop; a thread of its own owns the file."""

    name: str = "sqlite"

    def __init__(self, database: Database, snapshots: Snapshots, clock: Callable[[], float]) -> None:
        super().__init__(snapshots)
        loop = asyncio.get_running_loop()
        self.cluster: Cluster = Alone(clock)
        self._database = database
        self._loop = loop
        #: Calls of this turn of the loop, for the writer to take together.
        self._asked: list[Call] = []
        #: Appends and settles that wait for their commit.
        self._uncommitted: set[Call] = set()
        self._pruning, self._redacting, self._indexing, self._wiping = Pace(), Pace(), Pace(), Pace()
        #: For bodies of claimed deliveries: the default one may be busy with long searches.
        self._loader = ThreadPoolExecutor(1, "store-loader")
        self._hints = Hints(database.file.now, database.records.leases, database.records.take_moment())
        self.secrets = SecretsFile(Path(f"{database.file.path}{ENDING}"))
        self.expectations = AwaitedTable(snapshots, self._write)
        self._scrub = Scrub(snapshots, share=float(database.file.is_checked))
        self._space = Space(database.file.path, database.file.reserve)
        self._writer = Writer(database, snapshots, loop, self._finish)

    @classmethod
    async def open(cls, path: str, *, clock: Callable[[], float], wall: Callable[[], float]) -> Self:
        """Become the owner of the file, created if absent. Raises StoreError."""
        file = File(path, clock, wall)
        database = Database(file)
        await asyncio.to_thread(database.open)
        return cls(database, Snapshots(path, file.now, wall), clock)

    # the contract

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        return self._begin(Append, events=events, replica=replica)

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        leases: Sequence[Lease] = await self._ask(Claim, replica=replica, wants=dict(wants))
        return leases

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        return await self._loaded(self._reader.load, event_ids) if event_ids else {}

    async def recall(self, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
        return await self._loaded(self._reader.recall, delivery_id, subjects)

    async def _loaded(self, read: Callable[..., T], *what: object) -> T:
        """Read beside the writer's thread: there it would wait for a commit."""
        if refusal := self._refusal():
            raise refusal
        try:
            return await self._loop.run_in_executor(self._loader, partial(read, *what))
        except StoreError as error:
            await self._ask(Write, run=partial(_meet, error))
            raise

    async def gathered(self, delivery_id: str) -> Sequence[str]:
        ids: Sequence[str] = await self._ask(
            Write, moves=False, run=lambda _change: gathering.gathered(self._database.records, delivery_id)
        )
        return ids

    def settle(self, outcomes: Sequence[Outcome]) -> "asyncio.Future[frozenset[str]]":
        return self._begin(Settle, outcomes=outcomes)

    async def wake(self) -> Collection[str]:
        return await self._hints.wake()

    async def holds_changed(self) -> None:
        # There is no other replica.
        await asyncio.Event().wait()

    async def breathe(self) -> None:
        await self._database.turns.wait(lambda: bool(self._uncommitted))

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:  # noqa: ARG002  one owner, so every replica is it
        return Assigned(dict.fromkeys(wanted, FOR_GOOD))

    async def release(self, replica: str, destinations: Collection[str]) -> None:
        """There is no other replica to take them."""

    async def set_hold(self, hold: Hold) -> bool:
        is_set: bool = await self._ask(
            Write, moves=False, run=lambda change: self._database.records.set_hold(hold, change.now)
        )
        return is_set

    async def set_login(self, login: Login) -> bool:
        is_set: bool = await self._ask(
            Write, moves=False, run=lambda change: logins.keep(self._database.records.db, login, change.now)
        )
        return is_set

    async def crashed(self, delivery_id: str) -> Delivery | None:
        delivery: Delivery | None = await self._ask(
            Write, run=lambda change: self._database.records.crashed(delivery_id, change.now)
        )
        return delivery

    async def hasten(self, delivery_ids: Collection[str]) -> int:
        count: int = await self._ask(Write, run=lambda change: self._database.records.hasten(delivery_ids, change))
        return count

    async def begin(self, task: Task) -> Activity:
        if known := await asyncio.to_thread(self._reader.same, task):
            return await self._known(known)
        while True:
            plan = await asyncio.to_thread(self._reader.plan, task)
            if id_ := await self._ask(Write, run=partial(self._begin_task, task, plan)):
                return await self._known(id_)

    def _begin_task(self, task: Task, plan: Plan, change: Change) -> str:
        return tasks.begin(self._database.records, task, plan, self._database.file.wall(), change)

    async def go_on(self, replica: str) -> bool:
        task = await asyncio.to_thread(self._reader.unfinished, replica)
        if task is not None:
            await self._ask(Write, run=lambda change: tasks.go_on(self._database.records, task, replica, change))
        return task is not None

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        await self._ask(Write, run=lambda change: tasks.stop(self._database.records, activity_id, by, change))
        return await self._known(activity_id)

    async def begin_erasure(self, erasure: Erasure) -> Activity:
        mentioned = await asyncio.to_thread(self._reader.mentioning, erasure.value)
        id_ = await self._ask(Write, run=lambda change: self._database.begin_erasure(erasure, mentioned, change))
        return await self._known(id_)

    async def open_erasure(self, replica: str) -> OpenErasure | None:
        return await asyncio.to_thread(self._reader.open_erasure, replica)

    async def forget(self, erasure: OpenErasure, event_ids: Collection[str], *, to: str, replica: str) -> None:
        await self._ask(Write, run=lambda change: self._database.forget(erasure, event_ids, to, replica, change))

    async def _write(self, run: Callable[[apsw.Connection, Change], Any]) -> Any:
        """Do something in a transaction that moves no delivery."""
        return await self._ask(Write, moves=False, run=lambda change: run(self._database.records.db, change))

    async def _known(self, activity_id: str) -> Activity:
        activity = await self.activity(activity_id)
        assert activity is not None
        return activity

    async def note(self, activity: Activity) -> None:
        await self._ask(Write, moves=False, run=lambda _change: tasks.note(self._database.records, activity))

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        if rejected:
            await self._ask(Write, moves=False, run=lambda _change: self._database.records.reject(rejected))

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        removed, more = 0, True
        while more and not removed:
            removed, more = await self._upkeep(
                self._pruning, limit, lambda items, change: self._database.prune(retention, items, change)
            )
        return removed

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        return await asyncio.to_thread(self._reader.unredacted, after, limit)

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        redacted = 0
        for part in parts(bodies.items(), _size_of_body, SLICE_BYTES):
            redacted += await self._upkeep(
                self._redacting, len(part), lambda *_, it=part: self._database.redact(dict(it))
            )
        return redacted

    async def cleanse(self, headers: Mapping[str, Collection[str]], *, limit: int = 250) -> bool:
        more: bool = await self._upkeep(
            self._redacting, limit, lambda items, _change: self._database.cleanse(headers, items)
        )
        return more

    async def wipe(self) -> bool:
        if not self._database.is_unwiped:
            return False
        is_more: bool = await self._upkeep(self._wiping, 1, lambda _items, _change: self._database.merge())
        return is_more or not await self._ask(EmptyLog)

    async def index(self, *, limit: int = 250) -> bool:
        # Called every second or so: nothing is written if nothing is new, nor on a full disk.
        may_grow = self._database.is_index_behind and not self._database.file.reserve.is_given_up
        more: bool = may_grow and await self._upkeep(
            self._indexing, limit, lambda items, _change: self._database.index(items)
        )
        return more

    async def _upkeep(self, pace: Pace, most: int, work: Callable[[int, Change], Any]) -> Any:
        """Do a slice at its pace."""

        def run(change: Change) -> object:
            with pace.working():
                return work(items, change)

        async with pace.resting():
            items = pace.items(most)
            # Whatever waits for a slot, upkeep leaves alone.
            return await self._ask(Write, moves=False, run=run)

    async def close(self) -> None:
        self._submit_asked()
        await self._writer.close()
        self._loader.shutdown()

    @property
    def healthy(self) -> bool:
        return self._database.file.healthy and not self._writer.is_closed

    @property
    def trouble(self) -> str:
        return self._database.file.trouble

    @property
    def room(self) -> Room:
        return self._space.room(self._database.records.pending, self._database.file.damage)

    @property
    def checked(self) -> float:
        return self._scrub.share

    async def inspect(self) -> bool:
        if self._scrub.share >= 1.0 or self._database.file.damage:
            return False
        if finding := await asyncio.to_thread(self._scrub.step):
            self._database.file.find_damage(finding)
        return True

    # on the event loop

    def _refusal(self) -> StoreUnavailable | None:
        if self._writer.is_closed:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        trouble = self._database.file.trouble
        return StoreUnavailable(trouble) if trouble else None

    async def _ask(self, kind: Callable[..., Call], **what: Any) -> Any:
        return await self._begin(kind, **what)

    def _begin(self, kind: Callable[..., Call], **what: Any) -> "asyncio.Future[Any]":
        call = kind(future=self._loop.create_future(), since=time.monotonic(), **what)
        if refusal := self._refusal():
            call.future.set_exception(refusal)
        else:
            self._submit(call)
        return call.future

    def _submit(self, call: Call) -> None:
        if isinstance(call, Append | Settle):
            self._uncommitted.add(call)
        if not self._asked:
            self._loop.call_soon(self._submit_asked)
        self._asked.append(call)

    def _submit_asked(self) -> None:
        """Wake the writer once for all calls of this turn."""
        asked, self._asked = self._asked, []
        if asked:
            self._writer.submit(asked)

    def _finish(self, calls: Sequence[Call], moment: float) -> None:
        for call in calls:
            self._uncommitted.discard(call)
            if not call.future.done():
                if call.error is None:
                    call.future.set_result(call.answer)
                else:
                    call.future.set_exception(call.error)
            else:
                self._give_back(call)
        self._come_up(moment)

    def _come_up(self, moment: float) -> None:
        """There is something new to claim from this moment on."""
        self._hints.come_up(moment)

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


def _meet(error: StoreError, _change: Change) -> None:
    """What a reader has met is for the writer to judge: whether the file has to be opened again and checked."""
    raise error.__cause__ or error


def _size_of_body(named: tuple[str, bytes]) -> int:
    return len(named[1])
