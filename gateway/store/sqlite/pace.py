"""The pace of upkeep: slices so short, and so far apart, that senders do not feel them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

#: How long a slice is to keep the writer, apart from its commit, seconds.
SLICE_S: Final = 0.005
#: Bytes of bodies that a slice is about, at most, unless one body is larger.
SLICE_BYTES: Final = 512 * 1024
#: A rest is so many times as long as the slice before it, commit included: upkeep has a fifth of the time, at most.
REST: Final = 4.0
#: The number of items of the first slice, and the fewest and the most of the later ones.
FIRST_ITEMS: Final = 50
LEAST_ITEMS: Final = 10
MOST_ITEMS: Final = 500


class Pace:
    """One kind of upkeep, slice after slice."""

    def __init__(self) -> None:
        self._items = FIRST_ITEMS
        self._rests_until = 0.0

    def items(self, most: int) -> int:
        """The number of items of the next slice."""
        return min(most, self._items)

    @contextmanager
    def working(self) -> Generator[None]:
        """While inside, a slice keeps the writer. For the writer's thread."""
        began = time.monotonic()
        yield
        took_s = max(time.monotonic() - began, 1e-6)
        # Not more than doubled: the next ones may be more work.
        self._items = max(LEAST_ITEMS, min(MOST_ITEMS, int(self._items * min(2.0, SLICE_S / took_s))))

    @asynccontextmanager
    async def resting(self) -> AsyncGenerator[None]:
        """Inside, a slice is on its way to the disk; before it there is the rest that the one before has earned."""
        await asyncio.sleep(max(0.0, self._rests_until - time.monotonic()))
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._rests_until = now + REST * (now - began)


Item = TypeVar("Item")


def parts(items: Iterable[Item], weight: Callable[[Item], int], most: int) -> Iterator[Sequence[Item]]:
    """The same items, as many at a time as weigh no more than ``most``, or one that weighs more."""
    part: list[Item] = []
    total = 0
    for item in items:
        total += weight(item)
        if part and total > most:
            yield part
            part, total = [], weight(item)
        part.append(item)
    if part:
        yield part
