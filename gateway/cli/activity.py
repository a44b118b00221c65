"""``gateway activity``: what people did, and how far a replay, a discard or an erasure has come."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import pages, terminal
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part
from gateway.operate.outcomes import outcome


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
