"""One end of the socket between two processes of a gateway."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from gateway.store.remote.frames import FrameBroken, Message, Reader, frames


class Link(asyncio.Protocol):
    """Sends whatever waits as one frame, and hands over what comes, frame by frame. Methods belong to the event loop."""

    def __init__(
        self,
        received: Callable[[Sequence[Message]], None],
        lost: Callable[[str], None],
        first: Callable[[], Sequence[Message]] = tuple,
    ) -> None:
        """``received`` gets the messages of a frame, ``lost`` why nothing will come any more: once, also after ``close``.

        ``first``: what every frame begins with.
        """
        self._received = received
        self._lost = lost
        self._first = first
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Message] = []
        self._is_scheduled = False
        #: Whether the other end does not read as fast as this one writes.
        self._is_full = False
        self._why = "the connection was closed"

    def send(self, message: Message) -> None:
        """Have a message sent with whatever else waits; after the end it goes nowhere."""
        self._waiting.append(message)
        if not self._is_scheduled and not self._is_full:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    @property
    def is_full(self) -> bool:
        """Whether the other end has yet to read what was sent: then nothing should be sent that nobody has asked for."""
        return self._is_full

    def close(self) -> None:
        """Send what waits, and end."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def abort(self, why: str) -> None:
        """End at once."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._waiting and self._transport is not None and not self._is_full:
            messages, self._waiting = [*self._first(), *self._waiting], []
            for frame in frames(messages):
                self._transport.write(frame)

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for messages in self._reader.read(data):
                self._received(messages)
        except (FrameBroken, msgspec.MsgspecError) as error:
            self.abort(str(error))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()
        self._lost(str(exc) if exc is not None else self._why)
