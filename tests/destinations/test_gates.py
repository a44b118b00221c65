"""When a destination may be sent to: pure, on a clock that only goes forward."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.gates import (
    NOTHING,
    RATE,
    Gate,
    Learned,
    Rules,
    interval_s,
    is_free,
    learned,
    opened,
    permit,
    rate,
    resumed,
    started,
)

FREE, OPEN_RULES = Gate(), Rules()
FAILED = Learned(outcome="failed")
ANSWERED = Learned(outcome="answered")


def failed(times: int, now: float = 0.0) -> Gate:
    gate = FREE
    for _ in range(times):
        gate = learned(gate, FAILED, now)
    return gate


@pytest.mark.parametrize(("rate", "seconds"), [("10/s", 0.1), ("60/min", 1), ("100/h", 36), ("none", 0), (None, 0)])
def test_a_rate_is_the_time_between_two_starts(rate, seconds):
    assert interval_s(rate) == pytest.approx(seconds)


@given(st.integers(1, 99_999), st.sampled_from(["s", "min", "h"]))
def test_an_interval_is_shown_as_its_rate(count, unit):
    shown = rate(interval_s(f"{count}/{unit}"))
    assert interval_s(shown) == pytest.approx(interval_s(f"{count}/{unit}"))


@pytest.mark.parametrize(("seconds", "shown"), [(0.1, "10/s"), (1, "1/s"), (36, "100/h"), (2, "30/min"), (0, "")])
def test_a_rate_is_shown_in_the_shortest_unit_that_fits(seconds, shown):
    assert rate(seconds) == shown


@pytest.mark.parametrize("text", ["0/s", "1/d", "1.5/s", "-1/s", "/s", "10", "100000/s", "1/s ", ""])
def test_what_is_no_rate_does_not_fit(text):
    assert RATE.fullmatch(text) is None


def test_what_nothing_holds_starts_at_once_and_stays_as_it_is():
    assert is_free(FREE, OPEN_RULES, 5.0)
    gate, at = started(FREE, OPEN_RULES, 5.0)
    assert (is_free(gate, OPEN_RULES, 5.0), at) == (True, 5.0)
    assert learned(FREE, ANSWERED, 5.0) == FREE


def test_a_process_that_begins_waits_one_interval():
    rules = Rules(interval_s=2)
    gate = opened(10.0)
    assert permit(gate, rules, 11.9).again_at == 12
    assert permit(gate, rules, 12.0).count == 1


def test_a_paused_destination_starts_nothing_until_somebody_changes_it():
    asked = permit(FREE, Rules(paused="by ann"), 0.0)
    assert (asked.count, asked.again_at, asked.why) == (0, math.inf, "by ann")


def test_the_fifth_failure_opens_the_circuit_and_a_probe_goes_each_interval_up_to_five_minutes():
    assert not failed(4).is_open
    gate = failed(5)
    now, waits = 0.0, []
    for _ in range(6):
        asked = permit(gate, OPEN_RULES, now)
        assert asked.count == 0
        waits.append(asked.again_at - now)
        now = asked.again_at
        assert permit(gate, OPEN_RULES, now).count == 1
        gate, at = started(gate, OPEN_RULES, now)
        assert at == now
        assert permit(gate, OPEN_RULES, now).count == 0, "one probe at a time"
        gate = learned(gate, FAILED, now)
    assert waits == [30, 60, 120, 240, 300, 300]
    assert is_free(learned(gate, ANSWERED, now), OPEN_RULES, now)


def test_an_attempt_from_before_the_circuit_opened_does_not_put_the_probe_off():
    gate = failed(5)
    assert learned(gate, FAILED, 29.0).next_probe == gate.next_probe


def test_a_probe_that_was_never_sent_is_followed_by_the_next():
    gate, _ = started(failed(5), OPEN_RULES, 30.0)
    assert permit(learned(gate, NOTHING, 31.0), OPEN_RULES, 31.0).count == 1


def test_a_429_holds_all_for_as_long_as_it_asks_and_counts_as_an_answer():
    gate = learned(failed(4), Learned(outcome="answered", wait_s=60), 100.0)
    assert permit(gate, OPEN_RULES, 159.9).again_at == 160
    assert permit(gate, OPEN_RULES, 160.0).count > 1
    assert gate.failures == 0


def test_a_429_is_over_when_its_time_is_and_new_deliveries_start_straight_from_memory_again():
    gate = learned(FREE, Learned(outcome="answered", wait_s=60), 100.0)
    assert [is_free(gate, OPEN_RULES, now) for now in (159.9, 160.0)] == [False, True]


def test_another_rate_counts_from_the_next_start_on():
    gate, _ = started(FREE, Rules(interval_s=3600), 10.0)
    assert permit(gate, Rules(interval_s=0.5), 10.4).again_at == 10.5
    assert permit(gate, OPEN_RULES, 10.4).count > 1


def test_what_a_person_resumes_is_tried_at_once_and_an_open_circuit_by_one_probe_only():
    waits = learned(FREE, Learned(outcome="denied", wait_s=86_400), 0.0)
    assert resumed(waits, 1.0) == FREE
    gate = resumed(failed(5), 1.0)
    assert permit(gate, OPEN_RULES, 1.0).count == 1
    gate, _ = started(gate, OPEN_RULES, 1.0)
    assert permit(resumed(gate, 2.0), OPEN_RULES, 2.0).count == 0
    assert permit(learned(gate, FAILED, 3.0), OPEN_RULES, 3.0).again_at == 63


@given(
    per_s=st.integers(1, 2000),
    asks=st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from([ANSWERED, FAILED, NOTHING])), min_size=1, max_size=200),
)
def test_no_window_holds_more_starts_than_the_rate(per_s, asks):
    rules = Rules(interval_s=1 / per_s)
    gate, now, starts = opened(0.0), 0.0, []
    for wait, outcome in asks:
        now += wait
        for _ in range(permit(gate, rules, now).count):
            gate, at = started(gate, rules, now)
            starts.append(at)
        gate = learned(gate, outcome, now)
    assert all(later - one >= rules.interval_s * 0.999999 for one, later in itertools.pairwise(starts))
    assert all(start >= rules.interval_s for start in starts)


@given(
    outcomes=st.lists(st.sampled_from([ANSWERED, FAILED, NOTHING, Learned(outcome="answered", wait_s=3)]), max_size=60)
)
def test_every_gate_opens_again_by_itself(outcomes):
    gate, now = FREE, 0.0
    for outcome in outcomes:
        asked = permit(gate, OPEN_RULES, now)
        if asked.count == 0:
            assert now < asked.again_at < math.inf
            now = asked.again_at
            assert permit(gate, OPEN_RULES, now).count >= 1
        gate, _ = started(gate, OPEN_RULES, now)
        gate = learned(gate, outcome, now)
