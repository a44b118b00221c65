"""The PostgreSQL store of the tests: one database for each process of them, emptied for each test, whose clock they move."""

import asyncio
import atexit
import threading
from functools import cache

import asyncpg
import pytest

from gateway.store import migrate, open_store
from gateway.store.postgres.tables import CLOCK
from tests import pooler, postgres

#: Stands for the clock of the schema in every database of the tests.
MOVED = CLOCK.replace("extract(epoch FROM statement_timestamp())::float8", "now FROM clock_of_tests")
#: The time at which every test begins: monotonic_s of a new Clock, and the same by the wall clock.
BEGAN_S, BEGAN_WALL = 1000.0, 1_800_000_000.0


class Beside:
    """A connection beside the store's, on a loop of its own: for what a test does without waiting."""

    def __init__(self, url: str):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="beside", daemon=True).start()
        self._connection = self._do(asyncpg.connect(url))
        atexit.register(self._close)

    def _close(self):
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def execute(self, text: str, *values):
        return self._do(self._connection.fetch(text, *values) if values else self._connection.execute(text))


class Database:
    """The database of this process of the tests."""

    def __init__(self, server):
        assert CLOCK != MOVED
        self.url = postgres.fresh(server=server)
        loop_of_its_own(migrate(self.url))
        self.beside = Beside(self.url)
        self.beside.execute(
            f"CREATE TABLE clock_of_tests (now float8 NOT NULL); INSERT INTO clock_of_tests VALUES (0); {MOVED}"
        )
        rows = self.beside.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = $1::regnamespace",
            "public",
        )
        kept = {"meta", "clock_of_tests", "indexed", "reload"}
        self._empty = ";".join(f"DELETE FROM {row[0]}" for row in rows if row[0] not in kept)
        self._empty += ";UPDATE indexed SET upto = 0"

    def begin(self):
        """Empty it for a test."""
        self.beside.execute(self._empty)

    def move(self, clock):
        """Set its clock to that of the test."""
        now = BEGAN_WALL + clock.monotonic_s - BEGAN_S
        self.beside.execute(f"UPDATE clock_of_tests SET now = {now!r}")


def loop_of_its_own(work):
    """Run a coroutine to its end, also from inside an event loop."""
    result = []
    thread = threading.Thread(target=lambda: result.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return result[0]


@cache
def database(server: str = "") -> Database:
    """``server``: another one than most tests run on."""
    return Database(server)


class PostgresKind:
    """How the tests open a store on a database, one replica or several, and kill one."""

    id = "postgres"
    #: Sequences of steps that a state machine tries: each asks the server a thousand questions.
    examples = 12
    leases_outlive_a_kill = True

    def __init__(self, _folder, *, goes_on=False):
        self._database = self._made()
        self.url = self._database.url
        self._last = None
        if not goes_on:
            self._database.begin()

    def _made(self):
        return database()

    async def open(self, clock):
        clock.follow(self._database.move)
        self._last = await open_store(self.url)
        return self._last

    def after_kill(self, _number):
        """The database as kill -9 leaves it, once the replica has not been heard of for a while."""
        kill(self._last)
        self._database.beside.execute("UPDATE replica SET seen = 0")
        return type(self)(None, goes_on=True)


class OtherVersionKind(PostgresKind):
    """The same on a server of another version."""

    id = "postgres-of-another-version"

    def _made(self):
        return database(postgres.of_version(postgres.VERSIONS[1]))


class PooledKind(PostgresKind):
    """The same through PgBouncer."""

    id = "pooled"

    def __init__(self, folder, *, goes_on=False):
        super().__init__(folder, goes_on=goes_on)
        self.direct, self.url = self.url, pooler.pooled(self.url)

    async def open(self, clock):
        clock.follow(self._database.move)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("GATEWAY_STORE_DIRECT", self.direct)
            self._last = await open_store(self.url)
        return self._last


async def looked(store):
    """Whatever a hint of a store on a database waits for has been asked."""
    presence = getattr(store, "_presence", None)
    looking = presence and presence.watch._looking
    if looking is not None:
        await asyncio.wait([looking])
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def kill(store):
    """What is left of a replica does nothing any more."""
    presence, writer = store._presence, store._writer
    writer._appends.abandon()
    writer._settles.abandon()
    for task in [*presence._tasks, presence.watch._looking, presence._news._task]:
        if task is not None:
            task.cancel()
    lines = [*writer._lines, store._line, presence._probe, presence.watch._line, *store._readers._all]
    for connection in [presence._news._connection, *(line._connection for line in lines)]:
        if connection is not None:
            connection.terminate()
    store._closing = presence._loop.create_task(asyncio.sleep(0))
    presence.is_closed = True
