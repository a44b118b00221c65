"""What a text says once its escapes are read: percent-encoding, escapes of JSON and Markdown, entities of HTML.

An escaped text can be inside another one, so there are layers: each is the layer below it with its escapes read once.
All work is in proportion to the text. Total on any bytes.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final

#: Layers that are read at most: JSON in JSON in a form has three.
MOST_LAYERS: Final = 4

_ESCAPE: Final = re.compile(
    rb"%[0-9A-Fa-f]{2}"
    rb"|\\u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[\x00-\x7f]"
    rb"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
)
_CONTROLS: Final = {ord("n"): b"\n", ord("r"): b"\r", ord("t"): b"\t", ord("b"): b"\b", ord("f"): b"\f"}

#: From a position to one after it.
Span = tuple[int, int]


class Layer:
    """One reading of a text, whose places can be told in the text itself."""

    def __init__(self, data: bytes, below: "Layer | None" = None) -> None:
        self.data = data
        #: In lower case, with every character in its place: only those of ASCII change.
        self.lower = data.lower()
        self._below = below

    def origin(self, span: Span) -> Span:
        """Where the text itself says what this layer says at ``span``."""
        return span if self._below is None else self._below.origin(self._escapes.origin(span))

    @cached_property
    def _escapes(self) -> "_Escapes":
        # Only where something was found: nearly no text has anything to hide.
        assert self._below is not None
        return _Escapes(self._below.data)


def layers(data: bytes) -> Iterator[Layer]:
    """The text, and what is said in it once, twice, ... its escapes are read."""
    layer = Layer(data)
    yield layer
    for _ in range(MOST_LAYERS - 1):
        said = unescaped(layer.data)
        if said == layer.data:
            return
        layer = Layer(said, layer)
        yield layer


def bare(data: bytes) -> bytes:
    """What the last layer of a text says."""
    for _ in range(MOST_LAYERS - 1):
        data = unescaped(data)
    return data


def unescaped(data: bytes) -> bytes:
    """The text with its escapes read once."""
    if b"\\" in data or b"%" in data or b"&" in data:
        return _ESCAPE.sub(lambda found: _read(found[0]), data)
    return data


@lru_cache(maxsize=1024)
def _read(escape: bytes) -> bytes:
    if escape[0] == ord("%"):
        return bytes([_hex(escape[1:])])
    if escape[0] == ord("&"):
        return html.unescape(escape.decode("ascii")).encode("utf-8", "surrogatepass")
    if len(escape) == 2:
        return _CONTROLS.get(escape[1], escape[1:])
    if len(escape) == 12:
        return _character(0x10000 + (_hex(escape[2:6]) - 0xD800 << 10) + _hex(escape[8:]) - 0xDC00)
    return _character(_hex(escape[2:]))


def _hex(digits: bytes) -> int:
    return int(digits, 16)


def _character(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


class _Escapes:
    """Where the escapes of a text are, in it and in what it says."""

    def __init__(self, data: bytes) -> None:
        #: Of each escape: where what it says begins; then where that ends, and where the escape begins and ends.
        self._begins: list[int] = []
        self._rest: list[tuple[int, int, int]] = []
        shorter = 0
        for found in _ESCAPE.finditer(data):
            begin = found.start() - shorter
            end = begin + len(_read(found[0]))
            self._begins.append(begin)
            self._rest.append((end, found.start(), found.end()))
            shorter = found.end() - end

    def origin(self, span: Span) -> Span:
        """Where the text has what it says at ``span``, with whole escapes."""
        return self._place(span[0])[0], self._place(span[1] - 1)[1]

    def _place(self, at: int) -> Span:
        """The character, or the escape, that says what is said at a position."""
        before = bisect_right(self._begins, at) - 1
        if before < 0:
            return at, at + 1
        end, source_begin, source_end = self._rest[before]
        if at < end:
            return source_begin, source_end
        return source_end + at - end, source_end + at - end + 1
