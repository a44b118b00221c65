"""What a task does next, planned on a read connection so that the search stays off the writer."""

from typing import Any, NamedTuple

import apsw
import msgspec
from msgspec import Struct

from gateway.model import DeliveryState
from gateway.store import rules
from gateway.store.activities import Task, TaskVerb
from gateway.store.nouns import BodyIs, DeliveryQuery
from gateway.store.rules import Named, Slice, fits, movable, next_slice, selects, states_taken
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
    """What a task will do. Raises KeyError for an unknown id, BodyGone if a named event has lost its body."""
    which = task.which
    if which.ids:
        found = [
            Named(row.number, DeliveryState(row.state), row.event_id, row.body_is) for row in named(connection, which)
        ]
        seqs = movable(task.verb, found)
        return Plan(total=len(seqs), began=now, ends=0, first=Slice(seqs, 0, is_last=True))
    searcher = Searcher(connection, now)
    first, ends = searcher.bounds(which.since_s, which.until_s)
    total = searcher.count(which, states_taken(task.verb, which), may_be_empty=task.verb == "discard")
    part = _slice(searcher, task.verb, which, position=first - 1, ends=ends, began=now)
    return Plan(total=total, began=now, ends=ends, first=part)


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


class NamedRow(NamedTuple):
    """A row of NAMED."""

    number: int
    state: str
    body_is: BodyIs
    event_id: str
    destination: str
    cause: str
    route: str
    source: str
    type: str


def named(connection: apsw.Connection, which: DeliveryQuery) -> list[NamedRow]:
    """Matching deliveries among those named by ids of events and deliveries. Raises KeyError for an unknown id."""
    ids = to_json(which.ids)
    missing = connection.execute(sql.NOT_THERE, (ids,)).get
    if missing is not None:
        raise KeyError(missing)
    rows = (NamedRow(*row) for row in connection.execute(sql.NAMED, (ids,)))
    return [row for row in rows if _matches(row, which)]


def _matches(row: NamedRow, which: DeliveryQuery) -> bool:
    is_event = which.source in ("", row.source) and (not which.type or fits(which.type, row.type))
    return is_event and selects(which, row)
