"""The last error of each destination: what it said, and when. As far as this process saw it, and else from the store."""

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from gateway.holds import Holds
from gateway.holds.standing import LastError
from gateway.model import Delivery, DeliveryState
from gateway.process import Gateway
from gateway.store import Reads
from gateway.store.queries import DeliveryQuery

#: Seconds for which what the store said stays good.
FRESH_S: Final = 5.0
#: Destinations that the store is asked about at a time, and the newest of their waiting deliveries that are looked at.
MOST_ASKED: Final = 12
NEWEST: Final = 20


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
        for name in due[:MOST_ASKED]:
            self._stored[name] = _Found(now, await stored(self._gateway.store, name))


async def stored(reads: Reads, destination: str) -> LastError | None:
    """The last error that the store knows, of the newest deliveries that wait, or else of the newest dead one."""
    for state, limit in ((DeliveryState.PENDING, NEWEST), (DeliveryState.DEAD, 1)):
        rows = (await reads.deliveries(DeliveryQuery(state=state, destination=destination, limit=limit))).rows
        if failed := next((each for each in rows if each.attempts and each.reason), None):
            return await _told(reads, failed)
    return None


async def _told(reads: Reads, delivery: Delivery) -> LastError | None:
    history = await reads.event(delivery.event_id)
    made = history.attempts.get(delivery.id, ()) if history else ()
    if not made or not made[-1].reason:
        return None
    return LastError(at=made[-1].started_at, reason=made[-1].reason, event_id=delivery.event_id)
