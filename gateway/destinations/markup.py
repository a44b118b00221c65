r"""Texts whose values are marked until the field that they end up in is known, and how each dialect writes them.

A template for a chat cannot know whether a value ends up in a text with markup, in a name, in an id or in an address: the
message decides that, once it is whole. So printing a value marks it, and the field writes it:

    VALUE text END               a value of the event
    LINES text END               one whose line breaks the author wants to keep
    LINK address LABEL text END  a link of the author's
    BOLD text END                a text that the author wants in bold

The marks are noncharacters, which no text has that is exchanged (Unicode, 23.7); in a value each becomes U+FFFD.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from gateway.destinations.escapes import Escaper, one_line
from gateway.errors import BuildError

VALUE, LINES, LINK, LABEL, BOLD, END = map(chr, range(0xFDD0, 0xFDD6))

_MARK: Final = re.compile(f"([{VALUE}-{END}])")
_NOT_SAID: Final = re.compile(f"{LINK}[^{LABEL}]*{LABEL}|[{VALUE}-{END}]")
_LINE_BREAK: Final = re.compile("\r\n|[\n\v\f\r\x85\u2028\u2029]")

#: Forms of an author's own markup, each of which some dialects read.
MARKDOWN_LINK, TWO_STARS, TAGS, ANGLE_LINK = "[label](address)", "**bold**", "<a> and <b>", "<address|label>"

#: Makes the text of one kind of field from a text with marks. Raises BuildError for an address that it cannot hold.
Writer = Callable[[str], str]


# --- marking ---


def unmarked(text: str) -> str:
    """``text`` with U+FFFD for each mark: a value cannot mark itself."""
    return text if text.isascii() else _MARK.sub("\N{REPLACEMENT CHARACTER}", text)


def marked(text: str) -> str:
    """``text`` as a value of the event."""
    if text.isascii():
        return f"{VALUE}{text}{END}" if text else ""
    return f"{VALUE}{unmarked(text)}{END}"


def said(text: str) -> str:
    """What a text says: without marks, and without the addresses of its links."""
    return text if text.isascii() else _NOT_SAID.sub("", text)


# --- reading ---


class Value(Struct, frozen=True):
    """A value of the event."""

    text: str
    keeps_lines: bool = False


class Link(Struct, frozen=True):
    """A link of the author's; its address was checked."""

    address: str
    label: "Sequence[Piece]"


class Bold(Struct, frozen=True):
    """A text that the author wants in bold."""

    inside: "Sequence[Piece]"


#: A text is the author's own.
Piece = str | Value | Link | Bold


def pieces(text: str) -> list[Piece]:
    """The pieces of a text with marks. Total: what is not closed ends with the text."""
    return list(_pieces(iter(_MARK.split(text))))


def _pieces(tokens: Iterator[str]) -> Iterator[Piece]:
    for token in tokens:
        match token:
            case "\ufdd0" | "\ufdd1":
                yield Value("".join(_until(tokens, END)), token == LINES)
            case "\ufdd2":
                yield Link("".join(_until(tokens, LABEL)), list(_pieces(tokens)))
            case "\ufdd4":
                yield Bold(list(_pieces(tokens)))
            case "\ufdd5":
                return
            case _ if token and token != LABEL:
                yield token


def _until(tokens: Iterator[str], end: str) -> Iterator[str]:
    for token in tokens:
        if token == end:
            return
        # One value is never inside another.
        yield _MARK.sub("", token)


# --- fields without markup ---


def data(text: str) -> str:
    """A field that a program reads, or that has no markup at all: every value is unchanged."""
    return said(text)


def name(text: str) -> str:
    """A line without markup, as a name or the label of a button: values are unchanged, but stay on it."""
    return text if text.isascii() and text.isprintable() else "".join(_without_markup(pieces(text)))


def _without_markup(found: Sequence[Piece]) -> Iterator[str]:
    for piece in found:
        match piece:
            case Value(text):
                yield one_line(text)
            case Link(address, label):
                shown = "".join(_without_markup(label))
                yield shown if address in shown else f"{shown} ({address})"
            case Bold(inside):
                yield from _without_markup(inside)
            case str():
                yield piece


