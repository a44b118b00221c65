"""What an event does to its record: merged field by field; what is not known has not changed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event import tracks
from gateway.event.tracks import MOST_FIELD, MOST_RECORD, Track, decoded, encoded, facts_of, merged, same


def stored_of(*given):
    """What is stored of an event."""
    track, stored = tracks.written(*given)
    assert stored == encoded(track)
    return stored


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
fields = st.dictionaries(st.sampled_from("abcdef"), json_values, max_size=5)


@pytest.mark.parametrize(
    ("before", "update", "changed", "added"),
    [
        pytest.param({}, {"status": 1}, {}, ("status",), id="first"),
        pytest.param({"status": 1}, {"status": 3}, {"status": 1}, (), id="changed"),
        pytest.param({"status": 1}, {"status": 1}, {}, (), id="same"),
        pytest.param({"status": 1}, {}, {}, (), id="absent"),
        pytest.param({"status": 1}, {"phone": "2"}, {}, ("phone",), id="another"),
        pytest.param({"status": None}, {"status": 3}, {"status": None}, (), id="null is a value"),
        pytest.param({"status": 3}, {"status": None}, {"status": 3}, (), id="to null"),
        pytest.param({"status": 1}, {"status": 1.0}, {}, (), id="one number"),
        pytest.param({"status": 1}, {"status": True}, {"status": 1}, (), id="no number"),
        pytest.param({"status": 13}, {"status": "13"}, {"status": 13}, (), id="a text"),
        pytest.param({"tags": [1, {"a": 0}]}, {"tags": [1, {"a": False}]}, {"tags": [1, {"a": 0}]}, (), id="inside"),
    ],
)
def test_an_event_changes_what_was_known_and_has_another_value_now(before, update, changed, added):
    track = merged("contact:1", before, update)
    assert track.record == {**before, **update}
    assert msgspec.json.encode(track.changed) == msgspec.json.encode(changed)
    assert track.added == added
    assert msgspec.json.encode(track.before) == msgspec.json.encode(before)


@given(st.lists(fields, max_size=8))
def test_whatever_the_updates_each_sees_what_those_before_it_left(updates):
    stored, known = b"", {}
    for update in updates:
        stored = stored_of("k", stored, update)
        track = decoded(stored)
        assert dict(track.before) == known
        known = {**known, **update}
        assert track.record == known
        facts = facts_of(stored, update)
        for change in facts["changes"]:
            assert not same(change["before"], change["after"])
            assert same(change["after"], update[change["name"]])


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200), fields, fields)
def test_of_what_is_stored_the_key_alone_can_be_kept(key, before, update):
    stored = encoded(merged(key, before, update))
    for seen in (stored, stored[: tracks.KEY_BYTES]):
        assert decoded(tracks.only_key(seen)) == Track(key, {})


@given(st.binary(max_size=40) | json_values.map(msgspec.json.encode))
def test_whatever_is_stored_can_be_read(stored):
    facts = facts_of(stored, {"a": 1})
    assert set(facts) == tracks.ROOTS
    tracks.masked(stored, {"a"}, "***")
    list(tracks.values_of(stored, {"*"}))


def test_a_field_without_room_is_unknown_afterwards_but_not_to_its_own_event():
    large = {"note": "x" * MOST_FIELD, "name": "Ada"}
    stored = stored_of("k", b"", large)
    assert decoded(stored).record == {"name": "Ada"}
    assert facts_of(stored, large)["record"] == large
    after = stored_of("k", stored, {"note": "short"})
    assert facts_of(after, {"note": "short"})["changes"] == []
    assert decoded(after).added == ("note",)


@pytest.mark.parametrize("count", [10, 1_000, 100_000])
def test_a_record_stays_within_its_bounds_whatever_comes(count):
    stored = b""
    for turn in range(3):
        stored = stored_of(
            "k", stored, {f"field-{turn}-{number}": "x" * (1_000_000 // count) for number in range(count)}
        )
        assert len(encoded(Track("k", decoded(stored).record))) <= MOST_RECORD + 64
    assert len(stored) < 4 * MOST_RECORD


def test_a_field_that_grows_too_long_is_still_a_change():
    stored = stored_of("k", b"", {"note": "short"})
    long = {"note": "x" * MOST_FIELD}
    facts = facts_of(stored_of("k", stored, long), long)
    assert [(each["name"], each["before"]) for each in facts["changes"]] == [("note", "short")]


def test_what_must_not_be_kept_is_not_remembered_even_if_it_was():
    stored = stored_of("k", b"", {"email": "a@example.com", "name": "Ada"})
    track = decoded(stored_of("k", stored, {"email": "b@example.com"}, {"email"}))
    assert track.record == {"name": "Ada"}
    assert "example.com" not in str(track)


def test_masked_values_say_only_that_they_changed():
    stored = stored_of("k", stored_of("k", b"", {"email": "a", "name": "Ada"}), {"email": "b"})
    shown = facts_of(tracks.masked(stored, {"email"}, "***"), {})
    assert shown["changes"] == [{"name": "email", "before": "***", "after": "***"}]
    assert shown["before"] == {"email": "***", "name": "Ada"}
    assert set(tracks.values_of(stored, {"email"})) == {"a", "b"}
