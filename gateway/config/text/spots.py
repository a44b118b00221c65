"""Where a parser of YAML gave up, and the mistake that was found there."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

#: Characters examined per line: the patterns are made for lines that people write.
_EXAMINED: Final = 1000


class Mistake(Struct, frozen=True):
    """What is wrong at a 1-based line and column, and what to write instead."""

    line: int
    column: int
    message: str
    hint: str = ""


class Spot(Struct, frozen=True):
    """Where the parser gave up, and its own message."""

    #: The line and column it complains about, 1-based.
    line: int
    column: int
    #: Where the construct it was reading started.
    began_line: int
    began_column: int
    problem: str
    #: The text of ``line``.
    text: str
    #: The text of ``began_line``.
    began_text: str
    #: The key of the top level that ``line`` is below; empty: there is none.
    section: str = ""


def text_of(lines: Sequence[str], line: int) -> str:
    """The text of a 1-based line; empty if there is none."""
    return lines[line - 1][:_EXAMINED] if 0 < line <= len(lines) else ""
