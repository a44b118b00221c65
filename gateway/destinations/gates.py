"""When a destination may be sent to: its rate, its circuit, a pause. Pure: ``now`` is passed in, on the monotonic clock."""

import math
import re
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.destinations.retry import DENIED, GONE
from gateway.model import Delivered, Retry, Verdict
from gateway.wording import spaced

#: A rate as it is written in the file.
RATE: Final = re.compile(r"([1-9][0-9]{0,4})/(s|min|h)|none")
_PER: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
#: Consecutive failures, over all deliveries of a destination, after which only probes are sent to it.
OPENS_AFTER: Final = 5
#: Different events denied with no success between them, after which only probes are sent to it, too.
HELD_AFTER: Final = 3
#: Seconds until the first probe, and the longest interval between two.
FIRST_PROBE_S: Final = 1.0
LONGEST_PROBE_S: Final = 300.0
#: After the wait that a 429 asked for, deliveries start this many seconds apart at first, and twice as often after each
#: STEP_S, until RAMP_S have passed: what waited does not go out at once, only to be refused again.
FIRST_PACE_S: Final = 1.0
STEP_S: Final = 5.0
RAMP_S: Final = 50.0
#: Starts due within this many seconds are granted together; each still has its own moment.
AHEAD_S: Final = 0.05


class Rules(Struct, frozen=True, kw_only=True):
    """The rules of one destination: its rate in the file, and a pause of whatever origin."""

    #: Seconds between two starts; 0: no limit.
    interval_s: float = 0.0
    #: Why nothing starts, for people; empty: it is not paused.
    paused: str = ""
    #: Seconds from now until the pause ends by itself; infinity: it does not.
    paused_for_s: float = math.inf


class Learned(Struct, frozen=True, kw_only=True):
    """What one attempt shows about its destination."""

    #: ``accepted``: a success; ``failed``: no connection, no answer in time, or a 5xx; ``denied``: a 401 or 403;
    #: ``gone``: its address is no longer in use; ``login``: a person has to log in there; ``limited``: too many requests;
    #: ``answered``: any other answer; ``nothing``: no request was sent.
    outcome: Literal["accepted", "answered", "limited", "failed", "denied", "gone", "login", "nothing"]
    #: The seconds for which it asked all of us to wait (429).
    wait_s: float = 0.0
    #: Whether its answer asks that nothing more is sent to it.
    disables: bool = False
    #: False: no access token could be had: nothing was sent, or all of it was answered 401. That is not an attempt, and costs
    #: nothing.
    was_sent: bool = True


NOTHING: Final = Learned(outcome="nothing")


class Permit(Struct, frozen=True, kw_only=True):
    """How many deliveries may start now, or when to ask again and why none may."""

    count: int
    #: Meaningful for a count of 0; infinity: only another file or a person changes it.
    again_at: float = 0.0
    #: For people; empty: nothing holds the destination.
    why: str = ""
    #: Events that may start only if no other is due, and the last of them only if nothing else is.
    last: tuple[str, ...] = ()


class Gate(Struct, frozen=True, kw_only=True):
    """What is known about one destination."""

    #: When the last delivery started, or is to start; by the rate the next one follows an interval later.
    last_start: float = -math.inf
    #: Nothing starts before this moment, because a 429 asked for it.
    waits_until: float = -math.inf
    #: Answers since the last success that said "too many requests".
    limited: int = 0
    #: Consecutive failures.
    failures: int = 0
    #: The events denied since the last success, each once, at most HELD_AFTER: the most recently denied last.
    denied: tuple[str, ...] = ()
    #: When the next probe may start; None: the circuit is closed.
    next_probe: float | None = None
    probe_interval_s: float = 0.0
    #: The delivery that is the probe in flight; empty: there is none.
    probe: str = ""

    @property
    def is_open(self) -> bool:
        """Whether its circuit is open: everything except probes waits."""
        return self.next_probe is not None

    @property
    def is_denied(self) -> bool:
        """Whether its circuit is open, or is to open, because it denies whatever is sent to it."""
        return len(self.denied) >= HELD_AFTER


def interval_s(rate: str | None) -> float:
    """The seconds between two starts for a rate that matches RATE: ``10/s``, ``60/min``; 0 for ``none``."""
    found = RATE.fullmatch(rate or "none")
    assert found is not None
    return _PER[found[2]] / int(found[1]) if found[1] else 0.0


def rate(interval_s: float) -> str:
    """The rate of an interval, in the shortest unit that gives a whole number: ``10/s``; empty for none."""
    for unit, seconds in _PER.items():
        count = seconds / interval_s if interval_s else 0.0
        if round(count) >= 1 and math.isclose(count, round(count)):
            return f"{round(count)}/{unit}"
    return ""


