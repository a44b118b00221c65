"""Paths into the facts of an event: ``payload.items[0].sku``, ``payload.labels["app.kubernetes.io/name"]``.

A name follows a dot. In brackets are a name in quotes, the position of an element, or ``*`` for every element.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

#: The roots that every source has, in addition to its shortcuts.
ROOTS: Final = frozenset({"event", "payload", "headers", "query", "envelope", "vars"})


#: What rules and templates see of an event, by root.
Facts = Mapping[str, object]


class Missing:
    """The value of a field that is missing. Null is a value of its own."""

    def __repr__(self) -> str:
        return "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


class Each:
    """The segment ``[*]``: every element of a list."""

    def __repr__(self) -> str:
        return "[*]"


EACH: Final = Each()

#: A path to one value, or to one in each element of a list.
Path = tuple[str | Each, ...]


class PathRefused(ValueError):
    """A path cannot be read; the message continues '"payload.a[b]"'."""

    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


_STEP: Final = re.compile(
    r"""\.(?P<name>[^.\[]*)"""
    r"""|\[(?:(?P<at>[0-9]{1,9})|(?P<each>\*)|(?P<quote>["'])(?P<key>(?:[^\\]|\\.)*?)(?P=quote))\](?![^.\[])""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def parse_path(text: str) -> Path:
    """The segments of a path. Raises PathRefused."""
    if "[" not in text:
        return tuple(text.split("."))
    root = re.split(r"[.\[]", text, maxsplit=1)[0]
    found: list[str | Each] = [] if text.startswith("[") else [root]
    end = len(root)
    while end < len(text):
        step = _STEP.match(text, end)
        if step is None:
            raise _refused(text, end)
        name, at, key = step["name"], step["at"], step["key"]
        if step["each"]:
            found.append(EACH)
        elif key is not None:
            found.append(_ESCAPED.sub(r"\1", key))
        else:
            found.append(at or name)
        end = step.end()
    return tuple(found)


def _refused(text: str, at: int) -> PathRefused:
    inside, closing, rest = text[at + 1 :].partition("]")
    if not closing:
        return PathRefused("has a bracket that is not closed", f"write {text[:at]}[0] or {text[:at]}[*]")
    if rest and rest[0] not in ".[":
        return PathRefused("continues after a bracket without a dot", f"write {text[:at]}[{inside}].{rest}")
    if not inside:
        return PathRefused("has empty brackets", f"write {text[:at]}[*] for any element, or {text[:at]}[0] for one")
    name = inside.strip("\"' ")
    whole = text[text.rfind(".", 0, at) + 1 :]
    parent = text[: len(text) - len(whole)].removesuffix(".")
    return PathRefused(
        f"has brackets around {inside}, which is neither a position nor a name in quotes",
        f'write {text[:at]}["{name}"]; or {parent}["{whole}"] if the brackets are part of the name',
    )


def split_path(text: str) -> tuple[str, ...]:
    """The segments of a path to one value: ``payload.items.0.sku``. Raises PathRefused."""
    found = parse_path(text)
    if EACH in found:
        raise PathRefused("may name several values", f"write {text.replace('[*]', '[0]')} for the first")
    return tuple(segment for segment in found if isinstance(segment, str))


def starred_path(text: str) -> tuple[str, ...]:
    """The segments of a path in which ``*`` stands for any of them: ``payload.items.*``. Raises PathRefused."""
    return tuple("*" if isinstance(segment, Each) else segment for segment in parse_path(text))


def as_written(path: Path) -> str:
    """The path as it is written: the inverse of ``parse_path``."""
    return "".join(_segment(segment) for segment in path).removeprefix(".")


def _segment(segment: str | Each) -> str:
    if isinstance(segment, Each):
        return "[*]"
    if segment and not {".", "["} & set(segment):
        return f".{segment}"
    return '["{}"]'.format(re.sub(r'(["\\])', r"\\\1", segment))


def elements(facts: object, path: Path) -> list[object]:
    """The value at ``path`` in every element of the lists that it goes through; MISSING where an element lacks it."""
    if EACH not in path:
        return [lookup(facts, path)]  # type: ignore[arg-type]
    at = path.index(EACH)
    whole = lookup(facts, path[:at])  # type: ignore[arg-type]
    rest = path[at + 1 :]
    return [value for each in (whole if isinstance(whole, list) else ()) for value in elements(each, rest)]


def present(facts: object, path: Path) -> object:
    """What ``path`` finds, for people: the value or MISSING; through a list, those that are there as a list, or MISSING."""
    found = [value for value in elements(facts, path) if value is not MISSING]
    return (found if EACH in path else found[0]) if found else MISSING


def lookup(facts: object, path: Sequence[str]) -> object:
    """The value at ``path``, or MISSING. A number as a segment selects an element of a list."""
    value = facts
    for segment in path:
        # By its type first: checking for an abstract class costs as much as everything else here.
        kind = type(value)
        if kind is dict:
            value = value.get(segment, MISSING)  # type: ignore[attr-defined]  # a dict, which mypy does not conclude
        elif kind is str or kind is int or value is None or value is MISSING:
            return MISSING
        elif isinstance(value, Mapping):
            if segment not in value:
                return MISSING
            value = value[segment]
        elif isinstance(value, list):
            at = position(segment)
            if not 0 <= at < len(value):
                return MISSING
            value = value[at]
        else:
            return MISSING
    return value


def position(segment: str) -> int:
    """The position of the element that a segment selects in a list; -1 if it selects none in any list."""
    return int(segment) if len(segment) < 10 and segment.isascii() and segment.isdigit() else -1


def assign(payload: object, path: Sequence[str], value: object) -> None:
    """Set the field at ``path`` of a decoded payload; on the way, maps are created where there is nothing or null.

    Raises ValueError where it cannot.
    """
    place = payload
    for segment in path[:-1]:
        if isinstance(place, dict) and place.get(segment) is None:
            place[segment] = {}
        place = lookup(place, [segment])
    last = path[-1]
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and lookup(place, [last]) is not MISSING:
        place[int(last)] = value
    else:
        raise ValueError(f"there is no {as_written(tuple(path))} to set")


def unassign(payload: object, path: Sequence[str]) -> None:
    """Remove the field or list element at ``path`` of a decoded payload. Raises ValueError if it is missing."""
    place, last = lookup(payload, path[:-1]), path[-1]
    if lookup(place, [last]) is MISSING:
        raise ValueError(f"there is no {as_written(tuple(path))} to unset")
    if isinstance(place, list):
        del place[int(last)]
    else:
        assert isinstance(place, dict)
        del place[last]
