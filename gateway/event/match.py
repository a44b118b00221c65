"""Which rules an event meets, in their order, and why. Pure and total on every payload.

Two indexes keep the work of one event apart from the number of rules: a trie over the patterns of event
types, and for the rules that share a pattern one equality of each ``where``, found by the value of its field.
What no index can find is a predicate, compiled when the rules are.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from operator import ge, gt, le, lt
from typing import Any, Final, Literal, TypeVar

from gateway.errors import RenderError
from gateway.event.paths import MISSING, Facts, lookup

Value = str | int | float | bool | None

_T = TypeVar("_T")

#: How many event types keep the patterns that they meet: types are a sender's to invent.
_TYPES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """The field at ``path`` equals one of ``values``, typed as in JSON.

    13 is not "13" and true is not 1, but 1 is 1.0. A missing field equals nothing; null equals only null.
    """

    path: tuple[str, ...]
    values: tuple[Value, ...]
    #: As it was written; a value from outside shows as its reference.
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The field at ``path`` meets one of OPERATORS with one of ``operands``; ``not`` meets it with none of them."""

    path: tuple[str, ...]
    operator: str
    operands: tuple[Value, ...]
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """``any``: one of the conditions holds; ``all``: every one; ``not``: none."""

    how: Literal["any", "all", "not"]
    conditions: tuple["Condition", ...]
    text: str = ""


Condition = Clause | Check | Combined


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """The ``if`` of an entry. One that fails counts as held: the delivery then says why it is dead."""

    text: str
    #: Raises RenderError, and nothing else.
    evaluate: Callable[[Facts], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an entry of routes.yaml asks of an event: every part of it must hold."""

    #: Names of sources; None: every source.
    sources: frozenset[str] | None = None
    #: Patterns of event types, one of which must fit; None: every type.
    patterns: tuple[str, ...] | None = None
    #: All of them must hold.
    where: tuple[Condition, ...] = ()
    expression: Expression | None = None
    #: Once it holds, no later rule is looked at.
    stops: bool = False


def fits(pattern: str, event_type: str) -> bool:
    """Whether a type meets a pattern: ``*`` is one segment, ``**`` any number of them; case-sensitive."""
    return bool(_trie_of(pattern).find(event_type))


def covers(pattern: str, other: str) -> bool:
    """Whether every type that ``other`` takes meets ``pattern``, too."""
    return pattern in ("**", other) or all(fits(pattern, each) for each in _examples(other, len(pattern)))


def _examples(pattern: str, most: int) -> Iterable[str]:
    """Types that a pattern takes, of parts that no other pattern names: with ``**`` as none, one and ``most`` of them."""
    for count in (0, 1, most) if "**" in pattern else (1,):
        parts = (
            _UNNAMED[:1] if part == "*" else count * _UNNAMED if part == "**" else (part,)
            for part in pattern.split(".")
        )
        yield ".".join(part for each in parts for part in each)


_UNNAMED: Final = ("\0",)


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
        seen = _Seen(facts)
        held = sorted({position for group in groups for position in group.match(seen)})
        return self._until_stop(held)

    def _until_stop(self, held: Sequence[int]) -> Sequence[int]:
        for count, position in enumerate(held, start=1):
            if position in self._stops:
                return held[:count]
        return held


#: The pattern and the source (None: any) by which a rule is reached.
_Reach = tuple[str, str | None]


def _by_reach(rules: Sequence[Rule]) -> Mapping[_Reach, Mapping[int, Rule]]:
    members: dict[_Reach, dict[int, Rule]] = {}
    for position, rule in enumerate(rules):
        for reach in product(_or_all(rule.patterns, "**"), _or_all(rule.sources, None)):
            members.setdefault(reach, {})[position] = rule
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


# --- the operators of where ---


class OperandRefused(ValueError):
    """An operator cannot take this operand; the text says what it takes."""


def _text(operand: Value) -> str:
    if isinstance(operand, str):
        return operand
    raise OperandRefused(f'takes a text: write "{_json(operand)}" in quotes')


def _of_text(operand: Value, test: Callable[[str, str], bool]) -> Callable[[object], bool]:
    text = _text(operand)
    return lambda value: isinstance(value, str) and test(value, text)


def _glob(operand: Value) -> Callable[[object], bool]:
    first, *others = _text(operand).split("*")
    if not others:
        return lambda value: value == operand
    *middle, last = others

    def holds(value: object) -> bool:
        if not isinstance(value, str) or not value.startswith(first):
            return False
        at = len(first)
        for piece in middle:
            at = value.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return len(value) - at >= len(last) and value.endswith(last)

    return holds


@lru_cache(maxsize=_TYPES_KEPT)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise OperandRefused(f"cannot be compiled: {why}") from None


def _regex(operand: Value) -> Callable[[object], bool]:
    search = _compiled(_text(operand)).search

    def holds(value: object) -> bool:
        try:
            return isinstance(value, str) and search(value) is not None
        except UnicodeEncodeError:
            # Half a surrogate pair, which no UTF-8 and no regex has.
            return False

    return holds


def _contains(operand: Value) -> Callable[[object], bool]:
    wanted = _key(operand)

    def holds(value: object) -> bool:
        if isinstance(value, list):
            return any(_key(element) == wanted for element in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value

    return holds


_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def moment(value: object) -> float | None:
    """The seconds since the epoch of an ISO 8601 date or time, UTC unless it says otherwise; None for all else."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _order(compare: Callable[[float, float], bool], operand: Value) -> Callable[[object], bool]:
    read: Callable[[object], int | float | None] = _number if _number(operand) is not None else moment
    bound = read(operand)
    if bound is None:
        raise OperandRefused("takes a number or an ISO time: 5, 2026-04-16, 2026-04-16T12:00:00Z")

    def holds(value: object) -> bool:
        found = read(value)
        return found is not None and compare(found, bound)

    return holds


def _flag(operand: Value, test: Callable[[object], bool]) -> Callable[[object], bool]:
    if not isinstance(operand, bool):
        raise OperandRefused("takes true or false")
    return lambda value: test(value) is operand


def _is_empty(value: object) -> bool:
    return value is MISSING or value is None or value in ("", [], {})


def _differs(operand: Value) -> Callable[[object], bool]:
    key = _key(operand)
    return lambda value: _key(value) != key


#: From an operand to a total test of a value; OperandRefused says what the operand must be.
OPERATORS: Final[Mapping[str, Callable[[Value], Callable[[object], bool]]]] = {
    "contains": _contains,
    "empty": lambda operand: _flag(operand, _is_empty),
    "equals_ignore_case": lambda operand: _of_text(operand, lambda value, text: value.casefold() == text.casefold()),
    "exists": lambda operand: _flag(operand, lambda value: value is not MISSING),
    "glob": _glob,
    "gt": lambda operand: _order(gt, operand),
    "gte": lambda operand: _order(ge, operand),
    "lt": lambda operand: _order(lt, operand),
    "lte": lambda operand: _order(le, operand),
    "not": _differs,
    "prefix": lambda operand: _of_text(operand, str.startswith),
    "regex": _regex,
    "suffix": lambda operand: _of_text(operand, str.endswith),
}
#: Those that can hold though the field is missing.
HOLD_WHEN_MISSING: Final = frozenset({"empty", "exists", "not"})


def _json(value: Value) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else f"{value}"
    )


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


