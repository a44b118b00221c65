"""The embedded store: one SQLite file, one owner, one thread that does all writes.

Calls wait in a queue while a transaction is on its way to the disk; whatever waits then is the next transaction.
A thread has to win the interpreter's lock back after every SQLite step, so statements here carry many rows each
and answers come as one JSON text: a busy event loop would otherwise starve the writer.
"""

import asyncio
import fcntl
import hashlib
import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Self

import apsw
import msgspec

from gateway.errors import CorruptEvent, StoreCorrupt, StoreError, StoreLocked, StoreTooNew, StoreUnavailable
from gateway.model import (
    MOVES,
    Appended,
    Attempt,
    Dead,
    Delivered,
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
from gateway.store.base import OnAppended
from gateway.store.leases import Held, Leases
from gateway.store.poison import Poison

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

_APPLICATION: Final = 0x57484757
_VERSION: Final = 1

# --- the tables ---

# Rows name each other by seq, which is the order of acceptance. Times are by the store's clock,
# except attempt.started_at and event.received_at, which are for people.
_SCHEMA: Final = f"""
CREATE TABLE clock (now REAL NOT NULL) STRICT;
INSERT INTO clock VALUES (0);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    received_at REAL NOT NULL,
    stored_at REAL NOT NULL,
    headers TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE dedupe (
    source TEXT NOT NULL,
    key BLOB NOT NULL,
    event_id TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_expires ON dedupe (expires);
CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event_seq INTEGER NOT NULL REFERENCES event,
    route TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in DeliveryState)})),
    due REAL CHECK ((state = 'pending') = (due IS NOT NULL)),
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_before_replay INTEGER NOT NULL DEFAULT 0,
    spent_s REAL NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    last_status INTEGER,
    last_answer TEXT NOT NULL DEFAULT '',
    changed_at REAL NOT NULL,
    replayed_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX delivery_of_event ON delivery (event_seq);
CREATE INDEX delivery_due ON delivery (destination, due) WHERE state = 'pending';
CREATE INDEX delivery_dead ON delivery (seq) WHERE state = 'dead';
CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY,
    delivery_seq INTEGER NOT NULL REFERENCES delivery,
    number INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    started_at REAL NOT NULL,
    duration_s REAL NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    reason TEXT NOT NULL,
    answer TEXT NOT NULL,
    config_revision TEXT NOT NULL,
    sent_bytes INTEGER NOT NULL,
    sent_sha256 BLOB NOT NULL,
    next_s REAL,
    UNIQUE (delivery_seq, number)
) STRICT;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""

# --- statements of the owner; {rows} becomes (?,...),(?,...) ---

_TAKE_KEYS: Final = """
INSERT INTO dedupe (source, key, event_id, expires) VALUES {rows}
ON CONFLICT DO UPDATE SET event_id = excluded.event_id, expires = excluded.expires WHERE dedupe.expires <= ?
"""
_KEY_OWNERS: Final = """
SELECT json_group_array(json_array(d.event_id, EXISTS (SELECT 1 FROM event e WHERE e.id = d.event_id)) ORDER BY k.key)
FROM json_each(?) k CROSS JOIN dedupe d ON d.source = k.value ->> 0 AND d.key = unhex(k.value ->> 1)
"""
_ADD_EVENTS: Final = """
INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body) VALUES {rows}
"""
_ADD_DELIVERIES: Final = """
INSERT INTO delivery (seq, id, event_seq, route, destination, state, due, changed_at) VALUES {rows}
"""
_MOVE_DELIVERIES: Final = """
WITH new (seq, state, due, attempts, spent_s, reason, last_status, last_answer, changed_at) AS (VALUES {rows})
UPDATE delivery SET state = new.state, due = new.due, attempts = new.attempts, spent_s = new.spent_s,
    reason = new.reason, last_status = new.last_status, last_answer = new.last_answer, changed_at = new.changed_at
FROM new WHERE delivery.seq = new.seq AND delivery.state = 'pending'
"""
_ADD_ATTEMPTS: Final = """
INSERT OR REPLACE INTO attempt (delivery_seq, number, recorded_at, started_at, duration_s, outcome, status, reason,
    answer, config_revision, sent_bytes, sent_sha256, next_s) VALUES {rows}
