"""The hours of a week in which something is sent, and moments that return every day or week, in a time zone. Pure.

``now`` is always the wall clock, seconds since the epoch. Where the clocks change, a time that does not exist that day is
the moment at which they jump over it, and of a time that comes twice, hours open at the first and close at the second.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

#: As in routes.yaml, Monday first.
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60
#: Days that are looked at for the next opening: in the second week every day has been there without a change of the clocks.
_AHEAD: Final = 15
#: Later than this, a moment is given with its date instead of its weekday.
_WEEK_S: Final = 6 * 86400.0
_DAY_S: Final = 86400.0
_YEAR_S: Final = 366 * _DAY_S

#: Every zone's name that this machine knows is an argument of ``ZoneInfo``; "UTC" needs no file.
zone_of = lru_cache(maxsize=64)(ZoneInfo)


class Hours(Struct, frozen=True, kw_only=True):
    """Open on some days of the week, from one time of the day to another one."""

    #: 0 is Monday. Hours that end on the next day belong to the day on which they open.
    days: frozenset[int] = frozenset(range(7))
    #: Minutes after midnight; ``to_min`` up to DAY_MIN. If it is not later than ``from_min``, it is on the next day.
    from_min: int = 0
    to_min: int = DAY_MIN
    zone: str = "UTC"

    def opens_in(self, now: float) -> float:
        """Seconds until they are open; 0 while they are."""
        return next((max(0.0, opens - now) for opens, closes in self._periods(now) if closes > now), 0.0)

    def open_s(self, since: float, until: float) -> float:
        """Seconds between two moments in which they are open; time longer than a year ago counts as closed."""
        since = max(since, until - _YEAR_S)
        days = int((until - since) // _DAY_S) + 2
        periods = self._periods(since, ahead=days)
        return sum(max(0.0, min(closes, until) - max(opens, since)) for opens, closes in periods)

    def _periods(self, now: float, ahead: int = _AHEAD) -> Iterator[tuple[float, float]]:
        """When they open and close, from the day before on; without those that a change of the clocks leaves nothing of."""
        today = _midnight(now, self.zone)
        for each in range(-1, ahead):
            day = today + timedelta(days=each)
            if day.weekday() not in self.days:
                continue
            last = day + timedelta(days=self.to_min <= self.from_min)
            opens = instant(day + timedelta(minutes=self.from_min), self.zone)
            closes = instant(last + timedelta(minutes=self.to_min), self.zone, last=True)
            if opens < closes:
                yield opens, closes


class Returning(Struct, frozen=True, kw_only=True):
    """A moment that returns: each day, or on one day of the week."""

    #: Minutes after midnight.
    at_min: int
    #: 0 is Monday; None: every day.
    day: int | None = None
    zone: str = "UTC"

    def comes_in(self, now: float) -> float:
        """Seconds until it comes next; more than 0."""
        today = _midnight(now, self.zone)
        days = (today + timedelta(days=ahead) for ahead in range(_AHEAD))
        moments = (
            instant(day + timedelta(minutes=self.at_min), self.zone)
            for day in days
            if self.day in (None, day.weekday())
        )
        return next(moment - now for moment in moments if moment > now)


def _midnight(now: float, zone: str) -> datetime:
    """The day of ``now``, as a naive local time."""
    local = datetime.fromtimestamp(now, zone_of(zone))
    return datetime(local.year, local.month, local.day)  # noqa: DTZ001  a local time, which ``instant`` reads


@lru_cache(maxsize=1024)
def instant(local: datetime, zone: str, *, last: bool = False) -> float:
    """Seconds since the epoch of a naive local time: of one that comes twice the first, or the ``last``.

    A time that the clocks jump over is the moment at which they do.
    """
    info = zone_of(zone)
    before, after = (local.replace(tzinfo=info, fold=fold).timestamp() for fold in (0, 1))
    if before <= after:
        return after if last else before
    # By the offset before the jump it is later than by the one after it: the jump is between the two.
    low, high = int(after), int(before)
    offset = _offset(low, info)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, info) == offset else (low, middle)
    return float(high)


def _offset(moment: int, info: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(moment, info).utcoffset()


def day_and_time(moment: float, zone: str = "UTC", *, now: float | None = None) -> str:
    """``Mon 09:00``, with the zone unless it is UTC; later than in six days after ``now`` with the date, ``14 Dec 09:00``."""
    local = datetime.fromtimestamp(moment, UTC if zone == "UTC" else zone_of(zone))
    is_far = now is not None and moment - now > _WEEK_S
    said = f"{local.day} {local:%b %H:%M}" if is_far else f"{local:%a %H:%M}"
    return f"{said} UTC" if zone == "UTC" else f"{said} ({zone})"
