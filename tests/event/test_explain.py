"""Why a rule matches an event, or why not."""

from gateway.event.explain import explain
from gateway.event.match import Rule
from gateway.event.paths import MISSING
from tests.event.given import facts, where


def test_an_explanation_has_the_value_that_each_clause_saw():
    rule = Rule(sources=frozenset({"y"}), patterns=("contact.*",), where=(*where(a=1), *where(b=2)))
    found = explain(rule, facts(a=1))
    assert (found.source, found.type, found.taken) == (False, True, False)
    assert [(each.path[-1], each.held, each.seen) for each in found.findings] == [("a", True, 1), ("b", False, MISSING)]
