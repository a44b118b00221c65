"""What replicas tell each other through the database."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.store.cluster import LAPSED_S, MOST_SESSIONS, Replica, Roll, Session
from gateway.store.postgres.connections import Line
from gateway.store.postgres.rows import to_json

T = TypeVar("T")

BEAT: Final = """
INSERT INTO replica (number, seen, said) OVERRIDING SYSTEM VALUE VALUES ($1, gateway_now(), $2)
ON CONFLICT (number) DO UPDATE SET seen = excluded.seen, said = excluded.said
"""
ROLL: Final = """
SELECT said, gateway_now() - seen AS seen_s FROM replica WHERE said IS NOT NULL AND gateway_now() - seen < $1::float8
"""
RELOADS: Final = "SELECT asked FROM reload"
ASK_TO_RELOAD: Final = "UPDATE reload SET asked = asked + 1"
BEGIN_SESSION: Final = """
INSERT INTO session (key, role, until) VALUES ($1, $2, gateway_now() + $3::float8)
ON CONFLICT (key) DO UPDATE SET role = excluded.role, until = excluded.until
"""
END_SESSIONS: Final = """
DELETE FROM session WHERE until <= gateway_now() OR seq <= (SELECT seq FROM session ORDER BY seq DESC OFFSET $1 LIMIT 1)
"""
SESSION: Final = "SELECT role, until - gateway_now() AS left_s FROM session WHERE key = $1 AND until > gateway_now()"
END_SESSION: Final = "DELETE FROM session WHERE key = $1"


class Asked(Protocol):
    """Does work, again if need be."""

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T: ...


class Members:
    """The cluster as one replica sees it."""

    def __init__(self, line: Line, number: int, asked: Asked) -> None:
        self._line, self._number, self._asked = line, number, asked
        self.me: Final = f"rep_{number}"

    async def beat(self, me: Replica) -> Roll:
        async def say() -> Roll:
            async with self._line.transaction() as connection:
                await connection.execute(BEAT, self._number, to_json(me))
                rows = await connection.fetch(ROLL, LAPSED_S)
                reloads = await connection.fetchval(RELOADS)
            living = [replace(msgspec.json.decode(row["said"], type=Replica), seen_s=row["seen_s"]) for row in rows]
            return Roll(tuple(sorted(living, key=lambda each: (each.started_at, each.id))), reloads)

        return await self._asked(say)

    async def ask_to_reload(self) -> None:
        await self._asked(lambda: self._execute(ASK_TO_RELOAD))

    async def begin_session(self, key: bytes, role: str, for_s: float) -> None:
        async def begin() -> None:
            async with self._line.transaction() as connection:
                await connection.execute(BEGIN_SESSION, key, role, for_s)
                await connection.execute(END_SESSIONS, MOST_SESSIONS)

        await self._asked(begin)

    async def session(self, key: bytes) -> Session | None:
        async def look() -> Session | None:
            async with self._line.alone() as connection:
                row = await connection.fetchrow(SESSION, key)
            return None if row is None else Session(row["role"], row["left_s"])

        return await self._asked(look)

    async def end_session(self, key: bytes) -> None:
        await self._asked(lambda: self._execute(END_SESSION, key))

    async def _execute(self, statement: str, *values: Any) -> None:
        async with self._line.alone() as connection:
            await connection.execute(statement, *values)
