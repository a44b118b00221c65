"""The current status of a destination, for people."""

from typing import Literal

from msgspec import Struct

from gateway.store.holds import Pause


class Standing(Struct, frozen=True, kw_only=True):
    """The current status of one destination."""

    #: What holds it, in words; empty: nothing does.
    held: str
    circuit: Literal["closed", "open", "probing"]
    #: Consecutive failures.
    failures: int
    #: The events denied since the last success, if that is why the circuit is open.
    denied: tuple[str, ...] = ()
    #: Whether it says that it gets too many requests, and has accepted nothing since.
    throttled: bool = False
    #: Slots taken.
    in_flight: int
    #: By a person or the gateway; a pause in the file is not here.
    paused: Pause | None
    muted: Pause | None
