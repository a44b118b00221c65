"""``gateway dead``: dead letters, counted by cause or one by one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from gateway.cli import pages, terminal
from gateway.cli.answers import Row
from gateway.cli.names import refuse_unknown
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part
from gateway.operate.selection import Filter


def dead(place: Place, which: Filter, *, as_list: bool, limit: int, before: str, as_json: bool) -> int:
    """Print how many there are of each cause, or each one."""
    if as_list or which != Filter(destination=which.destination, cause=which.cause):
        return _list(place, which, limit, before, as_json=as_json)
    groups = [
        each
        for each in place.ask(lambda asked: asked.dead())
        if which.destination in ("", each["destination"]) and which.cause in (None, each["cause"])
    ]
    if not groups:
        refuse_unknown(place, which)
    if as_json:
        terminal.print_json(groups)
    elif not groups:
        terminal.say("No dead letters.")
    else:
        _show_groups(groups)
    return 0


def _show_groups(groups: Sequence[Row]) -> None:
    columns = (Column("count", is_number=True), Column("destination", least=8), Column("cause", least=10))
    terminal.show_table(columns, [[[f"{each['count']:,}"], [each["destination"]], [each["cause"]]] for each in groups])
    terminal.note("to list them: --list; to replay them: gateway replay --dead --destination NAME --cause CAUSE")


def _list(place: Place, which: Filter, limit: int, before: str, *, as_json: bool) -> int:
    of_the_dead = replace(which, state="dead")
    page = place.ask(
        lambda asked: pages.searched(
            lambda limit, before: asked.deliveries(of_the_dead, limit=limit, before=before), "deliveries", limit, before
        ),
    )
    if not page["deliveries"]:
        refuse_unknown(place, which)
    if as_json:
        terminal.print_json(page["deliveries"])
    elif not page["deliveries"]:
        terminal.say("No dead letters." if which.is_empty else "No such dead letter.")
    else:
        terminal.show_table(_COLUMNS, [list(_row(each)) for each in page["deliveries"]])
        terminal.note(f"method, URL and body of one: gateway explain {page['deliveries'][0]['id']}")
    pages.say_how_to_continue(page)
    return 0


_COLUMNS: Final = (
    Column("delivery", leave=1), Column("about", least=8, leave=4), Column("route", least=6, leave=3), Column("destination", least=6),
    Column("attempts", is_number=True, leave=2), Column("reason", least=16),
)  # fmt: skip


def _row(each: Mapping[str, Any]) -> Iterator[Sequence[Part]]:
    yield from (
        [each["id"]], [each["summary"]], [each["route"]], [each["destination"]], [f"{each['attempts']:,}"], [(each["reason"], "red")],
    )  # fmt: skip
