"""When a destination may be sent to: pure, on a clock that only goes forward."""

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.destinations import gates
from gateway.destinations.gates import (
    HELD_AFTER,
    LONGEST_PROBE_S,
    NOTHING,
    OPENS_AFTER,
    RATE,
    TURNED_OFF,
    Gate,
    Learned,
    Rules,
    closed_message,
    interval_s,
    is_free,
    is_news,
    is_throttled,
    may_start,
    opened,
    opened_message,
    paused_for,
    permit,
    rate,
    restored,
    resumed,
    shown,
)
from gateway.model import Dead, Delivered, Retry

FREE, OPEN_RULES = Gate(), Rules()
ACCEPTED = Learned(outcome="accepted")
FAILED = Learned(outcome="failed")
ANSWERED = Learned(outcome="answered")
DENIED = Learned(outcome="denied")


def started(gate, rules, now, event="a"):
    """Here an event has one delivery."""
    return gates.started(gate, rules, now, f"delivery of {event}")


def learned(gate, what, now, event="a"):
    return gates.learned(gate, what, now, delivery=f"delivery of {event}", event=event)


def failed(times: int, now: float = 0.0) -> Gate:
    gate = FREE
    for _ in range(times):
        gate = learned(gate, FAILED, now)
    return gate


def denied(*events: str, now: float = 0.0) -> Gate:
    gate = FREE
    for event in events:
        gate = learned(gate, DENIED, now, event)
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
    for _ in range(11):
        asked = permit(gate, OPEN_RULES, now)
        assert asked.count == 0
        waits.append(asked.again_at - now)
        now = asked.again_at
        assert permit(gate, OPEN_RULES, now).count == 1
        gate, at = started(gate, OPEN_RULES, now)
        assert at == now
        assert permit(gate, OPEN_RULES, now).count == 0, "one probe at a time"
        gate = learned(gate, FAILED, now)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert is_free(learned(gate, ANSWERED, now), OPEN_RULES, now)


def test_an_attempt_from_before_the_circuit_opened_does_not_put_the_probe_off():
    gate = failed(5)
    assert learned(gate, FAILED, 0.9).next_probe == gate.next_probe
    probing, _ = started(gate, OPEN_RULES, 1.0, "the probe")
    for number in range(30):
        probing = learned(probing, FAILED, 1.1, f"one of {number}")
    assert permit(probing, OPEN_RULES, 1.2).why.endswith("a probe is in flight")
    assert permit(learned(probing, FAILED, 2.0, "the probe"), OPEN_RULES, 2.0).again_at == 4.0


def test_what_was_permitted_just_before_something_held_the_destination_may_not_start():
    assert may_start(FREE, OPEN_RULES, 0.5)
    assert not may_start(failed(5), OPEN_RULES, 0.5)
    assert not may_start(denied("a", "b", "c"), OPEN_RULES, 0.5)
    assert not may_start(FREE, Rules(paused="by ann"), 0.5)
    assert not may_start(learned(FREE, Learned(outcome="answered", wait_s=60), 0.0), OPEN_RULES, 0.5)
    probing, _ = started(failed(5), OPEN_RULES, 1.0)
    assert not may_start(probing, OPEN_RULES, 1.0)


@given(st.integers(1, 2000), st.floats(1e3, 1e6))
def test_all_that_a_rate_permits_at_once_may_start(per_s, now):
    rules, gate = Rules(interval_s=1 / per_s), FREE
    for _ in range(permit(gate, rules, now).count):
        assert may_start(gate, rules, now)
        gate, _ = started(gate, rules, now)


def test_a_probe_that_was_never_sent_is_followed_by_the_next():
    gate, _ = started(failed(5), OPEN_RULES, 30.0)
    assert permit(learned(gate, NOTHING, 31.0, "another"), OPEN_RULES, 31.0).count == 0
    assert permit(learned(gate, NOTHING, 31.0), OPEN_RULES, 31.0).count == 1


def test_a_429_holds_all_for_as_long_as_it_asks_and_counts_as_an_answer():
    gate = learned(failed(4), Learned(outcome="limited", wait_s=60), 100.0)
    assert permit(gate, OPEN_RULES, 159.9).again_at == 160
    assert permit(gate, OPEN_RULES, 160.0).count == 1
    assert gate.failures == 0


def starts(gate: Gate, rules: Rules, begin: float, end: float) -> list[float]:
    """When deliveries start if there is always one more that waits."""
    found, now = [], begin
    while now < end:
        asked = permit(gate, rules, now)
        if not asked.count:
            now = asked.again_at
            continue
        gate, at = started(gate, rules, now, "d")
        found.append(at)
        now = max(now, at)
        if len(found) > 100_000:
            break
    return found


