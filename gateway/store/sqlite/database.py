"""Transactions on the store's file: what waits is carried out together, and each call gets its answer or its error."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import apsw

from gateway import telemetry
from gateway.errors import StoreError, StoreUnavailable
from gateway.store.activities import Erasure, OpenErasure
from gateway.store.nouns import Retention
from gateway.store.sqlite import forgetting, upkeep
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.appends import append
from gateway.store.sqlite.calls import Append, Call, Change, Claim, EmptyLog, Settle, Write
from gateway.store.sqlite.connection import BUSY_S, opening
from gateway.store.sqlite.file import File
from gateway.store.sqlite.outcomes import claim, settle
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.turns import Turns

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


class Database:
    """The database as its owner's thread sees it; only the clock of ``file`` and the hints of leases are for others."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.records = Records()
        self.turns = Turns()
        self._upkeep = upkeep.Upkeep()

    # opening and closing

    def open(self) -> None:
        """Become the owner. Raises StoreError; nothing is held then, and the file is as it was."""
        while True:
            try:
                return self._open()
            except StoreUnavailable as error:
                if not (isinstance(error.__cause__, apsw.FullError) and self.file.reserve.give_up()):
                    raise

    def _open(self) -> None:
        self.file.open()
        try:
            with opening(self.file.path):
                # The file has one owner: whoever held a task is gone.
                self.file.db.execute(sql.FREE_TASKS)
                self.records.begin(self.file.db)
                if self.records.event_seq:
                    self.file.remember_events()
                # An erasure that was begun is wiped to the end.
                self._upkeep.words.is_dirty = forgetting.is_open(self.file.db)
            self._upkeep.is_log_dirty = self.file.was_left or self._upkeep.words.is_dirty
        except BaseException:
            self.file.abandon()
            raise

    def reopen(self) -> None:
        """After a disk error: close, open, check. Raises StoreError."""
        self.file.reopen()
        with opening(self.file.path):
            self.records.begin_again(self.file.db)
        self.file.trouble = ""

    # a transaction

    def write(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Carry out calls in one transaction and answer them; one that cannot be stored does not fail the others.

        Returns those that another program keeps waiting: to be given again, soon. The others have their answers.
        """
        if not self.file.healthy:
            self._refuse(calls, self.file.trouble)
            return ()
        try:
            self.file.db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            late = time.monotonic() - BUSY_S
            self._refuse((call for call in calls if call.since <= late), self.file.explain(error))
            return [call for call in calls if call.since > late]
        except apsw.Error as error:
            self._refuse(calls, self.file.explain(error))
            return ()
        return self._transact(calls)

    def _transact(self, calls: Sequence[Call]) -> Sequence[Call]:
        began = time.monotonic()
        change = Change(now=self.file.now(), wall=self.file.wall())
        self.records.leases.expire(change.now)
        try:
            self._carry_out(calls, change)
            with self.turns.free():
                self.file.db.execute("COMMIT")
        except apsw.FullError as error:
            self._roll_back()
            return self._without_space(calls, error)
        except apsw.Error as error:
            self._roll_back()
            if isinstance(error, _REFUSED):
                return self._one_by_one(calls, error)
            self._refuse(calls, self.file.explain(error))
        except Exception as error:  # noqa: BLE001  a value that SQLite does not take, or a bug: the thread lives on
            self._roll_back()
            return self._one_by_one(calls, error)
        else:
            # Now, and not before: while it was on its way to the disk, files may have been taken away.
            if self.file.is_lost():
                self._refuse(calls, self.file.trouble)
            else:
                self.records.keep(change)
                if self.records.event_seq:
                    self.file.remember_events()
                telemetry.COMMIT_SECONDS.observe(time.monotonic() - began)
        return ()

    def _carry_out(self, calls: Sequence[Call], change: Change) -> None:
        dated = append(self.records, [call for call in calls if isinstance(call, Append)], change)
        dated += settle(self.records, [call for call in calls if isinstance(call, Settle)], change)
        for call in calls:
            if isinstance(call, Write):
                dated = 0  # it may remove the rows that had the time
                change.is_recounted = True
                change.is_moved |= call.moves
                try:
                    call.answer = call.run(change)
                except KeyError as error:
                    call.error = error
        if not dated:
            self.file.db.execute(sql.SET_CLOCK, (change.now,))

    def _without_space(self, calls: Sequence[Call], error: apsw.FullError) -> Sequence[Call]:
        """The disk is full: new events are refused, and everything else is done at the expense of the reserve."""
        new = [call for call in calls if isinstance(call, Append)]
        others = [call for call in calls if not isinstance(call, Append)]
        self._refuse(new, self.file.explain(error))
        if others and (new or self.file.reserve.give_up()):
            for call in others:
                call.answer = call.error = None
            return self.write(others)
        self._refuse(others, self.file.explain(error))
        return ()

    def _roll_back(self) -> None:
        self.records.last_events.clear()
        with suppress(apsw.Error):
            if self.file.db.in_transaction:
                self.file.db.execute("ROLLBACK")

    def _one_by_one(self, calls: Sequence[Call], error: Exception) -> Sequence[Call]:
        if len(calls) > 1:
            for call in calls:
                call.answer = call.error = None
            return [waiting for call in calls for waiting in self.write([call])]
        calls[0].answer = None
        calls[0].error = StoreError(f"{self.file.path} cannot store what it was given: {error}")
        calls[0].error.__cause__ = error
        return ()

    def _refuse(self, calls: Iterable[Call], reason: str) -> None:
        for call in calls:
            call.answer, call.error = None, StoreUnavailable(reason)

    # outside a transaction

    def read(self, calls: Sequence[Claim | EmptyLog]) -> Sequence[Call]:
        """Carry out calls that change no row, and answer them; none has to be given again."""
        for call in calls:
            if self.file.healthy:
                self._read(call)
            else:
                self._refuse([call], self.file.trouble)
        return ()

    def _read(self, call: Claim | EmptyLog) -> None:
        try:
            if isinstance(call, EmptyLog):
                call.answer = self._empty_log()
            else:
                call.answer = claim(self.records, call.replica, call.wants, self.file.now())
        except apsw.Error as error:
            self._refuse([call], self.file.explain(error))
        except Exception as error:  # noqa: BLE001  a bug: the caller hears of it and the thread lives on
            call.error = error

    # upkeep

    @property
    def is_index_behind(self) -> bool:
        """Whether there may be events that are not in the index of words. For any thread."""
        return self._upkeep.words.is_behind(self.records.event_seq)

    def index(self, limit: int) -> bool:
        """Take at most ``limit`` events into the index of words; whether there may be more."""
        return self._upkeep.words.add(self.file.db, limit, self.records.event_seq)

    def prune(self, retention: Retention, limit: int, change: Change) -> tuple[int, bool]:
        """Remove one slice: the number of items removed, and whether there may be more even if it is 0."""
        removed, more = self._upkeep.prune(self.file.db, retention, limit, change.now)
        if removed:
            # Records may be among it.
            self.records.last_events.clear()
        return removed, more

    def begin_erasure(self, erasure: Erasure, mentioned: Sequence[str], change: Change) -> str:
        """Begin to forget events; the id of the activity."""
        self._upkeep.is_log_dirty = True
        self.records.last_events.clear()
        return forgetting.begin(self.records, erasure, mentioned, change)

    def forget(self, erasure: OpenErasure, event_ids: Collection[str], to: str, replica: str, change: Change) -> None:
        """Forget events, and continue the erasure or finish it."""
        self._upkeep.is_log_dirty = True
        self.records.last_events.clear()
        forgetting.forget(self.records, self._upkeep.words, erasure, event_ids, to, replica, change)

    @property
    def is_unwiped(self) -> bool:
        """Whether something that was removed may be left in the index or in the log. For any thread."""
        return self._upkeep.words.is_dirty or self._upkeep.is_log_dirty

    def merge(self) -> bool:
        """Do a slice of merging the index of words; whether there is more to do."""
        self._upkeep.words.merge(self.file.db)
        # What the slice has replaced is in the log.
        self._upkeep.is_log_dirty = True
        return self._upkeep.words.is_dirty

    def _empty_log(self) -> bool:
        """Leave nothing in the log; whether it is empty now, since somebody may be reading."""
        if self.file.healthy and self.file.empty_log():
            self._upkeep.is_log_dirty = False
        return not self._upkeep.is_log_dirty

    def cleanse(self, headers: Mapping[str, Collection[str]], limit: int) -> bool:
        """Remove headers from at most ``limit`` events that an older release stored; whether there are more of them."""
        return upkeep.cleanse(self.file.db, headers, limit)

    def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        return self._upkeep.redact(self.file.db, bodies)
