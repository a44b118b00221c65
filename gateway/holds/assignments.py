"""What this replica may do with each destination, as the store has assigned it."""

import math
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from gateway.errors import StoreUnavailable
from gateway.process import Gateway
from gateway.store.holds import Assignment, Terms
from gateway.store.shares import whole_slots


class Use(NamedTuple):
    """What was made of the slots of a destination for a while."""

    #: Most that were taken at a time.
    most: int = 0
    #: Whether more could have been used.
    is_short: bool = False


#: Slots for what waits for a destination that is no longer in routes.yaml: each delivery only ends.
GONE_SLOTS: Final = 32
#: Assigned like a destination, and no destination has such a name: the work that one replica does for all.
UPKEEP: Final = "*upkeep"
_NO_TERMS: Final = Terms(slots=1, is_paced=True)
_NO_USE: Final = Use()
_NOT_OURS: Final = (-math.inf, Assignment(share=0.0, is_holder=False, may_claim=False))


class Assignments:
    """Asks the store for what the file in force has, and for other names that came up. One for each process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._asked: set[str] = set()
        #: Until a moment on the monotonic clock.
        self._assigned: dict[str, tuple[float, Assignment]] = {}
        self._more_at = math.inf

    @property
    def more_in_s(self) -> float:
        """Seconds until this replica can take over something from one that no longer answers; infinity: nothing."""
        return self._more_at - self._gateway.monotonic()

    def slots(self, name: str) -> int:
        """How many deliveries this replica may have in flight; 0: it may send nothing there."""
        until, assignment = self._assigned.get(name, _NOT_OURS)
        if until <= self._gateway.monotonic():
            return 0
        destination = self._gateway.config.destinations.get(name)
        slots = GONE_SLOTS if destination is None else destination.concurrency
        return slots if assignment.share == 1.0 else whole_slots(slots, assignment.share)

    @property
    def does_upkeep(self) -> bool:
        """Whether it is for this replica to do the store's upkeep, and to give the figures of all replicas."""
        return self.is_holder(UPKEEP)

    def is_holder(self, name: str) -> bool:
        """Whether it is for this replica to do what is done once for all replicas."""
        until, assignment = self._assigned.get(name, _NOT_OURS)
        return assignment.is_holder and until > self._gateway.monotonic()

    def may_claim(self, name: str) -> bool:
        """Whether this replica may claim what waits."""
        until, assignment = self._assigned.get(name, _NOT_OURS)
        return assignment.may_claim and until > self._gateway.monotonic()

    @property
    def held(self) -> Collection[str]:
        """What this replica holds."""
        return [name for name in self._assigned if self.is_holder(name)]

    async def release(self, names: Collection[str]) -> None:
        """Let other replicas have these at once. Raises StoreUnavailable, and then they have them a little later."""
        for name in names:
            self._assigned.pop(name, None)
        await self._gateway.store.release(self._gateway.replica, names)

    def unasked(self, names: Collection[str]) -> Collection[str]:
        """Those about which the store was not asked yet."""
        return set(names) - self._asked

    async def renew(self, names: Collection[str], use: Mapping[str, Use]) -> Collection[str]:
        """Ask the store again, and about ``names`` from now on; those that this replica has just come to hold.

        ``use``: what was made of the slots since the last time. Raises StoreUnavailable.
        """
        self._asked.update(names, self._gateway.config.destinations)
        # Before the store has answered: for it they begin no later than when it does.
        asked_at = self._gateway.monotonic()
        try:
            assigned = await self._gateway.store.assigned(self._gateway.replica, self._wanted(use))
        except StoreUnavailable:
            # Perhaps it has assigned less, and the answer was lost.
            self._assigned = {}
            raise
        self._more_at = asked_at + assigned.more_in_s
        given = assigned.destinations
        new = [name for name, each in given.items() if name != UPKEEP and self._is_new(name, each, asked_at)]
        self._assigned = {name: (asked_at + each.until_s, each) for name, each in given.items()}
        return new

    def _wanted(self, use: Mapping[str, Use]) -> Mapping[str, Terms]:
        part = self._gateway.part
        delivered = (
            {} if part == "upkeep" else {name: self._terms(name, use.get(name, _NO_USE)) for name in self._asked}
        )
        return delivered if part == "deliveries" else {**delivered, UPKEEP: _NO_TERMS}

    def _terms(self, name: str, use: Use) -> Terms:
        destination = self._gateway.config.destinations.get(name)
        if destination is None:
            return Terms(slots=GONE_SLOTS, is_known=False)
        is_paced = bool(destination.gate.interval_s or destination.order or destination.group)
        return Terms(
            slots=destination.concurrency,
            timeout_s=destination.request_s,
            is_paced=is_paced,
            group=destination.group,
            used=use.most,
            is_short=use.is_short,
        )

    def _is_new(self, name: str, assignment: Assignment, now: float) -> bool:
        until, known = self._assigned.get(name, _NOT_OURS)
        return until <= now or known.epoch != assignment.epoch
