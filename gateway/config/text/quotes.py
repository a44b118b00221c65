"""Texts in quotes that end too early, because the same quote is used inside them."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct

from gateway.config.text.spots import Mistake, Spot

_OPENS: Final = ("[", "{")
#: What may come before a value on its line: its indentation, dashes and its key.
_BEFORE: Final = re.compile(r"""\s*(?:-\s+)*(?:(?:[\w.\-\[\]*]+|"[^"]*"|'[^']*'):\s+)?""")
#: The same inside { } and [ ].
_BEFORE_IN_FLOW: Final = re.compile(r"""[\s,\[\]{}]*(?:(?:[^\s"'{}\[\],:]+|"[^"]*"|'[^']*'):\s+)?[\s\[{]*""")
#: A value in quotes up to the first quote that may end it.
_CLOSED: Final[Mapping[str, re.Pattern[str]]] = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*"'),
    "'": re.compile(r"'(?:[^']|'')*'"),
}
#: What may follow a value in quotes.
_AFTER: Final = re.compile(r"\s*$|\s+#|\s*:(?:\s|$)")
_AFTER_IN_FLOW: Final = re.compile(r"\s*[,}\]]|\s*$|\s+#|\s*:")
_PLAIN_IN_FLOW: Final = re.compile(r"[^,\[\]{}]*")


def quoted(value: str) -> str:
    """The value in quotes, with as few backslashes as possible."""
    value = value.strip()
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'"


def quote_inside(spot: Spot) -> Mistake | None:
    """``text: "{{ attrs["name"] }}"``, anywhere on the line where the parser gave up."""
    found = (_ended_early(spot, at, after) for at, after in _values(spot.text))
    return next((mistake for mistake in found if mistake is not None), None)


class DoubleQuoted(Struct, frozen=True):
    """The values in double quotes of one line."""

    #: Where they begin and end, in order.
    spans: Sequence[tuple[int, int]]
    #: Whether one of them has a template.
    has_template: bool

    @classmethod
    def of(cls, text: str) -> Self:
        found = [value for at, _ in _values(text) if (value := _CLOSED['"'].match(text, at))]
        return cls([each.span() for each in found], any("{{" in each[0] for each in found))

    def has(self, column: int) -> bool:
        """Whether a column, counted from 1, is inside of one of them; 0: whether a template of the line is."""
        if not column:
            return self.has_template
        before = bisect_left(self.spans, (column, 0)) - 1
        return before >= 0 and column <= self.spans[before][1]


def single_quoted(hint: str) -> str:
    """A remedy for a value in double quotes: ``default('...')`` instead of ``default("...")``."""
    return re.sub(r"""(?<=\w\()"([^"']*)"(?=\))""", r"'\1'", hint)


def _values(text: str) -> Iterator[tuple[int, re.Pattern[str]]]:
    """The index where each value of a line begins, and what may follow one in quotes."""
    at = _start_of_value(text)
    if text[at : at + 1] not in _OPENS:
        yield at, _AFTER
        return
    while at < len(text):
        before = _BEFORE_IN_FLOW.match(text, at)
        at = before.end() if before else at
        yield at, _AFTER_IN_FLOW
        value = _CLOSED.get(text[at : at + 1], _PLAIN_IN_FLOW).match(text, at)
        at = max(at + 1, value.end() if value else 0)


def _start_of_value(text: str) -> int:
    before = _BEFORE.match(text)
    return before.end() if before else 0


def _ended_early(spot: Spot, at: int, after: re.Pattern[str]) -> Mistake | None:
    """The value in quotes that begins at an index, if something follows its end, and a later quote ends the text."""
    text, quote = spot.text, spot.text[at : at + 1]
    closed = _CLOSED[quote].match(text, at) if quote in _CLOSED else None
    if closed is None or after.match(text, closed.end()):
        return None
    ends = (each.start() for each in re.finditer(re.escape(quote), text) if each.start() >= closed.end())
    for end in ends:
        inner = text[at + 1 : end]
        if after.match(text, end + 1) and inner.count("{{") <= inner.count("}}"):
            message = f"a {quote} inside {quote}...{quote} ends the text too early"
            return Mistake(spot.line, at + 1, message, f"write {_requoted(inner, quote)}")
    return None


def _requoted(inner: str, quote: str) -> str:
    """A text in quotes that it has not inside, or else with the inner ones escaped."""
    if quote == '"' and ("'" in inner or "\\" in inner):
        return '"' + re.sub(r'(?<!\\)"', r"\"", inner) + '"'
    if quote == "'" and ('"' in inner or "\\" in inner):
        return "'" + re.sub(r"'+", "''", inner) + "'"
    return f"'{inner}'" if quote == '"' else '"' + inner.replace("''", "'") + '"'
