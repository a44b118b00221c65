"""Filters and functions for lists and objects."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from jinja2.utils import Namespace

from gateway.render.filters.arguments import by, elements, fields, short
from gateway.render.sandbox import MAX_OUTPUT, MAX_RANGE
from gateway.render.values import (
    Spend,
    Trouble,
    UndefinedField,
    kind,
    readable,
    weigh,
)


def length(value: object) -> int:
    """The number of characters, elements or fields.

    >>> length([1, 2])
    2
    """
    return len(elements(value))  # type: ignore[arg-type]


def join(value: object, separator: object = "", attribute: object = None) -> str:
    """The elements joined into one text.

    >>> join([1, 2], ", ")
    '1, 2'
    """
    texts = [readable(element, "an element of the list") for element in by(value, attribute)]
    between = short(separator, "the separator of join")
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_OUTPUT:
        raise Trouble(f"join would make more than {MAX_OUTPUT:,} characters")
    return between.join(texts)


def first(value: object) -> object:
    """The first element; missing if the list is empty.

    >>> first(["a", "b"])
    'a'
    """
    return next(iter(elements(value)), UndefinedField(name="the first element of an empty list"))


def last(value: object) -> object:
    """The last element; missing if the list is empty.

    >>> last(["a", "b"])
    'b'
    """
    return next(reversed(elements(value)), UndefinedField(name="the last element of an empty list"))  # type: ignore[call-overload]


def list_(value: object) -> list[object]:
    """A list of the elements, or of the names of an object's fields.

    >>> list_({"id": 451})
    ['id']
    """
    return list(elements(value))


def items(value: object) -> list[tuple[object, object]]:
    """An object's fields as pairs of name and value: ``{% for name, value in attrs | items %}``.

    >>> items({"id": 451})
    [('id', 451)]
    """
    if isinstance(value, Mapping):
        return list(value.items())
    raise Trouble(f"items needs an object, and this is {kind(value)}")


def map_(value: object, *names: object, attribute: object = None) -> list[Any]:
    """One field of each element, ``map("sku")``; of texts and numbers, what a filter makes of each: ``map("upper")``.

    >>> map_([{"sku": "A"}, {"sku": "B"}], "sku"), map_([{"sku": "A"}], attribute="sku")
    (['A', 'B'], ['A'])
    """
    return fields(value, attribute if attribute is not None else names[0] if names else None)


def sort(
    value: object, reverse: bool = False, attribute: object = None, *, spend: Spend = lambda _: None
) -> list[object]:
    """The elements in order, by value or by one of their fields.

    >>> sort([2, 1]), sort([{"n": 2}, {"n": 1}], attribute="n")
    ([1, 2], [{'n': 1}, {'n': 2}])
    """
    found, keys = list(elements(value)), by(value, attribute)
    # Sorting compares each element about log2(n) times, which is faster than looking into it in Python.
    weigh(keys, lambda characters: spend(characters * (1 + len(keys).bit_length() // 4)))
    order: list[Any] = sorted(zip(keys, found, strict=True), key=itemgetter(0), reverse=reverse)
    return [element for _, element in order]


def unique(value: object, attribute: object = None, *, spend: Spend = lambda _: None) -> list[object]:
    """Without duplicate texts and numbers, or without elements of which a field is a duplicate; the first of each stays.

    >>> unique([2, 1, 2]), unique([{"n": 1, "x": "a"}, {"n": 1, "x": "b"}], "n")
    ([2, 1], [{'n': 1, 'x': 'a'}])
    """
    weigh(value, spend)
    if attribute is None:
        return list(dict.fromkeys(elements(value)))
    keys = by(value, attribute)
    missed = next((key for key in keys if isinstance(key, UndefinedField)), None)
    if missed is not None:
        raise missed.trouble()
    first: dict[object, object] = {}
    for key, element in zip(keys, elements(value), strict=True):
        first.setdefault(key, element)
    return list(first.values())


def reverse(value: object) -> object:
    """In reverse order.

    >>> reverse([1, 2]), reverse("ab")
    ([2, 1], 'ba')
    """
    return value[::-1] if isinstance(value, str) else list(elements(value))[::-1]


def sum_(value: object, attribute: object = None) -> object:
    """The sum of numbers, or of one field of each element.

    >>> sum_([1, 2]), sum_([{"n": 1}, {"n": 2}], attribute="n")
    (3, 3)
    """
    numbers = by(value, attribute)
    for number in numbers:
        if not isinstance(number, int | float):
            raise Trouble(f"sum needs numbers, and one element is {kind(number)}")
    return sum(numbers)


def min_(value: object, *, spend: Spend = lambda _: None) -> object:
    """The smallest element; missing if the list is empty.

    >>> min_([2, 1])
    1
    """
    weigh(value, spend)
    return min(elements(value), default=UndefinedField(name="the smallest element of an empty list"))


def max_(value: object, *, spend: Spend = lambda _: None) -> object:
    """The largest element; missing if the list is empty.

    >>> max_([2, 1])
    2
    """
    weigh(value, spend)
    return max(elements(value), default=UndefinedField(name="the largest element of an empty list"))


def namespace(**fields: object) -> Namespace:
    """Fields that a loop can change: ``{% set sums.all = sums.all + 1 %}``.

    >>> namespace(all=0)
    <Namespace {'all': 0}>
    """
    return Namespace(fields)


def range_(*bounds: int) -> range:
    """A range of whole numbers, at most 1,000 of them.

    >>> list(range_(3))
    [0, 1, 2]
    """
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise Trouble(f"range of {len(numbers):,} numbers: {MAX_RANGE:,} are allowed")
    return numbers
