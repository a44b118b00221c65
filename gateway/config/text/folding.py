"""Which line of the file each part of a scalar's text is on: YAML folds lines, and double quotes write line breaks as escapes.

Only white space is folded. All other characters of a text are in the file, in the same order.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final

from gateway.render.texts import line_breaks

#: YAML's spaces and line breaks.
_WHITE: Final = " \t\n\r\x85\u2028\u2029"
#: Line breaks of YAML that are none of a template.
_NOT_OF_A_TEMPLATE: Final = frozenset("\x85\u2028\u2029")
#: Characters as each style of scalar writes them: an escape in double quotes, a doubled single quote.
_DOUBLE: Final = re.compile(r"\\(?:x..|u.{4}|U.{8}|.?)|.", re.DOTALL)
_NUMBER: Final = re.compile(r"\\[xuU](.+)")
_SINGLE: Final = re.compile(r"''|.", re.DOTALL)
_AS_WRITTEN: Final = re.compile(r".", re.DOTALL)
#: What an escape that is one letter writes, if it is white space.
_WHITE_ESCAPES: Final = frozenset({"\\n", "\\r", "\\t", "\\\t", "\\ ", "\\N", "\\L", "\\P", "\\"})


def breaks_of(text: str, style: str | None, written: Sequence[str], column: int) -> tuple[int, ...] | None:
    """The offsets in a text at which the lines of the file begin, without the first; None: at the lines of the text.

    ``written``: the lines of the file, from the one on which the text begins, to its end; ``column``: where it begins
    on the first one, counted from 0.
    """
    if style == "|" and not _NOT_OF_A_TEMPLATE.intersection(text):
        return None
    breaks = list[int]()
    lines = _lines(style, written, column)
    for offset, character in enumerate(text):
        if character not in _WHITE:
            breaks += repeat(offset, next(lines, len(breaks)) - len(breaks))
    return None if tuple(breaks) == line_breaks(text.rstrip("\n")) else tuple(breaks)


def _lines(style: str | None, written: Sequence[str], column: int) -> Iterator[int]:
    """The line, counted from 0, of every character that is not white space."""
    characters = _DOUBLE if style == '"' else _SINGLE if style == "'" else _AS_WRITTEN
    for number, line in enumerate(written):
        for found in characters.finditer(line, 0 if number else column):
            if not _is_white(found[0], style):
                yield number


def _is_white(written: str, style: str | None) -> bool:
    if style != '"' or written[0] != "\\":
        return written in _WHITE
    by_number = _NUMBER.fullmatch(written)
    return chr(int(by_number[1], base=16)) in _WHITE if by_number else written in _WHITE_ESCAPES