def opened(now: float) -> Gate:
    """The gate of a process that starts: the one before it may have started a delivery just now."""
    return Gate(last_start=now)


def resumed(gate: Gate, now: float) -> Gate:
    """After a person has seen to the destination: it need not wait any longer, and a probe is due."""
    if not gate.is_open:
        return replace(gate, waits_until=-math.inf, limited=0, denied=())
    return replace(gate, waits_until=-math.inf, limited=0, next_probe=now)


def restored(gate: Gate, durable: Gate) -> Gate:
    """With the durable part as it was stored; a probe that was in flight is forgotten."""
    restored = replace(durable, last_start=gate.last_start)
    if not durable.is_open and not gate.is_open:
        return replace(restored, failures=gate.failures, denied=gate.denied, limited=gate.limited)
    return restored


def is_news(stored: Gate, gate: Gate) -> bool:
    """Whether a gate differs from what is stored of it: its circuit, or its wait by more than a second.

    A burst of answers with 429 moves the end of the wait a little with each of them.
    """
    if gate.next_probe != stored.next_probe or (gate.is_open and gate.is_denied != stored.is_denied):
        return True
    return gate.waits_until < stored.waits_until or gate.waits_until > stored.waits_until + 1.0


def permit(gate: Gate, rules: Rules, now: float) -> Permit:
    """Whether the destination may start its next deliveries; the one place that decides it."""
    if rules.paused:
        return Permit(count=0, again_at=now + rules.paused_for_s, why=rules.paused)
    next_start = _next_start(gate, rules, now)
    if next_start > now:
        # Nothing starts before the next probe either.
        again_at = next_start if gate.next_probe is None else max(next_start, gate.next_probe)
        return Permit(count=0, again_at=again_at, why=_why_not_yet(gate, rules, again_at, now))
    if gate.next_probe is None:
        interval_s = max(rules.interval_s, _pace_s(gate, now))
        return Permit(count=int(AHEAD_S / interval_s) + 1 if interval_s else 1_000_000)
    if gate.probe:
        return Permit(count=0, again_at=math.inf, why=f"{why_open(gate.failures, gate.denied)}, a probe is in flight")
    if gate.next_probe > now:
        why = f"{why_open(gate.failures, gate.denied)}, next probe in {_in(gate.next_probe - now)}"
        return Permit(count=0, again_at=gate.next_probe, why=why)
    return Permit(count=1, last=gate.denied if gate.is_denied else ())


def _next_start(gate: Gate, rules: Rules, now: float) -> float:
    return max(gate.waits_until, gate.last_start + max(rules.interval_s, _pace_s(gate, now)))


