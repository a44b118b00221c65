"""Conditions on what became of a field of a tracked record."""

import pytest

from gateway.event.conditions import Change, Combined, Seen, constant, predicate
from gateway.event.explain import explain
from gateway.event.match import Matcher, Rule
from gateway.event.paths import MISSING

PATH = ("attrs", "status")


def facts(before, record):
    return {"event": {"source": "crm", "type": "t"}, "before": before, "record": record, "changes": []}


def change(**asked):
    return Change(path=PATH, below=("status",), text="attrs.status: ...", **asked)


@pytest.mark.parametrize(
    ("asked", "before", "record", "holds"),
    [
        pytest.param({"changed": True}, {"status": 1}, {"status": 3}, True, id="changed"),
        pytest.param({"changed": True}, {"status": 1}, {"status": 1}, False, id="the same"),
        pytest.param({"changed": True}, {}, {"status": 3}, False, id="unknown before"),
        pytest.param({"changed": True}, {"status": None}, {"status": 3}, True, id="from null"),
        pytest.param({"changed": True}, {"status": [1]}, {"status": [1, 2]}, True, id="a list"),
        pytest.param({"changed": True}, {"status": [1]}, {"status": [1.0]}, False, id="the same list"),
        pytest.param({"changed": False}, {"status": 1}, {"status": 1}, True, id="not changed"),
        pytest.param({"changed": False}, {}, {"status": 1}, True, id="unknown is not changed"),
        pytest.param({"changed": False}, {"status": 1}, {"status": 3}, False, id="not not changed"),
        pytest.param({"changed": True, "was": (1,), "now": (3,)}, {"status": 1}, {"status": 3}, True, id="from to"),
        pytest.param({"changed": True, "was": (2,), "now": (3,)}, {"status": 1}, {"status": 3}, False, id="from another"),
        pytest.param({"changed": True, "was": (1,), "now": (4,)}, {"status": 1}, {"status": 3}, False, id="to another"),
        pytest.param({"changed": True, "now": (3, 4)}, {"status": 1}, {"status": 3}, True, id="to one of"),
        pytest.param({"changed": True, "was": ("1",)}, {"status": 1}, {"status": 3}, False, id="typed as in JSON"),
        pytest.param({"was": (1,)}, {"status": 1}, {"status": 1}, True, id="was, and is"),
        pytest.param({"was": (1,)}, {"status": 1}, {"status": 3}, True, id="was"),
        pytest.param({"was": (1,)}, {}, {"status": 1}, False, id="was unknown"),
        pytest.param({"was": (None,)}, {"status": None}, {"status": 1}, True, id="was null"),
        pytest.param({"was": (None,)}, {}, {"status": 1}, False, id="unknown is not null"),
    ],
)  # fmt: skip
def test_a_change_is_what_was_known_and_is_another_value_now(asked, before, record, holds):
    known = facts(before, record)
    condition = change(**asked)
    assert predicate(condition)(Seen(known)) is holds
    assert constant(condition) is None
    rule = Rule(where=(condition,))
    assert list(Matcher([rule]).match(known)) == ([0] if holds else [])
    [finding] = explain(rule, known).findings
    assert finding.held is holds
    assert finding.path == PATH
    if "status" in before:
        assert finding.seen == {"before": before["status"], "now": record["status"]}
    else:
        assert finding.seen is MISSING


def test_of_an_event_whose_source_remembers_nothing_no_field_has_changed():
    for asked, holds in (({"changed": True}, False), ({"was": (1,)}, False), ({"changed": False}, True)):
        assert predicate(change(**asked))(Seen({"attrs": {"status": 1}})) is holds


def test_a_change_may_be_inside_of_other_conditions():
    known = facts({"status": 1}, {"status": 3})
    inside = Combined(how="not", conditions=(change(changed=True),))
    assert predicate(inside)(Seen(known)) is False
    [finding] = explain(Rule(where=(inside,)), known).findings
    assert finding.inner[0].seen == {"before": 1, "now": 3}


def test_a_part_of_a_field_is_compared_by_itself():
    city = Change(path=("attrs", "address", "city"), below=("address", "city"), changed=True)
    known = facts({"address": {"city": "Rome", "zip": 1}}, {"address": {"city": "Oslo", "zip": 1}})
    assert predicate(city)(Seen(known))
    assert not predicate(city)(Seen(facts({"address": {"city": "Rome"}}, {"address": {"zip": 1}})))
