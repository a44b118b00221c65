"""Appending lines to files: whole, in order, and on disk before success is reported."""

import asyncio
import os
import re
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gateway.errors import EgressError
from gateway.machine.links import ForeignLink, followed


class FileFailed(EgressError):
    """The line could not be appended durably."""

    reason = "file"


class Lines:
    """The lines of one file: those that wait together share one write and one fsync."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, line: bytes) -> None:
        """Return when the line is on disk. A line whose caller is cancelled before the write is left out."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def finished(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while batch := [(line, done) for line, done in self._waiting if not done.done()]:
            self._waiting.clear()
            failure = await asyncio.to_thread(_append_durably, self._path, [line for line, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_exception(FileFailed(failure)) if failure else done.set_result(None)
        self._waiting.clear()


def _append_durably(path: str, lines: Sequence[bytes]) -> str:
    """Append whole lines and fsync. Returns what went wrong, in words; empty if nothing did."""
    data = b"".join(line + b"\n" for line in lines)
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(followed(path), flags, 0o600)
        try:
            _append(descriptor, data)
        finally:
            os.close(descriptor)
    except ForeignLink as error:
        return f"cannot append to {path}: {error.strerror}"
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = without_folder(Path(path)) or os.strerror(error.errno or 0).lower()
        remedy = "" if os.path.lexists(folder := Path(path).parent) else f": mkdir -p {shlex.quote(str(folder))}"
        if remedy and (local := path_in(path)):
            remedy = f": write path: {local}"
        return f"cannot append to {path}: {reason}{remedy}"
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        return f"cannot append to {path}: {reason}"
    return ""


_FILE_URL: Final = re.compile(r"file:(?://(?:localhost)?(?=/))?(?P<path>[^?#]+)", re.IGNORECASE)


def path_in(address: str) -> str:
    """The path in a ``file:`` address; empty for anything else."""
    found = _FILE_URL.fullmatch(address)
    return unquote(found["path"]) if found else ""


def without_folder(path: Path) -> str:
    """What is wrong with the folder of a file that is to be created, in words; empty if it is there."""
    folder = path.parent
    if folder.is_dir():
        return ""
    return f"its folder {folder} is not a folder" if os.path.lexists(folder) else f"its folder {folder} does not exist"


def _append(descriptor: int, data: bytes) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    # A crash can leave a partial line: end it first, so that it does not spoil the next.
    if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
        data = b"\n" + data
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)
