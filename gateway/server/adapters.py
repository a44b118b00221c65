"""What uvicorn and its parser get instead of a connection and its transport."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Closing(Protocol):
    """A connection that closes in its own way."""

    @property
    def is_closing(self) -> bool: ...

    def close(self) -> None: ...


class GentleTransport:
    """The transport that uvicorn gets: ``close()`` lets a client that is still sending read its answer."""

    __slots__ = ("_connection", "close", "write")

    def __init__(self, connection: Closing, transport: asyncio.Transport) -> None:
        self._connection = connection
        self.write = transport.write
        self.close = connection.close

    def is_closing(self) -> bool:
        return self._connection.is_closing


class BodyOnly:
    """Parser callbacks for the body of a request whose Upgrade was ignored."""

    def __init__(self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None]) -> None:
        self.on_body = on_body
        self.on_message_complete = on_message_complete