# --- addresses ---

#: What an address of a link may begin with, if a value writes its beginning.
ADDRESS: Final = re.compile(r"(?:https?://|mailto:)[^\s/]", re.IGNORECASE)
#: The beginning of an address up to its host, or a part of that: what follows may choose where it leads.
_TO_HOST: Final = re.compile(r"[a-z][a-z0-9+.-]*:(?://[^/?#]*)?", re.IGNORECASE)
#: What no address has (RFC 3986, 2, and RFC 3987, 4.1), and what turns the direction of reading.
_NOT_IN_ADDRESS: Final = re.compile(
    '[\\s\x00-\x20"<>\\\\^`{|}\x7f-\xa0\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff]'
)


def address_part(before: str, value: str) -> str:
    """A value inside an address that begins with ``before``; it never chooses the host of one that the author began.

    >>> address_part("", "https://a.example/b_(c)?d=@e f")
    'https://a.example/b_(c)?d=@e%20f'
    >>> address_part("https://crm.", "evil.example/")
    'evil.example%2F'
    """
    if not before.strip():
        if ADDRESS.match(value.strip()) is None:
            raise BuildError("a value begins an address and is not an http, https or mailto address")
        value = value.strip()
    elif _TO_HOST.fullmatch(before.strip()):
        return re.sub(r"[^\w.-]", _percent, value, flags=re.ASCII)
    return _NOT_IN_ADDRESS.sub(_percent, value)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))


def address(text: str) -> str:
    """A field that is an address: a value that begins it must be one, and no value breaks it."""
    if text.isascii():
        return text
    made = ""
    for piece in pieces(text):
        match piece:
            case Value(value):
                made += address_part(made, value)
            case Link(target):
                made += target
            case Bold(inside):
                made += address_part(made, "".join(_without_markup(inside)))
            case str():
                made += piece
    return made


# --- texts with markup ---


class Dialect(Struct, frozen=True, kw_only=True):
    """How one kind of markup is written. Calling it makes a text of one with marks: it is a Writer."""

    #: Forms of markup that it reads.
    reads: frozenset[str] = frozenset()
    #: Makes a value inert on one line.
    escape: Escaper
    #: Makes the lines of an escaped value begin nothing: no list, quote or heading.
    begin: Callable[[str], str] = str
    #: What a line begins with that ``begin`` makes inert; a blank is left to it.
    signs: tuple[str, ...] = ()
    #: What a line break that is kept becomes. Empty: its texts have one line.
    line_break: str = "\n"
    #: Whether a value that has lines of its own in the template keeps its line breaks without ``| lines``.
    keeps_lines: bool = True
    #: Makes a value inert inside ``code`` in backticks; None: backticks are not code, or need nothing else.
    code: Escaper | None = None
    #: A link of an address and a label, and a text in bold: both are inert already.
    link: Callable[[str, str], str]
    bold: Callable[[str], str]
    #: Finds a value that may be inside an address of the author's; None: no address is in a text.
    near_address: re.Pattern[str] | None = None
    #: The part of an address that the text before a value has begun; None: the value is not inside an address.
    address_before: Callable[[str], str | None] = lambda _before: None
    #: Makes a part of an address inert in such a place.
    in_address: Escaper = lambda address: address

    def __call__(self, text: str) -> str:
        """The text with every value inert. Raises BuildError."""
        if text.isascii():
            return text
        return self._plain(text) or self._whole(text)

    def _plain(self, text: str) -> str:
        """A text of values that each take one line, without anything that matters around them; empty if it is another."""
        if LINES in text or LABEL in text or BOLD in text or LINK in text or ("`" in text and self.code is not None):
            return ""
        if self.near_address is not None and self.near_address.search(text) is not None:
            return ""
        escape, signs = self.escape, self.signs
        first, *rest = text.split(VALUE)
        made = [first]
        for each in rest:
            value, _, after = each.partition(END)
            if not value.isprintable() or value.startswith(signs):
                return ""
            made += (escape(value), after)
        whole = "".join(made)
        return whole if END not in whole else ""

    def _whole(self, text: str) -> str:
        found = pieces(text)
        code = _in_code(found) if self.code is not None and "`" in text else {}
        is_watched = self.near_address is not None and self.near_address.search(text) is not None
        written: list[str] = []
        before = ""
        for at, piece in enumerate(found):
            if isinstance(piece, Value):
                begun = self.address_before(before) if is_watched else None
                made = self._value(found, at, piece, code.get(at, ""), begun)
            else:
                made = self._piece(piece)
            written.append(made)
            if is_watched:
                before = (before + made)[-LONGEST_BEFORE:]
        return "".join(written)

    def _piece(self, piece: Piece) -> str:
        match piece:
            case Value(text):
                return self.escape(text)
            case Link(target, label):
                return self.link(target, "".join(map(self._piece, label)))
            case Bold(inside):
                return self.bold("".join(map(self._piece, inside)))
        return piece

    def _value(self, found: Sequence[Piece], at: int, value: Value, code: str, begun: str | None) -> str:
        """A value in its place: in ``code``, ``fence`` or ``line``; or inside the address that has ``begun``."""
        if begun is not None:
            return self.in_address(address_part(begun, value.text))
        if code and self.code is not None:
            return _on_lines(value.text, self.code) if code == "fence" else self.code(value.text)
        is_odd = _LINE_BREAK.search(value.text) is not None or value.text.startswith(self.signs)
        if value.keeps_lines or (is_odd and self.keeps_lines and _has_its_lines(found, at)):
            lines = self.begin(_on_lines(value.text, self.escape))
            return lines if self.line_break == "\n" else lines.replace("\n", self.line_break)
        return self.escape(value.text)


