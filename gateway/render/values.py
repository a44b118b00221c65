"""What a value of an event becomes when it is printed: text for people, JSON, or text without markup of its own."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Never, Self
from urllib.parse import quote

import msgspec
from jinja2 import Undefined

from gateway.destinations.escapes import Escaper, no_escape
from gateway.wording import escaped

#: Takes a number of characters from the budget of the render.
Spend = Callable[[int], None]

#: Costs in characters: of a number or another small value, and of an element of a list or an object that is copied, that
#: is looked into, and that becomes a value of a body.
SCALAR = 10
ELEMENT = 32
LOOKED_INTO = 128
MADE = 400
#: The same, of a character of JSON that msgspec and json write: they need no step in Python for an element.
WRITTEN = 6
#: And of a comma in it: json writes many small values slowly.
SEPARATED = 10

#: Characters shown of a value that an error quotes.
MAX_SHOWN = 40
#: Characters in which secrets are looked for around them: no secret is longer.
MAX_SECRET = 1 << 16

REMEDY = 'write | default("...")'


def excerpt(text: str) -> str:
    """The beginning of a value, as an error may show it."""
    shown = escaped(text[: MAX_SHOWN + 1])
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"


class Trouble(Exception):
    """A template cannot be rendered for this event; the text says what is wrong and what to do.

    A value of the event that the text quotes may be a secret: it is passed whole, and ``{}`` marks its place.
    """

    def __init__(self, text: str, *quoted: str | float) -> None:
        self.text, self.quoted = text, quoted
        super().__init__(text, *quoted)

    def __str__(self) -> str:
        return self.message(no_escape)

    def message(self, hide: Escaper) -> str:
        """The text with an excerpt of each value, or ``***`` for one that ``hide`` would change."""
        if not self.quoted:
            return self.text
        return self.text.format(*(_quoted(value, hide) for value in self.quoted))


def _quoted(value: str | float, hide: Escaper) -> str:
    text = readable(value)[:MAX_SECRET]
    if hide(text) != text:
        return "***"
    return f'"{excerpt(text)}"' if isinstance(value, str) else excerpt(text)


#: A field as it is shown, which can be copied.
_FIELD = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[(?:\d+|'[^']*')\])*")


class UndefinedField(Undefined):
    """A missing field: false in a condition, and so is every field of it; an error where its value is needed."""

    __slots__ = ()

    @property
    def path(self) -> str:
        """``attrs.company``: the whole path, as written in the template."""
        return str(self._undefined_name)

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or f"the event has no field {self.path}: {REMEDY}"

    def trouble(self) -> Trouble:
        return Trouble(self._undefined_message)

    def trouble_with_default(self, default: str = '"..."', *, in_parentheses: bool = False) -> Trouble:
        """The same where a default at the end of the expression would come too late: right after the field."""
        if self._undefined_hint or not _FIELD.fullmatch(self.path):
            return self.trouble()
        written = f"{self.path} | default({default})"
        return Trouble(f"the event has no field {self.path}: write {f'({written})' if in_parentheses else written}")

    def __str__(self) -> str:
        raise self.trouble()

    def _compared(self, *others: Any, **_: Any) -> Never:
        raise self.trouble_with_default('"..."' if isinstance(others[0], str) else "0")

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def _parted(self, *_: Any, **__: Any) -> Never:
        # A part of a text. A field of a missing field is missing, too, and looked up elsewhere.
        raise self.trouble_with_default(in_parentheses=True)

    __getitem__ = _parted

    def _negated(self, *_: Any, **__: Any) -> Never:
        raise self.trouble_with_default("0", in_parentheses=True)

    __neg__ = __pos__ = _negated


class Omit:
    """The value of ``omit``: ``default(omit)`` leaves a key or a list element out of a body."""

    def __repr__(self) -> str:
        return "omit"


OMIT = Omit()


class Escaped(str):
    """What the author's own markup or the output of a macro says; ``output`` is what is printed, and not escaped again.

    Every operation of ``str`` returns a plain ``str`` made of what it says, which is escaped like any other value.
    """

    __slots__ = ("output",)

    output: str

    def __new__(cls, output: str, text: str | None = None) -> Self:
        self = super().__new__(cls, output if text is None else text)
        self.output = str(output)
        return self


class Fragment(Escaped):
    """JSON text whose values are already escaped; printed unchanged in value position."""

    __slots__ = ()


def kind(value: object) -> str:
    """The type of ``value`` in the words of JSON."""
    match value:
        case None:
            return "null"
        case UndefinedField():
            return "missing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case list() | tuple() | range():
            return "a list"
        case Omit():
            return "omit"
    return "a function" if callable(value) else f"a {type(value).__name__}"


def readable(value: object, path: str = "") -> str:
    """``value`` as text for people: ``true``, ``3.5``, text unchanged. Raises Trouble if it has no such form."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _unreadable(value, path or _UNNAMED)


#: What a filter is given, which does not know how it is written.
_UNNAMED = "the value"
#: A value with a default, as it is shown.
_DEFAULTED = re.compile(r"\((.+) \| default\)")