"""
_DELIVERY: Final = """
d.id, e.id, d.route, d.destination, d.state, d.attempts, d.attempts_before_replay, d.spent_s, d.crashes, d.due,
d.reason, d.last_status, d.last_answer
"""
# One more than there are slots: the first that is left says what is due next.
_CLAIM: Final = f"""
SELECT CAST(json_group_array(json_array(d.seq, {_DELIVERY})) AS BLOB) FROM (
    SELECT seq FROM delivery INDEXED BY delivery_due
    WHERE state = 'pending' AND destination = ? AND seq NOT IN (SELECT value FROM json_each(?))
    ORDER BY due LIMIT ?
) c CROSS JOIN delivery d ON d.seq = c.seq CROSS JOIN event e ON e.seq = d.event_seq
"""
# As bytes: a text that the disk has damaged must not fail the whole answer.
_EVENT: Final = """
CAST(e.id AS BLOB), CAST(e.source AS BLOB), CAST(e.type AS BLOB), e.received_at, CAST(e.headers AS BLOB), e.body, e.sha256
"""
_LOAD: Final = f"SELECT {_EVENT} FROM event e WHERE e.id IN (SELECT value FROM json_each(?))"
_REPLAY: Final = f"""
UPDATE delivery SET state = 'pending', due = ?2, attempts_before_replay = attempts, spent_s = 0, crashes = 0,
    changed_at = ?2, replayed_by = ?3
WHERE seq IN (SELECT value FROM json_each(?1))
    AND state IN ({", ".join(f"'{s}'" for s, moves in MOVES.items() if DeliveryState.PENDING in moves)})
