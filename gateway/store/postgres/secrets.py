"""Secrets that senders chose in a handshake: a table, for a sender's next request may reach another replica."""

import asyncio
import math
from typing import Final

from gateway.model import Secret
from gateway.store.postgres.connections import Line
from gateway.store.postgres.presence import Presence
from gateway.store.postgres.rows import packed, unpacked

#: How long an answer counts if nothing is heard, seconds.
LASTS_S: Final = 1.0
OF_SOURCE: Final = "SELECT secret FROM secret WHERE source = $1 ORDER BY seq DESC"
ADD: Final = """
INSERT INTO secret (source, secret) VALUES ($1, $2) ON CONFLICT (source, sha256(secret)) DO NOTHING
"""


class SecretsTable:
    """Asked once a second for each source. Another replica that keeps a secret says so, and then it is asked at once.

    That a source has none is not remembered: its first secret comes with a handshake, and what is signed with it may
    reach another replica right afterwards.
    """

    def __init__(self, line: Line, presence: Presence) -> None:
        self._line, self._presence = line, presence
        self._loop = asyncio.get_running_loop()
        #: By source: what there was, and when, on the loop's clock.
        self._known: dict[str, tuple[float, tuple[Secret, ...]]] = {}
        presence.listen("secrets", self._forget)

    def _forget(self) -> None:
        # Another one: an answer that is on its way may be of the time before.
        self._known = {}

    async def of(self, source: str) -> tuple[Secret, ...]:
        async def look() -> tuple[Secret, ...]:
            async with self._line.alone() as connection:
                rows = await connection.fetch(OF_SOURCE, source)
            return tuple(Secret(unpacked(row["secret"])) for row in rows)

        known, began = self._known, self._loop.time()
        asked, secrets = known.get(source, (-math.inf, ()))
        if began - asked >= LASTS_S:
            secrets = await self._presence.asked(look)
            if secrets:
                known[source] = began, secrets
        return secrets

    async def add(self, source: str, secret: Secret) -> None:
        async def keep() -> None:
            async with self._line.alone() as connection:
                await connection.execute(ADD, source, packed(secret.reveal()))

        await self._presence.asked(keep)
        self._forget()
        self._presence.tell_of("secrets")
