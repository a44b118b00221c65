"""``where`` and ``conditions``: from what was written to what is matched, or what to write instead."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.schema import values
from gateway.config.schema.reading import Reading, Shape, Words, shaped
from gateway.config.schema.values import some
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar, json_scalar
from gateway.config.text.references import is_number
from gateway.errors import Place
from gateway.event.match import OPERATORS, Check, Clause, Combined, Condition, OperandRefused, Value, combined, constant
from gateway.event.paths import split_path
from gateway.wording import suggest, suggest_or_list

_VALUE: Final[Shape] = {"title": "value", "type": ["string", "number", "boolean", "null"]}
_VALUES: Final = some(_VALUE)
_FLAG: Final = some({"type": "boolean"})
_TEXTS: Final = some({"type": "string"})
_ORDERED: Final = some({"type": ["number", "string"]})
_MAPS: Final[Shape] = {"type": "array", "items": {"type": "object"}, "minItems": 1}

#: Every operator: what it takes, and one line for people.
ABOUT: Final[Mapping[str, tuple[Shape, str]]] = {
    "exists": (_FLAG, "true: the field is there, be it null; false: it is not"),
    "empty": (_FLAG, 'true: the field is missing, null, "", [] or {}'),
    "not": (
        {"anyOf": [*_VALUES["anyOf"], {"type": "object", "minProperties": 1}]},
        "none of these values, or not what these operators say; holds when the field is missing",
    ),
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
    "not": (
        {"type": ["object", "array"], "minItems": 1},
        "a map of conditions that must not hold, or a list of which none may",
    ),
    "is": (_TEXTS, "the name of one of `conditions`, or a list of names of which one must hold"),
}

_OPERATED: Final[Shape] = {
    "type": "object",
    "properties": {name: {"description": about, **shape} for name, (shape, about) in ABOUT.items()},
    "additionalProperties": False,
    "minProperties": 1,
}
#: What one field may be compared with.
FIELD: Final[Shape] = {"anyOf": [*_VALUES["anyOf"], _OPERATED]}
WHERE: Final[Shape] = {
    "title": "conditions",
    "type": "object",
    "properties": {name: {"description": about, **shape} for name, (shape, about) in COMBINING.items()},
    "additionalProperties": FIELD,
}


#: What can be compared by order without its environment.
_MADE_UP: Final = dict.fromkeys(("gt", "gte", "lt", "lte"), "2026-01-01T00:00:00Z")

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

    place: Place
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
        if isinstance(node, Scalar) and not node.empty:
            hint = "write where: {attrs.type: customer}; an expression stands under if"
            reading.error(node, f"{label} must be a map", hint)
        else:
            values.expect_map(reading, node, label, "attrs.type: customer")
        return None
    found = [_line(reading, pair, label) for pair in node.pairs]
    return tuple(line for line in found if line is not None)


def _line(reading: Reading, pair: Pair, label: str) -> Field | Nested | Is | None:
    key = pair.key.text
    text = f"{key}: {_written(pair.value)}"
    if key == "is":
        names = values.one_or_more(values.named)(reading, pair.value, f'"is" of {label}')
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
        return Nested(pair.key.place, how, tuple(group for group in groups if group is not None), text)
    if how == "not" and isinstance(node, Map):
        group = where(reading, node, f'"not" of {label}')
        return None if group is None else Nested(pair.key.place, how, (group,), text)
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
    operands = _operands(reading, f"{field}: {{{name}: ...}}", pair.value, _MADE_UP.get(name))
    if operands is None or not _accepts(reading, field, pair, operands):
        return None
    return Check(path=path, operator=name, operands=operands, text=text)


def _accepts(reading: Reading, field: str, pair: Pair, operands: Iterable[Value]) -> bool:
    """Whether the operator can take each operand."""
    try:
        for operand in operands:
            OPERATORS[pair.key.text](operand)
    except OperandRefused as refused:
        if "${" in _written(pair.value):
            # What is wrong with it would quote it.
            message = f'"{pair.key.text}" of "{field}" cannot take the value of {_written(pair.value)}'
            reading.error(pair.value, message, f"it takes {ABOUT[pair.key.text][1]}")
            return False
        is_foreign = any(words in str(refused) for words in ("perl operator", "escape sequence"))
        hint = "RE2 has no lookaheads and no backreferences" if is_foreign else ""
        reading.error(pair.value, f'"{pair.key.text}" of "{field}" {refused}', hint)
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Operand:
    #: None here is JSON's null.
    value: Value


def _operands(reading: Reading, called: str, node: Node, made_up: str | None = None) -> tuple[Value, ...] | None:
    """What is compared with; ``made_up`` stands for a text with a variable that is not set."""
    if isinstance(node, Items) and not node.nodes:
        reading.error(node, f'"{called}" is compared with an empty list, which nothing equals', "write what it may be")
        return None
    nodes = node.nodes if isinstance(node, Items) else (node,)
    found = [_operand(reading, called, each, made_up) for each in nodes]
    kept = tuple(operand.value for operand in found if operand is not None)
    return kept if len(kept) == len(found) else None


def _operand(reading: Reading, called: str, node: Node, made_up: str | None) -> _Operand | None:
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
    if written is None:
        return None
    return _Operand(made_up if written.is_stand_in and made_up is not None else written.text)


def _missing_value_hint(called: str) -> str:
    field, colon, value = called.partition(":")
    return (
        f"write {field}: {value}, with a blank behind the colon"
        if colon and value and "{" not in value
        else 'write null for null, "" for an empty text'
    )


#: What other languages write, and what does the same here.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("eq", "equals", "equal", "==", "=", "is", "$eq"), "{field}: {value}"),
    **dict.fromkeys(("in", "one_of", "any_of", "$in"), "{field}: {value}"),
    **dict.fromkeys(("ne", "neq", "not_equals", "!=", "not_in", "nin", "$ne", "$nin"), "{field}: {{not: {value}}}"),
    **{sign: f"{{field}}: {{{{{name}: {{value}}}}}}" for sign, name in {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}.items()},
    **dict.fromkeys(("matches", "match", "=~", "$regex"), "{field}: {{regex: {value}}}"),
    **dict.fromkeys(("starts_with", "startswith", "begins_with"), "{field}: {{prefix: {value}}}"),
    **dict.fromkeys(("ends_with", "endswith"), "{field}: {{suffix: {value}}}"),
}  # fmt: skip


def _explain_nested_map(reading: Reading, field: str, node: Map) -> None:
    if len(node.pairs) == 1 and node.pairs[0].key.text in _FOREIGN:
        [pair] = node.pairs
        right = _FOREIGN[pair.key.text].format(field=field, value=_written(pair.value))
        reading.error(pair.key, f'unknown operator "{pair.key.text}" for "{field}"', f"write {right}")
        return
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


def _groups(line: Field | Nested | Is) -> Sequence[Where]:
    return line.groups if isinstance(line, Nested) else ()


def _size(line: Field | Nested | Is) -> int:
    return 1 + sum(_size(each) for group in line.groups for each in group) if isinstance(line, Nested) else 1


class ConditionCompiler:
    """Holds maps of conditions against the fields that there can be, and replaces names by what they stand for."""

    def __init__(self, reading: Reading, named: Mapping[str, Where]) -> None:
        self._reading = reading
        self._named = named
        self._left = 0
        #: Those that were reported: every member of one leads into it.
        self._cycles: set[frozenset[str]] = set()

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

    def constants(self, where: Where) -> Iterator[tuple[Place, str, bool]]:
        """The innermost lines that hold for every event, or for none: where they stand, their text, which of both.

        Only of what was compiled without a problem.
        """
        for line in where:
            inner = [found for group in _groups(line) for found in self.constants(group)]
            yield from inner
            verdict = self._verdict(line)
            if verdict is not None and not inner:
                match line:
                    case Nested(place=place, text=text):
                        yield place, text, verdict
                    case Field(path=path, conditions=conditions):
                        yield path.place, ", ".join(each.text for each in conditions), verdict

    def _verdict(self, line: Field | Nested | Is) -> bool | None:
        match line:
            case Field(conditions=conditions):
                return combined("all", map(constant, conditions))
            case Nested(how=how, groups=groups):
                return combined(how, map(self._verdict_of_all, groups))
            case Is(names=names):
                return combined("any", (self._verdict_of_all(self._named[name.text]) for name in names))

    def _verdict_of_all(self, where: Where) -> bool | None:
        return combined("all", map(self._verdict, where))

    def _lines(
        self, where: Where, check_path: Callable[[Scalar], None], around: tuple[str, ...]
    ) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for line in where:
            match line:
                case Field(path, conditions):
                    check_path(path)
                    found += conditions
                case Nested(_, how, groups, text):
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
            self._refuse_cycle(name, around[around.index(name.text) :])
            return nothing
        return self._group(self._named[name.text], check_path, (*around, name.text))

    def _refuse_cycle(self, name: Words, cycle: tuple[str, ...]) -> None:
        if frozenset(cycle) not in self._cycles:
            self._cycles.add(frozenset(cycle))
            path = " > ".join((*cycle, name.text))
            self._reading.error(name.node, f"a condition that is itself: {path}", "write one of them out")
