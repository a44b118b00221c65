"""Rules and events: what fits, in which order, and that the indexes change nothing about it."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Place, RenderError
from gateway.event.match import (
    HOLD_WHEN_MISSING,
    OPERATORS,
    Check,
    Clause,
    Combined,
    Expression,
    Matcher,
    Rule,
    covers,
    explain,
    fits,
)
from gateway.event.paths import MISSING, lookup


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


# --- operators ---


def check(operator, *operands):
    return (Check(path=("attrs", "f"), operator=operator, operands=operands),)


@pytest.mark.parametrize(
    ("operator", "operands", "found", "holding"),
    [
        ("exists", [True], None, True),
        ("exists", [False], None, False),
        ("empty", [True], [], True),
        ("empty", [True], 0, False),
        ("empty", [False], "a", True),
        ("not", ["a", "b"], "c", True),
        ("not", ["a", "b"], "b", False),
        ("not", [13], "13", True),
        ("not", [None], None, False),
        ("glob", ["Order-*"], "Order-7", True),
        ("glob", ["*a*b"], "xxaxxb", True),
        ("glob", ["a*a"], "a", False),
        ("glob", ["a"], "a", True),
        ("glob", ["a"], "ab", False),
        ("prefix", ["+1", "+49"], "+4930", True),
        ("suffix", ["@a.b"], "x@a.b", True),
        ("prefix", ["1"], 13, False),
        ("regex", ["^[0-9]+$"], "451", True),
        ("regex", ["b"], "abc", True),
        ("regex", ["b"], "\ud800b", False),
        ("equals_ignore_case", ["JOHN"], "john", True),
        ("contains", [2], [1, 2], True),
        ("contains", ["2"], [1, 2], False),
        ("contains", [True], [1], False),
        ("contains", ["oh"], "John", True),
        ("contains", [1], "1", False),
        ("gt", [5], 5.5, True),
        ("gt", [5], True, False),
        ("gt", [5], "6", False),
        ("gte", [5], 5, True),
        ("lt", ["2026-04-17"], "2026-04-16T12:34:56.000000Z", True),
        ("gt", ["2026-04-16T12:00:00+02:00"], "2026-04-16T10:00:01Z", True),
        ("gt", ["2026-04-16"], "2026-13-16", False),
        ("gt", ["2026-04-16"], 5, False),
        ("lte", [10**400], 1.5, True),
    ],
)
def test_an_operator_holds(operator, operands, found, holding):
    assert bool(Matcher([Rule(where=check(operator, *operands))]).match(facts(f=found))) is holding


OPERANDS = {
    **dict.fromkeys(["exists", "empty"], st.booleans()),
    **dict.fromkeys(
        ["gt", "gte", "lt", "lte"], st.integers() | st.sampled_from([1.5, "2026-04-16", "2026-04-16T12:00Z"])
    ),
    **dict.fromkeys(["glob", "prefix", "suffix", "equals_ignore_case"], st.text("a*b", max_size=3)),
    "regex": st.sampled_from(["a", "^b$", "", r"\d+"]),
    **dict.fromkeys(["not", "contains"], st.sampled_from([None, True, 1, "a", ""])),
}
checks = st.one_of(
    [
        st.builds(
            Check, path=paths, operator=st.just(name), operands=st.lists(operand, min_size=1, max_size=2).map(tuple)
        )
        for name, operand in OPERANDS.items()
    ]
)
conditions = st.recursive(
    clauses | checks,
    lambda inner: st.builds(
        Combined, how=st.sampled_from(["any", "all", "not"]), conditions=st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)


def test_every_operator_is_tried():
    assert set(OPERANDS) == set(OPERATORS)


@pytest.mark.parametrize("operator", sorted(set(OPERATORS) - HOLD_WHEN_MISSING))
@given(data=st.data())
def test_a_missing_field_meets_only_what_asks_for_it(operator, data):
    operand = data.draw(OPERANDS[operator])
    assert not Matcher([Rule(where=check(operator, operand))]).match(facts())


def meets(condition, given_facts):
    match condition:
        case Clause(path=path, values=values):
            return any(same(value, dig(given_facts, path)) for value in values)
        case Check(path=path, operator=operator, operands=operands):
            found = lookup(given_facts, path)
            held = [OPERATORS[operator](operand)(found) for operand in operands]
            return all(held) if operator == "not" else any(held)
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


def test_an_explanation_has_the_value_that_each_clause_saw():
    rule = Rule(sources=frozenset({"y"}), patterns=("contact.*",), where=(*where(a=1), *where(b=2)))
    found = explain(rule, facts(a=1))
    assert (found.source, found.type, found.taken) == (False, True, False)
    assert [(each.path[-1], each.held, each.seen) for each in found.findings] == [("a", True, 1), ("b", False, MISSING)]


@pytest.mark.parametrize(
    ("pattern", "other", "covering"),
    [
        ("**", "a.**", True),
        ("a.*", "a.b", True),
        ("a.*", "a.**", False),
        ("a.**", "a.*", True),
        ("a.b", "a.*", False),
        ("*.*", "a.*", True),
        ("**.b", "a.**", False),
    ],
)
def test_a_pattern_covers_another_if_it_takes_all_that_the_other_takes(pattern, other, covering):
    assert covers(pattern, other) is covering
