"""Hints between replicas, sent after the commit and a few at a time; nobody relies on them."""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import StoreUnavailable
from gateway.store.postgres.address import Address
from gateway.store.postgres.connections import Connection, connect, translated
from gateway.store.postgres.hints import lower

CHANNEL: Final = "gateway_due"
#: Seconds between two messages.
PAUSE_S: Final = 0.05
#: Bytes of a message; PostgreSQL takes 8,000. More names than that are all.
MOST: Final = 7000
TELL: Final = "SELECT pg_notify($1, $2)"


#: What replicas let each other know besides what is due: changes of holds, and secrets chosen in a handshake.
Subject: TypeAlias = Literal["holds", "secrets"]


class Message(Struct, array_like=True):
    """What one replica sends to the others."""

    #: The number of that replica.
    replica: int
    #: Destinations with something due, and since when: None, unknown. Instead of too many names, None: any of them.
    due: dict[str, float | None] | None
    #: What else has changed.
    changed: list[Subject] = []


class News:
    """One connection that sends and listens; without it nothing is sent and nothing heard."""

    def __init__(
        self,
        address: Address,
        number: int,
        *,
        hear: Callable[[Mapping[str, float] | None], None],
        hear_of: Callable[[Subject], None],
    ) -> None:
        """``hear`` gets what another replica reports as due, and since when; None: all destinations.

        ``hear_of`` gets what another replica has changed, or may have.
        """
        self._address = None if address.direct is None else replace(address, dsn=address.direct, pooler=False)
        self._number, self._hear, self._hear_of = number, hear, hear_of
        self._connection: Connection | None = None
        self._untold: dict[str, float] = {}
        self._changed: set[Subject] = set()
        self._task: asyncio.Task[None] | None = None

    async def attend(self) -> None:
        """Listen, if that is not done already. Raises StoreUnavailable."""
        if self._address is None or (self._connection is not None and not self._connection.is_closed()):
            return
        async with translated(self._address):
            connection = await connect(self._address)
            await connection.add_listener(CHANNEL, self._heard)
        self._connection = connection
        # Whatever was sent meanwhile was not heard.
        self._hear(None)
        for subject in get_args(Subject):
            self._hear_of(subject)

    def tell(self, since: Mapping[str, float]) -> None:
        """They have something that has been due since a moment."""
        for destination, moment in since.items():
            lower(self._untold, destination, moment)
        if since:
            self._begin()

    def tell_of(self, subject: Subject) -> None:
        """It was changed here."""
        self._changed.add(subject)
        self._begin()

    def _begin(self) -> None:
        if self._address is not None and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while (self._untold or self._changed) and self._connection is not None and self._address is not None:
            message = self._next()
            with suppress(StoreUnavailable):
                async with translated(self._address):
                    await self._connection.execute(TELL, CHANNEL, message.decode())
            await asyncio.sleep(PAUSE_S)

    def _next(self) -> bytes:
        due = {name: None if moment == -math.inf else moment for name, moment in self._untold.items()}
        message = Message(self._number, due, sorted(self._changed))
        self._untold, self._changed = {}, set()
        text = msgspec.json.encode(message)
        return text if len(text) <= MOST else msgspec.json.encode(replace(message, due=None))

    def _heard(self, _connection: object, _pid: int, _channel: str, text: Any) -> None:
        message = msgspec.json.decode(text, type=Message)
        if message.replica == self._number:
            return
        if message.due is None:
            self._hear(None)
        else:
            self._hear({name: -math.inf if moment is None else moment for name, moment in message.due.items()})
        for subject in message.changed:
            self._hear_of(subject)

    async def close(self) -> None:
        """Stop sending and listening."""
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.terminate()
