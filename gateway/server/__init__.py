"""Two HTTP listeners in one event loop: protocol deadlines and caps, signals, and a drain that loses nothing.

The ASGI apps are passed in: nothing here knows what a source or a delivery is.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol

import uvloop

from gateway.machine.memory import return_large_blocks
from gateway.routing.peers import Senders
from gateway.server.limits import Limits
from gateway.server.listeners import Listener, sweep
from gateway.server.pressure import ADVICE
from gateway.server.shared import ASGIApp
from gateway.server.signals import stops_on_signal
from gateway.sockets import listening

__all__ = ["ADVICE", "DRAIN_S", "FINISH_S", "Hooks", "Limits", "run", "serve", "serve_part"]

#: Send buffer of a connection to the admin listener: a client that stops reading is noticed once it is full. Bytes.
_ADMIN_SEND_BUFFER = 64 * 1024
#: How long attempts in flight have after the first signal, and then requests that are open, seconds.
DRAIN_S: Final = 25.0
FINISH_S: Final = 2.0


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
    drain_s: float = DRAIN_S,
    finish_s: float = FINISH_S,
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
    _prepare()
    limits, senders = limits or Limits(), senders or Senders()
    failed = failed or _log_failure
    stop = asyncio.Event()
    with (
        listening(ingest_bind, admin_bind, environ) as (ingest_socket, admin_socket),
        stops_on_signal(stop, hooks.draining),
    ):
        listener = partial(Listener, senders=senders, refused=refused, failed=failed)
        door = listener("ingest", app=ingest, sock=ingest_socket, limits=limits)
        desk = listener("admin", app=admin, sock=admin_socket, limits=_of_admin(limits, probes))
        may_serve_admin_at(admin_socket.getsockname()[0])
        _narrow(admin_socket)
        addresses = (door.address, desk.address)
        return await _serve_until(stop, [door], [desk], addresses, hooks, limits, drain_s, finish_s, failed)


async def serve_part(
    name: Literal["ingest", "admin"],
    app: ASGIApp,
    sock: socket.socket,
    *,
    addresses: tuple[str, str],
    hooks: Hooks,
    limits: Limits,
    drain_s: float = DRAIN_S,
    finish_s: float = FINISH_S,
    senders: Senders | None = None,
    probes: Collection[str] = (),
    refused: Callable[[str, str, str], None] = lambda _listener, _reason, _client: None,
    failed: Callable[[Exception], None] | None = None,
    prepared: Callable[[], None] = lambda: None,
) -> int:
    """As ``serve``, for a process that has one of the two listeners, with a socket that others may have, too.

    ``addresses``: of both listeners. ``prepared`` is called once signals are obeyed.
    """
    _prepare()
    failed, senders = failed or _log_failure, senders or Senders()
    stop = asyncio.Event()
    with stops_on_signal(stop, hooks.draining, is_child=True):
        prepared()
        of_listener = limits if name == "ingest" else _of_admin(limits, probes)
        listener = Listener(
            name,
            app=app,
            sock=sock,
            limits=of_listener,
            senders=senders,
            refused=refused,
            failed=failed,
            is_shared=name == "ingest",
        )
        if name == "admin":
            _narrow(sock)
        doors, desks = ([listener], []) if name == "ingest" else ([], [listener])
        return await _serve_until(stop, doors, desks, addresses, hooks, limits, drain_s, finish_s, failed)


async def _serve_until(
    stop: asyncio.Event,
    doors: Sequence[Listener],
    desks: Sequence[Listener],
    addresses: tuple[str, str],
    hooks: Hooks,
    limits: Limits,
    drain_s: float,
    finish_s: float,
    failed: Callable[[Exception], None],
) -> int:
    listeners = [*doors, *desks]
    sweeping = asyncio.create_task(sweep(listeners, limits))
    try:
        for each in listeners:
            await each.start()
        await hooks.started(*addresses)
        await stop.wait()
        await _wait_drained(hooks, drain_s, failed)
        for door in doors:
            await door.close(finish_s)
        await hooks.stopped()
        for desk in desks:
            await desk.close(finish_s)
        return 0
    finally:
        sweeping.cancel()
        for each in listeners:
            await each.abort()


def _of_admin(limits: Limits, probes: Collection[str]) -> Limits:
    return limits.of_admin(frozenset(path.encode() for path in probes))


def _narrow(admin_socket: socket.socket) -> None:
    """Connections inherit it; the system's default would hold megabytes for a stream that nobody reads."""
    admin_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ADMIN_SEND_BUFFER)


def _prepare() -> None:
    _raise_open_files()
    return_large_blocks()


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
