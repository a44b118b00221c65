"""Which events a query finds: a stream of their numbers for each thing that is asked, from an index of its own.

As in the SQLite store, a search looks at a bounded number of rows, whatever is asked; one that reaches the bound says
how far back it got.
"""
# ruff: noqa: S608  the only things put into these texts are our own constants

import math
from collections.abc import Sequence
from typing import Any, Final

from gateway.event.patterns import fits
from gateway.model import DeliveryState
from gateway.store.numbers import Group
from gateway.store.places import Place
from gateway.store.postgres import words as index
from gateway.store.postgres.connections import STUCK_S, Snapshot
from gateway.store.postgres.rows import packed, unpacked
from gateway.store.postgres.streams import FIRST_ROWS, Indexed, Nothing, OneByOne, Search, Stream, Then, Worded
from gateway.store.postgres.tables import DAY_BITS, DAY_S
from gateway.store.queries import EFFORT, DeliveryQuery, EventQuery
from gateway.store.searching import Effort, groups_of, types_of

#: Newest events that are looked at one by one before the index of words is asked: a common word has a long list there,
#: and fills a page before it is needed.
FRESH: Final = 1_000
#: An event may have a lower number than one that was stored this much earlier, seconds: replicas draw them as they go.
SLACK_S: Final = 60.0
#: The lowest number of an event.
_FIRST: Final = 1
_LOW: Final = (1 << DAY_BITS) - 1

# Each stream's last three parameters are the lowest and the highest number, and how many. An index on the order alone must
# not do for one that has what is looked for: the planner cannot know which of them is better.
_ALL: Final = "SELECT seq FROM event WHERE seq >= $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3"
_STORED_BETWEEN: Final = """
SELECT seq FROM event WHERE stored_at >= $1 AND stored_at < $2 AND seq >= $3 AND seq <= $4 ORDER BY seq DESC LIMIT $5
"""
_OF_TYPES: Final = """
SELECT e.seq FROM unnest($1::text[], $2::bytea[]) k (source, type) CROSS JOIN LATERAL (
    SELECT seq FROM event WHERE source = k.source AND type = k.type AND -seq >= -$4::bigint AND -seq <= -$3::bigint
    ORDER BY -seq LIMIT $5
) e ORDER BY seq DESC LIMIT $5
"""
# What belongs to an event has its day in its own number: that finds the partitions.
_OF_DELIVERIES: Final = f"""
(SELECT d.event_seq FROM unnest($1::text[], $2::text[], $3::bytea[]) k (destination, state, cause) CROSS JOIN LATERAL (
    SELECT event_seq FROM done WHERE destination = k.destination AND state = k.state AND cause = k.cause
        AND event_seq >= $5 AND event_seq <= $6 AND seq >= $5 & ~{_LOW}::bigint AND seq <= $6 | {_LOW}
    ORDER BY event_seq DESC LIMIT $7
) d)
UNION ALL
(SELECT d.event_seq FROM unnest($4::text[]) k (destination) CROSS JOIN LATERAL (
    SELECT event_seq FROM queue WHERE seq > 0 AND destination = k.destination AND event_seq >= $5 AND event_seq <= $6
    ORDER BY event_seq DESC LIMIT $7
) d)
ORDER BY 1 DESC LIMIT $7
"""
_NTH: Final = "SELECT coalesce((SELECT seq FROM event WHERE seq <= $1 ORDER BY seq DESC OFFSET $2 LIMIT 1), 0)"
# What was stored by a transaction that is younger than one still running: that one may store lower numbers yet. One that
# runs for longer than an append may is somebody else's.
_UNSETTLED: Final = """
SELECT min(seq) FROM (SELECT seq, stored_at, xmin FROM event WHERE seq > $1 ORDER BY seq DESC LIMIT $2) e
WHERE stored_at > gateway_now() - $3::float8 AND age(e.xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid)
"""
_ENDS: Final = """
SELECT coalesce((SELECT seq FROM event ORDER BY seq LIMIT 1), 0), coalesce((SELECT seq FROM event ORDER BY seq DESC LIMIT 1), 0)
"""
_STORED_AT: Final = "SELECT seq, stored_at FROM event WHERE seq >= $1 AND seq < $2 ORDER BY seq LIMIT 1"
# Walked from one to the next: one look-up for each type of each source.
_TYPES: Final = """
WITH RECURSIVE known AS (
    (SELECT source, type FROM event ORDER BY source, type LIMIT 1)
    UNION ALL
    SELECT n.source, n.type FROM known k CROSS JOIN LATERAL (
        SELECT source, type FROM event WHERE (source, type) > (k.source, k.type) ORDER BY source, type LIMIT 1
    ) n
) SELECT source, type FROM known
"""
TALLY: Final = """
SELECT destination, state, cause, sum(deliveries)::bigint FROM tally GROUP BY 1, 2, 3 HAVING sum(deliveries) > 0
"""
_OF_EVENTS: Final = """
d.event_seq BETWEEN $1 AND $2 AND ($3 = '' OR d.route = $3) AND ($4 OR EXISTS (
    SELECT 1 FROM event e WHERE e.seq = d.event_seq AND e.stored_at >= $5 AND e.stored_at < $6 AND ($7 = '' OR e.source = $7)
        AND ($8::bytea[] IS NULL OR e.type = ANY ($8))
))
"""
_COUNT: Final = f"""
SELECT (SELECT count(*) FROM unnest($9::text[], $10::text[], $11::bytea[]) k (destination, state, cause)
        JOIN done d ON d.destination = k.destination AND d.state = k.state AND d.cause = k.cause WHERE {_OF_EVENTS})
    + (SELECT count(*) FROM unnest($12::text[]) k (destination) JOIN queue d ON d.destination = k.destination
        WHERE d.seq > 0 AND {_OF_EVENTS})
"""


