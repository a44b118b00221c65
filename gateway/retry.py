"""When the next attempt is made: a policy's schedule evaluated on stored facts. Nothing here sleeps."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.model import Dead, Retry

if TYPE_CHECKING:
    from tenacity import BaseRetrying


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a failed delivery is tried again: ``first_s`` doubling up to ``max_s``, for ``for_s`` in total."""

    #: The budget of planned waiting, seconds. Zero: one attempt.
    for_s: float = 86400
    #: The first delay, seconds; above zero.
    first_s: float = 1
    #: The longest delay before jitter, seconds.
    max_s: float = 3600
    #: Each delay is spread by so much in both directions: 0.2 is 20 %.
    jitter: float = 0.2


def decide(policy: Policy, verdict: Retry, *, failures: int, spent_s: float, noise: float) -> Retry | Dead:
    """The wait until the next attempt, or Dead once it would go over the budget ``for_s``.

    ``failures`` is the number of failed attempts in this schedule, the one just judged included;
    ``spent_s`` the waiting planned so far, seconds; ``noise`` a random number in [0, 1).
    ``verdict.after_s``, which its destination's kind has bounded, is the least wait; only the policy's own delay is
    charged to the budget, so a destination that asks for patience does not use it up.
    """
    from tenacity import RetryCallState

    strategies = _strategies(policy)
    state = RetryCallState(strategies, fn=None, args=(), kwargs={})
    state.attempt_number = max(1, failures)
    state.start_time = 0.0
    state.outcome_timestamp = max(0.0, spent_s)
    own_delay = strategies.wait(state) * (1 + policy.jitter * (2 * noise - 1))
    state.upcoming_sleep = own_delay
    if strategies.stop(state):
        return Dead(f"{verdict.reason}; gave up after {_attempts(failures)}, retry.for is {_duration(policy.for_s)}")
    return Retry(verdict.reason, after_s=max(own_delay, verdict.after_s), spent_s=own_delay)


@lru_cache(maxsize=256)
def _strategies(policy: Policy) -> "BaseRetrying":
    from tenacity import Retrying, stop_before_delay, wait_exponential

    # A float base overflows to the longest delay at once; an int one computes 2**failures first.
    wait = wait_exponential(multiplier=policy.first_s, max=policy.max_s, exp_base=2.0)
    return Retrying(wait=wait, stop=stop_before_delay(policy.for_s))


def _attempts(failures: int) -> str:
    return "1 attempt" if failures == 1 else f"{failures} attempts"


def _duration(seconds: float) -> str:
    """``24h``, ``1h30m``, ``45s``, ``0.5s``: as it would be written in routes.yaml."""
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
