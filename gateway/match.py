"""Which rules an event meets, in their order. Pure and total on every payload.

Two indexes keep the work of one event apart from the number of rules: a trie over the patterns of event
types, and for the rules that share a pattern one ``where`` clause of each, found by the value of its field.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Final, TypeVar

from gateway.facts import Facts, lookup

Value = str | int | float | bool | None

_T = TypeVar("_T")

#: How many event types keep the patterns that they meet: types are a sender's to invent.
_TYPES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One line of ``where``: the field at ``path`` equals one of ``values``, typed as in JSON.

    13 is not "13" and true is not 1, but 1 is 1.0. A missing field equals nothing; null equals only null.
    """

    path: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an entry of routes.yaml asks of an event: every part of it must hold."""

    #: Names of sources; None: every source.
    sources: frozenset[str] | None = None
    #: Patterns of event types, one of which must fit; None: every type.
    patterns: tuple[str, ...] | None = None
    where: tuple[Clause, ...] = ()
    #: Once it holds, no later rule is looked at.
    stops: bool = False


def fits(pattern: str, event_type: str) -> bool:
    """Whether a type meets a pattern: ``*`` is one segment, ``**`` any number of them; case-sensitive."""
    return bool(_trie_of(pattern).find(event_type))


@lru_cache(maxsize=_TYPES_KEPT)
def _trie_of(pattern: str) -> "_Trie":
    return _Trie([pattern])


class Matcher:
    """Rules, compiled. The cost of an event grows with the fields that rules look at, not with the rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._stops = frozenset(position for position, rule in enumerate(rules) if rule.stops)
        self._groups = {reach: _Group(members) for reach, members in _by_reach(rules).items()}
        self._fitting = lru_cache(maxsize=_TYPES_KEPT)(_Trie({pattern for pattern, _ in self._groups}).find)

    def match(self, facts: Facts) -> Sequence[int]:
        """The positions of the rules that hold, ascending, up to and including the first that stops."""
        source, event_type = lookup(facts, ("event", "source")), lookup(facts, ("event", "type"))
        if not isinstance(source, str) or not isinstance(event_type, str):
            return ()
        reaches = ((pattern, name) for pattern in self._fitting(event_type) for name in (source, None))
        groups = (self._groups[reach] for reach in reaches if reach in self._groups)
        held = sorted({position for group in groups for position in group.match(facts)})
        return self._until_stop(held)

    def _until_stop(self, held: Sequence[int]) -> Sequence[int]:
        for count, position in enumerate(held, start=1):
            if position in self._stops:
                return held[:count]
        return held


#: The pattern and the source (None: any) by which a rule is reached.
_Reach = tuple[str, str | None]


def _by_reach(rules: Sequence[Rule]) -> Mapping[_Reach, Mapping[int, Sequence[Clause]]]:
    members: dict[_Reach, dict[int, Sequence[Clause]]] = {}
    for position, rule in enumerate(rules):
        for reach in product(_or_all(rule.patterns, "**"), _or_all(rule.sources, None)):
            members.setdefault(reach, {})[position] = rule.where
    return members


def _or_all(asked: Collection[str] | None, everything: _T) -> Collection[str | _T]:
    return (everything,) if asked is None else asked


# --- patterns of event types ---


@dataclass(slots=True, eq=False)
class _Node:
    """A place in the trie, reached by the segments read so far."""

    #: By segment; ``*`` takes any one segment.
    children: dict[str, "_Node"] = field(default_factory=dict)
    #: Behind a ``**``: reached without reading anything, and kept whatever is read.
    rest: "_Node | None" = None
    is_rest: bool = False
    #: The pattern that ends here.
    pattern: str | None = None


class _Trie:
    """Patterns by their segments, so that a type is compared with all of them at once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Node()
        for pattern in patterns:
            node = self._root
            for segment in pattern.split("."):
                node = _descend(node, segment)
            node.pattern = pattern

    def find(self, event_type: str) -> frozenset[str]:
        """The patterns that this type meets."""
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


# --- where ---


class _Constant:
    """A JSON constant as a key of an index, equal to nothing but itself."""


_NULL, _TRUE, _FALSE, _INCOMPARABLE = _Constant(), _Constant(), _Constant(), _Constant()


def _key(value: object) -> Hashable:
    """What equals this value in JSON's sense has the same key; lists, maps and missing fields have none to meet."""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, str | int | float):
        return value
    return _NULL if value is None else _INCOMPARABLE


@dataclass(frozen=True, slots=True)
class _Condition:
    path: tuple[str, ...]
    keys: frozenset[Hashable]

    def holds(self, facts: Facts) -> bool:
        return _key(lookup(facts, self.path)) in self.keys


@dataclass(frozen=True, slots=True)
class _Candidate:
    position: int
    #: What the index has not decided.
    others: tuple[_Condition, ...]


class _Group:
    """Rules whose source and pattern an event has met already; their clauses are left."""

    def __init__(self, rules: Mapping[int, Sequence[Clause]]) -> None:
        conditions = {
            position: tuple(_Condition(clause.path, frozenset(map(_key, clause.values))) for clause in where)
            for position, where in rules.items()
        }
        self._free = tuple(position for position, all_of in conditions.items() if not all_of)
        self._index: dict[tuple[str, ...], dict[Hashable, list[_Candidate]]] = {}
        shares = Counter((each.path, key) for all_of in conditions.values() for each in all_of for key in each.keys)
        for position, all_of in conditions.items():
            if all_of:
                self._add(position, all_of, min(all_of, key=lambda each: _crowd(each, shares)))

    def _add(self, position: int, all_of: Sequence[_Condition], chosen: _Condition) -> None:
        candidate = _Candidate(position, tuple(each for each in all_of if each is not chosen))
        values = self._index.setdefault(chosen.path, {})
        for key in chosen.keys:
            values.setdefault(key, []).append(candidate)

    def match(self, facts: Facts) -> Sequence[int]:
        """The positions of those that hold, in no order."""
        found = [
            candidate.position
            for path, values in self._index.items()
            for candidate in values.get(_key(lookup(facts, path)), ())
            if all(condition.holds(facts) for condition in candidate.others)
        ]
        return (*self._free, *found)


def _crowd(condition: _Condition, shares: Mapping[tuple[tuple[str, ...], Hashable], int]) -> int:
    """How many rules would be found with this one: the fewer, the better it tells them apart."""
    return max((shares[condition.path, key] for key in condition.keys), default=0)
