"""The schedule of retries: pure, total, and never over its budget."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Dead, Retry
from gateway.retry import Policy, decide

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
