"""Values by their type: from a node of the file to what it means, or a problem that says what to write."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.config.text.reader import Broken, Items, Map, Node, Scalar, json_scalar
from gateway.config.text.references import ReferenceRefused, References, Resolved, is_number
from gateway.config.text.report import Report
from gateway.errors import Place
from gateway.model import Secret
from gateway.render import TemplateText, Tree
from gateway.routing.cases import Plain
from gateway.wording import DURATION, SIZE, seconds, size_in_bytes, suggest_or_list

T = TypeVar("T")

#: What a source verifies with, and a destination is built with, where `dev` finds a variable unset.
DEMO_SECRET: Final = "xobito-demo-secret"  # noqa: S105 - known to everyone, for a developer's machine
DEMO_TEXT: Final = "demo"
#: What stands for every variable that is not set when a file is checked without its environment.
TEST_TEXT: Final = "test"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGITS: Final = re.compile(r"[0-9]{1,12}")


@dataclass(slots=True)
class Reading:
    """The state of reading one file: where problems go, where references look."""

    report: Report
    references: References
    #: Whether unset variables inside a `stand_in` are made up.
    dev: bool
    #: Whether every unset variable is made up.
    no_env: bool = False
    #: What is not set, and where it was first used.
    missing: dict[str, Place] = field(default_factory=dict)
    #: What is never shown: all that came from outside, and what the file itself holds as a secret.
    secrets: set[str] = field(default_factory=set)
    #: The patterns of files that are included.
    includes: list[str] = field(default_factory=list)
    _stand_ins: list["StandIn"] = field(default_factory=list)

    def error(self, where: Node | Place, message: str, hint: str = "") -> None:
        place = where if isinstance(where, Place) else where.place
        self.report.error(place, message, hint)

    def warning(self, where: Node | Place, message: str, hint: str = "") -> None:
        place = where if isinstance(where, Place) else where.place
        self.report.warning(place, message, hint)

    @contextmanager
    def stand_in(self, text: str) -> Iterator["StandIn"]:
        """While inside, and in `dev`, ``text`` stands for a value with a variable that is not set."""
        stand_in = StandIn(text)
        if self.dev:
            self._stand_ins.append(stand_in)
        try:
            yield stand_in
        finally:
            if self.dev:
                self._stand_ins.pop()

    def is_unset(self, node: Node) -> bool:
        """Whether a variable or file that a text needs is not there."""
        try:
            return isinstance(node, Scalar) and bool(self.references.resolve(node.text).missing)
        except ReferenceRefused:
            return False

    def resolved(
        self, node: Scalar, resolve: Callable[[str], Resolved], *, can_be_made_up: bool = True
    ) -> "Words | None":
        """The text of a scalar without its references; None when they were a problem."""
        try:
            found = resolve(node.text)
        except ReferenceRefused as error:
            self.error(node, str(error))
            return None
        self.secrets.update(found.values)
        shown = node.text if found.is_foreign else found.text
        if not found.missing:
            return Words(found.text, shown, node)
        if self._stand_ins:
            self._stand_ins[-1].was_used = True
            return Words(self._stand_ins[-1].text, shown, node, is_stand_in=True)
        if self.no_env and can_be_made_up:
            return Words(found.text, shown, node, is_stand_in=True)
        for name in found.missing:
            self.missing.setdefault(name, node.place)
        return None


@dataclass(slots=True)
class StandIn:
    """A made-up value, and whether it was needed."""

    text: str
    was_used: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the file with its references replaced."""

    text: str
    #: For problems: a value from outside shows as its reference.
    shown: str
    node: Scalar
    #: Made up because a variable is not set.
    is_stand_in: bool = False

    @property
    def place(self) -> Place:
        return self.node.place


#: (reading, node, how a problem calls the key) -> the value, or None after a problem was reported.
Parser = Callable[[Reading, Node, str], T | None]
P = TypeVar("P", bound=Callable[..., object])

#: What a parser takes, in the words of JSON Schema. Under "$ref" stands the class of a section.
Shape = Mapping[str, Any]

REFERENCE: Final[Shape] = {"type": "string", "pattern": r"\$\{"}
TEXT: Final[Shape] = {"title": "text", "type": ["string", "number", "boolean"]}
TEMPLATE: Final[Shape] = {**TEXT, "title": "template"}
ANYTHING: Final[Shape] = {}


def shaped(shape: Shape) -> Callable[[P], P]:
    """Say what a parser takes, for the editors that read the JSON Schema."""

    def mark(parse: P) -> P:
        vars(parse)["shape"] = shape
        return parse

    return mark


def shape_of(parse: Parser[Any]) -> Shape:
    """What a parser takes; anything, if it does not say."""
    found: Shape = vars(parse).get("shape", ANYTHING)
    return found


