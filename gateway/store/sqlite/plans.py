"""What a task does next, planned on a read connection so that the search stays off the writer."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import apsw
import msgspec
from msgspec import Struct

from gateway.errors import Overlaps
from gateway.model import DeliveryState
from gateway.store import rules
from gateway.store.activities import Task, TaskVerb
from gateway.store.queries import DeliveryQuery
from gateway.store.rules import Named, Slice, movable, next_slice, states_taken
from gateway.store.searching import NamedRow
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.rows import to_json
from gateway.store.sqlite.search import Searcher


class Plan(Struct, frozen=True, kw_only=True):
    """How a task begins."""

    total: int
    #: By the store's clock: deliveries that change later are left alone.
    began: float
    #: The last event that the task may cover.
    ends: int
    first: Slice
    #: Replays that were not finished then, none of which has a delivery of this task ahead of it.
    beside: frozenset[str] = frozenset()


class Unfinished(Struct, frozen=True, kw_only=True):
    """A task to continue, with its next slice."""

    seq: int
    verb: TaskVerb
    by: str
    reason: str
    interval_s: float
    next_due: float
    as_new: bool
    #: The last event of the slices before.
    position: int
    slice: Slice


def begin(connection: apsw.Connection, now: float, task: Task) -> Plan:
    """What a task will do.

    Raises KeyError for an unknown id, BodyGone if a named event has lost its body, and Overlaps.
    """
    which = task.which
    others = [_Ahead(*row) for row in connection.execute(sql.UNFINISHED)] if task.verb != "discard" else []
    beside = frozenset(other.id for other in others)
    searcher = Searcher(connection, now)
    if which.ids:
        rows = named(connection, which)
        _refuse((other for other in others if any(map(other.has, rows))), task.verb)
        found = [Named(row.number, DeliveryState(row.state), row.event_id, row.body_is) for row in rows]
        seqs = movable(task.verb, found)
        return Plan(total=len(seqs), began=now, ends=0, first=Slice(seqs, 0, is_last=True), beside=beside)
    first, ends = searcher.bounds(which.since_s, which.until_s)
    _refuse((other for other in others if other.meets(searcher, which, first, ends)), task.verb)
    total = searcher.count(which, states_taken(task.verb, which), may_be_empty=task.verb == "discard")
    part = _slice(searcher, task.verb, which, position=first - 1, ends=ends, began=now)
    return Plan(total=total, began=now, ends=ends, first=part, beside=beside)


def _refuse(in_the_way: "Iterable[_Ahead]", verb: TaskVerb) -> None:
    for other in in_the_way:
        raise Overlaps(rules.overlap(verb, other.id))


class _Ahead(NamedTuple):
    """What an unfinished replay has yet to reach. Deliveries named by their ids are all reached at once."""

    id: str
    verb: TaskVerb
    which: str
    began: float
    position: int
    ends: int

    @property
    def query(self) -> DeliveryQuery:
        return msgspec.json.decode(self.which, type=DeliveryQuery)

    def has(self, row: NamedRow) -> bool:
        is_ahead = self.position < row.event_seq <= self.ends and row.changed_at <= self.began
        return is_ahead and row.state in states_taken(self.verb, self.query) and row.is_in(self.query)

    def meets(self, searcher: Searcher, which: DeliveryQuery, first: int, ends: int) -> bool:
        """Whether it has a delivery ahead that another query matches in events ``first`` to ``ends``."""
        mine = self.query
        states = states_taken(self.verb, mine)
        pairs = ((mine.destination, which.destination), (mine.route, which.route), (mine.source, which.source))
        are_apart = any(one and other and one != other for one, other in pairs)
        if (
            are_apart
            or states != states_taken(self.verb, which)
            or (None not in (mine.cause, which.cause) and mine.cause != which.cause)
        ):
            return False
        destination, route, source = (one or other for one, other in pairs)
        ahead = (max(self.position, first - 1), min(self.ends, ends), route, *_of_both(searcher, source, mine, which))
        return any(
            searcher.connection.execute(sql.TASK_SLICE, (*group[:3], *ahead, self.began, 1)).get is not None
            for group in searcher.groups(destination, states, which.cause if mine.cause is None else mine.cause)
        )


def _of_both(searcher: Searcher, source: str, one: DeliveryQuery, other: DeliveryQuery) -> tuple[bool, str, str | None]:
    """What the event of a delivery that matches two queries has to be, for _IF_EVENT."""
    found = [searcher.about_event(each, may_be_empty=False)[2] for each in (one, other) if each.type]
    types = [set(msgspec.json.decode(each)) for each in found if each is not None]
    return False, source, to_json(sorted(set.intersection(*types))) if types else None


def unfinished(connection: apsw.Connection, now: float, replica: str) -> Unfinished | None:
    """The oldest unfinished task that no other replica holds, with its next slice."""
    row: Any = connection.execute(sql.TASK, (replica, now)).get
    if row is None:
        return None
    seq, verb, by, which, began, position, ends, interval_s, next_due, as_new, reason = row
    query = msgspec.json.decode(which, type=DeliveryQuery)
    return Unfinished(
        seq=seq,
        verb=verb,
        by=by,
        reason=reason,
        interval_s=interval_s,
        next_due=next_due,
        as_new=bool(as_new),
        position=position,
        slice=_slice(Searcher(connection, now), verb, query, position=position, ends=ends, began=began),
    )


def _slice(
    searcher: Searcher, verb: TaskVerb, which: DeliveryQuery, *, position: int, ends: int, began: float
) -> Slice:
    about_event = searcher.about_event(which, may_be_empty=verb == "discard")
    more = (position, ends, which.route, *about_event, began, rules.SLICE)
    groups: list[Any] = [
        searcher.connection.execute(sql.TASK_SLICE, (*group[:3], *more)).fetchall()
        for group in searcher.groups(which.destination, states_taken(verb, which), which.cause)
    ]
    return next_slice(groups, ends=ends, size=rules.SLICE)


def named(connection: apsw.Connection, which: DeliveryQuery) -> list[NamedRow]:
    """Matching deliveries among those named by ids of events and deliveries. Raises KeyError for an unknown id."""
    ids = to_json(which.ids)
    missing = connection.execute(sql.NOT_THERE, (ids,)).get
    if missing is not None:
        raise KeyError(missing)
    rows = (NamedRow(*row) for row in connection.execute(sql.NAMED, (ids,)))
    return [row for row in rows if row.is_in(which)]
