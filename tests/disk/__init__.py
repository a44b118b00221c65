"""A disk that is slow, one that takes half of a write, and one whose past is known: see shim.c. For tests and for bench/."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


@functools.cache
def shim() -> Path:
    """The library, compiled once for each version of its source; it needs ``cc``."""
    text = SOURCE.stat()
    library = Path(tempfile.gettempdir()) / f"gateway-disk-{os.getuid()}-{text.st_mtime_ns:x}-{text.st_size}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"], check=True)
        made.rename(library)
    return library


def slow(sync_delay_s: float) -> Mapping[str, str]:
    """Variables for a process each of whose syncs takes this much longer, seconds."""
    return {"LD_PRELOAD": str(shim()), "DISK_SYNC_DELAY_US": str(int(sync_delay_s * 1e6))}


def short_writes(every: int) -> Mapping[str, str]:
    """Variables for a process of whose writes to its files each ``every``-th takes only half of the bytes."""
    return {"LD_PRELOAD": str(shim()), "DISK_SHORT_WRITES": str(every)}


def remembered(folder: Path, log: Path) -> Mapping[str, str]:
    """Variables for a process whose writes and syncs in ``folder`` are recorded in ``log``, with its answers."""
    return {"LD_PRELOAD": str(shim()), "DISK_FOLDER": str(folder), "DISK_LOG": str(log)}
