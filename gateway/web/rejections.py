"""Requests that the door refused, for the people who wonder where their events are; written off the request's path."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.hiding.addresses import masked_path
from gateway.pipeline import for_ever
from gateway.store import Store
from gateway.store.nouns import Rejected
from gateway.wording import printable

#: Between two writes, seconds; meanwhile so many different refusals are told apart, and the others are counted.
INTERVAL_S: Final = 1.0
MOST_KINDS: Final = 200
#: Characters of a reason.
LONGEST_REASON: Final = 200

_Kind = tuple[str, str, int, str]


class Rejections:
    """Gathers alike refusals, and hands them to the store about once a second. A flood costs a row for each kind."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        #: By (source, path, status, reason): when the last one came, and how many did.
        self._gathered: dict[_Kind, tuple[float, int]] = {}

    def add(self, source: str, path: str, status: int, reason: str) -> None:
        """Count one. ``path`` is as it was asked for; no secret that may stand in it is kept."""
        kind = (source, printable(masked_path(path)), status, printable(reason[:LONGEST_REASON]))
        if kind not in self._gathered and len(self._gathered) >= MOST_KINDS:
            kind = (source, "*", status, "others, too many to tell apart")
        _, count = self._gathered.get(kind, (0.0, 0))
        self._gathered[kind] = self._clock(), count + 1

    async def run(self) -> None:
        """Hand them on, until it is cancelled."""
        await for_ever(self._turn)

    async def _turn(self) -> None:
        await asyncio.sleep(INTERVAL_S)
        await self.flush()

    async def flush(self) -> None:
        """Hand on what was gathered. Raises StoreUnavailable, and then it is forgotten: the log has it."""
        gathered, self._gathered = self._gathered, {}
        if gathered:
            await self._store.reject(
                [
                    Rejected(at=at, source=source, path=path, status=status, reason=reason, count=count)
                    for (source, path, status, reason), (at, count) in gathered.items()
                ]
            )