@pytest.mark.parametrize(("since_s", "most"), [(5, 6), (10, 16), (20, 76), (40, 1300)])
def test_after_the_wait_of_a_429_what_has_gathered_goes_out_at_a_pace_that_grows(since_s, most):
    gate = learned(FREE, Learned(outcome="limited", wait_s=60), 100.0)
    made = starts(gate, OPEN_RULES, 160.0, 160.0 + since_s)
    assert most / 4 <= len(made) <= most
    assert made == sorted(made)


def test_after_a_429_the_rate_of_the_file_holds_all_the_same():
    gate = learned(FREE, Learned(outcome="limited", wait_s=60), 100.0)
    made = starts(gate, Rules(interval_s=0.5), 160.0, 220.0)
    assert all(later - at >= 0.5 for at, later in itertools.pairwise(made))


def test_another_429_begins_the_pace_anew():
    gate = learned(FREE, Learned(outcome="limited", wait_s=60), 100.0)
    gate = learned(gate, Learned(outcome="limited", wait_s=10), 205.0)
    assert permit(gate, OPEN_RULES, 214.9).count == 0
    assert len(starts(gate, OPEN_RULES, 215.0, 219.9)) == 5


def test_a_429_is_over_once_its_pace_has_grown_and_new_deliveries_start_straight_from_memory_again():
    gate = learned(FREE, Learned(outcome="limited", wait_s=60), 100.0)
    assert [is_free(gate, OPEN_RULES, now) for now in (159.9, 160.0, 209.9, 210.0)] == [False, False, False, True]


def test_what_only_says_that_it_gets_too_many_requests_is_throttled_until_it_accepts_something():
    gate = learned(FREE, Learned(outcome="limited"), 100.0)
    assert is_throttled(gate, 100.0)
    assert is_throttled(learned(gate, Learned(outcome="answered"), 101.0), 101.0)
    assert not is_throttled(learned(gate, Learned(outcome="accepted"), 102.0), 102.0)
    assert not is_throttled(resumed(gate, 103.0), 103.0)
    assert not is_throttled(FREE, 100.0)


def test_another_rate_counts_from_the_next_start_on():
    gate, _ = started(FREE, Rules(interval_s=3600), 10.0)
    assert permit(gate, Rules(interval_s=0.5), 10.4).again_at == 10.5
    assert permit(gate, OPEN_RULES, 10.4).count > 1


def test_what_a_person_resumes_is_tried_at_once_and_an_open_circuit_by_one_probe_only():
    waits = learned(denied("a", "b"), Learned(outcome="answered", wait_s=86_400), 0.0)
    assert resumed(waits, 1.0) == FREE
    gate = resumed(failed(5), 1.0)
    assert permit(gate, OPEN_RULES, 1.0).count == 1
    gate, _ = started(gate, OPEN_RULES, 1.0)
    assert permit(resumed(gate, 2.0), OPEN_RULES, 2.0).count == 0
    assert permit(learned(gate, FAILED, 3.0), OPEN_RULES, 3.0).again_at == 5


# --- denials ---


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_one_event_or_two_may_be_denied_as_often_as_they_like(times):
    gate = denied(*["a", "b"] * times)
    assert is_free(gate, OPEN_RULES, 0.0)


def test_the_third_event_that_is_denied_leaves_only_probes_and_the_first_success_frees_it():
    gate = denied("a", "b", "a", "c")
    assert permit(gate, OPEN_RULES, 0.5).why == "3 different events denied, next probe in 0.5 s"
    asked = permit(gate, OPEN_RULES, 1.0)
    assert (asked.count, asked.last) == (1, ("b", "a", "c")), "the one denied last goes last"
    gate, _ = started(gate, OPEN_RULES, 1.0, "d")
    assert "a probe is in flight" in permit(gate, OPEN_RULES, 1.0).why
    gate = learned(gate, DENIED, 1.0, "d")
    asked = permit(gate, OPEN_RULES, 3.0)
    assert (permit(gate, OPEN_RULES, 2.9).count, asked.count, asked.last) == (0, 1, ("a", "c", "d"))
    gate, _ = started(gate, OPEN_RULES, 3.0, "e")
    assert learned(gate, ACCEPTED, 3.0, "e") == replace(FREE, last_start=3.0)


def test_between_denials_only_a_success_starts_the_count_again():
    for what in (ANSWERED, FAILED, NOTHING, Learned(outcome="answered", wait_s=1)):
        gate = learned(denied("a", "b"), what, 0.0, "x")
        assert learned(gate, DENIED, 0.0, "c").is_open, what
    gate = learned(denied("a", "b"), ACCEPTED, 0.0, "x")
    assert not learned(gate, DENIED, 0.0, "c").is_open


