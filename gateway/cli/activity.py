"""``gateway activity``: what people did, and how far a replay, a discard or an erasure has come."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import pages, terminal
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part
from gateway.wording import count


def activity(place: Place, *, limit: int, before: str, as_json: bool) -> int:
    """Print who did what, the newest first."""
    page = place.ask(lambda asked: asked.activity(limit=limit, before=before))
    if as_json:
        terminal.print_json(page["activity"])
    elif not page["activity"]:
        terminal.say("No activity yet.")
    else:
        times = terminal.moments([each["at"] for each in page["activity"]])
        rows = [_row(at, each) for at, each in zip(times, page["activity"], strict=True)]
        terminal.show_table(_COLUMNS, rows)
    pages.say_how_to_continue(page)
    return 0


_COLUMNS: Final = (
    Column("at"), Column("by", least=6), Column("did"), Column("to", least=10), Column("outcome", least=10),
    Column("reason", least=8, leave=2), Column("id", leave=1),
)  # fmt: skip


def _row(at: str, each: Mapping[str, Any]) -> Sequence[Sequence[Part]]:
    return [
        [at], [each["by"]], [each["verb"]], [each["subject"]], [outcome(each)], [each["reason"]],
        [each["id"]],
    ]  # fmt: skip


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
