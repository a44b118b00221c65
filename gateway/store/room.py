"""When there is room for new events, as every store decides it alike. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.store.nouns import Limits, Room
from gateway.wording import size

_MIB: Final = 1024 * 1024
#: A destination that fills this much of ``max_pending`` is named.
FILLING: Final = 0.5


@lru_cache(maxsize=4)
def usual_free_disk(disk_bytes: int) -> int:
    """Bytes that stay free on a disk of this size: stored events are sent, and other programs work, long before it is full."""
    return min(max(256 * _MIB, disk_bytes // 50), 2048 * _MIB, disk_bytes // 10)


def free_disk(limits: Limits, disk_bytes: int) -> int:
    """Bytes that stay free on a disk of this size."""
    return usual_free_disk(disk_bytes) if limits.free_disk is None else limits.free_disk


def refusal(room: Room, limits: Limits) -> str:
    """Why new events are refused, with the remedy; empty: there is room for them. Asked for each request: costs a microsecond."""
    if room.damage:
        return f"{room.damage}; what is stored is still sent as far as it can be read"
    if room.pending >= limits.max_pending:
        return (
            f"{room.pending:,} deliveries wait, and limits.max_pending is {limits.max_pending:,}: "
            "`gateway destinations` shows which destination does not take them"
        )
    free = free_disk(limits, room.disk_bytes)
    if room.free_bytes < free:
        return (
            f"the disk has {size(max(room.free_bytes, 0))} left for events, and {size(free)} stay free: "
            "free some space, or lower limits.free_disk"
        )
    return ""


class Filling(NamedTuple):
    """The destination that fills most of ``max_pending``."""

    destination: str
    #: Its pending deliveries, and those of all destinations.
    pending: int
    total: int
    #: ``total`` as a fraction of ``max_pending``.
    share: float

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.total:,} deliveries wait, {self.share:.0%} of limits.max_pending, {self.pending:,} of them for "
            f"{self.destination}: at 100 % new events are refused"
        )


def filling(pending: Mapping[str, int], limits: Limits) -> Filling | None:
    """Who fills ``max_pending``, given pending deliveries by destination; None while less than FILLING of it is used."""
    total = sum(pending.values())
    share = total / limits.max_pending
    if share < FILLING or not total:
        return None
    name = max(pending, key=lambda each: pending[each])
    return Filling(name, pending[name], total, share)
