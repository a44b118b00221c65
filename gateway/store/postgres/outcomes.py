"""How due deliveries are claimed, and how outcomes are recorded with the notices of the deliveries that died."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import StoreError
from gateway.model import Notice, Release, Retry, Waits, new_id
from gateway.store import rules
from gateway.store.contents import looked_up
from gateway.store.nouns import Lease, Outcome, Want
from gateway.store.postgres import gathering, memory
from gateway.store.postgres import statements as sql
from gateway.store.postgres.connections import Connection, Line, is_there_already
from gateway.store.postgres.hints import lower
from gateway.store.postgres.rows import (
    columns,
    delivery_of,
    event_of_delivery,
    fence_of,
    lock_of,
    outcome_row,
    packed,
    to_json,
    token_of,
    unpacked,
)

#: (destination, lane)
Lanes = set[tuple[str, bytes]]

# --- claims ---


class Claimed(NamedTuple):
    """A lease that was granted at a time by the store's clock, of a delivery that was due at another."""

    due: float
    now: float
    lease: Lease


class Claims(Struct):
    """What a replica has claimed."""

    #: By the store's clock.
    now: float = -math.inf
    #: Those overdue the longest first.
    leases: list[Claimed] = field(default_factory=list)
    #: Of what was due before these moments nothing is left, by destination.
    reached: dict[str, float] = field(default_factory=dict)


class Claimant(NamedTuple):
    """Who claims."""

    #: That of this process.
    number: int
    replica: str
    #: As ``Hints.due_since``.
    due_since: Callable[[str], float]


async def claim(line: Line, claimant: Claimant, wants: Mapping[str, Want]) -> Claims:
    """Lease what is due."""
    wanted = {name: want for name, want in sorted(wants.items()) if want.slots > 0}
    usual = {name: want for name, want in wanted.items() if not want.last}
    claims = Claims()
    if usual:
        async with line.alone() as connection:
            claims.now, claims.leases = await _claim(connection, claimant, usual, ())
            claims.reached = _reached(usual, claims)
    for name, want in wanted.items():
        if want.last:
            async with line.transaction() as connection:
                for others in (want.last, want.last[-1:], ()):
                    claims.now, taken = await _claim(connection, claimant, {name: replace(want, slots=1)}, others)
                    claims.leases += taken
                    if taken:
                        break
    claims.leases.sort(key=lambda each: each.due)
    return claims


def _reached(wants: Mapping[str, Want], claims: Claims) -> dict[str, float]:
    """A destination that gave less than was asked for has nothing more; one that gave nothing may be another replica's."""
    dues: dict[str, list[float]] = {}
    for each in claims.leases:
        dues.setdefault(each.lease.delivery.destination, []).append(each.due)
    return {name: claims.now if len(each) < wants[name].slots else max(each) for name, each in dues.items()}


async def _claim(
    connection: Connection, claimant: Claimant, wants: Mapping[str, Want], others: Collection[str]
) -> tuple[float, list[Claimed]]:
    """The time, and what was claimed. ``others``: events whose deliveries are not."""
    asked = [(name, want.slots, want.lease_s, claimant.due_since(name)) for name, want in wants.items()]
    names, slots, leases_s, since = columns(asked, 4)
    rows = await connection.fetch(sql.CLAIM, names, slots, leases_s, claimant.number, list(others), since)
    now = rows[0]["now"] if rows else await connection.fetchval(sql.NOW)
    rows.sort(key=lambda row: (row["due"], row["seq"]))
    claimed = []
    for row in rows:
        token = token_of(row["seq"], row["grants"])
        claimed.append(Claimed(row["due"], now, Lease(delivery_of(row, now), claimant.replica, token, row["lease_s"])))
    return now, claimed


# --- outcomes ---


class Settled(Struct, kw_only=True):
    """What a transaction has recorded."""

    #: Seqs of the deliveries whose lease was held.
    held: set[int]
    #: How many of them have ended, less the notices that were made.
    ended: int
    #: Destinations with something due now, and since when; and when others become due.
    due: dict[str, float] = field(default_factory=dict)
    retried: list[tuple[str, float]] = field(default_factory=list)


async def settle(line: Line, outcomes: Sequence[Outcome]) -> Settled:
    """Record outcomes, one for each delivery, in one transaction. Raises StoreError and StoreUnavailable."""
    try:
        return await _settle(line, outcomes, sql.SETTLE)
    except StoreError as error:
        if not is_there_already(error):
            raise
        return await _settle(line, outcomes, sql.SETTLE_OVER)


async def _settle(line: Line, outcomes: Sequence[Outcome], statement: str) -> Settled:
    lanes = {
        (before.destination, packed(before.lane))
        for outcome in outcomes
        if (before := outcome.lease.delivery).lane is not None
        and not isinstance(outcome.result, Retry | Release | Waits)
    }
    told = [outcome for outcome in outcomes if outcome.told is not None]
    digests = [each for each in outcomes if _ends_digest(each)]
    learning = [outcome for outcome in outcomes if outcome.learnt is not None]
    notes = [note for outcome in outcomes if (note := _note(outcome)) is not None]
    if not (lanes or told or digests or learning or notes):
        async with line.alone() as connection:
            return await _record(connection, outcomes, statement)
    async with line.transaction() as connection:
        await _lock(connection, lanes, told, learning)
        settled = await _record(connection, outcomes, statement)
        if lanes:
            await let_next_go(connection, lanes, settled.due)
        digests = [each for each in digests if fence_of(each.lease.token)[0] in settled.held]
        settled.ended += await gathering.follow(connection, digests) if digests else 0
        if noted := [note for note in notes if note[0] in settled.held]:
            await connection.execute(sql.NOTE, *columns(noted, 4))
        for outcome in told:
            if fence_of(outcome.lease.token)[0] in settled.held:
                await _notify(connection, outcome, settled)
        if learnt := [each for each in learning if fence_of(each.lease.token)[0] in settled.held]:
            for destination, moment in await memory.learn(connection, learnt):
                lower(settled.due, destination, moment)
        return settled


