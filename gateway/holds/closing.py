"""What the hours of a destination do to it: while they are over nothing starts, as if it were paused."""

from typing import Final

from msgspec.structs import replace

from gateway.destinations.gates import Rules
from gateway.routing import Destination
from gateway.routing.timing import Waiting

#: How often to look at the clock while they are over: somebody may set it, seconds.
LOOK_AT_CLOCK_S: Final = 60.0


def within_hours(rules: Rules, destination: Destination | None, now: float) -> Rules:
    """The rules of a destination, with the wait for its hours to open; ``now``: wall clock. A pause takes precedence."""
    if destination is None or destination.hours is None or rules.paused:
        return rules
    waits_s = destination.hours.opens_in(now)
    if not waits_s:
        return rules
    said = Waiting(now + waits_s, destination.hours.zone).words(now)
    return replace(rules, paused=said, paused_for_s=min(waits_s, LOOK_AT_CLOCK_S))