def _on_lines(text: str, escape: Escaper) -> str:
    r"""A value with its line breaks as ``\n``: all of its lines at once, since there may be tens of thousands."""
    # No escaper knows the mark, and none is left in a value.
    return escape(_LINE_BREAK.sub(LINES, text)).replace(LINES, "\n")


#: Characters before a value in which the beginning of an address is looked for: no service takes a longer one.
LONGEST_BEFORE: Final = 4_096


def _has_its_lines(found: Sequence[Piece], at: int) -> bool:
    """Whether nothing else is on the lines of a value in its template."""
    before = found[at - 1] if at else "\n"
    after = found[at + 1] if at + 1 < len(found) else "\n"
    if not isinstance(before, str) or not isinstance(after, str):
        return False
    is_first, is_last = at <= 1, at + 2 >= len(found)
    start, end = before.rpartition("\n"), after.partition("\n")
    return (bool(start[1]) or is_first) and not start[2].strip() and (bool(end[1]) or is_last) and not end[0].strip()


def _in_code(found: Sequence[Piece]) -> dict[int, str]:
    """The values inside code, by position: ``fence`` or ``line``.

    The backticks of the author's own text decide: code goes from a run of them to the next one as long.
    """
    known: dict[int, str] = {}
    opened, inside = "", list[int]()
    for at, piece in enumerate(found):
        if not isinstance(piece, str):
            inside.append(at)
            continue
        for token in _BACKTICKS.findall(piece):
            # Only a fence goes on over lines.
            is_end_of_line = token.isspace() and len(opened) < _FENCE
            if token == opened:
                known |= dict.fromkeys(inside, "fence" if len(token) >= _FENCE else "line")
            if token == opened or is_end_of_line:
                opened = ""
            elif not opened and not token.isspace():
                opened, inside = token, []
    return known


_BACKTICKS: Final = re.compile(r"`+|\n")
_FENCE: Final = 3


def in_code(text: str) -> str:
    """A line that cannot end the code in which it is: its backticks look alike only.

    >>> in_code("a ``` b")
    'a ˋˋˋ b'
    """
    return one_line(text).replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}")
