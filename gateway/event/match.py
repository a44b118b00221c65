"""Which rules match an event, in their order. Pure, and total on every payload.

Two indexes keep the cost of an event independent of the number of rules: a trie over the patterns of event types, and,
for rules that share a pattern, one equality of each ``where``, found by the value of its field. Everything else is a
predicate, compiled together with the rules.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import TypeVar

from msgspec import Struct

from gateway.errors import RenderError
from gateway.event.conditions import Clause, Combined, Condition, Predicate, Seen, predicate
from gateway.event.paths import EACH, Facts, Path, lookup
from gateway.event.patterns import TYPES_KEPT, Trie
from gateway.event.values import json_key

_T = TypeVar("_T")


class Expression(Struct, frozen=True, kw_only=True):
    """The ``if`` of an entry. If it fails, the rule matches: the delivery then says why it is dead."""

    text: str
    #: Raises RenderError and nothing else.
    evaluate: Callable[[Facts], bool]


class Rule(Struct, frozen=True, kw_only=True):
    """Which events an entry of routes.yaml matches: every part of the rule must hold."""

    #: Names of sources; None: every source.
    sources: frozenset[str] | None = None
    #: Patterns of event types, at least one of which must match; None: every type.
    patterns: tuple[str, ...] | None = None
    #: All of them must hold.
    where: tuple[Condition, ...] = ()
    expression: Expression | None = None
    #: If it matches, no later rule is considered.
    stops: bool = False


class Matcher:
    """Compiled rules. The cost of an event grows with the fields that rules look at, not with the number of rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._stops = frozenset(position for position, rule in enumerate(rules) if rule.stops)
        groups = {reach: _Group(members) for reach, members in _by_reach(rules).items()}
        trie = Trie({pattern for pattern, _ in groups})
        #: By source and type of an event.
        self._groups_of = lru_cache(maxsize=TYPES_KEPT)(partial(_groups_of, trie, groups))

    def match(self, facts: Facts) -> Sequence[int]:
        """The positions of the rules that match, in ascending order, up to and including the first that stops."""
        source, event_type = lookup(facts, ("event", "source")), lookup(facts, ("event", "type"))
        if not isinstance(source, str) or not isinstance(event_type, str):
            return ()
        groups = self._groups_of(source, event_type)
        if not groups:
            return ()
        seen = Seen(facts)
        matching = sorted({position for group in groups for position in group.match(seen)})
        return self._until_stop(matching) if self._stops else matching

    def _until_stop(self, matching: Sequence[int]) -> Sequence[int]:
        for count, position in enumerate(matching, start=1):
            if position in self._stops:
                return matching[:count]
        return matching


#: The pattern and the source (None: any) under which a rule is found.
_Reach = tuple[str, str | None]


def _by_reach(rules: Sequence[Rule]) -> Mapping[_Reach, Mapping[int, Rule]]:
    members: dict[_Reach, dict[int, Rule]] = {}
    for position, rule in enumerate(rules):
        for reach in product(_or_all(rule.patterns, "**"), _or_all(rule.sources, None)):
            members.setdefault(reach, {})[position] = rule
    return members


def _or_all(asked: Collection[str] | None, everything: _T) -> Collection[str | _T]:
    return (everything,) if asked is None else asked


class _Candidate(Struct, frozen=True):
    position: int
    #: The conditions that the index has not decided.
    holds: Predicate


class _Group:
    """Rules with the same source and pattern, both of which the event already matches."""

    def __init__(self, rules: Mapping[int, Rule]) -> None:
        where = {position: tuple(_flat(rule.where)) for position, rule in rules.items()}
        shares = Counter(
            (each.path, key)
            for conditions in where.values()
            for each in conditions
            if isinstance(each, Clause)
            for key in _keys(each)
        )
        self._index: dict[Path, dict[Hashable, list[_Candidate]]] = {}
        #: The same for paths through lists, any element of which may be the value.
        self._lists: dict[Path, dict[Hashable, list[_Candidate]]] = {}
        #: Rules without an equality.
        self._rest: list[_Candidate] = []
        for position, rule in rules.items():
            self._add(position, rule, where[position], shares)

    def _add(
        self,
        position: int,
        rule: Rule,
        conditions: Sequence[Condition],
        shares: Mapping[tuple[Path, Hashable], int],
    ) -> None:
        equalities = [each for each in conditions if isinstance(each, Clause)]
        chosen = min(equalities, key=lambda each: _crowd(each, shares), default=None)
        others = [predicate(each) for each in conditions if each is not chosen]
        # An expression costs the most and may fail, so it comes last.
        others += [_evaluated(rule.expression)] if rule.expression else []
        candidate = _Candidate(position, _all_of(others))
        if chosen is None:
            self._rest.append(candidate)
            return
        values = (self._lists if EACH in chosen.path else self._index).setdefault(chosen.path, {})
        for key in _keys(chosen):
            values.setdefault(key, []).append(candidate)

    def match(self, seen: Seen) -> Sequence[int]:
        """The positions of the rules that match, in no particular order."""
        found = [candidate.position for candidate in self._rest if candidate.holds(seen)]
        for path, values in self._index.items():
            reached = values.get(json_key(seen[path]), ())
            found += [candidate.position for candidate in reached if candidate.holds(seen)]
        for path, values in self._lists.items():
            reached = [candidate for key in seen.keys_in(path) & values.keys() for candidate in values[key]]
            found += [candidate.position for candidate in reached if candidate.holds(seen)]
        return found


def _groups_of(trie: Trie, groups: Mapping[_Reach, _Group], source: str, event_type: str) -> Sequence[_Group]:
    """The groups of rules that an event of this source and type may match."""
    reaches = ((pattern, name) for pattern in trie.find(event_type) for name in (source, None))
    return [groups[reach] for reach in reaches if reach in groups]


def _flat(conditions: Iterable[Condition]) -> Iterable[Condition]:
    """The conditions that must all hold, without any ``all`` around them."""
    for condition in conditions:
        if isinstance(condition, Combined) and condition.how == "all":
            yield from _flat(condition.conditions)
        else:
            yield condition


def _keys(clause: Clause) -> frozenset[Hashable]:
    return frozenset(map(json_key, clause.values))


def _crowd(clause: Clause, shares: Mapping[tuple[Path, Hashable], int]) -> int:
    """How many rules the index would find by this equality: the fewer, the better it separates them."""
    return max((shares[clause.path, key] for key in _keys(clause)), default=0)


def _all_of(predicates: Sequence[Predicate]) -> Predicate:
    match predicates:
        case []:
            return lambda _: True
        case [only]:
            return only
    return lambda seen: all(each(seen) for each in predicates)


def _evaluated(expression: Expression) -> Predicate:
    def holds(seen: Seen) -> bool:
        try:
            return expression.evaluate(seen.facts)
        except RenderError:
            return True

    return holds
