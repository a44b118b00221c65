"""Accepting from a socket that several processes share: one connection at a turn, so that each process gets its share.

The loop's own server accepts everything that waits, so of connections that are opened at one time a single process would
have most.
"""

import asyncio
import socket
from typing import Final

from gateway.server.protocol import Connection
from gateway.server.shared import Shared

#: Seconds before another connection is accepted when the process has no descriptor left for one.
_PAUSE_S: Final = 0.1


class Accepting:
    """Accepts for one listener until its end."""

    def __init__(self, shared: Shared, sock: socket.socket) -> None:
        self._shared = shared
        self._socket = sock
        self._paused: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[object]] = set()

    def begin(self) -> None:
        """Accept from now on."""
        self._shared.loop.add_reader(self._socket.fileno(), self._accept)

    def end(self) -> None:
        """Accept no more; ending twice is harmless."""
        if self._paused is not None:
            self._paused.cancel()
        if self._socket.fileno() >= 0:
            self._shared.loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another process was quicker, or the client has gone.
            return
        except OSError:
            self._shared.loop.remove_reader(self._socket.fileno())
            self._paused = self._shared.loop.call_later(_PAUSE_S, self.begin)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._shared.loop.create_task(self._connect(accepted))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._shared.loop.connect_accepted_socket(lambda: Connection(self._shared), accepted)
        except OSError:
            accepted.close()