class _Seen(dict[tuple[str, ...], object]):
    """The fields of one event that rules have looked at: thousands of rules ask for few fields."""

    def __init__(self, facts: Any) -> None:
        super().__init__()
        self.facts = facts

    def __missing__(self, path: tuple[str, ...]) -> object:
        value = self[path] = lookup(self.facts, path)
        return value


_Predicate = Callable[[_Seen], bool]


def _predicate(condition: Condition) -> _Predicate:
    """A condition as a total function."""
    match condition:
        case Clause(path=path, values=values):
            keys = frozenset(map(_key, values))
            return lambda seen: _key(seen[path]) in keys
        case Check(path=path):
            holds = _test(condition)
            return lambda seen: holds(seen[path])
    inner = tuple(map(_predicate, condition.conditions))
    if condition.how == "all":
        return lambda seen: all(each(seen) for each in inner)
    wanted = condition.how == "any"
    return lambda seen: any(each(seen) for each in inner) is wanted


def holds(conditions: Sequence[Condition]) -> Callable[[object], bool]:
    """All of the conditions as one total test of any JSON value; their paths begin in it."""
    tests = tuple(map(_predicate, conditions))

    def test(value: object) -> bool:
        seen = _Seen(value)
        return all(each(seen) for each in tests)

    return test


def _test(check: Check) -> Callable[[object], bool]:
    tests = tuple(OPERATORS[check.operator](operand) for operand in check.operands)
    if len(tests) == 1:
        return tests[0]
    combine = all if check.operator == "not" else any
    return lambda value: combine(test(value) for test in tests)


def _met(expression: Expression) -> _Predicate:
    def holds(seen: _Seen) -> bool:
        try:
            return expression.evaluate(seen.facts)
        except RenderError:
            return True

    return holds


def constant(condition: Condition) -> bool | None:
    """Whether a condition holds for every event (true) or for none (false); None: that depends on the event."""
    match condition:
        case Check(operator="exists" | "empty", operands=operands) if {True, False} <= set(operands):
            return True
        case Combined(how=how, conditions=conditions):
            return combined(how, map(constant, conditions))
    return None


def combined(how: Literal["any", "all", "not"], verdicts: Iterable[bool | None]) -> bool | None:
    """What ``constant`` says of conditions together, by what it says of each."""
    found = list(verdicts)
    decisive = how != "all"
    if decisive in found:
        return how == "any"
    return None if None in found else how != "any"


