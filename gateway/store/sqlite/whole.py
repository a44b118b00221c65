"""The file as a whole: a copy of it, and a check of all that is in it. Both may take minutes."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from gateway.errors import StoreCorrupt, StoreError
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.lock import owner_of
from gateway.store.sqlite.numbers import size
from gateway.store.sqlite.rows import event_of
from gateway.store.sqlite.snapshots import Snapshots

#: Endings of the files that are one store.
FILES: Final = ("", "-wal", "-shm", ".lock", ".now", ".reserve")
#: Each worker has a crash slot of its own.
_OF_A_WORKER: Final = re.compile(r"\.[0-9]+\.now$")
#: Steps of SQLite's virtual machine between two calls of a progress handler.
STEPS: Final = 100_000


class Job:
    """A backup or a check; ``stop`` ends it soon, from any thread."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        #: How much is done, and of how much: bytes of a backup, events of a check. For any thread.
        self.progress = (0, 0)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up."""
        self._stopped.set()

    # copying

    def backup(self, path: str, *, replaces: bool) -> int:
        """Copy the store to ``path``; bytes. A store in use is never replaced, least of all this one. Raises StoreError."""
        target = Path(path)
        self._refuse_in_use(target)
        if target.exists() and not replaces:
            raise StoreError(f"{path} exists: name another file, or use --force")
        partial = target.with_name(target.name + ".partial")
        with suppress(FileNotFoundError):
            partial.unlink()
        try:
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._copy(partial)
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
        return size(target)

    def _refuse_in_use(self, target: Path) -> None:
        name = _OF_A_WORKER.sub(".now", os.path.realpath(target))
        if any(_is_same(name, self._snapshots.path + ending) for ending in FILES):
            raise StoreError(f"{target} belongs to the store being copied: name another file")
        for store in {name.removesuffix(ending) for ending in FILES}:
            owner = owner_of(store)
            if owner is not None and owner.is_alive:
                raise StoreError(f"{target} belongs to a store in use by {owner.name}: name another file")
        # SQLite would replay that log into the copy.
        if size(Path(name + "-wal")):
            raise StoreError(f"{target} is a store that was not closed, {name}-wal is its log: name another file")

    def _copy(self, partial: Path) -> None:
        with self._snapshots.take() as (db, _):
            pages = db.pragma("page_count") - db.pragma("freelist_count")
            whole = pages * db.pragma("page_size")
            db.set_progress_handler(lambda: self._report(size(partial), whole), STEPS)
            db.execute("COMMIT")
            try:
                # One statement sees one moment, however long it takes; the owner continues meanwhile.
                db.execute("VACUUM INTO ?", (str(partial),))
            except apsw.FullError:
                raise StoreError(f"{partial.parent}: the disk is full; the backup needs {whole:,} bytes") from None
            finally:
                db.set_progress_handler(None)

    # checking

    def check(self) -> list[str]:
        """Check everything; what is wrong, a sentence each."""
        try:
            with self._snapshots.take() as (db, _):
                db.set_progress_handler(self._stopped.is_set, STEPS)
                try:
                    return list(_damage(db)) or list(self._contradictions(db))
                finally:
                    db.set_progress_handler(None)
        except StoreCorrupt as error:
            return [str(error)]

    def _contradictions(self, db: apsw.Connection) -> Iterator[str]:
        for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to a row of {parent} that does not exist"
        last = db.execute(sql.LAST_EVENT).get
        for seq, *row in db.execute(sql.BODIES):
            event, intact, _ = event_of(row)
            if not intact:
                yield f"event {event.id}: its stored body does not match its checksum"
            if seq % 1000 == 0 or seq == last:
                self._report(seq, last)
        for name, state, counted, there in db.execute(sql.WRONG_TALLY):
            yield f"deliveries of {name}, {state}: {counted} are counted, {there} exist"
        for name, counted, there in db.execute(sql.WRONG_MEMORIES):
            yield f"keys remembered as {name}: {counted} are counted, {there} exist"

    def _report(self, done: int, whole: int) -> bool:
        """Whether to stop."""
        self.progress = (done, whole)
        return self._stopped.is_set()


def _damage(db: apsw.Connection) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            yield str(line)


def _is_same(path: str, other: str) -> bool:
    """Whether two paths are, or would be, one file."""
    return path == other or (Path(path).exists() and Path(other).exists() and Path(path).samefile(other))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
