"""The embedded store: one SQLite file, one owner, one thread that does all writes.

Calls wait in a queue while a transaction is on its way to the disk; whatever waits then is the next transaction.
A thread has to win the interpreter's lock back after every SQLite step, so statements here carry many rows each
and answers come as one JSON text: a busy event loop would otherwise starve the writer.
"""

import asyncio
import fcntl
import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

import apsw
import msgspec

from gateway.errors import CorruptEvent, StoreCorrupt, StoreError, StoreLocked, StoreTooNew, StoreUnavailable
from gateway.model import (
    Appended,
    Attempt,
    Delivery,
    DeliveryState,
    Event,
    EventHistory,
    EventRow,
    Lease,
    NewDelivery,
    NewEvent,
    Outcome,
    Release,
    Retention,
    Retry,
    Want,
)
from gateway.store import statements as sql
from gateway.store.base import OnAppended
from gateway.store.leases import Held, Leases
from gateway.store.poison import Poison
from gateway.store.rows import attempt_of, attempt_row, delivery_of, event_of, moved, storable, to_json

#: Another program may hold the file for so long before the callers are refused, seconds.
BUSY_S: Final = 1.0
#: After an unclean end the file is looked through for at most so long, seconds.
CHECK_S: Final = 5.0
#: After a disk error the file is tried again this often, seconds.
RETRY_S: Final = 1.0
#: A delivery that the process died over this often is dead.
MAX_CRASHES: Final = 3
#: The log is copied into the database once it has so many pages of 4 KiB.
CHECKPOINT_PAGES: Final = 1000
#: The most rows of one statement.
ROWS: Final = 64

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


@cache
def _sql(statement: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(rows=",".join([row] * rows))


# --- the file ---


class _OwnerLock:
    """``flock`` on a file beside the database, never on the database: closing that would drop SQLite's own locks."""

    def __init__(self, path: str) -> None:
        self._descriptor = _open_beside(path + ".lock")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(self._descriptor)
            raise StoreLocked(f"{path} is in use by {owner}; stop that one first, or name another file") from None
        #: The last owner wrote its name and did not remove it.
        self.was_left = os.fstat(self._descriptor).st_size > 0
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"pid {os.getpid()}, started {started}\n".encode(), 0)

    def release(self, *, clean: bool) -> None:
        if clean:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _open_beside(path: str) -> int:
    folder = Path(path).parent
    if not folder.is_dir():
        raise StoreError(f"{folder}: the store's folder does not exist; make it, or name another file")
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; the store needs a folder that this user may write to") from None


def _connect(path: str, flags: int) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(int(BUSY_S * 1000))
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _check_version(connection: apsw.Connection, path: str) -> bool:
    """Whether this is one of our files; False: a new, empty one. Anything else is refused and left as it is."""
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application != sql.APPLICATION:
        if application or version or connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreError(f"{path} is a SQLite database of another program; name another file")
        return False
    if version > sql.VERSION:
        raise StoreTooNew(
            f"{path} has format {version}, written by a newer release; this one knows {sql.VERSION}: use the newer one"
        )
    return True


def _quick_check(connection: apsw.Connection, path: str) -> None:
    """Look through the file for at most CHECK_S; what could not be looked at in that time passes."""
    until = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    try:
        finding = connection.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return
    finally:
        connection.set_progress_handler(None)
    if finding != "ok":
        raise _corrupt(path, finding)


def _corrupt(path: str, finding: object) -> StoreCorrupt:
    line = str(finding).replace("\n", " ")
    return StoreCorrupt(f"{path} is damaged ({line}); it was left as it is: restore a backup, or name another file")


