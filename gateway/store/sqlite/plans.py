"""What a replay or a discard does next, as whoever looks into the file sees it: a search that is kept off the writer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec

from gateway.store.nouns import DeliveryQuery, Task
from gateway.store.rules import SLICE, movable, states_taken
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.rows import to_json
from gateway.store.sqlite.search import Searcher, fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a task does next."""

    #: Numbers of deliveries.
    seqs: Sequence[int]
    #: Of the last event that it takes.
    position: int
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a task begins."""

    total: int
    #: By the store's clock: what changes later is not its concern.
    began: float
    #: The last event that it may concern.
    ends: int
    first: Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A task that goes on."""

    seq: int
    verb: str
    by: str
    reason: str
    interval_s: float
    next_due: float
    as_new: bool
    slice: Slice


def begin(connection: apsw.Connection, now: float, task: Task) -> Plan:
    """What a task will do. Raises KeyError for an unknown id, BodyGone for one whose body is not kept."""
    which = task.which
    if which.ids:
        seqs = movable(task, named(connection, which))
        return Plan(total=len(seqs), began=now, ends=0, first=Slice(seqs=seqs, position=0, is_last=True))
    searcher = Searcher(connection, now)
    first, ends = searcher.bounds(which.since_s, which.until_s)
    total = searcher.count(which, states_taken(task.verb, which), may_be_empty=task.verb == "discard")
    part = _slice(searcher, task.verb, which, position=first - 1, ends=ends, began=now)
    return Plan(total=total, began=now, ends=ends, first=part)


def unfinished(connection: apsw.Connection, now: float) -> Unfinished | None:
    """The oldest task that is not finished, with what it does next."""
    row: Any = connection.execute(sql.TASK).get
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
        slice=_slice(Searcher(connection, now), verb, query, position=position, ends=ends, began=began),
    )


def _slice(searcher: Searcher, verb: str, which: DeliveryQuery, *, position: int, ends: int, began: float) -> Slice:
    """Whole events, in the order in which they came, up to SLICE deliveries or one event more."""
    about_event = searcher.about_event(which, may_be_empty=verb == "discard")
    more = (position, ends, which.route, *about_event, began, SLICE)
    found: list[tuple[int, int]] = []
    cut = ends
    for group in searcher.groups(which.destination, states_taken(verb, which), which.cause):
        rows: list[Any] = searcher.connection.execute(sql.TASK_SLICE, (*group[:3], *more)).fetchall()
        if len(rows) == SLICE:
            # Behind its last event it may have more.
            cut = min(cut, _whole(rows))
        found += rows
    taken = sorted(row for row in found if row[0] <= cut)
    if len(taken) > SLICE:
        cut = min(cut, _whole(taken[:SLICE]))
        taken = [row for row in taken if row[0] <= cut]
    return Slice(seqs=[seq for _, seq in taken], position=cut, is_last=cut >= ends)


def named(connection: apsw.Connection, which: DeliveryQuery) -> list[Any]:
    """The rows of NAMED for the ids of events and deliveries. Raises KeyError for one that there is not."""
    ids = to_json(which.ids)
    missing = connection.execute(sql.NOT_THERE, (ids,)).get
    if missing is not None:
        raise KeyError(missing)
    return [row for row in connection.execute(sql.NAMED, (ids,)) if _is_named(row, which)]


def _is_named(row: Any, which: DeliveryQuery) -> bool:
    _, _, state, _, _, destination, cause, route, source, type_ = row
    return (
        which.state in (None, state)
        and which.destination in ("", destination)
        and which.cause in (None, cause)
        and which.route in ("", route)
        and which.source in ("", source)
        and (not which.type or fits(which.type, type_))
    )


def _whole(rows: Sequence[tuple[int, int]]) -> int:
    """The last event of which these rows surely have everything; all of them when they are of one."""
    last = rows[-1][0]
    before = [event for event, _ in rows if event < last]
    return before[-1] if before else last
