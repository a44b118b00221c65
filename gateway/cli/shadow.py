"""``gateway shadow``: what a shadow would have sent instead, for the events since the gateway started."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli import api, terminal
from gateway.cli.diff import event_lines
from gateway.cli.terminal import echo
from gateway.wording import count, printable


def shadow(*, url: str, limit: int, as_json: bool) -> int:
    """Print what a running gateway's shadow would have sent, newest last."""
    found = api.ask(url, "/api/shadow", query={"limit": limit})
    if as_json:
        terminal.print_json(found)
        return 0
    if not found["shadows"]:
        terminal.say(
            "There is no shadow: write shadow: true on a route, or start with gateway serve --shadow new.yaml."
        )
        return 0
    echo(line for each in reversed(found["results"]) for line in event_lines(each))
    echo(_totals(found))
    return 0


def _totals(found: Mapping[str, Any]) -> Iterator[str]:
    skipped = f", {found['skipped']:,} skipped because events came too fast" if found["skipped"] else ""
    since = terminal.local(found["since"])
    yield f"{count(found['compared'], 'event')} compared since {since}, {found['same']:,} the same{skipped}"
    for each in found["counts"]:
        yield f"  {each['count']:>7,} {each['kind']:<8} {each['route']} > {each['destination']} ({each['shadow']})"
    if found["problem"]:
        yield f"the file of --shadow has problems: its last valid version is still compared. {printable(found['problem'])}"
