"""The one owner of a store's file."""

import errno
import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.errors import StoreError, StoreLocked
from gateway.store.health import Owner
from gateway.store.rules import link_message

#: The second line of the lock's file, once the store has held an event.
HELD: Final = b"has held events\n"


def owner_of(path: str) -> Owner | None:
    """The owner of the store at ``path``; None: nobody has it open, and the last owner closed it."""
    try:
        descriptor = os.open(path + ".lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        name = _first_line(file.read(200))
        try:
            # Shared, and for a moment only: a gateway that starts meanwhile would be refused.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return Owner(name or "another process", is_alive=True)
    return Owner(name, is_alive=False) if name else None


def has_held_events(path: str) -> bool:
    """Whether the store at ``path`` has ever held an event, as far as its lock says."""
    try:
        return HELD in Path(path + ".lock").read_bytes()
    except OSError:
        return False


class OwnerLock:
    """``flock`` on a file beside the database, never on the database: closing that would drop SQLite's own locks."""

    def __init__(self, path: str) -> None:
        self._descriptor = _open_beside(path + ".lock")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = _first_line(os.pread(self._descriptor, 200, 0)) or "another process"
            os.close(self._descriptor)
            raise StoreLocked(f"{path} is in use by {owner}; stop that one first, or use another --store") from None
        found = os.pread(self._descriptor, 200, 0)
        #: Whether the last owner ended without removing its name.
        self.was_left = bool(_first_line(found))
        #: Whether the store has ever held an event.
        self.has_held_events = HELD in found
        started = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._write(f"pid {os.getpid()}, started {started}", has_held_events=self.has_held_events)
        except OSError:
            os.close(self._descriptor)
            raise

    def remember_events(self) -> None:
        """Note that the store has held an event; at the end, too, this stays. On a disk that fails it may be done later."""
        if not self.has_held_events:
            with suppress(OSError):
                self._write(_first_line(os.pread(self._descriptor, 200, 0)), has_held_events=True)
                self.has_held_events = True

    def release(self, *, clean: bool) -> None:
        """Let go of the store. If it was not ``clean``, or that cannot be written, the next owner checks it for longer."""
        with suppress(OSError):
            if clean:
                self._write("", has_held_events=self.has_held_events)
        os.close(self._descriptor)

    def _write(self, name: str, *, has_held_events: bool) -> None:
        """Its content: who owns the store, in the first line, and below it whether there were events."""
        content = f"{name}\n".encode() + HELD if has_held_events else f"{name}\n".encode() if name else b""
        # In this order: on a full disk it has the space that it had.
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


def _first_line(content: bytes) -> str:
    return content.partition(b"\n")[0].decode("utf-8", "replace").strip()


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
