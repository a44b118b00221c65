"""What can be asked of the file: events, deliveries, what people did. Every method takes one moment of it, and blocks."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import apsw

from gateway.errors import CorruptEvent
from gateway.event.patterns import fits
from gateway.model import Attempt, Delivery, DeliveryState, Event
from gateway.store.activities import Activity, ActivityPage, OpenErasure, Task
from gateway.store.holds import Hold
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import HeldBack, Record
from gateway.store.places import Place, activity_place
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
    Survey,
    Unredacted,
)
from gateway.store.rules import damaged, selects, unsendable
from gateway.store.searching import ALL_DELIVERIES, BODY_BYTES, EVERYTHING, SURVEYED, UNREDACTED_ROWS
from gateway.store.sqlite import attempts, forgetting, logins, memory, plans, tasks, tracked
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.plans import Plan, Unfinished
from gateway.store.sqlite.rows import activity_of, delivery_of, event_of, hold_of, to_json
from gateway.store.sqlite.search import FIRST_ROWS, MOST_ROWS, Search, Searcher
from gateway.store.sqlite.snapshots import Snapshots

#: Events whose deliveries are read at a time.
CHUNK: Final = 64


class Reader:
    """Asks the file. Usable from any thread."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    # events

    def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        """Events with their bodies, each checked against its checksum."""
        with self._snapshots.take() as (db, _):
            loaded: dict[str, Event | CorruptEvent] = {}
            for row in db.execute(sql.LOAD, (to_json(list(event_ids)),)).fetchall():
                event, intact, body_is = event_of(row)
                if body_is in ("removed", "forgotten"):
                    loaded[event.id] = CorruptEvent(unsendable(event.id, body_is))
                else:
                    loaded[event.id] = event if intact else CorruptEvent(damaged(event.id))
            return loaded

    def events(self, query: EventQuery = EVERYTHING) -> EventPage:
        """Matching events, newest first."""
        with self._snapshots.take() as (db, now):
            if query.ids:
                seqs: list[Any] = db.execute(sql.EVENTS_BY_ID, (to_json(query.ids),)).fetchall()
                return EventPage(rows=_event_rows(db, [seq for (seq,) in seqs], now))
            search = Searcher(db, now, query.effort).events(query)
            found: list[int] = []
            for seq in _of_type(db, search, query.type):
                found.append(seq)
                if len(found) > query.limit:
                    break
            rows = _event_rows(db, found[: query.limit], now)
            if len(found) > query.limit:
                return EventPage(rows=rows, next=str(search.place(found[query.limit - 1])))
            return EventPage(rows=rows, **_early_end(db, search))

    def candidates(self, query: EventQuery) -> CandidatePage:
        """Matching events with their bodies; those without an intact body are left out."""
        with self._snapshots.take() as (db, now):
            first_rows = min(max(query.limit, FIRST_ROWS), MOST_ROWS)
            search = Searcher(db, now, query.effort, first_rows).events(query)
            suffix = search.place(0).suffix
            rows: list[Candidate] = []
            left_bytes = BODY_BYTES
            for seq in search:
                search.effort.spend(BODY_EFFORT)
                event, intact, body_is = event_of(db.execute(sql.EVENT_BY_SEQ, (seq,)).get)
                if (
                    intact
                    and body_is not in ("removed", "forgotten")
                    and (not query.type or fits(query.type, event.type))
                ):
                    rows.append(Candidate(f"{seq}{suffix}", event))
                    left_bytes -= len(event.body)
                if len(rows) >= query.limit or left_bytes <= 0:
                    break
            else:
                spent = query.effort - search.effort.left
                return CandidatePage(rows=tuple(rows), spent=spent, **_early_end(db, search))
            spent = query.effort - search.effort.left
            return CandidatePage(rows=tuple(rows), spent=spent, next=str(search.continuation))

    def survey(self, after: str, until: str) -> Survey:
        """Every event between two positions, oldest first."""
        with self._snapshots.take() as (db, _):
            at = Place.read(after).at if after else 0
            ends = Place.read(until).at if until else int(db.execute(sql.LAST_EVENT).get)
            events: list[Event] = []
            size = looked_at = 0
            for seq, *row in db.execute(sql.SURVEY, (at, ends, SURVEYED)):
                at, looked_at = seq, looked_at + 1
                event, _, body_is = event_of(row)
                if body_is != "forgotten":
                    events.append(event)
                    size += len(event.body)
                if size >= BODY_BYTES:
                    break
            else:
                at = at if looked_at == SURVEYED else ends
            return Survey(events=tuple(events), to=str(Place(at)), is_last=at >= ends)

    def mentioning(self, value: str) -> Sequence[str]:
        """Where a value is in keys of entries."""
        with self._snapshots.take() as (db, _):
            return forgetting.mentioning(db, value)

    def open_erasure(self, replica: str) -> OpenErasure | None:
        """The oldest unfinished erasure that this replica may continue."""
        with self._snapshots.take() as (db, now):
            return forgetting.unfinished(db, now, replica)

    def event(self, event_id: str) -> EventHistory | None:
        """One event by its id or by the id of one of its deliveries."""
        with self._snapshots.take() as (db, now):
            seq = db.execute(sql.EVENT_SEQ, (event_id,)).get
            if seq is None:
                return None
            event, intact, body_is = event_of(db.execute(sql.EVENT_BY_SEQ, (seq,)).get)
            return EventHistory(
                position=str(Place(seq)),
                event=event,
                intact=intact,
                deliveries=_deliveries_of(db, [seq], now)[seq],
                attempts=attempts.of_event(db, seq),
                held_back=tuple(
                    HeldBack(name=name, key=key, event_id=first, fired_at=fired_at)
                    for name, key, first, fired_at in db.execute(sql.HELD_BACK, (seq,))
                ),
                body_is=body_is,
                waits_for=memory.waiting_for(db, seq),
            )

    def recall(self, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
        """What is remembered, and how long a delivery has waited for it."""
        with self._snapshots.take() as (db, now):
            return memory.recall(db, now, delivery_id, subjects)

    def memories(self) -> Mapping[str, int]:
        """How many keys are remembered, by name."""
        with self._snapshots.take() as (db, _):
            return memory.memories(db)

    def unredacted(self, after: str, limit: int) -> Unredacted:
        """Events at rest whose source redacts them, oldest first."""
        with self._snapshots.take() as (db, _):
            start = Place.read(after).at if after else 0
            seqs: list[Any] = db.execute(sql.TO_REDACT, (start, UNREDACTED_ROWS)).fetchall()
            events: dict[str, Event | CorruptEvent] = {}
            size = 0
            for seq, is_at_rest in seqs:
                if len(events) >= limit or size >= BODY_BYTES:
                    break
                start = seq
                if is_at_rest:
                    event, intact, _ = event_of(db.execute(sql.EVENT_BY_SEQ, (seq,)).get)
                    events[event.id] = event if intact else CorruptEvent(damaged(event.id))
                    size += len(event.body)
            is_last = len(seqs) < UNREDACTED_ROWS and (not seqs or start == seqs[-1][0])
            return Unredacted(events=events, next="" if is_last else str(Place(start)))

    def records(self, source: str, keys: Collection[str]) -> Mapping[str, Record]:
        """What is remembered of records of a source, by key."""
        with self._snapshots.take() as (db, now):
            return tracked.read(db, source, keys, now)

    def remembered(self) -> Mapping[str, int]:
        """How many records are remembered, by source."""
        with self._snapshots.take() as (db, _):
            return tracked.counts(db)

    # deliveries

    def deliveries(self, query: DeliveryQuery = ALL_DELIVERIES) -> DeliveryPage:
        """Matching deliveries, those of the newest event first."""
        with self._snapshots.take() as (db, now):
            if query.ids:
                seqs = [row.number for row in plans.named(db, query)]
                rows = db.execute(sql.DELIVERIES_BY_SEQ, (to_json(seqs),)).fetchall()
                return DeliveryPage(rows=tuple(delivery_of(row, now) for row in rows))
            search = Searcher(db, now, query.effort).deliveries(query)
            found: list[Delivery] = []
            for seq, fitting in _fitting(db, search, query, now):
                if len(found) >= query.limit:
                    return DeliveryPage(rows=tuple(found), next=str(search.place(seq + 1)))
                found += fitting
            return DeliveryPage(rows=tuple(found), **_early_end(db, search))

    def last_attempts(self, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
        """The last attempt of each delivery, by its id."""
        with self._snapshots.take() as (db, _):
            return attempts.last(db, delivery_ids)

    def last_errors(self, destinations: Collection[str]) -> Mapping[str, LastError]:
        """The last error of each destination."""
        with self._snapshots.take() as (db, _):
            return attempts.last_errors(db, destinations)

    def count(self, which: DeliveryQuery) -> int:
        """Count matching deliveries. Raises KeyError for an unknown id."""
        states = tuple(DeliveryState) if which.state is None else (which.state,)
        with self._snapshots.take() as (db, now):
            if which.ids:
                return len(plans.named(db, which))
            return Searcher(db, now).count(which, states, may_be_empty=True)

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """Pending deliveries by (route, destination)."""
        with self._snapshots.take() as (db, _):
            rows: list[Any] = db.execute(sql.WAITING).fetchall()
        return {(route, destination): deliveries for route, destination, deliveries in rows}

    # the door and destinations

    def rejected(self, limit: int) -> Sequence[Rejected]:
        """Refused requests, newest first."""
        with self._snapshots.take() as (db, _):
            rows: list[Any] = db.execute(sql.REJECTED, (limit,)).fetchall()
        return [
            Rejected(at=at, source=source, path=path, status=status, reason=reason, client=client, count=count)
            for at, source, path, status, reason, client, count in rows
        ]

    def holds(self) -> Sequence[Hold]:
        """Everything that holds a destination or has ever held it, by destination."""
        with self._snapshots.take() as (db, now):
            rows: list[Any] = db.execute(sql.HOLDS).fetchall()
        return [hold_of(row, now) for row in rows]

    def logins(self) -> Sequence[Login]:
        """Every login that is kept, by its id."""
        with self._snapshots.take() as (db, now):
            return logins.every(db, now)

    def stored_time(self) -> float:
        """The store's clock, seconds since the epoch."""
        with self._snapshots.take() as (_, now):
            return now

    # what people did

    def activities(self, limit: int, before: str) -> ActivityPage:
        """What people did, newest first."""
        which = "?1 = '' OR seq < (SELECT seq FROM activity WHERE id = ?1) ORDER BY seq DESC LIMIT ?2"
        rows = self._activities(which, activity_place(before), limit)
        return ActivityPage(rows=tuple(rows), next=rows[-1].id if len(rows) == limit else "")

    def activity(self, activity_id: str) -> Activity | None:
        """One activity with its progress."""
        return next(iter(self._activities("id = ?", activity_id)), None)

    def same(self, task: Task) -> str:
        """The id of the task with the same key; empty: there is none. Raises KeyReused."""
        with self._snapshots.take() as (db, _):
            return tasks.same(db, task.key, task.asked)

    def _activities(self, which: str, *values: object) -> Sequence[Activity]:
        with self._snapshots.take() as (db, _):
            rows: list[Any] = db.execute(sql.ACTIVITIES.format(which=which), values).fetchall()
        return [activity_of(row) for row in rows]

    def plan(self, task: Task) -> Plan:
        """What a task will do. Raises KeyError for an unknown id, BodyGone if a named event has lost its body."""
        with self._snapshots.take() as (db, now):
            return plans.begin(db, now, task)

    def unfinished(self, replica: str) -> Unfinished | None:
        """The oldest unfinished task that this replica may continue, with its next slice."""
        with self._snapshots.take() as (db, now):
            return plans.unfinished(db, now, replica)


def _of_type(db: apsw.Connection, search: Search, glob: str) -> Iterator[int]:
    for seq in search:
        if glob:
            search.effort.spend(1)
            if not fits(glob, db.execute(sql.TYPE_OF, (seq,)).get):
                continue
        yield seq


def _event_rows(db: apsw.Connection, seqs: Sequence[int], now: float) -> tuple[EventRow, ...]:
    rows: list[Any] = db.execute(sql.EVENT_ROWS, (to_json(seqs),)).fetchall()
    deliveries = _deliveries_of(db, seqs, now)
    return tuple(
        EventRow(
            position=str(seq),
            id=id_,
            source=source,
            type=type_,
            received_at=received_at,
            size=size,
            body_is=body_is,
            deliveries=deliveries[seq],
        )
        for seq, id_, source, type_, received_at, size, body_is in rows
    )


def _early_end(db: apsw.Connection, search: Search) -> dict[str, Any]:
    """The end of a page that is not full: ``next`` and ``searched_to`` if the search stopped early."""
    if not search.ended_early:
        return {}
    return {"next": str(search.continuation), "searched_to": db.execute(sql.RECEIVED_AT, (search.at,)).get}


def _fitting(
    db: apsw.Connection, search: Search, query: DeliveryQuery, now: float
) -> Iterator[tuple[int, Sequence[Delivery]]]:
    """Events that have matching deliveries, with them."""
    for seqs in _chunks(search):
        by_event = _deliveries_of(db, seqs, now)
        search.effort.spend(sum(map(len, by_event.values())))
        for seq in seqs:
            fitting = [each for each in by_event[seq] if selects(query, each)]
            if fitting and (not query.type or fits(query.type, db.execute(sql.TYPE_OF, (seq,)).get)):
                yield seq, fitting


def _chunks(search: Iterable[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seq in search:
        chunk.append(seq)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _deliveries_of(db: apsw.Connection, seqs: Sequence[int], now: float) -> Mapping[int, tuple[Delivery, ...]]:
    found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
    for row in db.execute(sql.DELIVERIES_OF, (to_json(seqs),)):
        found[row[0]] = (*found[row[0]], delivery_of(row[2:], now))
    return found
