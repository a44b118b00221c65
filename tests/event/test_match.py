"""Which rules match an event, in which order, and that the indexes change nothing about it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Place, RenderError
from gateway.event.conditions import Check, Clause, Combined
from gateway.event.explain import explain
from gateway.event.match import Expression, Matcher, Rule
from gateway.event.operators import OPERATORS
from gateway.event.paths import EACH, MISSING
from gateway.event.patterns import fits
from gateway.event.values import as_number
from tests.event.given import anything, clauses, conditions, dotted, facts, where


@pytest.mark.parametrize(
    ("written", "found", "equal"),
    [
        (13, 13, True),
        (13, "13", False),
        ("13", 13, False),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, 0, False),
        (False, None, False),
        (None, None, True),
        (None, "", False),
        ("a", ["a"], False),
        ("a", {"a": 1}, False),
        (10**400, 10**400, True),
        (1, math.nan, False),
    ],
)
def test_equality_is_that_of_json(written, found, equal):
    assert bool(Matcher([Rule(where=where(field=written))]).match(facts(field=found))) is equal


def test_a_missing_field_equals_nothing_not_even_null():
    assert not Matcher([Rule(where=where(field=None))]).match(facts())


def test_every_clause_must_hold_and_a_list_means_any_of_them():
    matcher = Matcher([Rule(where=where(type=["lead", "customer"], tenant=13))])
    assert matcher.match(facts(type="lead", tenant=13)) == [0]
    assert not matcher.match(facts(type="lead", tenant=14))
    assert not matcher.match(facts(type="partner", tenant=13))


def test_a_rule_for_a_source_takes_no_other():
    matcher = Matcher([Rule(sources=frozenset({"a", "b"})), Rule()])
    assert matcher.match(facts(source="b")) == [0, 1]
    assert matcher.match(facts(source="c")) == [1]


def test_rules_hold_in_their_order_whatever_finds_them():
    rules = [
        Rule(where=where(a=1)),
        Rule(patterns=("**",)),
        Rule(patterns=("contact.created",)),
        Rule(where=where(a=[1, 2])),
    ]
    assert Matcher(rules).match(facts(a=1)) == [0, 1, 2, 3]


def test_nothing_behind_a_rule_that_stops_is_looked_at():
    rules = [Rule(where=where(a=1)), Rule(where=where(b=1), stops=True), Rule()]
    assert Matcher(rules).match(facts(a=1, b=1)) == [0, 1]
    assert Matcher(rules).match(facts(a=1)) == [0, 2]


def test_a_rule_that_two_patterns_reach_holds_once():
    assert Matcher([Rule(patterns=("contact.*", "contact.created", "**"))]).match(facts()) == [0]


def test_without_rules_nothing_holds():
    assert not Matcher([]).match(facts())


rules = st.builds(
    Rule,
    sources=st.none() | st.frozensets(st.sampled_from(["x", "y"]), max_size=2),
    patterns=st.none() | st.lists(dotted, max_size=3).map(tuple),
    where=st.lists(clauses, max_size=3).map(tuple),
    stops=st.booleans(),
)


def same(left, right):
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    return isinstance(right, str | int | float) and left == right


def dig(value, path):
    """The values at a path: one, or one for each element of a list."""
    if EACH in path:
        at = path.index(EACH)
        [whole] = dig(value, path[:at])
        return [found for each in (whole if isinstance(whole, list) else ()) for found in dig(each, path[at + 1 :])]
    for segment in path:
        if isinstance(value, dict) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and segment == "0" and value:
            value = value[0]
        else:
            return [MISSING]
    return [value]


def matches(rule, given_facts):
    event = given_facts["event"]
    return (
        (rule.sources is None or event["source"] in rule.sources)
        and (rule.patterns is None or any(fits(pattern, event["type"]) for pattern in rule.patterns))
        and all(meets(each, given_facts) for each in rule.where)
    )


@given(
    st.lists(rules, max_size=8),
    dotted,
    st.sampled_from(["x", "y", "z"]),
    st.dictionaries(st.sampled_from("abc"), anything),
    anything,
)
def test_the_index_finds_what_asking_every_rule_finds(all_rules, event_type, source, attrs, payload):
    given_facts = {"event": {"source": source, "type": event_type}, "payload": payload, "attrs": attrs}
    expected = []
    for position, rule in enumerate(all_rules):
        if matches(rule, given_facts):
            expected.append(position)
            if rule.stops:
                break
    assert list(Matcher(all_rules).match(given_facts)) == expected


@given(anything)
def test_matching_is_total(found):
    matcher = Matcher([Rule(where=where(a=1)), Rule(patterns=("a.*",))])
    matcher.match({"attrs": found})
    matcher.match({"event": found, "attrs": found})
    matcher.match({"event": {"source": found, "type": found}})


class CountingFacts(dict):
    """Facts that count how often a rule looks at them."""

    def __init__(self, *args):
        super().__init__(*args)
        self.looks = 0

    def __getitem__(self, key):
        self.looks += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("count", [10, 2000], ids=["few rules", "many rules"])
def test_an_event_costs_the_same_among_few_and_many_rules(count):
    tenants = [Rule(patterns=("contact.created",), where=where(tenant=n)) for n in range(count)]
    others = [Rule(patterns=(f"type{n}.*",)) for n in range(count)]
    counting = CountingFacts(facts(tenant=7))
    assert Matcher([*tenants, *others]).match(counting) == [7]
    assert counting.looks == 3  # the source, the type, the tenant


def meets(condition, given_facts):
    match condition:
        case Clause(path=path, values=values):
            return any(same(value, found) for value in values for found in dig(given_facts, path))
        case Check(path=path, operator=operator, operands=operands, number=number):
            found = [as_number(each) if number else each for each in dig(given_facts, path)]
            test = OPERATORS[operator].test(operands)
            return all(map(test, found)) if test(MISSING) else any(map(test, found))
        case Combined(how=how, conditions=inner):
            held = [meets(each, given_facts) for each in inner]
            return {"any": any, "all": all, "not": lambda each: not any(each)}[how](held)


@given(
    st.lists(st.lists(conditions, max_size=3), max_size=6), st.dictionaries(st.sampled_from("abc"), anything), anything
)
def test_the_index_finds_what_evaluating_every_condition_finds(wheres, attrs, payload):
    given_facts = {"event": {"source": "x", "type": "a.b"}, "payload": payload, "attrs": attrs}
    all_rules = [Rule(where=tuple(each)) for each in wheres]
    expected = [at for at, each in enumerate(wheres) if all(meets(one, given_facts) for one in each)]
    assert list(Matcher(all_rules).match(given_facts)) == expected
    assert [at for at, rule in enumerate(all_rules) if explain(rule, given_facts).taken] == expected


@given(conditions, anything)
def test_every_condition_is_total(condition, found):
    for given_facts in ({"attrs": found}, {"event": {"source": "x", "type": "a"}, "attrs": found, "payload": found}):
        Matcher([Rule(where=(condition,))]).match(given_facts)
        explain(Rule(where=(condition,)), given_facts)


def failing(given_facts):
    raise RenderError(Place("routes.yaml", 41), "cannot compare null with a number")


def test_an_expression_is_asked_last_and_one_that_fails_counts_as_held():
    asked = []
    counting = Expression(text="x", evaluate=lambda given_facts: asked.append(1) or True)
    assert not Matcher([Rule(where=where(a=1), expression=counting)]).match(facts(a=2))
    assert asked == []
    failed = Rule(expression=Expression(text="attrs.x > 5", evaluate=failing))
    assert Matcher([failed]).match(facts()) == [0]
    [finding] = explain(failed, facts()).findings
    assert (finding.held, finding.error) == (True, "routes.yaml:41: cannot compare null with a number")
