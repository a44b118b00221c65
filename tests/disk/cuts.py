"""What a power cut may leave of a folder whose past shim.c has recorded.

A write counts from the sync that began after it and returned; of the later ones any part may be on the disk, down to
sectors. Names in the folder count from the sync of the folder; of the later changes any first part may be there.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
_HEAD = struct.Struct("<cQQI")


class Record(NamedTuple):
    """See shim.c."""

    what: str
    inode: int
    offset: int
    data: bytes


def records(log: Path) -> list[Record]:
    return _read(log)[0]


def drop_half_a_record(log: Path) -> None:
    """End the log after its last whole record: its process was killed, and the next one goes on in the same log."""
    whole = _read(log)[1]
    with log.open("r+b") as file:
        file.truncate(whole)


def _read(log: Path) -> tuple[list[Record], int]:
    """The whole records, and where the last one ends."""
    text, at, found = log.read_bytes(), 0, []
    while at + _HEAD.size <= len(text):
        what, inode, offset, size = _HEAD.unpack_from(text, at)
        end = at + _HEAD.size + size
        if end > len(text):
            break
        found.append(Record(what.decode(), inode, offset, text[at + _HEAD.size : end]))
        at = end
    return found, at


def _apply(content: bytearray, change: Record) -> None:
    if change.what == "T":
        del content[change.offset :]
    content.extend(bytes(max(0, change.offset + len(change.data) - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


@dataclass(slots=True)
class File:
    """What is certainly on the disk, and the changes since."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[Record] = field(default_factory=list)
    #: For each sync that is under way, by its thread: the number of changes that it is about, the oldest first.
    syncing: dict[int, int] = field(default_factory=dict)

    def synced(self, thread: int) -> None:
        # Another one may be under way, and may have begun before.
        count = self.syncing.pop(thread)
        for change in self.since[:count]:
            _apply(self.certain, change)
        del self.since[:count]
        self.syncing = {each: max(0, other - count) for each, other in self.syncing.items()}

    def left(self, chance: random.Random, how: str) -> bytes:
        """Its content after a cut that spared none, all, the first or some of the changes, or parts of them."""
        content, changes = bytearray(self.certain), self.since
        if how == "none":
            changes = []
        elif how == "first":
            changes = changes[: chance.randint(0, len(changes))]
        elif how == "some":
            changes = [change for change in changes if chance.random() < 0.5]
        elif how == "torn":
            changes = [part for change in changes for part in _sectors(change) if chance.random() < 0.5]
        for change in changes:
            _apply(content, change)
        return bytes(content)


HOW = ("none", "all", "first", "some", "torn")


def _sectors(change: Record) -> Iterator[Record]:
    if change.what == "T":
        yield change
    at = 0
    while at < len(change.data):
        size = SECTOR - (change.offset + at) % SECTOR
        yield change._replace(offset=change.offset + at, data=change.data[at : at + size])
        at += size


class Folder:
    """The folder at one moment of its past."""

    def __init__(self) -> None:
        self._files: dict[int, File] = {1: File()}
        self._certain: dict[str, File] = {}
        self._since: list[tuple[str, File | None]] = []
        self._syncing: dict[int, int] = {}

    def go_on(self, record: Record) -> None:
        what, inode = record.what, record.inode
        if what == "C":
            # The number of a file that was removed may come again.
            self._files[inode] = File()
            self._since.append((record.data.decode(), self._files[inode]))
        elif what == "U":
            self._since.append((record.data.decode(), None))
        elif inode == 1 and what == "B":
            self._syncing[record.offset] = len(self._since)
        elif inode == 1 and what == "E":
            count = self._syncing.pop(record.offset)
            self._certain = self._names(count)
            del self._since[:count]
            self._syncing = {each: max(0, other - count) for each, other in self._syncing.items()}
        elif what in "WT":
            self._files[inode].since.append(record)
        elif what == "B":
            self._files[inode].syncing[record.offset] = len(self._files[inode].since)
        elif what == "E":
            self._files[inode].synced(record.offset)
        elif what == "Z":
            # Syncs of a process that was killed never return.
            for file in self._files.values():
                file.syncing.clear()
            self._syncing.clear()

    def _names(self, count: int) -> dict[str, File]:
        names = dict(self._certain)
        for name, file in self._since[:count]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        return names

    def cut(self, into: Path, chance: random.Random, how: str) -> None:
        """Write what is left of it into another folder."""
        counts = {"none": 0, "all": len(self._since)}
        names = self._names(counts.get(how, chance.randint(0, len(self._since))))
        for name, file in names.items():
            (into / name).write_bytes(file.left(chance, how))
