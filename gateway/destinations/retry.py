"""When the next attempt is made, if at all: a policy's schedule, evaluated on stored facts. Nothing here sleeps."""

import math
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.errors import TooOld
from gateway.model import Dead, Delivered, Retry, Verdict
from gateway.wording import duration, spaced

if TYPE_CHECKING:
    from tenacity import BaseRetrying, RetryCallState

#: Statuses from the first up to, not including, the second: ``404`` is (404, 405), ``5xx`` is (500, 600).
Statuses = tuple[tuple[int, int], ...]


class Policy(Struct, frozen=True, kw_only=True):
    """How a failed delivery is retried: after ``first_s``, doubling up to ``max_s``, for ``for_s`` in total."""

    #: The budget of planned waiting, seconds. Zero: one attempt. Infinity: no limit.
    for_s: float = 86400
    #: The first delay, seconds; positive.
    first_s: float = 1
    #: The longest delay before jitter, seconds.
    max_s: float = 3600
    #: The fraction by which each delay is spread in both directions: 0.2 is 20 %.
    jitter: float = 0.2
    #: Every delay, in seconds, instead of ``first_s`` and ``max_s``; after the last one there are no more attempts.
    delays: tuple[float, ...] = ()
    #: The most attempts, including the first; None: as many as the budget allows.
    attempts: int | None = None
    #: How old an event may be at any attempt but the first, seconds; None: any age.
    max_age_s: float | None = None
    #: Answers that are retried whatever their kind makes of them.
    statuses: Statuses = ()
    #: Answers that are final; takes precedence over ``statuses``.
    never: Statuses = ()


#: Unauthorized and forbidden: a person corrects that, and then what waits is delivered.
DENIED: Final = frozenset({401, 403})
#: So is an address that is gone, unless it was made from the event.
GONE: Final = 410

ONCE: Final = Policy(attempts=1)


def listed(delays: tuple[float, ...]) -> Policy:
    """Exactly these delays, in seconds, and then no more."""
    return Policy(for_s=math.inf, jitter=0.0, delays=delays)


def overridden(policy: Policy, verdict: Verdict, status: int, *, is_own_address: bool = False) -> Verdict:
    """The verdict on a failed attempt after the operator's ``never`` and ``statuses``.

    ``is_own_address``: path or query of the request was made from the event.
    """
    if isinstance(verdict, Delivered):
        return verdict
    if _among(status, policy.never):
        return Dead(f"{verdict.reason}; {status} is listed in retry.never")
    if not isinstance(verdict, Dead):
        return verdict
    if status in DENIED or _among(status, policy.statuses):
        return Retry(verdict.reason)
    if status != GONE:
        return verdict
    if is_own_address:
        return Dead(f"{verdict.reason}; path or query is made from the event, so only this delivery is given up")
    return Retry(verdict.reason)


def _among(status: int, statuses: Statuses) -> bool:
    return any(low <= status < high for low, high in statuses)


def check_age(policy: Policy, *, failures: int, age_s: float) -> None:
    """Raise TooOld for an event that is too old for another attempt; the first attempt is always made."""
    if failures > 0 and policy.max_age_s is not None and age_s >= policy.max_age_s:
        raise TooOld(f"too old to be tried again, retry.max_age is {duration(policy.max_age_s)}")


def decide(
    policy: Policy, verdict: Retry, *, failures: int, spent_s: float, noise: float, age_s: float = 0.0
) -> Retry | Dead:
    """The wait until the next attempt, or Dead once the schedule is over.

    ``failures`` is the number of failed attempts in this schedule, including the one just judged; ``spent_s`` the
    waiting planned so far, and ``age_s`` the age of the event, both in seconds; ``noise`` a random number in [0, 1).
    ``verdict.after_s``, bounded by the destination's kind, is the shortest wait. Only the policy's own delay is charged
    to the budget, so a destination that asks for patience does not use it up.
    """
    strategies = _strategies(policy)
    spent = _state(strategies, max(1, failures), max(0.0, spent_s))
    own_delay = strategies.wait(spent) * (1 + policy.jitter * (2 * noise - 1))
    after_s = max(own_delay, verdict.after_s)
    spent.upcoming_sleep = own_delay
    if strategies.stop(spent):
        return Dead(f"{verdict.reason}; gave up after {_attempts(failures)}, {_end(policy, failures)}")
    try:
        check_age(policy, failures=failures, age_s=age_s + after_s)
    except TooOld as error:
        return Dead(f"{verdict.reason}; {error}")
    return Retry(verdict.reason, after_s=after_s, spent_s=own_delay)


