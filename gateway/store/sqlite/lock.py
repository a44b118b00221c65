"""The one owner of a store's file."""

import errno
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import StoreError, StoreLocked
from gateway.store.health import Owner
from gateway.store.rules import link_message


def owner_of(path: str) -> Owner | None:
    """The owner of the store at ``path``; None: nobody has it open, and the last owner closed it."""
    try:
        descriptor = os.open(path + ".lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        name = file.read(200).decode("utf-8", "replace").strip()
        try:
            # Shared, and for a moment only: a gateway that starts meanwhile would be refused.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return Owner(name or "another process", is_alive=True)
    return Owner(name, is_alive=False) if name else None


class OwnerLock:
    """``flock`` on a file beside the database, never on the database: closing that would drop SQLite's own locks."""

    def __init__(self, path: str) -> None:
        self._descriptor = _open_beside(path + ".lock")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(self._descriptor)
            raise StoreLocked(f"{path} is in use by {owner}; stop that one first, or name another file") from None
        #: Whether the last owner ended without removing its name.
        self.was_left = os.fstat(self._descriptor).st_size > 0
        started = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"pid {os.getpid()}, started {started}\n".encode(), 0)

    def release(self, *, clean: bool) -> None:
        if clean:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _open_beside(path: str) -> int:
    folder = Path(path).parent
    if not folder.is_dir():
        raise StoreError(f"{folder}: the store's folder does not exist; make it, or name another file")
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(link_message(path)) from None
        raise StoreError(f"{path}: {error.strerror}; the store needs a folder that this user may write to") from None
