"""Conditions on the fields of an event, and the tests that they compile to. Pure, and total on every payload."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal

from msgspec import Struct

from gateway.event import tracks
from gateway.event.operators import OPERATORS, Test
from gateway.event.paths import EACH, MISSING, Path, elements, lookup
from gateway.event.values import Value, as_number, json_key


class Clause(Struct, frozen=True, kw_only=True):
    """The field at ``path`` equals one of ``values``, compared as in JSON.

    A missing field equals nothing; null equals only null. On a path through a list, one element equals one of them.
    """

    path: Path
    values: tuple[Value, ...]
    #: As written; a value from the environment appears as its reference.
    text: str = ""


class Check(Struct, frozen=True, kw_only=True):
    """One of OPERATORS holds for the field at ``path`` with these ``operands``.

    On a path through a list it holds for one element; one that holds for a missing field, for every element.
    """

    path: Path
    operator: str
    operands: tuple[Value, ...]
    #: Whether a text is read as a number first.
    number: bool = False
    #: As written.
    text: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """What has become of the field at ``path`` of a tracked record: whether it changed, from what, and to what.

    All that is asked must hold. What was not known has not changed, and was nothing.
    """

    path: Path
    #: Whether it must have changed, or must not have; None: that is not asked.
    changed: bool | None = None
    #: Values of which it must have had one before the event; None: any.
    was: tuple[Value, ...] | None = None
    #: Values of which it must have one now; None: any.
    now: tuple[Value, ...] | None = None
    #: The field's path below what is remembered of the record.
    below: tuple[str, ...] = ()
    #: As written.
    text: str = ""


class Combined(Struct, frozen=True, kw_only=True):
    """``any``: at least one of the conditions holds; ``all``: every one does; ``not``: none does."""

    how: Literal["any", "all", "not"]
    conditions: tuple["Condition", ...]
    #: As written.
    text: str = ""


Condition = Clause | Check | Change | Combined


#: Marks the keys of values in Seen.
_KEYS: Final = object()


class Seen(dict[Path, Any]):
    """The fields of one event that rules have looked at: thousands of rules look at a few fields."""

    def __init__(self, facts: Any) -> None:
        super().__init__()
        self.facts = facts

    def __missing__(self, path: Path) -> object:
        value = self[path] = lookup(self.facts, path)  # type: ignore[arg-type]
        return value

    def each(self, path: Path) -> list[object]:
        """The values at a path through a list."""
        found: list[object] | None = self.get(path)
        if found is None:
            found = self[path] = elements(self.facts, path)
        return found

    def keys_in(self, path: Path) -> frozenset[Hashable]:
        """The values in the elements of a list, as they are compared."""
        place: Any = (_KEYS, *path)
        found: frozenset[Hashable] | None = self.get(place)
        if found is None:
            found = self[place] = frozenset(map(json_key, self.each(path)))
        return found


Predicate = Callable[[Seen], bool]


def predicate(condition: Condition) -> Predicate:
    """The condition as a total function of an event's fields."""
    match condition:
        case Clause(path=path, values=values):
            keys = frozenset(map(json_key, values))
            if EACH in path:
                return lambda seen: not keys.isdisjoint(seen.keys_in(path))
            return lambda seen: json_key(seen[path]) in keys
        case Check(path=path):
            test = _test(condition)
            return (lambda seen: test(seen.each(path))) if EACH in path else (lambda seen: test(seen[path]))
        case Change():
            return _change(condition)
    inner = tuple(map(predicate, condition.conditions))
    if condition.how == "all":
        return lambda seen: all(each(seen) for each in inner)
    wanted = condition.how == "any"
    return lambda seen: any(each(seen) for each in inner) is wanted


def _change(change: Change) -> Predicate:
    was, now = (None if each is None else frozenset(map(json_key, each)) for each in (change.was, change.now))
    before, record = (tracks.BEFORE, *change.below), (tracks.RECORD, *change.below)

    def holds(seen: Seen) -> bool:
        old, new = seen[before], seen[record]
        if was is not None and (old is MISSING or json_key(old) not in was):
            return False
        if now is not None and (new is MISSING or json_key(new) not in now):
            return False
        return change.changed is None or tracks.is_other(old, new) is change.changed

    return holds


def _test(check: Check) -> Test:
    """The test of what Seen has at the path of a check."""
    test = OPERATORS[check.operator].test(check.operands)
    if check.number:
        test = partial(_of_number, test)
    if EACH not in check.path:
        return test
    # What holds for a missing field holds where no element is against it.
    return partial(_of_elements, all if test(MISSING) else any, test)


def _of_number(test: Test, value: object) -> bool:
    return test(as_number(value))


def _of_elements(how: Callable[[Iterable[bool]], bool], test: Test, values: Any) -> bool:
    return how(map(test, values))


def holds(conditions: Sequence[Condition]) -> Callable[[object], bool]:
    """A total test of any JSON value: all conditions hold for it. Their paths begin at the value itself."""
    tests = tuple(map(predicate, conditions))

    def test(value: object) -> bool:
        seen = Seen(value)
        return all(each(seen) for each in tests)

    return test


def changes_in(conditions: Iterable[Condition]) -> Iterator[Change]:
    """Those of them that are about a change, also inside of others."""
    for each in conditions:
        if isinstance(each, Change):
            yield each
        elif isinstance(each, Combined):
            yield from changes_in(each.conditions)


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
