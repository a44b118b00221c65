"""What sources are expected to send, in the file."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import apsw

from gateway.store.awaiting import MOST_OPEN, Expectation
from gateway.store.nouns import NewEvent
from gateway.store.sqlite.calls import Change
from gateway.store.sqlite.snapshots import Snapshots

MEET: Final = "DELETE FROM awaited WHERE source = ? AND name = ? AND key = ?"
OPEN: Final = f"""
INSERT INTO awaited (source, name, key, event_id, since, due) SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE (SELECT count(*) FROM (SELECT 1 FROM awaited WHERE source = ?1 LIMIT {MOST_OPEN})) < {MOST_OPEN}
ON CONFLICT DO NOTHING
"""  # noqa: S608  our own constant
ADD: Final = (
    "INSERT INTO awaited (source, name, key, event_id, since, due) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
REMOVE: Final = f"{MEET} AND event_id = ?"
_ROW: Final = "source, name, key, event_id, since, due"
OVERDUE: Final = f"SELECT {_ROW} FROM awaited WHERE due <= ? ORDER BY due LIMIT ?"  # noqa: S608
LASTING: Final = f"SELECT {_ROW} FROM awaited WHERE due IS NULL ORDER BY source, name, key"  # noqa: S608
COUNTS: Final = "SELECT source, count(*) FROM awaited GROUP BY source"


def follow_up(db: apsw.Connection, new: NewEvent, now: float) -> None:
    """Meet what was awaited, and open what is awaited after this event."""
    source = new.event.source
    for name, key in new.meets:
        db.execute(MEET, (source, name, key))
    for each in new.awaits:
        db.execute(OPEN, (source, each.name, each.key, new.event.id, now, now + each.within_s))


#: Carries out a change in a transaction of the writer's thread.
Write = Callable[[Callable[[apsw.Connection, Change], Any]], Awaitable[Any]]


class AwaitedTable:
    """Asked in threads; changes go through the writer."""

    def __init__(self, snapshots: Snapshots, write: Write) -> None:
        self._snapshots, self._write = snapshots, write

    async def overdue(self, *, limit: int = 100) -> Sequence[Expectation]:
        return await asyncio.to_thread(self._overdue, limit)

    def _overdue(self, limit: int) -> Sequence[Expectation]:
        with self._snapshots.take() as (connection, now):
            rows: list[Any] = connection.execute(OVERDUE, (now, limit)).fetchall()
        return [_expectation(row, now) for row in rows]

    async def lasting(self) -> Sequence[Expectation]:
        return await asyncio.to_thread(self._lasting)

    def _lasting(self) -> Sequence[Expectation]:
        with self._snapshots.take() as (connection, now):
            rows: list[Any] = connection.execute(LASTING).fetchall()
        return [_expectation(row, now) for row in rows]

    async def open(self) -> Mapping[str, int]:
        return await asyncio.to_thread(self._counts)

    def _counts(self) -> Mapping[str, int]:
        with self._snapshots.take() as (connection, _):
            rows: list[Any] = connection.execute(COUNTS).fetchall()
        return dict(rows)

    async def add(self, expectation: Expectation) -> bool:
        each = expectation

        def keep(db: apsw.Connection, change: Change) -> bool:
            due = None if each.due_s is None else change.now + each.due_s
            db.execute(ADD, (each.source, each.name, each.key, each.event_id, change.now - each.age_s, due))
            return db.changes() > 0

        return bool(await self._write(keep))

    async def remove(self, gone: Sequence[Expectation]) -> None:
        rows = [(each.source, each.name, each.key, each.event_id) for each in gone]
        if rows:
            await self._write(lambda db, _change: db.executemany(REMOVE, rows))


def _expectation(row: Any, now: float) -> Expectation:
    source, name, key, event_id, since, due = row
    due_s = None if due is None else due - now
    return Expectation(source=source, name=name, key=key, event_id=event_id, age_s=now - since, due_s=due_s)
