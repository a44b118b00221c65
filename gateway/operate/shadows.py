"""What a shadow would have sent for the events that come in: routes with ``shadow: true``, or the file of ``--shadow``.

It reads stored events, at its own pace: nothing on an event's path depends on it, and it sends, stores and looks up
nothing.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from gateway import telemetry
from gateway.config import format_problem
from gateway.errors import ConfigError
from gateway.model import Event
from gateway.process import Gateway
from gateway.rehearsal.differences import Comparison, compare, shortened
from gateway.routing import Config
from gateway.store.queries import EventQuery
from gateway.wording import iso_time

#: Seconds between two looks at the store.
INTERVAL_S: Final = 0.4
#: Events of one look; others that came meanwhile are skipped.
MOST: Final = 500
#: Skipped events are counted up to this at each look.
MOST_SKIPPED: Final = 5_000
#: Events kept that differ.
KEPT: Final = 1000
#: Lines kept of each difference.
LINES: Final = 60
#: Differences kept of each event.
DIFFERENCES: Final = 20
#: After each event it rests for this many times as long as comparing it took.
REST: Final = 4.0

#: The name of the shadow that ``shadow: true`` makes.
ROUTES: Final = "shadow: true"


class Shadow(Struct, frozen=True, kw_only=True):
    """Another configuration that events are compared with; ``name`` is that of its file, or ROUTES."""

    name: str
    config: Config


class ShadowFile(Struct, frozen=True, kw_only=True):
    """The file of ``--shadow``; ``read`` loads it again and raises ConfigError."""

    name: str
    config: Config
    read: Callable[[], Config]


class Found(Struct, frozen=True, kw_only=True):
    """An event for which a shadow would send something else."""

    shadow: str
    comparison: Comparison

    def document(self) -> Mapping[str, Any]:
        return {"shadow": self.shadow, **self.comparison.document(LINES + 1)}


class Shadows:
    """Compares new events; the last KEPT results are in memory. ``file``: that of ``--shadow``."""

    def __init__(self, gateway: Gateway, file: ShadowFile | None = None) -> None:
        self._gateway = gateway
        self._file = file
        #: The configuration in force when the file was last read.
        self._read_with = gateway.config
        #: Why the file is not the one on disk, in words; empty: it is.
        self.problem = ""
        self._found: deque[Found] = deque(maxlen=KEPT)
        #: By shadow, kind, route and destination.
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._since = gateway.clock()
        self._compared = self._same = self._skipped = 0
        #: Position of the newest event at the last look; None before the first look.
        self._seen: str | None = None
        #: The events of the last look: those that came during it are in the next one, too.
        self._last = frozenset[str]()

    @property
    def current(self) -> Sequence[Shadow]:
        """What events are compared with now; empty: nothing."""
        routes, file = self._gateway.config.shadow, self._file
        found = [] if routes is None else [Shadow(name=ROUTES, config=routes)]
        return found if file is None else [*found, Shadow(name=file.name, config=file.config)]

    def document(self, most: int = KEPT) -> Mapping[str, Any]:
        """The numbers since the start, and at most ``most`` of the events kept, newest first."""
        return {
            "shadows": [each.name for each in self.current],
            "problem": self.problem,
            "since": iso_time(self._since),
            "compared": self._compared,
            "same": self._same,
            "skipped": self._skipped,
            "counts": [
                {"shadow": shadow, "kind": kind, "route": route, "destination": destination, "count": number}
                for (shadow, kind, route, destination), number in self._counts.most_common(100)
            ],
            "kept": len(self._found),
            "results": [each.document() for each in islice(reversed(self._found), most)],
        }

    async def step(self) -> None:
        """Compare what came since the last step, then wait. Raises StoreUnavailable."""
        await self._reread()
        if shadows := self.current:
            await self.look(shadows)
        else:
            self._seen = None
        await asyncio.sleep(INTERVAL_S)

    async def _reread(self) -> None:
        """Read the file again once another configuration is in force."""
        config, file = self._gateway.config, self._file
        if file is None or config is self._read_with:
            return
        self._read_with = config
        try:
            self._file = replace(file, config=await asyncio.to_thread(file.read))
            self.problem = ""
        except ConfigError as error:
            self.problem = " ".join(format_problem(each).partition("\n")[0] for each in error.problems)
            telemetry.log("shadow.rejected", reason=self.problem)

    async def look(self, shadows: Sequence[Shadow]) -> None:
        """Compare the events since the last look; the first look only finds out where to begin."""
        store, before = self._gateway.store, self._seen
        newest = (await store.events(EventQuery(limit=1, after=before or ""))).rows
        self._seen = newest[0].position if newest else before or ""
        if before is None or not newest:
            return
        query = EventQuery(limit=MOST, after=before)
        page = await store.candidates(query)
        if page.next:
            came = len((await store.events(replace(query, limit=MOST_SKIPPED))).rows)
            self._skipped += max(0, came - len(page.rows))
        last, self._last = self._last, frozenset(each.event.id for each in page.rows)
        for each in reversed(page.rows):
            if each.event.id in last:
                continue
            began = time.monotonic()
            self._compare(shadows, each.event)
            # Events on their way in and out have most of the time.
            await asyncio.sleep(REST * (time.monotonic() - began))

    def _compare(self, shadows: Sequence[Shadow], event: Event) -> None:
        compared = [(shadow.name, compare(self._gateway.config, shadow.config, event)) for shadow in shadows]
        self._compared += 1
        self._same += not any(each.differences or each.why_not for _, each in compared)
        for name, comparison in compared:
            for each in comparison.differences:
                self._counts[name, each.kind, each.route, each.destination] += 1
            if comparison.differences or comparison.why_not:
                self._found.append(Found(shadow=name, comparison=_kept(comparison)))


def _kept(comparison: Comparison) -> Comparison:
    """What stays in memory of it."""
    shown = comparison.differences[:DIFFERENCES]
    small = tuple(replace(each, before=None, after=None, lines=tuple(shortened(each.lines, LINES))) for each in shown)
    return replace(comparison, differences=small)
