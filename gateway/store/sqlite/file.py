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
    CHECK_S,
    CLEAN_CHECK_S,
    busy_message,
    check_version,
    connect,
    corrupt,
    disk_message,
    emptied,
    gone_message,
    migrate,
    opening,
    quick_check,
)
from gateway.store.sqlite.lock import OwnerLock
from gateway.store.sqlite.space import Reserve

#: The log is copied into the database once it has this many pages of 4 KiB; on a full disk it is kept short.
CHECKPOINT_PAGES: Final = 1000
FULL_DISK_PAGES: Final = 64


class File:
    """One file with one owner. Everything but ``now`` is for the owner's thread."""

    def __init__(self, path: str, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self.wall = wall
        self.healthy = True
        #: Whether all of it was checked when it was opened.
        self.is_checked = False
        #: What is known to be wrong with it; empty: nothing. For any thread.
        self.damage = ""
        #: Whether the last owner did not close it.
        self.was_left = False
        self.log_pages = 0
        self.reserve = Reserve(path)

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
            undo.callback(self.db.close)
            found = Path(self.path).stat()
            self._identity, self._size = (found.st_dev, found.st_ino), found.st_size
            self._start_clock()
            undo.pop_all()

    def abandon(self) -> None:
        """Give up right after ``open``: the file and its lock stay as they were found."""
        self.db.close()
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
            # Otherwise SQLite creates a temporary file in every commit, to undo a long statement.
            self.db.pragma("temp_store", "memory")
            self.db.set_wal_hook(self._count_log)
            migrate(self.db, known)
        except BaseException:
            self.db.close()
            raise

    def reopen(self) -> None:
        """After a disk error: close, open and check. Raises StoreError."""
        if not self.is_in_place():
            raise StoreError(gone_message(self.path))
        with opening(self.path):
            self.db.close()
            try:
                self._connect(CHECK_S)
                # A failed fsync may have torn it: what is written after a hole would be lost with it.
                self.empty_log()
            except apsw.FullError:
                self.reserve.give_up()
                raise

    def empty_log(self) -> bool:
        """Leave nothing in the log; False while somebody reads."""
        try:
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return False
        return True

    def close(self) -> None:
        try:
            with suppress(apsw.Error):
                self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            with suppress(apsw.Error):
                self.db.close()
        finally:
            self._lock.release(clean=self.healthy)

    # its log

    def _count_log(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.log_pages = pages
        return apsw.SQLITE_OK

    def checkpoint(self) -> None:
        """Copy the log into the database once it is long; after the answers, so that nobody waits for it."""
        most = FULL_DISK_PAGES if self.reserve.is_given_up else CHECKPOINT_PAGES
        if self.healthy and self.log_pages >= most:
            self.log_pages = 0
            try:
                self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
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

    def is_in_place(self) -> bool:
        """Whether the open file is the one that the next start will find, and whole: it never shrinks."""
        try:
            found = Path(self.path).stat()
        except OSError:
            return False
        whole = found.st_size >= self._size
        self._size = max(self._size, found.st_size)
        return whole and (found.st_dev, found.st_ino) == self._identity

    def explain(self, error: apsw.Error) -> str:
        """What an error means, for people; if the store must be opened again, it is unhealthy from here on."""
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return busy_message(self.path)
        if not isinstance(error, apsw.FullError):
            self.healthy = False
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            self.find_damage(str(corrupt(self.path, error)))
            return self.damage
        return disk_message(self.path, error)

    def find_damage(self, said: str) -> None:
        """Remember what is wrong: the first finding, until the next start."""
        if not self.damage:
            self.damage = said
            telemetry.log("store.damaged", reason=said)
