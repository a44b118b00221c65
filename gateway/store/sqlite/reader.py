"""The read side: looks into a store beside its owner or without one."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import apsw

from gateway.errors import QueryRefused, StoreCorrupt, StoreError
from gateway.model import Attempt, Delivery, DeliveryState
from gateway.store.holds import Hold
from gateway.store.nouns import (
    Activity,
    DeadGroup,
    DeliveryPage,
    DeliveryQuery,
    DestinationStats,
    EventHistory,
    EventPage,
    EventQuery,
    EventRow,
    HeldBack,
    Rejected,
    Stats,
    Task,
    Traffic,
)
from gateway.store.sqlite import plans, tables
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.connection import connect, corrupt, opening, refuse_old
from gateway.store.sqlite.lock import owner_of
from gateway.store.sqlite.plans import Plan, Unfinished
from gateway.store.sqlite.rows import activity_of, attempt_of, delivery_of, event_of, hold_of, to_json
from gateway.store.sqlite.search import OF_A_BODY, Effort, Searcher, fits, middle

#: Endings of the files that are one store.
FILES: Final = ("", "-wal", "-shm", ".lock", ".now")
#: Events whose deliveries are read at a time.
CHUNK: Final = 64
MINUTES: Final = 60

EVERYTHING: Final = EventQuery()
ALL_DELIVERIES: Final = DeliveryQuery()


class Reader:
    """Looks into a store beside its owner or without one. Each call sees one moment of the file."""

    def __init__(self, path: str, now: Callable[[], float] | None, wall: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        self._wall = wall
        #: Of the owner, which asks often; whoever looks once opens and closes.
        self._idle: list[apsw.Connection] = []
        self._keeps = now is not None

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        if not Path(path).exists():
            raise StoreError(f"{path}: there is no such store; start the gateway once, or name another file")
        return cls(path, None, wall)

    def close(self) -> None:
        """Let go of the file."""
        self._keeps = False
        while self._idle:
            self._idle.pop().close()

    # events

    def events(self, query: EventQuery = EVERYTHING) -> EventPage:
        """The newest events that fit; ends early rather than look for long."""
        with self._look() as (connection, now):
            search = Searcher(connection, now).events(query)
            found: list[int] = []
            for seq in search:
                if self._fits(connection, seq, query, search.effort):
                    found.append(seq)
                    if len(found) > query.limit:
                        break
            more = len(found) > query.limit
            rows = self._event_rows(connection, found[: query.limit], now)
            if more:
                return EventPage(rows=rows, next=str(found[query.limit - 1]))
            if search.is_tired:
                return EventPage(rows=rows, next=str(search.at + 1), searched_to=_received_at(connection, search.at))
            return EventPage(rows=rows)

    def _fits(self, connection: apsw.Connection, seq: int, query: EventQuery, effort: Effort) -> bool:
        if query.holds is None and not query.type:
            return True
        effort.spend(OF_A_BODY if query.holds else 1)
        if query.holds is None:
            return fits(query.type, connection.execute(sql.TYPE_OF, (seq,)).get)
        event, intact, body_is = event_of(connection.execute(sql.EVENT_BY_SEQ, (seq,)).get)
        if query.type and not fits(query.type, event.type):
            return False
        return intact and body_is != "removed" and query.holds(event)

    def _event_rows(self, connection: apsw.Connection, seqs: Sequence[int], now: float) -> tuple[EventRow, ...]:
        rows: list[Any] = connection.execute(sql.EVENT_ROWS, (to_json(seqs),)).fetchall()
        deliveries = self._deliveries_of(connection, seqs, now)
        return tuple(
            EventRow(id=id_, source=source, type=type_, received_at=received_at, size=size, deliveries=deliveries[seq])
            for seq, id_, source, type_, received_at, size in rows
        )

    def event(self, event_id: str) -> EventHistory | None:
        """One event by its id, or by the id of one of its deliveries."""
        with self._look() as (connection, now):
            seq = connection.execute(sql.EVENT_SEQ, (event_id,)).get
            if seq is None:
                return None
            row = connection.execute(sql.EVENT_BY_SEQ, (seq,)).get
            deliveries = self._deliveries_of(connection, [seq], now)[seq]
            attempts: dict[str, tuple[Attempt, ...]] = {}
            for attempt in connection.execute(sql.ATTEMPTS, (seq,)):
                attempts[attempt[0]] = (*attempts.get(attempt[0], ()), attempt_of(attempt))
            held_back = tuple(
                HeldBack(name=name, key=key, event_id=first, fired_at=fired_at)
                for name, key, first, fired_at in connection.execute(sql.HELD_BACK, (seq,))
            )
        event, intact, body_is = event_of(row)
        return EventHistory(
            event=event,
            intact=intact,
            deliveries=deliveries,
            attempts=attempts,
            held_back=held_back,
            body_is=body_is,
        )

    # deliveries

    def deliveries(self, query: DeliveryQuery = ALL_DELIVERIES) -> DeliveryPage:
        """Deliveries that fit, those of the newest event first; ends early rather than look for long.

        All that fit of one event are on one page, also when there is one more than ``limit`` then.
        """
        with self._look() as (connection, now):
            if query.ids:
                seqs = [row[1] for row in plans.named(connection, query)]
                rows = connection.execute(sql.DELIVERIES_BY_SEQ, (to_json(seqs),)).fetchall()
                return DeliveryPage(rows=tuple(delivery_of(row, now) for row in rows))
            search = Searcher(connection, now).deliveries(query)
            found: list[Delivery] = []
            for seqs in _chunks(search):
                by_event = self._deliveries_of(connection, seqs, now)
                search.effort.spend(sum(map(len, by_event.values())))
                for seq in seqs:
                    fitting = [each for each in by_event[seq] if _is_asked_for(each, query)]
                    if fitting and query.type and not fits(query.type, connection.execute(sql.TYPE_OF, (seq,)).get):
                        continue
                    if fitting and len(found) >= query.limit:
                        return DeliveryPage(rows=tuple(found), next=str(seq + 1))
                    found += fitting
            if search.is_tired:
                searched_to = _received_at(connection, search.at)
                return DeliveryPage(rows=tuple(found), next=str(search.at + 1), searched_to=searched_to)
            return DeliveryPage(rows=tuple(found))

    def count(self, which: DeliveryQuery) -> int:
        """How many deliveries there are of a kind; looks at each of them, a look at an index."""
        states = tuple(DeliveryState) if which.state is None else (which.state,)
        with self._look() as (connection, now):
            if which.ids:
                return len(plans.named(connection, which))
            return Searcher(connection, now).count(which, states, may_be_empty=True)

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many deliveries are pending, by (route, destination)."""
        with self._look() as (connection, _):
            rows: list[Any] = connection.execute(sql.WAITING).fetchall()
        return {(route, destination): deliveries for route, destination, deliveries in rows}

    def _deliveries_of(
        self, connection: apsw.Connection, seqs: Sequence[int], now: float
    ) -> Mapping[int, tuple[Delivery, ...]]:
        found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
        for row in connection.execute(sql.DELIVERIES_OF, (to_json(seqs),)):
            found[row[0]] = (*found[row[0]], delivery_of(row[2:], now))
        return found

    # numbers

    def stats(self) -> Stats:
        """The numbers, as of now. Costs the same whatever waits."""
        with self._look() as (connection, now):
            tally: list[Any] = connection.execute(sql.TALLY).fetchall()
            due = {name: at for name, at in connection.execute(sql.BOUNDS) if at < tables.BEHIND}
            minute = int(now / 60)
            came: list[Any] = connection.execute(sql.CAME, (minute - MINUTES,)).fetchall()
            traffic = _traffic(connection, minute)
        states: dict[str, Counter[str]] = defaultdict(Counter)
        for name, state, _, count in tally:
            states[name][state] += count
        received: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
        for at, source, events in came:
            received[source][MINUTES - 1 - min(max(minute - at, 0), MINUTES - 1)] += events
        names = {*states, *traffic}
        return Stats(
            destinations={
                name: DestinationStats(
                    pending=states[name]["pending"],
                    dead=states[name]["dead"],
                    delivered=states[name]["delivered"],
                    discarded=states[name]["discarded"],
                    oldest_due_s=max(0.0, now - due.get(name, math.inf)),
                    traffic=traffic.get(name, NO_TRAFFIC),
                )
                for name in sorted(names)
            },
            received={source: tuple(numbers) for source, numbers in received.items()},
            dead=tuple(
                DeadGroup(destination=name, cause=cause, count=count)
                for name, state, cause, count in sorted(tally, key=lambda row: -row[3])
                if state == DeliveryState.DEAD
            ),
            used_bytes=sum(_size(Path(self.path + ending)) for ending in ("", "-wal")),
            free_bytes=_free_bytes(self.path),
        )

    def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        """The newest requests that were refused."""
        with self._look() as (connection, _):
            rows: list[Any] = connection.execute(sql.REJECTED, (limit,)).fetchall()
        return [
            Rejected(at=at, source=source, path=path, status=status, reason=reason, count=count)
            for at, source, path, status, reason, count in rows
        ]

    def holds(self) -> Sequence[Hold]:
        """Everything that holds a destination or has ever held it, by destination."""
        with self._look() as (connection, now):
            rows: list[Any] = connection.execute(sql.HOLDS).fetchall()
        return [hold_of(row, now) for row in rows]

    # what people did

    def activities(self, *, limit: int = 50, before: str = "") -> Sequence[Activity]:
        """What was done, the newest first; ``before`` is the id of the last one of the page before.

        Raises QueryRefused for a ``before`` that is none.
        """
        if before and not before.startswith("act_"):
            raise QueryRefused(f'"{before[:40]}" is no place in a list: take "next" of the page before')
        which = "?1 = '' OR seq < (SELECT seq FROM activity WHERE id = ?1) ORDER BY seq DESC LIMIT ?2"
        return self._activities(which, before, limit)

    def activity(self, activity_id: str) -> Activity | None:
        """One of them, with how far it has come."""
        return next(iter(self._activities("id = ?", activity_id)), None)

    def activity_of(self, key: str) -> Activity | None:
        """What was asked for with this key."""
        return next(iter(self._activities("key = ?", key)), None)

    def _activities(self, which: str, *values: object) -> Sequence[Activity]:
        with self._look() as (connection, _):
            rows: list[Any] = connection.execute(sql.ACTIVITIES.format(which=which), values).fetchall()
        return [activity_of(row) for row in rows]

    def plan(self, task: Task) -> Plan:
        """What a task will do. Raises KeyError for an unknown id, BodyGone for one whose body is not kept."""
        with self._look() as (connection, now):
            return plans.begin(connection, now, task)

    def unfinished(self) -> Unfinished | None:
        """The oldest task that is not finished, with what it does next."""
        with self._look() as (connection, now):
            return plans.unfinished(connection, now)

    # the file as a whole

    def backup(self, path: str, progress: Callable[[int, int], None] | None = None, *, replaces: bool = False) -> int:
        """Copy the store to ``path``, as of now, beside its owner; how many bytes. Raises StoreError.

        The copy has its name once it is whole. A file that is there is replaced only if that is said, and a store
        that is in use never is, this one least of all.
        """
        target = Path(path)
        self._refuse_in_use(target)
        if target.exists() and not replaces:
            raise StoreError(f"{path} is there already: name another file, or say --force")
        partial = target.with_name(target.name + ".partial")
        with suppress(FileNotFoundError):
            partial.unlink()
        try:
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            size = self._copy(partial, progress)
            _sync(partial)
            partial.rename(target)
            _sync(target.absolute().parent)
        except OSError as error:
            raise StoreError(
                f"{path}: {error.strerror}; the backup needs a folder that this user may write to"
            ) from None
        finally:
            with suppress(OSError):
                partial.unlink()
        return size

    def _refuse_in_use(self, target: Path) -> None:
        name = os.path.realpath(target)
        if any(_is_same(name, self.path + ending) for ending in FILES):
            raise StoreError(f"{target} belongs to the store that is copied: name another file")
        for store in {name.removesuffix(ending) for ending in FILES}:
            owner = owner_of(store)
            if owner is not None and owner.is_alive:
                raise StoreError(f"{target} belongs to a store in use by {owner.name}: name another file")
        # SQLite would play the log of what was there into the copy.
        if _size(Path(name + "-wal")):
            raise StoreError(f"{target} is a store that was not closed, {name}-wal is its log: name another file")

    def _copy(self, partial: Path, progress: Callable[[int, int], None] | None) -> int:
        with self._look() as (connection, _):
            pages = connection.pragma("page_count") - connection.pragma("freelist_count")
            size = pages * connection.pragma("page_size")
            if progress is not None:
                connection.set_progress_handler(lambda: bool(progress(_size(partial), size)), 100_000)
            connection.execute("COMMIT")
            try:
                # One statement sees one moment, however long it takes; the owner goes on meanwhile.
                connection.execute("VACUUM INTO ?", (str(partial),))
            except apsw.FullError:
                raise StoreError(f"{partial.parent}: the disk is full; the backup needs {size:,} bytes") from None
            finally:
                connection.set_progress_handler(None)
        return _size(partial)

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Look through all of it; what is wrong, in words. Empty: nothing is. ``progress``: events of how many."""
        try:
            with self._look() as (connection, _):
                return list(self._damage(connection)) or list(self._contradictions(connection, progress))
        except StoreCorrupt as error:
            return [str(error)]

    def _damage(self, connection: apsw.Connection) -> Iterator[str]:
        for (line,) in connection.execute("PRAGMA integrity_check(20)"):
            if line != "ok":
                yield str(line)

    def _contradictions(
        self, connection: apsw.Connection, progress: Callable[[int, int], None] | None
    ) -> Iterator[str]:
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to a row of {parent} that is not there"
        last = connection.execute(sql.LAST_EVENT).get
        for seq, *row in connection.execute(sql.BODIES):
            event, intact, _ = event_of(row)
            if not intact:
                yield f"event {event.id}: its stored body does not match its checksum"
            if progress is not None and (seq % 1000 == 0 or seq == last):
                progress(seq, last)
        for name, state, counted, there in connection.execute(sql.WRONG_TALLY):
            yield f"deliveries of {name}, {state}: {counted} are counted, {there} are there"

    def stored_time(self) -> float:
        """The store's clock, wall seconds since the epoch: no earlier than anything that was ever stored."""
        with self._look() as (_, now):
            return now

    @contextmanager
    def _look(self) -> Generator[tuple[apsw.Connection, float]]:
        try:
            with opening(self.path):
                connection = self._connection()
                try:
                    connection.execute("BEGIN")
                    yield connection, self._store_time(connection)
                    if connection.in_transaction:
                        connection.execute("COMMIT")
                except BaseException:
                    connection.close()
                    raise
                self._put_back(connection)
        except UnicodeDecodeError as error:
            raise corrupt(self.path, "a text in it is not UTF-8") from error

    def _connection(self) -> apsw.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        connection = connect(self.path, apsw.SQLITE_OPEN_READONLY)
        try:
            refuse_old(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_back(self, connection: apsw.Connection) -> None:
        if self._keeps:
            self._idle.append(connection)
        else:
            connection.close()

    def _store_time(self, connection: apsw.Connection) -> float:
        if self._now is not None:
            return self._now()
        return max(self._wall(), float(connection.execute(sql.STORED_TIME).get))


NO_TRAFFIC: Final = Traffic()


def _is_asked_for(delivery: Delivery, query: DeliveryQuery) -> bool:
    return (
        query.state in (None, delivery.state)
        and query.destination in ("", delivery.destination)
        and query.cause in (None, delivery.cause)
        and query.route in ("", delivery.route)
    )


def _chunks(search: Iterator[int] | Any) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seq in search:
        chunk.append(seq)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _received_at(connection: apsw.Connection, seq: int) -> float | None:
    found: float | None = connection.execute(sql.RECEIVED_AT, (seq,)).get
    return found


def _traffic(connection: apsw.Connection, minute: int) -> Mapping[str, Traffic]:
    attempts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * MINUTES)
    for at, name, outcome, count in connection.execute(sql.WENT, (minute - MINUTES,)):
        attempts[name, outcome][MINUTES - 1 - min(max(minute - at, 0), MINUTES - 1)] += count
    durations: dict[str, dict[int, int]] = defaultdict(dict)
    for name, bucket, count in connection.execute(sql.DURATIONS, (minute - MINUTES,)):
        durations[name][bucket] = count
    return {
        name: Traffic(
            delivered=tuple(attempts[name, "delivered"]),
            retried=tuple(attempts[name, "retry"]),
            died=tuple(attempts[name, "dead"]),
            p50_s=middle(buckets, 0.5),
            p95_s=middle(buckets, 0.95),
        )
        for name, buckets in durations.items()
    }


def _is_same(path: str, other: str) -> bool:
    """Whether two paths are, or would be, one file."""
    return path == other or (os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other))  # noqa: PTH110, PTH121


def _size(path: Path) -> int:
    """Bytes; 0 where there is no file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_bytes(path: str) -> int:
    """What the file system of a file still has for a process like this one."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize
