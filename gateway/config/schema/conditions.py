"""``where`` and ``conditions``, as they are read from the file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.schema import foreign, instead, values
from gateway.config.schema.likely import meant_by, of_message
from gateway.config.schema.operands import as_written, of_field, of_operator
from gateway.config.schema.reading import Reading, Shape, Words, shape_of, shaped
from gateway.config.schema.values import some
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar
from gateway.errors import Place
from gateway.event import operators
from gateway.event.conditions import Change, Check, Clause, Combined, Condition
from gateway.event.operators import OPERATORS
from gateway.event.paths import Path, PathRefused, parse_path
from gateway.event.values import Value
from gateway.render import actions
from gateway.render.forms import bare
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

#: Says how a field is read, beside its operators.
NUMBER: Final = "number"
READ_AS_NUMBER: Final = 'true: read a text such as "398.00" as a number first, for the operators beside it'
#: Compare with what a source with ``track`` knew of the field before the event; the schema of each, and its line.
CHANGED: Final = "changed"
WAS: Final = "was"
_FROM, _TO = "from", "to"
_CHANGED: Final[Shape] = {
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "properties": {_FROM: _VALUES, _TO: _VALUES},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}
TRACKED: Final[Mapping[str, tuple[Shape, str]]] = {
    CHANGED: (
        _CHANGED,
        "true: the event changed the field, which was known before; or {from: 1, to: 3}; needs track on the source",
    ),
    WAS: (_VALUES, "what the field was before the event: one of these values; needs track on the source"),
}
_OF_A_FIELD: Final = frozenset({*OPERATORS, *TRACKED, NUMBER})
_OPERATED: Final[Shape] = {
    "type": "object",
    "properties": {
        **{name: {"description": each.about, **each.schema} for name, each in OPERATORS.items()},
        **{name: {"description": about, **shape} for name, (shape, about) in TRACKED.items()},
        NUMBER: {"description": READ_AS_NUMBER, **shape_of(values.boolean)},
    },
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
    #: Where what it is compared with begins.
    value: Place


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


#: A line of conditions in quotes.
_LINE_AS_TEXT: Final = re.compile(r"[\w.\-\[\]*]+: +\S.*")

#: A map of conditions: all its lines must hold.
Where = tuple[Field | Nested | Is, ...]


@shaped(WHERE)
def where(reading: Reading, node: Node, label: str) -> Where | None:
    """A map of conditions."""
    if not isinstance(node, Map):
        threes = [instead.in_three(each) for each in node.nodes] if isinstance(node, Items) else []
        if isinstance(node, Scalar) and not node.empty:
            compared = instead.compared(node.text)
            right = f"{{{compared}}}" if compared else "{attrs.type: customer}"
            if _LINE_AS_TEXT.fullmatch(node.text):
                right = f"{{{node.text}}}, without quotes"
            hint = f"write where: {right}; an expression goes under if"
            if foreign.is_combined(node.text):
                hint = f"write if: {bare(actions.expression(node.text) or foreign.as_expression(node.text))}"
            reading.guess(reading.error(node, f"{label} must be a map", hint), instead.alone_in(node.text))
        elif threes and all(line for line, _ in threes):
            lines = [f"{{{line}}}" for line, _ in threes]
            together = lines[0] if len(lines) == 1 else f"{{all: [{', '.join(lines)}]}}"
            problem = reading.error(node, f"{label} must be a map, not a list", f"write where: {together}")
            reading.guess(problem, tuple(name for _, names in threes for name in names))
        elif isinstance(node, Items) and node.nodes and all(isinstance(each, Map) for each in node.nodes):
            shown = foreign.shown(instead.rooted(node))
            whole = shown[1:-1] if len(node.nodes) == 1 else f"{{all: {shown}}}"
            problem = reading.error(node, f"{label} must be a map, not a list", f"write where: {whole}")
            reading.guess(problem, instead.alone(node))
        else:
            values.expect_map(reading, node, label, "attrs.type: customer")
        return None
    of_three, names = instead.in_three(node)
    if of_three:
        problem = reading.error(
            node, f"{label} has a field, an operator and a value as its keys", f"write {{{of_three}}}"
        )
        reading.guess(problem, names)
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
    if how := foreign.combination(key):
        reading.error(pair.key, f'unknown key "{key}" in {label}', f"write {foreign.combined(how, pair.value)}")
        return None
    path = _path(reading, pair)
    conditions = None if path is None else of_value(reading, key, pair.value, path)
    return Field(pair.key, conditions, pair.value.place) if conditions is not None else None


#: A star after a dot, which names a key; ``[*]`` is every element.
_DOTTED_STAR: Final = re.compile(r"\.\*(?=[.\[]|\Z)")


def _path(reading: Reading, pair: Pair) -> Path | None:
    """The path of a line; None after a problem was reported."""
    key = pair.key.text
    if _DOTTED_STAR.search(key):
        right = _DOTTED_STAR.sub("[*]", key)
        reading.error(pair.key, f'"{key}": * is not an element of a list here', f"write {right} for any of them")
        return None
    if at_end := foreign.operator_at_end(key):
        field, word = at_end
        right = foreign.comparison(field, word, pair.value)
        hint = f'write {right}; for a field of that name {field}["{word}"]'
        reading.error(pair.key, f'"{key}" ends in an operator', hint)
        return None
    if sign := foreign.sign_at_end(key):
        field, word = sign
        reading.error(pair.key, f'"{key}" ends in an operator', f"write {foreign.comparison(field, word, pair.value)}")
        return None
    if compared := foreign.compared_key(key):
        field, right = compared
        hint = f"write {right or f'if: {key}'}; for a field of that name use brackets"
        reading.error(pair.key, f'"{key}" is an expression, and not the name of a field', hint)
        return None
    if right := of_message(key):
        reading.error(pair.key, f'unknown field "{key}"', f"write {right}")
        return None
    try:
        return parse_path(key)
    except PathRefused as refused:
        reading.error(pair.key, f'"{key}" {refused}', refused.hint)
        return None


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


def of_value(reading: Reading, field: str, node: Node, path: Path) -> tuple[Condition, ...] | None:
    """The conditions on one field: a value, a list of alternatives, or a map of operators. None after a problem.

    ``field`` is its name in problems, ``path`` where it is found.
    """
    if isinstance(node, Map):
        return _operated(reading, field, node, path)
    if isinstance(node, Items) and any(isinstance(each, Map) and each.pairs for each in node.nodes):
        right = foreign.alternatives(field, node.nodes)
        of_map = next(each for each in node.nodes if isinstance(each, Map))
        message = f'"{field}" is compared with a map inside a list'
        reading.error(of_map, message, f"write {right}" if right else "list plain values")
        return None
    if isinstance(node, Scalar) and (right := foreign.compared_text(field, node)):
        reading.error(node, f'"{field}" is compared with the text "{node.text}"', f"write {right}")
        return None
    for each in node.nodes if isinstance(node, Items) else (node,):
        if isinstance(each, Scalar) and not _is_plain(reading, field, each):
            return None
    operands = of_field(reading, field, node)
    return None if operands is None else (Clause(path=path, values=operands, text=f"{field}: {as_written(node)}"),)


#: What a text probably is that is compared as it stands.
_TEMPLATE: Final = re.compile(r"\{\{.*\}\}", re.DOTALL)


def _is_plain(reading: Reading, field: str, node: Scalar) -> bool:
    """Whether a text is meant as it stands; warns of one that hardly is, and reports a template."""
    if _TEMPLATE.search(node.text):
        message = f'"{field}" is compared with a template, which is not filled in here'
        reading.error(node, message, "compare two fields under if: attrs.type == attrs.kind")
        return False
    if right := meant_by(node.text):
        reading.warning(
            node, f'"{field}" is compared with exactly this text', f"write {field}: {right[0]} for {right[1]}"
        )
    return True


def _operated(
    reading: Reading, field: str, node: Map, path: Path, *, number: bool = False
) -> tuple[Condition, ...] | None:
    names = [pair.key.text for pair in node.pairs]
    if not any(name in _OF_A_FIELD or suggest(name, _OF_A_FIELD, closeness=0.75) for name in names):
        _explain_nested_map(reading, field, node)
        return None
    pairs = [pair for pair in node.pairs if pair.key.text != NUMBER]
    flag = next((pair for pair in node.pairs if pair.key.text == NUMBER), None)
    if flag is not None:
        asked = values.boolean(reading, flag.value, f'"{NUMBER}" of "{field}"')
        if asked and not pairs:
            hint = f"add what the number must be: {field}: {{number: true, gte: 100}}"
            reading.error(flag.key, f'"{NUMBER}" of "{field}" only says how the field is read', hint)
        number = number or bool(asked)
    unknown = [pair.key for pair in pairs if pair.key.text not in _OF_A_FIELD]
    if unknown and len(node.pairs) > 1 and (right := foreign.line(field, Map(node.place, tuple(pairs)))):
        # The whole line: what is written instead of one operator alone would drop the others.
        right = right.replace(": {", ": {number: true, ", 1) if flag is not None and number else right
        reading.error(unknown[0], f'unknown operator "{unknown[0].text}" for "{field}"', f"write {right}")
        return None
    found = [_operator(reading, field, pair, path, number=number) for pair in pairs]
    kept = tuple(condition for condition in found if condition is not None)
    return kept if kept and len(kept) == len(found) else None


def _operator(reading: Reading, field: str, pair: Pair, path: Path, *, number: bool) -> Condition | None:
    name = pair.key.text
    text = f"{field}: {{{name}: {as_written(pair.value)}}}"
    if name in TRACKED:
        return _tracked(reading, field, pair, path, text)
    if name not in OPERATORS:
        right = foreign.line(field, Map(pair.key.place, (pair,)))
        hint = f"write {right}" if right else suggest_or_list(name, sorted(_OF_A_FIELD))
        reading.error(pair.key, f'unknown operator "{name}" for "{field}"', hint)
        return None
    if OPERATORS[name].nests and isinstance(pair.value, Map):
        inner = _operated(reading, field, pair.value, path, number=number)
        return Combined(how="not", conditions=(together(inner),), text=text) if inner else None
    operands = of_operator(reading, field, pair)
    if operands is None or (number and not _is_of_numbers(reading, field, pair, operands)):
        return None
    return Check(path=path, operator=name, operands=operands, number=number, text=text)


def _tracked(reading: Reading, field: str, pair: Pair, path: Path, text: str) -> Condition | None:
    """A condition on what became of a field."""
    names = tuple(segment for segment in path if isinstance(segment, str))
    if len(names) != len(path):
        reading.error(pair.key, f'"{pair.key.text}" of "{field}" compares one value', "name one field: attrs.status_id")
        return None
    if pair.key.text == WAS:
        was = _compared(reading, WAS, field, pair.value)
        return None if was is None else Change(path=path, was=was, below=names, text=text)
    if not isinstance(pair.value, Map):
        asked = values.boolean(reading, pair.value, f'"{CHANGED}" of "{field}"')
        return None if asked is None else Change(path=path, changed=asked, below=names, text=text)
    found: dict[str, tuple[Value, ...]] = {}
    for each in pair.value.pairs:
        if each.key.text not in (_FROM, _TO):
            hint = suggest_or_list(each.key.text, (_FROM, _TO))
            reading.error(each.key, f'unknown key "{each.key.text}" in "{CHANGED}" of "{field}"', hint)
            return None
        read = _compared(reading, each.key.text, field, each.value)
        if read is None:
            return None
        found[each.key.text] = read
    if not found:
        reading.error(pair.value, f'"{CHANGED}" of "{field}" is an empty map', "write true, or {from: 1, to: 3}")
        return None
    return Change(path=path, changed=True, was=found.get(_FROM), now=found.get(_TO), below=names, text=text)


def _compared(reading: Reading, name: str, field: str, node: Node) -> tuple[Value, ...] | None:
    """The values that a field had or has, of which one will do."""
    if isinstance(node, Map):
        message = f'"{name}" of "{field}" is compared with a map'
        reading.error(node, message, f"write a value, or a list: {{{name}: [1, 2]}}")
        return None
    # Called as an operator is.
    return of_field(reading, f'{name}" of "{field}', node)


def _is_of_numbers(reading: Reading, field: str, pair: Pair, operands: Sequence[Value]) -> bool:
    """Whether an operator can hold for a number."""
    kind, name = OPERATORS[pair.key.text].operand.kind, pair.key.text
    if kind is operators.TEXT or name == "contains":
        hint = f"compare the text on a line of its own: all: [{{{field}: {{{name}: {as_written(pair.value)}}}}}]"
        reading.error(pair.key, f'"{name}" of "{field}" is about a text, and number: true makes it a number', hint)
        return False
    if kind is operators.ANY and any(isinstance(each, str) for each in operands):
        hint = f"write numbers without quotes: {field}: {{number: true, {name}: 5}}"
        reading.error(
            pair.value, f'"{name}" of "{field}" compares with a text, and number: true makes it a number', hint
        )
        return False
    return True


def together(conditions: tuple[Condition, ...]) -> Condition:
    """One condition that holds if all of them do."""
    text = ", ".join(each.text for each in conditions)
    return conditions[0] if len(conditions) == 1 else Combined(how="all", conditions=conditions, text=text)


def _explain_nested_map(reading: Reading, field: str, node: Map) -> None:
    unknown = next((pair.key for pair in node.pairs if foreign.is_operator(pair.key.text)), None)
    if unknown is not None:
        right = foreign.line(field, node) or foreign.measured(field, node)
        hint = f"write {right}" if right else f"known: {', '.join(sorted(_OF_A_FIELD))}"
        reading.error(unknown, f'unknown operator "{unknown.text}" for "{field}"', hint)
        return
    dotted = ", ".join(f"{field}.{pair.key.text}: {as_written(pair.value)}" for pair in node.pairs)
    reading.error(node, f'"{field}" is compared with a map', f"write {dotted}" if dotted else "name a field of it")