@contextmanager
def _opening(path: str) -> Generator[None]:
    """Say what SQLite's errors mean for a file that is being opened or read."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _corrupt(path, error) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreUnavailable(_busy(path)) from error
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(f"{path} cannot be opened ({error}); look at its permissions and at the disk") from error


def _busy(path: str) -> str:
    return f"{path} has been locked by another program for {BUSY_S:g} s; close what has it open"


def _disk(path: str, error: BaseException) -> str:
    return f"{path}: the disk refuses ({error}); nothing was stored: look at the disk and its free space"


# --- the read side ---


class Reader:
    """Looks into a store beside its owner or without one. Each call opens the file anew and sees one moment of it."""

    def __init__(self, path: str, now: Callable[[], float] | None, wall: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        self._wall = wall

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        if not Path(path).exists():
            raise StoreError(f"{path}: there is no such store; start the gateway once, or name another file")
        return cls(path, None, wall)

    def events(self, *, limit: int = 50, before: str = "") -> Sequence[EventRow]:
        """The newest events first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows: list[Any] = connection.execute(sql.EVENTS, (before, limit)).fetchall()
            deliveries = self._deliveries_of(connection, [row[0] for row in rows], now)
        return [
            EventRow(id=id_, source=source, type=type_, received_at=received_at, size=size, deliveries=deliveries[seq])
            for seq, id_, source, type_, received_at, size in rows
        ]

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
        event, intact = event_of(row)
        return EventHistory(event=event, intact=intact, deliveries=deliveries, attempts=attempts)

    def deliveries(
        self, *, state: DeliveryState, destination: str = "", limit: int = 50, before: str = ""
    ) -> Sequence[Delivery]:
        """Deliveries in one state, newest first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows = connection.execute(sql.DELIVERIES_IN.format(state=state), (destination, before, limit)).fetchall()
        return [delivery_of(row, now) for row in rows]

    def _deliveries_of(
        self, connection: apsw.Connection, seqs: Sequence[int], now: float
    ) -> Mapping[int, tuple[Delivery, ...]]:
        found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
        for row in connection.execute(sql.DELIVERIES_OF, (to_json(seqs),)):
            found[row[0]] = (*found[row[0]], delivery_of(row[2:], now))
        return found

    @contextmanager
    def _look(self) -> Generator[tuple[apsw.Connection, float]]:
        try:
            with _opening(self.path):
                connection = _connect(self.path, apsw.SQLITE_OPEN_READONLY)
                try:
                    _check_version(connection, self.path)
                    connection.execute("BEGIN")
                    yield connection, self._store_time(connection)
                finally:
                    connection.close()
        except UnicodeDecodeError as error:
            raise _corrupt(self.path, "a text in it is not UTF-8") from error

    def _store_time(self, connection: apsw.Connection) -> float:
        if self._now is not None:
            return self._now()
        return max(self._wall(), float(connection.execute("SELECT now FROM clock").get))


# --- calls on their way through the writer's thread ---


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One caller that waits, and what it is told."""

    future: asyncio.Future[Any]
    #: Real time, seconds: how long it has waited decides whether it is refused.
    since: float
    answer: Any = None
    error: Exception | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Append(_Call):
    events: Sequence[NewEvent]
    on_done: OnAppended | None


@dataclass(slots=True, kw_only=True, eq=False)
class _Settle(_Call):
    outcomes: Sequence[Outcome]


@dataclass(slots=True, kw_only=True, eq=False)
class _Write(_Call):
    """A rare change: carried out by itself inside the transaction. A KeyError comes before any change."""

    run: "Callable[[_Change], object]"


@dataclass(slots=True, kw_only=True, eq=False)
class _Claim(_Call):
    wants: Mapping[str, Want]


@dataclass(slots=True, kw_only=True, eq=False)
class _Load(_Call):
    event_ids: Collection[str]


@dataclass(slots=True, kw_only=True)
class _Change:
    """What a transaction does to the leases once it is on disk."""

    now: float
    granted: list[Held] = field(default_factory=list)
    ended: dict[str, Held] = field(default_factory=dict)
    #: By destination: the earliest due time among the rows that wait because of it.
    lowered: dict[str, float] = field(default_factory=dict)

    def lower(self, destination: str, due: float) -> None:
        self.lowered[destination] = min(due, self.lowered.get(destination, math.inf))


