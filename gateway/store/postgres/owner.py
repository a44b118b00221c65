"""The store of many replicas, as one of them has it open.

A lease is part of its delivery's row, so that no two replicas have one at a time, and the outcome of one that was granted
again changes nothing. Only the database's clock counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from gateway.errors import CorruptEvent, StoreError
from gateway.model import Delivery, Event
from gateway.store import rules
from gateway.store.activities import Activity, Erasure, OpenErasure, Task
from gateway.store.holds import Assigned, Hold, Terms
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Retention, Room, Want
from gateway.store.postgres import forgetting, gathering, logins, memory, migrate, replicas, tasks
from gateway.store.postgres import statements as sql
from gateway.store.postgres.address import Address
from gateway.store.postgres.awaited import AwaitedTable
from gateway.store.postgres.cluster import Members
from gateway.store.postgres.connections import Connection, Line, Readers, connect, translated
from gateway.store.postgres.presence import Presence
from gateway.store.postgres.reads import PostgresReads
from gateway.store.postgres.rows import columns, delivery_of, distinct, hold_row, name_of, packed
from gateway.store.postgres.secrets import SecretsTable
from gateway.store.postgres.tasks import Moved
from gateway.store.postgres.upkeep import Upkeep
from gateway.store.postgres.wiping import Wiping
from gateway.store.postgres.words import WordIndex
from gateway.store.postgres.writer import Writer
from gateway.store.queries import Rejected

T = TypeVar("T")

#: The disk is the server's, and nothing is known of it.
UNKNOWN_BYTES: Final = 1 << 62


class PostgresStore(PostgresReads):
    """The Store of one replica. Its methods belong to one event loop."""

    name: str = "postgres"

    def __init__(self, address: Address, number: int, pending: int) -> None:
        super().__init__(Readers(address))
        self._presence = Presence(address, number, pending)
        self._writer = Writer(self._presence)
        #: For everything that is rare.
        self._line = Line(address)
        self._upkeep, self._words, self._wiping = Upkeep(self._line), WordIndex(), Wiping(address)
        self.cluster = Members(self._line, number, self._presence.asked)
        self.secrets = SecretsTable(self._line, self._presence)
        self.expectations = AwaitedTable(self._line, self._presence.asked)
        self._holds_changed = asyncio.Event()
        self._presence.listen("holds", self._holds_changed.set)
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Join the replicas of a database. Raises StoreError."""
        connection = await connect(address)
        try:
            async with translated(address), connection.transaction():
                await migrate.check(connection, address)
                number = await replicas.register(connection)
                pending = await connection.fetchval(sql.PENDING)
        finally:
            connection.terminate()
        store = cls(address, number, pending)
        await store._presence.begin(lambda: store._writer.is_idle, store._writer.refuse)
        return store

    # events come in, deliveries go out

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        return self._writer.append(events, replica)

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        self._presence.refuse()
        return await self._writer.claim(replica, wants)

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        self._presence.refuse()
        return await super().load(event_ids)

    async def gathered(self, delivery_id: str) -> Sequence[str]:
        head = name_of(delivery_id)
        return await self._moving(lambda connection, _moved: gathering.gathered(connection, head))

    async def recall(self, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
        self._presence.refuse()
        async with self._readers.connection() as connection:
            return await memory.recall(connection, delivery_id, subjects)

    def settle(self, outcomes: Sequence[Outcome]) -> "asyncio.Future[frozenset[str]]":
        return self._writer.settle(outcomes)

    async def wake(self) -> Collection[str]:
        return await self._presence.watch.wake()

    async def breathe(self) -> None:
        await asyncio.sleep(0)

    async def crashed(self, delivery_id: str) -> Delivery | None:
        row = await self._fetchrow(sql.CRASHED, name_of(delivery_id))
        return None if row is None else delivery_of(row, row["now"])

    async def hasten(self, delivery_ids: Collection[str]) -> int:
        return await self._moving(lambda connection, moved: tasks.hasten(connection, delivery_ids, moved))

    # what replicas share

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:  # noqa: ARG002  as every store
        return await self._asked(lambda: replicas.assigned(self._line, self._presence.number, wanted))

    async def release(self, replica: str, destinations: Collection[str]) -> None:  # noqa: ARG002  as every store
        await self._asked(lambda: replicas.release(self._line, self._presence.number, destinations))

    async def set_hold(self, hold: Hold) -> bool:
        is_stored = await self._fetchrow(sql.SET_HOLD, *hold_row(hold)) is not None
        if is_stored:
            self._presence.tell_of("holds")
        return is_stored

    async def set_login(self, login: Login) -> bool:
        return await self._fetchrow(logins.SET, *logins.row_of(login)) is not None

    async def holds_changed(self) -> None:
        await self._holds_changed.wait()
        self._holds_changed.clear()

    # what people do

    async def begin(self, task: Task) -> Activity:
        return await self._known(await self._moving(lambda connection, moved: tasks.begin(connection, task, moved)))

    async def go_on(self, replica: str) -> bool:
        number = self._presence.number
        return await self._moving(lambda connection, moved: tasks.go_on(connection, number, replica, moved))

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        await self._moving(lambda connection, moved: tasks.stop(connection, name_of(activity_id), by, moved))
        return await self._known(activity_id)

    async def begin_erasure(self, erasure: Erasure) -> Activity:
        self._wiping.is_due = True
        return await self._known(await self._moving(lambda connection, _moved: forgetting.begin(connection, erasure)))

    async def open_erasure(self, replica: str) -> OpenErasure | None:
        number = self._presence.number
        found = await self._moving(lambda connection, _moved: forgetting.unfinished(connection, number, replica))
        if found is not None and found.is_looked_through:
            # Another process may have removed what is left to be wiped.
            self._wiping.begin(found.activity_id)
        return found

    async def forget(self, erasure: OpenErasure, event_ids: Collection[str], *, to: str, replica: str) -> None:
        self._wiping.is_due = True
        given = (self._presence.number, replica, erasure, event_ids, to)
        await self._moving(lambda connection, moved: forgetting.forget(connection, *given, moved))

    async def note(self, activity: Activity) -> None:
        await self._moving(lambda connection, _moved: tasks.note(connection, activity))

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        rows = [
            (
                each.at,
                *map(packed, (each.source, each.path)),
                each.status,
                *map(packed, (each.reason, each.client)),
                each.count,
            )
            for each in rejected
        ]

        async def remember(connection: Connection, _moved: Moved) -> None:
            await connection.execute(sql.REJECT, *columns(rows, 7))
            for source in distinct(each.source for each in rejected):
                await connection.execute(sql.FORGET_REJECTED, packed(source), rules.REJECTED_KEPT)

        if rows:
            await self._moving(remember)

    async def _known(self, activity_id: str) -> Activity:
        activity = await self.activity(activity_id)
        assert activity is not None
        return activity

    # upkeep, by the one replica that has it

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        await self._asked(self._upkeep.fold)
        return await self._asked(lambda: self._upkeep.prune(retention, limit))

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        if not bodies:
            return 0
        redacted = await self._asked(lambda: self._upkeep.redact(bodies))
        self._wiping.is_due = self._wiping.is_due or bool(redacted)
        return redacted

    async def cleanse(self, headers: Mapping[str, Collection[str]], *, limit: int = 250) -> bool:  # noqa: ARG002  as every store
        # No release has stored such headers in a database.
        return False

    async def wipe(self) -> bool:
        return await self._asked(self._wiping.step)

    async def index(self, *, limit: int = 250) -> bool:
        # Called every second or so, also where nothing is removed.
        await self._asked(self._upkeep.fold)
        return await self._moving(lambda connection, _moved: self._words.add(connection, limit))

    async def inspect(self) -> bool:
        return False

    # its own state

    @property
    def healthy(self) -> bool:
        return self._presence.refusal is None

    @property
    def trouble(self) -> str:
        return self._presence.trouble

    @property
    def room(self) -> Room:
        return Room(self._presence.pending, UNKNOWN_BYTES, UNKNOWN_BYTES)

    @property
    def checked(self) -> float:
        return 1.0

    async def close(self) -> None:
        if self._closing is None:
            self._presence.is_closed = True
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._writer.close()
        await self._presence.end()
        leased = list(self._presence.hints.leased)
        with suppress(StoreError):
            async with self._line.transaction() as connection:
                await connection.execute(sql.GIVE_BACK, leased, self._presence.number)
                await replicas.leave(connection, self._presence.number)
        await self._line.close()
        await super().close()

    # asking

    async def _asked(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._presence.asked(work)

    async def _fetchrow(self, statement: str, *values: object) -> Mapping[str, Any] | None:
        async def fetch() -> Mapping[str, Any] | None:
            async with self._line.alone() as connection:
                row: Mapping[str, Any] | None = await connection.fetchrow(statement, *values)
                return row

        return await self._asked(fetch)

    async def _moving(self, work: Callable[[Connection, Moved], Awaitable[T]]) -> T:
        """Do what may move deliveries in one transaction, and tell what is due because of it."""

        async def move() -> tuple[T, Moved]:
            moved = Moved()
            async with self._line.transaction() as connection:
                return await work(connection, moved), moved

        result, moved = await self._asked(move)
        self._presence.pending += moved.pending
        self._presence.come_up(moved.later)
        self._presence.tell(moved.due)
        return result
