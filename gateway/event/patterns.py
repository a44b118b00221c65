"""Patterns of event types: ``*`` is one segment, ``**`` any number of them. Case-sensitive."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

#: Event types and patterns to remember: senders can invent types without end.
TYPES_KEPT: Final = 4096


def fits(pattern: str, event_type: str) -> bool:
    """Whether an event type matches a pattern."""
    return bool(_trie_of(pattern).find(event_type))


def covers(pattern: str, other: str) -> bool:
    """Whether ``pattern`` matches every type that ``other`` matches."""
    return pattern in ("**", other) or all(fits(pattern, each) for each in _examples(other, len(pattern)))


def _examples(pattern: str, most: int) -> Iterable[str]:
    """Types that match a pattern, with segments that no other pattern names and 0, 1 and ``most`` segments for ``**``."""
    for count in (0, 1, most) if "**" in pattern else (1,):
        parts = (
            _UNNAMED[:1] if part == "*" else count * _UNNAMED if part == "**" else (part,)
            for part in pattern.split(".")
        )
        yield ".".join(part for each in parts for part in each)


_UNNAMED: Final = ("\0",)


@lru_cache(maxsize=TYPES_KEPT)
def _trie_of(pattern: str) -> "Trie":
    return Trie([pattern])


class _Node(Struct, eq=False):
    """A node of the trie, reached by the segments read so far."""

    #: By segment; ``*`` matches any one segment.
    children: dict[str, "_Node"] = field(default_factory=dict)
    #: The node after a ``**``: reached without reading a segment, and kept whatever is read.
    rest: "_Node | None" = None
    is_rest: bool = False
    #: The pattern that ends here.
    pattern: str | None = None


class Trie:
    """Patterns by their segments, so that a type is compared with all of them at once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Node()
        for pattern in patterns:
            node = self._root
            for segment in pattern.split("."):
                node = _descend(node, segment)
            node.pattern = pattern

    def find(self, event_type: str) -> frozenset[str]:
        """The patterns that match this type."""
        nodes = _with_rests([self._root])
        for segment in event_type.split("."):
            nodes = _with_rests(_read(nodes, segment))
        return frozenset(node.pattern for node in nodes if node.pattern is not None)


def _descend(node: _Node, segment: str) -> _Node:
    if segment != "**":
        return node.children.setdefault(segment, _Node())
    if node.rest is None:
        node.rest = _Node(is_rest=True)
    return node.rest


def _read(nodes: Iterable[_Node], segment: str) -> Iterable[_Node]:
    for node in nodes:
        yield from (node.children[name] for name in (segment, "*") if name in node.children)
        if node.is_rest:
            yield node


def _with_rests(nodes: Iterable[_Node]) -> Iterable[_Node]:
    found: dict[_Node, None] = {}
    for start in nodes:
        node: _Node | None = start
        while node is not None and node not in found:
            found[node] = None
            node = node.rest
    return found
