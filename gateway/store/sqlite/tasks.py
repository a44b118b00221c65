"""Replays and discards, as the owner's thread carries them out: slice by slice, each in one transaction."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import apsw

from gateway.model import new_id
from gateway.store.nouns import Activity, NewDelivery, Task
from gateway.store.rules import ACTIVITIES
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.plans import Plan, Unfinished
from gateway.store.sqlite.rows import storable, to_json


class Owner(Protocol):
    """What a task needs of the database."""

    @property
    def db(self) -> apsw.Connection: ...

    def next_delivery(self) -> int:
        """A number that no delivery has had."""

    def add_deliveries(self, rows: Sequence[tuple[Any, ...]]) -> None: ...

    def fall_in(self, seqs: Sequence[int]) -> None:
        """Put deliveries that are pending again at the ends of their lanes."""

    def let_next_go(self, change: Change) -> None: ...

    def leased(self) -> Sequence[int]:
        """Numbers of the deliveries that are on their way."""

    def end_leases(self, seqs: Collection[int], change: Change) -> None: ...


def note(owner: Owner, activity: Activity) -> None:
    """Keep what somebody did."""
    said = map(storable, (activity.by, activity.verb, activity.subject, activity.reason))
    owner.db.execute(sql.ADD_ACTIVITY, (activity.id, activity.at, *said, *[None] * 11)).fetchall()
    owner.db.execute(sql.FORGET_ACTIVITIES, (ACTIVITIES,))


def begin(owner: Owner, task: Task, plan: Plan, now_s: float, change: Change) -> str:
    """Do the first slice and remember the rest; the activity's id, of the first one with its key. ``now_s``: wall clock."""
    known = owner.db.execute(sql.ACTIVITY_OF_KEY, (task.key,)).get if task.key else None
    if known is not None:
        return str(known)
    id_ = new_id("act", now_s)
    seq = owner.db.execute(sql.ADD_ACTIVITY, (id_, now_s, *_row(task, plan, change.now))).get
    made = _make(owner, task.extra, seq, change)
    unfinished = Unfinished(
        seq=seq,
        verb=task.verb,
        by=task.by,
        reason=task.reason,
        interval_s=task.interval_s,
        next_due=change.now,
        as_new=task.as_new,
        slice=plan.first,
    )
    _go_on(owner, unfinished, change, made)
    owner.db.execute(sql.FORGET_ACTIVITIES, (ACTIVITIES,))
    return id_


def _row(task: Task, plan: Plan, now: float) -> tuple[Any, ...]:
    which = to_json(task.which)
    said = (*map(storable, (task.by, task.verb, task.subject, task.reason)), storable(task.key) or None)
    total = plan.total + len(task.extra)
    return (*said, which, total, 0, plan.began, 0, plan.ends, task.interval_s, now, int(task.as_new), 0)


def go_on(owner: Owner, unfinished: Unfinished, change: Change) -> None:
    """Do the next slice, unless it was stopped meanwhile."""
    if owner.db.execute(sql.TASK_IS_ON, (unfinished.seq,)).get == 0:
        _go_on(owner, unfinished, change, 0)


def _go_on(owner: Owner, task: Unfinished, change: Change, made: int) -> None:
    due = max(task.next_due, change.now)
    dues = {seq: due + at * task.interval_s for at, seq in enumerate(task.slice.seqs)}
    if task.verb == "discard":
        moved = _discard(owner, task, change)
    elif task.as_new:
        moved = _copy(owner, task, dues, change)
    else:
        moved = _replay(owner, task, dues, change)
    next_due = due + len(dues) * task.interval_s
    values = (moved + made, task.slice.position, next_due, int(task.slice.is_last), task.seq)
    owner.db.execute(sql.TASK_WENT_ON, values)


def _replay(owner: Owner, task: Unfinished, dues: dict[int, float], change: Change) -> int:
    replayed: list[Any] = owner.db.execute(sql.REPLAY, (to_json(dues), change.now, task.seq)).fetchall()
    owner.fall_in([seq for seq, _, _ in replayed])
    for _, destination, due in replayed:
        change.lower(destination, due)
    return len(replayed)


def _copy(owner: Owner, task: Unfinished, dues: dict[int, float], change: Change) -> int:
    found: list[Any] = owner.db.execute(sql.TO_COPY, (to_json(list(dues)),)).fetchall()
    return _add(owner, [_new_row(owner, what, dues[seq], change) for seq, *what in found], task.seq)


def _make(owner: Owner, extra: Iterable[tuple[str, NewDelivery]], task_seq: int, change: Change) -> int:
    rows = []
    for event_id, new in extra:
        event_seq = owner.db.execute(sql.EVENT_SEQ, (event_id,)).get
        if event_seq is not None:
            what = (event_seq, new.route, new.destination, new.lane and storable(new.lane))
            rows.append(_new_row(owner, what, change.now, change, id_=new.id))
    return _add(owner, rows, task_seq)


def _new_row(owner: Owner, what: Sequence[Any], due: float, change: Change, id_: str = "") -> tuple[Any, ...]:
    event_seq, route, destination, lane = what
    seq = owner.next_delivery()
    change.lower(destination, due)
    return (
        seq,
        id_ or new_id("dlv", change.wall),
        event_seq,
        route,
        destination,
        "pending",
        due,
        change.now,
        lane,
        seq,
    )


def _add(owner: Owner, rows: Sequence[tuple[Any, ...]], task_seq: int) -> int:
    seqs = [row[0] for row in rows]
    owner.add_deliveries(rows)
    owner.db.execute(sql.OF_TASK, (task_seq, to_json(seqs)))
    owner.fall_in(seqs)
    return len(rows)


def _discard(owner: Owner, task: Unfinished, change: Change) -> int:
    reason = storable(f"discarded by {task.by}{task.reason and f': {task.reason}'}")
    given = (to_json(task.slice.seqs), change.now, reason, task.seq)
    discarded: list[Any] = owner.db.execute(sql.DISCARD, given).fetchall()
    owner.end_leases({seq for seq, _, _ in discarded}, change)
    _free(owner, [(destination, lane) for _, destination, lane in discarded], change)
    return len(discarded)


def stop(owner: Owner, activity_id: str, by: str, change: Change) -> None:
    """End a task; what waits for its first attempt since is again what it was. KeyError: there is no such task."""
    seq = owner.db.execute(sql.STOP_TASK, (storable(by), activity_id)).get
    if seq is None:
        if owner.db.execute(sql.TASK_ID, (activity_id,)).get is None:
            raise KeyError(activity_id)
        return
    leased = to_json(owner.leased())
    freed: list[Any] = owner.db.execute(sql.TAKE_BACK, (seq, change.now, leased)).fetchall()
    reason = storable(f"its replay was stopped by {by}")
    freed += owner.db.execute(sql.DROP_COPIES, (seq, change.now, leased, reason)).fetchall()
    _free(owner, freed, change)


def _free(owner: Owner, ended: Iterable[tuple[str, str | None]], change: Change) -> None:
    change.freed.update((destination, lane) for destination, lane in ended if lane is not None)
    if change.freed:
        owner.let_next_go(change)