class Searcher:
    """Makes the streams of a query, at one moment of the store."""

    def __init__(self, snapshot: Snapshot, effort: int = EFFORT, first_rows: int = FIRST_ROWS) -> None:
        """``first_rows``: rows that a stream is asked for at first."""
        self._connection, self._now = snapshot
        self._effort = Effort(effort)
        self._first_rows = first_rows

    async def events(self, query: EventQuery) -> Search:
        """Where to look for the events of a query."""
        before = Place.read(query.before) if query.before else None
        newer_than = max(before.after if before else 0, Place.read(query.after).at if query.after else 0)
        first, last = await self.bounds(query.since_s, query.until_s)
        first, last = first if before is None else min(first, before.at - 1), max(last, newer_than + 1)
        if query.after:
            first = await self._settled(first, newer_than)
        streams = await self._of_type(query.source, query.type, last)
        if query.destination or query.state is not None:
            streams.append(await self._of_deliveries(query.destination, query.state, None, last))
        indexed_from = 0
        if match := index.query_of(query.words, query.any_of):
            oldest, _ = await self._ends()
            indexed_from = (before and before.indexed_from) or await self._fresh_from(first)
            newer = OneByOne(self._connection, match, indexed_from, self._effort)
            streams.append(Then(newer, indexed_from, Worded(self._connection, match, max(oldest, last), self._effort)))
        search = self._search(streams, first, last, query.since_s, query.until_s)
        search.bounds = Place(0, newer_than, indexed_from)
        return search

    async def deliveries(self, query: DeliveryQuery) -> Search:
        """Where to look for the events of these deliveries; which of an event's deliveries match is for the caller."""
        first, last = await self.bounds(query.since_s, query.until_s)
        if query.before:
            first = min(first, Place.read(query.before).at - 1)
        streams = await self._of_type(query.source, query.type, last)
        if query.destination or query.state is not None or query.cause is not None:
            streams.append(await self._of_deliveries(query.destination, query.state, query.cause, last))
        return self._search(streams, first, last, query.since_s, query.until_s)

    def _search(
        self, streams: Sequence[Stream], first: int, last: int, since_s: float | None, until_s: float | None
    ) -> Search:
        streams = list(streams)
        if since_s is not None or until_s is not None:
            streams.append(self._stream(_STORED_BETWEEN, *self._between(since_s, until_s), last))
        # What is in an index of deliveries or of words has an event.
        return Search(streams or [self._stream(_ALL, last)], first, last, self._effort)

    def _between(self, since_s: float | None, until_s: float | None) -> tuple[float, float]:
        return 0.0 if since_s is None else self._now - since_s, math.inf if until_s is None else self._now - until_s

    def _stream(self, statement: str, *values: Any) -> Stream:
        return Indexed(self._connection, statement, values, self._effort, self._first_rows)

    async def _of_type(self, source: str, glob: str, last: int) -> list[Stream]:
        # The reader compares the type of each event as well.
        found = types_of(await self.types(), source, glob) if source or glob else None
        if found is None:
            return []
        return [self._stream(_OF_TYPES, [one for one, _ in found], [packed(type_) for _, type_ in found], last)]

    async def types(self) -> Sequence[tuple[str, str]]:
        """Every source with each of its types."""
        return [(source, unpacked(type_)) for source, type_ in await self._connection.fetch(_TYPES)]

    async def groups(self, destination: str, states: Sequence[DeliveryState], cause: str | None) -> list[Group]:
        """Those that have deliveries."""
        rows = await self._connection.fetch(TALLY)
        known = (Group(name, state, unpacked(why), count) for name, state, why, count in rows)
        return groups_of(known, destination, states, cause)

    async def _of_deliveries(
        self, destination: str, state: DeliveryState | None, cause: str | None, last: int
    ) -> Stream:
        groups = await self.groups(destination, tuple(DeliveryState) if state is None else (state,), cause)
        return self._stream(_OF_DELIVERIES, *_columns(groups), last) if groups else Nothing()

    async def count(self, which: DeliveryQuery) -> int:
        """How many deliveries match; each is looked at in an index if the numbers alone do not say it."""
        states = tuple(DeliveryState) if which.state is None else (which.state,)
        groups = await self.groups(which.destination, states, which.cause)
        asks_time = which.since_s is not None or which.until_s is not None
        asks_event = bool(which.source or which.type or asks_time)
        if not asks_event and not which.route:
            return sum(group.deliveries for group in groups)
        newest, oldest = await self.bounds(which.since_s, which.until_s)
        types = {type_ for _, type_ in await self.types() if fits(which.type, type_)} if which.type else None
        about_event = (
            not asks_event,
            *self._between(which.since_s, which.until_s),
            which.source,
            None if types is None else [packed(each) for each in types],
        )
        counted: int = await self._connection.fetchval(
            _COUNT, oldest, newest, which.route, *about_event, *_columns(groups)
        )
        return counted

    # bounds

    async def bounds(self, since_s: float | None, until_s: float | None) -> tuple[int, int]:
        """The newest and the oldest number that an event stored between two times may have, given as seconds ago."""
        oldest, newest = await self._ends()
        if since_s is not None:
            oldest = max(oldest, await self._number_at(self._now - since_s - SLACK_S))
        if until_s is not None:
            newest = min(newest, await self._number_at(self._now - until_s + SLACK_S))
        return newest, max(oldest, _FIRST)

    async def _ends(self) -> tuple[int, int]:
        row = await self._connection.fetchrow(_ENDS)
        return row[0], row[1]

    async def _settled(self, first: int, after: int) -> int:
        """The newest event up to which none is missing: what is newer is asked for only once."""
        unsettled: int | None = await self._connection.fetchval(_UNSETTLED, after, FRESH, STUCK_S)
        return first if unsettled is None else min(first, unsettled - 1)

    async def _fresh_from(self, first: int) -> int:
        """Above this event, words are compared event by event: so they have to be where the index has not come to."""
        nth: int = await self._connection.fetchval(_NTH, first, FRESH)
        upto: int = await self._connection.fetchval(index.INDEXED_TO)
        return max(min(nth, upto), _FIRST)

    async def _number_at(self, moment: float) -> int:
        """About the first number of an event stored at a moment or later: within a day they are in the order of its clock."""
        day = max(int(moment // DAY_S), 0)
        low, high = day << DAY_BITS, (day + 1) << DAY_BITS
        end = high
        while low < high:
            middle = (low + high) // 2
            row = await self._connection.fetchrow(_STORED_AT, middle, end)
            if row is None or row[1] >= moment:
                high = middle
            else:
                low = row[0] + 1
        return low


def _columns(groups: Sequence[Group]) -> tuple[list[str], list[str], list[bytes], list[str]]:
    """Destinations, states and causes of those that have ended; destinations of those that wait."""
    ended = [group for group in groups if group.state != DeliveryState.PENDING]
    waiting = [group.destination for group in groups if group.state == DeliveryState.PENDING]
    return (
        [one.destination for one in ended],
        [one.state for one in ended],
        [packed(one.cause) for one in ended],
        waiting,
    )
