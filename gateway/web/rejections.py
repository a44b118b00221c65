"""Requests that the door refused, kept for people who miss an event; written in the background."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.dispatcher import for_ever
from gateway.event.payload import masked_path
from gateway.store import Store
from gateway.store.nouns import Rejected
from gateway.wording import printable

#: Seconds between two writes, and how many kinds of refusals are kept apart in that time; others are only counted.
INTERVAL_S: Final = 1.0
MOST_KINDS: Final = 200
#: Characters of a reason that are kept.
LONGEST_REASON: Final = 200

_Kind = tuple[str, str, int, str]


class Rejections:
    """Counts refusals by kind and stores them about once a second, so a flood costs one row per kind."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        #: By (source, path, status, reason): the time of the last one, and their number.
        self._gathered: dict[_Kind, tuple[float, int]] = {}

    def add(self, source: str, path: str, status: int, reason: str) -> None:
        """Count one. ``path`` is the path as requested; a secret in it is not kept."""
        kind = (source, printable(masked_path(path)), status, printable(reason[:LONGEST_REASON]))
        if kind not in self._gathered and len(self._gathered) >= MOST_KINDS:
            kind = (source, "*", status, "others, too many to list")
        _, count = self._gathered.get(kind, (0.0, 0))
        self._gathered[kind] = self._clock(), count + 1

    async def run(self) -> None:
        """Store them periodically until cancelled."""
        await for_ever(self._turn)

    async def _turn(self) -> None:
        await asyncio.sleep(INTERVAL_S)
        await self.flush()

    async def flush(self) -> None:
        """Store what was gathered. If this raises StoreUnavailable, it is lost here; the log has it."""
        gathered, self._gathered = self._gathered, {}
        if gathered:
            await self._store.reject(
                [
                    Rejected(at=at, source=source, path=path, status=status, reason=reason, count=count)
                    for (source, path, status, reason), (at, count) in gathered.items()
                ]
            )
