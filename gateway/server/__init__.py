"""Two HTTP listeners in one event loop: protocol deadlines and caps, signals, and a drain that loses nothing.

The ASGI apps are passed in: nothing here knows what a source or a delivery is.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import uvloop

from gateway.machine.memory import return_large_blocks
from gateway.routing.peers import Senders
from gateway.server.limits import Limits
from gateway.server.listeners import Listener, sweep
from gateway.server.pressure import ADVICE
from gateway.server.shared import ASGIApp
from gateway.server.signals import stops_on_signal
from gateway.server.sockets import listening

__all__ = ["ADVICE", "Hooks", "Limits", "run", "serve"]

#: Send buffer of a connection to the admin listener: a client that stops reading is noticed once it is full. Bytes.
_ADMIN_SEND_BUFFER = 64 * 1024


class Hooks(Protocol):
    """What the caller does at the turning points of the server's life, in this order."""

    async def started(self, ingest_address: str, admin_address: str) -> None:
        """Both listeners accept; the addresses are URLs such as ``http://127.0.0.1:8080``."""

    def draining(self) -> None:
        """SIGTERM or SIGINT arrived: report not ready, start no delivery. Called inside the event loop, at once."""

    async def drained(self) -> None:
        """Return when the attempts in flight have ended; cancelled after ``drain_s``."""

    async def stopped(self) -> None:
        """No more events can arrive: checkpoint and close the store. Probes are still answered."""


async def serve(
    *,
    ingest: ASGIApp,
    admin: ASGIApp,
    ingest_bind: str,
    admin_bind: str,
    hooks: Hooks,
    limits: Limits | None = None,
    drain_s: float = 25.0,
    finish_s: float = 2.0,
    senders: Senders | None = None,
    probes: Collection[str] = (),
    may_serve_admin_at: Callable[[str], None] = lambda _host: None,
    refused: Callable[[str, str, str], None] = lambda _listener, _reason, _client: None,
    failed: Callable[[Exception], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Serve both apps until SIGTERM or SIGINT, drain, and return the exit code; a second signal exits 1 at once.

    Binds are ``host:port`` or ``[::1]:port``; port 0 picks a free port. Sockets passed by systemd (LISTEN_FDS:
    ingest, then admin, or by LISTEN_FDNAMES) are used instead. ``may_serve_admin_at`` gets the address of the admin
    socket and may raise. ``senders`` says who shares what; ``probes`` are paths of the admin app for which connections
    are kept. ``refused`` gets the listener (``ingest``, ``admin``), reason and client of whatever the protocol refused,
    ``failed`` whatever an app or ``hooks.drained`` raised. Cancelling this cuts off every connection. Raises BindFailed.
    """
    _raise_open_files()
    return_large_blocks()
    limits, senders = limits or Limits(), senders or Senders()
    failed = failed or _log_failure
    stop = asyncio.Event()
    with (
        listening(ingest_bind, admin_bind, environ) as (ingest_socket, admin_socket),
        stops_on_signal(stop, hooks.draining),
    ):
        listener = partial(Listener, senders=senders, refused=refused, failed=failed)
        door = listener("ingest", app=ingest, sock=ingest_socket, limits=limits)
        kept = frozenset(path.encode() for path in probes)
        desk = listener("admin", app=admin, sock=admin_socket, limits=limits.of_admin(kept))
        may_serve_admin_at(admin_socket.getsockname()[0])
        # Connections inherit it; the system's default would hold megabytes for a stream that nobody reads.
        admin_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ADMIN_SEND_BUFFER)
        sweeping = asyncio.create_task(sweep(door, desk, limits))
        try:
            await door.start()
            await desk.start()
            await hooks.started(door.address, desk.address)
            await stop.wait()
            await _wait_drained(hooks, drain_s, failed)
            await door.close(finish_s)
            await hooks.stopped()
            await desk.close(finish_s)
            return 0
        finally:
            sweeping.cancel()
            await door.abort()
            await desk.abort()


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run ``main`` (around ``serve``) on uvloop and return its exit code."""
    return uvloop.run(main)


async def _wait_drained(hooks: Hooks, drain_s: float, failed: Callable[[Exception], None]) -> None:
    try:
        async with asyncio.timeout(drain_s):
            await hooks.drained()
    except TimeoutError:
        return
    except Exception as error:  # noqa: BLE001 - the store must still be closed properly
        failed(error)


def _log_failure(error: Exception) -> None:
    logging.getLogger(__name__).error("a request failed", exc_info=error)


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
