"""Pages of a list: a search that continues by itself for a while, and how to get the next page."""

import time
from collections.abc import Callable
from typing import Any, Final

from gateway.cli import terminal
from gateway.cli.answers import Row
from gateway.cli.terminal import local
from gateway.wording import count

#: Time limit for searching on, seconds.
PATIENCE_S: Final = 10.0


def searched(asked: Callable[[int, str], Row], what: str, limit: int, before: str) -> dict[str, Any]:
    """A page of ``limit`` rows ``what``. Each answer searches only a part, so it asks again, for at most PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    page = asked(limit, before)
    rows = page[what]
    with terminal.waiting() as waiting:
        while page.get("searched_to") and page["next"] and len(rows) < limit and time.monotonic() < until:
            waiting(f"{count(len(rows), 'row')}, searched back to {local(page['searched_to'])}")
            page = asked(limit - len(rows), page["next"])
            rows = [*rows, *page[what]]
    return {**page, what: rows}


def say_how_to_continue(page: Row) -> None:
    """A note on standard error if this is not the last page."""
    if page.get("searched_to") and page["next"]:
        terminal.note(f"searched back to {local(page['searched_to'])}; to continue: --before {page['next']}")
    elif page["next"]:
        terminal.note(f"there are more: --before {page['next']}")
