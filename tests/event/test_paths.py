"""Paths into an event: look up, assign, unassign."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.event.paths import MISSING, assign, lookup, split_path, unassign
from gateway.event.payload import parse
from tests.event.given import json_values

XOBITO = presets.load("xobito")


@given(json_values, st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_lookup_is_total(payload, path):
    lookup(payload, path)


def test_a_path_goes_through_maps_and_lists():
    facts = {"payload": {"items": [{"sku": "a"}, {"sku": None}]}}
    assert lookup(facts, split_path("payload.items.0.sku")) == "a"
    assert lookup(facts, split_path("payload.items.1.sku")) is None
    assert lookup(facts, split_path("payload.items.2.sku")) is MISSING
    assert lookup(facts, split_path("payload.items.-1.sku")) is MISSING
    assert lookup(facts, split_path("payload.items.\u0662")) is MISSING


@pytest.mark.parametrize(
    "path", ["attrs.phone", "payload.data.id", "attrs.group_id.0", "payload.original", "payload.data"]
)
def test_a_field_is_removed_where_it_stands_and_nothing_else_is(path):
    payload = parse(XOBITO.samples["contact.created"])
    place = XOBITO.naming.payload_path(path, payload)
    whole, was = json.dumps(payload), lookup(payload, place)
    unassign(payload, place)
    if place[-1] == "0":
        lookup(payload, place[:-1]).insert(0, was)
    else:
        assert lookup(payload, place) is MISSING
        assign(payload, place, was)
    assert json.loads(whole) == payload


@given(json_values, st.lists(st.text(max_size=5) | st.sampled_from(["0", "1", "a"]), min_size=1, max_size=4))
def test_what_is_not_there_cannot_be_removed(payload, path):
    if lookup(payload, path) is MISSING:
        with pytest.raises(ValueError, match="to unset"):
            unassign(payload, path)
    else:
        unassign(payload, path)


def test_a_field_is_assigned_through_the_shortcut_to_where_it_stands():
    payload = {"data": {"id": 1, "attributes": {"email": "a@b.c"}}}
    assign(payload, XOBITO.naming.payload_path("attrs.email", payload), "new")
    assign(payload, XOBITO.naming.payload_path("payload.data.extra.deep", payload), 1)
    assign(payload, XOBITO.naming.payload_path("original", payload), {})
    assert payload == {
        "data": {"id": 1, "attributes": {"email": "new"}, "extra": {"deep": 1}},
        "original": {},
    }
    with pytest.raises(ValueError, match=r"data\.id\.x"):
        assign(payload, ["data", "id", "x"], 1)
