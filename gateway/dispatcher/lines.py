"""Deliveries that wait for a slot in memory, without one of their own: to look something up, or to be sent after that."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gateway.holds import Holds


class Lines:
    """A line for each destination, first come, first served. One for each process."""

    def __init__(self, holds: Holds, give_back: Callable[[str], None]) -> None:
        """``give_back`` frees a slot of a destination, for whoever waits for it."""
        self._holds = holds
        self._give_back = give_back
        #: By destination; no empty ones.
        self._lines: dict[str, deque[asyncio.Future[bool]]] = {}
        #: Destinations whose last free slot went to the line.
        self._served: set[str] = set()
        #: Whether deliveries to a destination itself wait for a slot, too: then both have turns.
        self.others_wait: Callable[[str], bool] = lambda _name: False
        self._is_over = asyncio.Event()

    def __contains__(self, name: str) -> bool:
        """Whether anything waits for a slot of a destination."""
        return name in self._lines

    def count(self, name: str) -> int:
        line = self._lines.get(name)
        return len(line) if line else 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is to start any more."""
        return self._is_over.is_set()

    async def slot(self, name: str, seconds: float) -> bool:
        """Take a slot as soon as there is one; False: there was none for that long, or nothing is to start any more."""
        if name not in self._lines and self._holds.free(name):
            self._holds.take(name, 1)
            return True
        if self.is_over or seconds <= 0:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._lines.setdefault(name, deque()).append(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        except BaseException:
            self._leave(name, waiter)
            if _has_slot(waiter):
                self._give_back(name)
            raise
        self._leave(name, waiter)
        # One that was given a slot in the last moment has it.
        return _has_slot(waiter)

    def _leave(self, name: str, waiter: "asyncio.Future[bool]") -> None:
        line = self._lines.get(name)
        if line is None:
            return
        if waiter in line:
            line.remove(waiter)
        if not line:
            del self._lines[name]

    def call_up(self, name: str) -> None:
        """Give free slots to the first ones in line; every second one is left to others that wait for it."""
        line = self._lines.get(name)
        while line and self._holds.free(name):
            if name in self._served and self.others_wait(name):
                self._served.discard(name)
                break
            waiter = line.popleft()
            if not waiter.done():
                self._served.add(name)
                self._holds.take(name, 1)
                waiter.set_result(True)
        if line is not None and not line:
            del self._lines[name]

    def call_up_all(self) -> None:
        """Slots may have come from other replicas."""
        for name in list(self._lines):
            self.call_up(name)

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until nothing is to start any more."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_over.wait()
        except TimeoutError:
            return

    def end(self) -> None:
        """Nothing is to start any more."""
        self._is_over.set()
        for waiter in [waiter for line in self._lines.values() for waiter in line]:
            if not waiter.done():
                waiter.set_result(False)


def _has_slot(waiter: "asyncio.Future[bool]") -> bool:
    return waiter.done() and not waiter.cancelled() and waiter.result()
