"""Requests that the door refused: logged, and kept for people who miss an event; written in the background."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec import Struct

from gateway import telemetry
from gateway.dispatcher.steps import for_ever
from gateway.errors import RequestRefused, StoreUnavailable
from gateway.hiding.addresses import masked_path
from gateway.store import Store
from gateway.store.queries import Rejected
from gateway.wording import printable

#: Seconds between two writes, and how many kinds of refusals of one source are kept apart in that time; others are only
#: counted.
INTERVAL_S: Final = 1.0
MOST_KINDS: Final = 100
#: Characters of a reason that are kept.
LONGEST_REASON: Final = 200
#: After a line in the log, refusals with the same source, reason and client are only counted for this long, seconds.
QUIET_S: Final = 60.0
#: Further reasons and clients of one source are logged together.
MOST_LOGGED: Final = 20
OTHERS: Final = "others, too many to list"


class _Kind(NamedTuple):
    source: str
    path: str
    status: int
    reason: str
    client: str


class _Cause(NamedTuple):
    """What log lines are sampled by."""

    source: str
    #: The class of the reason: its own text may hold what the sender chose.
    reason: str
    client: str


class _Counted(Struct):
    """Refusals since a line in the log, and the last of them."""

    since: float
    last: _Kind
    count: int = 0


async def _nowhere() -> None:
    """Do nothing: no other process serves this gateway."""


class Rejections:
    """Counts refusals by kind and stores them about once a second, so a flood costs one row per kind.

    The log has the first one of each cause, and then a line a minute with their number.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        #: The time of the last one, and their number.
        self._gathered: dict[_Kind, tuple[float, int]] = {}
        self._logged: dict[_Cause, _Counted] = {}
        #: Of each source: how many kinds are gathered, and how many causes were logged.
        self._kinds: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._flushing = asyncio.Lock()
        #: Has the other processes of this gateway store theirs.
        self.elsewhere: Callable[[], Awaitable[None]] = _nowhere

    def refuse(self, source: str, path: str, refusal: RequestRefused, client: str) -> None:
        """Count one and log it. ``path`` is the path as requested; a secret in it is not kept."""
        kind = self._add(_Kind(source, path, refusal.status, str(refusal), client))
        cause = _Cause(source, refusal.reason, client)
        if cause not in self._logged and self._causes[source] >= MOST_LOGGED:
            cause, kind = _Cause(source, OTHERS, ""), kind._replace(reason=OTHERS, client="")
        if counted := self._logged.get(cause):
            counted.last, counted.count = kind, counted.count + 1
        else:
            self._logged[cause] = _Counted(self._clock(), kind)
            self._causes[source] += 1
            _log(kind, 1)

    def repeated(self, source: str, path: str, status: int, reason: str, client: str) -> None:
        """Count a duplicate: it is not refused, but people look for it when an event seems to be missing."""
        self._add(_Kind(source, path, status, reason, client))

    def _add(self, kind: _Kind) -> _Kind:
        path, reason = printable(masked_path(kind.path)), printable(kind.reason[:LONGEST_REASON])
        kind = kind._replace(path=path, reason=reason)
        kept = kind
        if kind not in self._gathered:
            if self._kinds[kind.source] >= MOST_KINDS:
                kept = _Kind(kind.source, "*", kind.status, OTHERS, "")
            self._kinds[kind.source] += 1
        _, count = self._gathered.get(kept, (0.0, 0))
        self._gathered[kept] = self._clock(), count + 1
        return kind

    async def run(self) -> None:
        """Store them periodically until cancelled."""
        await for_ever(self._turn)

    async def _turn(self) -> None:
        await asyncio.sleep(INTERVAL_S)
        await self.flush()

    async def flush(self, *, is_last: bool = False) -> None:
        """Store what was gathered. If this raises StoreUnavailable, it is lost here; the log has it."""
        async with self._flushing:
            self._log_counts(is_last=is_last)
            gathered, self._gathered = self._gathered, {}
            self._kinds.clear()
            if gathered:
                await self._store.reject(
                    [Rejected(at=at, count=count, **kind._asdict()) for kind, (at, count) in gathered.items()]
                )

    async def newest(self, *, limit: int) -> Sequence[Rejected]:
        """The stored ones, newest first, with those that the processes of this gateway have gathered so far."""
        await self.elsewhere()
        # A full disk keeps nobody from reading.
        with suppress(StoreUnavailable):
            await self.flush()
        return await self._store.rejected(limit=limit)

    def _log_counts(self, *, is_last: bool) -> None:
        now = self._clock()
        for cause, counted in list(self._logged.items()):
            # A clock that was set back must not keep the log silent.
            if is_last or abs(now - counted.since) >= QUIET_S:
                if counted.count:
                    self._logged[cause] = _Counted(now, counted.last)
                    _log(counted.last, counted.count)
                else:
                    del self._logged[cause]
                    self._causes[cause.source] -= 1


def _log(kind: _Kind, count: int) -> None:
    telemetry.log(
        "event.rejected",
        source=kind.source,
        path=kind.path,
        status=kind.status,
        reason=kind.reason,
        client=kind.client,
        count=count,
    )
