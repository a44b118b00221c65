"""``gateway destinations``: the health of each destination and what holds it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import terminal
from gateway.cli.place import Place
from gateway.cli.terminal import Column, Part
from gateway.operate.conditions import UNTROUBLED
from gateway.wording import duration


def list_all(place: Place, *, as_json: bool) -> int:
    """Print every destination, a line each: what holds it, what waits, the last hour."""
    found = place.ask(lambda asked: asked.destinations())
    if as_json:
        terminal.print_json(found)
    elif not found:
        terminal.say("No destinations: add one to routes.yaml.")
    else:
        terminal.show_table(_COLUMNS, [_row(each) for each in found])
    return 0


def names(place: Place) -> Sequence[str]:
    """Every destination in the file or with deliveries in the store."""
    return [each["name"] for each in place.ask(lambda asked: asked.destinations())]


_COLUMNS: Final = (
    Column("name", least=8), Column("type", leave=5), Column("condition", least=24), Column("waiting", is_number=True),
    Column("dead", is_number=True), Column("oldest due", is_number=True, leave=2),
    Column("1h delivered", is_number=True, leave=1), Column("1h retried", is_number=True, leave=3),
    Column("1h dead", is_number=True, leave=3), Column("p50", is_number=True, leave=4),
    Column("p95", is_number=True, leave=4), Column("address", least=12, leave=6),
)  # fmt: skip


def _row(each: Mapping[str, Any]) -> Sequence[Sequence[Part]]:
    return [
        [(each["name"], "" if each["in_file"] else "dim")],
        [each["type"]],
        [condition(each)],
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


def condition(each: Mapping[str, Any]) -> Part:
    """Its condition in a word, then what holds it and why, or what its deliveries wait for."""
    word = each["condition"]
    error = each["last_error"]["reason"] if each["last_error"] and word not in UNTROUBLED else ""
    if error and word == "dead letters":
        error = f"the last error: {error}"
    lately = each["lately"] if word in ("dead letters", *UNTROUBLED) else ""
    held = each["held"] if word not in UNTROUBLED else ""
    waits = each["waits"] if each["waits"] != held else ""
    muted = "muted" if each["muted"] else ""
    # What holds it begins with the word that its condition is.
    said = [held if held.startswith(word) else word, "" if held.startswith(word) else held, waits, lately, error, muted]
    return ("; ".join(filter(None, said)), "green" if word in UNTROUBLED and not muted else "yellow")


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} ms"
