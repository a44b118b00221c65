"""A database and its server, seen from outside."""

import time
from collections.abc import AsyncIterator
from typing import Final

from gateway.errors import StoreError
from gateway.store.cluster import LAPSED_S
from gateway.store.health import Health, Sign
from gateway.store.postgres import migrate, tables
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import OLDEST_SERVER, Connection, connect, translated
from gateway.wording import count

#: A round trip that takes longer is a warning, seconds: an event waits for several.
SLOW_S: Final = 0.01
#: A standby that is further behind is a warning, seconds.
LAGGING_S: Final = 10.0
#: A snapshot that is older keeps dead rows in the queue, seconds.
OLD_SNAPSHOT_S: Final = 300.0
#: More dead rows for each live one, beyond the first thousands, mean that vacuum does not keep up.
DEAD_SHARE: Final = 1.0
DEAD_ROWS: Final = 50_000

_LAG: Final = """
SELECT count(*), max(extract(epoch FROM replay_lag))::float8 FROM pg_stat_replication WHERE state = 'streaming'
"""
_DEAD: Final = "SELECT n_live_tup, n_dead_tup FROM pg_stat_user_tables WHERE relid = 'queue'::regclass"
_OLDEST: Final = """
SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, application_name, pid FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1
"""
_LAST_DAY: Final = r"""
SELECT max(substring(relname FROM '^event_d(\d+)$')::bigint) - floor(gateway_now() / $1)::bigint
FROM pg_class WHERE relname LIKE 'event\_d%'
"""
_REPLICAS: Final = """
SELECT count(*), count(DISTINCT convert_from(said, 'UTF8')::jsonb ->> 'config') FROM replica
WHERE said IS NOT NULL AND seen > gateway_now() - $1::float8
"""


async def health(address: Address) -> Health:
    """The health of a database, which need not be reachable."""
    try:
        connection = await connect(address)
    except StoreError as error:
        away = Sign("store", "fail", str(error), "check the URL of --store, the server and its pg_hba.conf")
        return Health(name=address.name, state="missing", size=0, engine="postgresql", version="", signs=[away])
    try:
        async with translated(address):
            return await _of_server(connection, address)
    finally:
        await connection.close()


async def _of_server(connection: Connection, address: Address) -> Health:
    major = connection.get_server_version().major
    version = await connection.fetchval("SHOW server_version")
    signs = [each async for each in _signs(connection, address)]
    return Health(
        name=address.name,
        # What else there is to be known of it is behind a schema that this release can read.
        state="missing" if any(each.check == "schema" and each.verdict == "fail" for each in signs) else "in use",
        size=await connection.fetchval("SELECT pg_database_size(current_database())"),
        engine="postgresql",
        version=version.split()[0],
        defect=f"is older than {OLDEST_SERVER}" if major < OLDEST_SERVER else "",
        remedy=f"upgrade the server to PostgreSQL {OLDEST_SERVER} or later" if major < OLDEST_SERVER else "",
        signs=signs,
    )


async def _signs(connection: Connection, address: Address) -> AsyncIterator[Sign]:
    yield await _latency(connection)
    yield await _commit(connection, address)
    yield await _lag(connection)
    yield await _oldest(connection)
    there = await migrate.version_of(connection)
    try:
        await migrate.check(connection, address)
    except StoreError as error:
        yield Sign("schema", "fail", str(error))
        return
    yield Sign("schema", "ok", f"version {there}")
    for sign in (_dead, _days, _replicas):
        yield await sign(connection)


async def _latency(connection: Connection) -> Sign:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        await connection.fetchval("SELECT 1")
        times.append(time.perf_counter() - began)
    took = sorted(times)[4]
    said = f"{took * 1000:.1f} ms for a round trip"
    if took <= SLOW_S:
        return Sign("latency", "ok", said)
    return Sign(
        "latency", "warn", said, "run the gateway nearer to the server: an answer to a sender waits for several"
    )


async def _commit(connection: Connection, address: Address) -> Sign:
    value = await connection.fetchval("SHOW synchronous_commit")
    if value != "off":
        return Sign("commit", "ok", f"synchronous_commit = {value}")
    said = "synchronous_commit = off: a crash of the server loses what was acknowledged"
    remedy = "set it to on"
    return Sign("commit", "warn" if address.may_lose else "fail", said, remedy)


async def _lag(connection: Connection) -> Sign:
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return Sign("standby", "fail", "this server is a standby: nothing can be stored", "name the primary in --store")
    standbys, lag = await connection.fetchrow(_LAG)
    if not standbys:
        return Sign("standby", "ok", "none is connected, or this user may not see it (GRANT pg_monitor)")
    said = f"{count(standbys, 'standby', 'standbys')}, {lag or 0.0:.1f} s behind"
    if (lag or 0.0) <= LAGGING_S:
        return Sign("standby", "ok", said)
    return Sign("standby", "warn", said, "what it has not got is lost if it is promoted: look at its network and disk")


async def _oldest(connection: Connection) -> Sign:
    row = await connection.fetchrow(_OLDEST)
    if row is None or row[0] < OLD_SNAPSHOT_S:
        return Sign("snapshots", "ok", "none is old" if row is None else f"the oldest is {row[0]:.0f} s old")
    said = (
        f"one of {row[1] or 'an unnamed program'} (pid {row[2]}) is {row[0]:,.0f} s old: the queue cannot be vacuumed"
    )
    return Sign("snapshots", "warn", said, f"end it: SELECT pg_terminate_backend({row[2]})")


async def _dead(connection: Connection) -> Sign:
    live, dead = await connection.fetchrow(_DEAD) or (0, 0)
    said = f"{dead:,} dead rows beside {live:,} live ones in the queue"
    if dead < DEAD_ROWS or dead <= live * DEAD_SHARE:
        return Sign("vacuum", "ok", said)
    return Sign("vacuum", "warn", said, "look for old snapshots, and whether autovacuum is on")


async def _days(connection: Connection) -> Sign:
    ahead = await connection.fetchval(_LAST_DAY, tables.DAY_S)
    if ahead is not None and ahead >= 1:
        return Sign("partitions", "ok", f"made for {count(ahead, 'day')} ahead")
    said = "none for tomorrow" if ahead == 0 else "none for today"
    return Sign("partitions", "warn", said, "a running gateway makes them; `gateway migrate` does, too")


async def _replicas(connection: Connection) -> Sign:
    alive, configurations = await connection.fetchrow(_REPLICAS, LAPSED_S)
    said = f"{count(alive, 'replica')} running on it" if alive else "none is running on it"
    if configurations <= 1:
        return Sign("replicas", "ok", said)
    remedy = "bring the same files to all, then `gateway reload --all`; `gateway replicas` lists them"
    return Sign("replicas", "warn", f"{said}, with different configurations", remedy)
