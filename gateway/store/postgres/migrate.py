"""From one schema to the next, and whether this release may run on the one that is there."""

from typing import Final

import asyncpg
import tenacity
from msgspec.structs import replace

from gateway.errors import StoreError, StoreOutdated, StoreTooNew
from gateway.store.postgres import days, schema
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import OLDEST_SERVER, Connection, Line, connect, translated

#: How long a migration waits for a lock that a running replica holds, because others queue up behind it meanwhile. After
#: that nothing has changed, and it tries again. Shorter than deadlock_timeout, so that no replica is made to give up.
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '400ms'"
#: Attempts, some tenths of a second apart.
MOST_TRIES: Final = 50
_HAS_META: Final = "SELECT to_regclass('meta') IS NOT NULL"
#: An index of schema 1 before deliveries were numbered by their events.
_HAS_OLD_NUMBERS: Final = "SELECT to_regclass('queue_event') IS NOT NULL"
_IS_COPYING: Final = "SELECT to_regclass('copying') IS NOT NULL"
_ADVISORY: Final = "SELECT pg_advisory_xact_lock($1)"


async def migrate(address: Address) -> tuple[int, int]:
    """Bring the schema of a database up to this release's; the versions before and after.

    A newer schema that this release may run on is left alone, so that a rollback needs no special step. Replicas of the
    previous release keep running. Raises StoreError; then nothing was changed.
    """
    if address.direct is None:
        raise StoreError(f"{address.name} is behind a pooler: set GATEWAY_STORE_DIRECT to the URL of the server itself")
    address = replace(address, dsn=address.direct, pooler=False)
    connection = await connect(address)
    tries = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type((asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)),
        stop=tenacity.stop_after_attempt(MOST_TRIES),
        wait=tenacity.wait_random(0.1, 0.5),
        reraise=True,
    )
    try:
        async with translated(address):
            before: int = await tries(_migrate, connection, address)
        line = Line(address)
        try:
            await days.add(line)
        finally:
            await line.close()
    finally:
        await connection.close()
    return before, max(before, schema.VERSION)


async def _migrate(connection: Connection, address: Address) -> int:
    """All steps or none; the version before."""
    async with connection.transaction():
        await connection.execute(_ADVISORY, schema.MIGRATING)
        await connection.execute(LOCK_TIMEOUT)
        before = await version_of(connection)
        await _refuse_too_new(connection, address, before)
        if before == 1 and await connection.fetchval(_HAS_OLD_NUMBERS):
            raise StoreError(
                f"{address.name} was made by a development version, in which deliveries had other numbers: copy it to a file "
                "with that version (gateway copy --from ... --to sqlite:///...), and from there into a new database with this one"
            )
        for step in schema.MIGRATIONS[before:]:
            await connection.execute(step)
    return before


async def version_of(connection: Connection) -> int:
    """The version of the schema; 0: there is none yet."""
    if not await connection.fetchval(_HAS_META):
        return 0
    return int(await connection.fetchval("SELECT max(version) FROM meta"))


async def check(connection: Connection, address: Address) -> None:
    """Refuse a server or a schema that this release cannot run on. Raises StoreError, with the remedy."""
    server = connection.get_server_version()
    if server.major < OLDEST_SERVER:
        raise StoreError(f"{address.name} is PostgreSQL {server.major}: {OLDEST_SERVER} or later is needed")
    there = await version_of(connection)
    if there < schema.VERSION:
        what = f"has schema {there}, and this release needs {schema.VERSION}" if there else "has no schema yet"
        raise StoreOutdated(f"{address.name} {what}: gateway migrate --store {address.name}")
    await _refuse_too_new(connection, address, there)
    if await connection.fetchval(_IS_COPYING):
        raise StoreError(f"{address.name} is an unfinished copy: run `gateway copy` again, or drop the database")
    commit = await connection.fetchval("SHOW synchronous_commit")
    if commit == "off" and not address.may_lose:
        raise StoreError(
            f"{address.name} has synchronous_commit = off, so a crash of the server loses what was acknowledged: "
            "set it to on, or allow it in the URL: ?synchronous_commit=off"
        )


async def _refuse_too_new(connection: Connection, address: Address, there: int) -> None:
    if there <= schema.VERSION:
        return
    runs_from = await connection.fetchval("SELECT max(runs_from) FROM meta")
    if runs_from > schema.VERSION:
        raise StoreTooNew(
            f"{address.name} has schema {there}, for releases of schema {runs_from} or later, and this one is of "
            f"{schema.VERSION}: install a newer release"
        )
