"""When a destination may be sent to: its rate, its circuit, a pause. Pure: ``now`` is passed in, on the monotonic clock."""

import math
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

#: A rate as it is written.
RATE: Final = re.compile(r"([1-9][0-9]{0,4})/(s|min|h)|none")
_PER: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
#: Failures in a row, over all deliveries of a destination, after which it is left alone but for probes.
OPENS_AFTER: Final = 5
#: Answers in a row that do not accept the login, after which a person is needed.
PAUSES_AFTER: Final = 3
#: Between probes, seconds: the first wait, and the longest that it grows to.
FIRST_PROBE_S: Final = 30.0
LONGEST_PROBE_S: Final = 300.0
#: Starts that fit into this time are granted together, seconds; each still has its own moment.
AHEAD_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the file says of one destination."""

    #: Between two starts, seconds; 0: no limit.
    interval_s: float = 0.0
    #: Why nothing starts, for people; empty: it is not paused.
    paused: str = ""
    #: When a pause ends by itself, seconds from now; infinity: it does not.
    paused_for_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one attempt says about its destination."""

    #: ``failed``: no connection, no answer in time, or a 5xx; ``denied``: it does not accept the login; ``gone``: it is
    #: there no more; ``answered``: any other answer; ``nothing``: it was not asked.
    outcome: Literal["answered", "failed", "denied", "gone", "nothing"]
    #: It asked all of us to wait so long (429), seconds.
    wait_s: float = 0.0


NOTHING: Final = Learned(outcome="nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """How many deliveries may start now, or when to ask again and why not now."""

    count: int
    #: Meaningful for a count of 0; infinity: only another file or a person changes it.
    again_at: float = 0.0
    #: For people; empty: nothing holds it.
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is remembered of one destination while the process lives."""

    #: When the last delivery started, or is to start: by the rate the next one follows an interval later.
    last_start: float = -math.inf
    #: Nothing starts before it: what a 429 asked for.
    waits_until: float = -math.inf
    #: In a row.
    failures: int = 0
    #: When the next probe may start; None: the circuit is closed.
    next_probe: float | None = None
    probe_interval_s: float = 0.0
    is_probing: bool = False
    #: Answers in a row that do not accept the login.
    denials: int = 0

    @property
    def is_open(self) -> bool:
        """Whether its circuit is open: all but probes waits."""
        return self.next_probe is not None


def interval_s(rate: str | None) -> float:
    """The seconds between two starts at a rate that RATE fits: ``10/s``, ``60/min``; 0 for ``none``."""
    found = RATE.fullmatch(rate or "none")
    assert found is not None
    return _PER[found[2]] / int(found[1]) if found[1] else 0.0


def rate(interval_s: float) -> str:
    """The rate of an interval, in the shortest unit that has a whole number of it: ``10/s``; empty for none."""
    for unit, seconds in _PER.items():
        count = seconds / interval_s if interval_s else 0.0
        if round(count) >= 1 and math.isclose(count, round(count)):
            return f"{round(count)}/{unit}"
    return ""


def opened(now: float) -> Gate:
    """Of a process that begins: the one before it may have started something just now."""
    return Gate(last_start=now)


def resumed(gate: Gate, now: float) -> Gate:
    """Of a destination that a person has seen to: what it asked for is forgotten, and a probe is due."""
    next_probe = now if gate.is_open else None
    return replace(gate, waits_until=-math.inf, denials=0, next_probe=next_probe)


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
        return Permit(count=0, again_at=math.inf, why=f"circuit open after {_failures(gate)}, a probe is on its way")
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
    """A delivery takes its turn; the moment at which it may start is the second value."""
    at = max(now, _next_start(gate, rules))
    return replace(gate, last_start=at, is_probing=gate.is_open), at


def learned(gate: Gate, what: Learned, now: float) -> Gate:
    """What is remembered after an attempt."""
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
    """Why a destination is to be paused after an attempt that ``gate`` has learned from; empty: it is not."""
    if what.outcome == "gone":
        return "it answered 410, gone for good: put its new address into url, then resume it"
    if what.outcome == "denied" and gate.denials >= PAUSES_AFTER:
        return f"it denied the login {gate.denials} times in a row: correct auth or its secret, then resume it"
    return ""


def _failures(gate: Gate) -> str:
    return f"{gate.failures} failures in a row"


def _in(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
