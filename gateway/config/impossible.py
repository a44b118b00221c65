"""Conditions that no event of any sender can meet, and what was probably meant."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from gateway.config.schema.conditions import Field
from gateway.event.conditions import Change, Check, Clause, Combined, Condition
from gateway.event.operators import OPERATORS, ORDERED
from gateway.event.paths import EACH, as_written, parse_path
from gateway.event.patterns import SEPARATORS
from gateway.event.values import Value, as_json, number
from gateway.wording import suggest_or_list

#: Roots below which every value is a text.
_TEXTS: Final = ("event", "headers", "query")
_LOWER: Final = ("gt", "gte")
_UPPER: Final = ("lt", "lte")
_PARTS_OF_A_TYPE: Final = ("type", "resource", "action")


def impossible(field: Field, sources: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with each condition on a field that can never hold, and what to write. ``sources``: all names."""
    yield from _contradicting(list(_each(field.conditions)))
    root, *rest = parse_path(field.path.text)
    if root not in _TEXTS:
        return
    for condition in _each(field.conditions):
        yield from _not_a_text(condition)
        if root == "event" and isinstance(condition, Clause):
            yield from _not_of_the_event(str(rest[0]) if rest else "", condition, sources)


def _each(conditions: Collection[Condition]) -> Iterator[Clause | Check]:
    """The conditions that have to hold by themselves."""
    for condition in conditions:
        if isinstance(condition, Combined):
            if condition.how == "all":
                yield from _each(condition.conditions)
        elif not isinstance(condition, Change):
            yield condition


def _contradicting(conditions: Sequence[Clause | Check]) -> Iterator[tuple[str, str]]:
    """Conditions on one field that exclude each other. ``[*]`` may find an element for each of them."""
    checks = [each for each in conditions if isinstance(each, Check)]
    missing = next((each for each in checks if each.operator == "exists" and each.operands == (False,)), None)
    if missing is not None and (other := next(filter(_needs_value, conditions), None)) is not None:
        path = as_written(other.path)
        hint = f"remove one of them, or write any: [{{{missing.text}}}, {{{other.text}}}]"
        yield f"{path} is never missing and also what {other.text} says", hint
    bounds = [each for each in checks if each.operator in _LOWER + _UPPER and EACH not in each.path]
    lower = [(_extreme(each, min), each) for each in bounds if each.operator in _LOWER]
    upper = [(_extreme(each, max), each) for each in bounds if each.operator in _UPPER]
    for (least, low), (most, high) in product(lower, upper):
        if least is None or most is None or least < most:
            continue
        if least > most or low.operator == "gt" or high.operator == "lt":
            hint = f"write any: [{{{low.text}}}, {{{high.text}}}], or another number"
            yield f"no number is both {low.operator} {least} and {high.operator} {most}", hint


def _extreme(check: Check, which: Callable[[Iterable[float]], float]) -> float | None:
    """The widest of a check's operands; None if they are not all numbers."""
    found = [number(each) for each in check.operands]
    return which(each for each in found if each is not None) if None not in found else None


def _needs_value(condition: Clause | Check) -> bool:
    return isinstance(condition, Clause) or not OPERATORS[condition.operator].holds_when_missing


def _not_a_text(condition: Clause | Check) -> Iterator[tuple[str, str]]:
    path = as_written(condition.path)
    if isinstance(condition, Clause):
        if not any(isinstance(each, str) for each in condition.values):
            shown = _listed(condition.values, '"{}"')
            yield (
                f"{path} is always a text, and is never equal to {_listed(condition.values)}",
                f"write {path}: {shown}",
            )
    elif _is_of_numbers(condition):
        added = f"{path}: {{number: true, {condition.operator}: {_listed(condition.operands)}}}"
        hint = f"add number: true: {added}" if condition.path[0] != "event" else "compare event.received_at with a time"
        yield f"{path} is always a text, which {condition.operator} never compares with a number", hint


def _is_of_numbers(condition: Check) -> bool:
    is_ordered = OPERATORS[condition.operator].operand.kind is ORDERED and not condition.number
    return is_ordered and all(number(each) is not None for each in condition.operands)


def _not_of_the_event(name: str, condition: Clause, sources: Collection[str]) -> Iterator[tuple[str, str]]:
    texts = [each for each in condition.values if isinstance(each, str)]
    for text in texts:
        if name == "source" and text not in sources:
            yield f'unknown source "{text}"', suggest_or_list(text, sources)
        elif name in _PARTS_OF_A_TYPE and "*" in text:
            hint = f"write match: {text}" if name == "type" else f"write event.{name}: {{glob: {text}}}"
            yield f'no event has the {name} "{text}": a * is a star here', hint
        elif name == "action" and set(SEPARATORS) & set(text):
            yield f'no event has the action "{text}", which is the last part of its type', "write match, or event.type"


def _listed(values: Collection[Value], each: str = "{}") -> str:
    found = [each.format(as_json(value)) for value in values]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"
