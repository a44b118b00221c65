"""``gateway replicas`` and ``gateway reload``: the processes that share a store, and the file that each has in force."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.cli import api, terminal
from gateway.cli.terminal import Column, Part
from gateway.wording import count, duration


def replicas(*, url: str, as_json: bool) -> int:
    """Print every replica that runs, a line each."""
    found = api.ask(url, "/api/replicas")
    if as_json:
        terminal.print_json(found)
        return 0
    times = terminal.moments([each["started_at"] for each in found])
    terminal.show_table(_COLUMNS, [_row(at, each) for at, each in zip(times, found, strict=True)])
    if others := sum(not each["has_this_config"] for each in found):
        terminal.say(
            f"\n{count(others, 'replica')} with another configuration than this one. Once the files are the "
            "same everywhere: gateway reload --all"
        )
    return 0


def reload(*, url: str, as_json: bool, all_: bool) -> int:
    """Have the gateway read routes.yaml again, or every replica of it."""
    try:
        answer = api.ask(url, "/api/reload", {"by": api.who(), "all": all_})
    except api.ApiRefused as refused:
        for each in refused.problems:
            print(each["text"], file=sys.stderr)
        raise
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.say(f"Reloaded: {answer['changed']}{'; the other replicas reload now' if all_ else ''}.")
    return 0


_COLUMNS: Final = (
    Column("host", least=10), Column("config"), Column("version", leave=2), Column("started"),
    Column("last seen", is_number=True, leave=1), Column("id", leave=3),
)  # fmt: skip


def _row(at: str, each: Mapping[str, Any]) -> Sequence[Sequence[Part]]:
    return [
        [(each["host"], ""), (" (this one)" if each["is_this"] else "", "dim")],
        [(each["config"], "" if each["has_this_config"] else "yellow")],
        [each["version"]], [at], [f"{duration(round(each['seen_s']))} ago" if each["seen_s"] >= 1 else "now"],
        [each["id"]],
    ]  # fmt: skip
