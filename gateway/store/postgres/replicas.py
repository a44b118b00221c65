"""Who is there, and what each replica may do with which destination.

Destinations are spread over the replicas that know them. Their slots are divided by need (``store/shares.py``). A share
that one replica has given up, or has left behind, is granted to another one when its attempts have come to an end: one
timeout later.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.store.cluster import LAPSED_S
from gateway.store.holds import Assignment, Terms
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.rows import lock_of, name_of, to_json
from gateway.store.shares import fair_share

#: Seconds after which a destination that is in no replica's file is assigned, so that what waits for it can end.
UNKNOWN_S: Final = 600.0
#: Seconds for which a replica that has gone is remembered: longer than its shares matter.
REMEMBERED_S: Final = 3600.0
#: No share is smaller; what is less is an error of rounding.
LEAST: Final = 1e-6

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


class Grant(Struct, frozen=True, kw_only=True):
    """What a replica wants of a destination, and the share of its slots that it may use."""

    terms: Terms
    share: float = 0.0
    #: It had a larger share, and attempts that began then may be on their way until a moment.
    before: float = 0.0
    before_until: float = 0.0

    def used(self, now: float) -> float:
        """The share that it may be using."""
        return max(self.share, self.before if self.before_until > now else 0.0)

    def next(self, terms: Terms, share: float, now: float) -> "Grant":
        """Its successor, with another share."""
        used = self.used(now)
        if used <= share:
            return Grant(terms=terms, share=share)
        until = now + terms.timeout_s if self.share > share else self.before_until
        return Grant(terms=terms, share=share, before=used, before_until=until)


class Peer(Struct, frozen=True):
    """A replica as another one sees it."""

    number: int
    seen: float
    grants: Mapping[str, Grant]

    def wants(self, name: str, now: float) -> Terms | None:
        """What it wants of a destination; None: nothing, or it has gone."""
        grant = self.grants.get(name)
        return grant.terms if grant is not None and now - self.seen < LAPSED_S else None

    def used(self, name: str, now: float) -> float:
        """The share of a destination's slots that it may be using, also if it has gone."""
        grant = self.grants.get(name)
        if grant is None:
            return 0.0
        is_there = now - self.seen < LAPSED_S + grant.terms.timeout_s
        return grant.used(now) if is_there else 0.0


class Holder(Struct, frozen=True, kw_only=True):
    """A row of the table; without effect once its time is over."""

    destination: str
    replica: int = 0
    epoch: int = 0
    until: float = 0.0
    known_at: float


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


async def assigned(line: Line, number: int, wanted: Mapping[str, Terms]) -> Mapping[str, Assignment]:
    """What this replica may do with each destination from now on."""
    named = {name_of(name): terms for name, terms in wanted.items()}
    async with line.transaction() as connection:
        _, now = await connection.fetchrow(LOCK, ASSIGNING)
        peers = await _peers(connection)
        rows = await connection.fetch(HOLDERS, sorted(named))
        assigning = _Assigning(number, now, peers, {row["destination"]: _holder(row) for row in rows})
        assigned = {name: assigning.one(name, terms) for name, terms in named.items()}
        await connection.execute(ASK, number, to_json(assigning.grants))
        await connection.execute(HOLD, *_columns(assigning.changed))
        await connection.execute(FORGET, REMEMBERED_S)
    return {name: found for name in wanted if (found := assigned[name_of(name)]) is not None}


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


class _Assigning:
    """One replica's turn."""

    def __init__(self, number: int, now: float, peers: Sequence[Peer], holders: Mapping[str, Holder]) -> None:
        self._number, self._now, self._holders = number, now, holders
        self._others = [peer for peer in peers if peer.number != number]
        self._me = next((peer for peer in peers if peer.number == number), Peer(number, now, {}))
        self.grants: dict[str, Grant] = {}
        self.changed: list[Holder] = []

    def one(self, name: str, terms: Terms) -> Assignment | None:
        now = self._now
        asking = {peer.number: found for peer in self._others if (found := peer.wants(name, now)) is not None}
        asking[self._number] = terms
        knowing = {number for number, each in asking.items() if each.is_known}
        before = self._holders.get(name, Holder(destination=name, known_at=now))
        holder = self._next_holder(before, knowing or asking.keys(), is_known=bool(knowing))
        if terms.is_known:
            holder = replace(holder, known_at=now)
        if holder != before or name not in self._holders:
            self.changed.append(holder)
        is_holder = holder.replica == self._number and holder.until > now
        share = self._share(name, {number: asking[number] for number in knowing}, terms, is_holder=is_holder)
        known = self._me.grants.get(name, Grant(terms=terms))
        self.grants[name] = known.next(terms, share, now)
        if not is_holder and share < LEAST:
            return None
        until_s = holder.until - now if is_holder else LAPSED_S
        return Assignment(until_s=until_s, epoch=holder.epoch, share=share, is_holder=is_holder)

    def _next_holder(self, before: Holder, among: Collection[int], *, is_known: bool) -> Holder:
        now, me = self._now, self._number
        falls_to_me = max(among, key=lambda each: _weight(each, before.destination)) == me
        is_ripe = is_known or now - before.known_at >= UNKNOWN_S
        is_mine = before.replica == me and before.until > now
        if not falls_to_me or not is_ripe or (before.until > now and not is_mine):
            # What falls to another replica now stays here until its time is over.
            return before
        epoch = before.epoch if is_mine else before.epoch + 1
        return replace(before, replica=me, epoch=epoch, until=now + LAPSED_S)

    def _share(self, name: str, known: Mapping[int, Terms], terms: Terms, *, is_holder: bool) -> float:
        """What may be granted: no more than the others leave. ``known``: what each replica that knows it has said."""
        is_alone = terms.is_paced or not terms.is_known or terms.slots < len(known)
        share = float(is_holder) if is_alone else fair_share(self._number, known)
        left = 1.0 - sum(peer.used(name, self._now) for peer in self._others)
        return max(0.0, min(share, left))


def _weight(number: int, destination: str) -> bytes:
    """The replica of the greatest weight has the destination (rendezvous hashing): the same for all who ask."""
    return hashlib.blake2b(f"{number} {destination}".encode(), digest_size=8).digest()
