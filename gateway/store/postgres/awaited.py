"""What sources are expected to send, in a table that all replicas share."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.store.awaiting import MOST_OPEN, Expectation
from gateway.store.nouns import NewEvent
from gateway.store.postgres.connections import Connection, Line
from gateway.store.postgres.rows import columns

#: (source, rule, what it is about)
Key = tuple[str, str, str]

# In one order for every replica, so that none waits for the other.
MEET: Final = """
DELETE FROM awaited a USING (
    SELECT a.ctid FROM awaited a JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (source, name, key)
        ON a.source = k.source AND a.name = k.name AND a.key = k.key
    ORDER BY a.source, a.name, a.key FOR UPDATE OF a
) k WHERE a.ctid = k.ctid
"""
OPEN: Final = f"""
INSERT INTO awaited (source, name, key, event_id, since, due)
SELECT k.source, k.name, k.key, k.event_id, $6, $6 + k.within_s
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS k (source, name, key, event_id, within_s)
WHERE (SELECT count(*) FROM (SELECT 1 FROM awaited a WHERE a.source = k.source LIMIT {MOST_OPEN}) a) < {MOST_OPEN}
ORDER BY k.source, k.name, k.key ON CONFLICT DO NOTHING
"""
ADD: Final = """
INSERT INTO awaited (source, name, key, event_id, since, due)
VALUES ($1, $2, $3, $4, gateway_now() - $5::float8, gateway_now() + $6::float8) ON CONFLICT DO NOTHING RETURNING true
"""
REMOVE: Final = """
DELETE FROM awaited a USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (source, name, key, event_id)
WHERE a.source = k.source AND a.name = k.name AND a.key = k.key AND a.event_id = k.event_id
"""
_ROW: Final = "source, name, key, event_id, gateway_now() - since AS age_s, due - gateway_now() AS due_s"
OVERDUE: Final = f"SELECT {_ROW} FROM awaited WHERE due <= gateway_now() ORDER BY due LIMIT $1"
LASTING: Final = f"SELECT {_ROW} FROM awaited WHERE due IS NULL ORDER BY source, name, key"
COUNTS: Final = "SELECT source, count(*) FROM awaited GROUP BY source"


async def follow_up(connection: Connection, stored: Sequence[NewEvent], now: float) -> None:
    """Meet what was awaited, and open what is awaited after these events, in their order."""
    met: set[Key] = set()
    opened: dict[Key, tuple[str, float]] = {}
    for new in stored:
        for name, about in new.meets:
            key = (new.event.source, name, about)
            met.add(key)
            opened.pop(key, None)
        for each in new.awaits:
            opened.setdefault((new.event.source, each.name, each.key), (new.event.id, each.within_s))
    if met:
        await connection.execute(MEET, *columns(sorted(met), 3))
    if opened:
        rows = [(*key, *what) for key, what in sorted(opened.items())]
        await connection.execute(OPEN, *columns(rows, 5), now)


class AwaitedTable:
    """``asked`` asks something of the database, again if another transaction was in the way."""

    def __init__(self, line: Line, asked: "Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]") -> None:
        self._line, self._asked = line, asked

    async def overdue(self, *, limit: int = 100) -> Sequence[Expectation]:
        return [Expectation(**row) for row in await self._fetch(OVERDUE, limit)]

    async def lasting(self) -> Sequence[Expectation]:
        return [Expectation(**row) for row in await self._fetch(LASTING)]

    async def open(self) -> Mapping[str, int]:
        return {row["source"]: row["count"] for row in await self._fetch(COUNTS)}

    async def add(self, expectation: Expectation) -> bool:
        each = expectation
        return bool(await self._fetch(ADD, each.source, each.name, each.key, each.event_id, each.age_s, each.due_s))

    async def remove(self, gone: Sequence[Expectation]) -> None:
        rows = [(each.source, each.name, each.key, each.event_id) for each in gone]
        if rows:
            await self._fetch(REMOVE, *columns(rows, 4))

    async def _fetch(self, statement: str, *values: object) -> Sequence[Mapping[str, Any]]:
        async def fetch() -> Sequence[Mapping[str, Any]]:
            async with self._line.alone() as connection:
                rows: Sequence[Mapping[str, Any]] = await connection.fetch(statement, *values)
                return rows

        found: Sequence[Mapping[str, Any]] = await self._asked(fetch)
        return found
