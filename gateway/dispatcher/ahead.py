"""Deliveries that were claimed before there is a slot for them, so that the next one starts as soon as there is."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.dispatcher.handover import Loaded
from gateway.model import Event
from gateway.routing.planning import Known
from gateway.store.nouns import Lease

#: How long a delivery may wait for its slot, seconds; its lease counts from the claim. Then it is released.
PATIENCE_S: Final = 2.0


class Claimed(NamedTuple):
    """A delivery that is leased and waits for a slot."""

    lease: Lease
    event: Loaded
    known: Known | None
    #: When its lease was asked for, and until when it may wait, on the monotonic clock.
    asked_at: float
    until: float


class Ahead:
    """The lines of all destinations, each no longer than it has slots."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        #: By destination, the first one first; no empty ones.
        self._lines: dict[str, deque[Claimed]] = {}

    def put(self, lease: Lease, event: Loaded, known: Known | None, asked_at: float) -> None:
        line = self._lines.setdefault(lease.delivery.destination, deque())
        line.append(Claimed(lease, event, known, asked_at, self._monotonic() + PATIENCE_S))

    def next(self, name: str) -> Claimed | None:
        """The first one of a destination, which does not wait any longer."""
        line = self._lines.get(name)
        if not line:
            return None
        first = line.popleft()
        if not line:
            del self._lines[name]
        return first

    def is_late(self, claimed: Claimed) -> bool:
        """Whether its lease may be too short by now."""
        return claimed.until <= self._monotonic()

    def __contains__(self, name: str) -> bool:
        """Whether anything waits for a destination."""
        return name in self._lines

    def count(self, name: str) -> int:
        line = self._lines.get(name)
        return len(line) if line else 0

    def end(self) -> Sequence[Claimed]:
        """Everything that waits, which does not wait any longer."""
        ended = [claimed for line in self._lines.values() for claimed in line]
        self._lines.clear()
        return ended


def size_of(event: Loaded) -> int:
    """Bytes that an event has in memory for a delivery."""
    return len(event.body) if isinstance(event, Event) else 0
