"""Durations and sizes as people write them, in the notation of the file."""

import re
from typing import Final

from gateway.wording import DURATION, duration, seconds

_UNITS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_WEEKS: Final = frozenset({"w", "wk", "wks", "week", "weeks"})
_PART: Final = re.compile(r"\s*(?P<number>\d{1,9}(?:\.\d{1,6})?)\s*(?P<unit>[a-z]+)\s*,?(?:\s*and\b)?")
_FOREVER: Final = frozenset({"forever", "infinite", "infinity", "inf", "unlimited", "always", "max"})
_CLOCK: Final = re.compile(r"(?P<hours>\d{1,3}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)")
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
#: From this number on, it may be milliseconds.
_MILLISECONDS: Final = 1000


def instead(text: str, least_s: float, most_s: float) -> str:
    """What to write for a text that is not a duration between ``least_s`` and ``most_s``; empty if it cannot be said."""
    if _NUMBER.fullmatch(text):
        return _of_number(text, least_s, most_s)
    if is_forever(text):
        return f"write {duration(most_s)}, the longest possible"
    written = _written(text.strip().lower())
    return f"write {written}" if written and least_s <= seconds(written) <= most_s else ""


def is_forever(text: str) -> bool:
    """Whether a text means that something never ends."""
    return text.strip().lower() in _FOREVER


def _of_number(text: str, least_s: float, most_s: float) -> str:
    number = float(text)
    of_seconds = f"{text}s" if least_s <= number <= most_s else ""
    is_long = number >= _MILLISECONDS and number % 100 == 0 and least_s <= number / 1000 <= most_s
    of_milliseconds = duration(number / 1000) if is_long else ""
    if of_seconds and of_milliseconds:
        return f"write {of_seconds} for seconds, or {of_milliseconds} for milliseconds"
    return f"write {of_seconds or of_milliseconds}" if of_seconds or of_milliseconds else ""


def _written(text: str) -> str:
    """``5 seconds``, ``PT5S``, ``00:00:05`` and ``1 hour, 30 min`` as ``5s`` and ``1h30m``; empty for anything else."""
    if clock := _CLOCK.fullmatch(text):
        return duration(int(clock["hours"]) * 3600 + int(clock["minutes"]) * 60 + int(clock["seconds"]))
    if re.fullmatch(r"p(?:\d+[wd])?(?:t[\dhms.]+)?", text):
        text = re.sub("[pt]", "", text)
    parts = list(_PART.finditer(text))
    if not parts or "".join(each[0] for each in parts) != text:
        return ""
    found = [_part(each["number"], each["unit"]) for each in parts]
    written = "".join(found)
    return written if all(found) and DURATION.fullmatch(written) else ""


def _part(number: str, unit: str) -> str:
    if unit in _WEEKS:
        return f"{float(number) * 7:g}d"
    return number + _UNITS[unit] if unit in _UNITS else ""


_SIZE: Final = re.compile(r"(?P<number>\d{1,12})\s*(?P<prefix>[kmg])(?P<binary>i)?(?:b|bytes?)?", re.IGNORECASE)


def size_instead(text: str) -> str:
    """What to write for ``1M``, ``10mb`` or ``512 kib``; empty for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return ""
    prefix = found["prefix"].upper()
    return f"write {found['number']}{prefix}{'i' if found['binary'] else ''}B"
