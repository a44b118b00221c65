"""``gateway destinations``: how each is doing and what holds it; pausing, muting and undoing that."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from gateway.cli import api, terminal
from gateway.cli.look import Place
from gateway.cli.terminal import Column, Part
from gateway.errors import GatewayError
from gateway.holds import Standing
from gateway.operate import views
from gateway.store import Reads
from gateway.store.holds import Hold, paused_by
from gateway.store.nouns import DestinationStats
from gateway.wording import duration, is_duration, seconds


class Refused(GatewayError):
    """It cannot be held for so long."""


def list_all(place: Place, *, as_json: bool) -> int:
    """Every destination, a line each: what holds it, what waits, the last hour."""
    found = place.ask("/api/destinations", {}, lambda reader: _of_the_store(reader, place))
    if as_json:
        terminal.print_json(found)
    elif not found:
        terminal.say("No destinations: add one to routes.yaml.")
    else:
        terminal.show_table(_COLUMNS, [_row(each) for each in found])
    return 0


def names(place: Place) -> Sequence[str]:
    """Of every destination that the file has or something was sent to."""
    return [each["name"] for each in place.ask("/api/destinations", {}, lambda reader: _of_the_store(reader, place))]


async def _of_the_store(reader: Reads, place: Place) -> Any:
    """Without a gateway nothing is in flight."""
    config, numbers = place.loaded(), (await reader.stats()).destinations
    holds = {each.destination: each for each in await reader.holds()}
    return [
        views.destination(name, config, _standing(name, holds), numbers.get(name, DestinationStats()))
        for name in dict.fromkeys([*config.destinations, *numbers])
    ]


def _standing(name: str, holds: Mapping[str, Hold]) -> Standing:
    hold = holds.get(name, Hold(destination=name))
    return Standing(
        held=paused_by(hold.pause) if hold.pause else _circuit(hold),
        circuit="open" if hold.circuit else "closed",
        failures=hold.circuit.failures if hold.circuit else 0,
        in_flight=0,
        paused=hold.pause,
        muted=hold.mute,
    )


def _circuit(hold: Hold) -> str:
    return f"circuit open after {hold.circuit.failures} failures in a row" if hold.circuit else ""


_COLUMNS: Final = (
    Column("name", least=8), Column("type", leave=5), Column("held", least=24), Column("waiting", is_number=True),
    Column("dead", is_number=True), Column("oldest due", is_number=True, leave=2),
    Column("1h delivered", is_number=True, leave=1), Column("1h again", is_number=True, leave=3),
    Column("1h dead", is_number=True, leave=3), Column("p50", is_number=True, leave=4),
    Column("p95", is_number=True, leave=4), Column("address", least=12, leave=6),
)  # fmt: skip


def _row(each: Mapping[str, Any]) -> Sequence[Sequence[Part]]:
    return [
        [(each["name"], "" if each["in_file"] else "dim")],
        [each["type"]],
        [_held(each)],
        [f"{each['pending']:,}"],
        [(f"{each['dead']:,}", "red" if each["dead"] else "")],
        [duration(round(each["oldest_due_s"])) if each["oldest_due_s"] >= 1 else ""],
        [f"{each['delivered_1h']:,}"],
        [f"{each['retried_1h']:,}"],
        [f"{each['died_1h']:,}"],
        [_milliseconds(each["p50_ms"])],
        [_milliseconds(each["p95_ms"])],
        [(each["address"], "dim")],
    ]


def _held(each: Mapping[str, Any]) -> Part:
    if each["held"]:
        return (each["held"], "yellow")
    if each["muted"]:
        return ("open, muted", "yellow")
    return ("open", "green") if each["in_file"] else ("not in routes.yaml", "yellow")


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} ms"


# --- holding, and letting go ---


def hold(verb: Literal["pause", "mute"], *, url: str, as_json: bool, name: str, reason: str, for_: str | None) -> int:
    """Hold its deliveries, or the word of its troubles, until that is undone or for a time."""
    if for_ is not None and not is_duration(for_):
        raise Refused(f"--for {for_}: that is no duration; write 30m, 2h or 1d")
    for_s = None if for_ is None else seconds(for_)
    told = api.require(url, f"{_path(name)}/{verb}", {"reason": reason, "for_s": for_s, "by": api.who()})
    if as_json:
        terminal.print_json(told)
    elif verb == "pause":
        terminal.say(f"{name} is {told['held']}")
    else:
        terminal.say(f"{name} is muted{f' for {for_}' if for_ else ''}: {reason}")
    return 0


def free(verb: Literal["resume", "unmute"], *, url: str, as_json: bool, name: str) -> int:
    """Undo a pause or a mute."""
    told = api.require(url, f"{_path(name)}/{verb}", {"by": api.who()})
    if as_json:
        terminal.print_json(told)
    else:
        terminal.say(_freed(verb, name, told))
    return 0


def _freed(verb: str, name: str, told: Mapping[str, Any]) -> str:
    if verb == "unmute":
        return f"{name} is told of again" if told.get("was_muted", True) else f"{name} was not muted"
    if told["held"]:
        return f"{name} is still held: {told['held']}"
    return f"{name} goes on" if told["was_paused"] else f"{name} was not paused, and nothing holds it now"


def _path(name: str) -> str:
    return f"/api/destinations/{api.part(name)}"
