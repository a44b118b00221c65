"""Filters for numbers and times."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from jinja2.utils import missing

from gateway.render.filters.arguments import short, trouble_with
from gateway.render.values import Trouble, kind, readable

#: Characters of a text that may be a number or a time.
LONGEST_NUMBER = 4_000
LONGEST_TIME = 100


def int_(value: object, default: object = missing) -> object:
    """As a whole number; ``default`` if it is not one, or an error without a default.

    >>> int_("42"), int_("3.9"), int_("many", 0)
    (42, 3, 0)
    """
    return _number(
        value, lambda text: int(text) if re.fullmatch(r"\s*[-+]?\d+\s*", text) else int(float(text)), default
    )


def float_(value: object, default: object = missing) -> object:
    """As a number; ``default`` if it is not one, or an error without a default.

    >>> float_("3.5")
    3.5
    """
    return _number(value, float, default)


def _number(value: object, convert: Callable[[str], object], default: object) -> object:
    try:
        text = str(int(value)) if isinstance(value, bool) else readable(value)
        # The error about a long text would quote all of it.
        return convert(text if len(text) <= LONGEST_NUMBER else "")
    except (ValueError, OverflowError, Trouble):
        if default is missing:
            raise trouble_with(value, "{} is not a number") from None
        return default


def round_(value: object, precision: int = 0) -> object:
    """Rounded to ``precision`` decimals, at most 15; to a whole number by default.

    >>> round_(2.7), round_(3.14159, 2)
    (3, 3.14)
    """
    if not isinstance(value, int | float):
        raise Trouble(f"round needs a number, and this is {kind(value)}")
    if not 0 <= precision <= 15:
        raise Trouble(f"round to {precision} decimals: write 0 to 15")
    return round(value, precision) if precision else round(value)


def abs_(value: object) -> object:
    """The absolute value.

    >>> abs_(-3)
    3
    """
    if not isinstance(value, int | float):
        raise Trouble(f"abs needs a number, and this is {kind(value)}")
    return abs(value)


def date(value: object, format: str = "%Y-%m-%d %H:%M", tz: str = "UTC") -> str:
    """An ISO 8601 time, or seconds (milliseconds from 1e11) since 1970, in strftime's ``format``.

    A time without an offset is in UTC.

    >>> date("2026-04-16T12:34:56.000000Z", "%d %b %Y"), date(1776342896, "%H:%M"), date(1776342896000, "%H:%M")
    ('16 Apr 2026', '12:34', '12:34')
    """
    pattern = short(format, "the format of date")
    return _moment(value).astimezone(_zone(tz)).strftime(pattern)


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str) and len(value) <= LONGEST_TIME:
            moment = datetime.fromisoformat(value.strip())
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise trouble_with(value, "date: {} is neither an ISO 8601 time nor seconds since 1970")


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError):
        raise trouble_with(name, 'date: unknown time zone {}: write a name such as "Europe/Berlin"') from None
