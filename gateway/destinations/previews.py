"""A message as its readers see it, in parts that the console draws.

Each part is a mapping with ``is`` and the fields of that part: ``text`` (html), ``header`` (html), ``fields`` (items),
``facts`` (items: pairs of a name and a text), ``context`` (items), ``rule``, ``buttons`` (names), ``image`` (alt),
``card`` (colour, parts), ``other`` (type: that of a part nobody draws). Texts that have markup are Said.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

Part = Mapping[str, Any]
Message = Mapping[str, object]

#: How a text is marked up; ``plain`` has no markup, ``slack_plain`` is Slack's with only its entities and emoji.
Dialect = Literal["plain", "slack", "slack_plain", "markdown", "telegram", "card_html"]

#: Elements of a list that a preview looks at: more than any kind accepts.
MOST: Final = 100

_COLOUR: Final = re.compile(r"#?([0-9a-fA-F]{6})")


class Said(Struct, frozen=True):
    """A text of a message, to be drawn in its dialect."""

    text: str
    dialect: Dialect = "plain"


def said(value: object, dialect: Dialect = "plain") -> Said:
    """The text of a field; empty if it has none."""
    return Said(value if isinstance(value, str) else "", dialect)


def text(value: object, dialect: Dialect = "plain") -> Iterator[Part]:
    """A part with the text of a field; none if it is empty."""
    if (found := said(value, dialect)).text:
        yield {"is": "text", "html": found}


def objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The first objects in a list; none if it is not a list."""
    return (each for each in value[:MOST] if isinstance(each, dict)) if isinstance(value, list) else iter(())


def word(value: object) -> str:
    """A short text without markup."""
    return value if isinstance(value, str) else ""


def colour(value: object, named: Mapping[str, str] | None = None) -> str:
    """Six hex digits; empty if it is not a colour."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFFFF:
        return f"{value:06x}"
    found = _COLOUR.fullmatch((named or {}).get(value, value)) if isinstance(value, str) else None
    return found[1] if found else ""
