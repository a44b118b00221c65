"""``where`` and ``conditions``: read from the file, then compiled to what is matched."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.schema import values
from gateway.config.schema.operands import as_written, of_field, of_operator
from gateway.config.schema.reading import Reading, Shape, Words, shaped
from gateway.config.schema.values import some
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.errors import Place
from gateway.event import operators
from gateway.event.conditions import Check, Clause, Combined, Condition, combined, constant
from gateway.event.operators import OPERATORS
from gateway.event.paths import split_path
from gateway.wording import suggest, suggest_or_list

_VALUES: Final = some(operators.ANY.schema)
_MAPS: Final[Shape] = {"type": "array", "items": {"type": "object"}, "minItems": 1}

#: Keys beside the fields of a map of conditions: what each accepts, and one line for the reference.
COMBINING: Final[Mapping[str, tuple[Shape, str]]] = {
    "any": (_MAPS, "a list of maps of conditions, at least one of which must hold"),
    "all": (_MAPS, "a list of maps of conditions, all of which must hold"),
    "not": (
        {"type": ["object", "array"], "minItems": 1},
        "a map of conditions that must not hold, or a list of maps, none of which may hold",
    ),
    "is": (some(operators.TEXT.schema), "the name of one of `conditions`, or a list of names, one of which must hold"),
}

_OPERATED: Final[Shape] = {
    "type": "object",
    "properties": {name: {"description": each.about, **each.schema} for name, each in OPERATORS.items()},
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

_HOW: Final[Mapping[str, Literal["any", "all", "not"]]] = {"any": "any", "all": "all", "not": "not"}


@dataclass(frozen=True, slots=True)
class Field:
    """One line about one field."""

    path: Scalar
    #: All of them must hold.
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """``any``, ``all`` or ``not``, with the maps inside."""

    place: Place
    how: Literal["any", "all", "not"]
    groups: tuple["Where", ...]
    text: str


@dataclass(frozen=True, slots=True)
class Is:
    """A line that names conditions, at least one of which must hold."""

    names: tuple[Words, ...]
    text: str


#: A map of conditions: all its lines must hold.
Where = tuple[Field | Nested | Is, ...]


# --- reading ---


@shaped(WHERE)
def where(reading: Reading, node: Node, label: str) -> Where | None:
    """A map of conditions."""
    if not isinstance(node, Map):
        if isinstance(node, Scalar) and not node.empty:
            hint = "write where: {attrs.type: customer}; an expression goes under if"
            reading.error(node, f"{label} must be a map", hint)
        else:
            values.expect_map(reading, node, label, "attrs.type: customer")
        return None
    found = [_line(reading, pair, label) for pair in node.pairs]
    return tuple(line for line in found if line is not None)


def _line(reading: Reading, pair: Pair, label: str) -> Field | Nested | Is | None:
    key = pair.key.text
    text = f"{key}: {as_written(pair.value)}"
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
    needed = "a map, or a list of maps" if how == "not" else "a list of maps"
    reading.error(node, f'"{how}" of {label} needs {needed}', f"write {how}: [{{attrs.type: lead}}, {{attrs.id: 7}}]")
    return None


def of_value(reading: Reading, field: str, node: Node, path: tuple[str, ...]) -> tuple[Condition, ...] | None:
    """The conditions on one field: a value, a list of alternatives, or a map of operators. None after a problem.

    ``field`` is its name in problems, ``path`` where it is found.
    """
    if isinstance(node, Map):
        return _operated(reading, field, node, path)
    operands = of_field(reading, field, node)
    return None if operands is None else (Clause(path=path, values=operands, text=f"{field}: {as_written(node)}"),)


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
    text = f"{field}: {{{name}: {as_written(pair.value)}}}"
    if name not in OPERATORS:
        reading.error(pair.key, f'unknown operator "{name}" for "{field}"', suggest_or_list(name, sorted(OPERATORS)))
        return None
    if OPERATORS[name].nests and isinstance(pair.value, Map):
        inner = _operated(reading, field, pair.value, path)
        return Combined(how="not", conditions=(_together(inner),), text=text) if inner else None
    operands = of_operator(reading, field, pair)
    return None if operands is None else Check(path=path, operator=name, operands=operands, text=text)


def _together(conditions: tuple[Condition, ...]) -> Condition:
    """One condition that holds if all of them do."""
    text = ", ".join(each.text for each in conditions)
    return conditions[0] if len(conditions) == 1 else Combined(how="all", conditions=conditions, text=text)


#: What other languages write, and the equivalent here.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("eq", "equals", "equal", "==", "=", "is", "$eq"), "{field}: {value}"),
    **dict.fromkeys(("in", "one_of", "any_of", "$in"), "{field}: {value}"),
    **{
        foreign: f"{{field}}: {{{{{name}: {{value}}}}}}"
        for name, each in OPERATORS.items()
        for foreign in each.also_called
    },
}


def _explain_nested_map(reading: Reading, field: str, node: Map) -> None:
    if len(node.pairs) == 1 and node.pairs[0].key.text in _FOREIGN:
        [pair] = node.pairs
        right = _FOREIGN[pair.key.text].format(field=field, value=as_written(pair.value))
        reading.error(pair.key, f'unknown operator "{pair.key.text}" for "{field}"', f"write {right}")
        return
    dotted = ", ".join(f"{field}.{pair.key.text}: {as_written(pair.value)}" for pair in node.pairs)
    reading.error(node, f'"{field}" is compared with a map', f"write {dotted}" if dotted else "name a field of it")


# --- compiling ---

#: Lines of one entry with every name replaced by its lines: names inside names grow fast.
MAX_LINES: Final = 10_000


def _groups(line: Field | Nested | Is) -> Sequence[Where]:
    return line.groups if isinstance(line, Nested) else ()


def _size(line: Field | Nested | Is) -> int:
    return 1 + sum(_size(each) for group in line.groups for each in group) if isinstance(line, Nested) else 1


class ConditionCompiler:
    """Checks maps of conditions against the fields that exist, and replaces names by their conditions."""

    def __init__(self, reading: Reading, named: Mapping[str, Where]) -> None:
        self._reading = reading
        self._named = named
        self._left = 0
        #: Cycles already reported: each of their members leads into them.
        self._cycles: set[frozenset[str]] = set()

    def compile(self, where: Where, check_path: Callable[[Scalar], None]) -> tuple[Condition, ...]:
        """The conditions to match; reports every problem with a path or a name."""
        self._left = MAX_LINES
        return self._lines(where, check_path, ())

    def required(self, where: Where) -> Sequence[Field]:
        """The lines about a field that must hold in any case."""
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
        """The innermost lines that hold for every event or for none: place, text, and whether they always hold.

        Only for conditions that compiled without a problem.
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
        return _together(self._lines(where, check_path, around))

    def _is(self, name: Words, check_path: Callable[[Scalar], None], around: tuple[str, ...]) -> Condition:
        nothing = Combined(how="any", conditions=(), text=name.shown)
        if self._left < 0:
            return nothing
        self._left -= sum(map(_size, self._named.get(name.text, ())))
        if self._left < 0:
            message = f"with its named conditions written out, this has more than {MAX_LINES:,} lines"
            self._reading.error(name.node, message, "use fewer conditions inside conditions")
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
            self._reading.error(
                name.node, f"this condition refers to itself: {path}", 'replace one "is:" with its conditions'
            )
