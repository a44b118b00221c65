"""Space on the file's disk: how much is free, and a reserve for the time when nothing is.

SQLite needs space for every transaction, also for one that only settles what is stored: its log grows before the
database does. So a file beside the database holds some space back. It is given up in steps when the disk is full, for
everything but new events, and made again when there is room.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from gateway.store.nouns import Room
from gateway.store.room import usual_free_disk

#: For the log, and for what a checkpoint adds to the database, bytes.
FOR_THE_LOG: Final = 4 * 1024 * 1024
#: For the record of an attempt and of its outcome: each has the beginning of an answer.
FOR_A_DELIVERY: Final = 2 * 1024
#: The least that is given up at a time; the rest is safe from other programs meanwhile.
STEP: Final = 1024 * 1024
#: Seconds between two looks at the disk.
LOOK_S: Final = 1.0


class Disk(NamedTuple):
    """The disk of a file, bytes."""

    #: For a process without privileges.
    free: int
    size: int

    @classmethod
    def of(cls, path: str) -> "Disk":
        found = os.statvfs(path)
        return cls(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class Reserve:
    """A file of no content beside the database. For the owner's thread, but for ``missing``."""

    def __init__(self, path: str) -> None:
        self.path = path + ".reserve"
        #: Bytes it has, and is to have.
        self._size = self._wanted = 0
        #: Whether some of it was needed, and has not been made again since.
        self.is_given_up = False

    def find(self) -> None:
        """Take over what the last owner left, and give up a part if the disk is full already."""
        with suppress(OSError):
            self._size = Path(self.path).stat().st_size
        if Disk.of(str(Path(self.path).parent)).free < STEP:
            self.give_up()

    @property
    def is_whole(self) -> bool:
        """Whether it is as large as it is to be; not before ``fit`` has said how large."""
        return 0 < self._wanted <= self._size

    @property
    def missing(self) -> int:
        """Bytes that it is to have and does not have."""
        return max(0, self._wanted - self._size)

    def fit(self, pending: int) -> None:
        """Make it as large as is needed to settle so many deliveries, unless the disk is short of space itself."""
        with suppress(OSError):
            disk = Disk.of(str(Path(self.path).parent))
            needed = FOR_THE_LOG + FOR_A_DELIVERY * pending
            self._wanted = min(-(-needed // STEP) * STEP, usual_free_disk(disk.size))
            if self._size < self._wanted:
                # As much stays free: a reserve that is needed at once would be made for nothing.
                if disk.free >= 2 * self.missing:
                    self._resize(self._wanted)
            elif self._size > 2 * self._wanted + STEP:
                self._resize(self._wanted)
            self.is_given_up = self.is_given_up and self._size < self._wanted

    def give_up(self) -> bool:
        """Give some of it to the disk; False: nothing is left of it."""
        if not self._size:
            return False
        self.is_given_up = True
        with suppress(OSError):
            self._resize(max(0, self._size - max(STEP, self._size // 4)))
            return True
        return False

    def _resize(self, size: int) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if size > self._size:
                os.posix_fallocate(descriptor, self._size, size - self._size)
            else:
                os.ftruncate(descriptor, size)
            self._size = size
        except OSError:
            # It may have grown before the disk was full.
            os.ftruncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)


class Space:
    """What there is room for, for the event loop: the disk is looked at once a second, whoever asks."""

    def __init__(self, path: str, reserve: Reserve) -> None:
        self._path = path
        self._reserve = reserve
        self._disk = Disk(0, 0)
        self._looked_at = -LOOK_S

    def room(self, pending: int, damage: str) -> Room:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            with suppress(OSError):
                self._disk = Disk.of(self._path)
        return Room(pending, self._disk.free - self._reserve.missing, self._disk.size, damage)
