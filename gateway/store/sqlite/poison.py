"""Which delivery is being worked on, in a memory-mapped file that survives the death of the process.

The page cache outlives kill -9, a segmentation fault and the out-of-memory killer, so one memory write is enough;
after a power cut the file may be stale, which costs one delivery one of its three chances.
"""

import mmap
import os
from types import TracebackType
from typing import Final, Self

_SIZE: Final = 128


class Poison:
    """One slot: the id of the delivery whose payload is in our hands now. A context manager that is used again and again."""

    __slots__ = ("_id", "_page")

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._page = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._id = b""

    def found(self) -> str:
        """The id that was left here, or an empty text."""
        return self._page[:].partition(b"\0")[0].decode("utf-8", "replace")

    def clear(self) -> None:
        self._page[0] = 0

    def close(self) -> None:
        self._page.close()

    def working_on(self, delivery_id: str) -> Self:
        self._id = delivery_id.encode("utf-8", "replace")[: _SIZE - 1] + b"\0"
        return self

    def __enter__(self) -> None:
        self._page[: len(self._id)] = self._id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page[0] = 0
