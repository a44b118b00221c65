"""How long it was quiet in the hours that count, and what an event meets and opens."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.event.braces import Template
from gateway.routing.hours import Hours
from gateway.routing.silences import NOTHING, FollowUp, Silence, followed

HOUR = 3600.0
BERLIN = Hours(days=frozenset(range(5)), from_min=9 * 60, to_min=18 * 60, zone="Europe/Berlin")
NIGHT = Hours(days=frozenset({5}), from_min=22 * 60, to_min=6 * 60)


def at(text, zone="Europe/Berlin"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("hours", "since", "until", "open_hours"),
    [
        pytest.param(BERLIN, "2026-11-30T08:00", "2026-11-30T09:30", 0.5, id="from-before-they-open"),
        pytest.param(BERLIN, "2026-11-27T17:30", "2026-11-30T09:30", 1.0, id="over-a-weekend"),
        pytest.param(BERLIN, "2026-11-28T00:00", "2026-11-29T23:59", 0.0, id="on-a-weekend"),
        pytest.param(BERLIN, "2026-11-30T12:00", "2026-11-30T11:00", 0.0, id="a-clock-that-was-set-back"),
        pytest.param(BERLIN, "2026-11-23T00:00", "2026-11-30T00:00", 45.0, id="a-week"),
        pytest.param(NIGHT, "2026-11-28T23:00", "2026-11-29T12:00", 7.0, id="over-midnight"),
        pytest.param(
            Hours(zone="Europe/Berlin"), "2026-03-29T00:00", "2026-03-30T00:00", 23.0, id="summer-time-begins"
        ),
        pytest.param(Hours(zone="Europe/Berlin"), "2026-10-25T00:00", "2026-10-26T00:00", 25.0, id="summer-time-ends"),
    ],
)
def test_only_time_of_the_hours_counts(hours, since, until, open_hours):
    zone = hours.zone
    assert hours.open_s(at(since, zone), at(until, zone)) == pytest.approx(open_hours * HOUR)


@given(
    since=st.floats(1.7e9, 1.9e9), first=st.floats(0, 40 * 86400.0), second=st.floats(0, 40 * 86400.0),
    hours=st.sampled_from([BERLIN, NIGHT, Hours(), Hours(zone="America/Sao_Paulo", from_min=30)]),
)  # fmt: skip
def test_time_adds_up_and_is_never_more_than_has_passed(since, first, second, hours):
    middle, until = since + first, since + first + second
    whole = hours.open_s(since, until)
    assert whole == pytest.approx(hours.open_s(since, middle) + hours.open_s(middle, until), abs=0.01)
    assert 0.0 <= whole <= first + second + 0.01


def test_what_is_longer_ago_than_a_year_takes_no_time():
    assert BERLIN.open_s(0.0, at("2026-11-30T09:00")) < 366 * 24 * HOUR
    assert Silence(after_s=60.0, hours=BERLIN).is_over(0.0, datetime(2026, 11, 30, tzinfo=UTC).timestamp())


RULE = FollowUp(after=("a.*",), want=("b", "a.done"), per=Template.compile("{payload.id}"), within_s=60.0)


@pytest.mark.parametrize(
    ("event_type", "payload", "meets", "opens"),
    [
        ("a.new", {"id": 1}, 0, 1),
        ("b", {"id": 1}, 1, 0),
        ("a.done", {"id": "1"}, 1, 1),
        ("c", {"id": 1}, 0, 0),
        ("a.new", {}, 0, 0),
        ("b", {"id": None}, 0, 0),
        ("b", [1], 0, 0),
    ],
)
def test_an_event_opens_and_meets_by_its_type_and_what_it_is_about(event_type, payload, meets, opens):
    found = followed((RULE,), event_type, {"payload": payload})
    assert (len(found.meets), len(found.awaits)) == (meets, opens)
    assert (found is NOTHING) == (meets + opens == 0)


def test_the_key_is_the_same_for_a_number_and_its_text_and_shows_nothing_of_it():
    number, text = (RULE.key({"payload": {"id": each}}) for each in (4915112345, "4915112345"))
    assert number == text
    assert "4915112345" not in number
    assert len(RULE.key({"payload": {"id": "\ud800"}})) == 32
