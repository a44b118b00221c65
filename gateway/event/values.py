"""JSON values as conditions compare them. Total on every value, and on MISSING."""

import re
from collections.abc import Hashable
from datetime import UTC, datetime
from math import isfinite
from typing import Final

#: A plain value written in routes.yaml.
Value = str | int | float | bool | None


class _Constant:
    """A key that equals nothing but itself."""


_NULL, _TRUE, _FALSE, _INCOMPARABLE = _Constant(), _Constant(), _Constant(), _Constant()


def json_key(value: object) -> Hashable:
    """A key that two values share only if they are equal in JSON: 1 is 1.0, but 13 is not "13" and true is not 1.

    Lists, objects and missing fields share one key, which no plain value has.
    """
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, str | int | float):
        return value
    return _NULL if value is None else _INCOMPARABLE


def number(value: object) -> int | float | None:
    """The value if it is a number; None for everything else, booleans included."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_NUMBER: Final = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
#: Characters of a text that may be a number.
_LONGEST_NUMBER: Final = 100


def as_number(value: object) -> object:
    """A text such as ``"398.00"`` as the number that it shows; every other value unchanged."""
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return value
    try:
        return int(value)
    except ValueError:
        read = float(value)
        return read if isfinite(read) else value


_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def moment(value: object) -> float | None:
    """An ISO 8601 date or time as seconds since the epoch, in UTC unless it has an offset; None for everything else."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def as_json(value: Value) -> str:
    """A plain value as it is written in JSON, text without its quotes."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
