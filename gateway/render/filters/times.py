"""Filters for times."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from jinja2.utils import missing

from gateway.render.filters.arguments import short, trouble_with
from gateway.render.values import Trouble

#: Characters of a text that may be a time.
LONGEST_TIME: Final = 100
#: The zone that stands for a time's own offset.
OWN: Final = "own"
#: From which size on a number counts thousandths, millionths and billionths of a second; the first is the year 5138.
_UNITS: Final = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))
#: What senders write where there is no time.
_NO_TIME: Final = re.compile(r"\s*(?:0000-00-00(?:[T ]00:00(?::00(?:\.0+)?)?Z?)?)?\s*")
_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,19}(?:\.[0-9]{1,9})?\s*")
#: A time of e-mail and HTTP (RFC 5322, 3.3; RFC 2822): "Thu, 16 Apr 2026 12:34:56 +0200".
_OF_MAIL: Final = re.compile(r"\s*(?:[A-Za-z]{3},\s*)?[0-9]{1,2} [A-Za-z]{3} [0-9]{4} .*")


def date(value: object, format: str = "%Y-%m-%d %H:%M", tz: str = "UTC", default: object = missing) -> object:
    """A time in strftime's ``format`` and in the zone ``tz``: a name such as ``Europe/Berlin``, or ``own`` for its own offset.

    It may be ISO 8601, RFC 2822, or seconds since 1970, also as text; milliseconds, microseconds and nanoseconds are told
    by their size. A time without an offset is in UTC. ``default`` is used for an empty time, 0000-00-00, null, and what is no
    time at all.

    >>> date("2026-04-16T12:34:56.000000Z", "%d %b %Y"), date(1776342896, "%H:%M"), date("1776342896000", "%H:%M")
    ('16 Apr 2026', '12:34', '12:34')
    >>> date("2026-04-16T23:30:00+02:00", "%H:%M", "own"), date("0000-00-00", default="never")
    ('23:30', 'never')
    """
    pattern = short(format, "the format of date")
    try:
        moment = _moment(value)
    except Trouble:
        if default is missing:
            raise
        return default
    return (moment if tz == OWN else moment.astimezone(_zone(tz))).strftime(pattern)


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str) and len(value) <= LONGEST_TIME and not _NO_TIME.fullmatch(value):
            return _read(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _since_1970(value)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        pass
    if isinstance(value, str) and _NO_TIME.fullmatch(value):
        raise trouble_with(value, 'date: {} is not a time: write date(default="...")')
    raise trouble_with(value, "date: {} is neither an ISO 8601 or RFC 2822 time nor seconds since 1970")


def _read(text: str) -> datetime:
    if _NUMBER.fullmatch(text):
        return _since_1970(float(text) if "." in text else int(text))
    if _OF_MAIL.fullmatch(text):
        # Imported when it is needed: few senders write such times.
        from email.utils import parsedate_to_datetime

        moment = parsedate_to_datetime(text.strip())
    else:
        moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _since_1970(number: float) -> datetime:
    per_second = next((unit for least, unit in _UNITS if abs(number) >= least), 1)
    return datetime.fromtimestamp(number / per_second, UTC)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError):
        raise trouble_with(
            name,
            'date: unknown time zone {}: write a name such as "Europe/Berlin", or "own" for the offset of the time',
        ) from None
