"""Connections to the database: what the URL says of them, and what their errors mean."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import asyncpg
import tenacity

from gateway.errors import GatewayError, StoreError, StoreUnavailable
from gateway.store.postgres.address import Address
from gateway.store.postgres.hosts import alternatives, first_of

Connection: TypeAlias = asyncpg.Connection
T = TypeVar("T")

#: Seconds that connecting may take, and that a statement may go without an answer before its connection is given up.
CONNECT_S: Final = 1.0
STUCK_S: Final = 10.0
#: Reads that run at the same time.
READERS: Final = 4
#: The index is used whatever the statistics say: they are old where rows come and go, and plans outlive them.
PLANNING: Final = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
#: The server ends a transaction whose replica says nothing for this long, because it is frozen or cut off: others wait
#: for its locks. One that only reads has none, and may look into bodies meanwhile.
LEFT_ALONE: Final = {"idle_in_transaction_session_timeout": "2s"}
LEFT_READING: Final = {"idle_in_transaction_session_timeout": "1min"}
BEGIN: Final = "BEGIN"
# A question may be about very much or very little: it is planned with its values.
_SNAPSHOT: Final = """
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan
"""
#: An older server has not what the schema uses.
OLDEST_SERVER: Final = 15

_GIVEN: Final = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.exceptions.ProgramLimitExceededError,
    # What asyncpg itself cannot encode.
    UnicodeError,
)
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.InternalClientError,
)
#: What the URL names does not exist, or not with this password.
_WRONG_URL: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.UndefinedObjectError,
)
#: Another transaction was in the way, or the connection was lost while the server may be there.
_PASSING: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    ConnectionResetError,
)


class Snapshot(NamedTuple):
    """One moment of the database: everything that is asked of ``connection`` is of it."""

    connection: Connection
    #: By the store's clock.
    now: float


def trouble(address: Address, error: BaseException) -> GatewayError:
    """What an error of the driver means: the caller gave what cannot be stored, or the database is away."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, _GIVEN):
        return StoreError(f"{address.name} cannot store what it was given: {error}")
    return StoreUnavailable(f"{address.name}: {_said(error)}: {_remedy(error)}")


def _said(error: BaseException) -> str:
    if _is_refused(error):
        return "nothing listens there"
    if isinstance(error, socket.gaierror):
        return f"the name of the host cannot be resolved ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _remedy(error: BaseException) -> str:
    if isinstance(error, _WRONG_URL):
        return "check the URL of the database"
    if isinstance(error, asyncpg.DiskFullError):
        return "make room on the disk of the database"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return "it is a standby, or it was made read-only: name the primary in the URL"
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return "behind PgBouncer, add ?pooler=true to the URL"
    if _is_refused(error) or isinstance(error, socket.gaierror | FileNotFoundError):
        return "check the server, and the host and port of the URL"
    return "look at the database"


def _is_refused(error: BaseException) -> bool:
    """Of a host with several addresses there is one error for all of them, with no number."""
    several = isinstance(error, OSError) and error.errno is None and "Connect call failed" in str(error)
    return several or isinstance(error, ConnectionRefusedError)


def is_there_already(error: StoreError) -> bool:
    """Whether it could not be stored because of a row with the same key."""
    return isinstance(error.__cause__, asyncpg.UniqueViolationError)


@asynccontextmanager
async def translated(address: Address) -> AsyncGenerator[None]:
    """Raise what errors of the driver mean."""
    try:
        yield
    except (*_GIVEN, *_AWAY) as error:
        raise trouble(address, error) from error


async def connect(address: Address, settings: Mapping[str, str] = MappingProxyType({})) -> Connection:
    """A new connection; raises StoreUnavailable. Behind a pooler each transaction has to make ``settings`` for itself."""
    settings = {"application_name": "gateway", **({} if address.pooler else settings)}
    more = {"timeout": CONNECT_S, "statement_cache_size": 0 if address.pooler else 200, "server_settings": settings}
    async with translated(address):
        return await first_of(alternatives(address.dsn.reveal()), lambda dsn: asyncpg.connect(dsn, **more))


class Line:
    """A connection for one thing at a time, made again when it is lost."""

    def __init__(self, address: Address, settings: Mapping[str, str] = LEFT_ALONE) -> None:
        self.address = address
        self._settings = {**PLANNING, **settings}
        made = [f"SET LOCAL {name} = '{value}'" for name, value in self._settings.items()] if address.pooler else []
        self._begin = "; ".join([BEGIN, *made])
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[Connection]:
        """The connection, alone; raises StoreError and StoreUnavailable. After an error it is made again if it is lost."""
        async with self._turn, translated(self.address):
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self.address, self._settings)
            try:
                async with asyncio.timeout(STUCK_S):
                    yield self._connection
            except BaseException as error:
                if isinstance(error, asyncpg.PostgresError) and not self._connection.is_in_transaction():
                    raise
                self._drop()
                raise

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """The connection in a transaction; one that fails changes nothing, unless the connection was lost in its commit."""
        async with self.taken() as connection:
            await connection.execute(self._begin)
            try:
                yield connection
            except (asyncpg.PostgresError, GatewayError, LookupError, UnicodeError, asyncpg.DataError):
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[Connection]:
        """The connection for one statement."""
        async with self.transaction() if self.address.pooler else self.taken() as connection:
            yield connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Let go of the connection once it is free."""
        async with self._turn:
            if self._connection is not None and not self._connection.is_closed():
                with suppress(*_AWAY):
                    await self._connection.close(timeout=CONNECT_S)
            self._connection = None


class Readers:
    """Connections for reading, some at a time; made when they are needed."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._idle: list[Line] = [Line(address, LEFT_READING) for _ in range(READERS)]
        self._all = tuple(self._idle)
        self._free = asyncio.Semaphore(READERS)

    @asynccontextmanager
    async def line(self) -> AsyncGenerator[Line]:
        async with self._free:
            line = self._idle.pop()
            try:
                yield line
            finally:
                self._idle.append(line)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection for one statement. Raises StoreUnavailable."""
        async with self.line() as line, line.alone() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Snapshot]:
        """A transaction that only reads and sees one moment. Raises StoreUnavailable."""
        async with self.line() as line, line.transaction() as connection:
            await connection.execute(_SNAPSHOT)
            yield Snapshot(connection, await connection.fetchval("SELECT gateway_now()"))

    async def close(self) -> None:
        """Let go of every connection once it is free."""
        for line in self._all:
            await line.close()


async def again(work: Callable[[], Awaitable[T]], *, attempts: int = 3) -> T:
    """Do work again when the database was away just then, or has undone it because of another transaction."""
    try:
        # Nearly always that is all, and what decides about another attempt is not even made.
        return await work()
    except StoreUnavailable as error:
        if not _passes(error):
            raise
    tries = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_passes),
        stop=tenacity.stop_after_attempt(attempts - 1),
        wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.2),
        reraise=True,
    )

    async def once() -> T:
        return await work()

    result: Any = await tries(once)
    return result  # type: ignore[no-any-return]


def _passes(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable) and isinstance(error.__cause__, _PASSING)
