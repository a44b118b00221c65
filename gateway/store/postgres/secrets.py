"""Secrets that senders chose in a handshake: a table, for a sender's next request may reach another replica."""

from typing import Final

from gateway.model import Secret
from gateway.store.postgres.connections import Line
from gateway.store.postgres.presence import Presence
from gateway.store.postgres.rows import packed, unpacked

OF_SOURCE: Final = "SELECT secret FROM secret WHERE source = $1 ORDER BY seq DESC"
ADD: Final = """
INSERT INTO secret (source, secret) VALUES ($1, $2) ON CONFLICT (source, sha256(secret)) DO NOTHING
"""


class SecretsTable:
    """Asked each time: a request that is signed with a new secret may come right after it."""

    def __init__(self, line: Line, presence: Presence) -> None:
        self._line, self._presence = line, presence

    async def of(self, source: str) -> tuple[Secret, ...]:
        async def look() -> tuple[Secret, ...]:
            async with self._line.alone() as connection:
                rows = await connection.fetch(OF_SOURCE, source)
            return tuple(Secret(unpacked(row["secret"])) for row in rows)

        return await self._presence.asked(look)

    async def add(self, source: str, secret: Secret) -> None:
        async def keep() -> None:
            async with self._line.alone() as connection:
                await connection.execute(ADD, source, packed(secret.reveal()))

        await self._presence.asked(keep)
