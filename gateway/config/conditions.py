"""``where`` and ``conditions``: from what was written to what is matched, or what to write instead."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config import values
from gateway.config.reader import Broken, Items, Map, Node, Pair, Scalar, json_scalar
from gateway.config.references import is_number
from gateway.config.report import suggest, suggest_or_list
from gateway.config.values import Reading, Shape, Words, shaped
from gateway.facts import split_path
from gateway.match import OPERATORS, Check, Clause, Combined, Condition, OperandRefused, Value

_VALUE: Final[Shape] = {"title": "value", "type": ["string", "number", "boolean", "null"]}
_VALUES: Final[Shape] = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE}]}
_FLAG: Final[Shape] = {"type": "boolean"}
_TEXTS: Final[Shape] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_ORDERED: Final[Shape] = {"type": ["number", "string", "array"]}
_MAPS: Final[Shape] = {"type": "array", "items": {"type": "object"}, "minItems": 1}

#: Every operator: what it takes, and one line for people.
ABOUT: Final[Mapping[str, tuple[Shape, str]]] = {
    "exists": (_FLAG, "true: the field is there, be it null; false: it is not"),
    "empty": (_FLAG, 'true: the field is missing, null, "", [] or {}'),
    "not": ({}, "none of these values, or not what these operators say; holds when the field is missing"),
    "glob": (_TEXTS, "a text with * for any characters: Order-*"),
    "prefix": (_TEXTS, 'how the text begins: "+49"'),
    "suffix": (_TEXTS, "how the text ends: @example.com"),
    "regex": (_TEXTS, "an RE2 expression found anywhere in the text, in single quotes: '^[0-9]+$'"),
    "equals_ignore_case": (_TEXTS, "the same text in capital or small letters"),
    "contains": (_VALUES, "an element of a list, or a part of a text"),
    "gt": (_ORDERED, "greater than a number, or later than an ISO time"),
    "gte": (_ORDERED, "at least a number, or not before an ISO time"),
    "lt": (_ORDERED, "less than a number, or earlier than an ISO time"),
    "lte": (_ORDERED, "at most a number, or not after an ISO time"),
}

#: Beside the fields of a map of conditions.
COMBINING: Final[Mapping[str, tuple[Shape, str]]] = {
    "any": (_MAPS, "a list of maps of conditions, one of which must hold"),
    "all": (_MAPS, "a list of maps of conditions, all of which must hold"),
    "not": ({"type": ["object", "array"]}, "a map of conditions that must not hold, or a list of which none may"),
    "is": (_TEXTS, "the name of one of `conditions`, or a list of names of which one must hold"),
}

_OPERATED: Final[Shape] = {
    "type": "object",
    "properties": {name: {"description": about, **shape} for name, (shape, about) in ABOUT.items()},
    "additionalProperties": False,
}
#: What one field may be compared with.
FIELD: Final[Shape] = {"anyOf": [*_VALUES["anyOf"], _OPERATED]}
WHERE: Final[Shape] = {
    "title": "conditions",
    "type": "object",
    "properties": {name: {"description": about, **shape} for name, (shape, about) in COMBINING.items()},
    "additionalProperties": FIELD,
}


_HOW: Final[Mapping[str, Literal["any", "all", "not"]]] = {"any": "any", "all": "all", "not": "not"}


@dataclass(frozen=True, slots=True)
class Field:
    """One line about one field."""

    path: Scalar
    #: All of them must hold.
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """``any``, ``all`` or ``not`` around maps of lines."""

    how: Literal["any", "all", "not"]
    groups: tuple["Where", ...]
    text: str


@dataclass(frozen=True, slots=True)
class Is:
    """A line that names conditions, one of which must hold."""

    names: tuple[Words, ...]
    text: str


#: A map: all of its lines must hold.
Where = tuple[Field | Nested | Is, ...]


# --- reading ---


@shaped(WHERE)
def where(reading: Reading, node: Node, label: str) -> Where | None:
    """A map of conditions."""
    if not isinstance(node, Map):
        values.expect_map(reading, node, label, "attrs.type: customer")
        return None
    found = [_line(reading, pair, label) for pair in node.pairs]
    return tuple(line for line in found if line is not None)


def _line(reading: Reading, pair: Pair, label: str) -> Field | Nested | Is | None:
    key = pair.key.text
    text = f"{key}: {_written(pair.value)}"
    if key == "is":
        names = values.one_or_more(values.words)(reading, pair.value, f'"is" of {label}')
        if names == ():
            reading.error(pair.value, f'"is" of {label} names no condition', "name one of the file's conditions")
        return Is(names, text) if names else None
    if key in _HOW:
        return _nested(reading, pair, _HOW[key], label, text)
    conditions = of_value(reading, key, pair.value, split_path(key))
    return Field(pair.key, conditions) if conditions is not None else None


def _nested(reading: Reading, pair: Pair, how: Literal["any", "all", "not"], label: str, text: str) -> Nested | None:
    node = pair.value
    if isinstance(node, Broken):
        return None
    if isinstance(node, Items) and node.nodes:
        groups = [where(reading, each, f'"{how}" of {label}') for each in node.nodes]
        return Nested(how, tuple(group for group in groups if group is not None), text)
    if how == "not" and isinstance(node, Map):
        group = where(reading, node, f'"not" of {label}')
        return None if group is None else Nested(how, (group,), text)
    takes = "a map, or a list of maps" if how == "not" else "a list of maps"
    reading.error(node, f'"{how}" of {label} takes {takes}', f"write {how}: [{{attrs.type: lead}}, {{attrs.id: 7}}]")
    return None


def of_value(reading: Reading, field: str, node: Node, path: tuple[str, ...]) -> tuple[Condition, ...] | None:
    """What one value must be: a value, a list of which any will do, or a map of operators; None after a problem.

    ``field`` is what problems call it; ``path`` is where it is.
    """
    if isinstance(node, Map):
        return _operated(reading, field, node, path)
    operands = _operands(reading, field, node)
    return None if operands is None else (Clause(path=path, values=operands, text=f"{field}: {_written(node)}"),)


def _operated(reading: Reading, field: str, node: Map, path: tuple[str, ...]) -> tuple[Condition, ...] | None:
    names = [pair.key.text for pair in node.pairs]
    if not any(name in OPERATORS or suggest(name, OPERATORS, closeness=0.75) for name in names):
        _explain_nested_map(reading, field, node)
        return None
    found = [_operator(reading, field, pair, path) for pair in node.pairs]
    kept = tuple(condition for condition in found if condition is not None)
    return kept if len(kept) == len(found) else None


def _operator(reading: Reading, field: str, pair: Pair, path: tuple[str, ...]) -> Condition | None:
    name = pair.key.text
    text = f"{field}: {{{name}: {_written(pair.value)}}}"
    if name not in OPERATORS:
        reading.error(pair.key, f'unknown operator "{name}" for "{field}"', suggest_or_list(name, OPERATORS))
        return None
    if name == "not" and isinstance(pair.value, Map):
        inner = _operated(reading, field, pair.value, path)
        return Combined(how="not", conditions=(Combined(how="all", conditions=inner),), text=text) if inner else None
    operands = _operands(reading, f"{field}: {{{name}: ...}}", pair.value)
    if operands is None or not _accepts(reading, field, pair, operands):
        return None
    return Check(path=path, operator=name, operands=operands, text=text)


def _accepts(reading: Reading, field: str, pair: Pair, operands: Iterable[Value]) -> bool:
    """Whether the operator can take each operand."""
    try:
        for operand in operands:
            OPERATORS[pair.key.text](operand)
    except OperandRefused as refused:
        is_foreign = any(words in str(refused) for words in ("perl operator", "escape sequence"))
        hint = "RE2 has no lookaheads and no backreferences" if is_foreign else ""
        reading.error(pair.value, f'"{pair.key.text}" of "{field}" {refused}', hint)
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Operand:
    #: None here is JSON's null.
    value: Value


def _operands(reading: Reading, called: str, node: Node) -> tuple[Value, ...] | None:
    if isinstance(node, Items) and not node.nodes:
        reading.error(node, f'"{called}" is compared with an empty list, which nothing equals', "write what it may be")
        return None
    nodes = node.nodes if isinstance(node, Items) else (node,)
    found = [_operand(reading, called, each) for each in nodes]
    kept = tuple(operand.value for operand in found if operand is not None)
    return kept if len(kept) == len(found) else None


def _operand(reading: Reading, called: str, node: Node) -> _Operand | None:
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        reading.error(
            node,
            f'"{called}" is compared with a {"map" if isinstance(node, Map) else "list"} inside a list',
            "list plain values",
        )
        return None
    if node.empty:
        reading.error(node, f'"{called}" has no value', _missing_value_hint(called))
        return None
    if not isinstance(node.value, str):
        return _Operand(node.value)
    if is_number(node.text):
        value = values.number(reading, node)
        return None if value is None else _Operand(value)
    written = reading.resolved(node, reading.references.resolve)
    return None if written is None else _Operand(written.text)


def _missing_value_hint(called: str) -> str:
    field, colon, value = called.partition(":")
    return (
        f"write {field}: {value}, with a blank behind the colon"
        if colon and value and "{" not in value
        else 'write null for null, "" for an empty text'
    )


def _explain_nested_map(reading: Reading, field: str, node: Map) -> None:
    dotted = ", ".join(f"{field}.{pair.key.text}: {_written(pair.value)}" for pair in node.pairs)
    reading.error(node, f'"{field}" is compared with a map', f"write {dotted}" if dotted else "name a field of it")


def _written(node: Node) -> str:
    """As it stands in the file, on one line."""
    match node:
        case Map(_, pairs):
            return f"{{{', '.join(f'{pair.key.text}: {_written(pair.value)}' for pair in pairs)}}}"
        case Items(_, nodes):
            return f"[{', '.join(map(_written, nodes))}]"
        case Scalar(text=text, value=str()) if text == "" or not isinstance(json_scalar(text), str):
            return f'"{text}"'
        case Scalar(text=text):
            return text
    return "..."


# --- compiling ---

#: Of one entry, when every name stands for its lines: names inside names grow fast.
MAX_LINES: Final = 10_000


def _size(line: Field | Nested | Is) -> int:
    return 1 + sum(_size(each) for group in line.groups for each in group) if isinstance(line, Nested) else 1


class ConditionCompiler:
    """Holds maps of conditions against the fields that there can be, and replaces names by what they stand for."""

    def __init__(self, reading: Reading, named: Mapping[str, Where]) -> None:
        self._reading = reading
        self._named = named
        self._left = 0

    def compile(self, where: Where, check_path: Callable[[Scalar], None]) -> tuple[Condition, ...]:
        """What is matched; every problem with a path or a name is reported."""
        self._left = MAX_LINES
        return self._lines(where, check_path, ())

    def required(self, where: Where) -> Sequence[Field]:
        """The fields that must meet their line, whatever else holds."""
        found: list[Field] = []
        for line in where:
            match line:
                case Field():
                    found.append(line)
                case Nested(how="all", groups=groups):
                    found += [field for group in groups for field in self.required(group)]
                case Is(names=(name,)):
                    found += self.required(self._named.get(name.text, ()))
        return found

    def _lines(
        self, where: Where, check_path: Callable[[Scalar], None], around: tuple[str, ...]
    ) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for line in where:
            match line:
                case Field(path, conditions):
                    check_path(path)
                    found += conditions
                case Nested(how, groups, text):
                    inner = tuple(self._group(group, check_path, around) for group in groups)
                    found.append(Combined(how=how, conditions=inner, text=text))
                case Is(names, text):
                    inner = tuple(self._is(name, check_path, around) for name in names)
                    found.append(Combined(how="any" if len(inner) > 1 else "all", conditions=inner, text=text))
        return tuple(found)

    def _group(self, where: Where, check_path: Callable[[Scalar], None], around: tuple[str, ...]) -> Condition:
        lines = self._lines(where, check_path, around)
        text = ", ".join(line.text for line in lines)
        return lines[0] if len(lines) == 1 else Combined(how="all", conditions=lines, text=text)

    def _is(self, name: Words, check_path: Callable[[Scalar], None], around: tuple[str, ...]) -> Condition:
        nothing = Combined(how="any", conditions=(), text=name.shown)
        if self._left < 0:
            return nothing
        self._left -= sum(map(_size, self._named.get(name.text, ())))
        if self._left < 0:
            message = f"with all that its conditions stand for, this comes to more than {MAX_LINES:,} lines"
            self._reading.error(name.node, message, "name fewer conditions in conditions")
            return nothing
        if name.text not in self._named:
            hint = suggest_or_list(name.shown, self._named)
            self._reading.error(name.node, f'unknown condition "{name.shown}"', hint)
            return nothing
        if name.text in around:
            path = " > ".join((*around, name.text))
            self._reading.error(name.node, f"a condition that is itself: {path}", "write one of them out")
            return nothing
        return self._group(self._named[name.text], check_path, (*around, name.text))
