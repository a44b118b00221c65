"""A message as its readers see it: from the body of a request to what the template ``parts.html`` draws.

The kind of destination says what the parts of a message are (``gateway.destinations.previews``); here their texts
become markup.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import msgspec
from markupsafe import Markup
from msgspec import Struct

from gateway.console import markup
from gateway.console.text import cut, marked
from gateway.destinations import KINDS, Kind
from gateway.destinations.previews import Part, Said

#: Characters of all texts, and parts of a message, that are shown.
LONGEST: Final = 6_000
MOST_PARTS: Final = 60
#: Characters of one text, and parts, above which a message is long.
LONG, LONG_PARTS = 1_200, 20

#: Markup of a text by its dialect.
_DRAW: Final[Mapping[str, Callable[[str], Markup]]] = MappingProxyType(
    {
        "plain": marked,
        "slack": markup.slack,
        "slack_plain": markup.slack_plain,
        "markdown": markup.markdown,
        "telegram": markup.telegram,
        "card_html": markup.card_html,
    }
)


class Preview(Struct, frozen=True):
    """A message to be drawn."""

    #: The ``type`` of its destination.
    kind: str
    title: str
    #: Who it comes from; empty: the name that was set in the chat.
    sender: str
    parts: Sequence[Part]

    @property
    def is_long(self) -> bool:
        """Whether to show it in a frame of its own that scrolls."""
        return len(self.parts) > LONG_PARTS or any(len(part.get("html", "")) > LONG for part in self.parts)


def preview(kind: str, body: object) -> Preview | None:
    """The message in the body of a request to a destination of this type; None if it is not a message.

    ``body`` is the JSON value, or its text. With ``kind`` empty it is guessed from the fields. Total.
    """
    message = _message(body)
    found = KINDS.get(kind) if kind else _guessed(message)
    if found is not None and not message and isinstance(body, str):
        message = found.message_in(body.encode("utf-8", "replace"))
    if found is None or not message:
        return None
    try:
        parts = list(islice(_Drawing().parts(found.previewed(message)), MOST_PARTS))
    except RecursionError:
        return None
    sender = message.get("username")
    return Preview(found.name, found.title, sender if isinstance(sender, str) else "", parts) if parts else None


def _message(body: object) -> Mapping[str, Any]:
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return {}
    return body if isinstance(body, dict) else {}


def _guessed(message: Mapping[str, Any]) -> Kind | None:
    """The kind with a field of its own in the message, or else the first whose text is there."""
    for_people = [kind for kind in KINDS.values() if kind.needs_text]
    by_mark = (kind for kind in for_people if any(mark in message for mark in kind.marks))
    by_text = (kind for kind in for_people if kind.text_at[0] in message)
    return next(by_mark, None) or next(by_text, None)


class _Drawing:
    """Draws the texts of one message until it is long enough."""

    def __init__(self) -> None:
        self._left = LONGEST

    def parts(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts with every text in them as markup."""
        for part in parts:
            if self._left <= 0:
                return
            yield self.drawn(part)

    def drawn(self, value: Any) -> Any:
        """A part with every text in it as markup."""
        match value:
            case Said(text, dialect):
                shown = cut(text, max(self._left, 0))
                self._left -= len(shown)
                return _DRAW[dialect](shown)
            case dict():
                return {key: self.drawn(each) for key, each in value.items()}
            case list():
                return [self.drawn(each) for each in value[:MOST_PARTS]]
            case tuple():
                return tuple(self.drawn(each) for each in value)
        return value
