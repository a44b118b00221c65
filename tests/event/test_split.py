"""A request that holds several events: each has its exact bytes, and the rest of the request as its envelope."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Unparsable
from gateway.event.payload import ENVELOPE
from gateway.event.split import MAX_ENVELOPE, MAX_ITEMS, envelope_of, pieces

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
names = st.text('abé"\\ ', min_size=1, max_size=3)
records = st.dictionaries(names, scalars, max_size=4)


def body_of(value) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@given(
    around=records,
    entries=st.lists(st.tuples(records, st.lists(records, max_size=4)), max_size=4),
    spaced=st.sampled_from([None, 1]),
)
def test_every_event_has_its_bytes_and_what_is_around_it(around, entries, spaced):
    whole = {**around, "entry": [{**beside, "changes": changes} for beside, changes in entries]}
    body = json.dumps(whole, ensure_ascii=False, indent=spaced).encode()
    found = pieces(body, [("entry", "*", "changes", "*")])
    wanted = [(beside, change) for beside, changes in entries for change in changes]
    assert [json.loads(piece.body) for piece in found] == [change for _, change in wanted]
    assert all(piece.body in body for piece in found)
    assert [json.loads(piece.envelope) for piece in found] == [
        {**around, "entry": {**beside, "changes": None}} for beside, _ in wanted
    ]


@given(st.dictionaries(names, st.text(max_size=3000), max_size=6), st.text("ab", min_size=1, max_size=5))
def test_an_envelope_is_bounded_and_keeps_what_is_small(around, small):
    whole = {"small": small, **around, "huge": "x" * MAX_ENVELOPE, "events": [{"a": 1}]}
    [piece] = pieces(body_of(whole), [("events", "*")])
    kept = json.loads(piece.envelope)
    assert len(piece.envelope) <= MAX_ENVELOPE
    assert "huge" not in kept
    assert kept.items() <= {**whole, "events": None}.items()
    assert kept["small"] == whole["small"]


@given(st.binary(max_size=80) | st.recursive(scalars, lambda s: st.lists(s) | st.dictionaries(names, s)).map(body_of))
def test_any_body_is_split_or_not_or_refused(body):
    try:
        found = pieces(body, [("*",), ("a", "*", "b", "*")])
    except Unparsable:
        return
    for piece in found:
        envelope_of({ENVELOPE: piece.envelope})


@pytest.mark.parametrize(
    ("whole", "path", "envelope"),
    [
        ([{"a": 1}], ("*",), {}),
        ({"object": "page", "items": [{}]}, ("items", "*"), {"object": "page", "items": None}),
        ({"a": {"b": [{}], "c": 1}}, ("a", "b", "*"), {"a": {"b": None, "c": 1}}),
        ([{"id": 7, "of": [{}]}], ("*", "of", "*"), {"id": 7, "of": None}),
    ],
    ids=["a list", "a list in an object", "deeper", "lists in a list"],
)
def test_lists_on_the_way_are_replaced_by_their_element_and_the_event_by_null(whole, path, envelope):
    [piece] = pieces(body_of(whole), [path])
    assert envelope_of({ENVELOPE: piece.envelope}) == envelope


def test_events_at_several_paths_are_found_in_the_order_of_the_paths():
    body = body_of({"a": [{"n": 1}], "b": [{"n": 2}, {"n": 3}]})
    assert [json.loads(each.body)["n"] for each in pieces(body, [("b", "*"), ("a", "*"), ("c", "*")])] == [2, 3, 1]


def test_too_many_events_and_items_that_are_not_objects_are_refused():
    with pytest.raises(Unparsable, match=f"holds {MAX_ITEMS + 1} events"):
        pieces(body_of([{}] * (MAX_ITEMS + 1)), [("*",)])
    with pytest.raises(Unparsable, match="item 2 of 2 is not an object"):
        pieces(body_of([{}, 1]), [("*",)])


@pytest.mark.parametrize("text", ["•••", "{", "[1]", '"a"', "\ud800"])
def test_an_envelope_that_cannot_be_read_is_empty(text):
    assert envelope_of({ENVELOPE: text}) == {}


LINES = b'{"batch": 1, "events": [{"a": 1}, {"a": 2}]}\n{"a": 3}\n'


def test_lines_are_split_as_other_bodies_and_a_line_alone_has_no_envelope():
    found = pieces(LINES, [("events", "*")], "application/x-ndjson")
    assert [json.loads(piece.body)["a"] for piece in found] == [1, 2, 3]
    assert [envelope_of({ENVELOPE: piece.envelope}) for piece in found] == [
        {"batch": 1, "events": None},
        {"batch": 1, "events": None},
        {},
    ]
