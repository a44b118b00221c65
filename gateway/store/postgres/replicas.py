"""Who is there, and what each replica may do with which destination: the rows that ``store.spread`` works on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.store.holds import Assigned, Terms
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.rows import lock_of, name_of, to_json
from gateway.store.spread import Assigning, Grant, Holder, Peer

#: Seconds for which a replica that has gone is remembered: longer than its shares matter.
REMEMBERED_S: Final = 3600.0

LOCK: Final = "SELECT pg_advisory_xact_lock($1), gateway_now()"
ASSIGNING: Final = lock_of("assigning")
REGISTER: Final = "INSERT INTO replica (seen) VALUES (gateway_now()) RETURNING number"
REPLICAS: Final = "SELECT number, seen, grants FROM replica ORDER BY number"
# It may have been forgotten while it stood still.
ASK: Final = """
INSERT INTO replica (number, seen, grants) OVERRIDING SYSTEM VALUE VALUES ($1, gateway_now(), $2)
ON CONFLICT (number) DO UPDATE SET seen = excluded.seen, grants = excluded.grants
"""
HOLDERS: Final = "SELECT destination, replica, epoch, until, known_at FROM holder WHERE destination = ANY($1::text[])"
HOLD: Final = """
INSERT INTO holder AS h (destination, replica, epoch, until, known_at)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::float8[], $5::float8[])
ON CONFLICT (destination) DO UPDATE
SET replica = excluded.replica, epoch = excluded.epoch, until = excluded.until, known_at = excluded.known_at
"""
RELEASE: Final = "UPDATE holder SET until = gateway_now() WHERE replica = $1 AND destination = ANY($2::text[])"
LEAVE: Final = (
    "UPDATE holder SET until = gateway_now() WHERE replica = $1 AND until > gateway_now()",
    "UPDATE activity SET owner = '', owner_replica = NULL, leased_until = 0 WHERE owner_replica = $1 AND NOT finished",
    "DELETE FROM replica WHERE number = $1",
)
FORGET: Final = "DELETE FROM replica WHERE seen < gateway_now() - $1::float8"


async def register(connection: Connection) -> int:
    """The number of a replica that is there from now on."""
    return int(await connection.fetchval(REGISTER))


async def leave(connection: Connection, number: int) -> None:
    """Leave everything to the replica that asks next."""
    for statement in LEAVE:
        await connection.execute(statement, number)


async def release(line: Line, number: int, destinations: Collection[str]) -> None:
    """Give up some destinations, for which nothing is in flight."""
    async with line.transaction() as connection:
        await connection.execute(LOCK, ASSIGNING)
        await connection.execute(RELEASE, number, [name_of(each) for each in destinations])
        [me] = [peer for peer in await _peers(connection) if peer.number == number]
        left = {name: grant for name, grant in me.grants.items() if name not in destinations}
        await connection.execute(ASK, number, to_json(left))


async def assigned(line: Line, number: int, wanted: Mapping[str, Terms]) -> Assigned:
    """What this replica may do with each destination from now on."""
    named = {name_of(name): terms for name, terms in wanted.items()}
    async with line.transaction() as connection:
        _, now = await connection.fetchrow(LOCK, ASSIGNING)
        peers = await _peers(connection)
        rows = await connection.fetch(HOLDERS, sorted(named))
        assigning = Assigning(number, now, peers, {row["destination"]: _holder(row) for row in rows})
        assigned = {name: assigning.one(name, terms) for name, terms in named.items()}
        await connection.execute(ASK, number, to_json(assigning.grants))
        await connection.execute(HOLD, *_columns(assigning.changed))
        await connection.execute(FORGET, REMEMBERED_S)
    found = {name: each for name in wanted if (each := assigned[name_of(name)]) is not None}
    return Assigned(found, assigning.more_in_s)


async def _peers(connection: Connection) -> Sequence[Peer]:
    return [
        Peer(row["number"], row["seen"], msgspec.json.decode(row["grants"], type=dict[str, Grant]))
        for row in await connection.fetch(REPLICAS)
    ]


def _holder(row: Mapping[str, Any]) -> Holder:
    return Holder(
        destination=row["destination"],
        replica=row["replica"],
        epoch=row["epoch"],
        until=row["until"],
        known_at=row["known_at"],
    )


def _columns(holders: Iterable[Holder]) -> Sequence[Sequence[Any]]:
    rows = [(each.destination, each.replica, each.epoch, each.until, each.known_at) for each in holders]
    return list(zip(*sorted(rows), strict=True)) if rows else [()] * 5
