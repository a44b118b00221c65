"""The database as a whole: a check of all that is in it, and how it is backed up."""

from collections.abc import AsyncIterator, Callable
from shlex import quote
from typing import Any, Final

from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import PLANNING, Connection, connect, translated
from gateway.store.postgres.questions import EVENT
from gateway.store.postgres.rows import event_of

#: Events that are checked at a time.
CHECKED: Final = 500

_BODIES: Final = f"SELECT {EVENT} FROM event e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2"  # noqa: S608  our own constants
_EVENTS: Final = "SELECT count(*) FROM event"
_ORPHANS: Final = {
    "delivery": "SELECT d.id FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = d.event_seq) LIMIT $1",
    "attempt": """
    SELECT a.delivery_seq::text FROM attempt a
    WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.seq = a.delivery_seq) LIMIT $1
    """,
}
_WRONG_TALLY: Final = """
SELECT destination, state, sum(counted)::bigint, sum(there)::bigint FROM (
    SELECT destination, state, sum(deliveries) AS counted, 0 AS there FROM tally GROUP BY 1, 2
    UNION ALL SELECT destination, state, 0, count(*) FROM delivery GROUP BY 1, 2
) s GROUP BY 1, 2 HAVING sum(counted) <> sum(there)
"""
_BOTH: Final = "SELECT q.id FROM queue q WHERE EXISTS (SELECT 1 FROM done d WHERE d.seq = q.seq) LIMIT $1"
#: Most rows of one kind that are named.
NAMED: Final = 20


def how_to_back_up(address: Address, path: str) -> str:
    """The command that copies a database, and the one that brings it back; the password is not in it."""
    return (
        f"a database is not copied by the gateway: pg_dump --format=custom --file={quote(path)} {quote(address.name)} "
        f"(it asks for the password, or takes it from PGPASSWORD); pg_restore --clean --dbname={quote(address.name)} "
        f"{quote(path)} brings it back while no gateway runs"
    )


async def check(address: Address, progressed: Callable[[int, int], None]) -> list[str]:
    """What is wrong, a sentence each.

    It may take minutes, on a connection of its own; each of its statements sees a moment of its own, so that the queue is
    vacuumed meanwhile.
    """
    connection = await connect(address, PLANNING)
    try:
        async with translated(address):
            return [each async for each in _contradictions(connection, progressed)]
    finally:
        await connection.close()


async def _contradictions(connection: Connection, progressed: Callable[[int, int], None]) -> AsyncIterator[str]:
    for kind, statement in _ORPHANS.items():
        for (name,) in await connection.fetch(statement, NAMED):
            yield f"{kind} {name} belongs to something that does not exist"
    for (name,) in await connection.fetch(_BOTH, NAMED):
        yield f"delivery {name} is pending and has ended at the same time"
    whole, done, last = await connection.fetchval(_EVENTS), 0, 0
    while rows := await connection.fetch(_BODIES, last, CHECKED):
        for row in rows:
            event, intact, _ = event_of(row)
            if not intact:
                yield f"event {event.id}: its stored body does not match its checksum"
        done, last = done + len(rows), rows[-1]["seq"]
        progressed(done, max(whole, done))
    for name, state, counted, there in await _wrong_tally(connection):
        yield f"deliveries of {name}, {state}: {counted} are counted, {there} exist"


async def _wrong_tally(connection: Connection) -> list[Any]:
    rows: list[Any] = await connection.fetch(_WRONG_TALLY)
    return rows
