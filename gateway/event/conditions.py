"""Conditions on the fields of an event, and the tests that they compile to. Pure, and total on every payload."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from gateway.event.operators import OPERATORS
from gateway.event.paths import lookup
from gateway.event.values import Value, json_key


class Clause(Struct, frozen=True, kw_only=True):
    """The field at ``path`` equals one of ``values``, compared as in JSON.

    A missing field equals nothing; null equals only null.
    """

    path: tuple[str, ...]
    values: tuple[Value, ...]
    #: As written; a value from the environment appears as its reference.
    text: str = ""


class Check(Struct, frozen=True, kw_only=True):
    """One of OPERATORS holds for the field at ``path`` with these ``operands``."""

    path: tuple[str, ...]
    operator: str
    operands: tuple[Value, ...]
    #: As written.
    text: str = ""


class Combined(Struct, frozen=True, kw_only=True):
    """``any``: at least one of the conditions holds; ``all``: every one does; ``not``: none does."""

    how: Literal["any", "all", "not"]
    conditions: tuple["Condition", ...]
    #: As written.
    text: str = ""


Condition = Clause | Check | Combined


class Seen(dict[tuple[str, ...], object]):
    """The fields of one event that rules have looked at: thousands of rules look at a few fields."""

    def __init__(self, facts: Any) -> None:
        super().__init__()
        self.facts = facts

    def __missing__(self, path: tuple[str, ...]) -> object:
        value = self[path] = lookup(self.facts, path)
        return value


Predicate = Callable[[Seen], bool]


def predicate(condition: Condition) -> Predicate:
    """The condition as a total function of an event's fields."""
    match condition:
        case Clause(path=path, values=values):
            keys = frozenset(map(json_key, values))
            return lambda seen: json_key(seen[path]) in keys
        case Check(path=path, operator=operator, operands=operands):
            test = OPERATORS[operator].test(operands)
            return lambda seen: test(seen[path])
    inner = tuple(map(predicate, condition.conditions))
    if condition.how == "all":
        return lambda seen: all(each(seen) for each in inner)
    wanted = condition.how == "any"
    return lambda seen: any(each(seen) for each in inner) is wanted


def holds(conditions: Sequence[Condition]) -> Callable[[object], bool]:
    """A total test of any JSON value: all conditions hold for it. Their paths begin at the value itself."""
    tests = tuple(map(predicate, conditions))

    def test(value: object) -> bool:
        seen = Seen(value)
        return all(each(seen) for each in tests)

    return test


def constant(condition: Condition) -> bool | None:
    """Whether a condition holds for every event (true) or for none (false); None: it depends on the event."""
    match condition:
        case Check(operator=operator, operands=operands):
            return OPERATORS[operator].constant(*operands)
        case Combined(how=how, conditions=conditions):
            return combined(how, map(constant, conditions))
    return None


def combined(how: Literal["any", "all", "not"], verdicts: Iterable[bool | None]) -> bool | None:
    """The ``constant`` of combined conditions, given that of each."""
    found = list(verdicts)
    decisive = how != "all"
    if decisive in found:
        return how == "any"
    return None if None in found else how != "any"
