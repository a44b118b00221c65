"""Transactions on the store's file: what waits is carried out together, and each call gets its answer or its error."""

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import apsw

from gateway import telemetry
from gateway.errors import StoreError, StoreUnavailable
from gateway.store.nouns import Retention
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import upkeep
from gateway.store.sqlite.appends import append
from gateway.store.sqlite.calls import Append, Call, Change, Claim, Load, Settle, Write
from gateway.store.sqlite.connection import BUSY_S, gone_message, opening, unchecked_message
from gateway.store.sqlite.file import File
from gateway.store.sqlite.outcomes import claim, load, settle
from gateway.store.sqlite.records import Records

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


class Database:
    """The database as its owner's thread sees it; only the clock of ``file`` and the hints of leases are for others."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.records = Records()
        self._busy_ms = 0
        self._upkeep = upkeep.Upkeep()

    # opening and closing

    def open(self) -> None:
        """Become the owner. Raises StoreError; nothing is held then, and the file is as it was."""
        self.file.open()
        try:
            with opening(self.file.path):
                # The file has one owner: whoever held a task is gone.
                self.file.db.execute(sql.FREE_TASKS)
                self.records.begin(self.file.db)
        except BaseException:
            self.file.abandon()
            raise

    def reopen(self) -> None:
        """After a disk error: close, open, check. Raises StoreError."""
        self._busy_ms = 0
        self.file.reopen()
        with opening(self.file.path):
            self.records.begin_again(self.file.db)
        self.file.healthy = True

    # a transaction

    def write(self, calls: Sequence[Call]) -> None:
        """Carry out calls in one transaction and answer them; one that cannot be stored does not fail the others."""
        calls = self._begin(calls)
        if not calls:
            return
        began = time.monotonic()
        change = Change(now=self.file.now(), wall=self.file.wall())
        self.records.leases.expire(change.now)
        try:
            self._carry_out(calls, change)
            self.file.db.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            if not isinstance(error, _REFUSED):
                self._refuse(calls, self.file.explain(error))
            else:
                self._one_by_one(calls, error)
        except Exception as error:  # noqa: BLE001  a value that SQLite does not take, or a bug: the thread lives on
            self._roll_back()
            self._one_by_one(calls, error)
        else:
            self.records.keep(change)
            telemetry.COMMIT_SECONDS.observe(time.monotonic() - began)

    def _begin(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Take the write lock; calls that have waited too long for it are refused, the others are returned."""
        if not self.file.is_in_place():
            self.file.healthy = False
            self._refuse(calls, gone_message(self.file.path))
            return ()
        if not self.file.healthy:
            self._refuse(calls, unchecked_message(self.file.path))
            return ()
        while calls:
            self._wait_for_others(calls[0].since + BUSY_S - time.monotonic())
            try:
                self.file.db.execute("BEGIN IMMEDIATE")
            except apsw.BusyError as error:
                late = time.monotonic() - BUSY_S + 0.01
                self._refuse((call for call in calls if call.since <= late), self.file.explain(error))
                calls = [call for call in calls if call.since > late]
            except apsw.Error as error:
                self._refuse(calls, self.file.explain(error))
                return ()
            else:
                break
        return calls

    def _wait_for_others(self, left_s: float) -> None:
        """Set how long to wait for another program, in steps of 0.1 s: nearly every transaction has the same."""
        busy_ms = max(1, math.ceil(left_s * 10) * 100)
        if busy_ms != self._busy_ms:
            self._busy_ms = busy_ms
            self.file.db.set_busy_timeout(busy_ms)

    def _carry_out(self, calls: Sequence[Call], change: Change) -> None:
        dated = append(self.records, [call for call in calls if isinstance(call, Append)], change)
        dated += settle(self.records, [call for call in calls if isinstance(call, Settle)], change)
        for call in calls:
            if isinstance(call, Write):
                dated = 0  # it may remove the rows that had the time
                try:
                    call.answer = call.run(change)
                except KeyError as error:
                    call.error = error
        if not dated:
            self.file.db.execute(sql.SET_CLOCK, (change.now,))

    def _roll_back(self) -> None:
        with suppress(apsw.Error):
            if self.file.db.in_transaction:
                self.file.db.execute("ROLLBACK")

    def _one_by_one(self, calls: Sequence[Call], error: Exception) -> None:
        if len(calls) > 1:
            for call in calls:
                call.answer = call.error = None
                self.write([call])
        else:
            calls[0].answer = None
            calls[0].error = StoreError(f"{self.file.path} cannot store what it was given: {error}")
            calls[0].error.__cause__ = error

    def _refuse(self, calls: Iterable[Call], reason: str) -> None:
        for call in calls:
            call.answer, call.error = None, StoreUnavailable(reason)

    # outside a transaction

    def read(self, call: Claim | Load) -> None:
        """Carry out a claim or a load and answer it."""
        if not self.file.healthy:
            self._refuse([call], unchecked_message(self.file.path))
            return
        try:
            if isinstance(call, Claim):
                call.answer = claim(self.records, call.replica, call.wants, self.file.now())
            else:
                call.answer = load(self.records, call.event_ids)
        except apsw.Error as error:
            self._refuse([call], self.file.explain(error))
        except Exception as error:  # noqa: BLE001  a bug: the caller hears of it and the thread lives on
            call.error = error

    # upkeep

    @property
    def is_index_behind(self) -> bool:
        """Whether there may be events that are not in the index of words. For any thread."""
        return self._upkeep.is_behind(self.records.event_seq)

    def index(self, limit: int) -> bool:
        """Take at most ``limit`` events into the index of words; whether there may be more."""
        return self._upkeep.index(self.file.db, limit, self.records.event_seq)

    def prune(self, retention: Retention, limit: int, change: Change) -> tuple[int, bool]:
        """Remove one slice: the number of items removed, and whether there may be more even if it is 0."""
        return self._upkeep.prune(self.file.db, retention, limit, change.now)

    def cleanse(self, headers: Mapping[str, Collection[str]], limit: int) -> bool:
        """Remove headers from at most ``limit`` events that an older release stored; whether there are more of them."""
        return upkeep.cleanse(self.file.db, headers, limit)

    def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        return self._upkeep.redact(self.file.db, bodies)
