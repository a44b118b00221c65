"""``gateway backup``: a copy of the store, whether or not a gateway is running."""

import asyncio
import time
from pathlib import Path

from gateway.cli import terminal
from gateway.store import open_reads


def backup(*, file: Path, store: str, force: bool, as_json: bool) -> int:
    """Copy the store to ``file``, which appears once it is complete."""
    began = time.monotonic()
    size = asyncio.run(_copied(store, file, replaces=force))
    took = time.monotonic() - began
    if as_json:
        terminal.print_json({"file": str(file.absolute()), "bytes": size, "seconds": round(took, 3)})
    else:
        terminal.say(
            f"{file}: {terminal.size(size)} in {took:.1f} s; `gateway doctor --store sqlite:///{file}` checks it"
        )
    return 0


async def _copied(store: str, file: Path, *, replaces: bool) -> int:
    async with open_reads(store) as reads:
        copying = reads.backup(str(file), replaces=replaces)
        return await terminal.watched("copying the store", copying, lambda: reads.progress)
