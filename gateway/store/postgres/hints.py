"""What this process knows of destinations that have, or will have, something due. Pure: ``now`` is passed in."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from msgspec import Struct

from gateway.store.nouns import Lease
from gateway.store.postgres.rows import fence_of


class Running(Struct, frozen=True):
    """A lease that this process was granted, of a delivery that was due at a moment."""

    destination: str
    token: int
    due: float
    until: float


class Asking(Struct, eq=False):
    """A question to the database that has not been answered yet: its answer may lack what is reported meanwhile."""

    told: dict[str, float]


def lower(bounds: MutableMapping[str, float], destination: str, moment: float) -> None:
    """Let the bound of a destination be no later than a moment."""
    bounds[destination] = min(moment, bounds.get(destination, math.inf))


class Hints:
    """Moments by the store's clock. The database is the truth; this only spares the wait for the next look at it.

    For each destination there is a lower bound of the moments since when its deliveries have been due (``due_since``).
    Claims and appends begin their search there, because deleted rows stay in the index before it for as long as an old
    snapshot is open, and there may be any number of them. A claim raises the bound to what it has reached. Whatever
    makes a delivery due reports since when, after its commit, and that lowers the bound. A look at everything finds
    what nobody reported, such as the leases of a process that has died, and sets every bound again.
    """

    def __init__(self) -> None:
        #: By seq of the delivery.
        self._running: dict[int, Running] = {}
        #: The earliest moment known, by destination, from which something is due.
        self._moments: dict[str, float] = {}
        self._fresh: set[str] = set()
        #: Leases that ran out by then were reported.
        self._told_to = -math.inf
        #: The bounds of those that had something due at the last look at everything, or since.
        self._since: dict[str, float] = {}
        #: The others had nothing due up to this moment.
        self._clear_to = -math.inf
        self._asked: list[Asking] = []

    def granted(self, lease: Lease, due: float, now: float) -> None:
        """``due``: since when the delivery had been due."""
        seq, _ = fence_of(lease.token)
        self._running[seq] = Running(lease.delivery.destination, lease.token, due, now + lease.expires)

    def ended(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            seq, _ = fence_of(token)
            held = self._running.get(seq)
            if held is not None and held.token == token:
                del self._running[seq]

    def run_out(self, now: float) -> Collection[str]:
        """Destinations of leases that ran out since this was asked last: what they were for is due again."""
        over = [each for each in self._running.values() if self._told_to < each.until <= now]
        self._told_to = max(self._told_to, now)
        for each in over:
            self.tell({each.destination: each.due})
        return {each.destination for each in over}

    # since when something is due

    def due_since(self, destination: str) -> float:
        """No delivery that is due there and not leased has been due since before this moment, as far as is known."""
        return self._since.get(destination, self._clear_to)

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        """While the database is asked by ``claimed`` and ``looked``."""
        asking = Asking({})
        self._asked.append(asking)
        try:
            yield asking
        finally:
            self._asked = [each for each in self._asked if each is not asking]

    def tell(self, since: Mapping[str, float]) -> None:
        """They have something that has been due since a moment, or some moment after it; -infinity: nobody knows."""
        self._fresh.update(since)
        for destination, moment in since.items():
            self._lower(destination, moment)

    def _lower(self, destination: str, moment: float) -> None:
        self._since[destination] = min(moment, self.due_since(destination))
        for asking in self._asked:
            lower(asking.told, destination, moment)

    def claimed(self, asking: Asking, reached: Mapping[str, float]) -> None:
        """A claim has left nothing there that has been due since before a moment."""
        for destination, moment in reached.items():
            self._since[destination] = min(moment, asking.told.get(destination, math.inf))

    def looked(self, asking: Asking, found: Mapping[str, float], now: float, *, at_all: bool) -> None:
        """The database was asked for everything that is due, or for what has become due since the last time."""
        if at_all:
            self._since = {}
        self._clear_to = now
        if at_all:
            for destination, moment in asking.told.items():
                self._lower(destination, moment)
        self.tell(found)

    # what to look at, and when

    def come_up(self, destination: str, moment: float) -> None:
        """It has something due from this moment on."""
        lower(self._moments, destination, moment)

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
        self.tell({name: moment for name, moment in self._moments.items() if moment <= now})
        self._moments = {name: moment for name, moment in self._moments.items() if moment > now}
        self.run_out(now)
        names, self._fresh = self._fresh, set()
        return names

    def next_moment(self, now: float) -> float:
        """When something more comes up, as far as is known; infinity: never."""
        moments = [*self._moments.values(), *(each.until for each in self._running.values())]
        return min((moment for moment in moments if moment > now), default=math.inf)
