"""Rules and events: what fits, in which order, and that the indexes change nothing about it."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.match import Clause, Matcher, Rule, fits


def facts(event_type="contact.created", source="xobito", **attrs):
    return {"event": {"source": source, "type": event_type}, "payload": {}, "headers": {}, "attrs": attrs}


def where(**fields):
    return tuple(
        Clause(path=("attrs", name), values=tuple(values) if isinstance(values, list) else (values,))
        for name, values in fields.items()
    )


@pytest.mark.parametrize(
    ("pattern", "event_type", "fitting"),
    [
        ("contact.created", "contact.created", True),
        ("contact.created", "contact.updated", False),
        ("contact.created", "Contact.created", False),
        ("contact.*", "contact.created", True),
        ("contact.*", "contact", False),
        ("contact.*", "contact.field.created", False),
        ("*.created", "contact.created", True),
        ("*", "contact", True),
        ("*", "contact.created", False),
        ("**", "contact.created", True),
        ("**", "", True),
        ("contact.**", "contact", True),
        ("contact.**", "contact.field.created", True),
        ("**.created", "a.b.created", True),
        ("**.created", "created", True),
        ("a.**.d", "a.b.c.d", True),
        ("a.**.d", "a.b.c", False),
        ("a.**.**.d", "a.d", True),
        ("a.*", "a.**", True),
        ("a.b", "a.*", False),
    ],
)
def test_a_star_is_one_segment_and_two_are_any_number(pattern, event_type, fitting):
    assert fits(pattern, event_type) is fitting


segments = st.sampled_from(["a", "b", "*", "**", ""])
dotted = st.lists(segments, min_size=1, max_size=6).map(".".join)


def as_regex(pattern):
    parts = [{"**": r"(?:\.[^.]*)*", "*": r"\.[^.]*"}.get(part, r"\." + re.escape(part)) for part in pattern.split(".")]
    return re.compile("".join(parts))


@given(dotted, dotted)
def test_a_pattern_means_the_same_as_its_regular_expression(pattern, event_type):
    # "**" swallows whole segments, so every segment is written with the dot in front of it.
    assert fits(pattern, event_type) is bool(as_regex(pattern).fullmatch("." + event_type))


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


values = st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "1", "a", math.nan, 10**30, -0.0])
anything = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
)
paths = st.sampled_from([("attrs", "a"), ("attrs", "b"), ("attrs", "c", "0"), ("payload", "a"), ("event", "type")])
clauses = st.builds(
    Clause, path=paths, values=st.lists(values.filter(lambda v: v == v), min_size=1, max_size=3).map(tuple)
)
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
    for segment in path:
        if isinstance(value, dict) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and segment == "0" and value:
            value = value[0]
        else:
            return object()
    return value


def holds(rule, given_facts):
    event = given_facts["event"]
    return (
        (rule.sources is None or event["source"] in rule.sources)
        and (rule.patterns is None or any(fits(pattern, event["type"]) for pattern in rule.patterns))
        and all(any(same(value, dig(given_facts, each.path)) for value in each.values) for each in rule.where)
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
        if holds(rule, given_facts):
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