def _state(strategies: "BaseRetrying", failures: int, passed_s: float) -> "RetryCallState":
    from tenacity import RetryCallState

    state = RetryCallState(strategies, fn=None, args=(), kwargs={})
    state.attempt_number = failures
    state.start_time = 0.0
    state.outcome_timestamp = passed_s
    return state


@lru_cache(maxsize=256)
def _strategies(policy: Policy) -> "BaseRetrying":
    from tenacity import (
        Retrying,
        stop_after_attempt,
        stop_any,
        stop_before_delay,
        wait_chain,
        wait_exponential,
        wait_fixed,
    )
    from tenacity.stop import stop_base
    from tenacity.wait import wait_base

    # A float base overflows to the longest delay at once; an int one computes 2**failures first.
    wait: wait_base = wait_exponential(multiplier=policy.first_s, max=policy.max_s, exp_base=2.0)
    if policy.delays:
        wait = wait_chain(*(wait_fixed(delay) for delay in policy.delays))
    most = _most_attempts(policy)
    ends: list[stop_base] = [] if math.isinf(policy.for_s) else [stop_before_delay(policy.for_s)]
    return Retrying(wait=wait, stop=stop_any(*ends, *([] if most is None else [stop_after_attempt(most)])))


def _most_attempts(policy: Policy) -> int | None:
    of_list = len(policy.delays) + 1 if policy.delays else None
    return min((most for most in (of_list, policy.attempts) if most is not None), default=None)


def longest_s(policy: Policy) -> float:
    """The total waiting that a policy plans for a delivery that always fails, without jitter, in seconds."""
    if policy.attempts is None and not policy.delays:
        return policy.for_s
    waits = policy.delays or (min(policy.first_s * 2.0**number, policy.max_s) for number in range(1000))
    most = _most_attempts(policy)
    assert most is not None
    return min(policy.for_s, math.fsum(islice(waits, most - 1)))


# --- in words ---


def _end(policy: Policy, failures: int) -> str:
    most = _most_attempts(policy)
    if most is None or failures < most:
        return f"retry.for is {duration(policy.for_s)}"
    if policy.delays and most > len(policy.delays):
        return f"retry has {len(policy.delays)} delays"
    return "retry is none" if policy.attempts == 1 else f"retry.attempts is {policy.attempts}"


def schedule(policy: Policy) -> str:
    """All of it in one line: ``retried after 1 s, 2 s, 4 s ... up to 1 h, for 24 h (about 37 attempts)``."""
    waits = _waits(policy)
    if not waits:
        return "tried once"
    bounds = [] if math.isinf(policy.for_s) else [f"for {spaced(policy.for_s)}"]
    if policy.max_age_s is not None:
        bounds.append(f"until the event is {spaced(policy.max_age_s)} old")
    about = "about " if policy.jitter and not math.isinf(policy.for_s) else ""
    attempts = f"({about}{_attempts(len(waits) + _repeated(policy, waits) + 1)})"
    return f"{', '.join([f'retried after {_shortened(waits)}', *bounds])} {attempts}"


def _waits(policy: Policy) -> list[float]:
    """The delays of a delivery that always fails, without jitter; unless they are a list, only until they repeat."""
    waits: list[float] = []
    reference = Retry("")
    while policy.delays or waits[-1:] != waits[-2:-1] or not waits:
        spent_s = math.fsum(waits)
        found = decide(policy, reference, failures=len(waits) + 1, spent_s=spent_s, noise=0.5, age_s=spent_s)
        if isinstance(found, Dead):
            break
        waits.append(found.after_s)
    return waits


def _repeated(policy: Policy, waits: list[float]) -> int:
    """How many more times the last of these delays comes; computed, for there may be millions."""
    if policy.delays or waits[-1:] != waits[-2:-1]:
        return 0
    end_s = min(policy.for_s, math.inf if policy.max_age_s is None else policy.max_age_s)
    left = math.ceil(round((end_s - math.fsum(waits)) / waits[-1], 9)) - 1 if math.isfinite(end_s) else math.inf
    most = math.inf if policy.attempts is None else policy.attempts - 1 - len(waits)
    return int(max(0, min(left, most)))


def _shortened(waits: list[float]) -> str:
    """The first ones, and the longest if it repeats or the list is long."""
    grows = next((at + 1 for at, (one, other) in enumerate(pairwise(waits)) if one == other), len(waits))
    different = waits[:grows]
    if len(different) <= 5:
        return ", ".join(map(spaced, different))
    return f"{', '.join(map(spaced, different[:3]))} ... up to {spaced(different[-1])}"


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"
