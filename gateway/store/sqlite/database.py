"""Transactions on the store's file: what waits is carried out together, and each call gets its answer or its error."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import apsw

from gateway import telemetry
from gateway.errors import StoreError, StoreUnavailable
from gateway.store.nouns import Retention
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.appends import append
from gateway.store.sqlite.calls import Append, Call, Change, Claim, Settle, Write
from gateway.store.sqlite.connection import BUSY_S, opening
from gateway.store.sqlite.file import File
from gateway.store.sqlite.outcomes import claim, settle
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.turns import Turns
from gateway.store.sqlite.upkeep import Upkeep

# The caller gave what cannot be stored: its own failure, not the disk's.
_REFUSED: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


class Database:
    """The database as its owner's thread sees it; only the clock of ``file`` and the hints of leases are for others."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.records = Records()
        self.turns = Turns()
        self._upkeep = Upkeep()

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
                telemetry.COMMIT_SECONDS.observe(time.monotonic() - began)
        return ()

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

    def claim(self, call: Claim) -> None:
        """Carry out a claim and answer it."""
        if not self.file.healthy:
            self._refuse([call], self.file.trouble)
            return
        try:
            call.answer = claim(self.records, call.replica, call.wants, self.file.now())
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

    def redact(self, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        return self._upkeep.redact(self.file.db, bodies)