class _File:
    """The database as its owner's thread sees it; only ``now`` and the hints of ``leases`` are for other threads."""

    def __init__(self, path: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._wall = wall
        self.leases = Leases()
        self.healthy = True
        #: Random at the start: a lease from before a restart must not pass for a new one.
        self._tokens = itertools.count(int.from_bytes(os.urandom(6), "big"))
        self._moment = math.inf
        self._log_pages = 0
        #: Where the last slice of pruning stopped.
        self._pruned_to = 0

    # opening and closing

    def open(self) -> None:
        """Become the owner. Raises StoreError; nothing is held then, and the file is as it was."""
        with ExitStack() as undo, _opening(self._path):
            self._lock = _OwnerLock(self._path)
            undo.callback(self._lock.release, clean=not self._lock.was_left)
            self._connect(check=self._lock.was_left or self._has_log())
            undo.callback(self._db.close)
            self.poison = Poison(self._path + ".now")
            undo.callback(self.poison.close)
            self._start_clock()
            self._judge_crash()
            self._read_positions()
            undo.pop_all()

    def _has_log(self) -> bool:
        with suppress(OSError):
            return Path(self._path + "-wal").stat().st_size > 0
        return False

    def _connect(self, *, check: bool) -> None:
        self._db = _connect(self._path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            known = _check_version(self._db, self._path)
            if known and check:
                _quick_check(self._db, self._path)
            self._db.execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864"
            )
            self._db.set_wal_hook(self._count_log)
            if not known:
                self._db.execute(f"BEGIN IMMEDIATE; {sql.SCHEMA} COMMIT")
        except BaseException:
            self._db.close()
            raise

    def _count_log(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _start_clock(self) -> None:
        stored = float(self._db.execute("SELECT now FROM clock").get)
        self._ahead = max(self._wall(), stored) - self._clock()

    def now(self) -> float:
        """The store's clock, seconds: never behind a time that it has stored, whatever the wall clock does."""
        return self._clock() + self._ahead

    def _judge_crash(self) -> None:
        """Hold an unclean end against the delivery that was being worked on."""
        delivery_id = self.poison.found()
        if delivery_id:
            now = self.now()
            with self._db:
                crashes = self._db.execute(sql.CRASHED, (delivery_id,)).get
                if crashes is not None and crashes >= MAX_CRASHES:
                    reason = f"the gateway's process died {crashes} times while it worked on this delivery"
                    self._db.execute(sql.POISONOUS, (now, reason, delivery_id))
                self._db.execute(sql.SET_CLOCK, (now,))
        self.poison.clear()

    def _read_positions(self) -> None:
        """What is kept in memory beside the leases: the last numbers, and the bounds of what is due."""
        self._event_seq, self._delivery_seq = self._db.execute(sql.LAST_SEQS).get
        bounds: list[Any] = self._db.execute(sql.BOUNDS).fetchall()
        for destination, due in bounds:
            self.leases.lower(destination, due)
        self._moment = -math.inf

    def reopen(self) -> None:
        """After a disk error: close, open, check; leases stay for what is still pending. Raises StoreError."""
        with _opening(self._path):
            self._db.close()
            self._connect(check=True)
            ids = self._db.execute(sql.STILL_PENDING, (to_json(list(self.leases.ids())),)).get
            self.leases.keep(set(msgspec.json.decode(ids)))
            self._read_positions()
        self.healthy = True

    def close(self) -> None:
        try:
            with suppress(apsw.Error):
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            with suppress(apsw.Error):
                self._db.close()
            self.poison.close()
        finally:
            self._lock.release(clean=self.healthy)

    def checkpoint(self) -> None:
        """Copy the log into the database once it is long; after the answers, so that nobody waits for it."""
        if self.healthy and self._log_pages >= CHECKPOINT_PAGES:
            self._log_pages = 0
            try:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as error:
                self._explain(error)

    # what a caller is told

    def take_moment(self) -> float:
        """The earliest time of what came up to be claimed since this was asked last; infinity: nothing."""
        moment, self._moment = self._moment, math.inf
        return moment

    def _explain(self, error: apsw.Error) -> str:
        """Say what it means, and whether the store has to be reopened."""
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return _busy(self._path)
        if not isinstance(error, apsw.FullError):
            self.healthy = False
        return _disk(self._path, error)

    def _refuse(self, calls: Iterable[_Call], reason: str) -> None:
        for call in calls:
            call.answer, call.error = None, StoreUnavailable(reason)

    # a transaction

    def write(self, calls: Sequence[_Call]) -> None:
        """Carry out calls in one transaction and answer them; one that cannot be stored does not fail the others."""
        calls = self._begin(calls)
        if not calls:
            return
        change = _Change(now=self.now())
        self.leases.expire(change.now)
        try:
            self._carry_out(calls, change)
            self._db.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            if not isinstance(error, _REFUSED):
                self._refuse(calls, self._explain(error))
            else:
                self._one_by_one(calls, error)
        except Exception as error:  # noqa: BLE001  a value that SQLite does not take, or a defect: the thread lives on
            self._roll_back()
            self._one_by_one(calls, error)
        else:
            self._keep(change)

    def _begin(self, calls: Sequence[_Call]) -> Sequence[_Call]:
        """Take the write lock; who has waited for it too long is refused, the others are returned."""
        if not self.healthy:
            self._refuse(calls, _unchecked(self._path))
            return ()
        while calls:
            left_s = calls[0].since + BUSY_S - time.monotonic()
            self._db.set_busy_timeout(max(1, int(left_s * 1000)))
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except apsw.BusyError as error:
                late = time.monotonic() - BUSY_S + 0.01
                self._refuse((call for call in calls if call.since <= late), self._explain(error))
                calls = [call for call in calls if call.since > late]
            except apsw.Error as error:
                self._refuse(calls, self._explain(error))
                return ()
            else:
                break
        return calls

    def _roll_back(self) -> None:
        with suppress(apsw.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _one_by_one(self, calls: Sequence[_Call], error: Exception) -> None:
        if len(calls) > 1:
            for call in calls:
                call.answer = call.error = None
                self.write([call])
        else:
            calls[0].answer = None
            calls[0].error = StoreError(f"{self._path} cannot hold what it was given: {error}")
            calls[0].error.__cause__ = error

    def _carry_out(self, calls: Sequence[_Call], change: _Change) -> None:
        self._append([call for call in calls if isinstance(call, _Append)], change)
        self._settle([call for call in calls if isinstance(call, _Settle)], change)
        for call in calls:
            if isinstance(call, _Write):
                try:
                    call.answer = call.run(change)
                except KeyError as error:
                    call.error = error
        self._db.execute(sql.SET_CLOCK, (change.now,))

    def _keep(self, change: _Change) -> None:
        """What is on disk now is true in memory too."""
        for held in change.ended.values():
            self.leases.end(held)
        for held in change.granted:
            self._grant(held)
        for destination, due in change.lowered.items():
            self.leases.lower(destination, due)
            self._moment = min(self._moment, due)

    def _grant(self, held: Held) -> None:
        self.leases.grant(held)
        self._moment = min(self._moment, held.until)

    def _rows(self, statement: str, rows: Sequence[tuple[Any, ...]], *after: object) -> int:
        """Execute for all rows, in few statements of few sizes; how many rows changed."""
        done = changed = 0
        while done < len(rows):
            size = min(ROWS, 1 << (len(rows) - done).bit_length() - 1)
            values = itertools.chain.from_iterable(rows[done : done + size])
            self._db.execute(_sql(statement, len(rows[0]), size), (*values, *after))
            changed += self._db.changes()
            done += size
        return changed

    # append

    def _append(self, calls: Sequence[_Append], change: _Change) -> None:
        owners = iter(self._owners([new for call in calls for new in call.events], change.now))
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        for call in calls:
            appended = []
            for new, owner in zip(call.events, owners):  # noqa: B905  the owners go on with the next call's events
                if owner is None:
                    events.append(self._event_row(new.event, change.now))
                    leases = [self._add_delivery(d, new.event, change, deliveries) for d in new.deliveries]
                    appended.append(Appended(new.event.id, False, tuple(lease for lease in leases if lease)))
                else:
                    appended.append(Appended(owner, True))
            call.answer = appended
        self._rows(sql.ADD_EVENTS, events)
        self._rows(sql.ADD_DELIVERIES, deliveries)

    def _owners(self, news: Sequence[NewEvent], now: float) -> Sequence[str | None]:
        """For each event the id of the first one with its key, or None where it is the first itself."""
        rows = [(new.event.source, new.key, new.event.id, now + new.window_s) for new in news]
        if self._rows(sql.TAKE_KEYS, rows, now) == len(rows):
            return [None] * len(rows)
        keys = to_json([(source, key.hex()) for source, key, _, _ in rows])
        owners: list[tuple[str, int]] = msgspec.json.decode(self._db.execute(sql.KEY_OWNERS, (keys,)).get)
        known = {id_ for id_, is_stored in owners if is_stored}
        first: list[str | None] = []
        for new, (owner, _) in zip(news, owners, strict=True):
            first.append(None if owner == new.event.id and owner not in known else owner)
            known.add(owner)
        return first

    def _event_row(self, event: Event, now: float) -> tuple[Any, ...]:
        self._event_seq += 1
        headers = to_json(event.headers if type(event.headers) is dict else dict(event.headers))
        type_ = storable(event.type)
        return (
            self._event_seq,
            event.id,
            event.source,
            type_,
            event.received_at,
            now,
            headers,
            event.sha256,
            event.body,
        )

    def _add_delivery(
        self, new: NewDelivery, event: Event, change: _Change, rows: list[tuple[Any, ...]]
    ) -> Lease | None:
        self._delivery_seq += 1
        seq, now = self._delivery_seq, change.now
        rows.append((seq, new.id, self._event_seq, new.route, new.destination, "pending", now, now))
        others_wait = new.destination in change.lowered or self.leases.is_due(new.destination, now)
        if new.lease_s is None or others_wait:
            change.lower(new.destination, now)
            return None
        delivery = Delivery(id=new.id, event_id=event.id, route=new.route, destination=new.destination, due_in_s=0.0)
        lease = Lease(delivery, next(self._tokens))
        change.granted.append(Held(lease=lease, seq=seq, due=now, until=now + new.lease_s))
        return lease

    # settle

    def _settle(self, calls: Sequence[_Settle], change: _Change) -> None:
        moves: list[tuple[Any, ...]] = []
        attempts: list[tuple[Any, ...]] = []
        for call in calls:
            settled = set()
            for outcome in call.outcomes:
                held = self.leases.holds(outcome.lease)
                if held is not None and held.lease.delivery.id not in change.ended:
                    settled.add(held.lease.delivery.id)
                    self._move(held, outcome, change, moves, attempts)
            call.answer = frozenset(settled)
        self._rows(sql.MOVE_DELIVERIES, moves)
        self._rows(sql.ADD_ATTEMPTS, attempts)

    def _move(
        self,
        held: Held,
        outcome: Outcome,
        change: _Change,
        moves: list[tuple[Any, ...]],
        attempts: list[tuple[Any, ...]],
    ) -> None:
        before = held.lease.delivery
        change.ended[before.id] = held
        if isinstance(outcome.result, Release):
            change.lower(before.destination, held.due)
            return
        after = moved(outcome, before)
        due = change.now + outcome.result.after_s if isinstance(outcome.result, Retry) else None
        if due is not None:
            change.lower(before.destination, due)
        moves.append(
            (
                held.seq,
                after.state,
                due,
                after.attempts,
                after.spent_s,
                after.reason,
                after.last_status,
                after.last_answer,
                change.now,
            )
        )
        if outcome.attempt is not None:
            attempts.append(attempt_row(held.seq, outcome.attempt, change.now))

    # replay and prune

    def replay(self, ids: Sequence[str], by: str, change: _Change) -> Sequence[Delivery]:
        seqs = [seq for id_ in ids for seq in self._delivery_seqs(id_)]
        moved = self._db.execute(sql.REPLAY, (to_json(seqs), change.now, storable(by))).fetchall()
        rows = self._db.execute(sql.DELIVERIES_BY_SEQ, (to_json([seq for (seq,) in moved]),)).fetchall()
        deliveries = [delivery_of(row, change.now) for row in rows]
        for delivery in deliveries:
            change.lower(delivery.destination, change.now)
        return deliveries

    def _delivery_seqs(self, id_: str) -> Sequence[int]:
        if self._db.execute(sql.EVENT_SEQ, (id_,)).get is None:
            raise KeyError(id_)
        return [seq for (seq,) in self._db.execute(sql.DELIVERY_SEQS, (id_,))]

    def prune(self, retention: Retention, limit: int, change: _Change) -> tuple[int, bool]:
        """Remove one slice: how many things, and whether there may be more although it was none."""
        now = change.now
        self._db.execute(sql.PRUNE_ATTEMPTS, (now - retention.attempts_s, limit))
        if removed := self._db.changes():
            return removed, True
        self._db.execute(sql.PRUNE_KEYS, (now, limit))
        if removed := self._db.changes():
            return removed, True
        return self._prune_events(retention, limit, now)

    def _prune_events(self, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        last, old = self._db.execute(
            sql.OLD_EVENTS, (now - retention.dead_s, self._pruned_to, limit, now - retention.events_s)
        ).get
        self._pruned_to = last or 0
        for statement in sql.PRUNE_EVENTS:
            self._db.execute(statement, (old,))
        return self._db.changes(), last is not None

    # claim and load

    def read(self, call: _Claim | _Load) -> None:
        if not self.healthy:
            self._refuse([call], _unchecked(self._path))
            return
        try:
            call.answer = self._claim(call.wants) if isinstance(call, _Claim) else self._load(call.event_ids)
        except apsw.Error as error:
            self._refuse([call], self._explain(error))
        except Exception as error:  # noqa: BLE001  a defect: the caller hears of it and the thread lives on
            call.error = error

    def _claim(self, wants: Mapping[str, Want]) -> Sequence[Lease]:
        now = self.now()
        self.leases.expire(now)
        held: list[Held] = []
        for destination, want in wants.items():
            if want.slots > 0 and self.leases.is_due(destination, now):
                held += self._claim_for(destination, want, now)
        for one in held:
            self._grant(one)
        return [one.lease for one in sorted(held, key=lambda one: one.due)]

    def _claim_for(self, destination: str, want: Want, now: float) -> Sequence[Held]:
        running = to_json(list(self.leases.running(destination)))
        answer = self._db.execute(sql.CLAIM, (destination, running, want.slots + 1)).get
        rows = msgspec.json.decode(answer.decode("utf-8", "replace"))
        taken = [row for row in rows[: want.slots] if row[0] <= now]
        next_due = rows[len(taken)][0] if len(taken) < len(rows) else math.inf
        self.leases.raise_to(destination, next_due)
        if next_due > now:
            self._moment = min(self._moment, next_due)
        return [
            Held(
                lease=Lease(delivery_of(row[2:], now), next(self._tokens)),
                seq=row[1],
                due=row[0],
                until=now + want.lease_s,
            )
            for row in taken
        ]

    def _load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        rows = self._db.execute(sql.LOAD, (to_json(list(event_ids)),)).fetchall()
        loaded: dict[str, Event | CorruptEvent] = {}
        for row in rows:
            event, intact = event_of(row)
            loaded[event.id] = event if intact else CorruptEvent(_damaged(event.id))
        return loaded


def _unchecked(path: str) -> str:
    return f"{path}: the disk refused, and the store was not reopened and checked since; nothing was stored"


def _damaged(event_id: str) -> str:
    return f"event {event_id}: its stored body does not match its checksum; it is not sent: check the disk"


class SQLiteStore:
    """The Store of one process. Its methods belong to one event loop; a thread of its own owns the file."""

    name: str = "sqlite"

    def __init__(self, file: _File, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        self._file = file
        self._reader = reader
        self._loop = loop
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        #: Appends and settles that wait for their commit, the oldest first.
        self._uncommitted: dict[_Call, None] = {}
        self._closed: asyncio.Future[None] | None = None
        #: When there is something that the last ``wait`` did not tell of, and a signal that it moved.
        self._moment = file.take_moment()
        self._moved = asyncio.Event()
        self._next_try = 0.0
        threading.Thread(target=self._run, name="store", daemon=True).start()

    @classmethod
    async def open(cls, path: str, *, clock: Callable[[], float], wall: Callable[[], float]) -> Self:
        """Become the owner of the file, made when there is none. Raises StoreError."""
        file = _File(path, clock, wall)
        await asyncio.to_thread(file.open)
        return cls(file, Reader(path, file.now, wall), asyncio.get_running_loop())

    # the contract

    async def append(self, events: Sequence[NewEvent], on_done: OnAppended | None = None) -> Sequence[Appended]:
        call = _Append(future=self._loop.create_future(), since=time.monotonic(), events=events, on_done=on_done)
        if refusal := self._refusal():
            call.error = refusal
            self._finish([call], math.inf)
        else:
            self._submit(call)
        answer: Sequence[Appended] = await call.future
        return answer

    async def claim(self, worker: str, wants: Mapping[str, Want]) -> Sequence[Lease]:  # noqa: ARG002  one owner: one worker
        leases: Sequence[Lease] = await self._ask(_Claim, wants=dict(wants))
        return leases

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        loaded: Mapping[str, Event | CorruptEvent] = await self._ask(_Load, event_ids=event_ids) if event_ids else {}
        return loaded

    async def settle(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        held: frozenset[str] = await self._ask(_Settle, outcomes=outcomes)
        return held

    def maybe_due(self) -> Collection[str]:
        return self._file.leases.maybe_due(self._file.now())

    async def wait(self, timeout_s: float) -> None:
        until = self._loop.time() + timeout_s
        while (left_s := until - self._loop.time()) > 0 and (ahead_s := self._moment - self._file.now()) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, ahead_s)):
                    await self._moved.wait()
        now = self._file.now()
        if self._moment <= now:
            self._moment = self._file.leases.next_moment(now)

    async def replay(self, ids: Sequence[str], *, by: str) -> Sequence[Delivery]:
        moved: Sequence[Delivery] = await self._ask(_Write, run=lambda change: self._file.replay(ids, by, change))
        return moved

    async def events(self, *, limit: int = 50, before: str = "") -> Sequence[EventRow]:
        return await asyncio.to_thread(self._reader.events, limit=limit, before=before)

    async def event(self, event_id: str) -> EventHistory | None:
        return await asyncio.to_thread(self._reader.event, event_id)

    async def deliveries(
        self, *, state: DeliveryState, destination: str = "", limit: int = 50, before: str = ""
    ) -> Sequence[Delivery]:
        return await asyncio.to_thread(
            self._reader.deliveries, state=state, destination=destination, limit=limit, before=before
        )

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        removed, more = 0, True
        while more and not removed:
            removed, more = await self._ask(_Write, run=lambda change: self._file.prune(retention, limit, change))
        return removed

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._queue.put(None)
        await asyncio.shield(self._closed)

    def working_on(self, delivery_id: str) -> AbstractContextManager[None]:
        return self._file.poison.working_on(delivery_id)

    @property
    def oldest_uncommitted_s(self) -> float:
        for call in self._uncommitted:
            return time.monotonic() - call.since
        return 0.0

    @property
    def healthy(self) -> bool:
        return self._file.healthy and self._closed is None

    # on the event loop

    def _refusal(self) -> StoreUnavailable | None:
        if self._closed is not None:
            return StoreUnavailable("the store is closed: the gateway is stopping")
        return None if self._file.healthy else StoreUnavailable(_unchecked(self._reader.path))

    async def _ask(self, kind: Callable[..., _Call], **what: Any) -> Any:
        if refusal := self._refusal():
            raise refusal
        call = kind(future=self._loop.create_future(), since=time.monotonic(), **what)
        self._submit(call)
        return await call.future

    def _submit(self, call: _Call) -> None:
        if isinstance(call, _Append | _Settle):
            self._uncommitted[call] = None
        self._queue.put(call)

    def _finish(self, calls: Sequence[_Call], moment: float) -> None:
        for call in calls:
            self._uncommitted.pop(call, None)
            if isinstance(call, _Append) and call.on_done is not None:
                self._tell(call.on_done, call.answer)
            if not call.future.done():
                if call.error is None:
                    call.future.set_result(call.answer)
                else:
                    call.future.set_exception(call.error)
            elif isinstance(call, _Claim) and call.answer:
                self._give_back(call.answer)
        if moment < self._moment:
            self._moment = moment
            self._moved.set()

    def _tell(self, on_done: OnAppended, appended: Sequence[Appended] | None) -> None:
        try:
            on_done(appended)
        except Exception as error:  # noqa: BLE001  one listener's defect must not cost the other callers their answers
            self._loop.call_exception_handler({"message": "on_done of an append failed", "exception": error})

    def _give_back(self, leases: Sequence[Lease]) -> None:
        """Nobody waits for this claim any more."""
        if self._refusal() is None:
            outcomes = [Outcome(lease, Release()) for lease in leases]
            self._submit(_Settle(future=self._loop.create_future(), since=time.monotonic(), outcomes=outcomes))

    # on the store's thread

    def _run(self) -> None:
        while (calls := self._take()) is not None:
            self._check_disk()
            if calls:
                self._serve(calls)
                self._file.checkpoint()
        self._file.close()
        self._on_loop(self._set_closed)

    def _take(self) -> list[_Call] | None:
        """Whatever waits, the oldest first; nothing when the disk is to be tried again; None at the end."""
        try:
            call = self._queue.get(timeout=None if self._file.healthy else RETRY_S)
        except queue.Empty:
            return []
        calls = []
        while call is not None:
            calls.append(call)
            try:
                call = self._queue.get_nowait()
            except queue.Empty:
                return calls
        if calls:
            self._queue.put(None)
        return calls or None

    def _check_disk(self) -> None:
        if not self._file.healthy and time.monotonic() >= self._next_try:
            with suppress(StoreError):
                self._file.reopen()
                self._on_loop(self._finish, (), self._file.take_moment())
            self._next_try = time.monotonic() + RETRY_S

    def _serve(self, calls: Sequence[_Call]) -> None:
        try:
            self._carry_out(calls)
        except Exception as error:  # noqa: BLE001  a defect: nobody is left waiting for ever
            for call in calls:
                call.error = call.error or error
        self._on_loop(self._finish, calls, self._file.take_moment())

    def _carry_out(self, calls: Sequence[_Call]) -> None:
        writes = [call for call in calls if not isinstance(call, _Claim | _Load)]
        if writes:
            self._file.write(writes)
        for call in calls:
            if isinstance(call, _Claim | _Load):
                self._file.read(call)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # The loop may have ended without closing the store.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _set_closed(self) -> None:
        assert self._closed is not None
        self._closed.set_result(None)
