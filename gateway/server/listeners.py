"""A listening socket with its app and its open connections, and the sweep that enforces their deadlines."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from gateway.server.limits import Limits
from gateway.server.protocol import ASGIApp, Connection, Shared
from gateway.server.sockets import BACKLOG


class Listener:
    """One listening socket, its app and its open connections."""

    def __init__(
        self,
        *,
        app: ASGIApp,
        sock: socket.socket,
        limits: Limits,
        refused: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        config = uvicorn.Config(
            app, interface="asgi3", lifespan="off", ws="none", log_config=None, proxy_headers=False, server_header=False
        )
        config.load()
        self.shared = Shared(
            config=config,
            state=ServerState(),
            loop=asyncio.get_running_loop(),
            limits=limits,
            refused=refused,
            failed=failed,
        )
        self._socket = sock
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def connections(self) -> set[Connection]:
        return cast("set[Connection]", self.shared.state.connections)

    async def start(self) -> None:
        loop = self.shared.loop
        self._server = await loop.create_server(lambda: Connection(self.shared), sock=self._socket, backlog=BACKLOG)

    async def close(self, finish_s: float) -> None:
        """Stop accepting, let open requests end within ``finish_s`` seconds, cut off the rest."""
        self._stop_accepting()
        for connection in tuple(self.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(finish_s):
                while self.connections or self.shared.state.tasks:
                    await asyncio.sleep(0.01)
        await self.abort()

    async def abort(self) -> None:
        """Stop accepting and cut off every connection."""
        self._stop_accepting()
        for connection in tuple(self.connections):
            connection.abort()
        tasks = tuple(self.shared.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
        self._socket.close()


async def sweep(door: Listener, desk: Listener, limits: Limits) -> None:
    """Enforce deadlines and keep the Date header up to date, forever: one sweep instead of timers for every request."""
    every_s = _interval_s(limits)
    loop = asyncio.get_running_loop()
    while True:
        date = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        for listener in (door, desk):
            listener.shared.state.default_headers = date
            for connection in tuple(listener.connections):
                connection.expire(loop.time())
        await asyncio.sleep(every_s)


def _interval_s(limits: Limits) -> float:
    shortest = min(limits.header_deadline_s, limits.body_deadline_s, limits.keep_alive_s, limits.linger_s)
    return min(0.25, max(0.01, shortest / 4))
