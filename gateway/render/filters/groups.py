"""Filters that choose and group the elements of a list by their fields."""

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

from jinja2.utils import missing

from gateway.event.paths import position
from gateway.render.filters.arguments import elements, trouble_with
from gateway.render.sandbox import MAX_RANGE, member
from gateway.render.values import Spend, Trouble, UndefinedField, kind, readable, weigh

#: Of choosing one element, in characters, beyond what is compared.
CHOICE: Final = 96


def at(element: object, path: object) -> object:
    """A field of an element, or one below it: ``customer.email``; jinja2's ``missing`` if it is not there."""
    if not isinstance(path, str):
        return member(element, path)
    for key in path.split("."):
        index = position(key) if isinstance(element, list | tuple) else -1
        element = member(element, key if index < 0 else index)
        if element is missing:
            return missing
    return element


def _chosen(
    value: object, path: object, test: Callable[..., Any] | None, arguments: tuple[object, ...], spend: Spend
) -> Iterator[tuple[object, bool]]:
    for element in elements(value):
        spend(CHOICE)
        field = at(element, path)
        field = UndefinedField(name=f"{path} in an element") if field is missing else field
        if test is None:
            yield element, bool(field)
        else:
            weigh((field, arguments), spend)
            yield element, bool(test(field, *arguments))


def selectattr(
    value: object, attribute: object, test: object = None, *arguments: object, spend: Spend = lambda _: None
) -> list[object]:
    """The elements of which a field is true, or passes a test: ``selectattr("status", "eq", "open")``.

    >>> selectattr([{"n": 1}, {"n": 0}, {}], "n"), selectattr([{"n": 1}, {"n": 2}], "n", "gt", 1)
    ([{'n': 1}], [{'n': 2}])
    """
    found = _chosen(value, attribute, _test(test), arguments, spend)
    return [element for element, holds in found if holds]


def rejectattr(
    value: object, attribute: object, test: object = None, *arguments: object, spend: Spend = lambda _: None
) -> list[object]:
    """The elements of which a field is false or missing, or fails a test.

    >>> rejectattr([{"n": 1}, {"n": 0}, {}], "n")
    [{'n': 0}, {}]
    """
    found = _chosen(value, attribute, _test(test), arguments, spend)
    return [element for element, holds in found if not holds]


def _test(name: object) -> Callable[..., Any] | None:
    # At the call: the tests are in the package of this module.
    from gateway.render.filters import TESTS

    if name is None:
        return None
    if not isinstance(name, str) or name not in TESTS:
        raise trouble_with(name, "unknown test {}: write one such as eq, gt, in or defined")
    return TESTS[name]


def groupby(
    value: object, attribute: object, default: object = missing, *, spend: Spend = lambda _: None
) -> list[tuple[object, list[object]]]:
    """Pairs of a field's value and of the elements that have it, ordered by that value.

    As in ``{% for status, orders in payload.orders | groupby("status") %}``.

    >>> groupby([{"s": "b", "n": 1}, {"s": "a", "n": 2}, {"s": "b", "n": 3}], "s")
    [('a', [{'s': 'a', 'n': 2}]), ('b', [{'s': 'b', 'n': 1}, {'s': 'b', 'n': 3}])]
    """
    groups: dict[object, list[object]] = {}
    for element in elements(value):
        spend(CHOICE)
        key = at(element, attribute)
        key = default if key is missing or key is None else key
        if key is missing:
            raise Trouble(f'groupby: an element has no field {readable(attribute)}: write groupby(..., default="...")')
        if not isinstance(key, str | int | float):
            raise Trouble(f"groupby needs texts or numbers, and one element has {kind(key)}")
        groups.setdefault(key, []).append(element)
    weigh(list(groups), lambda characters: spend(characters * (1 + len(groups).bit_length() // 4)))
    order: list[Any] = list(groups.items())
    return sorted(order, key=itemgetter(0))


def dictsort(
    value: object,
    case_sensitive: bool = False,
    by: object = "key",
    reverse: bool = False,
    *,
    spend: Spend = lambda _: None,
) -> list[tuple[object, object]]:
    """An object's fields as pairs, in order of their names, or of their values with ``by="value"``.

    >>> dictsort({"b": 1, "A": 2}), dictsort({"b": 1, "A": 2}, by="value")
    ([('A', 2), ('b', 1)], [('b', 1), ('A', 2)])
    """
    if not isinstance(value, Mapping):
        raise Trouble(f"dictsort needs an object, and this is {kind(value)}")
    if by not in ("key", "value"):
        raise trouble_with(by, 'dictsort by {}: write "key" or "value"')
    place = 0 if by == "key" else 1
    weigh(value, lambda characters: spend(characters * (1 + len(value).bit_length() // 4)))

    def key(pair: tuple[Any, Any]) -> Any:
        found = pair[place]
        return found.lower() if isinstance(found, str) and not case_sensitive else found

    return sorted(value.items(), key=key, reverse=reverse)


def batch(value: object, size: int, fill_with: object = None) -> list[list[object]]:
    """Lists of ``size`` elements each, at most 1,000; the last one is filled up with ``fill_with``, if that is given.

    >>> batch([1, 2, 3], 2), batch([1, 2, 3], 2, 0)
    ([[1, 2], [3]], [[1, 2], [3, 0]])
    """
    if not isinstance(size, int) or not 1 <= size <= MAX_RANGE:
        shown = str(size) if isinstance(size, int | float) else kind(size)
        raise Trouble(f"batch of {shown} elements: write 1 to {MAX_RANGE:,}")
    found = list(elements(value))
    rows = [found[start : start + size] for start in range(0, len(found), size)]
    if rows and fill_with is not None:
        rows[-1] += [fill_with] * (size - len(rows[-1]))
    return rows
