"""What came of a replay, a discard, an erasure or a reload, in words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.wording import count

#: What the subject of a reload begins with that left the old file in force.
REFUSED: Final = "refused: "


def deed(activity: Mapping[str, Any]) -> str:
    """What somebody did, in a word or two: ``replay``, ``reload refused``."""
    return f"{activity['verb']} refused" if is_refused(activity) else str(activity["verb"])


def is_refused(activity: Mapping[str, Any]) -> bool:
    """Whether it is a reload that left the old file in force."""
    return bool(activity["verb"] == "reload" and activity["subject"].startswith(REFUSED))


def outcome(activity: Mapping[str, Any]) -> str:
    """How far a replay, a discard or an erasure has come: ``998 delivered, 2 dead``, ``14 events forgotten``."""
    progress = activity["progress"]
    if progress is None:
        return ""
    if activity["verb"] == "forget":
        return _forgotten(progress)
    left = progress["total"] - progress["moved"]
    counts = (
        ("delivered", progress["delivered"]),
        ("dead", progress["dead"]),
        ("waiting", progress["pending"]),
        ("not sent", progress["not_sent"]),
    )
    said = [f"{number:,} {what}" for what, number in counts if number]
    said += [f"{left:,} not reached"] if left > 0 else []
    said += [f"stopped by {progress['stopped_by']}"] if progress["stopped_by"] else []
    return ", ".join(said) or f"{progress['moved']:,} of {progress['total']:,}"


def _forgotten(progress: Mapping[str, Any]) -> str:
    said = [f"{count(progress['moved'], 'event')} forgotten"]
    said += [f"{count(progress['discarded'], 'delivery', 'deliveries')} discarded"] if progress["discarded"] else []
    said += [f"stopped by {progress['stopped_by']}"] if progress["stopped_by"] else []
    said += [] if progress["finished"] else ["in progress"]
    return ", ".join(said)
