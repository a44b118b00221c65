"""The store of many replicas, as one of them has it open.

Whatever waits at the same time is one transaction; a lease is part of its delivery's row, so that no two replicas have one
at a time, and the outcome of one that was granted again changes nothing. Only the database's clock counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

import asyncpg

from gateway import telemetry
from gateway.errors import CorruptEvent, StoreError, StoreUnavailable
from gateway.model import Delivery, Event, Release
from gateway.store import rules
from gateway.store.activities import Activity, Task
from gateway.store.holds import Assignment, Hold, Terms
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Rejected, Room, Want
from gateway.store.postgres import migrate, replicas, tasks, watching
from gateway.store.postgres import statements as sql
from gateway.store.postgres.address import Address
from gateway.store.postgres.appends import append
from gateway.store.postgres.calls import Append, Call, Group, Settle
from gateway.store.postgres.cluster import Members
from gateway.store.postgres.connections import Connection, Line, Readers, again, connect
from gateway.store.postgres.hints import Hints
from gateway.store.postgres.news import News
from gateway.store.postgres.outcomes import Settled, claim, settle, were_recorded
from gateway.store.postgres.reads import PostgresReads
from gateway.store.postgres.rows import columns, delivery_of, event_of, fence_of, hold_row, name_of, packed
from gateway.store.postgres.tasks import Moved

T = TypeVar("T")

#: Seconds after which a call that has no answer is refused; what it asked for may still be done.
ANSWER_S: Final = 1.0
#: The disk is the server's, and nothing is known of it.
UNKNOWN_BYTES: Final = 1 << 62


class PostgresStore(PostgresReads):
    """The Store of one replica. Its methods belong to one event loop."""

    name: str = "postgres"

    def __init__(self, address: Address, number: int, pending: int) -> None:
        super().__init__(Readers(address))
        self._loop = asyncio.get_running_loop()
        self._address, self._number, self._pending = address, number, pending
        self._appending, self._settling, self._claiming, self._line = (Line(address) for _ in range(4))
        self._appends: Group[Append] = Group(self._append, self._finish)
        self._settles: Group[Settle] = Group(self._settle, self._finish)
        self._hints = Hints()
        self._watch = watching.Watch(Line(address), self._hints)
        self._news = News(address, number, self._watch.hear)
        self.cluster = Members(self._line, number, self._asked)
        #: Tokens of leases whose outcomes may have been recorded although nobody was told.
        self._uncertain: set[int] = set()
        #: Leases on their way back because whoever they were granted to has gone.
        self._returning: set[asyncio.Future[Any]] = set()
        self._trouble = ""
        self._closed: asyncio.Task[None] | None = None
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Join the replicas of a database. Raises StoreError."""
        connection = await connect(address)
        try:
            async with connection.transaction():
                await migrate.check(connection, address)
                number = await replicas.register(connection)
                pending = await connection.fetchval(sql.PENDING)
        except asyncpg.PostgresError as error:
            raise StoreUnavailable(f"{address.name}: {error}: look at the database") from error
        finally:
            await connection.close()
        store = cls(address, number, pending)
        with suppress(StoreUnavailable):
            await store._news.attend()
        store._tasks = [store._loop.create_task(each()) for each in (store._tend, store._look_for_late)]
        return store

    # events come in, deliveries go out

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        call = Append(future=self._loop.create_future(), since=self._loop.time(), events=events, replica=replica)
        if refusal := self._refusal():
            call.future.set_exception(refusal)
        else:
            self._appends.add(call)
        return call.future

    async def _append(self, calls: Sequence[Append]) -> None:
        began = self._loop.time()
        try:
            added = await again(lambda: append(self._appending, self._number, calls))
        except StoreUnavailable as error:
            self._is_away(error)
            _answer(calls, error)
        except StoreError as error:
            # Which of them cannot be stored?
            for call in calls if len(calls) > 1 else ():
                await self._append([call])
            if len(calls) == 1:
                calls[0].error = error
        else:
            telemetry.COMMIT_SECONDS.observe(self._loop.time() - began)
            self._pending += added.pending
            self._hints.granted(added.leases, added.now)
            self._tell(added.due)
            for call, answer in zip(calls, added.answers, strict=True):
                call.answer = answer

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        self._refuse()
        if self._returning:
            await asyncio.wait(self._returning)
        claiming = self._loop.create_task(self._claim(replica, wants))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._return(self._unclaim(claiming))
            raise

    async def _claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        claimed = await self._asked(lambda: claim(self._claiming, self._number, replica, wants))
        for each in claimed:
            self._hints.granted([each.lease], each.now)
        return [each.lease for each in claimed]

    async def _unclaim(self, claiming: "asyncio.Task[Sequence[Lease]]") -> None:
        await self._give_back(await claiming)

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        self._refuse()
        if not event_ids:
            return {}
        async with self._readers.connection() as connection:
            rows = await connection.fetch(sql.LOAD, [name_of(each) for each in event_ids])
        loaded: dict[str, Event | CorruptEvent] = {}
        for event, intact, body_is in map(event_of, rows):
            is_sound = intact and body_is == "kept"
            loaded[event.id] = event if is_sound else CorruptEvent(rules.damaged(event.id))
        return loaded

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        self._refuse()
        call = Settle(future=self._loop.create_future(), since=self._loop.time(), outcomes=outcomes)
        self._settles.add(call)
        held: frozenset[str] = await call.future
        return held

    async def _settle(self, calls: Sequence[Settle]) -> None:
        # The first outcome of a lease counts.
        outcomes = {outcome.lease.token: outcome for call in reversed(calls) for outcome in reversed(call.outcomes)}
        try:
            settled = await again(lambda: self._record(list(outcomes.values())))
        except StoreUnavailable as error:
            self._is_away(error)
            _answer(calls, error)
            return
        except StoreError as error:
            for call in calls if len(calls) > 1 else ():
                await self._settle([call])
            if len(calls) == 1:
                calls[0].error = error
            return
        self._pending -= settled.ended
        self._hints.ended(outcomes)
        for destination, due in settled.retried:
            self._hints.come_up(destination, due)
        self._tell(settled.due)
        left = {token for token in outcomes if fence_of(token)[0] in settled.held}
        for call in calls:
            mine = [each.lease for each in call.outcomes if each.lease.token in left]
            left -= {lease.token for lease in mine}
            call.answer = frozenset(lease.delivery.id for lease in mine)

    async def _record(self, outcomes: Sequence[Outcome]) -> Settled:
        tokens = {outcome.lease.token for outcome in outcomes}
        try:
            settled = await settle(self._settling, outcomes)
        except StoreUnavailable:
            self._uncertain |= tokens
            raise
        if uncertain := self._uncertain & tokens:
            lost = [each for each in outcomes if each.lease.token in uncertain and _seq(each) not in settled.held]
            settled.held |= await were_recorded(self._settling, lost) if lost else set()
            self._uncertain -= tokens
        return settled

    async def wake(self) -> Collection[str]:
        return await self._watch.wake()

    async def breathe(self) -> None:
        await asyncio.sleep(0)

    async def crashed(self, delivery_id: str) -> Delivery | None:
        async def count() -> Delivery | None:
            async with self._line.transaction() as connection:
                row = await connection.fetchrow(sql.CRASHED, name_of(delivery_id))
            return None if row is None else delivery_of(row, row["now"])

        return await self._asked(count)

    # what replicas share

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Mapping[str, Assignment]:  # noqa: ARG002
        return await self._asked(lambda: replicas.assigned(self._line, self._number, wanted))

    async def release(self, replica: str, destinations: Collection[str]) -> None:  # noqa: ARG002
        await self._asked(lambda: replicas.release(self._line, self._number, destinations))

    async def set_hold(self, hold: Hold) -> bool:
        async def set_() -> bool:
            async with self._line.transaction() as connection:
                return await connection.fetchval(sql.SET_HOLD, *hold_row(hold)) is not None

        return await self._asked(set_)

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        rows = [
            (
                each.at,
                packed(each.source),
                packed(each.path),
                each.status,
                packed(each.reason),
                packed(each.client),
                each.count,
            )
            for each in rejected
        ]

        async def remember() -> None:
            async with self._line.transaction() as connection:
                await connection.execute(sql.REJECT, *columns(rows, 7))
                for source in sorted({packed(each.source) for each in rejected}):
                    await connection.execute(sql.FORGET_REJECTED, source, rules.REJECTED_KEPT)

        if rejected:
            await self._asked(remember)

    # what people do

    async def begin(self, task: Task) -> Activity:
        return await self._known(await self._moving(lambda connection, moved: tasks.begin(connection, task, moved)))

    async def go_on(self, replica: str) -> bool:
        return await self._moving(lambda connection, moved: tasks.go_on(connection, self._number, replica, moved))

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        await self._moving(lambda connection, moved: tasks.stop(connection, name_of(activity_id), by, moved))
        return await self._known(activity_id)

    async def note(self, activity: Activity) -> None:
        await self._moving(lambda connection, _moved: tasks.note(connection, activity))

    async def _known(self, activity_id: str) -> Activity:
        activity = await self.activity(activity_id)
        assert activity is not None
        return activity

    async def _moving(self, work: Callable[[Connection, Moved], Awaitable[T]]) -> T:
        """Do what moves deliveries in one transaction, and tell what is due because of it."""

        async def move() -> tuple[T, Moved]:
            moved = Moved()
            async with self._line.transaction() as connection:
                return await work(connection, moved), moved

        result, moved = await self._asked(move)
        self._pending += moved.pending
        for destination, due in moved.later:
            self._hints.come_up(destination, due)
        self._tell(moved.due)
        return result

    # its own state

    @property
    def healthy(self) -> bool:
        return not self._trouble and self._closed is None

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def room(self) -> Room:
        return Room(self._pending, UNKNOWN_BYTES, UNKNOWN_BYTES)

    @property
    def checked(self) -> float:
        return 1.0

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_task(self._close())
        await asyncio.shield(self._closed)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        while not (self._appends.is_idle and self._settles.is_idle and not self._returning):
            await self._appends.drain()
            await self._settles.drain()
            if self._returning:
                await asyncio.wait(self._returning)
        with suppress(StoreError):
            async with self._line.transaction() as connection:
                await connection.execute(sql.GIVE_BACK, list(self._hints.leased), self._number)
                await replicas.leave(connection, self._number)
        await self._news.close()
        await self._watch.close()
        for line in (self._appending, self._settling, self._claiming, self._line):
            await line.close()
        await super().close()

    # callers

    def _refusal(self) -> StoreUnavailable | None:
        if self._closed is not None:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return StoreUnavailable(self._trouble) if self._trouble else None

    def _refuse(self) -> None:
        if refusal := self._refusal():
            raise refusal

    async def _asked(self, work: Callable[[], Awaitable[T]]) -> T:
        self._refuse()
        try:
            return await again(work)
        except StoreUnavailable as error:
            self._is_away(error)
            raise

    def _is_away(self, error: StoreUnavailable) -> None:
        self._trouble = self._trouble or str(error)

    def _tell(self, destinations: Collection[str]) -> None:
        """They have something due: this process and the others hear of it."""
        self._watch.hear(destinations)
        self._news.tell(destinations)

    def _finish(self, call: Call) -> None:
        if not call.future.done():
            if call.error is None:
                call.future.set_result(call.answer)
            else:
                call.future.set_exception(call.error)
        elif isinstance(call, Append) and call.answer:
            # The caller has gone: nobody else knows of the leases that it was granted.
            leases = [lease for appended in call.answer for lease in appended.leases]
            self._return(self._give_back(leases))

    def _return(self, giving_back: Awaitable[None]) -> None:
        task = asyncio.ensure_future(giving_back)
        self._returning.add(task)
        task.add_done_callback(self._returned)

    def _returned(self, task: "asyncio.Future[None]") -> None:
        self._returning.discard(task)
        if not task.cancelled():
            # Should the database refuse, the leases run out.
            task.exception()

    async def _give_back(self, leases: Iterable[Lease]) -> None:
        if outcomes := [Outcome(lease, Release()) for lease in leases]:
            call = Settle(future=self._loop.create_future(), since=self._loop.time(), outcomes=outcomes)
            self._settles.add(call)
            await call.future

    # by and by

    async def _look_for_late(self) -> None:
        """Whoever has waited too long gets an answer, whatever becomes of what it asked for."""
        while True:
            await asyncio.sleep(ANSWER_S / 4)
            error = StoreUnavailable(f"{self._address.name} has not answered for {ANSWER_S:g} s: look at the database")
            if self._appends.refuse_late(self._loop.time() - ANSWER_S, error):
                self._is_away(error)

    async def _tend(self) -> None:
        """See whether the database is there, and what others have stored."""
        while True:
            try:
                await self._tend_once()
                self._trouble = ""
            except StoreUnavailable as error:
                self._is_away(error)
            await asyncio.sleep(ANSWER_S)

    async def _tend_once(self) -> None:
        await self._news.attend()
        was, was_idle = self._pending, self._is_idle
        async with self._line.alone() as connection:
            pending = await connection.fetchval(sql.PENDING)
        # What is on its way may be counted or not.
        if was_idle and self._is_idle and was == self._pending:
            self._pending = pending

    @property
    def _is_idle(self) -> bool:
        return self._appends.is_idle and self._settles.is_idle


def _answer(calls: Sequence[Call], error: Exception) -> None:
    for call in calls:
        call.error = error


def _seq(outcome: Outcome) -> int:
    return fence_of(outcome.lease.token)[0]
