"""What a field is compared with: one value or a list, after the field itself or after an operator."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config.schema import values
from gateway.config.schema.reading import Reading
from gateway.config.text.reader import Broken, Items, Map, Node, Pair, Scalar, json_scalar
from gateway.config.text.references import is_number
from gateway.event import regexes
from gateway.event.operators import ANY, OPERATORS, ORDERED, Operand, OperandRefused
from gateway.event.values import Value

#: The remedy for an empty value where any is allowed.
_OF_ANY: Final = 'write null for null, "" for empty text'


@dataclass(frozen=True, slots=True)
class _Read:
    #: None is JSON's null.
    value: Value
    #: Whether it was made up because a variable is not set.
    is_stand_in: bool = False


def of_field(reading: Reading, field: str, node: Node) -> tuple[Value, ...] | None:
    """The alternatives that a field may equal; None after a problem was reported."""
    if isinstance(node, Items) and not node.nodes:
        message = f'"{field}" is compared with an empty list, which nothing equals'
        reading.error(node, message, "list the values it may have")
        return None
    found = _all(reading, f'"{field}"', node, Operand(ANY), _missing_value_hint(field))
    return None if found is None else tuple(each.value for each in found)


def of_operator(reading: Reading, field: str, pair: Pair) -> tuple[Value, ...] | None:
    """The operands of an operator, which accepts them; None after a problem was reported."""
    called, operand = f'"{pair.key.text}" of "{field}"', OPERATORS[pair.key.text].operand
    remedy = f"write {operand.needs}"
    if isinstance(pair.value, Map):
        reading.error(pair.value, f"{called} is compared with a map", remedy)
        return None
    if isinstance(pair.value, Items) and not pair.value.nodes:
        reading.error(pair.value, f"{called} is compared with an empty list", remedy)
        return None
    found = _all(reading, called, pair.value, operand, _OF_ANY if operand.kind is ANY else remedy)
    if found is None:
        return None
    operands = _agreeing(found) if operand.count else tuple(each.value for each in found)
    return operands if _is_accepted(reading, called, pair, operands) else None


def _agreeing(found: Sequence[_Read]) -> tuple[Value, ...]:
    """The operands of an operator that compares with all of them: one that was made up is a copy of another."""
    written = [each.value for each in found if not each.is_stand_in]
    copied = [*written, found[0].value][0]
    return tuple(copied if each.is_stand_in else each.value for each in found)


def _is_accepted(reading: Reading, called: str, pair: Pair, operands: Sequence[Value]) -> bool:
    name, operator = pair.key.text, OPERATORS[pair.key.text]
    try:
        operator.test(operands)
    except OperandRefused as refused:
        message, hint = f"{called} {refused}", refused.hint
        if "${" in as_written(pair.value):
            # The reason would quote the value.
            message = f"{called} does not accept the value of {as_written(pair.value)}"
            hint = f"{name}: {operator.about}{_as_number(pair.value, operator.operand)}"
        reading.error(_at_fault(pair, refused), message, hint)
        return False
    if name == "regex":
        _advise_regex(reading, called, pair.value)
    return True


def _advise_regex(reading: Reading, called: str, written: Node) -> None:
    """Warn of an expression with a sign that repeats a place in the text instead of something in it."""
    for each in written.nodes if isinstance(written, Items) else (written,):
        if isinstance(each, Scalar) and "${" not in each.text and (hint := regexes.instead(each.text)):
            reading.warning(each, f'{called} has a sign that repeats nothing: "{each.text}"', hint)


def _as_number(written: Node, operand: Operand) -> str:
    """How to read a variable as a number, where one is compared by size: as it stands it is a text."""
    variable = re.search(r"\$\{(\w+)\}", as_written(written))
    return f"; for a number write ${{{variable[1]}:number}}" if variable and operand.kind is ORDERED else ""


def _at_fault(pair: Pair, refused: OperandRefused) -> Node:
    """The value that is refused; the operator if all of a list is."""
    if not isinstance(pair.value, Items):
        return pair.value
    return pair.key if refused.position is None else pair.value.nodes[refused.position]


def _all(reading: Reading, called: str, node: Node, operand: Operand, remedy: str) -> Sequence[_Read] | None:
    nodes = node.nodes if isinstance(node, Items) else (node,)
    found = [_one(reading, called, each, operand, remedy) for each in nodes]
    kept = [each for each in found if each is not None]
    return kept if len(kept) == len(found) else None


def _one(reading: Reading, called: str, node: Node, operand: Operand, remedy: str) -> _Read | None:
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        kind = "map" if isinstance(node, Map) else "list"
        reading.error(node, f"{called} is compared with a {kind} inside a list", "list plain values")
        return None
    if node.empty:
        reading.error(node, f"{called} has no value", values.commented(node, called) or remedy)
        return None
    if not isinstance(node.value, str):
        return _Read(node.value)
    if is_number(node.text):
        value = values.number(reading, node)
        return None if value is None else _Read(value, reading.is_unset(node))
    written = reading.resolved(node, reading.references.resolve)
    if written is None:
        return None
    stand_in = operand.kind.stand_in if written.is_stand_in else None
    return _Read(written.text if stand_in is None else stand_in, written.is_stand_in)


def _missing_value_hint(field: str) -> str:
    name, colon, value = field.partition(":")
    return f"write {name}: {value}, with a space after the colon" if colon and value else _OF_ANY


def as_written(node: Node) -> str:
    """As written in the file, on one line."""
    match node:
        case Map(_, pairs):
            return f"{{{', '.join(f'{pair.key.text}: {as_written(pair.value)}' for pair in pairs)}}}"
        case Items(_, nodes):
            return f"[{', '.join(map(as_written, nodes))}]"
        case Scalar(text=text, value=str()) if text == "" or not isinstance(json_scalar(text), str):
            return f'"{text}"'
        case Scalar(text=text):
            return text
    return "..."
