"""Days as partitions: made before they come, removed as a whole when nobody needs them any more."""
# ruff: noqa: S608  the only things put into these texts are our own constants and numbers

from typing import Final

from gateway.errors import StoreUnavailable
from gateway.store.nouns import Retention
from gateway.store.postgres import schema, tables
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection, Line

#: The bits of a seq below its day.
LAST: Final = (1 << tables.DAY_BITS) - 1
#: Days for which there are partitions before they come.
AHEAD: Final = 3
#: Events of a day that are moved out of it when it is removed; with more it stays, and its events go one by one.
MOST_KEPT: Final = 10_000
#: New events wait for as long as somebody reads a day that is to be removed; then it is left for later.
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '500ms'"
#: Held while a partition is made or removed.
_HOLD: Final = f"SELECT pg_advisory_xact_lock({schema.MIGRATING + 1})"
_THERE: Final = "SELECT relname FROM pg_class WHERE relname LIKE 'event\\_d%' AND relkind = 'r' AND relispartition"
_KEYS: Final = {"event": "seq", "done": "seq", "attempt": "delivery_seq", "word": "seq"}
_IN_THE_WAY: Final = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table}_rest WHERE {key} BETWEEN $2::bigint AND $3::bigint)" for table, key in _KEYS.items()
)
_CANNOT_ADD: Final = f"SELECT to_regclass($1) IS NOT NULL OR {_IN_THE_WAY}"
#: Events of a day that are still needed: $3 is since when a dead delivery must have been dead.
_NEEDED: Final = """
SELECT event_seq FROM queue WHERE seq BETWEEN $1 AND $2
UNION SELECT event_seq FROM done WHERE seq BETWEEN $1 AND $2 AND state = 'dead' AND changed_at > $3
LIMIT $4
"""
_UNCOUNT: Final = """
INSERT INTO tally (destination, state, cause, deliveries)
SELECT destination, state, cause, -count(*) FROM done
WHERE seq BETWEEN $1 AND $2 AND event_seq <> ALL ($3::bigint[]) GROUP BY 1, 2, 3
"""
_BESIDE: Final = (
    """
    DELETE FROM notice n WHERE delivery_seq BETWEEN $1 AND $2 AND NOT EXISTS (
        SELECT 1 FROM delivery d WHERE d.seq = n.delivery_seq AND d.event_seq = ANY ($3::bigint[])
    )
    """,
    """
    DELETE FROM timing t WHERE delivery_seq BETWEEN $1 AND $2 AND NOT EXISTS (
        SELECT 1 FROM delivery d WHERE d.seq = t.delivery_seq AND d.event_seq = ANY ($3::bigint[])
    )
    """,
    """
    DELETE FROM memory_wait w WHERE delivery_seq BETWEEN $1 AND $2 AND NOT EXISTS (
        SELECT 1 FROM delivery d WHERE d.seq = w.delivery_seq AND d.event_seq = ANY ($3::bigint[])
    )
    """,
    "DELETE FROM held_back WHERE event_seq BETWEEN $1 AND $2 AND event_seq <> ALL ($3::bigint[])",
)


def first_of(seq: int) -> int:
    """The lowest number of the day of a seq."""
    return seq & ~LAST


async def add(line: Line) -> None:
    """Make the partitions of today and the next days that are missing, as far as nothing is in the way."""
    async with line.transaction() as connection:
        today = int(await connection.fetchval(sql.NOW) // tables.DAY_S)
        there = await _there(connection)
    for day in range(today, today + AHEAD + 1):
        if day not in there:
            await _add(line, day)


async def _there(connection: Connection) -> list[int]:
    return sorted(int(row[0].removeprefix("event_d")) for row in await connection.fetch(_THERE))


async def _add(line: Line, day: int) -> None:
    async with line.transaction() as connection:
        await connection.execute(LOCK_TIMEOUT)
        await connection.execute(_HOLD)
        # Another replica may have made it meanwhile; and rows of that day that are in the rest already stay there.
        if not await connection.fetchval(
            _CANNOT_ADD, f"event_d{day}", day << tables.DAY_BITS, day << tables.DAY_BITS | LAST
        ):
            await connection.execute(schema.day(day))


async def remove_one(line: Line, retention: Retention) -> bool:
    """Remove the oldest day past its retention that has events, and empty ones before it; whether there was one."""
    async with line.transaction() as connection:
        now = await connection.fetchval(sql.NOW)
        past = [day for day in await _there(connection) if (day + 1) * tables.DAY_S <= now - retention.events_s]
    for day in past:
        try:
            async with line.transaction() as connection:
                if await _remove(connection, day, now - retention.dead_s):
                    return True
        except StoreUnavailable:
            # Somebody reads it, and will have read it later.
            return False
    return False


async def _remove(connection: Connection, day: int, dead_since: float) -> bool:
    """Remove a day, unless too much of it is needed; whether there were events."""
    low, high = day << tables.DAY_BITS, day << tables.DAY_BITS | LAST
    await connection.execute(LOCK_TIMEOUT)
    await connection.execute(_HOLD)
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"event_d{day}"):
        return False
    # From here on nobody reads or changes what is of this day.
    for table in schema.BY_DAY:
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    needed = [row[0] for row in await connection.fetch(_NEEDED, low, high, dead_since, MOST_KEPT + 1)]
    if len(needed) > MOST_KEPT:
        return False
    await connection.execute(_UNCOUNT, low, high, needed)
    for statement in _BESIDE:
        await connection.execute(statement, low, high, needed)
    for table in schema.BY_DAY:
        await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_d{day}")
    # Whatever belongs to an event has its number; of a delivery that waits, the attempts are of this day.
    for table, key in _KEYS.items():
        these = dict.fromkeys(("attempt", "done"), f"({key} & ~{tables.PLACES}::bigint) = ANY ($1::bigint[])")
        which = these.get(table, f"{key} = ANY ($1::bigint[])")
        await connection.execute(f"INSERT INTO {table} SELECT * FROM {table}_d{day} WHERE {which}", needed)
    had_events = await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM event_d{day})")
    for table in schema.BY_DAY:
        await connection.execute(f"DROP TABLE {table}_d{day}")
    return bool(had_events)
