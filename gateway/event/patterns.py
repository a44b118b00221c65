"""Patterns of event types. Case-sensitive, and the same wherever types are matched: routes, searches, selections.

A type has segments, parted by ``.``, ``/`` or ``:`` as its sender writes them: ``contact.created``, ``orders/create``,
``jira:issue_updated``. In a pattern a separator is literal. ``*`` is one segment, or the rest of one (``issue_*``);
``**`` is any number of whole segments, whatever parts them.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

#: Event types and patterns to remember: senders can invent types without end.
TYPES_KEPT: Final = 4096
#: What parts the segments of a type.
SEPARATORS: Final = "./:"

_SEPARATOR: Final = re.compile(f"([{SEPARATORS}])")
#: Any number of segments at the end of a pattern, none included.
_TAIL: Final = re.compile(rf"(?:[{SEPARATORS}]\*\*)+\Z")


def segments(text: str) -> Sequence[tuple[str, str]]:
    """The segments of a type or a pattern, each with the separator after it; that of the last one is empty."""
    parts = _SEPARATOR.split(text)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


@lru_cache(maxsize=TYPES_KEPT)
def resource_and_action(event_type: str) -> tuple[str, str]:
    """A type, parted at its last separator: ``contact`` and ``created``. One without any has no action."""
    at = max(map(event_type.rfind, SEPARATORS))
    return (event_type, "") if at <= 0 else (event_type[:at], event_type[at + 1 :])


@lru_cache(maxsize=TYPES_KEPT)
def fits(pattern: str, event_type: str) -> bool:
    """Whether an event type matches a pattern."""
    return bool(_trie_of(pattern).find(event_type))


def glob(pattern: str) -> Callable[[object], bool]:
    """A test of texts, in which every ``*`` of the pattern stands for any characters; in time linear in both."""
    first, *others = pattern.split("*")
    if not others:
        return lambda value: value == pattern
    *middle, last = others

    def test(value: object) -> bool:
        if not isinstance(value, str) or not value.startswith(first):
            return False
        at = len(first)
        for piece in middle:
            at = value.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(value) - at >= len(last) and value.endswith(last)

    return test


def widened(pattern: str) -> str:
    """The pattern with any number of segments wherever it has one."""
    return "".join(("**" if text == "*" else text) + separator for text, separator in segments(pattern))


def covers(pattern: str, other: str) -> bool:
    """Whether ``pattern`` matches every type that ``other`` matches."""
    return pattern in ("**", other) or all(fits(pattern, each) for each in _examples(other, len(pattern)))


#: A segment that no pattern names, so that only a star matches it.
_UNNAMED: Final = "\0"


def _examples(pattern: str, most: int) -> Iterable[str]:
    """Types that match a pattern, with an unnamed segment for each ``*``, and 0, 1 and more than ``most`` for ``**``."""
    if "**" not in pattern:
        yield pattern.replace("*", _UNNAMED)
        return
    yield _without_rests(pattern).replace("*", _UNNAMED)
    yield pattern.replace("**", _UNNAMED).replace("*", _UNNAMED)
    for inner in (*SEPARATORS, SEPARATORS):
        many = (inner * (most + 1))[: most + 1]
        yield pattern.replace("**", _UNNAMED + "".join(each + _UNNAMED for each in many)).replace("*", _UNNAMED)


def _without_rests(pattern: str) -> str:
    """The pattern with nothing for each ``**``."""
    kept = [each for each in segments(_TAIL.sub("", pattern)) if each[0] != "**"]
    return "".join(text + separator for text, separator in kept)


@lru_cache(maxsize=TYPES_KEPT)
def _trie_of(pattern: str) -> "Trie":
    return Trie([pattern])


class _Node(Struct, eq=False):
    """A node of the trie, reached by the segments read so far."""

    #: By segment and its separator: ``contact.``; ``*.`` matches any one segment with that separator.
    children: dict[str, "_Node"] = field(default_factory=dict)
    #: By a segment of which a star is a part: what the rest of it must be, and the separator.
    parts: dict[str, tuple[Callable[[object], bool], str, "_Node"]] = field(default_factory=dict)
    #: By separator, the node after a ``**``: reached without reading a segment, and by any number of them of which the
    #: last has this separator. The empty one ends the type.
    rests: dict[str, "_Node"] = field(default_factory=dict)
    #: The patterns that end here: ``a`` and ``a.**``, for instance.
    patterns: list[str] = field(default_factory=list)


class Trie:
    """Patterns by their segments, so that a type is compared with all of them at once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Node()
        for pattern in patterns:
            # A tail may match nothing at all, and then there is no separator either.
            for each in {pattern, _TAIL.sub("", pattern)}:
                node = self._root
                for segment, separator in segments(each):
                    node = _descend(node, segment, separator)
                node.patterns.append(pattern)

    def find(self, event_type: str) -> frozenset[str]:
        """The patterns that match this type."""
        nodes = [self._root]
        #: Where a ``**`` has begun.
        looping: list[_Node] = []
        for segment, separator in segments(event_type):
            nodes = _with_rests(nodes)
            looping += [node for node in nodes if node.rests and node not in looping]
            nodes = _read(nodes, looping, segment, separator)
        return frozenset(pattern for node in nodes for pattern in node.patterns)


def _descend(node: _Node, segment: str, separator: str) -> _Node:
    if segment == "**":
        return node.rests.setdefault(separator, _Node())
    if "*" in segment and segment != "*":
        return node.parts.setdefault(segment + separator, (glob(segment), separator, _Node()))[2]
    return node.children.setdefault(segment + separator, _Node())


def _read(nodes: Sequence[_Node], looping: Sequence[_Node], segment: str, separator: str) -> list[_Node]:
    """The nodes reached by one more segment."""
    named, star = segment + separator, f"*{separator}"
    found = [node.children[name] for node in nodes for name in (named, star) if name in node.children]
    for node in nodes:
        if node.parts:
            found += [after for test, ending, after in node.parts.values() if ending == separator and test(segment)]
    return found + [node.rests[separator] for node in looping if separator in node.rests]


def _with_rests(nodes: list[_Node]) -> list[_Node]:
    """The nodes, and those reached from them by a ``**`` of no segment."""
    found = dict.fromkeys(nodes)
    rest = [node for node in found if node.rests]
    while rest:
        more = [after for separator, after in rest.pop().rests.items() if separator and after not in found]
        found.update(dict.fromkeys(more))
        rest += [node for node in more if node.rests]
    return list(found)
