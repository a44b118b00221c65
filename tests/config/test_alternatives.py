"""Texts of conditions that are never equal to a field: lists, exclusions and patterns of other languages."""

import json
from collections import defaultdict

import pytest

from gateway import presets
from gateway.config.alternatives import in_one_text
from gateway.config.schema.likely import meant_by
from gateway.event.conditions import Check, Clause
from tests.config.given import problems_of

KNOWN = ["lead", "customer", "a.b@example.com", "yes", "10"]


def said_of(values, operator=""):
    path = ("attrs", "type")
    condition = Check(path=path, operator=operator, operands=values) if operator else Clause(path=path, values=values)
    return in_one_text("attrs.type", condition, KNOWN)


#: A text, and what is to be written.
IN_ONE_TEXT = [
    ("lead, customer", "[lead, customer] for a list"),
    ("lead,vip", "[lead, vip] for a list"),
    ("lead; customer", "[lead, customer] for a list"),
    ("lead | customer", "[lead, customer] for a list"),
    ("lead || customer", "[lead, customer] for a list"),
    ("lead or customer", "[lead, customer] for a list"),
    ("lead OR customer or vip", "[lead, customer, vip] for a list"),
    ("lead, customer, or vip", "[lead, customer, vip] for a list"),
    ("either lead or customer", "[lead, customer] for a list"),
    ("in (lead, customer)", "[lead, customer] for a list"),
    ("one of: lead", None),
    ("one of lead, customer", "[lead, customer] for a list"),
    ("[lead, customer]", "[lead, customer] for a list"),
    ("'lead', 'customer'", "[lead, customer] for a list"),
    ("Lead, Customer", "[lead, customer] for a list"),
    ("lead, yes, 10", '[lead, yes, "10"] for a list'),
    ("a.b@example.com, c.d@example.com", "[a.b@example.com, c.d@example.com] for a list"),
    ("not lead", "{not: lead} for an exclusion"),
    ("is not lead", "{not: lead} for an exclusion"),
    ("everything but lead", "{not: lead} for an exclusion"),
    ("except 'lead'", "{not: lead} for an exclusion"),
    ("not 10", '{not: "10"} for an exclusion'),
    ("lead", None),
    ("not found", None),
    ("Smith, John", None),
    ("trick or treat", None),
    ("a lead, or a customer", None),
    ("lead and customer", None),
    ("lead/customer", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "right"), IN_ONE_TEXT)
def test_several_values_in_one_text_are_a_list_where_a_sample_has_one_of_them(text, right):
    found = said_of((text,))
    assert found == (right and ('"attrs.type" is compared with exactly this text', f"write attrs.type: {right}"))


def test_a_text_that_a_sample_has_is_one_value():
    clause = Clause(path=("attrs", "type"), values=("lead, customer",))
    assert in_one_text("attrs.type", clause, ["lead", "lead, customer"]) is None


def test_the_rest_of_a_list_and_an_exclusion_are_kept():
    assert said_of(("lead, customer", 7, "a: b"))[1] == 'write attrs.type: [lead, customer, 7, "a: b"] for a list'
    assert said_of(("lead, customer",), "not")[1] == "write attrs.type: {not: [lead, customer]} for a list"
    assert said_of(("lead, customer",), "prefix") is None


MEANT = [
    ("%@example.com", '{suffix: "@example.com"}'),
    ("lead%", '{prefix: "lead"}'),
    ("%lead%", '{contains: "lead"}'),
    ('%a"b', '{suffix: "a\\"b"}'),
    ("~lead", "{regex: 'lead'}"),
    ("~* ^lead", "{regex: '^lead'}"),
    ("~= lead", "{regex: 'lead'}"),
    ("/lead/i", "{regex: '(?i)lead'}"),
    ("/^lead$/i", "{regex: '(?i)^lead$'}"),
    ("/lead/g", "{regex: 'lead'}"),
    ("/^lead/", "{regex: '^lead'}"),
]
ORDINARY = [
    *("100%", "50 %", "+5%", "%", "%%", "%20", "%2Fa", "%E2%82%AC", "%Y-%m-%d", "%s", "%NAME%", "a%b", "5% off", "-%"),
    *("/lead/", "/api/v1/leads", "/", "/a/b/i", "i/o", "/en/us"),
    *("~", "~5", "~ 5 min", "~/.ssh", "~user/x", "~~gone~~", "lead"),
]


@pytest.mark.parametrize(("text", "right"), MEANT)
def test_a_pattern_of_another_language_is_an_operator(text, right):
    assert meant_by(text)[0] == right


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_is_what_it_is(text):
    assert meant_by(text) is None


def test_no_text_of_any_sample_is_taken_for_a_list_or_a_pattern():
    found = defaultdict(set)
    for name in presets.NAMES:
        for body in presets.load(name).samples.values():
            for path, text in texts_in(body):
                found[name, path].add(text)
    assert len(found) > 1000
    for (_, path), texts in found.items():
        for text in texts:
            assert meant_by(text) is None
            assert in_one_text("a", Clause(path=path, values=(text,)), [*texts - {text}]) is None


def texts_in(body):
    try:
        todo = [((), json.loads(body))]
    except ValueError:
        return
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            todo += [((*path, name), each) for name, each in value.items()]
        elif isinstance(value, list):
            todo += [((*path, "[*]"), each) for each in value]
        elif isinstance(value, str):
            yield path, value


ROUTE = """
routes:
  - {{name: lead, match: contact.created, where: {{{line}}}, to: log}}
"""


@pytest.mark.parametrize(
    "wrong",
    [
        "attrs.type: 'lead, customer'",
        "attrs.type: lead or customer",
        "attrs.type: not lead",
        "attrs.type: {not: 'lead, customer'}",
        "attrs.type: ['lead, customer', vip]",
        "attrs.email: '%example%'",
        "attrs.firstname: ~John",
        "attrs.firstname: /john/i",
        "event.type: 'contact.created, contact.updated'",
    ],
)
def test_what_is_to_be_written_instead_is_accepted(loaded, wrong):
    [warning] = [each for each in loaded(ROUTE.format(line=wrong)).warnings if "exactly" in each.message]
    right = warning.hint.removeprefix("write ").partition(" for ")[0]
    assert not [each for each in loaded(ROUTE.format(line=right)).warnings if "exactly" in each.message]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("attrs.type: {in: 'lead, customer'}", "attrs.type: [lead, customer]"),
        ("attrs.type: {in: '(lead, 7)'}", "attrs.type: [lead, 7]"),
        ("attrs.type: {not_in: 'lead, customer'}", "attrs.type: {not: [lead, customer]}"),
        ("attrs.email: {like: '%@example.com'}", "attrs.email: {glob: '*@example.com'}"),
        ("attrs.email: {like: example}", "attrs.email: {glob: example}"),
    ],
)
def test_an_operator_of_another_language_keeps_what_it_compares_with(loaded, wrong, right):
    assert f"(write {right})" in problems_of(lambda: loaded(ROUTE.format(line=wrong)))
    loaded(ROUTE.format(line=right))