def _pace_s(gate: Gate, now: float) -> float:
    """Seconds between two starts because a 429 asked for patience a moment ago; 0 once that is long enough ago.

    Made of the end of the wait alone, so that every replica and the next process finds the same.
    """
    since_s = now - gate.waits_until
    return FIRST_PACE_S / 2 ** (since_s // STEP_S) if 0 <= since_s < RAMP_S else 0.0


def _why_not_yet(gate: Gate, rules: Rules, next_start: float, now: float) -> str:
    """Why nothing starts before then, in words."""
    if gate.waits_until > now:
        return f"it asked to wait (too many requests), next delivery in {_in(next_start - now)}"
    if gate.next_probe is not None:
        return f"{why_open(gate.failures, gate.denied)}, next probe in {_in(next_start - now)}"
    if _pace_s(gate, now) > rules.interval_s:
        limit = "a growing pace after too many requests, "
    else:
        limit = f"rate {rate(rules.interval_s)}, " if rules.interval_s else ""
    return f"{limit}next delivery in {_in(next_start - now)}"


def is_throttled(gate: Gate, now: float) -> bool:
    """Whether a destination says that it gets too many requests, and has accepted nothing since."""
    return gate.waits_until > now or (gate.limited > 0 and not gate.is_open)


def is_free(gate: Gate, rules: Rules, now: float) -> bool:
    """Whether nothing at all holds the destination, so that a new delivery may start straight from memory."""
    return not rules.paused and not rules.interval_s and not gate.is_open and gate.waits_until + RAMP_S <= now


def may_start(gate: Gate, rules: Rules, now: float) -> bool:
    """Whether a delivery that was permitted a moment ago may still start, now or ahead of its turn."""
    return permit(gate, rules, now + 2 * AHEAD_S).count > 0


def started(gate: Gate, rules: Rules, now: float, delivery: str) -> tuple[Gate, float]:
    """The gate after a delivery has taken its turn, and the moment at which that delivery may start."""
    at = max(now, _next_start(gate, rules, now))
    return replace(gate, last_start=at, probe=delivery if gate.is_open else ""), at


def shown(status: int, verdict: Verdict, *, is_own_address: bool = False, disables: bool = False) -> Learned:
    """What an answer shows; ``is_own_address``: its path or query was made from the event; ``disables``: as in Learned.

    Any answer except a failure of its own shows that the destination works; a 429 asks all of us to wait.
    """
    found = _shown(status, verdict, is_own_address=is_own_address)
    if is_own_address or not disables:
        return found
    return replace(found, disables=True, outcome="gone" if isinstance(verdict, Retry) else found.outcome)


def _shown(status: int, verdict: Verdict, *, is_own_address: bool) -> Learned:
    if isinstance(verdict, Delivered):
        return Learned(outcome="accepted")
    if status >= 500:
        return Learned(outcome="failed")
    if not isinstance(verdict, Retry):
        return Learned(outcome="answered")
    if status in DENIED:
        return Learned(outcome="denied")
    if status == GONE and not is_own_address:
        return Learned(outcome="gone")
    if status == 429:
        return Learned(outcome="limited", wait_s=verdict.after_s)
    return Learned(outcome="answered", wait_s=verdict.after_s if status < 300 else 0.0)


def learned(gate: Gate, what: Learned, now: float, *, delivery: str, event: str) -> Gate:
    """The gate after an attempt at a delivery of an event."""
    is_probe = gate.probe == delivery
    if what.outcome in ("nothing", "login"):
        # A probe that was never sent: the next one is due.
        return replace(gate, probe="") if is_probe else gate
    waits_until = max(gate.waits_until, now + what.wait_s) if what.wait_s > 0 else gate.waits_until
    failures = gate.failures + 1 if what.outcome == "failed" else 0
    limited = gate.limited + 1 if what.outcome == "limited" else 0 if what.outcome == "accepted" else gate.limited
    after = replace(
        gate, waits_until=waits_until, limited=limited, failures=failures, denied=_denied(gate, what, event)
    )
    if failures < OPENS_AFTER and not after.is_denied:
        return replace(after, next_probe=None, probe_interval_s=0.0, probe="")
    if not gate.is_open:
        return replace(after, next_probe=now + FIRST_PROBE_S, probe_interval_s=FIRST_PROBE_S)
    if not is_probe:
        # Started before the circuit opened.
        return after
    interval_s = min(gate.probe_interval_s * 2, LONGEST_PROBE_S)
    return replace(after, next_probe=now + interval_s, probe_interval_s=interval_s, probe="")


def _denied(gate: Gate, what: Learned, event: str) -> tuple[str, ...]:
    if what.outcome == "accepted":
        return ()
    if what.outcome != "denied":
        return gate.denied
    return (*(each for each in gate.denied if each != event), event)[-HELD_AFTER:]


# --- in words ---

#: Why a destination is paused whose answer asks for it.
TURNED_OFF: Final = "its answer said webhook-delivery: disable: ask the people who run it, then resume it"
#: Why a destination that is gone is paused.
GONE_FOR_GOOD: Final = f"it answered {GONE}, gone for good: put its new address into url, then resume it"


def paused_for(what: Learned, reason: str) -> str:
    """Why an attempt pauses its destination until a person resumes it; empty: it does not. ``reason``: of the attempt."""
    if what.disables:
        return TURNED_OFF
    return GONE_FOR_GOOD if what.outcome == "gone" else reason if what.outcome == "login" else ""


def why_open(failures: int, denied: Sequence[str]) -> str:
    """Why a circuit is open, for people who look at the destination."""
    if len(denied) >= HELD_AFTER:
        return f"{HELD_AFTER} different events denied"
    return f"circuit open after {failures} consecutive failures"


def opened_message(name: str, gate: Gate, reason: str) -> str:
    """What has happened to a destination whose circuit has opened, and what to do; ``reason``: of the last attempt."""
    next_s = spaced(gate.probe_interval_s)
    if gate.is_denied:
        return (
            f"{name} denied {HELD_AFTER} different events: {reason}. Nothing succeeded between them "
            f"({', '.join(gate.denied)}): its deliveries are held, and another event is tried in {next_s}; the first success "
            "lets all of them go. Correct auth, its secret or what that login may do. If it denies only these events, their "
            "content is the cause (a web firewall, perhaps): discard them."
        )
    return (
        f"{name} failed: {reason}. That is {gate.failures} consecutive failures: its deliveries are held, and one of them "
        f"is tried in {next_s}."
    )


def closed_message(name: str, before: Gate) -> str:
    """What has happened to a destination whose circuit has closed; ``before``: the gate while it was open."""
    after = f"after {before.failures} consecutive failures"
    what = "accepts events again, after it had denied several" if before.is_denied else f"answers again, {after}"
    return f"{name} {what}. Its deliveries go out now."


def _in(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else spaced(round(seconds))