def _ends_digest(outcome: Outcome) -> bool:
    delivery = outcome.lease.delivery
    return delivery.digest == delivery.id and not isinstance(outcome.result, Retry | Release | Waits)


def _note(outcome: Outcome) -> tuple[int, int, bytes | None, bytes | None] | None:
    """Delivery and number of an attempt, what it looked up and what it says of memory; None: neither."""
    attempt = outcome.attempt
    if attempt is None:
        return None
    lookups, said = looked_up(attempt), packed(attempt.memory) if attempt.memory else None
    if lookups is None and said is None:
        return None
    return fence_of(outcome.lease.token)[0], attempt.number, lookups, said


async def _lock(connection: Connection, lanes: Lanes, told: Sequence[Outcome], learning: Sequence[Outcome]) -> None:
    locks = {lock_of("lane", *lane) for lane in lanes} | memory.locks(learning)
    locks |= {
        lock_of("teller", _teller(outcome.told.notice, route, destination))
        for outcome in told
        if outcome.told is not None
        for route, destination in outcome.told.routes
    }
    await connection.execute(sql.LOCK, list(locks))


async def _record(connection: Connection, outcomes: Sequence[Outcome], statement: str) -> Settled:
    rows = await connection.fetch(statement, sorted(map(outcome_row, outcomes), key=itemgetter(0)))
    ended = [seq for seqs, _, due in rows if due is None for seq in seqs]
    kept = [(seqs[0], destination, due) for seqs, destination, due in rows if due is not None]
    released = {fence_of(outcome.lease.token)[0] for outcome in outcomes if isinstance(outcome.result, Release)}
    settled = Settled(
        held={*ended, *(seq for seq, _, _ in kept)},
        ended=len(ended),
        retried=[(destination, due) for seq, destination, due in kept if seq not in released],
    )
    for seq, destination, due in kept:
        if seq in released:
            lower(settled.due, destination, due)
    return settled


async def were_recorded(line: Line, outcomes: Sequence[Outcome]) -> set[int]:
    """Seqs of deliveries of which this very attempt is recorded."""
    made = [
        (fence_of(outcome.lease.token)[0], outcome.attempt.number, outcome.attempt.started_at)
        for outcome in outcomes
        if outcome.attempt is not None
    ]
    async with line.transaction() as connection:
        return {row["seq"] for row in await connection.fetch(sql.WAS_RECORDED, *columns(made, 3))}


async def lock_lanes(connection: Connection, lanes: Lanes) -> None:
    """Nobody else adds to these lanes, or takes from them, until the end of the transaction."""
    await connection.execute(sql.LOCK, [lock_of("lane", *lane) for lane in lanes])


async def lock_events(connection: Connection, seqs: Iterable[int]) -> None:
    """Nobody else adds deliveries to these events until the end of the transaction."""
    await connection.execute(sql.LOCK, [lock_of("event", str(seq)) for seq in seqs])


async def let_next_go(connection: Connection, lanes: Lanes, due: dict[str, float]) -> None:
    """The next ones of lanes that may have lost their first are due, now or when they have waited long enough.

    The destinations of those that are due now are added to ``due``.
    """
    for destination, moment, is_due in await connection.fetch(sql.NEXT_IN_LANES, *columns(sorted(lanes), 2)):
        if is_due:
            lower(due, destination, moment)


async def _notify(connection: Connection, outcome: Outcome, settled: Settled) -> None:
    assert outcome.told is not None
    notice = outcome.told.notice
    for route, destination in outcome.told.routes:
        teller = _teller(notice, route, destination)
        now = await connection.fetchval(sql.NOW)
        last_seq, last_due = await connection.fetchrow(sql.LAST_NOTICE, teller) or (0, None)
        due = rules.next_notice(last_due, now)
        if due is None:
            await connection.execute(sql.ONE_MORE, last_seq)
            continue
        dead_seq, _ = fence_of(outcome.lease.token)
        event_seq = event_of_delivery(dead_seq)
        await lock_events(connection, [event_seq])
        given = (event_seq, dead_seq, new_id("dlv", now), route, destination, due)
        seq = await connection.fetchval(sql.ADD_DELIVERY, *given)
        if seq is None:
            # The event has as many deliveries as it may have: its death is seen all the same.
            continue
        dead = to_json(replace(notice, reason=unpacked(packed(notice.reason))))
        await connection.execute(sql.ADD_NOTICE, seq, teller, due, dead)
        settled.ended -= 1
        settled.retried.append((destination, due))


def _teller(notice: Notice, route: str, destination: str) -> bytes:
    return to_json([route, destination, notice.destination])
