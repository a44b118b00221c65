"""What the hours of a destination do to it: while they are over nothing starts, as if it were paused."""

from typing import Final

from msgspec.structs import replace

from gateway.destinations.gates import Rules
from gateway.routing.hours import Hours
from gateway.routing.timing import Waiting

#: How often to look at the clock while they are over: somebody may set it, seconds.
LOOK_AT_CLOCK_S: Final = 60.0


def within_hours(rules: Rules, hours: Hours, now: float) -> Rules:
    """The rules of a destination, with the wait for its hours to open; ``now``: wall clock. A pause takes precedence."""
    waits_s = 0.0 if rules.paused else hours.opens_in(now)
    if not waits_s:
        return rules
    said = Waiting(now + waits_s, hours.zone).words(now)
    return replace(rules, paused=said, paused_for_s=min(waits_s, LOOK_AT_CLOCK_S))
