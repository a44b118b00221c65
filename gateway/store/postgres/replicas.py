"""Who is there, and who decides for which destination: replicas with a heartbeat, and destinations spread over them."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from gateway.store.holds import Assignment
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.rows import name_of

#: Seconds between two signs of life, and how long a replica counts as there after one.
HEARTBEAT_S: Final = 3.0
LAPSE_S: Final = 10.0
#: Replicas that have gone are remembered for a day.
REMEMBERED_S: Final = 86400.0

REGISTER: Final = """
INSERT INTO replica (name, started_at, alive_until) VALUES ($1, gateway_now(), gateway_now() + $2) RETURNING number
"""
LIVE: Final = "UPDATE replica SET alive_until = gateway_now() + $2 WHERE number = $1"
ASK: Final = "UPDATE replica SET alive_until = gateway_now() + $2, name = $3, destinations = $4 WHERE number = $1"
LIVING: Final = "SELECT number, destinations FROM replica WHERE alive_until > gateway_now()"
HELD: Final = """
SELECT destination, replica, epoch, until - gateway_now() AS left_s FROM holder
WHERE destination = ANY($1::text[]) AND until > gateway_now()
"""
# In one order, so that two that take what another has left do not wait for each other.
TAKE: Final = """
INSERT INTO holder AS h (destination, replica, epoch, until)
SELECT name, $2, 1, gateway_now() + $3 FROM unnest($1::text[]) name ORDER BY name
ON CONFLICT (destination) DO UPDATE SET replica = excluded.replica, until = excluded.until,
    epoch = h.epoch + CASE WHEN h.replica = excluded.replica AND h.until > gateway_now() THEN 0 ELSE 1 END
WHERE h.replica = excluded.replica OR h.until <= gateway_now()
RETURNING destination, epoch
"""
LEAVE: Final = (
    "UPDATE holder SET until = gateway_now() WHERE replica = $1 AND until > gateway_now()",
    "UPDATE activity SET owner = '', owner_replica = NULL, leased_until = 0 WHERE owner_replica = $1 AND NOT finished",
    "DELETE FROM replica WHERE number = $1",
)
FORGET: Final = "DELETE FROM replica WHERE alive_until < gateway_now() - $1"


async def register(connection: Connection, name: str) -> int:
    """The number of a replica that is there from now on."""
    return int(await connection.fetchval(REGISTER, name, LAPSE_S))


async def live(connection: Connection, number: int) -> None:
    """Give a sign of life."""
    await connection.execute(LIVE, number, LAPSE_S)


async def leave(connection: Connection, number: int) -> None:
    """Hand everything over to whoever asks next."""
    for statement in LEAVE:
        await connection.execute(statement, number)


async def assigned(line: Line, number: int, name: str, destinations: Collection[str]) -> Mapping[str, Assignment]:
    """Those of the destinations that a replica decides for: what it has and keeps, and what falls to it and is free."""
    known = {name_of(each): each for each in destinations}
    async with line.transaction() as connection:
        await connection.execute(ASK, number, LAPSE_S, name_of(name), sorted(known))
        living = {row["number"]: set(row["destinations"]) for row in await connection.fetch(LIVING)}
        held = {row["destination"]: row for row in await connection.fetch(HELD, sorted(known))}
        falling = [each for each in known if _first(each, living, number) == number]
        wanted = [each for each in falling if each not in held or held[each]["replica"] == number]
        taken = {row["destination"]: row["epoch"] for row in await connection.fetch(TAKE, wanted, number, LAPSE_S)}
    # What falls to another replica now stays here until its time is over, and is not taken again.
    assignments = {
        known[each]: Assignment(until_s=row["left_s"], epoch=row["epoch"])
        for each, row in held.items()
        if row["replica"] == number
    }
    return assignments | {known[each]: Assignment(until_s=LAPSE_S, epoch=epoch) for each, epoch in taken.items()}


def _first(destination: str, living: Mapping[int, Collection[str]], number: int) -> int:
    """To which of the replicas that know a destination it falls: the same for all of them (rendezvous hashing)."""
    knowing = [each for each, names in living.items() if destination in names]
    return max(knowing, key=lambda each: _weight(each, destination), default=number)


def _weight(number: int, destination: str) -> bytes:
    return hashlib.blake2b(f"{number} {destination}".encode(), digest_size=8).digest()
