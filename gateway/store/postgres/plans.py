"""What a task does next: which deliveries it selects, and whether another one has yet to reach some of them."""
# ruff: noqa: S608  the only things put into these texts are our own constants

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from gateway.errors import Overlaps
from gateway.event.patterns import fits
from gateway.model import DeliveryState
from gateway.store import rules
from gateway.store.activities import Task, TaskVerb
from gateway.store.nouns import DeliveryQuery
from gateway.store.numbers import Group
from gateway.store.postgres.connections import Connection, Snapshot
from gateway.store.postgres.questions import NOT_THERE, SEQS_NAMED
from gateway.store.postgres.rows import name_of, packed, unpacked
from gateway.store.postgres.search import Searcher
from gateway.store.postgres.tables import DAY_BITS
from gateway.store.rules import Named, Slice, movable, next_slice, states_taken
from gateway.store.searching import NamedRow

UNFINISHED: Final = """
SELECT id, verb, which, began, position, ends FROM activity WHERE NOT finished AND verb NOT IN ('discard', 'forget')
"""
_DAY: Final = (1 << DAY_BITS) - 1
# The seq of a delivery has the day of its event: that finds the partitions.
_OF_GROUP: Final = f"""
d.event_seq > $1 AND d.event_seq <= $2 AND d.seq > ($1 & ~{_DAY}::bigint) AND d.seq <= ($2 | {_DAY})
AND d.destination = $3 AND ($4 = '' OR d.route = $4) AND d.changed_at <= $5 AND EXISTS (
    SELECT 1 FROM event e WHERE e.seq = d.event_seq AND ($6 OR e.body_is = 'kept') AND ($7 = '' OR e.source = $7)
        AND ($8::bytea[] IS NULL OR e.type = ANY ($8)) AND e.stored_at >= $9 AND e.stored_at < $10
)
"""
_ENDED: Final = f"FROM done d WHERE d.state = $11 AND d.cause = $12 AND {_OF_GROUP}"
_WAITING: Final = f"FROM queue d WHERE d.seq > 0 AND {_OF_GROUP}"
# In the order of their events; a delivery that died again meanwhile is behind the position already.
SLICE_OF_ENDED: Final = f"SELECT d.event_seq, d.seq {_ENDED} ORDER BY d.event_seq LIMIT $13"
SLICE_OF_WAITING: Final = f"SELECT d.event_seq, d.seq {_WAITING} ORDER BY d.event_seq LIMIT $11"
COUNT_ENDED: Final = f"SELECT count(*) {_ENDED}"
COUNT_WAITING: Final = f"SELECT count(*) {_WAITING}"
NAMED: Final = f"""
SELECT d.seq, d.state, e.body_is, e.id, d.destination, d.cause, d.route, e.source, e.type, d.event_seq, d.changed_at
FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.seq = ANY (ARRAY({SEQS_NAMED}))
"""


class Plan(Struct, frozen=True, kw_only=True):
    """How a task begins."""

    total: int
    #: By the store's clock: deliveries that change later are left alone.
    began: float
    #: The last event that the task may cover.
    ends: int
    first: Slice


class _About(Struct, frozen=True, kw_only=True):
    """What a delivery and its event have to be, besides their group, position and time."""

    route: str
    may_be_empty: bool
    source: str
    types: frozenset[str] | None
    #: Stored from the first moment on, and before the second one.
    since: float
    until: float

    @classmethod
    async def of(cls, searcher: Searcher, which: DeliveryQuery, began: float, *, may_be_empty: bool) -> "_About":
        types = None
        if which.type:
            types = frozenset(type_ for _, type_ in await searcher.types() if fits(which.type, type_))
        return cls(
            route=which.route,
            may_be_empty=may_be_empty,
            source=which.source,
            types=types,
            # What is exactly that old is selected by the one and not by the other.
            since=0.0 if which.since_s is None else began - which.since_s,
            until=math.inf if which.until_s is None else began - which.until_s,
        )

    def and_(self, other: "_About") -> "_About":
        """What both ask for; of their names one at most is given, or they are the same."""
        types = [each for each in (self.types, other.types) if each is not None]
        return _About(
            route=self.route or other.route,
            may_be_empty=False,
            source=self.source or other.source,
            types=frozenset.intersection(*types) if types else None,
            since=max(self.since, other.since),
            until=min(self.until, other.until),
        )

    def values(self, position: int, ends: int, destination: str, began: float) -> Sequence[Any]:
        """The parameters of _OF_GROUP."""
        types = None if self.types is None else sorted(map(packed, self.types))
        about = (self.may_be_empty, self.source, types, self.since, self.until)
        return (position, ends, destination, self.route, began, *about)


