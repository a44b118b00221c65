"""What check says to write instead of a key: the hint, and the keys that it means."""

from collections.abc import Callable, Collection

from msgspec import Struct

from gateway.config.text.reader import Map, Pair


class Instead(Struct, frozen=True):
    """What to write instead of a key."""

    #: The whole hint.
    hint: str
    #: The keys that it says to write, here or elsewhere.
    keys: tuple[str, ...] = ()
    #: The value of the first of them, as it would be written; empty: the hint does not have it.
    value: str = ""
    #: Other keys of the same map that the hint covers: they are not reported again.
    covered: frozenset[str] = frozenset()
    #: Whether the value is a map that belongs into the one that the key has already.
    is_part: bool = False
    #: Names of fields that it has below ``attrs``, although only samples can say where they are.
    guessed: tuple[str, ...] = ()


def write(key: str, value: str = "", more: str = "") -> Instead:
    """``write key: value``, followed by ``more``."""
    return Instead(f"write {key}{': ' if value else ''}{value}{more}", (key,), value)


def write_part(key: str, value: str, covered: Collection[str] = (), more: str = "") -> Instead:
    """``write key: {...}`` and ``more``, or what to add to the map that the key has already; ``covered``: as of Instead."""
    return Instead(f"write {key}: {value}{more}", (key,), value, frozenset(covered), is_part=True)


Remedy = str | Instead | Callable[[Pair, Map], Instead | None]
