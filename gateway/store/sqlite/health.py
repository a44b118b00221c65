"""A store's file and its library, seen from outside."""

from pathlib import Path
from typing import Final, Literal

from gateway.store.health import Health, Owner
from gateway.store.sqlite.connection import sqlite_version
from gateway.store.sqlite.lock import has_held_events, owner_of

#: Older versions can damage a database while its log is copied back (sqlite.org, 3.51.3: the WAL-reset bug).
SOUND: Final = (3, 51, 3)


def health(path: str) -> Health:
    """The health of the store at ``path``, which need not exist."""
    file, log = Path(path), Path(f"{path}-wal")
    owner, unknown = _owner(path)
    version = sqlite_version()
    defect, remedy = defect_of(version)
    return Health(
        name=path,
        state=_state(file, log),
        size=sum(each.stat().st_size for each in (file, log) if each.exists()),
        owner=owner,
        owner_unknown=unknown,
        folder=file.parent,
        files=[file],
        engine="sqlite",
        version=version,
        defect=defect,
        remedy=remedy,
    )


def _state(file: Path, log: Path) -> Literal["missing", "empty", "emptied", "in use"]:
    if not file.exists():
        return "missing"
    if file.stat().st_size or log.exists():
        return "in use"
    return "emptied" if has_held_events(str(file)) else "empty"


def _owner(path: str) -> tuple[Owner | None, str]:
    try:
        return owner_of(path), ""
    except OSError as error:
        return None, f"{path}.lock: {error.strerror}"


def defect_of(version: str) -> tuple[str, str]:
    """The defect of a version of SQLite and the remedy; "" if it has none."""
    if tuple(int(each) for each in version.split(".")[:3]) >= SOUND:
        return "", ""
    return "can damage the store (WAL-reset bug)", f"install apsw {'.'.join(map(str, SOUND))} or newer"
