"""Parsers by type of value: from a node of the file to the value, or to a problem that says what to write."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway import presets
from gateway.config.schema import durations, pairs
from gateway.config.schema.marks import unquoted
from gateway.config.schema.reading import (
    NOT_A_VARIABLE,
    Parser,
    Reading,
    Shape,
    T,
    Unfit,
    Words,
    shape_of,
    shaped,
)
from gateway.config.text import variables
from gateway.config.text.quotes import quoted
from gateway.config.text.reader import Broken, Items, Map, Node, Scalar, hide_all, json_scalar
from gateway.errors import Place
from gateway.model import Secret
from gateway.wording import DURATION, HEADER_NAME, SIZE, seconds, size_in_bytes, suggest, suggest_or_list, truth_like

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: The longest time that anything can be kept or remembered.
LONGEST: Final = "3660d"
_DIGITS: Final = re.compile(r"[0-9]{1,12}")

REFERENCE: Final[Shape] = {"type": "string", "pattern": r"\$\{"}
TEXT: Final[Shape] = {"title": "text", "type": ["string", "number", "boolean"]}


def some(one: Shape) -> Shape:
    """One value, or a list with at least one."""
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def spelled(title: str, pattern: str) -> Shape:
    """A text that matches a pattern or contains a reference."""
    return {"title": title, "type": ["string", "integer"], "pattern": rf"^(?:{pattern})$|\$\{{"}


def expect_scalar(reading: Reading, node: Node, label: str) -> Scalar | None:
    """The node if it is one value and not empty."""
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        kind, hint = ("map", "write the value itself") if isinstance(node, Map) else ("list", "keep one of them")
        reading.error(node, f"{label} must be one value, not a {kind}", hint)
        return None
    if node.empty or node.value is None:
        hint = commented(node, label) or 'write one, or remove the key; write "" for an empty text'
        reading.error(node, f"{label} has no value", hint)
        return None
    return node


def commented(node: Scalar, label: str) -> str:
    """What to write for a value that YAML reads as a comment, by the key in its label; empty for any other."""
    named = re.match(r'"([^"]+)"', label)
    return f"# starts a comment: write {named[1] if named else 'it'}: {quoted(node.cut_off)}" if node.cut_off else ""


@shaped(TEXT)
def words(reading: Reading, node: Node, label: str) -> Words | None:
    """A text with its references replaced."""
    scalar = expect_scalar(reading, node, label)
    return None if scalar is None else reading.resolved(scalar, reading.references.resolve)


def refuse_header_name(reading: Reading, where: Node | Place, name: str) -> None:
    """Report a name that no header can have."""
    reading.error(where, f'"{name}" is not a valid header name', "use letters, digits and -")


@shaped(TEXT)
def header(reading: Reading, node: Node, label: str) -> Words | None:
    """The name of a header, with its references replaced."""
    found = words(reading, node, label)
    if found is None or found.is_stand_in or HEADER_NAME.fullmatch(found.text):
        return found
    refuse_header_name(reading, node, found.shown)
    return None


@shaped(TEXT)
def address(reading: Reading, node: Node, label: str) -> Words | None:
    """A url with its references replaced."""
    if isinstance(node, Items | Map):
        kind = "map" if isinstance(node, Map) else "list"
        hint = "write the address itself; a second one needs its own destination"
        reading.error(node, f"{label} must be one address, not a {kind}", hint)
        return None
    scalar = (found := expect_scalar(reading, node, label)) and unquoted(reading, found, label)
    return None if scalar is None else reading.resolved(scalar, reading.references.resolve, is_address=True)


@shaped(TEXT)
def login(reading: Reading, node: Node, label: str) -> Words | None:
    """A text that a login is made of, with its references replaced."""
    if isinstance(node, Scalar) and (name := variables.named_unrendered(node.text)):
        reading.error(node, f"{label}: {NOT_A_VARIABLE}", f'write "${{{name}}}"')
        return None
    return words(reading, node, label)


@shaped(TEXT)
def named(reading: Reading, node: Node, label: str) -> Words | None:
    """A text that other checks depend on, so an unset variable in it never gets a made-up value."""
    scalar = (found := expect_scalar(reading, node, label)) and unquoted(reading, found, label)
    return None if scalar is None else reading.resolved(scalar, reading.references.resolve, can_be_made_up=False)


def typed(convert: Callable[[Words, str], T], shape: Shape, read: Parser[Words] = words) -> Parser[T]:
    """A value converted from one text; ``convert`` raises Unfit."""

    @shaped(shape)
    def parse(reading: Reading, node: Node, label: str) -> T | None:
        written = read(reading, node, label)
        if written is None or written.is_stand_in:
            return None
        try:
            return convert(written, label)
        except Unfit as error:
            reading.error(node, error.message, error.hint)
            return None

    return parse


def duration(least_s: float, most: str) -> Parser[float]:
    """``10s``, ``1h30m``: seconds, from ``least_s`` to the duration ``most``."""
    most_s = seconds(most)

    def convert(written: Words, label: str) -> float:
        if DURATION.fullmatch(written.text) is None:
            what = "has no unit" if _DIGITS.fullmatch(written.text) else "is not a valid duration"
            # A value from outside is not repeated.
            right = durations.instead(written.text, least_s, most_s) if written.text == written.shown else ""
            hint = right or "write a number with ms, s, m, h or d: 10s, 1h30m"
            raise Unfit(f'{label}: "{written.shown}" {what}', hint)
        value = seconds(written.text)
        if not least_s <= value <= most_s:
            raise Unfit(f'{label}: "{written.shown}" is out of range', f"write {least_s:g}s to {most}")
        return value

    above_0 = r"(?!(?:[0.]+[a-z]+)+$)" if least_s > 0 else ""
    return typed(convert, {**spelled("duration", above_0 + DURATION.pattern), "type": "string"})


def size(least: int, most: str) -> Parser[int]:
    """``1MiB``, ``512KB``, ``4096``: bytes."""

    def convert(written: Words, label: str) -> int:
        found = SIZE.fullmatch(written.text)
        if found is None:
            right = durations.size_instead(written.text) if written.text == written.shown else ""
            hint = right or "write a number with KiB or MiB: 1MiB"
            raise Unfit(f'{label}: "{written.shown}" is not a valid size', hint)
        value = size_in_bytes(written.text)
        if not least <= value <= size_in_bytes(most):
            raise Unfit(f'{label}: "{written.shown}" is out of range', f"write {least}B to {most}")
        return value

    above_0 = r"(?!0+(?:\D|$))" if least > 0 else ""
    return typed(convert, {**spelled("size", above_0 + SIZE.pattern), "minimum": least, "maximum": size_in_bytes(most)})


def integer(least: int, most: int) -> Parser[int]:
    def convert(written: Words, label: str) -> int:
        if _DIGITS.fullmatch(written.text) is None or not least <= int(written.text) <= most:
            raise Unfit(f'{label}: "{written.shown}" is not a whole number from {least} to {most}')
        return int(written.text)

    title = f"whole number from {least} to {most}"
    return typed(convert, {**spelled(title, _DIGITS.pattern), "minimum": least, "maximum": most})


def _boolean(written: Words, label: str) -> bool:
    if written.text not in ("true", "false"):
        hint = "" if (meant := truth_like(written.text)) is None else f"write {str(meant).lower()}"
        raise Unfit(f'{label}: "{written.shown}" must be true or false', hint)
    return written.text == "true"


boolean: Final = typed(_boolean, {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}, REFERENCE]})


def choice(
    known: Collection[str],
    noun: str = "value",
    read: Parser[Words] = words,
    advice: Callable[[str], str] = lambda _: "",
) -> Parser[str]:
    """One of a few known words; ``noun`` is what problems call it, ``advice`` the hint for a word that is none of them."""

    def convert(written: Words, label: str) -> str:
        if written.text not in known:
            hint = advice(written.shown) or suggest_or_list(written.shown, known)
            raise Unfit(f'{label}: "{written.shown}" is not a valid {noun}', hint)
        return written.text

    return typed(convert, {"anyOf": [{"enum": list(known)}, REFERENCE]}, read)


def preset(instead: str) -> Parser[str]:
    """The name of a preset; ``instead`` is what to write where there is none."""

    def convert(written: Words, label: str) -> str:
        if written.text not in presets.NAMES:
            hint = f"run gateway sources for a list; without a preset, {instead}"
            raise Unfit(f'{label}: "{written.shown}" is not a known preset', presets.meant(written.shown) or hint)
        return written.text

    return typed(convert, shape_of(choice(presets.NAMES)), named)


METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _method_like(text: str) -> str:
    return suggest(text.upper(), METHODS, closeness=0.7) or f"known: {', '.join(METHODS)}"


method: Final = choice(METHODS, "method", advice=_method_like)


def _name(written: Words, label: str) -> str:
    if "${" in written.node.text:
        raise Unfit(f"{label} must be literal: stored deliveries refer to it", "write the name itself")
    if not is_name(written.text):
        raise Unfit(f'{label}: "{written.shown}" is not a valid name', NAME_RULE)
    return written.text


#: The name of a source, a destination or an entry.
name: Final = typed(_name, {"title": "name", "type": ["string", "integer", "boolean"], "pattern": f"^{_NAME.pattern}$"})
NAME_RULE: Final = "use letters, digits, - and _, starting with a letter or digit; at most 64 characters"


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _has_tag(text: str) -> bool:
    return any(end in text.partition(start)[2] for start, end in (("{{", "}}"), ("{%", "%}")))


#: A default that a reference has for a variable which is not set.
_DEFAULT: Final = re.compile(r"\$\{\w+:-(?P<value>[^}]+)\}")


@shaped({**TEXT, "title": "secret"})
def secret(reading: Reading, node: Node, label: str) -> Secret | None:
    """A text that is never shown, not even as part of a line of the file."""
    if isinstance(node, Scalar) and "${" not in node.text and node.text:
        reading.report.hide(node.content, node.text)
        if _has_tag(node.text) and not variables.named_unrendered(node.text):
            reading.error(node, f"{label} is not a template: its braces would be part of it", 'write "${NAME}"')
            return None
    elif not isinstance(node, Scalar):
        hide_all(reading.report, node)
    elif default := _DEFAULT.search(node.text):
        at = node.content.column + default.start("value")
        reading.report.hide(Place(node.content.file, node.content.line, at), default["value"])
    written = login(reading, node, label)
    if written is None:
        return None
    if not written.text.strip():
        reading.error(node, f"{label} is empty", "set one: an empty secret protects nothing")
        return None
    if "${" not in written.node.text or _DEFAULT.search(written.node.text):
        noun = key[1] if (key := re.match(r'"(\w+)"', label)) else "secret"
        reading.is_literal(written.node, label, "token" if noun == "bearer" else noun)
    if not written.is_stand_in:
        reading.secrets.add(written.text)
    return Secret(written.text)


_BEARER: Final = re.compile(r"Bearer\s+", re.IGNORECASE)


@shaped({**TEXT, "title": "secret"})
def bearer(reading: Reading, node: Node, label: str) -> Secret | None:
    """A token, without the word that comes before it in the header."""
    found = secret(reading, node, label)
    if found is None or not isinstance(node, Scalar) or not _BEARER.match(found.reveal()):
        return found
    rest = _BEARER.sub("", node.text, count=1)
    first = re.match(r"\$\{[^}]*\}", node.text)
    where = f" from the value of {first[0]}" if first else ""
    hint = f'write "{rest}"' if not where and re.fullmatch(r"\$\{[^}]*\}", rest) else f"remove Bearer{where}"
    reading.warning(node, f"{label}: Bearer is added automatically, so the header would have it twice", hint)
    return found


#: Keys of a map of which only the value is meant.
NAMING: Final = frozenset({"type", "types", "event", "event_type", "name", "destination", "source"})


_OF_EVENT: Final = re.compile(r"(?:payload|headers|query|envelope)\.")


def _as_list(node: Map) -> str:
    """The values that a map is meant as: ``{crm}``, ``{type: contact.created}``, ``{payload.type}`` without quotes."""
    if len(node.pairs) == 1 and is_nothing(node.pairs[0].value) and _OF_EVENT.match(node.pairs[0].key.text):
        return f'"{{{node.pairs[0].key.text}}}"'
    found = [
        pair.value.text if pair.key.text in NAMING and isinstance(pair.value, Scalar) else pair.key.text
        for pair in node.pairs
        if pair.key.text in NAMING or (isinstance(pair.value, Scalar) and pair.value.value in (None, True))
    ]
    if len(found) < len(node.pairs) or not all(found):
        return "[one, two]"
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def is_nothing(node: Node) -> bool:
    """Whether a value is empty or null."""
    return isinstance(node, Scalar) and node.value is None


def named_in(node: Map) -> str:
    """The name that a map of one key is meant as: ``{name: crm}``; empty if it is not."""
    named = [pair.value.text for pair in node.pairs if pair.key.text in NAMING and isinstance(pair.value, Scalar)]
    return named[0] if len(named) == len(node.pairs) == 1 else ""


def one_or_more(parse: Parser[T]) -> Parser[tuple[T, ...]]:
    """One value, or a list of values."""
    one = shape_of(parse)

    @shaped({"anyOf": [one, {"type": "array", "items": one}]})
    def parse_all(reading: Reading, node: Node, label: str) -> tuple[T, ...] | None:
        if isinstance(node, Map):
            reading.error(node, f"{label} must be one value or a list, not a map", f"write {_as_list(node)}")
            return None
        nodes = node.nodes if isinstance(node, Items) else (node,)
        found = [parse(reading, each, label) for each in nodes]
        kept = tuple(each for each in found if each is not None)
        return kept if len(kept) == len(found) else None

    return parse_all


words_list: Final = one_or_more(words)
names_list: Final = one_or_more(named)
some_words: Final = shaped(some(TEXT))(one_or_more(words))
some_names: Final = shaped(some(TEXT))(one_or_more(named))


def map_of(parse: Parser[T]) -> Parser[Mapping[str, T]]:
    """A map whose keys the user chooses."""

    @shaped({"type": "object", "additionalProperties": shape_of(parse)})
    def parse_all(reading: Reading, node: Node, label: str) -> Mapping[str, T] | None:
        if not isinstance(node, Map):
            if right := pairs.as_map(reading, node):
                named = re.match(r'"([^"]+)"', label)
                reading.error(node, f"{label} must be a map", f"write {f'{named[1]}: ' if named else ''}{right}")
            else:
                expect_map(reading, node, label)
            return None
        found = {pair.key.text: parse(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in node.pairs}
        return {key: value for key, value in found.items() if value is not None}

    return parse_all


def expect_map(reading: Reading, node: Node, label: str, example: str = "key: value") -> None:
    """Report that a map is expected here, unless the node was reported already."""
    if not isinstance(node, Broken):
        reading.error(node, f"{label} must be a map", f"write {example} lines, indented below it")


def number(reading: Reading, node: Scalar) -> int | float | None:
    """The value of ``${NAME:number}``; None after reporting one that is not a JSON number."""
    written = reading.resolved(node, reading.references.resolve)
    if written is None:
        return None
    value = json_scalar("0" if written.is_stand_in else written.text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        reading.error(node, f"the value of {node.text} is not a number", "set it to a number such as 13")
        return None
    return value
