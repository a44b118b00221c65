"""Which delivery is being worked on, in a memory-mapped file that survives the death of the process.

Only our own work on a payload can kill the process: building its request and judging the answer. Both are synchronous
on the event loop, so at most one delivery is in that state.
The page cache outlives kill -9, a segmentation fault and the out-of-memory killer, so one memory write is enough;
after a power cut the file may be stale, which costs one delivery one of its three chances.
"""

import errno
import fcntl
import itertools
import mmap
import os
import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway import telemetry
from gateway.errors import Poisonous, StoreError
from gateway.model import Delivery
from gateway.store import Store
from gateway.store.rules import link_message

#: A delivery that the process died over this often is dead.
MAX_CRASHES: Final = 3
_SIZE: Final = 128
#: The files of replicas in one folder.
_SHARED: Final = re.compile(r"gateway-[1-9][0-9]*\.now")


class CrashSlot:
    """Holds the id of the delivery being worked on. A context manager that is used again and again."""

    __slots__ = ("_id", "_page", "_removed_at_end")

    def __init__(self, path: str | None = None, *, is_shared: bool = False) -> None:
        """``path``: the file, created if absent; None: memory that ends with the process.

        ``is_shared``: the folder is that of several processes, so the file is removed at the end unless it names a delivery.
        Raises BlockingIOError if another process has this file, and StoreError.
        """
        self._page = mmap.mmap(-1, _SIZE) if path is None else _page_of(path)
        self._id = b""
        self._removed_at_end = Path(path) if path is not None and is_shared else None

    @classmethod
    def among(cls, folder: Path) -> Self:
        """One of the files in a folder that no other process has: of replicas, each has its own. Raises StoreError.

        A file that a dead process has left comes first: it may name a delivery.
        """
        left = sorted(each for each in folder.glob("*.now") if _SHARED.fullmatch(each.name))
        for path in itertools.chain(left, (folder / f"gateway-{number}.now" for number in itertools.count(1))):
            with suppress(BlockingIOError):
                return cls(str(path), is_shared=True)
        raise AssertionError

    def found(self) -> str:
        """The id that was left here, or an empty text."""
        return self._page[:].partition(b"\0")[0].decode("utf-8", "replace")

    def clear(self) -> None:
        self._page[0] = 0

    def close(self) -> None:
        if self._removed_at_end is not None and not self._page[0]:
            # Before the lock ends: a file that another process has taken by then would be removed under it.
            with suppress(OSError):
                self._removed_at_end.unlink()
        self._page.close()

    def working_on(self, delivery_id: str) -> Self:
        """While inside, the death of the process counts against this delivery. Costs less than a microsecond.

        For synchronous work on the event loop only, one delivery at a time.
        """
        self._id = delivery_id.encode("utf-8", "replace")[: _SIZE - 1] + b"\0"
        return self

    def __enter__(self) -> None:
        self._page[: len(self._id)] = self._id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page[0] = 0


def _page_of(path: str) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(link_message(path)) from None
        raise StoreError(f"{path} cannot be opened ({error.strerror}): check its permissions and the disk") from error
    try:
        # The map keeps the lock: it has a copy of the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _refuse_removed(path, descriptor)
        # With its space: a write to a page that the disk has no room for kills the process.
        os.posix_fallocate(descriptor, 0, _SIZE)
        return mmap.mmap(descriptor, _SIZE)
    except BlockingIOError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; free some space on the disk") from error
    finally:
        os.close(descriptor)


def _refuse_removed(path: str, descriptor: int) -> None:
    """Raise BlockingIOError if the open file has lost its name: who had it has ended meanwhile."""
    try:
        is_at = os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        is_at = False
    if not is_at:
        raise BlockingIOError(f"{path} was removed by the process that had it")


async def blame(slot: CrashSlot, store: Store) -> Delivery | None:
    """Count the death of the last process against the delivery it was working on, once; None: there was none.

    Raises StoreUnavailable, and then the slot still names it.
    """
    delivery_id = slot.found()
    delivery = await store.crashed(delivery_id) if delivery_id else None
    slot.clear()
    if delivery is not None:
        telemetry.log(
            "delivery.poisonous",
            delivery_id=delivery.id,
            destination=delivery.destination,
            crashes=delivery.crashes,
            state=delivery.state,
        )
    return delivery


def check_crashes(delivery: Delivery) -> None:
    """Raise Poisonous for a delivery that the process has died over too often. Waiting for a destination never counts."""
    if delivery.crashes >= MAX_CRASHES:
        raise Poisonous(f"the gateway's process died {delivery.crashes} times while it worked on this delivery")
