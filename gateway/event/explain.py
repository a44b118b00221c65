"""Why a rule matches an event, or why not. For people: the event's own path is ``match``."""

from msgspec import Struct

from gateway.errors import RenderError
from gateway.event import tracks
from gateway.event.conditions import Change, Combined, Condition, Seen, predicate
from gateway.event.match import Expression, Rule
from gateway.event.paths import MISSING, Facts, Path, lookup, present
from gateway.event.patterns import fits


class Finding(Struct, frozen=True, kw_only=True):
    """Whether one condition of a rule holds for one event."""

    #: The condition as written.
    text: str
    held: bool
    #: The field it looks at; empty if it looks at several.
    path: Path = ()
    #: The value of that field, or MISSING; on a path through a list, those in its elements as a list.
    seen: object = MISSING
    #: The path below what is remembered of a record, if both of its values were looked at: ``seen`` is
    #: ``{"before": ..., "now": ...}``.
    below: tuple[str, ...] = ()
    #: Why an expression could not be evaluated; it then counts as held.
    error: str = ""
    #: The conditions inside any, all and not.
    inner: tuple["Finding", ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a rule matches an event, or why not."""

    #: Whether the event comes from one of its sources.
    source: bool
    #: Whether one of its patterns matches the event's type.
    type: bool
    #: One for each line of its ``where``, then one for its ``if``.
    findings: tuple[Finding, ...]

    @property
    def taken(self) -> bool:
        """Whether every part of the rule holds."""
        return self.source and self.type and all(finding.held for finding in self.findings)


def explain(rule: Rule, facts: Facts) -> Explanation:
    """Why ``rule`` matches an event, or why not."""
    source, event_type = lookup(facts, ("event", "source")), lookup(facts, ("event", "type"))
    seen = Seen(facts)
    findings = [_finding(condition, seen) for condition in rule.where]
    return Explanation(
        source=isinstance(source, str) and (rule.sources is None or source in rule.sources),
        type=isinstance(event_type, str)
        and (rule.patterns is None or any(fits(pattern, event_type) for pattern in rule.patterns)),
        findings=tuple(findings + ([_evaluated(rule.expression, facts)] if rule.expression else [])),
    )


def _finding(condition: Condition, seen: Seen) -> Finding:
    held = predicate(condition)(seen)
    if isinstance(condition, Combined):
        inner = tuple(_finding(each, seen) for each in condition.conditions)
        return Finding(text=condition.text, held=held, inner=inner)
    if isinstance(condition, Change):
        return _changed(condition, seen, held=held)
    return Finding(text=condition.text, held=held, path=condition.path, seen=present(seen.facts, condition.path))


def _changed(change: Change, seen: Seen, *, held: bool) -> Finding:
    """With both values as far as they are known; MISSING: it was not known before."""
    before, now = seen[tracks.BEFORE, *change.below], seen[tracks.RECORD, *change.below]
    known = {"before": before, "now": None if now is MISSING else now}
    return Finding(
        text=change.text,
        held=held,
        path=change.path,
        seen=MISSING if before is MISSING else known,
        below=change.below,
    )


def _evaluated(expression: Expression, facts: Facts) -> Finding:
    try:
        return Finding(text=expression.text, held=expression.evaluate(facts))
    except RenderError as error:
        return Finding(text=expression.text, held=True, error=str(error))
