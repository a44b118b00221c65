"""What keeps a destination from being sent to, as it is stored; and which replica decides for a destination."""

import math
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.wording import iso_time

#: Who paused a destination if no person did.
ITSELF: Final = "the gateway"


class Terms(Struct, frozen=True, kw_only=True):
    """What a replica's file says of a destination, as far as replicas have to agree on it."""

    #: Most deliveries in flight, over all replicas.
    slots: int
    #: The longest time that one request may take, seconds.
    timeout_s: float = 0.0
    #: Whether one replica alone may send to it: it has a rate or an order, or ``fetch`` joins it to another one.
    is_paced: bool = False
    #: What destinations that ``fetch`` joins have in common: one replica holds all of them. Empty: it is joined to none.
    group: str = ""
    #: False: the file has no such destination. What waits for it ends once no replica's file has it.
    is_known: bool = True
    #: Most slots that the replica has used at a time since it asked last, and whether it could have used more.
    used: int = 0
    is_short: bool = False


class Assignment(Struct, frozen=True, kw_only=True):
    """What one replica may do with a destination."""

    #: Seconds from now until the replica must ask again; infinity: for good.
    until_s: float = math.inf
    #: Changes whenever the destination passes to another replica.
    epoch: int = 0
    #: The fraction of the destination's slots that this replica may use.
    share: float = 1.0
    #: Whether it holds the destination: one replica at a time does what is done once for all of them.
    is_holder: bool = True
    #: Whether it may claim what waits. On PostgreSQL the holder alone claims; others start what they accept, from memory.
    may_claim: bool = True


class Assigned(Struct, frozen=True):
    """What one replica may do from now on."""

    #: By destination; without those of which it may use nothing.
    destinations: Mapping[str, Assignment]
    #: Seconds until more can be taken over, unless another replica asks before; infinity: nothing.
    more_in_s: float = math.inf


class Pause(Struct, frozen=True, kw_only=True):
    """Who paused or muted a destination, and why."""

    by: str
    reason: str
    #: Seconds since the epoch, by the wall clock.
    since: float
    #: When it ends by itself; None: when somebody ends it.
    until: float | None = None


def paused_by(pause: Pause) -> str:
    """A pause in words: ``paused by ann until 2026-12-31T12:00:00Z: their migration``."""
    until = "" if pause.until is None else f" until {_moment(pause.until)}"
    return f"paused by {pause.by}{until}: {pause.reason}"


def lasting_reason(pause: Pause) -> str:
    """Why, and until when: ``their migration (until 2026-12-31T12:00:00Z)``."""
    return pause.reason if pause.until is None else f"{pause.reason} (until {_moment(pause.until)})"


def _moment(seconds: float) -> str:
    """To the second: nobody pauses anything by the millisecond."""
    return iso_time(round(seconds)).replace(".000Z", "Z")


class Circuit(Struct, frozen=True, kw_only=True):
    """The open circuit of a destination that does not answer or denies everything: only probes are sent to it."""

    #: Consecutive failures.
    failures: int
    #: The events that it has denied since the last success, the most recently denied last.
    denied: tuple[str, ...] = ()
    #: Seconds from now until the next probe is due; negative when overdue.
    next_probe_s: float
    #: Seconds between the last two probes; the next interval is twice as long.
    interval_s: float


class Hold(Struct, frozen=True, kw_only=True):
    """Everything durable that keeps one destination from being sent to, the same for every replica."""

    destination: str
    #: The number of changes so far; a change based on an older one is refused.
    rev: int = 0
    pause: Pause | None = None
    #: While it lasts nobody is notified of the destination's troubles; deliveries continue.
    mute: Pause | None = None
    #: None: closed.
    circuit: Circuit | None = None
    #: Seconds from now during which nothing starts, because the destination asked for patience (429).
    wait_s: float = 0.0
