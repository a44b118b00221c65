"""Read-only connections to the file, each giving one moment of it, beside the owner or without one."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import apsw

from gateway.errors import StoreError
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.connection import connect, corrupt, opening, refuse_old


class Snapshot(NamedTuple):
    """One moment of the file."""

    db: apsw.Connection
    #: The store's clock, seconds since the epoch.
    now: float


class Snapshots:
    """Opens the file for reading. Usable from any thread."""

    def __init__(self, path: str, now: Callable[[], float] | None, wall: Callable[[], float]) -> None:
        """``now``: the owner's clock; without one nobody here owns the file, and connections are not kept."""
        self.path = path
        self._now = now
        self._wall = wall
        self._idle: list[apsw.Connection] = []
        self._keeps = now is not None

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        """Without owning the file. Raises StoreError if it does not exist."""
        if not Path(path).exists():
            raise StoreError(f"{path}: there is no such store; start the gateway once, or name another file")
        return cls(path, None, wall)

    def close(self) -> None:
        """Let go of the file."""
        self._keeps = False
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def take(self) -> Generator[Snapshot]:
        """Whatever is read inside is of one moment. Raises StoreError."""
        try:
            with opening(self.path):
                connection = self._connection()
                try:
                    connection.execute("BEGIN")
                    yield Snapshot(connection, self._time(connection))
                    if connection.in_transaction:
                        connection.execute("COMMIT")
                except BaseException:
                    connection.close()
                    raise
                self._put_back(connection)
        except UnicodeDecodeError as error:
            raise corrupt(self.path, "a text in it is not UTF-8") from error

    def _connection(self) -> apsw.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        connection = connect(self.path, apsw.SQLITE_OPEN_READONLY)
        try:
            refuse_old(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_back(self, connection: apsw.Connection) -> None:
        if self._keeps:
            self._idle.append(connection)
        else:
            connection.close()

    def _time(self, connection: apsw.Connection) -> float:
        if self._now is not None:
            return self._now()
        return max(self._wall(), float(connection.execute(sql.STORED_TIME).get))
