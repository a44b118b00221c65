"""``gateway backup``: a copy of the store, beside a running gateway or without one."""

import asyncio
import time
from pathlib import Path

from gateway.cli import terminal
from gateway.cli.look import from_store


def backup(*, file: Path, store: str, force: bool, as_json: bool) -> int:
    """Copy the store to ``file``, which is there once it is whole."""
    began = time.monotonic()
    with terminal.progress("copying") as progress:
        copying = from_store(store, lambda reads: reads.backup(str(file), progress, replaces=force))
        size = asyncio.run(copying)
    took = time.monotonic() - began
    if as_json:
        terminal.print_json({"file": str(file.absolute()), "bytes": size, "seconds": round(took, 3)})
    else:
        terminal.say(
            f"{file}: {terminal.size(size)} in {took:.1f} s; `gateway doctor --store sqlite:///{file}` checks it"
        )
    return 0
