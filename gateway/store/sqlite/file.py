"""The store's file as its owner has it open: the lock, the connection, the clock and the log."""

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import apsw

from gateway import telemetry
from gateway.errors import StoreError
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.connection import (
    BUSY_LOOK_S,
    CHECK_S,
    CLEAN_CHECK_S,
    busy_message,
    check_version,
    connect,
    corrupt,
    disk_message,
    emptied,
    gone_message,
    log_gone_message,
    migrate,
    opening,
    quick_check,
    unchecked_message,
)
from gateway.store.sqlite.lock import OwnerLock
from gateway.store.sqlite.log import Log
from gateway.store.sqlite.space import Reserve

#: Memory for pages of the database in which the owner writes.
CACHE_KIB: Final = 4096


class File:
    """One file with one owner. Everything but ``now`` is for the owner's thread."""

    def __init__(self, path: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self.wall = wall
        #: Why the file has to be opened again before anything is stored; "" if it has not.
        self.trouble = ""
        #: Whether all of it was checked when it was opened.
        self.is_checked = False
        #: What is known to be wrong with it; empty: nothing. For any thread.
        self.damage = ""
        #: Whether the last owner did not close it.
        self.was_left = False
        self.reserve = Reserve(path)

    @property
    def healthy(self) -> bool:
        return not self.trouble

    # its life

    def open(self) -> None:
        """Become the owner. Raises StoreError; nothing is held then, and the file is as it was."""
        with ExitStack() as undo, opening(self.path):
            self._lock = OwnerLock(self.path)
            undo.callback(self._release_unused)
            self.reserve.find()
            self._refuse_emptied()
            self._make_private()
            self.was_left = self._lock.was_left or self._has_log()
            self._connect(CHECK_S if self.was_left else CLEAN_CHECK_S)
            undo.callback(self._disconnect)
            self._start_clock()
            undo.pop_all()

    def abandon(self) -> None:
        """Give up right after ``open``: the file and its lock stay as they were found."""
        self._disconnect()
        self._release_unused()

    def _release_unused(self) -> None:
        self._lock.release(clean=not self._lock.was_left)

    def _make_private(self) -> None:
        """Create an absent file for this user alone; SQLite gives its log the same mode. An existing one is not touched."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _refuse_emptied(self) -> None:
        with suppress(FileNotFoundError):
            if self._lock.has_held_events and not Path(self.path).stat().st_size:
                raise emptied(self.path)

    def remember_events(self) -> None:
        """From here on, an empty file is a lost one."""
        self._lock.remember_events()

    def _has_log(self) -> bool:
        with suppress(OSError):
            return Path(self.path + "-wal").stat().st_size > 0
        return False

    def _connect(self, check_s: float) -> None:
        self.db = connect(self.path, apsw.SQLITE_OPEN_READWRITE)
        try:
            known = check_version(self.db, self.path)
            self.is_checked = not known or quick_check(self.db, self.path, check_s)
            self.db.pragma("journal_mode", "wal")
            self.db.pragma("synchronous", "full")
            # What was removed is gone: nobody finds it in the file, or in a copy of the disk.
            self.db.pragma("secure_delete", True)
            self.db.pragma("journal_size_limit", 64 * 1024 * 1024)
            # It fills up with events that nobody asks for again; what is used all the time is a fraction of it.
            self.db.pragma("cache_size", -CACHE_KIB)
            # Otherwise SQLite creates a temporary file in every commit, to undo a long statement.
            self.db.pragma("temp_store", "memory")
            migrate(self.db, known)
            self.db.set_busy_timeout(int(BUSY_LOOK_S * 1000))
            self.log = Log(self.path, self.db)
            self._identity, self._log_identity = _identity(self.path), _identity(self.path + "-wal")
            self._size, self._rescued = 0, False
        except BaseException:
            self.db.close()
            raise

    def _disconnect(self) -> None:
        # Whoever closes the file last removes the log.
        self._log_identity = None
        self.log.close()
        self.db.close()

    def reopen(self) -> None:
        """After a disk error: close, open and check. Raises StoreError."""
        if self.is_lost():
            raise StoreError(self.trouble)
        with opening(self.path):
            self._disconnect()
            try:
                self._connect(CHECK_S)
                # A failed fsync may have torn it: what is written after a hole would be lost with it.
                self.empty_log(is_patient=True)
            except apsw.FullError:
                self.reserve.give_up()
                raise

    def empty_log(self, *, is_patient: bool = False) -> bool:
        """Leave nothing in the log; False while somebody reads."""
        try:
            self.log.empty(is_patient=is_patient)
        except apsw.BusyError:
            return False
        return True

    def close(self) -> None:
        try:
            with suppress(apsw.Error):
                self.log.empty(is_patient=True)
            with suppress(apsw.Error):
                self._disconnect()
        finally:
            self._lock.release(clean=self.healthy)

    # its log

    def tend_log(self, *, is_awaited: bool) -> None:
        """Have the log copied into the database once it is long; on a full disk it is kept short.

        ``is_awaited``: senders wait for the writer.
        """
        if self.healthy:
            try:
                self.log.tend(is_short=self.reserve.is_given_up, is_awaited=is_awaited)
            except apsw.FullError:
                # The next transaction tries again.
                self.reserve.give_up()
            except apsw.Error as error:
                self.explain(error)

    # its clock

    def _start_clock(self) -> None:
        stored = float(self.db.execute(sql.STORED_TIME).get)
        self._ahead = max(self.wall(), stored) - self._clock()

    def now(self) -> float:
        """The store's clock, seconds: never earlier than a time that it has stored, whatever the wall clock does."""
        return self._clock() + self._ahead

    # its health

    def is_lost(self) -> bool:
        """Whether the next start would not find what is stored from now on: then nothing is stored any more."""
        if not self._is_whole():
            self.trouble = gone_message(self.path)
        elif self._log_identity not in (None, _identity(self.path + "-wal")):
            self.trouble = log_gone_message(self.path) if self._is_rescued() else gone_message(self.path + "-wal")
        else:
            return False
        return True

    def _is_whole(self) -> bool:
        """Whether the database is the one that was opened; it never shrinks."""
        found = _stat(self.path)
        if found is None or found.st_size < self._size:
            return False
        self._size = found.st_size
        return (found.st_dev, found.st_ino) == self._identity

    def _is_rescued(self) -> bool:
        """Copy what is in a log that has no name any more, but is open, to where the next start finds it."""
        with suppress(apsw.Error):
            self._rescued = self._rescued or self.log.copy_now()
        return self._rescued

    def explain(self, error: apsw.Error) -> str:
        """What an error means, for people; if the store must be opened again, it is unhealthy from here on."""
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return busy_message(self.path)
        if not isinstance(error, apsw.FullError):
            self.trouble = unchecked_message(self.path)
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            self.find_damage(str(corrupt(self.path, error)))
            self.trouble = self.damage
            return self.damage
        return disk_message(self.path, error)

    def find_damage(self, said: str) -> None:
        """Remember what is wrong: the first finding, until the next start."""
        if not self.damage:
            self.damage = said
            telemetry.log("store.damaged", reason=said)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116  at every commit, and a Path costs more than the call
    except OSError:
        return None


def _identity(path: str) -> tuple[int, int] | None:
    found = _stat(path)
    return found and (found.st_dev, found.st_ino)
