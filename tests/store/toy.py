"""A store in memory that several instances share, as several processes share a database server.

It proves that the contract needs neither SQLite nor one process, and is for the conformance suite alone: tests of
everything else use the real store. Whatever every store decides alike comes from ``store/rules.py``. What it leaves
out: lists of events and of activities, numbers, retention, erasures, looking for damage, copies.
"""

import asyncio
import itertools
import math
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.errors import KeyReused, Overlaps, StoreError, StoreUnavailable
from gateway.event.patterns import fits
from gateway.model import Delivery, DeliveryState, Release, Retry, Waits, new_id
from gateway.store import nouns, queries, rules, tracking
from gateway.store.activities import Activity, Task
from gateway.store.awaiting import MOST_OPEN
from gateway.store.holds import Assigned, Assignment
from gateway.store.memory import Known, Recalled
from tests.store.members import Members, Secrets, Waiting

#: A replica decides for a destination this long before it must ask again, seconds.
ASSIGNED_S = 30.0


@dataclass(slots=True, kw_only=True)
class Row:
    """A delivery on the server."""

    delivery: Delivery
    #: When it is or was due; None: it waits for the one ahead of it in its lane, or is not pending.
    due: float | None
    #: Its place in its lane.
    turn: int
    lease: nouns.Lease | None = None
    leased_until: float = 0.0
    #: It is not due before, even if it is the first one of its lane.
    not_before: float = 0.0
    #: The id of the delivery that sends its digest; and while others can join or supersede it, its key.
    head: str = ""
    open: tuple[str, ...] | None = None
    began: float = 0.0
    size: int = 0

    @property
    def is_pending(self) -> bool:
        return self.delivery.state is DeliveryState.PENDING

    @property
    def is_untried(self) -> bool:
        return self.delivery.attempts == self.delivery.attempts_before_replay

    def free_from(self) -> float:
        """When it can be claimed; infinity: not as it is."""
        if not self.is_pending or self.due is None:
            return math.inf
        return max(self.due, self.leased_until) if self.lease else self.due


@dataclass(slots=True, kw_only=True)
class Deed:
    """A task and how far it has come."""

    activity: Activity
    task: Task
    #: (event, delivery) as numbers: what it selected, in the order of acceptance.
    selected: list[tuple[int, int]]
    #: The last event whose deliveries were moved.
    position: int = 0
    moved: int = 0
    next_due: float = 0.0
    owner: str = ""
    leased_until: float = 0.0
    is_finished: bool = False
    stopped_by: str = ""


