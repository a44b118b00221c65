"""Finding many texts in another one, however it spells them, with work in proportion to its length.

What is searched for is prepared once: each text as templates may shape it, and in base64 and hex. Escapes are read in
the text that is searched instead (``layers``), so that it does not matter which characters are escaped, or how often.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from gateway.hiding.layers import Layer, Span, bare, layers
from gateway.hiding.spellings import SHAPES, encoded

#: Bytes of the shortest text that can be found.
SHORTEST: Final = 4
#: The longest piece that is searched for; of a longer text, each piece is.
LONGEST: Final = 128
#: An encoded text is searched for from this length on: less is found in many words.
_SHORTEST_ENCODED: Final = 6
#: Up to so many needles are searched one after the other. More are looked up by four of their bytes.
FEW: Final = 128
#: A line of a longer text is searched for by itself from this length on.
_SHORTEST_LINE: Final = 16
_GRAM: Final = 4
#: The places in a needle from which its four bytes are chosen.
_PLACES: Final = 6


class Needle(Struct, frozen=True):
    """One spelling of a text."""

    lower: bytes
    #: If it is only a word: the word as it has to stand. It is not found inside a longer one.
    word: bytes = b""

    def found(self, layer: Layer) -> Iterator[Span]:
        """Where a layer has it."""
        at = layer.lower.find(self.lower)
        while at >= 0:
            end = at + len(self.lower)
            if not self.word or self._is_word(layer.data, at, end):
                yield at, end
            at = layer.lower.find(self.lower, at + 1)

    def _is_word(self, data: bytes, at: int, end: int) -> bool:
        seams = (data[max(0, at - 1) : at + 1], data[end - 1 : end + 1])
        return data[at:end] == self.word and not any(len(seam) == 2 and all(map(_is_of_a_word, seam)) for seam in seams)


@dataclass(slots=True)
class Finder:
    """Finds ``texts`` anywhere, and ``words`` where they stand alone, in the case in which they were given."""

    texts: Collection[str]
    words: Collection[str] = ()
    #: The ways in which templates escape values.
    escapers: Collection[Callable[[str], str]] = ()
    #: What templates may make of a text.
    shapes: Sequence[Callable[[str], str]] = SHAPES
    #: Whether it is looked for in base64 and hex, too.
    is_encoded: bool = True
    _needles: "_Needles | None" = field(default=None, init=False)

    def prepare(self) -> "_Needles":
        """Make what is searched for, which is otherwise made when it is first needed: most files load without a problem."""
        if self._needles is None:
            self._needles = _Needles(self._made())
        return self._needles

    def found(self, layer: Layer) -> Iterator[Span]:
        """Where a layer has any of them, in any order."""
        for needle in self.prepare().in_(layer.lower):
            yield from needle.found(layer)

    def _made(self) -> Iterator[Needle]:
        pieces = {piece for text in self.texts for piece in _pieces(text)}
        spelled = {each for piece in pieces for each in self._spellings(piece)}
        spelled |= {each for word in self.words for each in _encoded(word)}
        words = {each for word in self.words for each in (_bytes(word), bare(_bytes(word)))}
        yield from (Needle(data) for data in spelled if len(data) >= SHORTEST)
        yield from (Needle(data.lower(), data) for data in words if len(data) >= SHORTEST)

    def _spellings(self, text: str) -> Iterator[bytes]:
        # An escaped text can be shorter, down to nothing, which would be found everywhere.
        least = min(len(_bytes(text)), _SHORTEST_ENCODED)
        for shaped in {_in_one_case(shape(text)) for shape in self.shapes}:
            for escaped in {shaped, *(escape(shaped) for escape in self.escapers)}:
                data = _bytes(escaped)
                yield from (each.lower() for each in {data, bare(data)} if len(each) >= least)
        if self.is_encoded:
            yield from _encoded(text)


def hidden(data: bytes, finders: Sequence[Finder], mask: bytes) -> bytes:
    """The text with ``mask`` for everything that one of the finders finds; what overlaps is hidden as one."""
    if len(data) < SHORTEST:
        return data
    spans = [layer.origin(span) for layer in layers(data) for finder in finders for span in finder.found(layer)]
    if not spans:
        return data
    pieces: list[bytes] = []
    end = 0
    for begin, until in _joined(sorted(spans)):
        pieces += (data[end:begin], mask)
        end = until
    return b"".join((*pieces, data[end:]))


def hidden_text(text: str, finders: Sequence[Finder], mask: str) -> str:
    """``hidden`` for a text of characters."""
    data = _bytes(text)
    found = hidden(data, finders, mask.encode())
    return text if found is data else found.decode("utf-8", "surrogatepass")


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    begin, end = -1, -1
    for each_begin, each_end in spans:
        if each_begin > end:
            if end > 0:
                yield begin, end
            begin = each_begin
        end = max(end, each_end)
    yield begin, end


class _Needles:
    """All that is searched for, by four bytes of each."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self._all = tuple(needles)
        #: With each, another four of its bytes that a text must have for the needle to be searched for: a long text has
        #: one four of many needles by chance.
        self._by_gram: dict[int, list[tuple[int, Needle]]] = {}
        if len(self._all) > FEW:
            for needle in self._all:
                rarest, other = self._two(needle)
                self._by_gram.setdefault(rarest, []).append((other, needle))
        self._grams = frozenset(self._by_gram).union(*({other for other, _ in one} for one in self._by_gram.values()))

    def _two(self, needle: Needle) -> tuple[int, int]:
        """Of its fours of bytes one that is rare (thousands of tokens begin with the same few letters), and another one."""
        grams = list(_grams(needle.lower))
        unused = next((gram for gram in grams if gram not in self._by_gram), None)
        rarest = min(grams, key=lambda gram: len(self._by_gram[gram])) if unused is None else unused
        return rarest, next((gram for gram in reversed(grams) if gram != rarest), rarest)

    def in_(self, lower: bytes) -> Iterable[Needle]:
        """Those that may be in a text."""
        if not self._by_gram:
            return self._all
        found: set[int] = set()
        for begin in range(_GRAM):
            whole = (len(lower) - begin) // _GRAM * _GRAM
            if whole > 0:
                found |= self._grams.intersection(memoryview(lower)[begin : begin + whole].cast("I"))
        return [needle for gram in found for other, needle in self._by_gram.get(gram, ()) if other in found]


def _grams(data: bytes) -> Iterator[int]:
    last = len(data) - _GRAM
    for at in range(0, last + 1, max(1, last // _PLACES)):
        yield int.from_bytes(data[at : at + _GRAM], sys.byteorder)


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces: an answer may repeat one line of a key, or only its beginning."""
    yield from _cut(text)
    if "\n" in text:
        yield from (piece for line in text.split("\n") if len(line) >= _SHORTEST_LINE for piece in _cut(line))


def _cut(text: str) -> Iterator[str]:
    # The last piece is as long as the others, not what they leave.
    return (text[max(0, min(at, len(text) - LONGEST)) :][:LONGEST] for at in range(0, len(text), LONGEST))


def _encoded(text: str) -> Iterator[bytes]:
    return (each.lower() for each in encoded(text) if len(each) >= _SHORTEST_ENCODED)


def _in_one_case(text: str) -> str:
    # Texts are searched without regard to the case of ASCII.
    return text.lower() if text.isascii() else text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_of_a_word(byte: int) -> bool:
    return byte == ord("_") or byte >= 0x80 or chr(byte).isalnum()