RETURNING seq
"""
_DELIVERY_SEQS: Final = """
SELECT seq FROM delivery WHERE id = ?1
UNION ALL SELECT seq FROM delivery WHERE event_seq = (SELECT seq FROM event WHERE id = ?1)
"""
_CRASHED: Final = """
UPDATE delivery SET crashes = crashes + 1 WHERE id = ? AND state = 'pending' RETURNING crashes
"""
_POISONOUS: Final = "UPDATE delivery SET state = 'dead', due = NULL, changed_at = ?, reason = ? WHERE id = ?"

# A loose scan: two look-ups in the index for each destination, however many deliveries wait.
_BOUNDS: Final = """
WITH RECURSIVE waiting (destination) AS (
    SELECT min(destination) FROM delivery WHERE state = 'pending'
    UNION ALL
    SELECT (SELECT min(destination) FROM delivery WHERE state = 'pending' AND destination > waiting.destination)
    FROM waiting WHERE waiting.destination IS NOT NULL
)
SELECT destination, (SELECT min(due) FROM delivery d WHERE d.state = 'pending' AND d.destination = waiting.destination)
FROM waiting WHERE destination IS NOT NULL
"""

# Rows are in the order of the store's clock, so a slice looks at the oldest only.
_PRUNE_ATTEMPTS: Final = """
DELETE FROM attempt WHERE recorded_at <= ? AND seq IN (SELECT seq FROM attempt ORDER BY seq LIMIT ?)
"""
_PRUNE_KEYS: Final = """
DELETE FROM dedupe WHERE (source, key) IN (SELECT source, key FROM dedupe WHERE expires <= ? ORDER BY expires LIMIT ?)
"""
_OLD_EVENTS: Final = """
SELECT max(seq), json_group_array(seq) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM delivery d WHERE d.event_seq = e.seq
        AND (d.state = 'pending' OR (d.state = 'dead' AND d.changed_at > ?1))
))
FROM (SELECT seq, stored_at FROM event WHERE seq > ?2 ORDER BY seq LIMIT ?3) e WHERE e.stored_at <= ?4
"""
_PRUNE_EVENTS: Final = (
    "DELETE FROM attempt WHERE delivery_seq IN"
    " (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))",
    "DELETE FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))",
)

# --- statements of the read side ---

_EVENTS: Final = """
SELECT seq, id, source, type, received_at, length(body) FROM event
WHERE ?1 = '' OR seq < (SELECT seq FROM event WHERE id = ?1) ORDER BY seq DESC LIMIT ?2
"""
_DELIVERIES_OF: Final = f"""
SELECT d.event_seq, d.seq, {_DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.event_seq IN (SELECT value FROM json_each(?)) ORDER BY d.seq
"""
_DELIVERIES_IN: Final = f"""
SELECT {_DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.state = '{{state}}' AND (?1 = '' OR d.destination = ?1)
    AND (?2 = '' OR d.seq < (SELECT seq FROM delivery WHERE id = ?2))
ORDER BY d.seq DESC LIMIT ?3
"""
_EVENT_SEQ: Final = """
SELECT seq FROM event WHERE id = ?1 UNION ALL SELECT event_seq FROM delivery WHERE id = ?1 LIMIT 1
"""
_ATTEMPTS: Final = """
SELECT d.id, a.number, a.started_at, a.duration_s, a.outcome, a.status, a.reason, a.answer, a.config_revision,
    a.sent_bytes, a.sent_sha256, a.next_s
FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq WHERE d.event_seq = ? ORDER BY d.seq, a.number
"""

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    UnicodeEncodeError,
    OverflowError,
    TypeError,
)


@cache
def _sql(statement: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(rows=",".join([row] * rows))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _text(text: str) -> str:
    """A text that SQLite takes: a lone surrogate becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# --- rows to values ---


def _delivery(row: Sequence[Any], now: float) -> Delivery:
    due = row[9]
    return Delivery(
        id=row[0],
        event_id=row[1],
        route=row[2],
        destination=row[3],
        state=DeliveryState(row[4]),
        attempts=row[5],
        attempts_before_replay=row[6],
        spent_s=row[7],
        crashes=row[8],
        due_in_s=None if due is None else due - now,
        reason=row[10],
        last_status=row[11],
        last_answer=row[12],
    )


def _event(row: Sequence[Any]) -> tuple[Event, bool]:
    """The event, and whether it is what was stored."""
    id_, source, type_, received_at, headers, body, sha256 = row
    intact = hashlib.sha256(body).digest() == sha256
    try:
        fields = msgspec.json.decode(headers, type=dict[str, str])
    except msgspec.MsgspecError:
        fields, intact = {}, False
    event = Event(
        id=id_.decode("utf-8", "replace"),
        source=source.decode("utf-8", "replace"),
        type=type_.decode("utf-8", "replace"),
        received_at=received_at,
        headers=fields,
        body=body,
        sha256=sha256,
    )
    return event, intact


def _attempt(row: Sequence[Any]) -> Attempt:
    return Attempt(
        number=row[1],
        started_at=row[2],
        duration_s=row[3],
        outcome=row[4],
        status=row[5],
        reason=row[6],
        answer=row[7],
        config_revision=row[8],
        sent_bytes=row[9],
        sent_sha256=row[10],
        next_s=row[11],
    )


def _attempt_row(seq: int, attempt: Attempt, now: float) -> tuple[Any, ...]:
    return (
        seq,
        attempt.number,
        now,
        attempt.started_at,
        attempt.duration_s,
        attempt.outcome,
        attempt.status,
        _text(attempt.reason),
        _text(attempt.answer),
        attempt.config_revision,
        attempt.sent_bytes,
        attempt.sent_sha256,
        attempt.next_s,
    )


def _moved(outcome: Outcome, delivery: Delivery, due: float, now: float) -> Delivery:
    """The delivery as its outcome leaves it; ``due_in_s`` counts from ``now``."""
    result, attempt = outcome.result, outcome.attempt
    if isinstance(result, Release):
        return replace(delivery, due_in_s=due - now)
    if attempt is not None:
        delivery = replace(
            delivery, attempts=attempt.number, last_status=attempt.status, last_answer=_text(attempt.answer)
        )
    if isinstance(result, Retry):
        spent_s = delivery.spent_s + result.spent_s
        return replace(delivery, reason=_text(result.reason), spent_s=spent_s, due_in_s=result.after_s)
    if isinstance(result, Dead):
        return replace(delivery, state=DeliveryState.DEAD, reason=_text(result.reason), due_in_s=None)
    return replace(delivery, state=DeliveryState.DELIVERED, reason="", due_in_s=None)


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
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise StoreError(f"{folder}: the store's folder does not exist; make it, or name another file")
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; the store needs a folder that this user may write to"
        ) from None


def _connect(path: str, flags: int) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(int(BUSY_S * 1000))
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _check_version(connection: apsw.Connection, path: str) -> bool:
    """Whether this is one of our files; False: a new, empty one. Anything else is refused and left as it is."""
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application != _APPLICATION:
        if application or version or connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreError(f"{path} is a SQLite database of another program; name another file")
        return False
    if version > _VERSION:
        raise StoreTooNew(
            f"{path} has format {version}, written by a newer release; this one knows {_VERSION}: use the newer one"
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
        raise StoreUnavailable(_disk(path, error)) from error


def _busy(path: str) -> str:
    return f"{path} has been locked by another program for {BUSY_S:g} s; close what has it open"


def _disk(path: str, error: BaseException) -> str:
    return f"{path}: the disk refuses ({error}); nothing was stored: look at the disk and its free space"


# --- the read side ---


class Reader:
    """Looks into a store beside its owner or without one. Each call opens the file anew and sees one moment of it."""

    def __init__(self, path: str, now: Callable[[], float] | None, wall: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._wall = wall

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        if not os.path.exists(path):
            raise StoreError(f"{path}: there is no such store; start the gateway once, or name another file")
        return cls(path, None, wall)

    def events(self, *, limit: int = 50, before: str = "") -> Sequence[EventRow]:
        """The newest events first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows = connection.execute(_EVENTS, (before, limit)).fetchall()
            deliveries = self._deliveries_of(connection, [row[0] for row in rows], now)
        return [
            EventRow(
                id=id_, source=source, type=type_, received_at=received_at, size=size, deliveries=deliveries[seq]
            )
            for seq, id_, source, type_, received_at, size in rows
        ]

    def event(self, event_id: str) -> EventHistory | None:
        """One event by its id, or by the id of one of its deliveries."""
        with self._look() as (connection, now):
            seq = connection.execute(_EVENT_SEQ, (event_id,)).get
            if seq is None:
                return None
            row = connection.execute(f"SELECT {_EVENT} FROM event e WHERE e.seq = ?", (seq,)).get
            deliveries = self._deliveries_of(connection, [seq], now)[seq]
            attempts: dict[str, tuple[Attempt, ...]] = {}
            for attempt in connection.execute(_ATTEMPTS, (seq,)):
                attempts[attempt[0]] = (*attempts.get(attempt[0], ()), _attempt(attempt))
        event, intact = _event(row)
        return EventHistory(event=event, intact=intact, deliveries=deliveries, attempts=attempts)

    def deliveries(
        self, *, state: DeliveryState, destination: str = "", limit: int = 50, before: str = ""
    ) -> Sequence[Delivery]:
        """Deliveries in one state, newest first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows = connection.execute(_DELIVERIES_IN.format(state=state), (destination, before, limit)).fetchall()
        return [_delivery(row, now) for row in rows]

    def _deliveries_of(
        self, connection: apsw.Connection, seqs: Sequence[int], now: float
    ) -> Mapping[int, tuple[Delivery, ...]]:
        found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
        for row in connection.execute(_DELIVERIES_OF, (_json(seqs),)):
            found[row[0]] = (*found[row[0]], _delivery(row[2:], now))
        return found

    @contextmanager
    def _look(self) -> Generator[tuple[apsw.Connection, float]]:
        try:
            with _opening(self._path):
                connection = _connect(self._path, apsw.SQLITE_OPEN_READONLY)
                try:
                    _check_version(connection, self._path)
                    connection.execute("BEGIN")
                    yield connection, self._store_time(connection)
                finally:
                    connection.close()
        except UnicodeDecodeError as error:
            raise _corrupt(self._path, "a text in it is not UTF-8") from error

    def _store_time(self, connection: apsw.Connection) -> float:
        if self._now is not None:
            return self._now()
        return max(self._wall(), float(connection.execute("SELECT now FROM clock").get))


# --- calls on their way through the writer's thread ---


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One caller that waits, and what it is told."""

    future: asyncio.Future[Any]
    #: Real time, seconds: how long it has waited decides who is refused.
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
    """A rare change: carried out by itself inside the transaction."""

    run: "Callable[[_Change], Any]"


@dataclass(slots=True, kw_only=True, eq=False)
class _Read(_Call):
    """Answered after the commit of the calls that came with it."""

    run: Callable[[float], Any]


@dataclass(slots=True, kw_only=True)
class _Change:
    """What a transaction does to the leases once it is on disk."""

    now: float
    granted: list[Held] = field(default_factory=list)
    ended: dict[str, Held] = field(default_factory=dict)
    #: By destination: the earliest due time among the rows that now wait.
    lowered: dict[str, float] = field(default_factory=dict)

    def lower(self, destination: str, due: float) -> None:
        self.lowered[destination] = min(due, self.lowered.get(destination, math.inf))


class _File:
    """The database as its owner's thread sees it. Not one method of it runs on the event loop."""

    def __init__(self, path: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._wall = wall
        self._lock: _OwnerLock | None = None
        self.leases = Leases()
        #: Random at the start: a lease from before a restart must not pass for a new one.
        self._tokens = itertools.count(int.from_bytes(os.urandom(6), "big"))
        self._log_pages = 0
        #: Where the last slice of pruning stopped.
        self._pruned_to = 0
        self.healthy = True

    # opening and closing

    def open(self) -> None:
        """Become the owner. Raises StoreError; the file is unchanged then."""
        self._lock = _OwnerLock(self._path)
        try:
            with _opening(self._path):
                self._connect(check=self._lock.was_left or self._has_log())
                self._start_clock()
                self.poison = Poison(self._path + ".now")
                self._judge_crash()
                self._read_positions()
        except BaseException:
            self._lock.release(clean=not self._lock.was_left)
            raise

    def _has_log(self) -> bool:
        with suppress(OSError):
            return os.stat(self._path + "-wal").st_size > 0
        return False

    def _connect(self, *, check: bool) -> None:
        self._db = _connect(self._path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            known = _check_version(self._db, self._path)
            if known and check:
                _quick_check(self._db, self._path)
            self._db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864")
            self._db.set_wal_hook(self._count_log)
            if not known:
                self._db.execute(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT")
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
        """The store's clock: it stands in no file twice, whatever the wall clock does."""
        return self._clock() + self._ahead

    def _judge_crash(self) -> None:
        """Hold an unclean end against the delivery that was being worked on."""
        delivery_id = self.poison.found()
        if delivery_id:
            with self._transaction(self.now()):
                crashes = self._db.execute(_CRASHED, (delivery_id,)).get
                if crashes is not None and crashes >= MAX_CRASHES:
                    reason = f"the gateway's process died {crashes} times while it worked on this delivery"
                    self._db.execute(_POISONOUS, (self.now(), reason, delivery_id))
        self.poison.clear()

    def _read_positions(self) -> None:
        """What is kept in memory beside the leases: the next numbers and the bounds of what is due."""
        self._event_seq, self._delivery_seq = self._db.execute(
            "SELECT coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(seq) FROM delivery), 0)"
        ).get
        for destination, due in self._db.execute(_BOUNDS).fetchall():
            self.leases.lower(destination, due)

    def reopen(self) -> None:
        """After a disk error: close, open, check. Leases stay for what is still pending. Raises StoreError."""
        with _opening(self._path):
            self._db.close()
            self._connect(check=True)
            ids = self._db.execute(
                "SELECT json_group_array(id) FROM delivery"
                " WHERE state = 'pending' AND id IN (SELECT value FROM json_each(?))",
                (_json(list(self.leases.ids())),),
            ).get
            self.leases.keep(set(msgspec.json.decode(ids)))
            self._read_positions()
        self.healthy = True

    def close(self) -> None:
        assert self._lock is not None
        try:
            with suppress(apsw.Error):
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._db.close()
        finally:
            self.poison.close()
            self._lock.release(clean=self.healthy)

    def checkpoint(self) -> None:
        """Copy the log into the database once it is long; after the answers, so nobody waits for it."""
        if self.healthy and self._log_pages >= CHECKPOINT_PAGES:
            self._log_pages = 0
            try:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as error:
                self._notice(error)

    # a transaction

    def write(self, calls: Sequence[_Append | _Settle | _Write]) -> float:
        """Carry out calls in one transaction and answer each; the earliest moment at which there is more to claim.

        A call that cannot be stored fails alone: the others are carried out again one by one.
        """
        calls = self._refuse_late(calls) if self.healthy else self._refuse(calls, _disk(self._path, "being checked"))
        if not calls:
            return math.inf
        change = _Change(now=self.now())
        self.leases.expire(change.now)
        try:
            with self._transaction(change.now, begun=True):
                self._append([call for call in calls if isinstance(call, _Append)], change)
                self._settle([call for call in calls if isinstance(call, _Settle)], change)
                for call in calls:
                    if isinstance(call, _Write):
                        call.answer = call.run(change)
        except _REFUSED as error:
            if len(calls) > 1:
                return min([self.write([call]) for call in calls])
            self._refuse(calls, f"{self._path} cannot hold this: {error}", StoreError)
            return math.inf
        except apsw.Error as error:
            self._notice(error)
            self._refuse(calls, self._explain(error))
            return math.inf
        return self._keep(change)

    def _refuse_late[C: _Call](self, calls: Sequence[C]) -> Sequence[C]:
        return calls

    def read(self, call: _Read) -> float:
        return math.inf
