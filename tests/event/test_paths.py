"""Paths into an event: look up, assign, unassign."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.event.paths import (
    EACH,
    MISSING,
    PathRefused,
    as_written,
    assign,
    elements,
    lookup,
    parse_path,
    present,
    split_path,
    starred_path,
    unassign,
)
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
    assert lookup(facts, ["payload", "items", "9" * 5_000]) is MISSING


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


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("payload.items.0.sku", ("payload", "items", "0", "sku")),
        ("payload.items[0].sku", ("payload", "items", "0", "sku")),
        ("payload.items[*].price", ("payload", "items", EACH, "price")),
        ("payload[*]", ("payload", EACH)),
        ("payload.rows[*][2]", ("payload", "rows", EACH, "2")),
        ('payload.labels["app.kubernetes.io/name"]', ("payload", "labels", "app.kubernetes.io/name")),
        ("payload['first name'].x", ("payload", "first name", "x")),
        ('payload["a\\"b\\\\"]', ("payload", 'a"b\\')),
        ('payload["*"]["[*]"]', ("payload", "*", "[*]")),
        ('["a.b"].c', ("a.b", "c")),
        ("payload.first name", ("payload", "first name")),
        ("a..b", ("a", "", "b")),
        ("", ("",)),
    ],
)
def test_a_path_has_names_after_dots_and_anything_in_brackets(text, path):
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("payload.a[", "has a bracket that is not closed", "write payload.a[0] or payload.a[*]"),
        ("payload.a[]", "has empty brackets", "write payload.a[*] for any element, or payload.a[0] for one"),
        ("payload.a[0]b", "continues after a bracket without a dot", "write payload.a[0].b"),
        (
            "payload.data[email]",
            "has brackets around email, which is neither a position nor a name in quotes",
            'write payload.data["email"]; or payload["data[email]"] if the brackets are part of the name',
        ),
        (
            "payload.a[-1]",
            "has brackets around -1, which is neither a position nor a name in quotes",
            'write payload.a["-1"]; or payload["a[-1]"] if the brackets are part of the name',
        ),
    ],
)
def test_a_path_that_cannot_be_read_says_what_to_write(text, message, hint):
    with pytest.raises(PathRefused) as caught:
        parse_path(text)
    assert (str(caught.value), caught.value.hint) == (message, hint)


@given(st.lists(st.text("ab.[]*\"'\\ 0", max_size=4) | st.just(EACH), min_size=1, max_size=5).map(tuple))
def test_a_path_that_is_written_reads_as_it_was(path):
    assert parse_path(as_written(path)) == path


@given(st.text("ab.[]*\"'\\ 01", max_size=12))
def test_a_text_is_a_path_or_refused(text):
    try:
        path = parse_path(text)
    except PathRefused as refused:
        assert refused.hint
    else:
        assert parse_path(as_written(path)) == path


def test_what_has_one_value_has_no_list_in_its_path_and_a_star_stands_for_it_elsewhere():
    with pytest.raises(PathRefused, match="several values"):
        split_path("payload.items[*].sku")
    assert (
        starred_path("payload.items[*].sku") == starred_path("payload.items.*.sku") == ("payload", "items", "*", "sku")
    )


def test_a_path_through_lists_finds_the_value_in_each_element():
    facts = {"payload": {"orders": [{"items": [{"sku": 1}, {}]}, {"items": {"sku": 2}}, {"items": [{"sku": None}]}, 3]}}
    path = parse_path("payload.orders[*].items[*].sku")
    assert elements(facts, path) == [1, MISSING, None]
    assert present(facts, path) == [1, None]
    assert present(facts, parse_path("payload.orders[*].none")) is MISSING
    assert present(facts, parse_path("payload.orders[3]")) == 3


@given(json_values, st.lists(st.text(max_size=3) | st.just(EACH), min_size=1, max_size=4).map(tuple))
def test_going_through_lists_is_total(payload, path):
    elements(payload, path)
