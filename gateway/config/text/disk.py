"""The files of a configuration: those that it is written in, and those that hold some of its values."""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.routing.config import Look

#: The folder of template files, below the one of routes.yaml.
TEMPLATES: Final = "templates"


def look_of(status: os.stat_result) -> Look:
    """What shows without reading it that a file was written."""
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class Match(Struct, frozen=True):
    """A file that an ``include`` names."""

    #: Its path below the folder.
    name: str
    #: Whether it is a link to a file elsewhere.
    leads_out: bool


class Disk:
    """The files that a configuration is written in: routes.yaml, what it includes, templates.

    Each is read once, so whatever is compiled again from the same Disk differs only in its Values.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Everything except templates by name, in reading order.
        self.contents: dict[str, bytes] = {}
        #: Template files by their name below the folder of templates.
        self.templates: dict[str, str] = {}
        self._matches: dict[str, Sequence[Match]] = {}
        #: The secrets of the configuration last compiled from here.
        self.secrets: frozenset[str] = frozenset()

    def edited(self, *, contents: Mapping[str, bytes], templates: Mapping[str, str]) -> "Disk":
        """The files as they were read, some of them with another text; a file not read yet is read as it is now."""
        copy = Disk(self.folder)
        copy.contents = {**self.contents, **contents}
        copy.templates = {**self.templates, **templates}
        copy._matches = dict(self._matches)
        return copy

    def read(self, name: str, most: int) -> bytes:
        """The first ``most`` bytes of a file. Raises OSError, or ValueError for a name that cannot be one."""
        if name not in self.contents:
            with (self.folder / name).open("rb") as file:
                self.contents[name] = file.read(most)
        return self.contents[name]

    def matching(self, pattern: str) -> Sequence[Match]:
        """The files that match a pattern, sorted. Raises OSError, ValueError or NotImplementedError."""
        if pattern not in self._matches:
            found = sorted(file for file in self.folder.glob(pattern) if file.is_file())
            self._matches[pattern] = [self._match(file) for file in found]
        return self._matches[pattern]

    def _match(self, file: Path) -> Match:
        # A link within the folder is fine, as in a mounted ConfigMap.
        is_inside = file.resolve().is_relative_to(self.folder.resolve())
        return Match(file.relative_to(self.folder).as_posix(), leads_out=not is_inside)

    @property
    def digests(self) -> Mapping[str, bytes]:
        """SHA-256 of every file read so far, by its path below the folder."""
        templates = {f"{TEMPLATES}/{name}": text.encode() for name, text in self.templates.items()}
        return {name: hashlib.sha256(data).digest() for name, data in {**self.contents, **templates}.items()}


class Values:
    """The files that hold values: secrets, certificates. In one load each value is the same wherever it is used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[tuple[str, int], bytes] = {}
        #: How each file looked when it was read; None: it could not be read.
        self.looks: dict[str, Look | None] = {}

    def read(self, name: str, most: int) -> bytes:
        """The first ``most`` bytes of a file. Raises OSError, or ValueError for a name that cannot be one."""
        found = self._contents.get((name, most))
        if found is None:
            self.looks[name] = None
            self.looks[name], found = _read(self._folder / name, most)
            self._contents[name, most] = found
        return found


def _read(path: Path, most: int) -> tuple[Look, bytes]:
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "not a regular file")
        # Before its content: what is written in between is a change.
        return look_of(status), file.read(most)


def _open(path: str, flags: int) -> int:
    # A pipe or a device could block the reader.
    return os.open(path, flags | os.O_NONBLOCK)
