"""When a destination may be sent to: its rate, its circuit, a pause. Pure: ``now`` is passed in, on the monotonic clock."""

import math
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

#: A rate as it is written in the file.
RATE: Final = re.compile(r"([1-9][0-9]{0,4})/(s|min|h)|none")
_PER: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
#: Consecutive failures, over all deliveries of a destination, after which only probes are sent to it.
OPENS_AFTER: Final = 5
#: Consecutive answers that refuse the login, after which a person is needed.
PAUSES_AFTER: Final = 3
#: Seconds until the first probe, and the longest interval between two.
FIRST_PROBE_S: Final = 30.0
LONGEST_PROBE_S: Final = 300.0
#: Starts due within this many seconds are granted together; each still has its own moment.
AHEAD_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one destination: its rate in the file, and a pause of whatever origin."""

    #: Seconds between two starts; 0: no limit.
    interval_s: float = 0.0
    #: Why nothing starts, for people; empty: it is not paused.
    paused: str = ""
    #: Seconds from now until the pause ends by itself; infinity: it does not.
    paused_for_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one attempt shows about its destination."""

    #: ``failed``: no connection, no answer in time, or a 5xx; ``denied``: the login was refused; ``gone``: a 410;
    #: ``answered``: any other answer; ``nothing``: no request was sent.
    outcome: Literal["answered", "failed", "denied", "gone", "nothing"]
    #: The seconds for which it asked all of us to wait (429).
    wait_s: float = 0.0


NOTHING: Final = Learned(outcome="nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """How many deliveries may start now, or when to ask again and why none may."""

    count: int
    #: Meaningful for a count of 0; infinity: only another file or a person changes it.
    again_at: float = 0.0
    #: For people; empty: nothing holds the destination.
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is known about one destination."""

    #: When the last delivery started, or is to start; by the rate the next one follows an interval later.
    last_start: float = -math.inf
    #: Nothing starts before this moment, because a 429 asked for it.
    waits_until: float = -math.inf
    #: Consecutive failures.
    failures: int = 0
    #: When the next probe may start; None: the circuit is closed.
    next_probe: float | None = None
    probe_interval_s: float = 0.0
    is_probing: bool = False
    #: Consecutive answers that refuse the login.
    denials: int = 0

    @property
    def is_open(self) -> bool:
        """Whether its circuit is open: everything except probes waits."""
        return self.next_probe is not None


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
    next_probe = now if gate.is_open else None
    return replace(gate, waits_until=-math.inf, denials=0, next_probe=next_probe)


def restored(
    gate: Gate, *, failures: int, next_probe: float | None, probe_interval_s: float, waits_until: float
) -> Gate:
    """With the durable part as it was stored; a probe that was in flight is forgotten."""
    if next_probe is None and not gate.is_open:
        failures = gate.failures
    return replace(
        gate,
        failures=failures,
        next_probe=next_probe,
        probe_interval_s=probe_interval_s,
        is_probing=False,
        waits_until=waits_until,
    )


def is_news(stored: Gate, gate: Gate) -> bool:
    """Whether a gate differs from what is stored of it: its circuit, or its wait by more than a second.

    A burst of answers with 429 moves the end of the wait a little with each of them.
    """
    if gate.next_probe != stored.next_probe:
        return True
    return gate.waits_until < stored.waits_until or gate.waits_until > stored.waits_until + 1.0


def permit(gate: Gate, rules: Rules, now: float) -> Permit:
    """Whether the destination may start its next deliveries; the one place that decides it."""
    if rules.paused:
        return Permit(count=0, again_at=now + rules.paused_for_s, why=rules.paused)
    next_start = _next_start(gate, rules)
    if next_start > now:
        return Permit(count=0, again_at=next_start, why=f"next start in {_in(next_start - now)}")
    if gate.next_probe is None:
        return Permit(count=int(AHEAD_S / rules.interval_s) + 1 if rules.interval_s else 1_000_000)
    if gate.is_probing:
        return Permit(count=0, again_at=math.inf, why=f"circuit open after {_failures(gate)}, a probe is in flight")
    if gate.next_probe > now:
        why = f"circuit open after {_failures(gate)}, next probe in {_in(gate.next_probe - now)}"
        return Permit(count=0, again_at=gate.next_probe, why=why)
    return Permit(count=1)


def _next_start(gate: Gate, rules: Rules) -> float:
    return max(gate.waits_until, gate.last_start + rules.interval_s)


def is_free(gate: Gate, rules: Rules, now: float) -> bool:
    """Whether nothing at all holds the destination, so that a new delivery may start straight from memory."""
    return not rules.paused and not rules.interval_s and not gate.is_open and gate.waits_until <= now


def started(gate: Gate, rules: Rules, now: float) -> tuple[Gate, float]:
    """The gate after a delivery has taken its turn, and the moment at which that delivery may start."""
    at = max(now, _next_start(gate, rules))
    return replace(gate, last_start=at, is_probing=gate.is_open), at


def learned(gate: Gate, what: Learned, now: float) -> Gate:
    """The gate after an attempt."""
    if what.outcome == "nothing":
        # A probe that was never sent: the next one is due.
        return replace(gate, is_probing=False)
    waits = replace(gate, waits_until=max(gate.waits_until, now + what.wait_s)) if what.wait_s > 0 else gate
    if what.outcome != "failed":
        denials = gate.denials + 1 if what.outcome == "denied" else 0
        return replace(waits, failures=0, next_probe=None, probe_interval_s=0.0, is_probing=False, denials=denials)
    waits = replace(waits, denials=0)
    failures = gate.failures + 1
    if gate.next_probe is None:
        if failures < OPENS_AFTER:
            return replace(waits, failures=failures)
        return replace(waits, failures=failures, next_probe=now + FIRST_PROBE_S, probe_interval_s=FIRST_PROBE_S)
    if not gate.is_probing:
        # Started before the circuit opened.
        return replace(waits, failures=failures)
    interval_s = min(gate.probe_interval_s * 2, LONGEST_PROBE_S)
    return replace(waits, failures=failures, next_probe=now + interval_s, probe_interval_s=interval_s, is_probing=False)


def must_pause(gate: Gate, what: Learned) -> str:
    """Why a destination must be paused after an attempt that ``gate`` has learned from; empty: it need not be."""
    if what.outcome == "gone":
        return "it answered 410, gone for good: put its new address into url, then resume it"
    if what.outcome == "denied" and gate.denials >= PAUSES_AFTER:
        return f"it refused the login {gate.denials} times in a row: correct auth or its secret, then resume it"
    return ""


def _failures(gate: Gate) -> str:
    return f"{gate.failures} failures in a row"


def _in(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
