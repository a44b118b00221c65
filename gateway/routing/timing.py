"""When what an entry sends is sent: its ``delay`` and its ``hours``. Pure: ``now`` is the wall clock, seconds since the epoch."""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from gateway.routing.gathering import Debounce, Digest
from gateway.routing.hours import Hours, day_and_time

#: Openings of an entry and of its destination that are tried one after the other to find a moment at which both are open.
_TRIES: Final = 16
#: 5 January 2026 and a year, in which clocks change at different times in different zones.
_A_MONDAY: Final = 1767571200.0
_YEAR_S: Final = 366 * 86400.0


class Timing(Struct, frozen=True, kw_only=True):
    """When an entry sends."""

    #: Seconds after its event, at the earliest.
    delay_s: float = 0.0
    #: None: at any time.
    hours: Hours | None = None
    #: Whether what is received outside of them is not sent at all.
    skips: bool = False

    def is_skipped(self, now: float) -> bool:
        """Whether an event that is received now is not sent."""
        return self.skips and self.hours is not None and self.hours.opens_in(now) > 0

    def wait_s(self, now: float) -> float:
        """Seconds until the first attempt for an event that is received now."""
        return self.delay_s + self.closed_s(now + self.delay_s)

    def closed_s(self, now: float) -> float:
        """Seconds until an attempt may be made; 0: now. What is skipped was decided when its event was received."""
        return 0.0 if self.hours is None or self.skips else self.hours.opens_in(now)


UNTIMED: Final = Timing()


class Waiting(Struct, frozen=True):
    """Until when a delivery waits, and the zone of the hours that it waits for."""

    until: float
    zone: str = "UTC"
    #: Whether a digest gathers events meanwhile.
    gathers: bool = False

    def words(self, now: float) -> str:
        """``waits until Mon 09:00 (Europe/Berlin)``, ``gathers until ...``."""
        return f"{'gathers' if self.gathers else 'waits'} until {day_and_time(self.until, self.zone, now=now)}"


@lru_cache(maxsize=1024)
def overlap(one: Hours, other: Hours) -> bool:
    """Whether there are moments in a year at which both are open."""
    now = _A_MONDAY
    while now < _A_MONDAY + _YEAR_S:
        opens_s = max(one.opens_in(now), other.opens_in(now))
        if not opens_s:
            return True
        now += opens_s
    return False


def waiting(
    timing: Timing, destination: Hours | None, now: float, gathers: Digest | Debounce | None = None
) -> Waiting | None:
    """What an event that is received now waits for before its first attempt, as the file has it; None: nothing."""
    gathers_s, zone = _gathering(gathers, now)
    until = now + gathers_s + timing.wait_s(now + gathers_s)
    zone = timing.hours.zone if timing.hours and not timing.skips else zone
    for _ in range(_TRIES):
        more_s = destination.opens_in(until) if destination else 0.0
        if more_s and destination:
            until, zone = until + more_s, destination.zone
        closed_s = timing.closed_s(until)
        if not closed_s:
            break
        until += closed_s
    return Waiting(until, zone, isinstance(gathers, Digest)) if until > now else None


def _gathering(gathers: Digest | Debounce | None, now: float) -> tuple[float, str]:
    """For how long an event gathers with others if no other one comes, seconds; and the zone in which that was said."""
    match gathers:
        case Digest(at=returning):
            return gathers.wait_s(now), returning.zone if returning else "UTC"
        case Debounce(quiet_s=quiet_s):
            return quiet_s, "UTC"
    return 0.0, "UTC"
