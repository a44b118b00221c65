"""The file of several replicas: one process owns it, and the others reach it through that process."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from gateway.errors import StoreUnavailable
from gateway.model import Release
from gateway.store.cluster import Together
from gateway.store.holds import Assigned, Hold, Terms
from gateway.store.nouns import Outcome
from gateway.store.spread import Spread
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.hints import Hints
from gateway.store.sqlite.owner import SQLiteStore
from gateway.store.sqlite.snapshots import Snapshots


class SharedFile(SQLiteStore):
    """The Store of the process that owns the file, with what it has to know of the others."""

    def __init__(self, database: Database, snapshots: Snapshots, clock: Callable[[], float]) -> None:
        super().__init__(database, snapshots, clock)
        self.cluster: Together = Together(clock, self._say_changed)
        #: Called when the other replicas should look at once at what is held, by whom, and whether they are to reload.
        self.changed: Callable[[], None] = _nobody
        self._spread = Spread(database.file.now)
        #: Of the other replicas.
        self._others: set[Hints] = set()

    def expect(self, replicas: int) -> None:
        """Keep the shares of replicas that are still to come: ``replicas`` will deliver."""
        self._spread.expected = replicas

    async def set_hold(self, hold: Hold) -> bool:
        is_set = await super().set_hold(hold)
        if is_set:
            self.changed()
        return is_set

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:
        return self._spread.assigned(replica, wanted)

    async def release(self, replica: str, destinations: Collection[str]) -> None:
        self._spread.release(replica, destinations)

    def in_flight(self, destination: str) -> int:
        """How many deliveries of a destination are leased, by all replicas."""
        return len(self._database.records.leases.running(destination))

    def join(self) -> Hints:
        """The hints of another replica from now on."""
        hints = Hints(self._database.file.now, self._database.records.leases, -math.inf)
        self._others.add(hints)
        return hints

    async def leave(self, names: Collection[str], hints: Hints) -> None:
        """A replica has ended: what it had leased is due, and what it held is for others to hold, at once.

        ``names``: those under which it was known.
        """
        self._others.discard(hints)
        for name in names:
            self._spread.leave(name)
            self.cluster.leave(name)
        held = [each.lease for each in self._database.records.leases.all() if each.lease.owner in names]
        if held:
            # Should the disk refuse, the leases expire.
            with suppress(StoreUnavailable):
                await self.settle([Outcome(lease, Release()) for lease in held])
        self.changed()

    def _say_changed(self) -> None:
        self.changed()

    def _come_up(self, moment: float) -> None:
        super()._come_up(moment)
        for hints in self._others:
            hints.come_up(moment)


def _nobody() -> None:
    """There are no other replicas yet."""
