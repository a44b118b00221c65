"""``gateway refused``: requests that were refused, and what to do about each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import terminal
from gateway.cli.names import refuse_unknown_source
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part


def refused(place: Place, *, source: str, client: str, reason: str, limit: int, as_json: bool) -> int:
    """Print the newest refused requests that match, a line each, and what to do, numbered, once for each reason."""
    found = place.ask(lambda asked: asked.refused(source=source, client=client, reason=reason, limit=limit))
    if source and not found:
        refuse_unknown_source(place, source)
    if as_json:
        terminal.print_json(found)
    elif not found:
        terminal.say("No request was refused." if not (source or client or reason) else "No such request was refused.")
    else:
        times = terminal.moments([each["at"] for each in found])
        hints = dict.fromkeys(each["hint"] for each in found if each["hint"])
        notes = {hint: f"[{number}]" for number, hint in enumerate(hints, start=1)}
        rows = [_row(at, each, notes.get(each["hint"], "")) for at, each in zip(times, found, strict=True)]
        terminal.show_table(_COLUMNS, rows)
        for hint, number in notes.items():
            terminal.note(f"{number} {hint}")
    return 0


_COLUMNS: Final = (
    Column("note"), Column("last"), Column("count", is_number=True, leave=2), Column("source", least=6), Column("status"),
    Column("from", least=8, leave=1), Column("reason", least=20),
)  # fmt: skip


def _row(at: str, each: Mapping[str, Any], note: str) -> Sequence[Sequence[Part]]:
    style = "dim" if each["status"] < 300 else "red"
    return [
        [note], [at], [f"{each['count']:,}"], [each["source"]], [(str(each["status"]), style)], [each["client"]],
        [(each["reason"], style)],
    ]  # fmt: skip
