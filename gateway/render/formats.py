"""Formats of dates and numbers in the notations of other languages, as filters here have them. Pure."""

import re
from collections.abc import Mapping
from typing import Final

#: Parts of a date as Java, JavaScript and their likes write them.
_PARTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("YYYY", "yyyy", "Y", "y"), "%Y"),
    **dict.fromkeys(("YY", "yy"), "%y"),
    "MMMM": "%B",
    "MMM": "%b",
    **dict.fromkeys(("MM", "M"), "%m"),
    **dict.fromkeys(("dddd", "EEEE"), "%A"),
    **dict.fromkeys(("ddd", "EEE", "E"), "%a"),
    **dict.fromkeys(("DD", "dd", "D", "d"), "%d"),
    **dict.fromkeys(("HH", "H"), "%H"),
    **dict.fromkeys(("hh", "h"), "%I"),
    **dict.fromkeys(("mm", "m"), "%M"),
    **dict.fromkeys(("ss", "s"), "%S"),
    **dict.fromkeys(("a", "A"), "%p"),
    **dict.fromkeys(("Z", "ZZ", "XXX", "xxx"), "%z"),
    **dict.fromkeys(("z", "zzz"), "%Z"),
}
#: The same of PHP, whose parts are single letters.
_OF_PHP: Final[Mapping[str, str]] = {
    "d": "%d",
    "j": "%d",
    "D": "%a",
    "l": "%A",
    "m": "%m",
    "n": "%m",
    "M": "%b",
    "F": "%B",
    "Y": "%Y",
    "y": "%y",
    "H": "%H",
    "G": "%H",
    "h": "%I",
    "g": "%I",
    "i": "%M",
    "s": "%S",
    "A": "%p",
    "a": "%p",
    "P": "%z",
    "T": "%Z",
}
_LETTERS: Final = re.compile(r"'(?P<text>[^']*)'|\[(?P<plain>[^\]]*)\]|(?P<T>T(?=[Hh]))|(?P<part>([A-Za-z])\5*)")
#: What is written where a format says nothing that is known.
USUAL: Final = "%d.%m.%Y"


def strftime(text: str) -> str:
    """``%d.%m.%Y`` for ``DD.MM.YYYY``, ``dd.MM.yyyy`` and ``d.m.Y``; empty if it is none of those.

    >>> strftime("YYYY-MM-DD HH:mm"), strftime("d.m.Y H:i"), strftime("short")
    ('%Y-%m-%d %H:%M', '%d.%m.%Y %H:%M', '')
    """
    runs = [found["part"] for found in _LETTERS.finditer(text) if found["part"]]
    if not runs or "%" in text:
        return ""
    parts = _OF_PHP if all(len(run) == 1 for run in runs) and {"Y", "i", "j", "n", "F"} & {*runs} else _PARTS
    if not all(run in parts for run in runs):
        return ""
    return _LETTERS.sub(
        lambda found: parts[found["part"]] if found["part"] else found["text"] or found["plain"] or found["T"] or "",
        text,
    )


_NUMBER: Final = re.compile(r"[#0,. ']*(?P<point>[.,])(?P<decimals>0+)|[#0,. ']+|%?\.(?P<count>\d+)f?")


def decimals(text: str) -> str:
    """``2`` for ``0.00``, ``#,##0.00`` and ``%.2f``; empty if it is none of those.

    >>> decimals("0.00"), decimals("%.1f"), decimals("0"), decimals("many")
    ('2', '1', '0', '')
    """
    found = _NUMBER.fullmatch(text)
    return (found["count"] or str(len(found["decimals"] or ""))) if found else ""
