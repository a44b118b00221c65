"""The condition of a destination in one word, the same in the console, the API and on the command line. Pure."""

from collections.abc import Mapping
from typing import Any, Final

#: Percentage of ended deliveries that must be delivered for a destination to count as healthy.
GOOD_ENOUGH: Final = 95.0

#: Every condition, the most urgent first, with what it means.
CONDITIONS: Final[Mapping[str, str]] = {
    "circuit open": "it does not answer: one delivery at a time is tried, and the others wait",
    "denied": "it denied several events in a row: one at a time is tried, and the others wait",
    "giving up": "too many of its deliveries became dead letters in the last hour",
    "paused": "a person, the file or the gateway holds its deliveries",
    "probing": "its circuit is open, and one delivery is being tried",
    "throttled": "it says that it gets too many requests, and has accepted nothing since",
    "failing": "its last attempts failed",
    "dead letters": "it works, but some of its deliveries were given up",
    "healthy": "it accepts what it is sent",
    "idle": "nothing was sent to it in the last hour",
    "not in routes.yaml": "the file no longer has it, and its deliveries cannot be sent",
}
#: Those that need nobody.
UNTROUBLED: Final = frozenset({"healthy", "idle"})


def condition(destination: Mapping[str, Any]) -> str:
    """One of CONDITIONS, for a destination as ``views.destination`` describes it."""
    if destination["paused"] or destination["held"].startswith("paused"):
        return "paused"
    if not destination["in_file"]:
        return "not in routes.yaml"
    if destination["circuit"] == "open":
        return "denied" if destination["denied"] else "circuit open"
    if destination["circuit"] == "probing":
        return "probing"
    if destination["throttled"]:
        return "throttled"
    if destination["failures"] > 0:
        return "failing"
    share = success(destination)
    if share is not None and share < GOOD_ENOUGH:
        return "giving up"
    if destination["dead"]:
        return "dead letters"
    return "idle" if share is None and not destination["retried_1h"] else "healthy"


def success(destination: Mapping[str, Any]) -> float | None:
    """Percentage delivered of the deliveries that ended in the last hour; None if none did."""
    delivered, died = destination["delivered_1h"], destination["died_1h"]
    return 100 * delivered / (delivered + died) if delivered + died else None
