"""Conditions that no event of any sender can meet, and what was probably meant."""

from collections.abc import Collection, Iterator
from typing import Final

from gateway.config.schema.conditions import Field
from gateway.event.conditions import Check, Clause, Combined, Condition
from gateway.event.operators import OPERATORS, ORDERED
from gateway.event.paths import as_written, parse_path
from gateway.event.patterns import SEPARATORS
from gateway.event.values import Value, as_json, number
from gateway.wording import suggest_or_list

#: Roots below which every value is a text.
_TEXTS: Final = ("event", "headers", "query")
_PARTS_OF_A_TYPE: Final = ("type", "resource", "action")


def impossible(field: Field, sources: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with each condition on a field that can never hold, and what to write. ``sources``: all names."""
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
        else:
            yield condition


def _not_a_text(condition: Clause | Check) -> Iterator[tuple[str, str]]:
    path = as_written(condition.path)
    if isinstance(condition, Clause):
        if not any(isinstance(each, str) for each in condition.values):
            shown = _listed(condition.values, '"{}"')
            yield f"{path} is always a text, which {_listed(condition.values)} never equals", f"write {path}: {shown}"
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
