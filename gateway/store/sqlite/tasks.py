"""Replays and discards as the owner's thread carries them out: slice by slice, each in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import apsw

from gateway.errors import KeyReused
from gateway.model import new_id
from gateway.store import rules
from gateway.store.activities import Activity, Task
from gateway.store.nouns import NewDelivery
from gateway.store.rules import TASK_LEASE_S, discard_reason, paced, stop_reason
from gateway.store.sqlite import gathering, memory
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.plans import Plan, Unfinished
from gateway.store.sqlite.rows import storable, to_json


class Owner(Protocol):
    """What a task needs of the database."""

    @property
    def db(self) -> apsw.Connection: ...

    def next_delivery(self) -> int:
        """A number that no delivery has."""

    def add_deliveries(self, rows: Sequence[tuple[Any, ...]]) -> None: ...

    def fall_in(self, seqs: Sequence[int]) -> None:
        """Put deliveries that are pending again at the end of their lanes."""

    def let_next_go(self, change: Change) -> None: ...

    def leased(self) -> Sequence[int]:
        """Numbers of deliveries that are being attempted."""

    def end_leases(self, seqs: Collection[int], change: Change) -> None: ...


def note(owner: Owner, activity: Activity) -> None:
    """Remember what somebody did."""
    texts = map(storable, (activity.by, activity.verb, activity.subject, activity.reason))
    owner.db.execute(sql.ADD_ACTIVITY, (activity.id, activity.at, *texts, *[None] * 11, "")).fetchall()
    owner.db.execute(sql.FORGET_ACTIVITIES, (rules.ACTIVITIES_KEPT,))


def begin(owner: Owner, task: Task, plan: Plan, now_s: float, change: Change) -> str:
    """Do the first slice and store the task; its id, or that of the task with the same key. ``now_s``: wall clock.

    Empty: another replay has begun since it was planned, so it has to be planned again.
    """
    if known := same(owner.db, task.key, task.asked):
        return known
    if task.verb != "discard" and any(
        id_ not in plan.beside for id_, *_ in owner.db.execute(sql.UNFINISHED).fetchall()
    ):
        return ""
    id_ = new_id("act", now_s)
    seq = owner.db.execute(sql.ADD_ACTIVITY, (id_, now_s, *_row(task, plan, change.now))).get
    made = _make(owner, task.extra, seq, change)
    begun = Unfinished(
        seq=seq,
        verb=task.verb,
        by=task.by,
        reason=task.reason,
        interval_s=task.interval_s,
        next_due=change.now,
        as_new=task.as_new,
        position=0,
        slice=plan.first,
    )
    _do_slice(owner, begun, change, made)
    owner.db.execute(sql.FORGET_ACTIVITIES, (rules.ACTIVITIES_KEPT,))
    return id_


def same(db: apsw.Connection, key: str, wanted: str) -> str:
    """The id of the task with the same key; empty: there is none. Raises KeyReused if it was asked for something else."""
    found: Any = db.execute(sql.ACTIVITY_OF_KEY, (storable(key),)).get if key else None
    if found is None:
        return ""
    id_, asked = found
    # Older releases did not record what was asked for.
    if asked not in ("", storable(wanted)):
        raise KeyReused(rules.reused(key, id_))
    return str(id_)


def _row(task: Task, plan: Plan, now: float) -> tuple[Any, ...]:
    which = to_json(task.which)
    texts = (*map(storable, (task.by, task.verb, task.subject, task.reason)), storable(task.key) or None)
    total = plan.total + len(task.extra)
    return (
        *texts,
        which,
        total,
        0,
        plan.began,
        0,
        plan.ends,
        task.interval_s,
        now,
        int(task.as_new),
        0,
        storable(task.asked),
    )


def go_on(owner: Owner, task: Unfinished, replica: str, change: Change) -> None:
    """Do the next slice, unless the task was stopped, continued or taken by another replica since it was planned."""
    lease = (task.seq, task.position, replica, change.now, change.now + TASK_LEASE_S)
    if owner.db.execute(sql.TAKE_TASK, lease).get is not None:
        _do_slice(owner, task, change, 0)


def _do_slice(owner: Owner, task: Unfinished, change: Change, made: int) -> None:
    start = max(task.next_due, change.now)
    dues = paced(task.slice.deliveries, start, task.interval_s)
    if task.verb == "discard":
        moved = _discard(owner, task, change)
    elif task.as_new:
        moved = _copy(owner, task, dues, change)
    else:
        moved = _replay(owner, task, dues, change)
    next_due = start + len(dues) * task.interval_s
    values = (moved + made, task.slice.position, next_due, int(task.slice.is_last), task.seq)
    owner.db.execute(sql.TASK_WENT_ON, values)


def _replay(owner: Owner, task: Unfinished, dues: Mapping[int, float], change: Change) -> int:
    replayed: list[Any] = owner.db.execute(sql.REPLAY, (to_json(dues), change.now, task.seq)).fetchall()
    owner.fall_in([seq for seq, _, _ in replayed])
    # However it ended before, it waits anew for what it recalls.
    owner.db.executemany(memory.WAIT_NO_MORE, [(seq,) for seq, _, _ in replayed])
    for _, destination, due in replayed:
        change.lower(destination, due)
    return len(replayed) + gathering.replay(owner.db, [seq for seq, _, _ in replayed], task.seq, change)


def _copy(owner: Owner, task: Unfinished, dues: Mapping[int, float], change: Change) -> int:
    found: list[Any] = owner.db.execute(sql.TO_COPY, (to_json(list(dues)),)).fetchall()
    rows = {seq: _new_row(owner, what, dues[seq], change) for seq, *what in found}
    added = _add(owner, list(rows.values()), task.seq)
    gathering.copied(owner.db, rows)
    return added


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
    id_ = id_ or new_id("dlv", change.wall)
    change.lower(destination, due)
    return (seq, id_, event_seq, route, destination, "pending", due, change.now, lane, seq)


def _add(owner: Owner, rows: Sequence[tuple[Any, ...]], task_seq: int) -> int:
    seqs = [row[0] for row in rows]
    owner.add_deliveries(rows)
    owner.db.execute(sql.OF_TASK, (task_seq, to_json(seqs)))
    owner.fall_in(seqs)
    return len(rows)


def _discard(owner: Owner, task: Unfinished, change: Change) -> int:
    reason = storable(discard_reason(task.by, task.reason))
    given = (to_json(task.slice.deliveries), change.now, reason, task.seq)
    discarded: list[Any] = owner.db.execute(sql.DISCARD, given).fetchall()
    owner.end_leases({seq for seq, _, _ in discarded}, change)
    gathering.leave(owner.db, [seq for seq, _, _ in discarded], change)
    _free(owner, [(destination, lane) for _, destination, lane in discarded], change)
    return len(discarded)


def stop(owner: Owner, activity_id: str, by: str, change: Change) -> None:
    """End a task; deliveries still waiting for their first attempt return to their state before. KeyError: no such task."""
    seq = owner.db.execute(sql.STOP_TASK, (storable(by), activity_id)).get
    if seq is None:
        if owner.db.execute(sql.TASK_ID, (activity_id,)).get is None:
            raise KeyError(activity_id)
        return
    leased = to_json(owner.leased())
    freed: list[Any] = owner.db.execute(sql.TAKE_BACK, (seq, change.now, leased)).fetchall()
    dropped = (seq, change.now, leased, storable(stop_reason(by)))
    freed += owner.db.execute(sql.DROP_COPIES, dropped).fetchall()
    _free(owner, freed, change)


def _free(owner: Owner, ended: Iterable[tuple[str, str | None]], change: Change) -> None:
    change.freed.update((destination, lane) for destination, lane in ended if lane is not None)
    if change.freed:
        owner.let_next_go(change)
