"""Filters for numbers."""

import re
from collections.abc import Callable

from jinja2.utils import missing

from gateway.render.filters.arguments import trouble_with
from gateway.render.values import Trouble, kind, readable

#: Characters of a text that may be a number.
LONGEST_NUMBER = 4_000


def int_(value: object, default: object = missing) -> object:
    """As a whole number; ``default`` if it is not one, or an error without a default.

    >>> int_("42"), int_("3.9"), int_("many", 0)
    (42, 3, 0)
    """
    return _number(
        value, lambda text: int(text) if re.fullmatch(r"\s*[-+]?\d+\s*", text) else int(float(text)), default
    )


def float_(value: object, default: object = missing) -> object:
    """As a number; ``default`` if it is not one, or an error without a default.

    >>> float_("3.5")
    3.5
    """
    return _number(value, float, default)


def _number(value: object, convert: Callable[[str], object], default: object) -> object:
    try:
        text = str(int(value)) if isinstance(value, bool) else readable(value)
        # The error about a long text would quote all of it.
        return convert(text if len(text) <= LONGEST_NUMBER else "")
    except (ValueError, OverflowError, Trouble):
        if default is missing:
            raise trouble_with(value, "{} is not a number") from None
        return default


def round_(value: object, precision: int = 0) -> object:
    """Rounded to ``precision`` decimals, at most 15; it stays a number, so 12.50 is printed as 12.5: see ``number``.

    >>> round_(2.7), round_(3.14159, 2)
    (3, 3.14)
    """
    if not isinstance(value, int | float):
        raise Trouble(f"round needs a number, and this is {kind(value)}")
    if not 0 <= precision <= 15:
        raise Trouble(f"round to {precision} decimals: write 0 to 15")
    return round(value, precision) if precision else round(value)


def abs_(value: object) -> object:
    """The absolute value.

    >>> abs_(-3)
    3
    """
    if not isinstance(value, int | float):
        raise Trouble(f"abs needs a number, and this is {kind(value)}")
    return abs(value)
