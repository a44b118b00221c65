"""The numbers that the store keeps as it goes, read from the file."""

import os
from pathlib import Path
from typing import Any

from gateway.store import numbers
from gateway.store.numbers import MINUTES, Group, Numbers
from gateway.store.queries import Stats
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import tables
from gateway.store.sqlite.snapshots import Snapshot


def stats(snapshot: Snapshot, path: str) -> Stats:
    """Current numbers; looks at no event and no delivery."""
    db, now = snapshot
    minute = int(now / 60)
    since = (minute - MINUTES,)
    rows: list[list[Any]] = [
        db.execute(statement, values).fetchall()
        for statement, values in ((sql.TALLY, ()), (sql.CAME, since), (sql.WENT, since), (sql.DURATIONS, since))
    ]
    tally, came, went, durations = rows
    due = {name: at for name, at in db.execute(sql.BOUNDS) if at < tables.BEHIND}
    found = Numbers(minute, [Group(*row) for row in tally], due, now, came, went, durations)
    used_bytes = sum(size(Path(path + ending)) for ending in ("", "-wal"))
    return numbers.stats(found, used_bytes=used_bytes, free_bytes=_free_bytes(path))


def size(path: Path) -> int:
    """Bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free_bytes(path: str) -> int:
    """Free space for an unprivileged process on the disk of a file."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize
