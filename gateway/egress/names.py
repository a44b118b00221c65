"""Names to addresses: each looked up in a thread of its own, checked as a whole, kept for a while.

uvloop's own look-up does two at a time, and a pool's threads are waited for when the process ends.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from msgspec import Struct

from gateway.egress.door import Guard
from gateway.errors import ConnectFailed

#: How long the addresses of a name are kept, seconds: the system's resolver reports no lifetime.
NAMES_KEPT_S: Final = 30.0
#: Lookups in flight.
MOST_LOOKUPS: Final = 32

_NUMERIC: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Resolved(Struct, frozen=True, eq=False):
    """The addresses of one name, every one of them checked."""

    addresses: frozenset[str]
    #: As libcurl's ``RESOLVE`` reads it: ``+host:port:address,address``.
    entry: str
    #: On the monotonic clock, seconds.
    expires: float


class Names:
    """The addresses of names, behind one guard. One lookup per name is in flight, however many ask for it."""

    def __init__(self, guard: Guard, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._monotonic = monotonic
        self._slots = asyncio.Semaphore(MOST_LOOKUPS)
        self._known: dict[tuple[str, int], Resolved] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[Resolved]] = {}

    def known(self, host: str, port: int) -> Resolved | None:
        """What was found within the last NAMES_KEPT_S seconds."""
        found = self._known.get((host, port))
        return found if found is not None and found.expires > self._monotonic() else None

    async def resolve(self, host: str, port: int) -> Resolved:
        """The addresses of a name. Raises AddressBlocked for any one of them that is forbidden, or socket.gaierror."""
        found = self.known(host, port)
        if found is not None:
            return found
        task = self._asked.get((host, port))
        if task is None:
            task = self._asked[host, port] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(_seen)
        # The lookup outlives an attempt whose time is up, so that the next one finds its answer.
        return await asyncio.shield(task)

    async def _look_up(self, host: str, port: int) -> Resolved:
        try:
            async with self._slots:
                addresses = await looked_up(host, port)
            self._guard.resolved(host, port, addresses)
            written = ",".join(f"[{each}]" if ":" in each else each for each in addresses)
            found = Resolved(
                frozenset(addresses), f"+{host}:{port}:{written}", expires=self._monotonic() + NAMES_KEPT_S
            )
            self._known[host, port] = found
            return found
        finally:
            del self._asked[host, port]

    async def close(self) -> None:
        """Stop waiting for lookups; their threads end by themselves."""
        for task in list(self._asked.values()):
            task.cancel()


def _seen(task: asyncio.Task[Resolved]) -> None:
    if not task.cancelled():
        task.exception()


async def looked_up(host: str, port: int) -> list[str]:
    """The addresses of a name in digits, in the system's order; socket.gaierror if it has none."""
    found: Future[list[str]] = Future()
    # From here on nothing but its thread ends it, not even a caller who has gone.
    found.set_running_or_notify_cancel()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found.set_result(list(dict.fromkeys(socket.getnameinfo(info[4], _NUMERIC)[0] for info in infos)))
        except UnicodeError:
            found.set_exception(ConnectFailed("name not found"))
        except Exception as error:  # noqa: BLE001  for the caller to explain
            found.set_exception(error)

    threading.Thread(target=look_up, name=f"lookup {host}", daemon=True).start()
    return await asyncio.wrap_future(found)