@dataclass(slots=True)
class Server:
    """The state that the instances share."""

    clock: object
    #: By id, in the order of acceptance, with their deliveries.
    kept: dict[str, nouns.NewEvent] = field(default_factory=dict)
    stored_at: dict[str, float] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    attempts: dict[str, list] = field(default_factory=dict)
    #: By (source, key): the first event, and when the key expires.
    keys: dict[tuple[str, bytes], tuple[str, float]] = field(default_factory=dict)
    #: By (entry, key): the event it fired for, when, and until when that counts.
    fired: dict[tuple[str, str], tuple[str, float, float]] = field(default_factory=dict)
    #: By (source, rule, key): the event, since when, and when it is due.
    awaited: dict[tuple[str, str, str], tuple[str, float, float | None]] = field(default_factory=dict)
    held_back: dict[str, list[nouns.HeldBack]] = field(default_factory=dict)
    #: By (source, key): the last event, what it did, and until when that is remembered.
    tracked: dict[tuple[str, str], tuple[str, bytes, float]] = field(default_factory=dict)
    #: By (route, destination, dead destination): the delivery that notifies, and when it is due.
    notices: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict)
    #: By destination: the hold, and when it was stored.
    kept_holds: dict[str, tuple[object, float]] = field(default_factory=dict)
    #: By (name, key): what is remembered, and until when.
    known: dict[tuple[str, str], tuple[Known, float]] = field(default_factory=dict)
    #: By delivery: since when it waits, until when, and for what.
    waits: dict[str, tuple[float, float, tuple]] = field(default_factory=dict)
    kept_logins: dict[str, tuple[object, float]] = field(default_factory=dict)
    deeds: dict[str, Deed] = field(default_factory=dict)
    #: By destination: who decides for it, until when, under which epoch.
    deciders: dict[str, tuple[str, float, int]] = field(default_factory=dict)
    instances: list["ToyStore"] = field(default_factory=list)
    numbers: object = field(default_factory=lambda: itertools.count(1))
    members: Members | None = None

    def __post_init__(self) -> None:
        self.members = Members(self.clock)

    def now(self) -> float:
        return self.clock.monotonic()

    def seen(self, row: Row) -> Delivery:
        """A delivery as it crosses the seam: times are seconds from now."""
        is_due = row.is_pending and row.due is not None
        count = len(self.digest(row.head)) if row.head == row.delivery.id else 0
        due_in_s = row.due - self.now() if is_due else None
        return replace(row.delivery, due_in_s=due_in_s, digest=row.head, gathered=count)

    def digest(self, head: str) -> list[Row]:
        """The rows of a digest, in the order of acceptance."""
        return [row for row in self.rows.values() if head and row.head == head]

    def free(self, destination: str) -> list[Row]:
        """What can be claimed now, the one overdue the longest first."""
        rows = [row for row in self.rows.values() if row.delivery.destination == destination]
        return sorted((row for row in rows if row.free_from() <= self.now()), key=lambda row: (row.due, row.turn))

    def busy_lanes(self) -> set[tuple[str, str]]:
        pending = [row.delivery for row in self.rows.values() if row.is_pending]
        return {(each.destination, each.lane) for each in pending if each.lane is not None}

    def came_up(self, *destinations: str) -> None:
        """Something can be claimed, of these now: tell every instance."""
        for instance in self.instances:
            instance.told(*destinations)

    # append

    def append(self, news: list[nouns.NewEvent], replica: str) -> list[nouns.Appended]:
        keys = self.keys
        owners = self._owners(news)
        last = {key: event_id for key, (event_id, _, expires) in self.tracked.items() if expires > self.now()}
        decided = tracking.decide([news], owners, last)
        if decided.stale:
            self.keys = keys
            return [nouns.Appended(new.event.id, False, stale=True) for new in news]
        for key, new in decided.written.items():
            self.tracked[key] = (new.event.id, new.event.track, self.now() + new.record.keeps_s)
        pairs = zip(news, owners, strict=True)
        return [nouns.Appended(owner, True) if owner else self._event(new, replica) for new, owner in pairs]

    def _owners(self, news: list[nouns.NewEvent]) -> list[str | None]:
        """Of each event the one whose key it repeats. Nothing is stored yet: it is all or nothing."""
        now, keys, owners = self.now(), dict(self.keys), []
        for new in news:
            first, expires = keys.get((new.event.source, new.key), ("", 0.0))
            owners.append(first if expires > now else None)
            if expires <= now:
                if new.event.id in self.kept:
                    raise StoreError(f"there is an event {new.event.id} already")
                keys[new.event.source, new.key] = (new.event.id, now + new.window_s)
        self.keys = keys
        return owners

    def _follow_up(self, new: nouns.NewEvent) -> None:
        source, now = new.event.source, self.now()
        for name, key in new.meets:
            self.awaited.pop((source, name, key), None)
        for each in new.awaits:
            if sum(names[0] == source for names in self.awaited) < MOST_OPEN:
                self.awaited.setdefault((source, each.name, each.key), (new.event.id, now, now + each.within_s))

    def _event(self, new: nouns.NewEvent, replica: str) -> nouns.Appended:
        self.kept[new.event.id], self.stored_at[new.event.id] = new, self.now()
        held_back = self._held_back(new)
        self._follow_up(new)
        leases, busy = [], self.busy_lanes()
        for each in new.deliveries:
            if each.route in held_back:
                continue
            if each.gather is not None:
                self._gather(each, new)
                continue
            admission = rules.admitted(each, each.lane, busy, others_due=bool(self.free(each.destination)))
            row = self._add(_delivery(each, new.event.id))
            busy |= {(each.destination, each.lane)} if each.lane is not None else set()
            row.not_before = self.now() + each.wait_s
            if admission == "behind":
                row.due = None
            elif admission == "later":
                row.due = row.not_before
            elif admission == "due":
                self.came_up(each.destination)
            else:
                leases.append(self._lease(row, replica, each.lease_s))
        return nouns.Appended(new.event.id, False, tuple(leases), held_back)

    def _gather(self, new: nouns.NewDelivery, event: nouns.NewEvent) -> None:
        gather, now, size = new.gather, self.now(), len(event.event.body)
        key = (gather.what, new.route, new.destination, gather.key)
        known = next((row for row in self.rows.values() if row.open == key), None)
        row = self._add(_delivery(new, event.event.id), now + new.wait_s)
        row.began, row.size, row.not_before = now, size, row.due
        if gather.what == "debounce":
            if known is not None:
                known.open = None
            if known is not None and known.is_pending and (known.lease is None or known.leased_until <= now):
                row.began = known.began
                self._end(known, state=DeliveryState.DISCARDED, reason=rules.superseded(new.id))
            row.due = rules.debounced_due(gather, now=now, began=row.began, quiet_s=new.wait_s)
            row.open = key
        elif known is not None and rules.joins(gather, **self._gathered_in(known.head), more=size):
            row.head, row.due = known.head, None
            if len(self.digest(known.head)) >= gather.most:
                self._close(known, is_sent=gather.is_sent_full)
        else:
            if known is not None:
                self._close(known, is_sent=gather.is_sent_full)
            row.head, row.open = new.id, key if gather.most > 1 else None
        self.came_up()

    def _gathered_in(self, head: str) -> dict[str, int]:
        rows = self.digest(head)
        return {"count": len(rows), "size": sum(row.size for row in rows)}

    def _close(self, head: Row, *, is_sent: bool) -> None:
        head.open = None
        if is_sent and head.is_pending and head.is_untried:
            head.due = min(head.due, self.now())

    def gathered(self, delivery_id: str) -> list[str]:
        rows = self.digest(delivery_id)
        for row in rows:
            row.open = None
        return [row.delivery.event_id for row in rows if row.is_pending]

    def _leave(self, row: Row) -> None:
        """It is not sent with others any more; if it was the head of a digest, the next one is."""
        head, row.head = row.head, ""
        left = self.digest(head)
        if left and row.delivery.id == head:
            first = left[0]
            for each in left:
                each.head = first.delivery.id
            first.open, first.began, first.due = row.open, row.began, row.not_before if first.is_pending else None
        row.open = None

    def _held_back(self, new: nouns.NewEvent) -> frozenset[str]:
        late, now = set(), self.now()
        for firing in new.firings:
            event_id, at, expires = self.fired.get((firing.name, firing.key), ("", 0.0, None))
            if rules.fires(expires, now):
                self.fired[firing.name, firing.key] = (new.event.id, now, now + firing.window_s)
            else:
                late |= firing.routes
                seen = nouns.HeldBack(name=firing.name, key=firing.key, event_id=event_id, fired_at=at)
                self.held_back.setdefault(new.event.id, []).append(seen)
        return frozenset(late)

    def _add(self, delivery: Delivery, due: float | None = None) -> Row:
        row = Row(delivery=delivery, due=self.now() if due is None else due, turn=next(self.numbers))
        self.rows[delivery.id] = row
        return row

    def _next(self, destination: str, want: nouns.Want) -> list[Row]:
        ranks = dict.fromkeys(want.last, 1) | dict.fromkeys(want.last[-1:], 2)
        return sorted(self.free(destination), key=lambda row: ranks.get(row.delivery.event_id, 0))[: want.slots]

    def _lease(self, row: Row, owner: str, lease_s: float) -> nouns.Lease:
        row.leased_until = self.now() + lease_s
        row.lease = nouns.Lease(self.seen(row), owner, next(self.numbers), lease_s)
        return row.lease

    # claim and settle

    def claim(self, replica: str, wants) -> list[nouns.Lease]:
        claimed = [row for destination, want in wants.items() for row in self._next(destination, want)]
        claimed.sort(key=lambda row: (row.due, row.turn))
        return [self._lease(row, replica, wants[row.delivery.destination].lease_s) for row in claimed]

    def settle(self, outcomes: list[nouns.Outcome]) -> frozenset[str]:
        return frozenset(outcome.lease.delivery.id for outcome in outcomes if self._settled(outcome))

    def _settled(self, outcome: nouns.Outcome) -> bool:
        row = self.rows.get(outcome.lease.delivery.id)
        if row is None or row.lease is None or row.lease.token != outcome.lease.token:
            return False
        row.lease = None
        if isinstance(outcome.result, Release):
            self.came_up(row.delivery.destination)
            return True
        moved = rules.settled(row.delivery, outcome)._asdict()
        row.delivery = replace(row.delivery, **{name: _storable(value) for name, value in moved.items()})
        if outcome.attempt is not None:
            self.attempts.setdefault(row.delivery.id, []).append(outcome.attempt)
        if isinstance(outcome.result, Retry | Waits):
            row.due = self.now() + outcome.result.after_s
        else:
            row.due = None
            self._let_next_go(row.delivery)
            for each in self.digest(row.delivery.id):
                each.open, each.due = None, None
                taken = {"state": row.delivery.state, "reason": row.delivery.reason, "cause": row.delivery.cause}
                each.delivery = replace(each.delivery, **taken) if each.is_pending else each.delivery
        if outcome.told is not None:
            self._notify(row.delivery, outcome.told)
        if outcome.learnt is not None:
            self._learn(row, outcome)
        self.came_up()
        return True

    def _learn(self, row: Row, outcome: nouns.Outcome) -> None:
        now, learnt, id_ = self.now(), outcome.learnt, row.delivery.id
        if kept := learnt.remembered:
            known = Known(values=kept.values, event_id=row.delivery.event_id, remembered_at=now)
            self.known[kept.subject] = known, now + kept.for_s
            for other, (_, until, subjects) in self.waits.items():
                if kept.subject in subjects and self.rows[other].due == until:
                    self.rows[other].due = now
                    self.came_up(self.rows[other].delivery.destination)
        if isinstance(outcome.result, Waits):
            since = self.waits.get(id_, (now,))[0]
            self.waits[id_] = since, row.due, learnt.waits_for
            if self.recall(id_, learnt.waits_for).known:
                row.due = now
        elif learnt.has_waited and outcome.is_end:
            self.waits.pop(id_, None)

    def recall(self, delivery_id: str, subjects) -> Recalled:
        now = self.now()
        found = {subject: self.known.get(subject, (None, 0.0)) for subject in subjects}
        known = {subject: each for subject, (each, until) in found.items() if until > now}
        since = self.waits.get(delivery_id, (None,))[0]
        return Recalled(known=known, waited_s=None if since is None else now - since)

    def _let_next_go(self, ended: Delivery) -> None:
        first = min(self._lane_of(ended), key=lambda row: row.turn, default=None)
        if first is not None and first.due is None:
            first.due = max(self.now(), first.not_before)
            self.came_up(ended.destination)

    def _lane_of(self, delivery: Delivery) -> list[Row]:
        """The rows pending in a delivery's lane; none if it has no lane."""
        lane = (delivery.destination, delivery.lane)
        pending = [row for row in self.rows.values() if row.is_pending and row.delivery.lane is not None]
        return [row for row in pending if (row.delivery.destination, row.delivery.lane) == lane]

    def _notify(self, dead: Delivery, told) -> None:
        for route, destination in told.routes:
            teller = (route, destination, told.notice.destination)
            id_, last_due = self.notices.get(teller, ("", None))
            due = rules.next_notice(last_due, self.now())
            if due is None:
                row = self.rows[id_]
                notice = replace(row.delivery.notice, count=row.delivery.notice.count + 1)
                row.delivery = replace(row.delivery, notice=notice)
                continue
            id_ = new_id("dlv", self.clock.wall())
            notice = Delivery(id=id_, event_id=dead.event_id, route=route, destination=destination, notice=told.notice)
            self._add(notice, due)
            self.notices[teller] = (id_, due)
            self.came_up(destination)

    # tasks

    def _selected(self, which: queries.DeliveryQuery) -> list[tuple[int, int, Delivery]]:
        """The deliveries that a query selects, each with the numbers of its event and of itself."""
        unknown = [id_ for id_ in which.ids if id_ not in self.kept and id_ not in self.rows]
        if unknown:
            raise KeyError(unknown[0])
        events = {id_: at for at, id_ in enumerate(self.kept, 1)}
        rows = [(events[row.delivery.event_id], at, row.delivery) for at, row in enumerate(self.rows.values())]
        return sorted((row for row in rows if self._is_selected(row[2], which)), key=lambda row: row[:2])

    def _is_selected(self, delivery: Delivery, which: queries.DeliveryQuery) -> bool:
        event, age_s = self.kept[delivery.event_id].event, self.now() - self.stored_at[delivery.event_id]
        return (
            rules.selects(which, delivery)
            and (not which.ids or bool({delivery.id, event.id} & {*which.ids}))
            and which.source in ("", event.source)
            and (not which.type or fits(which.type, event.type))
            and (which.since_s is None or age_s <= which.since_s)
            and (which.until_s is None or age_s > which.until_s)
        )

    def begin(self, task: Task) -> Activity:
        for deed in self.deeds.values():
            if task.key and deed.task.key == task.key:
                if deed.task.asked != task.asked:
                    raise KeyReused(rules.reused(task.key, deed.activity.id))
                return self.activity(deed.activity.id)
        named = self._selected(task.which)
        if task.which.ids:
            may = rules.movable(task.verb, [rules.Named(at, one.state, one.event_id, "kept") for _, at, one in named])
            selected = [row[:2] for row in named if row[1] in may]
        else:
            taken = rules.states_taken(task.verb, task.which)
            selected = [row[:2] for row in named if row[2].state in taken]
        for deed in self.deeds.values():
            ahead = {row for row in deed.selected if row[0] > deed.position and not deed.is_finished}
            if "discard" not in (task.verb, deed.task.verb) and ahead & {*selected}:
                raise Overlaps(rules.overlap(task.verb, deed.activity.id))
        id_, wall = new_id("act", self.clock.wall()), self.clock.wall()
        done = Activity(id=id_, at=wall, by=task.by, verb=task.verb, subject=task.subject, reason=task.reason)
        deed = self.deeds[id_] = Deed(activity=done, task=task, selected=selected)
        for event_id, new in task.extra:
            if event_id in self.kept:
                self._again(deed, self._add(_delivery(new, event_id)), self.now())
        self._slice(deed)
        return self.activity(id_)

    def go_on(self, replica: str) -> bool:
        now = self.now()
        for deed in self.deeds.values():
            is_free = deed.owner in ("", replica) or deed.leased_until <= now
            if not deed.is_finished and is_free:
                deed.owner, deed.leased_until = replica, now + rules.TASK_LEASE_S
                self._slice(deed)
                return True
        return False

    def _slice(self, deed: Deed) -> None:
        left = [row for row in deed.selected if row[0] > deed.position]
        # What is named by its id is few.
        size = len(left) + 1 if deed.task.which.ids else rules.SLICE
        ends = left[-1][0] if left else 0
        part, rows = rules.next_slice([left[:size]], ends=ends, size=size), list(self.rows.values())
        start, heads = max(deed.next_due, self.now()), {}
        for number, due in rules.paced(part.deliveries, start, deed.task.interval_s).items():
            self._move(deed, rows[number], due, heads)
        deed.next_due = start + len(part.deliveries) * deed.task.interval_s
        deed.position, deed.is_finished = part.position, part.is_last

    def _move(self, deed: Deed, row: Row, due: float, heads: dict[str, str]) -> None:
        task, before = deed.task, row.delivery
        if task.verb == "discard":
            if before.state in rules.MAY_BE_DISCARDED:
                deed.moved += 1
                reason = rules.discard_reason(task.by, task.reason)
                self._leave(row)
                self._end(row, state=DeliveryState.DISCARDED, reason=reason, cause="", replayed_by=deed.activity.id)
        elif not task.as_new:
            if before.state in rules.MAY_BE_REPLAYED:
                for each in self.digest(row.head) or [row]:
                    self._again(deed, each, due)
                    each.due = each.due if each.head in ("", each.delivery.id) else None
        elif before.notice is None:
            new = replace(before, id=new_id("dlv", self.clock.wall()))
            copy = self._add(_delivery(new, before.event_id))
            self._again(deed, copy, due)
            if row.head:
                copy.size, copy.head = row.size, heads.setdefault(row.head, new.id)
                copy.due = due if copy.head == new.id else None

    def _again(self, deed: Deed, row: Row, due: float) -> None:
        """Make a delivery pending for a task, at the end of its lane."""
        deed.moved += 1
        before, is_behind = row.delivery, any(each is not row for each in self._lane_of(row.delivery))
        fresh = {"spent_s": 0.0, "crashes": 0, "cause": "", "attempts_before_replay": before.attempts}
        row.delivery = replace(before, state=DeliveryState.PENDING, replayed_by=deed.activity.id, **fresh)
        self.waits.pop(before.id, None)
        row.turn, row.due = next(self.numbers), None if is_behind else due
        self.came_up(before.destination)

    def _end(self, row: Row, **changes) -> None:
        row.delivery = replace(row.delivery, **changes)
        row.due = row.lease = None
        self._let_next_go(row.delivery)

    def stop(self, activity_id: str, *, by: str) -> Activity:
        deed = self.deeds[activity_id]
        if not deed.stopped_by:
            deed.stopped_by, deed.is_finished = by, True
            for row in self._moved(deed):
                if row.is_pending and row.lease is None and row.is_untried:
                    self._take_back(row, by)
        return self.activity(activity_id)

    def _moved(self, deed: Deed) -> list[Row]:
        return [row for row in self.rows.values() if row.delivery.replayed_by == deed.activity.id]

    def _take_back(self, row: Row, by: str) -> None:
        if not row.delivery.attempts and not row.delivery.reason and not self.attempts.get(row.head):
            self._end(row, state=DeliveryState.DISCARDED, reason=rules.stop_reason(by))
            return
        attempts = self.attempts.get(row.head or row.delivery.id)
        state = rules.state_before(attempts[-1].outcome if attempts else None)
        cause = rules.cause_of(row.delivery.reason) if state is DeliveryState.DEAD else ""
        self._end(row, state=state, cause=cause)

    def activity(self, activity_id: str) -> Activity | None:
        deed = self.deeds.get(activity_id)
        if deed is None:
            return None
        rows = [(row.delivery.state, row.is_untried and row.delivery.attempts > 0) for row in self._moved(deed)]
        standing = [rules.Standing(state, is_untried, 1) for state, is_untried in rows]
        ends = {"is_finished": deed.is_finished, "stopped_by": deed.stopped_by}
        total = len(deed.selected) + len(deed.task.extra)
        return replace(deed.activity, progress=rules.progress(total, deed.moved, standing, **ends))

    # replicas

    def assigned(self, replica: str, wanted) -> Assigned:
        """First come, first served, for a time; whoever takes over does so under another epoch."""
        now, assigned = self.now(), {}
        for name in wanted:
            owner, until, epoch = self.deciders.get(name, ("", 0.0, 0))
            if until <= now and owner != replica:
                owner, epoch = replica, epoch + 1
            if owner == replica:
                self.deciders[name] = (replica, now + ASSIGNED_S, epoch)
                assigned[name] = Assignment(until_s=ASSIGNED_S, epoch=epoch)
        return Assigned(assigned)

    def release(self, replica: str, destinations) -> None:
        for name in destinations:
            owner, _, epoch = self.deciders.get(name, ("", 0.0, 0))
            if owner == replica:
                self.deciders[name] = ("", 0.0, epoch)

    def set_hold(self, hold) -> bool:
        known, _ = self.kept_holds.get(hold.destination, (replace(hold, rev=0), 0.0))
        if known.rev != hold.rev:
            return False
        pause = hold.pause and replace(hold.pause, reason=_storable(hold.pause.reason))
        self.kept_holds[hold.destination] = (replace(hold, rev=hold.rev + 1, pause=pause), self.now())
        return True

    def holds(self) -> list:
        return [self._aged(hold, self.now() - at) for _, (hold, at) in sorted(self.kept_holds.items())]

    def _aged(self, hold, age_s: float):
        circuit = hold.circuit and replace(hold.circuit, next_probe_s=hold.circuit.next_probe_s - age_s)
        return replace(hold, circuit=circuit, wait_s=max(0.0, hold.wait_s - age_s))

    def set_login(self, login) -> bool:
        known, _ = self.kept_logins.get(login.id, (replace(login, rev=0), 0.0))
        if known.rev != login.rev:
            return False
        self.kept_logins[login.id] = (replace(login, rev=login.rev + 1), self.now())
        return True

    def logins(self) -> list:
        kept = sorted(self.kept_logins.items())
        return [replace(login, owned_s=max(0.0, login.owned_s - (self.now() - at))) for _, (login, at) in kept]

    def crashed(self, delivery_id: str) -> Delivery | None:
        row = self.rows.get(delivery_id)
        if row is None or not row.is_pending:
            return None
        row.delivery = replace(row.delivery, crashes=row.delivery.crashes + 1)
        return self.seen(row)

    def hasten(self, delivery_ids) -> int:
        count = 0
        for row in (self.rows[each] for each in delivery_ids if each in self.rows):
            waits = row.is_pending and row.lease is None and row.due is not None and row.due > self.now()
            if waits and row.delivery.attempts:
                row.due = self.now()
                self.came_up(row.delivery.destination)
                count += 1
        return count

    # as much of the read side as the suite looks at

    def records(self, source, keys):
        found = {key: self.tracked.get((source, key)) for key in keys}
        return {key: nouns.Record(*each[:2]) for key, each in found.items() if each and each[2] > self.now()}

    def load(self, event_ids):
        return {id_: self.kept[id_].event for id_ in event_ids if id_ in self.kept}

    def _deliveries_of(self, event_id: str) -> tuple[Delivery, ...]:
        return tuple(self.seen(row) for row in self.rows.values() if row.delivery.event_id == event_id)

    def event(self, event_id):
        row = self.rows.get(event_id)
        id_ = row.delivery.event_id if row else event_id
        if id_ not in self.kept:
            return None
        deliveries, held_back = self._deliveries_of(id_), tuple(self.held_back.get(id_, ()))
        attempts = {each.id: tuple(self.attempts[each.id]) for each in deliveries if each.id in self.attempts}
        more = {"deliveries": deliveries, "attempts": attempts, "held_back": held_back, "waits_for": self._waiting(id_)}
        return queries.EventHistory(event=self.kept[id_].event, intact=True, **more)

    def _waiting(self, event_id: str) -> dict:
        """What deliveries of an event wait for."""
        waits = ((each.id, self.waits[each.id]) for each in self._deliveries_of(event_id) if each.id in self.waits)
        return {id_: tuple(sorted(what)) for id_, (_, until, what) in waits if self.rows[id_].due == until}

    def deliveries(self, query: queries.DeliveryQuery):
        return queries.DeliveryPage(rows=tuple(self.seen(self.rows[each.id]) for _, _, each in self._selected(query)))