def some(one: Shape) -> Shape:
    """One of a kind, or a list of at least one."""
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def spelled(title: str, pattern: str) -> Shape:
    """A text by its pattern, or one with a reference."""
    return {"title": title, "type": ["string", "integer"], "pattern": rf"^(?:{pattern})$|\$\{{"}


def _due(reading: Reading, node: Node, label: str, kind: str = "one value") -> Scalar | None:
    """The node if it is one written value."""
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        reading.error(node, f"{label} is {kind}, not a {'map' if isinstance(node, Map) else 'list'}")
        return None
    if node.empty or node.value is None:
        reading.error(node, f"{label} has no value", 'write one, or remove the key; an empty text is ""')
        return None
    return node


@shaped(TEXT)
def words(reading: Reading, node: Node, label: str) -> Words | None:
    """A text; references are replaced."""
    scalar = _due(reading, node, label)
    return None if scalar is None else reading.resolved(scalar, reading.references.resolve)


@shaped(TEXT)
def named(reading: Reading, node: Node, label: str) -> Words | None:
    """A text that decides what else is right: nothing can be made up for what is not set in it."""
    scalar = _due(reading, node, label)
    return None if scalar is None else reading.resolved(scalar, reading.references.resolve, can_be_made_up=False)


def typed(convert: Callable[[Words, str], T], shape: Shape, read: Parser[Words] = words) -> Parser[T]:
    """A value that is made of one text; ``convert`` raises Unfit."""

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


