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
    """Parser callbacks for the body of a request whose Upgrade was ignored. Whatever follows it is not read."""

    def __init__(
        self, on_body: Callable[[bytes], None], on_message_complete: Callable[[], None], on_another: Callable[[], None]
    ) -> None:
        """``on_another`` is called when another request follows."""
        self._on_body = on_body
        self._on_message_complete = on_message_complete
        self._on_another = on_another
        self._is_over = False

    def on_message_begin(self) -> None:
        if self._is_over:
            self._on_another()

    def on_body(self, body: bytes) -> None:
        if not self._is_over:
            self._on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_message_complete()
