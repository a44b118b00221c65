"""What can be asked of the database: events, deliveries, what people did. Every answer is of one moment."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final, Self

from gateway.errors import CorruptEvent, StoreError
from gateway.event.patterns import fits
from gateway.model import Attempt, Delivery, DeliveryState, Event
from gateway.store import numbers
from gateway.store.activities import Activity, ActivityPage
from gateway.store.holds import Hold
from gateway.store.logins import Login
from gateway.store.nouns import HeldBack, Record
from gateway.store.numbers import MINUTES, Group, Numbers
from gateway.store.places import Place, activity_place
from gateway.store.postgres import attempts, logins, memory, migrate, tracked, whole
from gateway.store.postgres import questions as sql
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import Connection, Readers
from gateway.store.postgres.rows import activity_of, delivery_of, event_of, hold_of, name_of, unpacked
from gateway.store.postgres.search import TALLY, Searcher
from gateway.store.postgres.streams import FIRST_ROWS, MOST_ROWS, Search
from gateway.store.queries import (
    BODY_EFFORT,
    Candidate,
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    EventRow,
    LastError,
    Rejected,
    Stats,
    Survey,
    Unredacted,
)
from gateway.store.rules import Standing, damaged, selects
from gateway.store.searching import ALL_DELIVERIES, BODY_BYTES, EVERYTHING, SURVEYED, UNREDACTED_ROWS

#: Events that are looked into at a time, at first and at most: each time is a round trip.
FIRST_CHUNK: Final = 64
CHUNK: Final = 256


class PostgresReads:
    """Reads of one database, beside the replicas that run on it."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        #: Of the latest check, in events.
        self.progress = (0, 0)

    @classmethod
    async def opened(cls, address: Address) -> Self:
        """Raises StoreError if it cannot be read, or has another release's schema."""
        readers = Readers(address)
        try:
            async with readers.connection() as connection:
                await migrate.check(connection, address)
        except BaseException:
            await readers.close()
            raise
        return cls(readers)

    # events

    async def events(self, query: EventQuery = EVERYTHING) -> EventPage:
        async with self._readers.snapshot() as snapshot:
            connection, now = snapshot
            if query.ids:
                rows = await connection.fetch(sql.EVENTS_BY_ID, list(query.ids))
                return EventPage(rows=await _event_rows(connection, [row[0] for row in rows], now))
            search = await Searcher(snapshot, query.effort).events(query)
            found: list[int] = []
            async for seq in _of_type(connection, search, query.type):
                found.append(seq)
                if len(found) > query.limit:
                    break
            shown = await _event_rows(connection, found[: query.limit], now)
            if len(found) > query.limit:
                return EventPage(rows=shown, next=str(search.place(found[query.limit - 1])))
            return EventPage(rows=shown, **await _early_end(connection, search))

    async def candidates(self, query: EventQuery) -> CandidatePage:
        async with self._readers.snapshot() as snapshot:
            first_rows = min(max(query.limit, FIRST_ROWS), MOST_ROWS)
            search = await Searcher(snapshot, query.effort, first_rows).events(query)
            suffix = search.place(0).suffix
            rows: list[Candidate] = []
            left_bytes = BODY_BYTES
            async for seqs in _chunks(search, BODY_EFFORT, first=query.limit, most=FIRST_CHUNK):
                for row in await snapshot.connection.fetch(sql.EVENTS_BY_SEQ, seqs):
                    event, intact, body_is = event_of(row)
                    if (
                        intact
                        and body_is not in ("removed", "forgotten")
                        and (not query.type or fits(query.type, event.type))
                    ):
                        rows.append(Candidate(f"{row[0]}{suffix}", event))
                        left_bytes -= len(event.body)
                    search.at = row[0] - 1
                    if len(rows) >= query.limit or left_bytes <= 0:
                        return CandidatePage(
                            rows=tuple(rows),
                            spent=query.effort - search.effort.left,
                            next=str(search.continuation),
                        )
            spent = query.effort - search.effort.left
            return CandidatePage(rows=tuple(rows), spent=spent, **await _early_end(snapshot.connection, search))

    async def survey(self, *, after: str = "", until: str = "") -> Survey:
        async with self._readers.snapshot() as (connection, _):
            at = Place.read(after).at if after else 0
            ends = Place.read(until).at if until else await connection.fetchval(sql.LAST_EVENT)
            events: list[Event] = []
            size = 0
            rows = await connection.fetch(sql.SURVEY, at, ends, SURVEYED, BODY_BYTES)
            for row in rows:
                at = row["seq"]
                event, _, body_is = event_of(row)
                if body_is != "forgotten":
                    events.append(event)
                    size += len(event.body)
            is_short = len(rows) < SURVEYED and size < BODY_BYTES
            if not rows or (is_short and not await connection.fetchval(sql.HAS_EVENTS, at, ends)):
                at = ends
            return Survey(events=tuple(events), to=str(Place(at)), is_last=at >= ends)

    async def event(self, event_id: str) -> EventHistory | None:
        async with self._readers.snapshot() as (connection, now):
            seq = await connection.fetchval(sql.EVENT_SEQ, event_id)
            row = seq and await connection.fetchrow(sql.EVENT_BY_SEQ, seq)
            if row is None:
                return None
            event, intact, body_is = event_of(row)
            return EventHistory(
                position=str(Place(seq)),
                event=event,
                intact=intact,
                deliveries=(await _deliveries_of(connection, [seq], now))[seq],
                attempts=await attempts.of_event(connection, seq),
                held_back=tuple(
                    HeldBack(name=name, key=unpacked(key), event_id=first, fired_at=fired_at)
                    for name, key, first, fired_at in await connection.fetch(sql.HELD_BACK, seq)
                ),
                body_is=body_is,
                waits_for=await memory.waiting_for(connection, seq),
            )

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        if not event_ids:
            return {}
        async with self._readers.connection() as connection:
            rows = await connection.fetch(sql.LOAD, [name_of(each) for each in event_ids])
        loaded: dict[str, Event | CorruptEvent] = {}
        for event, intact, body_is in map(event_of, rows):
            is_sound = intact and body_is == "kept"
            loaded[event.id] = event if is_sound else CorruptEvent(damaged(event.id))
        return loaded

    async def records(self, source: str, keys: Collection[str]) -> Mapping[str, Record]:
        async with self._readers.connection() as connection:
            return await tracked.read(connection, source, keys)

    async def remembered(self) -> Mapping[str, int]:
        async with self._readers.snapshot() as (connection, _):
            return await tracked.counts(connection)

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        """Events at rest whose source redacts them, oldest first."""
        async with self._readers.snapshot() as (connection, _):
            start = Place.read(after).at if after else 0
            rows = await connection.fetch(sql.TO_REDACT, start, UNREDACTED_ROWS)
            events: dict[str, Event | CorruptEvent] = {}
            size = 0
            for seq, is_at_rest in rows:
                if len(events) >= limit or size >= BODY_BYTES:
                    break
                start = seq
                if is_at_rest:
                    event, intact, _ = event_of(await connection.fetchrow(sql.EVENT_BY_SEQ, seq))
                    events[event.id] = event if intact else CorruptEvent(damaged(event.id))
                    size += len(event.body)
            is_last = len(rows) < UNREDACTED_ROWS and (not rows or start == rows[-1][0])
            return Unredacted(events=events, next="" if is_last else str(Place(start)))

    # deliveries

    async def deliveries(self, query: DeliveryQuery = ALL_DELIVERIES) -> DeliveryPage:
        async with self._readers.snapshot() as snapshot:
            connection, now = snapshot
            if query.ids:
                return DeliveryPage(rows=await _named(connection, query, now))
            search = await Searcher(snapshot, query.effort).deliveries(query)
            found: list[Delivery] = []
            async for seq, fitting in _fitting(connection, search, query, now):
                if len(found) >= query.limit:
                    return DeliveryPage(rows=tuple(found), next=str(search.place(seq + 1)))
                found += fitting
            return DeliveryPage(rows=tuple(found), **await _early_end(connection, search))

    async def last_attempts(self, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
        async with self._readers.connection() as connection:
            return await attempts.last(connection, delivery_ids)

    async def last_errors(self, destinations: Collection[str]) -> Mapping[str, LastError]:
        async with self._readers.connection() as connection:
            return await attempts.last_errors(connection, destinations)

    async def count(self, which: DeliveryQuery) -> int:
        async with self._readers.snapshot() as snapshot:
            if which.ids:
                return len(await _named(snapshot.connection, which, snapshot.now))
            return await Searcher(snapshot).count(which)

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        async with self._readers.connection() as connection:
            rows = await connection.fetch(sql.WAITING)
        return {(route, destination): deliveries for route, destination, deliveries in rows}

    # numbers, the door and destinations

    async def stats(self) -> Stats:
        async with self._readers.snapshot() as (connection, now):
            minute = int(now // 60)
            since = minute - MINUTES
            found = Numbers(
                minute=minute,
                tally=[
                    Group(name, state, unpacked(why), count)
                    for name, state, why, count in await connection.fetch(TALLY)
                ],
                due={name: at for name, at in await connection.fetch(sql.BOUNDS) if at is not None},
                now=now,
                came=await connection.fetch(sql.CAME, since),
                went=await connection.fetch(sql.WENT, since),
                durations=await connection.fetch(sql.DURATIONS, since),
            )
            return numbers.stats(found, used_bytes=await connection.fetchval(sql.SIZE), free_bytes=None)

    async def memories(self) -> Mapping[str, int]:
        async with self._readers.connection() as connection:
            return await memory.memories(connection)

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        async with self._readers.connection() as connection:
            rows = await connection.fetch(sql.REJECTED, limit)
        return [
            Rejected(
                at=at,
                source=unpacked(source),
                path=unpacked(path),
                status=status,
                reason=unpacked(reason),
                client=unpacked(client),
                count=count,
            )
            for at, source, path, status, reason, client, count in rows
        ]

    async def holds(self) -> Sequence[Hold]:
        async with self._readers.snapshot() as (connection, now):
            return [hold_of(row, now) for row in await connection.fetch(sql.HOLDS)]

    async def logins(self) -> Sequence[Login]:
        async with self._readers.snapshot() as (connection, now):
            return [logins.login_of(row, now) for row in await connection.fetch(logins.ALL)]

    async def stored_time(self) -> float:
        async with self._readers.connection() as connection:
            now: float = await connection.fetchval("SELECT gateway_now()")
        return now

    # what people did

    async def activities(self, *, limit: int = 50, before: str = "") -> ActivityPage:
        rows = await self._activities(sql.ACTIVITIES, activity_place(before), limit)
        return ActivityPage(rows=tuple(rows), next=rows[-1].id if len(rows) == limit else "")

    async def activity(self, activity_id: str) -> Activity | None:
        return next(iter(await self._activities(sql.ACTIVITY, activity_id)), None)

    async def _activities(self, statement: str, *values: object) -> Sequence[Activity]:
        async with self._readers.snapshot() as (connection, _):
            rows = await connection.fetch(statement, *values)
            standing: dict[int, list[Standing]] = {row[0]: [] for row in rows}
            for task, state, is_untried, deliveries in await connection.fetch(sql.STANDING, list(standing)):
                standing[task].append(Standing(DeliveryState(state), is_untried, deliveries))
        return [activity_of(row, standing[row[0]]) for row in rows]

    # the whole

    def _progressed(self, done: int, whole: int) -> None:
        self.progress = (done, whole)

    async def backup(self, path: str, *, replaces: bool = False) -> int:  # noqa: ARG002  as every store
        raise StoreError(whole.how_to_back_up(self._readers.address, path))

    async def check(self) -> Sequence[str]:
        self._progressed(0, 0)
        return await whole.check(self._readers.address, self._progressed)

    async def close(self) -> None:
        await self._readers.close()


async def _of_type(connection: Connection, search: Search, glob: str) -> AsyncIterator[int]:
    if not glob:
        async for seq in search:
            yield seq
        return
    async for seqs in _chunks(search, 1):
        types = dict(await connection.fetch(sql.TYPES_OF, seqs))
        for seq in seqs:
            if fits(glob, unpacked(types[seq])):
                yield seq


async def _event_rows(connection: Connection, seqs: Sequence[int], now: float) -> tuple[EventRow, ...]:
    rows = await connection.fetch(sql.EVENT_ROWS, seqs)
    deliveries = await _deliveries_of(connection, seqs, now)
    return tuple(
        EventRow(
            position=str(seq),
            id=id_,
            source=source,
            type=unpacked(type_),
            received_at=received_at,
            size=size,
            body_is=body_is,
            deliveries=deliveries[seq],
        )
        for seq, id_, source, type_, received_at, size, body_is in rows
    )


async def _early_end(connection: Connection, search: Search) -> dict[str, Any]:
    """The end of a page that is not full: ``next`` and ``searched_to`` if the search stopped early."""
    if not search.ended_early:
        return {}
    searched_to = await connection.fetchval(sql.RECEIVED_AT, search.at)
    return {"next": str(search.continuation), "searched_to": searched_to}


async def _fitting(
    connection: Connection, search: Search, query: DeliveryQuery, now: float
) -> AsyncIterator[tuple[int, Sequence[Delivery]]]:
    """Events that have matching deliveries, with them."""
    async for seqs in _chunks(search, 0):
        by_event = await _deliveries_of(connection, seqs, now)
        search.effort.spend(sum(map(len, by_event.values())))
        types = dict(await connection.fetch(sql.TYPES_OF, seqs)) if query.type else {}
        for seq in seqs:
            fitting = [each for each in by_event[seq] if selects(query, each)]
            if fitting and (not query.type or fits(query.type, unpacked(types[seq]))):
                yield seq, fitting


async def _chunks(
    search: Search, effort: int, *, first: int = FIRST_CHUNK, most: int = CHUNK
) -> AsyncIterator[list[int]]:
    """What a search finds, some at a time; each counts for ``effort`` rows."""
    chunk: list[int] = []
    size = min(first, most)
    async for seq in search:
        search.effort.spend(effort)
        chunk.append(seq)
        if len(chunk) == size:
            yield chunk
            chunk, size = [], min(size * 2, most)
    if chunk:
        yield chunk


async def _deliveries_of(connection: Connection, seqs: Sequence[int], now: float) -> Mapping[int, tuple[Delivery, ...]]:
    found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
    for row in await connection.fetch(sql.DELIVERIES_OF, seqs):
        found[row[0]] = (*found[row[0]], _delivery(row, now))
    return found


async def _named(connection: Connection, query: DeliveryQuery, now: float) -> tuple[Delivery, ...]:
    """Matching deliveries among those named by ids of events and deliveries. Raises KeyError for an unknown id."""
    missing = await connection.fetchval(sql.NOT_THERE, list(query.ids))
    if missing is not None:
        raise KeyError(missing)
    rows = await connection.fetch(sql.NAMED, list(query.ids))
    found = [(_delivery(row, now), row[0], unpacked(row[1])) for row in rows]
    return tuple(
        delivery
        for delivery, source, type_ in found
        if query.source in ("", source) and (not query.type or fits(query.type, type_)) and selects(query, delivery)
    )


def _delivery(row: Mapping[str, Any], now: float) -> Delivery:
    return delivery_of(row, now, DeliveryState(row["state"]))
