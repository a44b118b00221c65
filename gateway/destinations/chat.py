"""What the kinds that people read share: a message of any content, shortened to a limit, and what a refusal means.

No message is too long.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Final

from gateway.destinations.answers import json_of
from gateway.destinations.previews import Message
from gateway.destinations.requests import http_request, json_bytes
from gateway.destinations.target import Parts, Target
from gateway.errors import BuildError
from gateway.event.paths import lookup
from gateway.model import Content, HttpRequest, Json, Raw, Reply, Text

ELLIPSIS = "…"
#: Bytes of JSON that a value has with the comma after it.
LEAST_BYTES = 2


def message_of(content: Content | None, called: str, wrap: Callable[[str], Message]) -> Message:
    """The object of a body as it is, or a text ``wrap``ped into one; BuildError when the content is not a message.

    ``called`` is what people call such a message: ``a Slack message``.
    """
    match content:
        case Text(text):
            return wrap(text)
        case Raw(body):
            return wrap(_decoded(body, called))
        case Json(dict() as value):
            return value
        case Json():
            raise BuildError(f"{called} is an object: write text, or a body with its fields")
        case None:
            raise BuildError(f"{called} needs a text, a body or a template: write one in the entry")


def _decoded(body: bytes, called: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BuildError(f"{called} is text, and this content is not UTF-8") from None


def posted(
    target: Target, parts: Parts, called: str, wrap: Callable[[str], Message], fit: Callable[[Message], Message]
) -> HttpRequest:
    """A POST of the message to the destination's url, after ``fit`` has brought it within the limits."""
    try:
        message = fit(message_of(parts.content, called, wrap))
    except RecursionError:
        raise BuildError(f"{called} is nested too deeply") from None
    body, defaults = json_bytes(message), {"content-type": "application/json"}
    return http_request(target, parts, method="POST", url=target.url, body=body, defaults=defaults)


def as_it_is(kept: str) -> str:
    """A text that may be cut anywhere."""
    return kept


def without_half_escape(kept: str) -> str:
    """Markdown that was cut, without a final backslash that would escape what follows."""
    bare = kept.rstrip("\\")
    return kept[:-1] if (len(kept) - len(bare)) % 2 else kept


#: A character that is escaped, and the end or beginning of code.
_CODE: Final = re.compile(r"\\.|`+", re.DOTALL)


def whole_markdown(kept: str) -> str:
    """Markdown that was cut, with the code closed in which it ends: what is inert in it would not be outside."""
    kept = without_half_escape(kept)
    opened = _opened(kept)
    if not opened:
        return kept
    # The end of the code takes the place of what it ends.
    closing = "\n" * (len(opened) > 1) + opened
    cut = kept[: max(len(kept) - len(closing), 0)].rstrip("`")
    return cut + closing if _opened(cut) == opened else without_half_escape(cut)


def _opened(markdown: str) -> str:
    """The backticks that open the code in which a text ends; empty: it ends outside."""
    opened = ""
    for found in _CODE.finditer(markdown):
        # In code a backslash is itself.
        token = found[0].lstrip("\\") if opened else found[0]
        if opened and token == opened:
            opened = ""
        elif not opened and token.startswith("`"):
            opened = token
    return opened


def shortened(text: str, limit: int, mend: Callable[[str], str] = as_it_is) -> str:
    """At most ``limit`` characters, with an ellipsis for the rest.

    ``mend`` removes what the cut left incomplete. Characters are counted in UTF-16 units, the way that makes an emoji
    longest: no service says how it counts.
    """
    if len(text) * 2 <= limit or (len(text) <= limit and units(text) <= limit):
        return text
    if limit < 1:
        return ""
    # A character is a unit or two, so nothing after the first ``limit`` of them is looked at.
    kept = text[:limit].encode("utf-16-le", "surrogatepass")[: (limit - 1) * 2].decode("utf-16-le", "ignore")
    return mend(kept) + ELLIPSIS


def cut(message: Message, limits: Mapping[str, int], mend: Callable[[str], str] = as_it_is) -> dict[str, object]:
    """The message with the texts under some keys ``shortened``, each to its own limit in characters. Total."""
    fit = dict(message)
    for key, limit in limits.items():
        if isinstance(text := fit.get(key), str):
            fit[key] = shortened(text, limit, mend)
    return fit


def units(text: str) -> int:
    """The length of a text in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def within_bytes(message: Message, limit: int, readable: Collection[str], mend: Callable[[str], str]) -> Message:
    """The message shortened to at most ``limit`` bytes of JSON, as far as shortening its texts can do that.

    ``readable`` are the keys whose texts may be shortened; all of them are cut to one length, the longest that fits.
    """
    if len(json_bytes(message)) <= limit:
        return message
    texts: list[str] = []
    try:
        rest = _Texts(readable, limit // LEAST_BYTES, partial(_taken_out, texts)).changed(message)
    except _TooMany:
        # No text is as long as what is around it.
        return message
    length = _longest_that_fits(texts, limit - len(json_bytes(rest)), mend)
    return _Texts(readable, limit, lambda text: shortened(text, length, mend)).changed(message)


def _size(text: str) -> int:
    """Bytes of a text in JSON, without its quotes."""
    return len(json_bytes(text)) - len(b'""')


def _taken_out(texts: list[str], text: str) -> str:
    texts.append(text)
    return ""


def _longest_that_fits(texts: Sequence[str], limit: int, mend: Callable[[str], str]) -> int:
    """The length to cut the texts to, so that they have at most ``limit`` bytes together; at least 1."""
    whole = [(text, units(text), _size(text)) for text in texts]
    fits, too_long = 1, max(limit, 2)
    while too_long - fits > 1:
        length = (fits + too_long) // 2
        sizes = (size if long <= length else _size(shortened(text, length, mend)) for text, long, size in whole)
        # Stops at the first text that is too much.
        if any(total > limit for total in accumulate(sizes)):
            too_long = length
        else:
            fits = length
    return fits


class _TooMany(Exception):
    """The message has more values than its limit has room for."""


class _Texts:
    """A copy of a message with every text under one of the keys changed."""

    def __init__(self, keys: Collection[str], most: int, change: Callable[[str], str]) -> None:
        self._keys, self._change = keys, change
        #: Values that it may still have.
        self._left = most

    def changed(self, message: Message) -> Message:
        return {key: self._changed(each, key) for key, each in message.items()}

    def _changed(self, value: object, key: str) -> object:
        self._left -= 1
        if self._left < 0:
            raise _TooMany
        match value:
            case str() if key in self._keys:
                return self._change(value)
            case dict():
                return self.changed(value)
            case list():
                return [self._changed(each, key) for each in value]
        return value


def field_of(body: bytes, *path: str) -> object:
    """The value at ``path`` in the JSON of an answer, or MISSING."""
    return lookup(json_of(body), path)


def remedy(reply: Reply, known: Mapping[Any, str], *path: str) -> str:
    """What to do about a refusal that an answer names at ``path``; empty if it is not ``known``. Total."""
    named = field_of(reply.body, *path)
    return known.get(named, "") if isinstance(named, str | int) else ""


def remedy_of_words(reply: Reply, known: Mapping[str, str], *path: str) -> str:
    """The same for a refusal that is described at ``path`` in words; ``known`` are parts of them in lower case. Total."""
    described = field_of(reply.body, *path)
    words = described.lower() if isinstance(described, str) else ""
    return next((todo for part, todo in known.items() if part in words), "")
