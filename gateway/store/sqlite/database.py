"""The database as its owner's thread sees it: the file's life, transactions, and what each call does to it."""

import itertools
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from gateway import telemetry
from gateway.errors import CorruptEvent, StoreError, StoreUnavailable
from gateway.model import Delivery, Event, Notice, Release, Retry, new_id
from gateway.store.nouns import Appended, Lease, NewDelivery, NewEvent, Outcome, Pause, Rejected, Retention, Want
from gateway.store.rules import REJECTED_KEPT, TOGETHER_S, damaged
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import tables
from gateway.store.sqlite.calls import Append, Call, Change, Claim, Load, Settle, Write
from gateway.store.sqlite.connection import (
    BUSY_S,
    busy_message,
    check_version,
    connect,
    disk_message,
    gone_message,
    migrate,
    opening,
    quick_check,
    unchecked_message,
)
from gateway.store.sqlite.leases import Held, Leases
from gateway.store.sqlite.lock import OwnerLock
from gateway.store.sqlite.poison import Poison
from gateway.store.sqlite.rows import attempt_row, delivery_of, event_of, move_row, storable, to_json
from gateway.store.sqlite.upkeep import Upkeep

#: The log is copied into the database once it has so many pages of 4 KiB.
CHECKPOINT_PAGES: Final = 1000
#: The most rows of one statement.
ROWS: Final = 64
#: Up to so many rows go into one statement of exactly that size; more go in multiples of 8, then the rest.
EXACT_ROWS: Final = 24

NO_ROUTES: Final[frozenset[str]] = frozenset()

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


