"""Leases in memory, and what waits for one: for each destination a lower bound of when an unleased delivery is due, and
the deliveries that were appended last. Pure: ``now`` is passed in.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from gateway.store.nouns import Lease, NewDelivery

#: Fresh deliveries, of all destinations. Each takes some 300 bytes.
MOST_FRESH: Final = 8_192
#: So much sooner a replica claims the fresh deliveries that it has accepted than those of others, seconds.
HEAD_START_S: Final = 1.0


class Held(Struct, frozen=True, kw_only=True):
    """A lease that was granted, with what its row says."""

    lease: Lease
    seq: int
    #: When the delivery became due; its row keeps that time while it is leased.
    due: float
    until: float


class Fresh(NamedTuple):
    """A delivery that is due since it was appended: nothing has changed its row."""

    due: float
    seq: int
    new: NewDelivery
    event_id: str
    #: As it is stored.
    lane: str | None
    #: The replica that accepted it, which has its event at hand.
    replica: str


class Leases:
    """Changed by the store's thread only. A lease is lost once its delivery is leased again, not when it expires."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        #: By destination: the rows that must not be leased now.
        self._running: dict[str, dict[int, Held]] = {}
        #: By destination: the bound for deliveries that are not fresh.
        self._due: dict[str, float] = {}
        #: By destination and replica, the oldest first; no empty ones. A claim that finds what it wants here reads no row.
        self._fresh: dict[str, dict[str, deque[Fresh]]] = {}
        self._fresh_count = 0
        #: Not later than the earliest end of a running lease; it may be the end of one that was settled.
        self._first_end = math.inf

    def grant(self, held: Held) -> None:
        delivery = held.lease.delivery
        self._held[delivery.id] = held
        self._running.setdefault(delivery.destination, {})[held.seq] = held
        self._first_end = min(self._first_end, held.until)

    def holds(self, lease: Lease) -> Held | None:
        """The lease with its row, if it is the last one granted for its delivery."""
        held = self._held.get(lease.delivery.id)
        return held if held is not None and held.lease.token == lease.token else None

    def end(self, held: Held) -> None:
        delivery = held.lease.delivery
        self._held.pop(delivery.id, None)
        self._running.get(delivery.destination, {}).pop(held.seq, None)

    def expire(self, now: float) -> None:
        """Let deliveries whose lease has expired be leased again."""
        if now < self._first_end:
            return
        running = self._all_running()
        for held in running:
            if held.until <= now:
                # In this order: a thread that asks what may be due meanwhile finds it in one place or in both.
                self.lower(held.lease.delivery.destination, held.due)
                self._running[held.lease.delivery.destination].pop(held.seq)
        self._first_end = min((held.until for held in running if held.until > now), default=math.inf)

    def keep(self, delivery_ids: Collection[str]) -> None:
        """Forget every lease except those of these deliveries."""
        for held in [held for id_, held in self._held.items() if id_ not in delivery_ids]:
            self.end(held)

    def running(self, destination: str) -> Collection[int]:
        return self._running.get(destination, {}).keys()

    def ids(self) -> Collection[str]:
        return self._held.keys()

    def all(self) -> Sequence[Held]:
        """Every lease, including those that have expired and were not granted again."""
        return list(self._held.values())

    def lower(self, destination: str, due: float) -> None:
        if due < self._due.get(destination, math.inf):
            self._due[destination] = due

    def raise_to(self, destination: str, due: float) -> None:
        """Set the bound to what the rows say; infinity: nothing waits for this destination."""
        if due == math.inf:
            self._due.pop(destination, None)
        else:
            self._due[destination] = due

    def is_due(self, destination: str, now: float) -> bool:
        return destination in self._fresh or self.is_row_due(destination, now)

    def is_row_due(self, destination: str, now: float) -> bool:
        """Whether something may be due that is not fresh."""
        return self._due.get(destination, math.inf) <= now

    def add_fresh(self, destination: str, fresh: Sequence[Fresh]) -> None:
        """Remember new deliveries, unless something else is due before them or there are too many."""
        if self._fresh_count >= MOST_FRESH or self.is_row_due(destination, fresh[0].due):
            self.lower(destination, fresh[0].due)
        else:
            lines = self._fresh.setdefault(destination, {})
            for each in fresh:
                lines.setdefault(each.replica, deque()).append(each)
            self._fresh_count += len(fresh)

    def take_fresh(self, destination: str, most: int, replica: str) -> Sequence[Fresh]:
        """The oldest fresh deliveries, if none that is not fresh is due before them; of those that are of about the same age
        the ones that ``replica`` has accepted.
        """
        lines = self._fresh.get(destination)
        if lines is None:
            return ()
        if self.is_row_due(destination, _first_due(lines)):
            self.forget_fresh(destination)
            return ()
        taken: list[Fresh] = []
        for name in sorted(lines, key=lambda name: lines[name][0].due - HEAD_START_S * (name == replica)):
            line = lines[name]
            taken += [line.popleft() for _ in range(min(most - len(taken), len(line)))]
            if not line:
                del lines[name]
        self._fresh_count -= len(taken)
        if not lines:
            del self._fresh[destination]
        return taken

    def forget_fresh(self, *destinations: str) -> None:
        """From here on they are found by their rows, which may have been changed; without names: all of them."""
        for destination in destinations or tuple(self._fresh):
            if lines := self._fresh.get(destination):
                # In this order: a thread that asks what may be due meanwhile finds it in one place or in both.
                self.lower(destination, _first_due(lines))
                del self._fresh[destination]
                self._fresh_count -= sum(map(len, lines.values()))

    def maybe_due(self, now: float) -> set[str]:
        """Destinations with something due or with an expired lease. Called from any thread."""
        names = set()
        if now >= self._first_end:
            names = {held.lease.delivery.destination for held in self._all_running() if held.until <= now}
        names.update(name for name, due in list(self._due.items()) if due <= now)
        names.update(list(self._fresh))
        return names

    def next_moment(self, after: float) -> float:
        """When the next delivery becomes due or the next lease expires. Called from any thread."""
        moments = [*list(self._due.values()), *(held.until for held in self._all_running())]
        return min((moment for moment in moments if moment > after), default=math.inf)

    def _all_running(self) -> list[Held]:
        return [held for those in list(self._running.values()) for held in list(those.values())]


def _first_due(lines: Mapping[str, Sequence[Fresh]]) -> float:
    return min(line[0].due for line in lines.values())
