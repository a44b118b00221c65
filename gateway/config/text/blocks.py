"""Texts of several lines and entries of lists whose sign is missing, and spaces that are none."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from gateway.config.text.spots import Mistake, text_of

#: Keys whose value is a text, and keys whose value is a list of maps.
_TEXTS: Final = frozenset({"text", "summary", "xml", "content", "message"})
_LISTS: Final = frozenset({"always", "routes", "unmatched", "invalid", "failed", "tests", "send", "choose"})
_ALONE: Final = re.compile(r"(?P<before> *(?:- +)?)(?P<key>[\w.-]+):\s*(?:#.*)?$")
_KEY: Final = re.compile(r""" *(?:\w[\w.-]*|"[^"]*"|'[^']*'):(?:\s|$)""")
_FIELD: Final = re.compile(r" *(?:- +)?[a-z_][a-z0-9_]*:(?:\s|$)")
_IN_BLOCK: Final = re.compile(r".*:\s+[|>][-+0-9]*\s*$")
_NO_SPACE: Final = re.compile(r"(?P<before> *(?:- +)?)(?P<key>[\w.-]+):(?P<sign>[|>][-+]?)\s*$")
_INDENTATION: Final = re.compile(r"\s*")
#: Lines from the one where the parser gave up back to the mistake.
_NEAR: Final = 30


def mistake_in(line: int, lines: Sequence[str]) -> Mistake | None:
    """What is wrong above a line at which a parser gave up; None if it is none of these."""
    return odd_space(line, lines) or without_space(line, lines) or without_sign(line, lines) or _dash(line, lines)


def odd_space(line: int, lines: Sequence[str]) -> Mistake | None:
    """A line that is indented with another space than that of the keyboard, such as a no-break space."""
    above = next((each for each in range(line - 1, 0, -1) if text_of(lines, each).strip()), line)
    for number in (line, above):
        if _IN_BLOCK.match(text_of(lines, _parent(number, lines))):
            continue
        indentation = _INDENTATION.match(text_of(lines, number))
        odd = next((sign for sign in (indentation[0] if indentation else "") if sign not in " \t"), "")
        if odd and text_of(lines, number).strip():
            name = unicodedata.name(odd, "control character").lower()
            message = f"this line is indented with another character than a space: {name} (U+{ord(odd):04X})"
            column = text_of(lines, number).index(odd) + 1
            return Mistake(number, column, message, "delete the indentation, and type it with the space bar")
    return None


def without_space(line: int, lines: Sequence[str]) -> Mistake | None:
    """``text:|`` above a line."""
    for number in range(line, max(line - _NEAR, 0), -1):
        if found := _NO_SPACE.match(text_of(lines, number)):
            message = f'"{found["key"]}:" has no space after its colon'
            return Mistake(number, found.start("key") + 1, message, f"write {found['key']}: {found['sign']}")
    return None


def without_sign(line: int, lines: Sequence[str]) -> Mistake | None:
    """``text:`` with the lines of a text below it, one of which is this one."""
    above = _parent(line, lines)
    found = _ALONE.match(text_of(lines, above))
    if found is None or found["key"] not in _TEXTS:
        return None
    inside = [text_of(lines, number) for number in range(above + 1, line + 1)]
    if all(_FIELD.match(text) for text in inside if text.strip()):
        # A map, such as a block of Slack.
        return None
    message = f'the lines below "{found["key"]}:" are a text, which needs a | after the colon'
    return Mistake(above, found.start("key") + 1, message, f"write {found['key']}: |")


def _dash(line: int, lines: Sequence[str]) -> Mistake | None:
    """The first entry of the list that a line is in, if it has no dash."""
    above = _parent(line, lines)
    while above and ((found := _ALONE.match(text_of(lines, above))) is None or found["key"] not in _LISTS):
        above = _parent(above, lines)
    first = next((each for each in range(above + 1, line + 1) if text_of(lines, each).strip()), 0) if above else 0
    text = text_of(lines, first)
    if not first or not _KEY.match(text):
        return None
    column = len(text) - len(text.lstrip()) + 1
    return Mistake(first, column, "an entry of a list begins with - and a space", f"write - {text.strip()[:80]}")


def _parent(line: int, lines: Sequence[str]) -> int:
    """The nearest line above that is indented less; 0 if there is none."""
    spaces = _spaces(text_of(lines, line))
    above = (number for number in range(line - 1, 0, -1) if (text := text_of(lines, number)).strip() and text[0] != "#")
    return next((number for number in above if _spaces(text_of(lines, number)) < spaces), 0)


def _spaces(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
