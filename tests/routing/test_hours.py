"""Hours and moments that return, over every change of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.routing.hours import DAY_MIN, Hours, Returning, day_and_time
from gateway.routing.timing import UNTIMED, Timing, overlap, waiting

BERLIN = "Europe/Berlin"
#: Zones whose clocks change by an hour, by half an hour and by a day, and one without changes.
ZONES = [BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "UTC"]
OFFICE = Hours(days=frozenset(range(5)), from_min=9 * 60, to_min=18 * 60, zone=BERLIN)


def at(text, zone="UTC", fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def local(moment, zone=BERLIN):
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%a %d %b %H:%M %z")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        pytest.param("2026-11-30T08:59", "Mon 30 Nov 09:00 +0100", id="before they open"),
        pytest.param("2026-11-30T18:00", "Tue 01 Dec 09:00 +0100", id="the moment they close is outside"),
        pytest.param("2026-11-27T22:00", "Mon 30 Nov 09:00 +0100", id="over the weekend"),
        pytest.param("2026-03-27T19:00", "Mon 30 Mar 09:00 +0200", id="over the change to summer time"),
        pytest.param("2026-10-23T19:00", "Mon 26 Oct 09:00 +0100", id="over the change to winter time"),
    ],
)
def test_what_is_outside_the_hours_waits_until_they_open(now, opens):
    moment = at(now, BERLIN)
    assert local(moment + OFFICE.opens_in(moment)) == opens


@pytest.mark.parametrize("now", ["2026-11-30T09:00", "2026-11-30T17:59", "2026-12-04T12:00"])
def test_what_is_inside_the_hours_does_not_wait(now):
    assert OFFICE.opens_in(at(now, BERLIN)) == 0


def test_hours_over_midnight_belong_to_the_day_on_which_they_open():
    friday_night = Hours(days=frozenset({4}), from_min=22 * 60, to_min=6 * 60, zone=BERLIN)
    assert friday_night.opens_in(at("2026-11-28T05:59", BERLIN)) == 0
    late = at("2026-11-28T22:00", BERLIN)
    assert local(late + friday_night.opens_in(late)) == "Fri 04 Dec 22:00 +0100"


def test_hours_that_open_at_a_time_that_does_not_exist_open_when_the_clocks_jump():
    early = Hours(from_min=2 * 60 + 30, to_min=18 * 60, zone=BERLIN)
    night = at("2026-03-29T01:00", BERLIN)
    assert local(night + early.opens_in(night)) == "Sun 29 Mar 03:00 +0200"


def test_hours_of_which_the_jump_leaves_nothing_open_on_the_next_day():
    short = Hours(from_min=2 * 60 + 10, to_min=2 * 60 + 50, zone=BERLIN)
    night = at("2026-03-29T01:00", BERLIN)
    assert local(night + short.opens_in(night)) == "Mon 30 Mar 02:10 +0200"


def test_of_a_time_that_comes_twice_hours_open_at_the_first_and_close_at_the_second():
    short = Hours(from_min=2 * 60 + 10, to_min=2 * 60 + 50, zone=BERLIN)
    night = at("2026-10-25T01:00", BERLIN)
    opens = night + short.opens_in(night)
    assert local(opens) == "Sun 25 Oct 02:10 +0200"
    assert short.opens_in(at("2026-10-25T02:49", BERLIN, fold=1)) == 0
    assert short.opens_in(at("2026-10-25T02:50", BERLIN, fold=1)) > 0


def test_a_moment_that_does_not_exist_that_day_is_when_the_clocks_jump_and_one_that_comes_twice_comes_once():
    half_past_two = Returning(at_min=2 * 60 + 30, zone=BERLIN)
    night = at("2026-03-29T00:00", BERLIN)
    assert local(night + half_past_two.comes_in(night)) == "Sun 29 Mar 03:00 +0200"
    night = at("2026-10-25T00:00", BERLIN)
    first = night + half_past_two.comes_in(night)
    assert local(first) == "Sun 25 Oct 02:30 +0200"
    assert local(first + half_past_two.comes_in(first)) == "Mon 26 Oct 02:30 +0100"


def test_a_day_that_a_zone_leaves_out_is_its_change():
    # Samoa went from 29 to 31 December 2011.
    friday = Returning(at_min=9 * 60, day=4, zone="Pacific/Apia")
    thursday = at("2011-12-29T12:00", "Pacific/Apia")
    assert local(thursday + friday.comes_in(thursday), "Pacific/Apia") == "Sat 31 Dec 00:00 +1400"


times = st.integers(int(at("2010-01-01T00:00")), int(at("2030-01-01T00:00")))
any_hours = st.builds(
    Hours,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    from_min=st.integers(0, DAY_MIN - 1),
    to_min=st.integers(1, DAY_MIN),
    zone=st.sampled_from(ZONES),
)


@given(any_hours, times, st.floats(0, 1, exclude_max=True))
def test_hours_are_closed_until_they_open_and_open_then(hours, now, share):
    wait_s = hours.opens_in(now)
    assert 0 <= wait_s <= 15 * 86400
    assert hours.opens_in(now + wait_s) == 0
    if wait_s:
        passed = share * wait_s
        assert hours.opens_in(now + passed) == pytest.approx(wait_s - passed, abs=0.01)


@given(any_hours, times)
def test_hours_are_open_between_the_local_times_that_they_name(hours, now):
    """On days without a change of the clocks, which is what everybody expects."""
    zone = ZoneInfo(hours.zone)
    here = datetime.fromtimestamp(now, zone)
    offsets = {datetime.fromtimestamp(now + days * 86400, zone).utcoffset() for days in (-2, -1, 0, 1)}
    if len(offsets) > 1:
        return
    minute, day = here.hour * 60 + here.minute, here.weekday()
    if hours.from_min < hours.to_min:
        expected = day in hours.days and hours.from_min <= minute < hours.to_min
    else:
        begun = day in hours.days and minute >= hours.from_min
        expected = begun or ((day - 1) % 7 in hours.days and minute < hours.to_min)
    assert (hours.opens_in(now) == 0) is expected


@given(st.sampled_from(ZONES), times, st.integers(0, DAY_MIN - 1), st.none() | st.integers(0, 6))
def test_a_moment_comes_at_its_local_time_unless_the_clocks_jump_over_it(zone, now, at_min, day):
    returning = Returning(at_min=at_min, day=day, zone=zone)
    wait_s = returning.comes_in(now)
    assert 0 < wait_s <= (1 if day is None else 7) * 86400 + 2 * 86400
    here = datetime.fromtimestamp(now + wait_s, ZoneInfo(zone))
    before = datetime.fromtimestamp(now + wait_s - 1, ZoneInfo(zone))
    is_jump = before.utcoffset() != here.utcoffset()
    assert here.hour * 60 + here.minute == at_min or is_jump
    assert day in (None, here.weekday()) or is_jump


def test_a_delay_that_ends_outside_the_hours_waits_for_them_too():
    timing = Timing(delay_s=600, hours=OFFICE)
    assert timing.wait_s(at("2026-11-30T12:00", BERLIN)) == 600
    late = at("2026-11-30T17:55", BERLIN)
    assert local(late + timing.wait_s(late)) == "Tue 01 Dec 09:00 +0100"


def test_what_is_skipped_is_decided_when_its_event_is_received():
    timing = Timing(hours=OFFICE, skips=True)
    assert timing.is_skipped(at("2026-11-30T22:00", BERLIN))
    assert not timing.is_skipped(at("2026-11-30T17:59", BERLIN))
    assert timing.closed_s(at("2026-11-30T22:00", BERLIN)) == 0, "what was received before is sent, however late"


def test_an_entry_and_its_destination_wait_until_both_are_open():
    mornings = Hours(from_min=6 * 60, to_min=10 * 60, zone="America/New_York")
    night = at("2026-11-30T20:00", BERLIN)
    found = waiting(Timing(hours=OFFICE), mornings, night)
    assert local(found.until) == "Tue 01 Dec 12:00 +0100"
    assert found.words(night) == "waits until Tue 06:00 (America/New_York)"
    assert waiting(UNTIMED, None, night) is None


def test_a_moment_in_words_has_its_date_once_it_is_further_away_than_a_week_knows():
    now = at("2026-11-30T08:00")
    assert day_and_time(now + 86400, now=now) == "Tue 08:00 UTC"
    assert day_and_time(now + 14 * 86400, BERLIN, now=now) == "14 Dec 09:00 (Europe/Berlin)"
    assert day_and_time(now + timedelta(days=14).total_seconds()) == "Mon 08:00 UTC"
    assert datetime.fromtimestamp(now, UTC).weekday() == 0


@given(any_hours, any_hours)
@example(
    Hours(days=frozenset({0}), from_min=0, to_min=1),
    Hours(days=frozenset({0}), from_min=61, to_min=1, zone=BERLIN),
).via("they overlap in summer alone")
def test_hours_overlap_if_something_that_waits_for_both_is_ever_sent(one, other):
    found = waiting(Timing(hours=one), other, 1767571200.0)
    until = found.until if found else 1767571200.0
    if overlap(one, other):
        if until < 1767571200.0 + 7 * 86400:
            assert one.opens_in(until) == other.opens_in(until) == 0
    else:
        assert one.opens_in(until) > 0 or other.opens_in(until) > 0