def test_what_denies_everything_is_not_freed_by_an_answer_that_is_no_success():
    gate, _ = started(denied("a", "b", "c"), OPEN_RULES, 1.0, "d")
    gate = learned(gate, ANSWERED, 1.0, "d")
    assert permit(gate, OPEN_RULES, 1.0).again_at == 3.0


def test_a_destination_that_is_up_again_and_denies_everything_is_still_held_and_said_to_deny():
    gate, _ = started(failed(5), OPEN_RULES, 1.0, "a")
    gate = learned(gate, DENIED, 1.0, "a")
    assert not gate.is_open, "it answers"
    gate = learned(learned(gate, DENIED, 1.0, "b"), DENIED, 1.0, "c")
    assert (gate.is_open, gate.is_denied, gate.failures) == (True, True, 0)
    both = replace(gate, failures=OPENS_AFTER)
    assert learned(both, ANSWERED, 1.0).is_open
    assert not learned(both, ACCEPTED, 1.0).is_open


def test_resuming_probes_what_denies_everything_with_another_event_and_forgets_fewer_denials():
    gate = resumed(denied("a", "b", "c"), 0.1)
    asked = permit(gate, OPEN_RULES, 0.1)
    assert (asked.count, asked.last) == (1, ("a", "b", "c"))
    assert resumed(denied("a", "b"), 0.1) == FREE


def test_what_is_stored_of_a_gate_holds_the_destination_again_after_a_restart():
    for gate in (failed(7), denied("a", "b", "c")):
        probing, _ = started(gate, OPEN_RULES, 1.0, "d")
        stored = replace(gate, last_start=-math.inf)
        again = restored(opened(5.0), stored)
        assert again == replace(stored, last_start=5.0)
        assert restored(probing, stored).probe == ""
    assert restored(denied("a", "b"), FREE) == denied("a", "b"), "less than that is not stored"


def test_it_is_news_when_another_reason_holds_a_destination():
    stored = failed(5)
    gate = replace(stored, failures=0, denied=("a", "b", "c"))
    assert is_news(stored, gate)
    assert not is_news(gate, replace(gate, denied=("b", "c", "d")))
    assert not is_news(FREE, denied("a", "b"))


def test_the_message_of_a_denial_names_the_events_and_what_to_correct():
    said = opened_message("crm", denied("evt_1", "evt_2", "evt_3"), "answered 401 (it does not accept the login)")
    for part in (
        "crm denied 3 different events",
        "evt_1, evt_2, evt_3",
        "answered 401",
        "tried in 1 s",
        "Correct auth",
    ):
        assert part in said
    assert "accepts events again" in closed_message("crm", denied("evt_1", "evt_2", "evt_3"))
    assert opened_message("crm", failed(5), "timed out").startswith(
        "crm failed: timed out. That is 5 consecutive failures"
    )
    assert closed_message("crm", failed(7)).startswith("crm answers again, after 7 consecutive failures")


@pytest.mark.parametrize(
    ("status", "verdict", "is_own_address", "outcome"),
    [
        (200, Delivered(), False, "accepted"),
        (409, Delivered(), False, "accepted"),
        (500, Delivered(), False, "accepted"),
        (503, Retry("x"), False, "failed"),
        (503, Dead("503 is listed in retry.never"), False, "failed"),
        (401, Retry("x"), False, "denied"),
        (403, Retry("x"), True, "denied"),
        (403, Dead("403 is listed in retry.never"), False, "answered"),
        (410, Retry("x"), False, "gone"),
        (410, Dead("x"), True, "answered"),
        (410, Retry("retry.statuses has 410"), True, "answered"),
        (404, Dead("x"), False, "answered"),
        (200, Retry("no rule of success matched"), False, "answered"),
    ],
)
def test_what_an_answer_shows_of_its_destination(status, verdict, is_own_address, outcome):
    assert shown(status, verdict, is_own_address=is_own_address).outcome == outcome


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [(Delivered(), "accepted"), (Retry("x"), "gone"), (Dead("x"), "answered")],
    ids=["accepted", "to be retried", "final"],
)
def test_an_answer_that_disables_has_a_person_see_to_it_whatever_becomes_of_its_delivery(verdict, outcome):
    what = shown(404, verdict, disables=True)
    assert (what.outcome, what.disables, paused_for(what, "x")) == (outcome, True, TURNED_OFF)
    assert not paused_for(shown(404, verdict, disables=True, is_own_address=True), "x")
    assert not paused_for(shown(404, verdict), "x")