class Unfit(ValueError):
    """A value that its key cannot take."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


def duration(least_s: float, most: str, why: str = "") -> Parser[float]:
    """``10s``, ``1h30m``: seconds, from ``least_s`` to the duration ``most``, and ``why`` to that."""
    most_s = seconds(most)

    def convert(written: Words, label: str) -> float:
        if DURATION.fullmatch(written.text) is None:
            digits = _DIGITS.fullmatch(written.text) is not None
            hint = f"write {written.shown}s" if digits else "write a number with ms, s, m, h or d: 10s, 1h30m"
            raise Unfit(f'{label}: "{written.shown}" {"has no unit" if digits else "is not a duration"}', hint)
        value = seconds(written.text)
        if not least_s <= value <= most_s:
            raise Unfit(
                f'{label}: "{written.shown}" is out of range', f"from {least_s:g}s to {most}{why and f': {why}'}"
            )
        return value

    above_0 = r"(?!(?:[0.]+[a-z]+)+$)" if least_s > 0 else ""
    return typed(convert, {**spelled("duration", above_0 + DURATION.pattern), "type": "string"})


def size(least: int, most: str) -> Parser[int]:
    """``1MiB``, ``512KB``, ``4096``: bytes."""

    def convert(written: Words, label: str) -> int:
        found = SIZE.fullmatch(written.text)
        if found is None:
            raise Unfit(f'{label}: "{written.shown}" is not a size', "write a number with KiB or MiB: 1MiB")
        value = size_in_bytes(written.text)
        if not least <= value <= size_in_bytes(most):
            raise Unfit(f'{label}: "{written.shown}" is out of range', f"from {least}B to {most}")
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
        raise Unfit(f'{label}: "{written.shown}" is neither true nor false')
    return written.text == "true"


boolean: Final = typed(_boolean, {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}, REFERENCE]})


def choice(known: Collection[str], read: Parser[Words] = words) -> Parser[str]:
    """One of a few words."""

    def convert(written: Words, label: str) -> str:
        if written.text not in known:
            raise Unfit(f'{label}: "{written.shown}" is not known', suggest_or_list(written.shown, known))
        return written.text

    return typed(convert, {"anyOf": [{"enum": list(known)}, REFERENCE]}, read)


def _name(written: Words, label: str) -> str:
    if "${" in written.node.text:
        raise Unfit(f"{label} is literal: deliveries remember it", "write the name itself")
    if not is_name(written.text):
        raise Unfit(f'{label}: "{written.shown}" is not a name', NAME_RULE)
    return written.text


#: What a source, a destination or an entry is called.
name: Final = typed(_name, {"title": "name", "type": ["string", "integer", "boolean"], "pattern": f"^{_NAME.pattern}$"})
NAME_RULE: Final = "letters, digits, - and _, beginning with a letter or digit; at most 64"


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


@shaped({**TEXT, "title": "secret"})
def secret(reading: Reading, node: Node, label: str) -> Secret | None:
    """A text that is never shown, not even as a line of the file."""
    if isinstance(node, Scalar) and "${" not in node.text and node.text:
        reading.report.hide(node.content, node.text)
    written = words(reading, node, label)
    if written is None:
        return None
    if not written.text.strip():
        reading.error(node, f"{label} is empty", "an empty secret protects nothing: set one")
        return None
    if not written.is_stand_in:
        reading.secrets.add(written.text)
    return Secret(written.text)


def one_or_more(parse: Parser[T]) -> Parser[tuple[T, ...]]:
    """One value, or a list of them."""
    one = shape_of(parse)

    @shaped({"anyOf": [one, {"type": "array", "items": one}]})
    def parse_all(reading: Reading, node: Node, label: str) -> tuple[T, ...] | None:
        if isinstance(node, Map):
            reading.error(node, f"{label} is one value or a list of them, not a map", "write [one, two]")
            return None
        nodes = node.nodes if isinstance(node, Items) else (node,)
        found = [parse(reading, each, label) for each in nodes]
        kept = tuple(each for each in found if each is not None)
        return kept if len(kept) == len(found) else None

    return parse_all


def map_of(parse: Parser[T]) -> Parser[Mapping[str, T]]:
    """A map whose keys are the user's."""

    @shaped({"type": "object", "additionalProperties": shape_of(parse)})
    def parse_all(reading: Reading, node: Node, label: str) -> Mapping[str, T] | None:
        if not isinstance(node, Map):
            expect_map(reading, node, label)
            return None
        found = {pair.key.text: parse(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in node.pairs}
        return {key: value for key, value in found.items() if value is not None}

    return parse_all


def expect_map(reading: Reading, node: Node, label: str, example: str = "key: value") -> None:
    """Say that a map is due here; silent about what was reported before."""
    if not isinstance(node, Broken):
        reading.error(node, f"{label} must be a map", f"write {example} lines, indented below it")


# --- templates ---


@shaped(TEMPLATE)
def template(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A text with ``{{ }}``. What references bring is inert in it."""
    scalar = _due(reading, node, label)
    if scalar is None:
        return None
    if scalar.cut_off:
        hint = f'put the text in quotes to keep "{scalar.cut_off}", or write two blanks before a comment'
        reading.warning(scalar, f'{label} ends before "{scalar.cut_off}": YAML takes the rest for a comment', hint)
    return _template_text(reading, scalar)


def _template_text(reading: Reading, scalar: Scalar) -> TemplateText | None:
    written = reading.resolved(scalar, reading.references.resolve_in_template)
    return None if written is None else TemplateText(written.text, scalar.content)


@dataclass(frozen=True, slots=True)
class Body:
    """A ``body:``; the tree of an empty text sends nothing at all."""

    tree: Tree
    is_empty: bool


@shaped({"title": "any value; its texts are templates"})
def body(reading: Reading, node: Node, label: str) -> Body | None:
    """A tree whose texts are templates."""
    if isinstance(node, Scalar) and node.text == "" and not node.empty:
        return Body(None, is_empty=True)
    before = len(reading.report.problems), len(reading.missing)
    found = _tree(reading, node, label)
    after = len(reading.report.problems), len(reading.missing)
    return Body(found, is_empty=False) if before == after else None


def number(reading: Reading, node: Scalar) -> int | float | None:
    """The value of ``${NAME:number}``; None and a problem if it is none as JSON has it."""
    written = reading.resolved(node, reading.references.resolve)
    if written is None:
        return None
    value = json_scalar("0" if written.is_stand_in else written.text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        reading.error(node, f"the value of {node.text} is no number", "set it to one: 13")
        return None
    return value


def _tree(reading: Reading, node: Node, label: str) -> Tree:
    match node:
        case Map(_, pairs):
            return {pair.key.text: _tree(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in pairs}
        case Items(_, nodes):
            return [_tree(reading, each, label) for each in nodes]
        case Broken():
            return None
    if node.empty:
        reading.error(node, f"{label} has no value", 'write one, null, or ""')
        return None
    if not isinstance(node.value, str):
        return node.value
    return number(reading, node) if is_number(node.text) else _template_text(reading, node)


@shaped({"title": "any value"})
def json(reading: Reading, node: Node, label: str) -> Plain | None:
    """Any value; references in its texts are replaced."""
    before = len(reading.report.problems), len(reading.missing)
    found = plain(reading, node, label)
    after = len(reading.report.problems), len(reading.missing)
    return Plain(found) if before == after else None


def plain(reading: Reading, node: Node, label: str) -> object:
    """The value of a tree without templates; None in place of what was a problem."""
    match node:
        case Map(_, pairs):
            return {pair.key.text: plain(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in pairs}
        case Items(_, nodes):
            return [plain(reading, each, label) for each in nodes]
        case Broken():
            return None
    if node.empty:
        reading.error(node, f"{label} has no value", 'write one, null, or ""')
        return None
    if not isinstance(node.value, str):
        return node.value
    if is_number(node.text):
        return number(reading, node)
    written = reading.resolved(node, reading.references.resolve)
    return None if written is None else written.text