def flat(conditions: Iterable[Condition]) -> Iterable[Condition]:
    """The conditions that must all hold, out of every ``all`` around them."""
    for condition in conditions:
        if isinstance(condition, Combined) and condition.how == "all":
            yield from flat(condition.conditions)
        else:
            yield condition


@dataclass(frozen=True, slots=True)
class _Candidate:
    position: int
    #: What the index has not decided.
    others: tuple[_Predicate, ...]

    def holds(self, seen: _Seen) -> bool:
        return all(other(seen) for other in self.others)


class _Group:
    """Rules whose source and pattern an event has met already; their conditions are left."""

    def __init__(self, rules: Mapping[int, Rule]) -> None:
        where = {position: tuple(flat(rule.where)) for position, rule in rules.items()}
        shares = Counter(
            (each.path, key)
            for all_of in where.values()
            for each in all_of
            if isinstance(each, Clause)
            for key in _keys(each)
        )
        self._index: dict[tuple[str, ...], dict[Hashable, list[_Candidate]]] = {}
        #: Those that no equality finds.
        self._rest: list[_Candidate] = []
        for position, rule in rules.items():
            self._add(position, rule, where[position], shares)

    def _add(
        self,
        position: int,
        rule: Rule,
        all_of: Sequence[Condition],
        shares: Mapping[tuple[tuple[str, ...], Hashable], int],
    ) -> None:
        equalities = [each for each in all_of if isinstance(each, Clause)]
        chosen = min(equalities, key=lambda each: _crowd(each, shares), default=None)
        others = [_predicate(each) for each in all_of if each is not chosen]
        # An expression costs the most and may fail: it is asked last.
        others += [_met(rule.expression)] if rule.expression else []
        candidate = _Candidate(position, tuple(others))
        if chosen is None:
            self._rest.append(candidate)
            return
        values = self._index.setdefault(chosen.path, {})
        for key in _keys(chosen):
            values.setdefault(key, []).append(candidate)

    def match(self, seen: _Seen) -> Sequence[int]:
        """The positions of those that hold, in no order."""
        found = [
            candidate.position
            for path, values in self._index.items()
            for candidate in values.get(_key(seen[path]), ())
            if candidate.holds(seen)
        ]
        return [*found, *(candidate.position for candidate in self._rest if candidate.holds(seen))]


def _keys(clause: Clause) -> frozenset[Hashable]:
    return frozenset(map(_key, clause.values))


def _crowd(clause: Clause, shares: Mapping[tuple[tuple[str, ...], Hashable], int]) -> int:
    """How many rules would be found with this one: the fewer, the better it tells them apart."""
    return max((shares[clause.path, key] for key in _keys(clause)), default=0)


# --- why ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One condition of a rule held against one event."""

    #: As it was written.
    text: str
    held: bool
    #: The field that it looked at; empty for what looks at several.
    path: tuple[str, ...] = ()
    #: The value of that field, or MISSING.
    seen: object = MISSING
    #: Why an expression could not be evaluated; it counts as held then.
    error: str = ""
    #: Of any, all and not.
    inner: tuple["Finding", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a rule takes an event, or does not."""

    #: Whether the event comes from one of its sources.
    source: bool
    #: Whether one of its patterns fits.
    type: bool
    #: Each line of its where, then its if.
    findings: tuple[Finding, ...]

    @property
    def taken(self) -> bool:
        """Whether every part of the rule holds."""
        return self.source and self.type and all(finding.held for finding in self.findings)


def explain(rule: Rule, facts: Facts) -> Explanation:
    """Why ``rule`` does or does not take an event."""
    source, event_type = lookup(facts, ("event", "source")), lookup(facts, ("event", "type"))
    seen = _Seen(facts)
    findings = [_finding(condition, seen) for condition in rule.where]
    return Explanation(
        source=isinstance(source, str) and (rule.sources is None or source in rule.sources),
        type=isinstance(event_type, str)
        and (rule.patterns is None or any(fits(pattern, event_type) for pattern in rule.patterns)),
        findings=tuple(findings + ([_evaluated(rule.expression, facts)] if rule.expression else [])),
    )


def _finding(condition: Condition, seen: _Seen) -> Finding:
    held = _predicate(condition)(seen)
    if isinstance(condition, Combined):
        inner = tuple(_finding(each, seen) for each in condition.conditions)
        return Finding(text=condition.text, held=held, inner=inner)
    return Finding(text=condition.text, held=held, path=condition.path, seen=seen[condition.path])


def _evaluated(expression: Expression, facts: Facts) -> Finding:
    try:
        return Finding(text=expression.text, held=expression.evaluate(facts))
    except RenderError as error:
        return Finding(text=expression.text, held=True, error=str(error))
