"""``gateway events``: the newest events and the state of their deliveries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import pages, terminal
from gateway.cli.names import meant_type, refuse_unknown
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part
from gateway.operate.selection import Filter

#: Narrower terminals show the states of deliveries as signs, so that ids have room; cells.
_WIDE: Final = 100
SIGNS: Final = {
    "dead": "\N{BALLOT X}",
    "pending": "\N{HORIZONTAL ELLIPSIS}",
    "delivered": "\N{CHECK MARK}",
    "discarded": "-",
}


def events(place: Place, which: Filter, *, limit: int, before: str, as_json: bool) -> int:
    """Print the newest events that match, a line each."""
    page = place.ask(
        lambda asked: pages.searched(
            lambda limit, before: asked.events(which, limit=limit, before=before), "events", limit, before
        ),
    )
    if not page["events"]:
        refuse_unknown(place, which)
    if as_json:
        terminal.print_json(page["events"])
    elif page["events"]:
        _show(page["events"])
    elif not page["next"]:
        meant = meant_type(place, which.type) if which.type else ""
        terminal.say(
            "No events yet. `gateway send` posts one: see `gateway send --help`."
            if which.is_empty
            else f"No such event{f': {meant}' if meant else '.'}"
        )
    pages.say_how_to_continue(page)
    return 0


def _show(events: Sequence[Mapping[str, Any]]) -> None:
    cells = terminal.width()
    is_wide = cells is None or cells >= _WIDE
    columns = (
        Column("received"), Column("event", least=12), Column("deliveries", least=26 if is_wide else 8),
        Column("about", least=12, leave=4), Column("source", leave=2), Column("id", leave=1),
    )  # fmt: skip
    say_fates = fates if is_wide else _signs
    times = terminal.moments([each["received_at"] for each in events])
    rows = [
        [[at], [each["type"]], say_fates(each["deliveries"]), [each["summary"]], [each["source"]], [each["id"]]]
        for at, each in zip(times, events, strict=True)
    ]
    terminal.show_table(columns, rows)


def fates(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[Part]:
    """``crm delivered, slack dead``; more than three are counted by state."""
    if not deliveries:
        return [("no deliveries", "dim")]
    if len(deliveries) > 3:
        return listed([(f"{number} ", terminal.state(name)) for name, number in _counted(deliveries)])
    return listed([(f"{each['destination']} ", terminal.state(each["state"])) for each in deliveries])


def _signs(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[Part]:
    """``✗1 ✓2``."""
    signs = [(f"{SIGNS[name]}{number} ", terminal.STYLES[name]) for name, number in _counted(deliveries)]
    return signs or [("none", "dim")]


def _counted(deliveries: Sequence[Mapping[str, Any]]) -> Sequence[tuple[str, int]]:
    """The number in each state, the worst first."""
    counts = Counter(each["state"] for each in deliveries)
    return [(name, counts[name]) for name in SIGNS if counts[name]]


def listed(items: Sequence[Sequence[Part]]) -> Sequence[Part]:
    """The items, separated by commas."""
    return [part for at, item in enumerate(items) for part in ((", ", *item) if at else item)]
