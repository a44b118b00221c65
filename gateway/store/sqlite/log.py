"""The write-ahead log of an open file: how long it is, and how it gets back into the database."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import apsw

from gateway.store.sqlite.connection import connect

#: The log is copied into the database whenever it has so many more pages, of 4 KiB.
CHECKPOINT_PAGES: Final = 1000
#: ... while there is no space for a longer one.
SHORT_PAGES: Final = 64
#: A log of so many pages starts over when no sender waits ...
RESTART_PAGES: Final = 8 * CHECKPOINT_PAGES
#: ... and one of so many even if they do: on a slow disk it is a wait of several commits.
MOST_PAGES: Final = 32 * CHECKPOINT_PAGES


class Log:
    """Copies the log on a thread and a connection of its own, so that no sender waits for it.

    The writer starts the log over once all of it has been copied. While events keep coming there is always a little
    more by then, and the writer has to copy that little itself, which takes two syncs: at a moment when nobody waits, or
    else rarely.
    """

    def __init__(self, path: str, writer: apsw.Connection) -> None:
        self._writer = writer
        # Opened now, with the writer: one that is opened later may find another file by that name.
        self._beside = connect(path, apsw.SQLITE_OPEN_READWRITE)
        self._beside.pragma("synchronous", "full")
        self._beside.pragma("schema_version")
        #: Its length after the last commit, and how much of it is in the database, pages.
        self.pages = self._copied = 0
        self._copier = ThreadPoolExecutor(1, "store-log")
        self._copying: Future[int] | None = None
        writer.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self.pages:
            self._copied = 0  # it started over
        self.pages = pages
        return apsw.SQLITE_OK

    def tend(self, *, is_short: bool = False, is_awaited: bool = False) -> None:
        """Begin to copy a log that has become long, or let it start over; one that ``is_short`` is copied at once.

        ``is_awaited``: senders wait for the writer. Raises apsw.Error.
        """
        if is_short:
            if self.pages - self._copied >= SHORT_PAGES:
                self._wait()
                self._copy_rest()
            return
        if self._copying is not None and not self._copying.done():
            return
        has_ended = self._take_copied()
        left = self.pages - self._copied
        if self.pages >= (MOST_PAGES if is_awaited else RESTART_PAGES) and (has_ended or 0 < left < CHECKPOINT_PAGES):
            self._copy_rest()
        elif left >= CHECKPOINT_PAGES:
            self._copying = self._copier.submit(self._copy)

    def _take_copied(self) -> bool:
        """Whether a copy has ended just now. Raises apsw.Error."""
        copying, self._copying = self._copying, None
        if copying is not None:
            # If the log has started over since, that was the length of the one before.
            self._copied = min(copying.result(), self.pages)
        return copying is not None

    def _copy(self) -> int:
        _, copied = self._beside.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return copied

    def _copy_rest(self) -> bool:
        """Have the writer copy what is left: the next commit starts the log over. False: somebody reads, so not all of it."""
        pages, self._copied = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return pages == self._copied

    def copy_now(self) -> bool:
        """Copy what is in it, whatever became of its name; False: somebody reads, so not all of it. Raises apsw.Error."""
        self._wait()
        return self._copy_rest()

    def empty(self, *, is_patient: bool = False) -> None:
        """Copy all of it and leave a log of 0 bytes. Raises apsw.Error: BusyError if somebody reads what is in it.

        The connection beside is more patient with readers than the writer, for whom senders wait.
        """
        self._wait()
        connection = self._beside if is_patient else self._writer
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _wait(self) -> None:
        """Let a copy end that is under way; what it came to is of no interest: the caller copies the rest."""
        if self._copying is not None:
            wait([self._copying])
            self._copying = None

    def close(self) -> None:
        """Copy nothing any more; to be called before the writer's connection is closed."""
        self._copier.shutdown()
        self._beside.close()
