"""How filters read their values and arguments. Each function raises Trouble for a value that does not fit."""

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2.utils import missing

from gateway.render.sandbox import member
from gateway.render.values import MAX_SHOWN, Trouble, UndefinedField, kind, readable
from gateway.wording import escaped

#: Characters of a replacement, a separator or a format: texts of the author, not of the event.
MAX_ARGUMENT = 200


def short(text: object, role: str) -> str:
    """An argument that is a short text; ``role`` is its name in an error."""
    argument = readable(text, role)
    if len(argument) > MAX_ARGUMENT:
        raise Trouble(f"{role} has {len(argument)} characters: {MAX_ARGUMENT} are allowed")
    return argument


def elements(value: object) -> Iterable[Any]:
    """The elements of a list, the characters of a text, or the keys of an object."""
    if isinstance(value, str | Mapping | list | tuple | range):
        return value
    raise Trouble(f"a list is needed, and this is {kind(value)}")


def by(value: object, attribute: object) -> list[Any]:
    """The field ``attribute`` of each element; the elements themselves if it is None."""
    return list(elements(value)) if attribute is None else fields(value, attribute)


def fields(value: object, attribute: object) -> list[Any]:
    """One field of each element; an UndefinedField where it is missing."""
    found = [member(element, attribute) for element in elements(value)]
    name = readable(attribute, "the field of map")
    # Whole or not at all: a secret that is cut or escaped would no longer be recognized as one.
    path = f"{name if len(escaped(name)) <= MAX_SHOWN else f'({len(name):,} characters)'} in an element"
    return [UndefinedField(name=path) if one is missing else one for one in found]


def trouble_with(value: object, problem: str) -> Trouble:
    """The problem with a value: ``{}`` in it is the value, or its type if it is not a text or a number."""
    return Trouble(problem, value) if isinstance(value, str | int | float) else Trouble(problem.format(kind(value)))
