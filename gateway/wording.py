"""How values are worded for people and read from them: durations, sizes, times, counts, suggestions, and text made safe to print."""

import difflib
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Final


def iso_time(seconds: float) -> str:
    """``2026-04-16T12:34:56.789Z`` of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` without what would steer a terminal or turn the reading order: it may be a sender's."""
    return _UNPRINTABLE.sub(lambda found: " " if found[0] in "\t\n" else "\N{REPLACEMENT CHARACTER}", text)


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 attempt``, ``1,204 attempts``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def suggest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str:
    """``did you mean "where"?``, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=closeness)
    return f'did you mean "{close[0]}"?' if close else ""


def suggest_or_list(word: str, known: Collection[str]) -> str:
    """The closest known word, else all of them."""
    return suggest(word, known) or (f"known: {', '.join(known)}" if known else "none is known here")


def duration(seconds: float) -> str:
    """``24h``, ``1h30m``, ``45s``, ``0.5s``: as it would be written in routes.yaml."""
    return "".join(f"{number:g}{unit}" for number, unit in _parts(seconds))


def spaced(seconds: float) -> str:
    return " ".join(f"{number:g} {unit.replace('m', 'min')}" for number, unit in _parts(seconds))


def _parts(seconds: float) -> list[tuple[float, str]]:
    if seconds < 60:
        return [(round(seconds, 3), "s")]
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        return [(seconds // 86400, "d")]
    minutes, rest = divmod(round(seconds), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "m"), (rest, "s"))
    return [(number, unit) for number, unit in parts if number]


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")


_SIZES: Final = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


SIZE: Final = re.compile(r"([0-9]{1,12})\s?(B|KB|MB|GB|KiB|MiB|GiB|)")


def is_duration(text: str) -> bool:
    return DURATION.fullmatch(text) is not None


def seconds(text: str) -> float:
    """The seconds of a duration that is one."""
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def size_in_bytes(text: str) -> int:
    found = SIZE.fullmatch(text)
    assert found is not None
    return int(found[1]) * _SIZES[found[2]]


def exact_size(octets: int) -> str:
    """``1MiB``, ``512KiB``, ``1500B``: as it would be written in routes.yaml."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if octets % _SIZES[unit] == 0)
    return f"{octets // _SIZES[unit]}{unit}"
