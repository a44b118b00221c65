"""A listening socket with its app and its open connections, and the sweep that enforces their deadlines."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from gateway.machine.memory import give_back
from gateway.routing.peers import Senders
from gateway.server.accepting import Accepting
from gateway.server.budget import Budget
from gateway.server.crowd import Crowd
from gateway.server.limits import Limits
from gateway.server.pressure import Pressure
from gateway.server.protocol import Connection
from gateway.server.shared import ASGIApp, Shared
from gateway.sockets import BACKLOG, address_of


class Listener:
    """One listening socket, its app and its open connections."""

    def __init__(
        self,
        name: str,
        *,
        app: ASGIApp,
        sock: socket.socket,
        limits: Limits,
        senders: Senders,
        refused: Callable[[str, str, str], None],
        failed: Callable[[Exception], None],
        is_shared: bool = False,
    ) -> None:
        """``is_shared``: other processes accept from the same socket."""
        config = uvicorn.Config(
            app, interface="asgi3", lifespan="off", ws="none", log_config=None, proxy_headers=False, server_header=False
        )
        config.load()
        loop = asyncio.get_running_loop()
        self.shared = Shared(
            config=config,
            state=ServerState(),
            loop=loop,
            limits=limits,
            crowd=Crowd(limits),
            budget=Budget(limits, senders, loop.time),
            senders=senders,
            pressure=Pressure(name, limits, loop.time, partial(refused, name)),
            failed=failed,
        )
        self._socket = sock
        self._server: asyncio.Server | None = None
        self._accepting = Accepting(self.shared, sock) if is_shared else None

    @property
    def address(self) -> str:
        return address_of(self._socket)

    @property
    def connections(self) -> set[Connection]:
        return cast("set[Connection]", self.shared.state.connections)

    def sweep(self, date: Sequence[tuple[bytes, bytes]]) -> None:
        """Enforce deadlines, report what is held, and give back what a burst of bodies took."""
        shared = self.shared
        shared.state.default_headers = list(date)
        now = shared.loop.time()
        for connection in tuple(self.connections):
            connection.expire(now)
        shared.pressure.level(len(shared.crowd), shared.budget.held)
        if shared.budget.has_ebbed():
            # In a thread: it takes some milliseconds.
            shared.loop.run_in_executor(None, give_back)

    async def start(self) -> None:
        loop = self.shared.loop
        if self._accepting is not None:
            self._accepting.begin()
            return
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
        if self._accepting is not None:
            self._accepting.end()
        if self._server is not None:
            self._server.close()
        self._socket.close()


async def sweep(listeners: Sequence[Listener], limits: Limits) -> None:
    """Enforce deadlines and keep the Date header up to date, forever: one sweep instead of timers for every request."""
    every_s = _interval_s(limits)
    while True:
        date = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        for listener in listeners:
            listener.sweep(date)
        await asyncio.sleep(every_s)


def _interval_s(limits: Limits) -> float:
    shortest = min(limits.header_deadline_s, limits.body_deadline_s, limits.keep_alive_s, limits.linger_s)
    return min(0.25, max(0.01, shortest / 4))
