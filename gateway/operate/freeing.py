"""What resuming a destination did, or trying it at once. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from gateway.holds.standing import Standing

Freed = Literal["resumed", "probed", "unthrottled", "still_paused", "nothing"]
#: In words, after the name of the destination.
FREED: Final[Mapping[Freed, str]] = {
    "resumed": "is resumed: what waits for it goes out now",
    "probed": "is tried now with one delivery: if it is accepted, the rest follow",
    "unthrottled": "is sent to again now, although it asked to wait",
    "still_paused": "is still paused",
    "nothing": "was not paused, and nothing holds it now",
}


def freed(before: Standing, after: Standing, *, was_paused: bool) -> Freed:
    """What became of a destination whose standing was ``before``."""
    if after.held.startswith("paused"):
        return "still_paused"
    if before.circuit != "closed":
        return "probed"
    if was_paused:
        return "resumed"
    return "unthrottled" if before.throttled else "nothing"
