"""The last error of each destination: what it said, and when. As far as this process saw it, and else from the store."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from gateway.holds import Holds
from gateway.process import Gateway
from gateway.store.queries import LastError

#: Seconds for which what the store said stays good.
FRESH_S: Final = 5.0
#: Destinations that the store is asked about at a time.
MOST_ASKED: Final = 100


class _Found(Struct, frozen=True):
    at: float
    error: LastError | None


class Errors:
    """Knows the last error of a destination. One for each process."""

    def __init__(self, gateway: Gateway, holds: Holds) -> None:
        self._gateway = gateway
        self._holds = holds
        self._stored: dict[str, _Found] = {}

    def last(self, destination: str) -> LastError | None:
        """The last error that is known now, without asking the store."""
        stored = self._stored.get(destination)
        known = (self._holds.last_error(destination), stored.error if stored else None)
        return max((each for each in known if each is not None), key=lambda each: each.at, default=None)

    async def look(self, destinations: Collection[str]) -> None:
        """Ask the store about destinations with problems: another replica, or the process before, may have seen them."""
        now = self._gateway.monotonic()
        self._stored = {name: each for name, each in self._stored.items() if now - each.at < FRESH_S * 60}
        due = [name for name in destinations if name not in self._stored or now - self._stored[name].at >= FRESH_S]
        if asked := due[:MOST_ASKED]:
            found = await self._gateway.store.last_errors(asked)
            self._stored.update({name: _Found(now, found.get(name)) for name in asked})
