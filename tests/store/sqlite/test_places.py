"""Positions as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import QueryRefused
from gateway.store.places import Place, activity_place

numbers = st.integers(0, 10**18 - 1)


@given(at=numbers, after=numbers, indexed_from=numbers)
def test_a_place_is_read_as_it_was_handed_out(at, after, indexed_from):
    place = Place(at, after, indexed_from)
    assert Place.read(str(place)) == place


def test_a_place_is_short_where_it_can_be():
    assert [str(each) for each in (Place(7), Place(7, 3), Place(7, 0, 2))] == ["7", "7-3", "7-0-2"]


@given(text=st.text(max_size=30))
def test_any_other_text_is_refused(text):
    try:
        place = Place.read(text)
    except QueryRefused as refused:
        assert "is not a position" in str(refused)
    else:
        assert text.replace("-", "").isascii()
        assert place.at >= 0


def test_an_activity_is_a_position_by_its_id():
    assert activity_place("act_1") == "act_1"
    with pytest.raises(QueryRefused, match='"x" is not a position'):
        activity_place("x")
