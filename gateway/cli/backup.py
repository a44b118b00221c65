"""``gateway backup``: a copy of the store, whether or not a gateway is running."""

import asyncio
import time
from pathlib import Path

from gateway.cli import terminal
from gateway.store import open_reads
from gateway.store.base import OnProgress


def backup(*, file: Path, store: str, force: bool, as_json: bool) -> int:
    """Copy the store to ``file``, which appears once it is complete."""
    began = time.monotonic()
    with terminal.progress("copying the store") as progress:
        size = asyncio.run(_copied(store, file, progress, replaces=force))
    took = time.monotonic() - began
    if as_json:
        terminal.print_json({"file": str(file.absolute()), "bytes": size, "seconds": round(took, 3)})
    else:
        terminal.say(
            f"{file}: {terminal.size(size)} in {took:.1f} s; `gateway doctor --store sqlite:///{file}` checks it"
        )
    return 0


async def _copied(store: str, file: Path, progress: OnProgress, *, replaces: bool) -> int:
    async with open_reads(store) as reads:
        return await reads.backup(str(file), progress, replaces=replaces)