def _delivery(new, event_id: str) -> Delivery:
    return Delivery(id=new.id, event_id=event_id, route=new.route, destination=new.destination, lane=new.lane)


def _storable(value):
    return value.encode("utf-8", "replace").decode() if type(value) is str else value


class ToyStore:
    """One replica's way to the server."""

    name, healthy, trouble = "toy", True, ""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.cluster = server.members.join()
        self.secrets = Secrets(server.members)
        self.expectations = Waiting(server)
        self._loop = asyncio.get_running_loop()
        #: Destinations that came up and that no hint has named yet.
        self._fresh: set[str] = set()
        #: Everything that was free by then was named.
        self._named_to = -math.inf
        self._news = asyncio.Event()
        self._closed = False
        server.instances.append(self)

    @property
    def room(self) -> nouns.Room:
        pending = sum(row.is_pending for row in self._server.rows.values())
        return nouns.Room(pending, free_bytes=10**12, disk_bytes=10**12)

    def told(self, *destinations: str) -> None:
        self._fresh.update(destinations)
        self._news.set()

    def __getattr__(self, name):
        """Most of the contract is a question to the server; nothing happens there before the caller is sure of an answer."""
        work = getattr(self._server, name)

        async def ask(*arguments, **named):
            if self._closed:
                raise StoreUnavailable("the store is closed")
            await asyncio.sleep(0)
            return work(*arguments, **named)

        return ask

    # the contract

    def append(self, events, *, replica=""):
        events = list(events)
        return self._begin(lambda: self._server.append(events, replica), self._give_back)

    def settle(self, outcomes):
        return self._begin(lambda: self._server.settle(outcomes), lambda _held: None)

    def _begin(self, work, gone):
        begun = self._loop.create_future()
        if self._closed:
            begun.set_exception(StoreUnavailable("the store is closed"))
        else:
            self._loop.call_soon(self._carry_out, begun, work, gone)
        return begun

    def _carry_out(self, begun, work, gone) -> None:
        """``gone`` gets an answer that nobody waits for."""
        try:
            answer = work()
        except StoreError as error:
            begun.cancelled() or begun.set_exception(error)
            return
        if begun.cancelled():
            gone(answer)
        else:
            begun.set_result(answer)

    def _give_back(self, appended) -> None:
        self._server.settle([nouns.Outcome(lease, Release()) for one in appended for lease in one.leases])

    async def wake(self):
        while True:
            now, rows = self._server.now(), self._server.rows.values()
            names = {row.delivery.destination for row in rows if self._named_to < row.free_from() <= now} | self._fresh
            self._named_to, self._fresh = now, set()
            if names:
                return names
            self._news.clear()
            ahead_s = min((at - now for row in rows if (at := row.free_from()) > now), default=math.inf)
            with suppress(TimeoutError):
                async with asyncio.timeout(ahead_s if ahead_s < math.inf else None):
                    await self._news.wait()

    async def holds_changed(self):
        await asyncio.Event().wait()

    async def breathe(self):
        await asyncio.sleep(0)

    async def close(self):
        if not self._closed:
            self._closed = True
            await asyncio.sleep(0)
            self._server.instances.remove(self)
