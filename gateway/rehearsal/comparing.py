"""Compares JSON as tests do, and shows differences."""

import difflib
import json
from collections.abc import Iterator, Sequence

from gateway.event.paths import MISSING


def same(expected: object, value: object) -> bool:
    """Equality as in JSON: 13 is not "13" and true is not 1, but 1 is 1.0."""
    if isinstance(expected, dict) and isinstance(value, dict):
        return expected.keys() == value.keys() and all(same(expected[name], value[name]) for name in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(same, expected, value))
    return isinstance(expected, bool) == isinstance(value, bool) and expected == value


def lacking(expected: object, value: object, path: str) -> Iterator[str]:
    """What ``value`` lacks of what is expected; a map may have more fields, a list more elements."""
    where = path or "the body"
    if value is MISSING:
        yield f"{where} is missing, expected {short(expected)}" if path else "the body is not JSON"
    elif isinstance(expected, dict) and isinstance(value, dict):
        for name, each in expected.items():
            yield from lacking(each, value.get(name, MISSING), f"{path}.{name}" if path else str(name))
    elif isinstance(expected, list) and isinstance(value, list):
        yield from _lacking_elements(expected, value, where)
    elif not same(expected, value):
        yield f"{where} is {short(value)}, expected {short(expected)}"


def _lacking_elements(expected: Sequence[object], value: Sequence[object], where: str) -> Iterator[str]:
    """Pair as many expected elements with distinct actual ones as possible (Kuhn's augmenting paths)."""
    fitting = [[at for at, one in enumerate(value) if not any(lacking(each, one, where))] for each in expected]
    pairs: dict[int, int] = {}
    for number, each in enumerate(expected):
        if not fitting[number]:
            yield f"{where} has no element {short(each)}"
        elif not _paired(number, fitting, pairs, set()):
            yield f"{where} has too few elements {short(each)}: each expected element needs its own"


def _paired(number: int, fitting: Sequence[Sequence[int]], pairs: dict[int, int], tried: set[int]) -> bool:
    """Find an element for the expected element ``number``; earlier pairs move to other elements if they can."""
    for at in fitting[number]:
        if at not in tried:
            tried.add(at)
            if at not in pairs or _paired(pairs[at], fitting, pairs, tried):
                pairs[at] = number
                return True
    return False


def short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."


def lines(value: object) -> Sequence[str]:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).split("\n")


def difference(expected: Sequence[str], sent: Sequence[str]) -> Iterator[str]:
    return difflib.unified_diff(expected, sent, "expected", "sent", lineterm="")
