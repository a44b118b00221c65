"""A sender's text made safe to show: escaped, bounded, and unable to change the reading order.

Total: any JSON value and any text becomes markup of bounded size.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

from gateway.wording import SURROGATES, TURNING

#: Characters shown of one text; a link leads to the rest.
LONGEST_TEXT: Final = 2_000
#: Characters and lines shown of one value.
LONGEST_VALUE: Final = 60_000
MOST_LINES: Final = 1_500
#: Levels of a value that are laid out; deeper ones are one line of JSON.
DEEPEST: Final = 32
#: A nested value with more members than this starts folded.
OPEN_UP_TO: Final = 60

# Controls (tabs and newlines apart), characters without a width, and those that turn the reading order.
_UNSEEN: Final = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f{TURNING}\u2060-\u206f\ufeff\ufff9-\ufffb{SURROGATES}]"
    "|[\U000e0000-\U000e007f]"
)


def shown(text: object, limit: int = LONGEST_TEXT) -> Markup:
    """``text`` isolated from its surroundings, with invisible characters marked."""
    return Markup("<bdi>{}</bdi>").format(marked(cut(str(text), limit)))


def marked(text: str) -> Markup:
    """``text`` with invisible characters replaced by their code, such as ``U+202E``."""
    escaped = str(escape(text))
    return Markup(_UNSEEN.sub(lambda found: _mark(found[0]), escaped))  # noqa: S704  escaped above


@lru_cache(maxsize=1024)
def _mark(character: str) -> str:
    name = unicodedata.name(character, "not a character")
    return f'<span class="unseen" title="{escape(name.lower())}">U+{ord(character):04X}</span>'


def flat(text: object, limit: int = 200) -> str:
    """``text`` for a title or label, which cannot hold markup: invisible characters become U+FFFD."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", cut(str(text), limit))


def cut(text: str, limit: int = LONGEST_TEXT) -> str:
    """At most ``limit`` characters, and how many more there are."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def pretty(value: object) -> Markup:
    """A JSON value over several lines, nested values foldable; its text is valid JSON unless something is cut."""
    return pretty_and_cut(value)[0]


def pretty_and_cut(value: object) -> tuple[Markup, bool]:
    """The same, and whether part of it was left out."""
    lines = _Lines()
    lines.write(value)
    return Markup("".join(lines.parts)), lines.is_cut  # noqa: S704  every part is made below


class _Lines:
    """Writes lines until their budget is spent."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.is_cut = False
        self._left = LONGEST_VALUE
        self._lines_left = MOST_LINES

    def write(self, value: object) -> None:
        if isinstance(value, str):
            self._put("", marked(self._bounded(value)), "\n")
        else:
            self._value(value, "", "", "", 0)

    @property
    def _is_spent(self) -> bool:
        return self._left <= 0 or self._lines_left <= 0

    def _value(self, value: object, indent: str, head: str, comma: str, depth: int) -> None:
        match value:
            case Mapping() if value and depth < DEEPEST:
                self._nested(self._some(value.items()), "{", "}", indent, head, comma, depth, len(value))
            case list() | tuple() if value and depth < DEEPEST:
                members = [(None, each) for each in self._some(value)]
                self._nested(members, "[", "]", indent, head, comma, depth, len(value))
            case _:
                self._put(indent, f"{head}{self._leaf(value)}{comma}", "\n")

    def _some(self, members: Any) -> Sequence[Any]:
        """No more members than there are lines left."""
        return [each for each, _ in zip(members, range(max(self._lines_left, 0)), strict=False)]

    def _nested(
        self,
        members: Sequence[tuple[object, object]],
        left: str,
        right: str,
        indent: str,
        head: str,
        comma: str,
        depth: int,
        count: int,
    ) -> None:
        fold = depth > 0
        opened = " open" if count <= OPEN_UP_TO else ""
        if fold:
            self.parts.append(f'<details class="fold"{opened}><summary>')
        self._put(indent, f"{head}{left}", "\n")
        if fold:
            self.parts.append("</summary>")
        written = 0
        for written, (key, each) in enumerate(members, start=1):
            self._value(each, indent + "  ", self._key(key), "," if written < count else "", depth + 1)
            if self._is_spent:
                break
        if written < count:
            self.is_cut = True
            self._put(indent + "  ", '<span class="cut">… cut here</span>', "\n")
        self._put(indent, f"{right}{comma}", "\n")
        if fold:
            self.parts.append("</details>")

    def _key(self, key: object) -> str:
        """The name of a member of an object; an element of a list has none."""
        return "" if key is None else f'<span class="k">{self._quoted(self._bounded(str(key)))}</span>: '

    def _leaf(self, value: object) -> str:
        match value:
            case str():
                return f'<span class="s">{self._quoted(self._bounded(value))}</span>'
            case bool() | None:
                return f'<span class="b">{msgspec.json.encode(value).decode()}</span>'
            case int() | float():
                return f'<span class="n">{escape(repr(value))}</span>'
            case _:
                return str(marked(self._bounded(_compact(value))))

    def _quoted(self, text: str) -> str:
        try:
            quoted = msgspec.json.encode(text).decode()
        except UnicodeEncodeError:
            quoted = f'"{text}"'
        return f"<bdi>{marked(quoted)}</bdi>"

    def _bounded(self, text: str) -> str:
        limit = max(min(LONGEST_TEXT, self._left), 0)
        self.is_cut |= len(text) > limit
        return cut(text, limit)

    def _put(self, *pieces: str) -> None:
        self.parts.extend(pieces)
        self._left -= sum(map(len, pieces))
        self._lines_left -= 1


def _compact(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        return "…"
