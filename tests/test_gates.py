"""When a destination may be sent to: pure, on a clock that only goes forward."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.gates import (
    FREE,
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
    started,
)

OPEN_RULES = Rules()
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


@pytest.mark.parametrize("text", ["0/s", "1/d", "1.5/s", "-1/s", "/s", "10", "100000/s", "1/s ", ""])
def test_what_is_no_rate_does_not_fit(text):
    assert RATE.fullmatch(text) is None


def test_what_nothing_holds_starts_at_once_and_stays_as_it_is():
    assert is_free(FREE, OPEN_RULES)
    assert started(FREE, OPEN_RULES, 5.0) == (FREE, 5.0)
    assert learned(FREE, ANSWERED, 5.0) == FREE


def test_a_process_that_begins_waits_one_interval():
    rules = Rules(interval_s=2)
    gate = opened(rules, 10.0)
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
    assert learned(gate, ANSWERED, now) == FREE


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


@given(
    per_s=st.integers(1, 2000),
    asks=st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from([ANSWERED, FAILED, NOTHING])), min_size=1, max_size=200),
)
def test_no_window_holds_more_starts_than_the_rate(per_s, asks):
    rules = Rules(interval_s=1 / per_s)
    gate, now, starts = opened(rules, 0.0), 0.0, []
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
