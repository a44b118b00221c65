"""Events that were stored a moment ago and wait for a slot: a claim need not load them again.

The store decides who may send what; this is only the memory of what it was given. Each destination may have the same
part of it, so that one that takes nothing leaves the others theirs.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gateway.errors import CorruptEvent
from gateway.model import Delivery, Event
from gateway.routing.planning import Known

#: The most bytes of events, of all destinations.
MOST_BYTES: Final = 8 * 1024 * 1024
#: What each destination may have, however many there are.
_LEAST_PART: Final = 64 * 1024
#: What an event takes besides its body: its headers, and what refers to it.
_EACH: Final = 3 * 1024
#: How long an event is kept, seconds: what has not had its turn by then may have to wait for hours.
KEPT_S: Final = 60.0
#: What is known of an event, most of it its parsed payload, takes this many times the memory of its body.
_PARSED: Final = 8


#: An event as the store gives it; None: it has gone.
Loaded = Event | CorruptEvent | None
#: The event of a delivery, and what is known of it.
AtHand = tuple[Loaded, Known | None]


class Kept(NamedTuple):
    """An event, and what is known of it, if there was room for that as well."""

    event: Event
    known: Known | None
    size: int
    until: float


class Handover:
    """Keeps the events of new deliveries until they are claimed; when it is full, the newest ones are not kept."""

    def __init__(self, room: int, monotonic: Callable[[], float]) -> None:
        """``room``: bytes."""
        self._room = room
        self._monotonic = monotonic
        #: By destination, and there by delivery, the oldest first.
        self._kept: dict[str, OrderedDict[str, Kept]] = {}
        self._sizes: dict[str, int] = {}

    def keep(self, name: str, delivery_id: str, event: Event, known: Known | None, destinations: int) -> None:
        """Keep the event of a delivery, if there is room; ``destinations``: how many share it.

        What is known of events is kept until half of the room is taken.
        """
        kept, now = self._kept.setdefault(name, OrderedDict()), self._monotonic()
        held, part = self._sizes.get(name, 0), max(_LEAST_PART, self._room // max(1, destinations))
        while kept and (oldest := next(iter(kept.values()))).until <= now:
            kept.popitem(last=False)
            held -= oldest.size
        size = _EACH + len(event.body)
        if known is not None and 2 * held < part:
            size += _PARSED * len(event.body)
        else:
            known = None
        if held + size <= part:
            kept[delivery_id] = Kept(event, known, size, now + KEPT_S)
            held += size
        self._sizes[name] = held

    def taken(self, deliveries: Iterable[Delivery]) -> dict[str, AtHand]:
        """What there is of those that are here, by delivery; it is not kept any longer."""
        found = ((each.id, self.take(each)) for each in deliveries)
        return {id_: (kept.event, kept.known) for id_, kept in found if kept}

    def take(self, delivery: Delivery) -> Kept | None:
        """The event of a delivery, which is not kept any longer."""
        kept = self._kept.get(delivery.destination)
        found = kept.pop(delivery.id, None) if kept else None
        if found is None:
            return None
        self._sizes[delivery.destination] -= found.size
        return found
