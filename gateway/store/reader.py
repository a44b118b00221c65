"""The read side: looks into a store beside its owner or without one."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import apsw

from gateway.errors import StoreError
from gateway.model import Attempt, Delivery, DeliveryState, EventHistory, EventRow, HeldBack, Pause
from gateway.store import statements as sql
from gateway.store.connection import connect, corrupt, opening, refuse_old
from gateway.store.rows import attempt_of, delivery_of, event_of, to_json


class Reader:
    """Looks into a store beside its owner or without one. Each call opens the file anew and sees one moment of it."""

    def __init__(self, path: str, now: Callable[[], float] | None, wall: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        self._wall = wall

    @classmethod
    def of_file(cls, path: str, *, wall: Callable[[], float]) -> Self:
        if not Path(path).exists():
            raise StoreError(f"{path}: there is no such store; start the gateway once, or name another file")
        return cls(path, None, wall)

    def events(self, *, limit: int = 50, before: str = "") -> Sequence[EventRow]:
        """The newest events first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows: list[Any] = connection.execute(sql.EVENTS, (before, limit)).fetchall()
            deliveries = self._deliveries_of(connection, [row[0] for row in rows], now)
        return [
            EventRow(id=id_, source=source, type=type_, received_at=received_at, size=size, deliveries=deliveries[seq])
            for seq, id_, source, type_, received_at, size in rows
        ]

    def event(self, event_id: str) -> EventHistory | None:
        """One event by its id, or by the id of one of its deliveries."""
        with self._look() as (connection, now):
            seq = connection.execute(sql.EVENT_SEQ, (event_id,)).get
            if seq is None:
                return None
            row = connection.execute(sql.EVENT_BY_SEQ, (seq,)).get
            deliveries = self._deliveries_of(connection, [seq], now)[seq]
            attempts: dict[str, tuple[Attempt, ...]] = {}
            for attempt in connection.execute(sql.ATTEMPTS, (seq,)):
                attempts[attempt[0]] = (*attempts.get(attempt[0], ()), attempt_of(attempt))
            held_back = tuple(
                HeldBack(name=name, key=key, event_id=first, fired_at=fired_at)
                for name, key, first, fired_at in connection.execute(sql.HELD_BACK, (seq,))
            )
        event, intact = event_of(row)
        return EventHistory(event=event, intact=intact, deliveries=deliveries, attempts=attempts, held_back=held_back)

    def deliveries(
        self, *, state: DeliveryState, destination: str = "", limit: int = 50, before: str = ""
    ) -> Sequence[Delivery]:
        """Deliveries in one state, newest first; ``before`` is the id of the last row of the page before."""
        with self._look() as (connection, now):
            rows = connection.execute(sql.DELIVERIES_IN.format(state=state), (destination, before, limit)).fetchall()
        return [delivery_of(row, now) for row in rows]

    def pauses(self) -> Sequence[Pause]:
        """Every destination that was told to hold its deliveries, by name."""
        with self._look() as (connection, _):
            rows: list[Any] = connection.execute(sql.PAUSES).fetchall()
        return [
            Pause(destination=name, by=by, reason=reason, since=since, until=until)
            for name, by, reason, since, until in rows
        ]

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many deliveries are pending, by (route, destination)."""
        with self._look() as (connection, _):
            rows: list[Any] = connection.execute(sql.WAITING).fetchall()
        return {(route, destination): deliveries for route, destination, deliveries in rows}

    def _deliveries_of(
        self, connection: apsw.Connection, seqs: Sequence[int], now: float
    ) -> Mapping[int, tuple[Delivery, ...]]:
        found: dict[int, tuple[Delivery, ...]] = dict.fromkeys(seqs, ())
        for row in connection.execute(sql.DELIVERIES_OF, (to_json(seqs),)):
            found[row[0]] = (*found[row[0]], delivery_of(row[2:], now))
        return found

    @contextmanager
    def _look(self) -> Generator[tuple[apsw.Connection, float]]:
        try:
            with opening(self.path):
                connection = connect(self.path, apsw.SQLITE_OPEN_READONLY)
                try:
                    refuse_old(connection, self.path)
                    connection.execute("BEGIN")
                    yield connection, self._store_time(connection)
                finally:
                    connection.close()
        except UnicodeDecodeError as error:
            raise corrupt(self.path, "a text in it is not UTF-8") from error

    def _store_time(self, connection: apsw.Connection) -> float:
        if self._now is not None:
            return self._now()
        return max(self._wall(), float(connection.execute(sql.STORED_TIME).get))