def test_only_a_429_or_an_error_inside_a_success_makes_all_of_us_wait():
    waits = {status: shown(status, Retry("x", after_s=9)).wait_s for status in (200, 408, 425, 429, 403, 503)}
    assert waits == {200: 9, 408: 0, 425: 0, 429: 9, 403: 0, 503: 0}


EVENTS = st.sampled_from("abcde")
OUTCOMES = st.sampled_from([ACCEPTED, ANSWERED, FAILED, DENIED, NOTHING])


@given(st.lists(st.tuples(EVENTS, OUTCOMES, st.floats(0, 400)), max_size=60))
def test_a_gate_is_open_exactly_while_its_failures_or_denials_say_so(attempts):
    gate, now, failures, events = FREE, 0.0, 0, set()
    for event, what, wait_s in attempts:
        now += wait_s
        if permit(gate, OPEN_RULES, now).count:
            gate, _ = started(gate, OPEN_RULES, now, event)
        gate = learned(gate, what, now, event)
        if what is ACCEPTED:
            events.clear()
        elif what is DENIED:
            events.add(event)
        if what is not NOTHING:
            failures = failures + 1 if what is FAILED else 0
        assert gate.is_open == (failures >= OPENS_AFTER or len(events) >= HELD_AFTER)
        assert gate.is_denied == (len(events) >= HELD_AFTER)
        assert set(gate.denied) <= events


@given(st.lists(st.sampled_from([DENIED, FAILED, ANSWERED]), min_size=1, max_size=40))
def test_while_it_is_held_one_probe_goes_for_each_interval_and_never_the_event_denied_last(outcomes):
    gate, now = denied("a", "b", "c"), 0.0
    waiting, sent = ["a", "b", "c", "d"], []
    for number, what in enumerate(outcomes):
        asked = permit(gate, OPEN_RULES, now)
        assert (asked.count, asked.again_at - now) == (0, min(2.0**number, LONGEST_PROBE_S))
        now = asked.again_at
        last = permit(gate, OPEN_RULES, now).last
        event = min(waiting, key=lambda each: last.index(each) if each in last else -1)
        assert event != last[-1]
        gate, _ = started(gate, OPEN_RULES, now, event)
        gate = learned(gate, what, now, event)
        sent.append(event)
    if set(outcomes) == {DENIED}:
        assert all(len(set(four)) == len(four) for four in zip(*(sent[n:] for n in range(4)), strict=False))


# --- no access token ---


@pytest.mark.parametrize("outcome", ["login", "nothing"])
def test_without_a_token_a_probe_is_given_back_and_the_circuit_stays_as_it_was(outcome):
    gate = failed(OPENS_AFTER)
    probing, _ = started(gate, OPEN_RULES, gate.next_probe)
    after = learned(probing, Learned(outcome=outcome, was_sent=False), gate.next_probe)
    assert after.is_open
    assert after.probe == ""
    assert permit(after, OPEN_RULES, gate.next_probe).count == 1


def test_a_login_that_has_ended_pauses_with_its_own_reason_and_trouble_does_not():
    reason = "nobody has logged in yet: run `gateway login crm`"
    assert gates.paused_for(Learned(outcome="login", was_sent=False), reason) == reason
    assert gates.paused_for(Learned(outcome="gone"), "answered 410") == gates.GONE_FOR_GOOD
    assert gates.paused_for(FAILED, "answered 503") == ""


# --- whatever happens ---


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
@example(outcomes=[Learned(outcome="answered", wait_s=3), ANSWERED, *[FAILED] * 5, ANSWERED])
@example(outcomes=[Learned(outcome="answered", wait_s=3), ANSWERED, *[FAILED] * 4, ANSWERED])
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


@pytest.mark.parametrize(
    ("wait_s", "said"), [(0.5, "0.5 s"), (9.96, "10.0 s"), (42.4, "42 s"), (1792.0, "29 min 52 s"), (7200.0, "2 h")]
)
def test_how_long_it_waits_is_said_as_people_say_it(wait_s, said):
    gate = learned(Gate(), Learned(outcome="limited", wait_s=wait_s), 0.0, "d")
    assert permit(gate, OPEN_RULES, 0.0).why.endswith(f"next delivery in {said}")


def test_while_a_circuit_is_open_one_time_is_said_that_of_the_next_probe():
    rules = replace(OPEN_RULES, interval_s=30.0)
    gate = replace(denied("a", "b", "c"), last_start=0.0, next_probe=60.0)
    assert permit(gate, rules, 10.0).why == "3 different events denied, next probe in 50 s"
    assert permit(replace(gate, next_probe=20.0), rules, 10.0).why == "3 different events denied, next probe in 20 s"