def _unreadable(value: object, path: str) -> Trouble:
    match value:
        case UndefinedField():
            return value.trouble() if path == value.path else value.trouble_with_default()
        case None if path == _UNNAMED:
            return Trouble(f"{path} is null: {REMEDY} before the filter")
        case None:
            if (of := _DEFAULTED.fullmatch(path)) is not None:
                return Trouble(f'{of[1]} is missing or null, and so is its default: write {of[1]} | default("...")')
            return Trouble(f"{path} is null: {REMEDY}")
        case Mapping():
            return Trouble(f"{path} is an object: name one of its fields, or write | tojson")
        case list() | tuple() | range():
            return Trouble(f'{path} is a list: write | join(", ") or | tojson')
        case Omit():
            return Trouble("omit leaves out a whole value of a body: it cannot be printed inside text")
    return Trouble(f"{path} is {kind(value)} and cannot be printed")


def jsonable(value: object, path: str, escape: Escaper, spend: Spend) -> object:
    """``value`` as plain JSON values, every text in it escaped. Raises Trouble for a value that JSON does not have."""
    if escape is no_escape and isinstance(value, dict | list):
        written = _written(value, spend)
        return _made(value, path, escape, spend) if written is None else msgspec.json.decode(written)
    return _made(value, path, escape, spend)


def json_of(value: object, path: str, escape: Escaper, spend: Spend) -> str:
    """``value`` as the text of JSON, every text in it escaped. Raises Trouble for a value that JSON does not have."""
    if escape is no_escape and isinstance(value, dict | list):
        try:
            # Written twice: msgspec knows the size, which is paid for first, in a tenth of the time.
            written = msgspec.json.encode(value)
            spend(WRITTEN * len(written) + SEPARATED * written.count(b","))
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            # There is something in it that only jsonable knows how to write, or to refuse.
            pass
    text = json.dumps(jsonable(value, path, escape, spend), ensure_ascii=False)
    spend(len(text))
    return text


def _written(value: object, spend: Spend) -> bytes | None:
    """``value`` as JSON; None if there is anything in it that only ``_made`` knows how to write, or to refuse."""
    try:
        written = msgspec.json.encode(value)
        spend(WRITTEN * len(written))
        if b"null" in written:
            # Which may be a number that is not finite.
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return written


def _made(value: object, path: str, escape: Escaper, spend: Spend) -> object:
    spend(SCALAR)
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return json_text(value, escape, spend)
        case Mapping():
            spend(MADE * len(value))
            return {
                json_text(readable(key), escape, spend): _made(item, path, escape, spend) for key, item in value.items()
            }
        case list() | tuple() | range():
            spend(MADE * len(value))
            return [_made(item, path, escape, spend) for item in value]
        case UndefinedField():
            raise value.trouble()
        case Omit():
            raise Trouble("omit leaves out a whole value of a body: it cannot be used here")
        case float():
            raise Trouble(f"{path or 'the value'} is {value}, which JSON cannot hold")
    raise Trouble(f"{path or 'the value'} is {kind(value)}, which JSON cannot hold")


def json_text(text: str, escape: Escaper, spend: Spend) -> str:
    """``text`` as the content of a JSON string: escaped unless it already is, and without unpaired surrogates."""
    spend(len(text))
    return encodable(text.output if isinstance(text, Escaped) else escape(text))


def weigh(value: object, spend: Spend) -> None:
    """Spend the cost of walking through everything in ``value``, as comparing and sorting may."""
    spend(SCALAR)
    match value:
        case str() | range():
            spend(len(value))
        case Mapping():
            spend(2 * LOOKED_INTO * len(value))
            for key, item in value.items():
                weigh(key, spend)
                weigh(item, spend)
        case list() | tuple():
            spend(LOOKED_INTO * len(value))
            for item in value:
                weigh(item, spend)


def joined(parts: Sequence[object], paths: Sequence[str], escape: Escaper) -> str:
    """The parts as one text. Next to the author's own markup, which stays markup, the other parts are escaped."""
    for part in parts:
        if isinstance(part, UndefinedField):
            raise part.trouble_with_default()
    texts = [readable(part, path) for part, path in zip(parts, paths, strict=True)]
    if any(isinstance(text, Escaped) for text in texts):
        output = "".join(text.output if isinstance(text, Escaped) else escape(text) for text in texts)
        return Escaped(output, "".join(texts))
    return "".join(texts)


_SURROGATES = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """``text`` with U+FFFD for each unpaired surrogate, which UTF-8 cannot encode."""
    if text.isascii():
        return text
    try:
        # A fifth of the time of a look for them.
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


_QUOTED = tuple(quote(bytes([byte]), safe="") for byte in range(256))
_IN_FORM = tuple("+" if byte == ord(" ") else quoted for byte, quoted in enumerate(_QUOTED))


def percent_encoded(text: str) -> str:
    """``quote(text, safe="")`` in two thirds of the time.

    >>> percent_encoded("a b/c")
    'a%20b%2Fc'
    """
    if text.isascii() and text.isalnum():
        return text
    return "".join(map(_QUOTED.__getitem__, encodable(text).encode()))


def form_escape(text: str) -> str:
    """``text`` as the value of one pair of a form (WHATWG URL, 5: application/x-www-form-urlencoded).

    >>> form_escape("a&b=c d")
    'a%26b%3Dc+d'
    """
    return "".join(map(_IN_FORM.__getitem__, encodable(text).encode()))