@cache
def _sql(statement: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return statement.format(rows=",".join([row] * rows))


def _decoded(answer: bytes) -> Any:
    """A text that the disk has damaged must not stop its neighbours, nor the start."""
    return msgspec.json.decode(answer.decode("utf-8", "replace"))


class Database:
    """The database as its owner's thread sees it; only ``now`` and the hints of ``leases`` are for other threads."""

    def __init__(self, path: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self.wall = wall
        self.leases = Leases()
        self.healthy = True
        #: The delivery that the last process died over, as it stands now.
        self.poisoned: Delivery | None = None
        #: Random at the start: a lease from before a restart must not pass for a new one.
        self._tokens = itertools.count(int.from_bytes(os.urandom(6), "big"))
        self._moment = math.inf
        self._log_pages = 0
        self._busy_ms = 0
        self._upkeep = Upkeep()

    # opening and closing

    def open(self) -> None:
        """Become the owner. Raises StoreError; nothing is held then, and the file is as it was."""
        with ExitStack() as undo, opening(self._path):
            self._lock = OwnerLock(self._path)
            undo.callback(self._lock.release, clean=not self._lock.was_left)
            self._make_private()
            self._connect(check=self._lock.was_left or self._has_log())
            undo.callback(self._db.close)
            self.poison = Poison(self._path + ".now")
            undo.callback(self.poison.close)
            found = Path(self._path).stat()
            self._identity, self._size = (found.st_dev, found.st_ino), found.st_size
            self._start_clock()
            self._judge_crash()
            # The file has one owner: whoever held a task is gone.
            self._db.execute(sql.FREE_TASKS)
            self._read_positions()
            undo.pop_all()

    def _make_private(self) -> None:
        """Make an absent file for this user alone; SQLite gives its log the same mode. One that is there is not touched."""
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _in_place(self) -> bool:
        """Whether the file that is open is the one that the next start will find, and whole: it never shrinks."""
        try:
            found = Path(self._path).stat()
        except OSError:
            return False
        whole = found.st_size >= self._size
        self._size = max(self._size, found.st_size)
        return whole and (found.st_dev, found.st_ino) == self._identity

    def _has_log(self) -> bool:
        with suppress(OSError):
            return Path(self._path + "-wal").stat().st_size > 0
        return False

    def _connect(self, *, check: bool) -> None:
        self._busy_ms = 0
        self._db = connect(self._path, apsw.SQLITE_OPEN_READWRITE)
        try:
            known = check_version(self._db, self._path)
            if known and check:
                quick_check(self._db, self._path)
            self._db.pragma("journal_mode", "wal")
            self._db.pragma("synchronous", "full")
            # What was removed is gone: nobody finds it in the file, or in a copy of the disk.
            self._db.pragma("secure_delete", True)
            self._db.pragma("journal_size_limit", 64 * 1024 * 1024)
            # What undoes a long statement goes into a temporary file otherwise, made anew in every commit.
            self._db.pragma("temp_store", "memory")
            self._db.set_wal_hook(self._count_log)
            migrate(self._db, known)
        except BaseException:
            self._db.close()
            raise

    def _count_log(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _start_clock(self) -> None:
        stored = float(self._db.execute(sql.STORED_TIME).get)
        self._ahead = max(self.wall(), stored) - self._clock()

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
                if crashes is not None:
                    row = self._db.execute(sql.DELIVERY_BY_ID, (delivery_id,)).get
                    self.poisoned = delivery_of(_decoded(row), now)
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
        if not self._in_place():
            raise StoreError(gone_message(self._path))
        with opening(self._path):
            self._db.close()
            self._connect(check=True)
            self._empty_log()
            ids = self._db.execute(sql.STILL_PENDING, (to_json(list(self.leases.ids())),)).get
            self.leases.keep(set(msgspec.json.decode(ids)))
            self._read_positions()
        self.healthy = True

    def _empty_log(self) -> None:
        """Leave nothing in a log that a failed fsync may have torn: what is written behind a hole would be lost with it."""
        with suppress(apsw.BusyError):  # somebody reads: no reason to stay closed
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

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
            return busy_message(self._path)
        if not isinstance(error, apsw.FullError):
            self.healthy = False
        return disk_message(self._path, error)

    def _refuse(self, calls: Iterable[Call], reason: str) -> None:
        for call in calls:
            call.answer, call.error = None, StoreUnavailable(reason)

    # a transaction

    def write(self, calls: Sequence[Call]) -> None:
        """Carry out calls in one transaction and answer them; one that cannot be stored does not fail the others."""
        calls = self._begin(calls)
        if not calls:
            return
        began = time.monotonic()
        change = Change(now=self.now(), wall=self.wall())
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
            telemetry.COMMIT_SECONDS.observe(time.monotonic() - began)

    def _begin(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Take the write lock; who has waited for it too long is refused, the others are returned."""
        if not self._in_place():
            self.healthy = False
            self._refuse(calls, gone_message(self._path))
            return ()
        if not self.healthy:
            self._refuse(calls, unchecked_message(self._path))
            return ()
        while calls:
            self._wait_for_others(calls[0].since + BUSY_S - time.monotonic())
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

    def _wait_for_others(self, left_s: float) -> None:
        """Set for how long, in steps of 0.1 s: nearly every transaction has the same."""
        busy_ms = max(1, math.ceil(left_s * 10) * 100)
        if busy_ms != self._busy_ms:
            self._busy_ms = busy_ms
            self._db.set_busy_timeout(busy_ms)

    def _roll_back(self) -> None:
        with suppress(apsw.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _one_by_one(self, calls: Sequence[Call], error: Exception) -> None:
        if len(calls) > 1:
            for call in calls:
                call.answer = call.error = None
                self.write([call])
        else:
            calls[0].answer = None
            calls[0].error = StoreError(f"{self._path} cannot hold what it was given: {error}")
            calls[0].error.__cause__ = error

    def _carry_out(self, calls: Sequence[Call], change: Change) -> None:
        dated = self._append([call for call in calls if isinstance(call, Append)], change)
        dated += self._settle([call for call in calls if isinstance(call, Settle)], change)
        for call in calls:
            if isinstance(call, Write):
                dated = 0  # it may remove the rows that had the time
                try:
                    call.answer = call.run(change)
                except KeyError as error:
                    call.error = error
        if not dated:
            self._db.execute(sql.SET_CLOCK, (change.now,))

    def _keep(self, change: Change) -> None:
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
            left = len(rows) - done
            size = left if left <= EXACT_ROWS else min(ROWS, left // 8 * 8)
            values = itertools.chain.from_iterable(rows[done : done + size])
            self._db.execute(_sql(statement, len(rows[0]), size), (*values, *after))
            changed += self._db.changes()
            done += size
        return changed

    # append

    def _append(self, calls: Sequence[Append], change: Change) -> int:
        """How many rows now have the time of this transaction."""
        owners = iter(self._owners([new for call in calls for new in call.events], change.now))
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        busy = self._busy_lanes(calls)
        for call in calls:
            call.answer = []
            for new in call.events:
                owner = next(owners)
                if owner is None:
                    events.append(self._event_row(new.event, change.now, redact=new.is_redacted_later))
                    held_back = self._held_back(new, change.now) if new.firings else NO_ROUTES
                    sent = [each for each in new.deliveries if each.route not in held_back]
                    leases = [self._add_delivery(each, new.event, change, deliveries, busy) for each in sent]
                    granted = tuple(lease for lease in leases if lease)
                    call.answer.append(Appended(new.event.id, False, granted, held_back))
                else:
                    call.answer.append(Appended(owner, True))
        self._rows(sql.ADD_DELIVERIES, deliveries)
        return self._rows(sql.ADD_EVENTS, events)

    def _held_back(self, new: NewEvent, now: float) -> frozenset[str]:
        """Those of its routes that have fired for their key; the others have done so now."""
        late: set[str] = set()
        for firing in new.firings:
            key, expires = storable(firing.key), now + firing.window_s
            self._db.execute(sql.FIRE, (firing.name, key, new.event.id, now, expires))
            if not self._db.changes():
                self._db.execute(sql.HOLD_BACK, (self._event_seq, firing.name, key))
                late |= firing.routes
        return frozenset(late)

    def _busy_lanes(self, calls: Sequence[Append]) -> set[tuple[str, str]]:
        """Those lanes of new deliveries in which others are pending."""
        lanes = {
            (each.destination, storable(each.lane))
            for call in calls
            for new in call.events
            for each in new.deliveries
            if each.lane is not None
        }
        return set(self._db.execute(sql.BUSY_LANES, (to_json(list(lanes)),))) if lanes else lanes

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

    def _event_row(self, event: Event, now: float, *, redact: bool) -> tuple[Any, ...]:
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
            int(redact),
        )

    def _add_delivery(
        self,
        new: NewDelivery,
        event: Event,
        change: Change,
        rows: list[tuple[Any, ...]],
        busy: set[tuple[str, str]],
    ) -> Lease | None:
        self._delivery_seq += 1
        seq, now = self._delivery_seq, change.now
        row = (seq, new.id, self._event_seq, new.route, new.destination, "pending")
        lane = None
        if new.lane is not None:
            lane = storable(new.lane)
            if (new.destination, lane) in busy:
                rows.append((*row, tables.BEHIND, now, lane, seq))
                return None
            busy.add((new.destination, lane))
        rows.append((*row, now, now, lane, seq))
        others_wait = new.destination in change.lowered or self.leases.is_due(new.destination, now)
        if new.lease_s is None or others_wait:
            change.lower(new.destination, now)
            return None
        delivery = Delivery(
            id=new.id, event_id=event.id, route=new.route, destination=new.destination, due_in_s=0.0, lane=lane
        )
        lease = Lease(delivery, next(self._tokens))
        change.granted.append(Held(lease=lease, seq=seq, due=now, until=now + new.lease_s))
        return lease

    # settle

    def _settle(self, calls: Sequence[Settle], change: Change) -> int:
        """How many rows now have the time of this transaction."""
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
        if change.freed:
            self.let_next_go(change)
        return self._rows(sql.ADD_ATTEMPTS, attempts)

    def let_next_go(self, change: Change) -> None:
        """The next ones of lanes that may have lost their first are due now."""
        freed: list[Any] = self._db.execute(sql.NEXT_IN_LANES, (to_json(list(change.freed)), change.now)).fetchall()
        for (destination,) in freed:
            change.lower(destination, change.now)

    def _move(
        self,
        held: Held,
        outcome: Outcome,
        change: Change,
        moves: list[tuple[Any, ...]],
        attempts: list[tuple[Any, ...]],
    ) -> None:
        before = held.lease.delivery
        change.ended[before.id] = held
        if isinstance(outcome.result, Release):
            change.lower(before.destination, held.due)
            return
        due = change.now + outcome.result.after_s if isinstance(outcome.result, Retry) else None
        if due is not None:
            change.lower(before.destination, due)
        elif before.lane is not None:
            change.freed.add((before.destination, before.lane))
        if outcome.told is not None:
            for route, destination in outcome.told.routes:
                self._tell(held, outcome.told.notice, route, destination, change)
        moves.append(move_row(held.seq, outcome, before, due, change.now))
        if outcome.attempt is not None:
            attempts.append(attempt_row(held.seq, outcome.attempt, change.now))

    def _tell(self, held: Held, notice: Notice, route: str, destination: str, change: Change) -> None:
        """The first dead one is told at once; what follows within TOGETHER_S goes together, at the end of that time."""
        teller = to_json([route, destination, notice.destination])
        seq, told = self._db.execute(sql.LAST_NOTICE, (teller,)).get or (0, -math.inf)
        if told > change.now:
            self._db.execute(sql.ONE_MORE, (seq,))
            return
        due = max(change.now, told + TOGETHER_S)
        self._delivery_seq += 1
        event_seq = self._db.execute(sql.EVENT_OF, (held.seq,)).get
        row = (self._delivery_seq, new_id("dlv", self.wall()), event_seq, route, destination, "pending", due)
        self._rows(sql.ADD_DELIVERIES, [(*row, change.now, None, None)])
        self._db.execute(
            sql.ADD_NOTICE, (self._delivery_seq, teller, due, to_json(replace(notice, reason=storable(notice.reason))))
        )
        change.lower(destination, due)

    # what the tasks of people need

    @property
    def db(self) -> apsw.Connection:
        """The owner's connection, inside a transaction."""
        return self._db

    def next_delivery(self) -> int:
        """A number that no delivery has had."""
        self._delivery_seq += 1
        return int(self._delivery_seq)

    def add_deliveries(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of ADD_DELIVERIES."""
        self._rows(sql.ADD_DELIVERIES, rows)

    def fall_in(self, seqs: Sequence[int]) -> None:
        """Put deliveries that are pending again at the ends of their lanes."""
        for (seq,) in self._db.execute(sql.LANED, (to_json(seqs),)).fetchall():
            self._db.execute(sql.LAST_IN_LANE, (self.next_delivery(), seq))
        self._db.execute(sql.FALL_IN, (to_json(seqs),))

    def leased(self) -> Sequence[int]:
        """Numbers of the deliveries that are on their way."""
        return [held.seq for held in self.leases.all()]

    def end_leases(self, seqs: Collection[int], change: Change) -> None:
        """What is on its way there has no outcome any more."""
        change.ended.update({held.lease.delivery.id: held for held in self.leases.all() if held.seq in seqs})

    def pause(self, pause: Pause) -> None:
        by, reason = storable(pause.by), storable(pause.reason)
        self._db.execute(
            sql.PAUSE, (storable(pause.destination), int(pause.is_mute), by, reason, pause.since, pause.until)
        )

    def resume(self, destination: str, *, is_mute: bool) -> bool:
        return self._db.execute(sql.RESUME, (destination, int(is_mute))).get is not None

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Remember requests that were refused; only the newest REJECTED_KEPT stay."""
        rows = [
            (each.at, storable(each.source), storable(each.path), each.status, storable(each.reason), each.count)
            for each in rejected
        ]
        self._rows(sql.REJECT, rows)
        self._db.execute(sql.FORGET_REJECTED, (REJECTED_KEPT,))

    # upkeep

    @property
    def is_index_behind(self) -> bool:
        """Whether there may be events that are not in the index of words. For any thread."""
        return self._upkeep.is_behind(self._event_seq)

    def index(self, limit: int) -> bool:
        """Take at most ``limit`` events into the index of words; whether there may be more."""
        return self._upkeep.index(self._db, limit, self._event_seq)

    def prune(self, retention: Retention, limit: int, change: Change) -> tuple[int, bool]:
        """Remove one slice: the number of items removed, and whether there may be more even if it is 0."""
        return self._upkeep.prune(self._db, retention, limit, change.now)

    def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        return self._upkeep.redact(self._db, bodies)

    # claim and load

    def read(self, call: Claim | Load) -> None:
        if not self.healthy:
            self._refuse([call], unchecked_message(self._path))
            return
        try:
            call.answer = self._claim(call.wants) if isinstance(call, Claim) else self._load(call.event_ids)
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
        rows = _decoded(answer)
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
            event, intact, body_is = event_of(row)
            loaded[event.id] = event if intact and body_is != "removed" else CorruptEvent(damaged(event.id))
        return loaded
