"""What this process knows of destinations that have, or will have, something due. Pure: ``now`` is passed in."""

import math
from collections.abc import Collection, Iterable

from msgspec import Struct

from gateway.store.nouns import Lease
from gateway.store.postgres.rows import fence_of


class Running(Struct, frozen=True):
    """A lease that this process was granted."""

    destination: str
    token: int
    until: float


class Hints:
    """Moments by the store's clock. The database is the truth; this only spares the wait for the next look at it."""

    def __init__(self) -> None:
        #: By seq of the delivery.
        self._running: dict[int, Running] = {}
        #: The earliest moment known, by destination, from which something is due.
        self._moments: dict[str, float] = {}
        self._fresh: set[str] = set()
        #: Leases that ended by then were named.
        self._named_to = -math.inf
        #: Those that had something due at the last look at everything, or since.
        self._busy: set[str] = set()
        #: The others had nothing due up to this moment.
        self._clear_to = -math.inf

    def granted(self, leases: Iterable[Lease], now: float) -> None:
        for lease in leases:
            seq, _ = fence_of(lease.token)
            self._running[seq] = Running(lease.delivery.destination, lease.token, now + lease.expires)

    def ended(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            seq, _ = fence_of(token)
            held = self._running.get(seq)
            if held is not None and held.token == token:
                del self._running[seq]

    def tell(self, destinations: Iterable[str]) -> None:
        """They have something due."""
        self._fresh.update(destinations)
        self._busy |= self._fresh

    def looked(self, destinations: Collection[str], now: float, *, at_all: bool) -> None:
        """The database was asked, for everything or for what has come up since the last time."""
        if at_all:
            self._busy = set()
        self._clear_to = now
        self.tell(destinations)

    def due_since(self, destination: str) -> float:
        """No delivery that is due there now can have been due before this moment.

        Rows that are gone stay in the way of whoever looks for the first one, while somebody reads an old snapshot.
        """
        return -math.inf if destination in self._busy else self._clear_to

    def come_up(self, destination: str, moment: float) -> None:
        """It has something due from this moment on."""
        self._moments[destination] = min(moment, self._moments.get(destination, math.inf))

    @property
    def is_fresh(self) -> bool:
        """Whether there is something to name whatever the time is."""
        return bool(self._fresh)

    @property
    def leased(self) -> Collection[int]:
        """Seqs of the deliveries whose lease has not been settled."""
        return self._running.keys()

    def take(self, now: float) -> set[str]:
        """Destinations that were not named since something came up there."""
        names, self._fresh = self._fresh, set()
        for name in [name for name, moment in self._moments.items() if moment <= now]:
            names.add(name)
            del self._moments[name]
        names.update(each.destination for each in self._running.values() if self._named_to < each.until <= now)
        self._named_to = max(self._named_to, now)
        self._busy |= names
        return names

    def next_moment(self, now: float) -> float:
        """When something more comes up, as far as is known; infinity: never."""
        moments = [*self._moments.values(), *(each.until for each in self._running.values())]
        return min((moment for moment in moments if moment > now), default=math.inf)
