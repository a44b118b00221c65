"""The condition of a destination in one word, the same in the console, the API and on the command line. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.wording import spaced

#: Percentage of the last hour's ended deliveries above which the failure of the last ones is not yet ``giving up``.
GOOD_ENOUGH: Final = 95.0

#: Every condition, the most urgent first, with what it means.
CONDITIONS: Final[Mapping[str, str]] = {
    "circuit open": "its last attempts failed: one delivery at a time is tried, and the others wait",
    "denied": "it denied several events in a row: one at a time is tried, and the others wait",
    "giving up": "the last of its deliveries became dead letters, as did more than 5 % of those of the last hour",
    "paused": "a person, the file or the gateway holds its deliveries",
    "probing": "its circuit is open, and one delivery is being tried",
    "throttled": "it says that it gets too many requests, and has accepted nothing since",
    "failing": "its last attempts failed",
    "dead letters": "some of its deliveries were given up, and nobody has replayed or discarded them",
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
    share, (delivered, died) = success(destination), _last(destination)
    if share is not None and share < GOOD_ENOUGH and died and not delivered:
        return "giving up"
    if destination["dead"]:
        return "dead letters"
    return "idle" if share is None and not destination["retried_1h"] else "healthy"


def success(destination: Mapping[str, Any]) -> float | None:
    """Percentage delivered of the deliveries that ended in the last hour; None if none did."""
    delivered, died = destination["delivered_1h"], destination["died_1h"]
    return 100 * delivered / (delivered + died) if delivered + died else None


def lately(destination: Mapping[str, Any]) -> str:
    """``works now; 4 died in the last hour, the last one 12 min ago``: what its condition does not say; empty: nothing."""
    delivered, _ = _last(destination)
    works = "works now" if delivered and destination["condition"] == "dead letters" else ""
    died = destination["traffic"]["died"]
    since = next((minutes for minutes, number in enumerate(reversed(died)) if number), None)
    if since is None:
        return works
    ago = f"{spaced(since * 60)} ago" if since else "just now"
    last = f"the last one {ago}" if sum(died) > 1 else ago
    return "; ".join(filter(None, [works, f"{sum(died):,} died in the last hour, {last}"]))


def _last(destination: Mapping[str, Any]) -> tuple[int, int]:
    """How many were delivered and how many died in the last minute in which a delivery ended."""
    traffic = destination["traffic"]
    minutes = zip(reversed(traffic["delivered"]), reversed(traffic["died"]), strict=True)
    return next(((delivered, died) for delivered, died in minutes if delivered or died), (0, 0))
