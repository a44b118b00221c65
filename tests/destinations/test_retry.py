"""The schedule of retries: pure, total, and never over its budget."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.destinations.retry import ONCE, Policy, check_age, decide, listed, overridden
from gateway.destinations.retry import schedule as in_words
from gateway.errors import TooOld
from gateway.model import Dead, Delivered, Retry

DAY_S = 86400.0
MIDDLE = 0.5  # the noise that leaves a delay as it is


def schedule(policy: Policy, *, noise: float = MIDDLE, after_s: float = 0.0) -> tuple[list[Retry], Dead]:
    """Every wait of a delivery that always fails, and how it ends."""
    waits: list[Retry] = []
    while True:
        spent = sum(wait.spent_s for wait in waits)
        decision = decide(
            policy, Retry("answered 503", after_s=after_s), failures=len(waits) + 1, spent_s=spent, noise=noise
        )
        if isinstance(decision, Dead):
            return waits, decision
        waits.append(decision)


def test_the_delays_double_from_the_first_to_the_longest() -> None:
    waits, _ = schedule(Policy(for_s=300, first_s=1, max_s=60))
    assert [wait.after_s for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_day_of_retries_is_the_default_and_says_so_when_it_ends() -> None:
    waits, dead = schedule(Policy())
    assert [wait.after_s for wait in waits[:13]] == [2.0**n for n in range(12)] + [3600]
    assert DAY_S - 3600 <= sum(wait.spent_s for wait in waits) <= DAY_S
    assert dead == Dead(f"answered 503; gave up after {len(waits) + 1} attempts, retry.for is 24h")


@pytest.mark.parametrize(
    ("for_s", "words"),
    [
        (0, "1 attempt, retry.for is 0s"),
        (0.5, "1 attempt, retry.for is 0.5s"),
        (90, "7 attempts, retry.for is 1m30s"),
        (5400, "13 attempts, retry.for is 1h30m"),
    ],
)
def test_the_end_is_told_in_the_words_of_routes_yaml(for_s: float, words: str) -> None:
    _, dead = schedule(Policy(for_s=for_s))
    assert dead.reason == f"answered 503; gave up after {words}"


def test_a_longer_retry_after_is_waited_for_and_not_charged() -> None:
    decision = decide(Policy(), Retry("answered 429", after_s=120), failures=1, spent_s=0, noise=MIDDLE)
    assert decision == Retry("answered 429", after_s=120, spent_s=1)


def test_a_shorter_retry_after_changes_nothing() -> None:
    decision = decide(Policy(), Retry("answered 429", after_s=2), failures=5, spent_s=15, noise=MIDDLE)
    assert decision == Retry("answered 429", after_s=16, spent_s=16)


def test_a_destination_that_asks_for_patience_gets_as_many_attempts_as_any_other() -> None:
    assert len(schedule(Policy(), after_s=DAY_S)[0]) == len(schedule(Policy())[0])


policies = st.builds(
    Policy,
    for_s=st.floats(0, 1e6),
    first_s=st.floats(0.01, 1e4),
    max_s=st.floats(0.01, 1e5),
    jitter=st.floats(0, 0.9),
)
noises = st.floats(0, 1, exclude_max=True)
#: What the kinds of destination make of a Retry-After.
hints = st.floats(0, DAY_S)


@given(policies, st.integers(1, 60), noises)
def test_every_delay_is_within_the_jitter_of_the_schedule(policy: Policy, failures: int, noise: float) -> None:
    generous = Policy(for_s=1e12, first_s=policy.first_s, max_s=policy.max_s, jitter=policy.jitter)
    decision = decide(generous, Retry("x"), failures=failures, spent_s=0, noise=noise)
    assert isinstance(decision, Retry)
    planned = min(policy.first_s * 2.0 ** (failures - 1), policy.max_s)
    assert planned * (1 - policy.jitter) * 0.999999 <= decision.after_s <= planned * (1 + policy.jitter) * 1.000001
    assert decision.after_s == decision.spent_s


@given(policies, st.lists(noises, min_size=1, max_size=200), hints)
def test_the_planned_waiting_never_exceeds_the_budget(policy: Policy, noise: list[float], hint: float) -> None:
    spent = 0.0
    for failures, each in enumerate(noise, 1):
        decision = decide(policy, Retry("x", after_s=hint), failures=failures, spent_s=spent, noise=each)
        if isinstance(decision, Dead):
            break
        spent += decision.spent_s
        assert spent <= policy.for_s


@given(policies, st.integers(), st.floats(), hints, noises)
def test_a_decision_is_made_of_any_facts_at_all(
    policy: Policy, failures: int, spent_s: float, hint: float, noise: float
) -> None:
    decision = decide(policy, Retry("x", after_s=hint), failures=failures, spent_s=spent_s, noise=noise)
    if isinstance(decision, Retry):
        assert 0 <= decision.after_s < math.inf
        assert 0 <= decision.spent_s <= decision.after_s


# --- lists, attempts, age, statuses ---


def test_a_list_of_waits_is_followed_to_its_end_without_jitter() -> None:
    waits, dead = schedule(listed((1, 10, 60)), noise=0.0)
    assert [wait.after_s for wait in waits] == [1, 10, 60]
    assert dead == Dead("answered 503; gave up after 4 attempts, retry has 3 delays")


def test_none_is_one_attempt() -> None:
    assert schedule(ONCE) == ([], Dead("answered 503; gave up after 1 attempt, retry is none"))


def test_attempts_end_a_schedule_before_its_budget() -> None:
    waits, dead = schedule(Policy(attempts=4))
    assert [wait.after_s for wait in waits] == [1, 2, 4]
    assert dead.reason == "answered 503; gave up after 4 attempts, retry.attempts is 4"


def test_an_event_that_would_be_too_old_at_the_next_attempt_is_dead_now() -> None:
    policy = Policy(max_age_s=60)
    retried = decide(policy, Retry("answered 503"), failures=3, spent_s=3, noise=MIDDLE, age_s=50)
    assert isinstance(retried, Retry)
    dead = decide(policy, Retry("answered 503"), failures=5, spent_s=15, noise=MIDDLE, age_s=50)
    assert dead == Dead("answered 503; too old to be tried again, retry.max_age is 1m")
    asked_to_wait = Retry("answered 429", after_s=30)
    assert isinstance(decide(policy, asked_to_wait, failures=1, spent_s=0, noise=MIDDLE, age_s=40), Dead)


def test_the_first_attempt_is_made_however_old_the_event_is() -> None:
    check_age(Policy(max_age_s=60), failures=0, age_s=1e9)
    with pytest.raises(TooOld):
        check_age(Policy(max_age_s=60), failures=1, age_s=60)


@pytest.mark.parametrize(
    ("status", "verdict", "expected"),
    [
        (404, Dead("answered 404"), Retry("answered 404")),
        (503, Retry("answered 503", after_s=9), Retry("answered 503", after_s=9)),
        (501, Retry("answered 501"), Dead("answered 501; 501 is listed in retry.never")),
        (409, Dead("answered 409"), Dead("answered 409; 409 is listed in retry.never")),
        (410, Dead("answered 410"), Retry("answered 410")),
        (422, Dead("answered 422"), Dead("answered 422")),
        (404, Delivered(), Delivered()),
        (501, Delivered(), Delivered()),
    ],
)
def test_the_operators_statuses_go_before_the_table_and_never_before_them(status, verdict, expected) -> None:
    policy = Policy(statuses=((404, 405), (409, 410), (500, 600)), never=((501, 502), (409, 410)))
    assert overridden(policy, verdict, status) == expected


@pytest.mark.parametrize(
    ("policy", "status", "expected"),
    [
        (Policy(), 410, Dead("no; path or query is made from the event, so only this delivery is given up")),
        (Policy(statuses=((410, 411),)), 410, Retry("no")),
        (Policy(never=((410, 411),)), 410, Dead("no; 410 is listed in retry.never")),
        (Policy(), 403, Retry("no")),
        (Policy(), 404, Dead("no")),
    ],
)
def test_a_410_at_an_address_made_from_the_event_is_about_that_event(policy, status, expected) -> None:
    assert overridden(policy, Dead("no"), status, is_own_address=True) == expected


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(), "retried after 1 s, 2 s, 4 s ... up to 1 h, for 24 h (about 35 attempts)"),
        (Policy(for_s=0), "tried once"),
        (ONCE, "tried once"),
        (listed((1, 10, 60)), "retried after 1 s, 10 s, 1 min (4 attempts)"),
        (Policy(attempts=3, jitter=0), "retried after 1 s, 2 s, for 24 h (3 attempts)"),
        (
            Policy(for_s=60, max_age_s=30),
            "retried after 1 s, 2 s, 4 s, 8 s, for 1 min, until the event is 30 s old (about 5 attempts)",
        ),
    ],
)
def test_a_schedule_is_told_in_one_line(policy, words) -> None:
    assert in_words(policy) == words


@given(
    for_s=st.integers(0, 2_000),
    first_s=st.integers(10, 200),
    max_s=st.integers(10, 200),
    attempts=st.none() | st.integers(1, 40),
)
def test_the_attempts_that_are_told_are_those_that_are_made(for_s, first_s, max_s, attempts) -> None:
    policy = Policy(for_s=for_s, first_s=first_s, max_s=max_s, attempts=attempts, jitter=0)
    waits, _ = schedule(policy)
    told = in_words(policy)
    assert told == "tried once" if not waits else told.endswith(f" ({len(waits) + 1} attempts)")


def test_a_schedule_of_millions_of_attempts_is_told_at_once() -> None:
    policy = Policy(for_s=30 * DAY_S, first_s=0.1, max_s=0.1)
    assert in_words(policy) == "retried after 0.1 s, for 30 d (about 25920000 attempts)"


@given(
    delays=st.lists(st.floats(0.1, 86400), min_size=1, max_size=20),
    attempts=st.none() | st.integers(1, 30),
    noise=st.floats(0, 1, exclude_max=True),
)
def test_a_list_never_has_more_attempts_than_it_says(delays, attempts, noise) -> None:
    policy = Policy(for_s=math.inf, jitter=0.0, delays=tuple(delays), attempts=attempts)
    waits, _ = schedule(policy, noise=noise)
    assert [wait.after_s for wait in waits] == delays[: None if attempts is None else attempts - 1]
