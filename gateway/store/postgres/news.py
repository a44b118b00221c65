"""Hints between replicas: names of destinations, told after the commit and a few at a time; nobody relies on them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.errors import StoreUnavailable
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import Connection, connect, translated

CHANNEL: Final = "gateway_due"
#: Seconds between two messages.
PAUSE_S: Final = 0.05
#: Bytes of a message; PostgreSQL takes 8,000. More names than that are all.
MOST: Final = 7000
TELL: Final = "SELECT pg_notify($1, $2)"


class News:
    """One connection that tells and listens; without one nothing is told and nothing heard."""

    def __init__(self, address: Address, number: int, hear: Callable[[Collection[str] | None], None]) -> None:
        """``hear`` is given what another replica has told; None: all destinations."""
        self._address = None if address.direct is None else replace(address, dsn=address.direct, pooler=False)
        self._number, self._hear = number, hear
        self._connection: Connection | None = None
        self._untold: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def attend(self) -> None:
        """Listen, if that is not done already. Raises StoreUnavailable."""
        if self._address is None or (self._connection is not None and not self._connection.is_closed()):
            return
        async with translated(self._address):
            connection = await connect(self._address)
            await connection.add_listener(CHANNEL, self._heard)
        self._connection = connection
        # Whatever was told meanwhile was not heard.
        self._hear(None)

    def tell(self, destinations: Collection[str]) -> None:
        """They have something due."""
        if not destinations or self._address is None:
            return
        self._untold.update(destinations)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._untold and self._connection is not None and self._address is not None:
            names, self._untold = self._untold, set()
            message = msgspec.json.encode([self._number, sorted(names)])
            if len(message) > MOST:
                message = msgspec.json.encode([self._number, None])
            with suppress(StoreUnavailable):
                async with translated(self._address):
                    await self._connection.execute(TELL, CHANNEL, message.decode())
            await asyncio.sleep(PAUSE_S)

    def _heard(self, _connection: object, _pid: int, _channel: str, message: Any) -> None:
        number, names = msgspec.json.decode(message, type=tuple[int, list[str] | None])
        if number != self._number:
            self._hear(names)

    async def close(self) -> None:
        """Tell and hear no more."""
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.terminate()