async def begin(snapshot: Snapshot, task: Task) -> Plan:
    """What a task will do.

    Raises KeyError for an unknown id, BodyGone if a named event has lost its body, and Overlaps.
    """
    connection, now = snapshot
    which, is_discard = task.which, task.verb == "discard"
    others = [] if is_discard else [_Ahead(*row) for row in await connection.fetch(UNFINISHED)]
    if which.ids:
        rows = await named(connection, which)
        _refuse((other for other in others if any(map(other.has, rows))), task.verb)
        found = [Named(row.number, DeliveryState(row.state), row.event_id, row.body_is) for row in rows]
        seqs = movable(task.verb, found)
        return Plan(total=len(seqs), began=now, ends=0, first=Slice(seqs, 0, is_last=True))
    searcher = Searcher(snapshot)
    about = await _About.of(searcher, which, now, may_be_empty=is_discard)
    newest, oldest = await searcher.bounds(which.since_s, which.until_s)
    for other in others:
        if await other.meets(snapshot, which, about, oldest - 1, newest):
            _refuse([other], task.verb)
    groups = await searcher.groups(which.destination, states_taken(task.verb, which), which.cause)
    total = await _count(connection, which, groups, about, oldest - 1, newest, now)
    first = await _slice(connection, groups, about, oldest - 1, newest, now)
    return Plan(total=total, began=now, ends=newest, first=first)


async def next_of(
    snapshot: Snapshot, verb: TaskVerb, which: DeliveryQuery, *, position: int, ends: int, began: float
) -> Slice:
    """The next slice of a task."""
    searcher = Searcher(snapshot)
    about = await _About.of(searcher, which, began, may_be_empty=verb == "discard")
    groups = await searcher.groups(which.destination, states_taken(verb, which), which.cause)
    return await _slice(snapshot.connection, groups, about, position, ends, began)


def _refuse(in_the_way: "Iterable[_Ahead]", verb: TaskVerb) -> None:
    for other in in_the_way:
        raise Overlaps(rules.overlap(verb, other.id))


async def _count(
    connection: Connection,
    which: DeliveryQuery,
    groups: Sequence[Group],
    about: _About,
    position: int,
    ends: int,
    began: float,
) -> int:
    # Only delivered ones can belong to events without a body.
    asks_event = which.source or which.type or (not about.may_be_empty and which.state is DeliveryState.DELIVERED)
    if not asks_event and not which.route and which.since_s is None and which.until_s is None:
        return sum(group.deliveries for group in groups)
    total = 0
    for group in groups:
        values = about.values(position, ends, group.destination, began)
        if group.state == DeliveryState.PENDING:
            total += await connection.fetchval(COUNT_WAITING, *values)
        else:
            total += await connection.fetchval(COUNT_ENDED, *values, group.state, packed(group.cause))
    return total


async def _slice(
    connection: Connection, groups: Sequence[Group], about: _About, position: int, ends: int, began: float
) -> Slice:
    rows = [await _rows(connection, group, about, position, ends, began, rules.SLICE) for group in groups]
    return next_slice(rows, ends=ends, size=rules.SLICE)


async def _rows(
    connection: Connection, group: Group, about: _About, position: int, ends: int, began: float, most: int
) -> list[tuple[int, int]]:
    """(event, delivery) of the first ones of a group after a position."""
    values = about.values(position, ends, group.destination, began)
    if group.state == DeliveryState.PENDING:
        rows = await connection.fetch(SLICE_OF_WAITING, *values, most)
    else:
        rows = await connection.fetch(SLICE_OF_ENDED, *values, group.state, packed(group.cause), most)
    return [(row[0], row[1]) for row in rows]


class _Ahead(NamedTuple):
    """What an unfinished replay has yet to reach. Deliveries named by their ids are all reached at once."""

    id: str
    verb: TaskVerb
    which: bytes
    began: float
    position: int
    ends: int

    @property
    def query(self) -> DeliveryQuery:
        return msgspec.json.decode(self.which, type=DeliveryQuery)

    def has(self, row: NamedRow) -> bool:
        is_ahead = self.position < row.event_seq <= self.ends and row.changed_at <= self.began
        return is_ahead and row.state in states_taken(self.verb, self.query) and row.is_in(self.query)

    async def meets(self, snapshot: Snapshot, which: DeliveryQuery, about: _About, position: int, ends: int) -> bool:
        """Whether it has a delivery ahead that another query matches in events after ``position``, up to ``ends``."""
        mine, states = self.query, states_taken(self.verb, self.query)
        pairs = ((mine.destination, which.destination), (mine.route, which.route), (mine.source, which.source))
        if (
            any(one and other and one != other for one, other in pairs)
            or states != states_taken(self.verb, which)
            or (None not in (mine.cause, which.cause) and mine.cause != which.cause)
        ):
            return False
        searcher = Searcher(snapshot)
        both = about.and_(await _About.of(searcher, mine, self.began, may_be_empty=False))
        cause = which.cause if mine.cause is None else mine.cause
        first, last = max(self.position, position), min(self.ends, ends)
        for group in await searcher.groups(mine.destination or which.destination, states, cause):
            if await _rows(snapshot.connection, group, both, first, last, self.began, 1):
                return True
        return False


async def named(connection: Connection, which: DeliveryQuery) -> list[NamedRow]:
    """Matching deliveries among those named by ids of events and deliveries. Raises KeyError for an unknown id."""
    ids = {name_of(each): each for each in which.ids}
    missing = await connection.fetchval(NOT_THERE, list(ids))
    if missing is not None:
        raise KeyError(ids[missing])
    rows = [
        NamedRow(*row)._replace(cause=unpacked(row["cause"]), type=unpacked(row["type"]))
        for row in await connection.fetch(NAMED, list(ids))
    ]
    return [row for row in rows if row.is_in(which)]
