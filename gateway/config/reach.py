"""How far a rule reaches: which events it could take, and what another one leaves for it."""

from collections.abc import Sequence

from gateway import presets
from gateway.config.schema.entries import EntryKeys
from gateway.event.conditions import Change, Check, Clause, Condition
from gateway.event.explain import explain
from gateway.event.match import Rule
from gateway.event.operators import OPERATORS
from gateway.event.paths import MISSING, Facts
from gateway.event.patterns import covers


def could_take(rule: Rule, facts: Facts) -> bool:
    """Whether the rule matches the event, or one that differs only in the values of some fields."""
    findings = explain(rule, facts).findings
    return all(
        finding.held or (bool(finding.path) and finding.seen is not MISSING and finding.seen is not None)
        for finding in findings
    )


def end_of_all(rule: Rule, ends: Sequence[tuple[EntryKeys, Rule]]) -> EntryKeys | None:
    """The entry that leaves nothing for a later rule; None if something is left."""
    found = None
    for pattern in rule.patterns or ("**",):
        found = next((keys for keys, end in ends if _ends(end, rule, pattern)), None)
        if found is None:
            return None
    return found


def _ends(end: Rule, rule: Rule, pattern: str) -> bool:
    if end.sources is None:
        sources = rule.sources is None or presets.OWN not in rule.sources
    else:
        sources = rule.sources is not None and rule.sources <= end.sources
    return sources and any(covers(each, pattern) for each in end.patterns or ("**",))


def asks_existence(condition: Condition) -> bool:
    """Whether a condition is ``exists: true``."""
    return isinstance(condition, Check) and condition.operator == "exists" and condition.operands == (True,)


def needs_value(condition: Condition) -> bool:
    """Whether a condition never holds for a field that is not there."""
    if isinstance(condition, Check):
        return not OPERATORS[condition.operator].holds_when_missing
    return isinstance(condition, Clause | Change)
