"""``gateway copy``: everything in one store to another."""

import asyncio
import time

from gateway.cli import terminal
from gateway.errors import StoreError
from gateway.store import copied, shown


def copy(*, source: str, target: str, as_json: bool) -> int:
    """Copy, compare, and say what was copied."""
    names = shown(source), shown(target)
    if names[0] == names[1]:
        raise StoreError(f"{names[0]} is on both sides: a copy needs a store of its own")
    began = time.monotonic()
    with terminal.progress("copying and comparing") as progress:
        tallies = asyncio.run(copied(source, target, progress))
    took = time.monotonic() - began
    if as_json:
        rows = {kind: {"rows": each.rows, "checksum": each.checksum} for kind, each in tallies.items()}
        terminal.print_json({"from": names[0], "to": names[1], "seconds": round(took, 3), "copied": rows})
        return 0
    terminal.say(f"{names[1]} is a copy of {names[0]}, made and compared in {took:.1f} s:")
    for kind, each in tallies.items():
        terminal.say(f"  {kind:<10} {each.rows:>12,} rows  checksum {each.checksum}")
    terminal.say("Searches look through the payloads until the gateway has indexed their words.")
    return 0
