"""Dotted paths into the facts of an event."""

from collections.abc import Mapping, Sequence
from typing import Final

#: The roots that every source has, in addition to its shortcuts.
ROOTS: Final = frozenset({"event", "payload", "headers", "envelope", "vars"})


#: What rules and templates see of an event, by root.
Facts = Mapping[str, object]


class Missing:
    """The value of a field that is missing. Null is a value of its own."""

    def __repr__(self) -> str:
        return "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


def split_path(path: str) -> tuple[str, ...]:
    """The segments of ``payload.items.0.sku``."""
    return tuple(path.split("."))


def lookup(facts: object, path: Sequence[str]) -> object:
    """The value at ``path``, or MISSING. A number as a segment selects an element of a list."""
    value = facts
    for segment in path:
        # dict first: checking for an abstract class costs as much as everything else here.
        if isinstance(value, (dict, Mapping)):
            if segment not in value:
                return MISSING
            value = value[segment]
        elif isinstance(value, list) and segment.isascii() and segment.isdigit() and len(segment) < 10:
            if int(segment) >= len(value):
                return MISSING
            value = value[int(segment)]
        else:
            return MISSING
    return value


def assign(payload: object, path: Sequence[str], value: object) -> None:
    """Set the field at ``path`` of a decoded payload, creating maps on the way. Raises ValueError where it cannot."""
    place = payload
    for segment in path[:-1]:
        place = place.setdefault(segment, {}) if isinstance(place, dict) else lookup(place, [segment])
    last = path[-1]
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and lookup(place, [last]) is not MISSING:
        place[int(last)] = value
    else:
        raise ValueError(f"there is no {'.'.join(path)} to set")


def unassign(payload: object, path: Sequence[str]) -> None:
    """Remove the field or list element at ``path`` of a decoded payload. Raises ValueError if it is missing."""
    place, last = lookup(payload, path[:-1]), path[-1]
    if lookup(place, [last]) is MISSING:
        raise ValueError(f"there is no {'.'.join(path)} to unset")
    if isinstance(place, list):
        del place[int(last)]
    else:
        assert isinstance(place, dict)
        del place[last]
