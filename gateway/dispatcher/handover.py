"""Events that were stored a moment ago and wait for a slot: a claim need not load them again.

The store decides who may send what; this is only the memory of what it was given. Each destination may have the same
part of it, so that one that takes nothing leaves the others theirs.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.model import Delivery, Event

#: The most bytes of events, of all destinations.
MOST_BYTES: Final = 8 * 1024 * 1024
#: What each destination may have, however many there are.
_LEAST_PART: Final = 64 * 1024
#: What an event takes besides its body: its headers, and what refers to it.
_EACH: Final = 3 * 1024
#: How long an event is kept, seconds: what has not had its turn by then may have to wait for hours.
KEPT_S: Final = 60.0


class _Kept(NamedTuple):
    event: Event
    size: int
    until: float


class Handover:
    """Keeps the events of new deliveries until they are claimed; when it is full, the newest ones are not kept."""

    def __init__(self, room: int, monotonic: Callable[[], float]) -> None:
        """``room``: bytes."""
        self._room = room
        self._monotonic = monotonic
        #: By destination, and there by delivery, the oldest first.
        self._kept: dict[str, OrderedDict[str, _Kept]] = {}
        self._sizes: dict[str, int] = {}

    def keep(self, name: str, delivery_id: str, event: Event, destinations: int) -> None:
        """Keep the event of a delivery to one of so many destinations, if there is room for it."""
        kept, size, now = self._kept.setdefault(name, OrderedDict()), _EACH + len(event.body), self._monotonic()
        held = self._sizes.get(name, 0)
        while kept and (oldest := next(iter(kept.values()))).until <= now:
            kept.popitem(last=False)
            held -= oldest.size
        if held + size <= max(_LEAST_PART, self._room // max(1, destinations)):
            kept[delivery_id] = _Kept(event, size, now + KEPT_S)
            held += size
        self._sizes[name] = held

    def take(self, delivery: Delivery) -> Event | None:
        """The event of a delivery, which is not kept any longer."""
        kept = self._kept.get(delivery.destination)
        found = kept.pop(delivery.id, None) if kept else None
        if found is None:
            return None
        self._sizes[delivery.destination] -= found.size
        return found.event

    def forget(self, name: str) -> None:
        """Keep nothing for a destination: it may be held for long."""
        self._kept.pop(name, None)
        self._sizes.pop(name, None)
