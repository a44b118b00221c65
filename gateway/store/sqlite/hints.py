"""What a replica is told of what is due in the file."""

import asyncio
import math
from collections.abc import Callable, Collection
from contextlib import suppress

from gateway.store.sqlite.leases import Leases


class Hints:
    """The hints of one replica: each change is told once. For the event loop."""

    def __init__(self, now: Callable[[], float], leases: Leases, moment: float = -math.inf) -> None:
        """``now``: the store's clock. ``moment``: from when on there is something to tell; at first everything that is due."""
        self._now = now
        self._leases = leases
        self._moment = moment
        self._moved = asyncio.Event()

    def come_up(self, moment: float) -> None:
        """There is something new to claim from this moment on; infinity: there is nothing."""
        if moment < self._moment:
            self._moment = moment
            self._moved.set()

    async def wake(self) -> Collection[str]:
        """Destinations that may have something due, as soon as there is something new to tell."""
        while (ahead_s := self._moment - self._now()) > 0:
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(ahead_s if ahead_s < math.inf else None):
                    await self._moved.wait()
        now = self._now()
        self._moment = self._leases.next_moment(now)
        return self._leases.maybe_due(now)
