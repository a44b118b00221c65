"""Which destinations may have something due: asked of the database, and sooner if this process or another says so."""

import asyncio
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

from gateway.errors import StoreUnavailable
from gateway.store.postgres.connections import Line
from gateway.store.postgres.hints import Hints

#: Seconds between two looks for what has become due, and between two looks for everything that is due: another
#: transaction may still have been writing it when it became due.
LOOK_S: Final = 1.0
LOOK_AT_ALL_S: Final = 10.0

# A loose scan: a few look-ups in the index for each destination, however many deliveries wait. Of each destination with
# something due: since when, at the earliest. Leases that have ended are looked for among the deliveries that have been due
# the longest, which were leased first; a look at everything finds them without that.
DUE: Final = """
WITH RECURSIVE d (name) AS (
    (SELECT destination FROM queue ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT (SELECT destination FROM queue WHERE destination > d.name ORDER BY destination LIMIT 1) FROM d WHERE d.name IS NOT NULL
)
SELECT gateway_now() AS now, array_agg(name) AS names, array_agg(since) AS since FROM (
    SELECT name, least((
        SELECT q.due FROM queue q WHERE q.destination = d.name AND q.due > $1 AND q.due <= gateway_now()
            AND (q.leased_until IS NULL OR q.leased_until <= gateway_now()) ORDER BY q.due LIMIT 1
    ), (
        SELECT min(due) FROM (
            SELECT due, leased_until FROM queue q
            WHERE $1 > '-infinity' AND q.destination = d.name AND q.due <= gateway_now() ORDER BY q.due LIMIT 500
        ) first WHERE leased_until > $1 AND leased_until <= gateway_now()
    )) AS since
    FROM d WHERE name IS NOT NULL OFFSET 0
) found WHERE since IS NOT NULL
"""


class Watch:
    """Gives the hints of one process."""

    def __init__(self, line: Line, hints: Hints) -> None:
        """``line``: for this alone, so that it waits for nobody."""
        self._line, self._hints = line, hints
        self._loop = asyncio.get_running_loop()
        #: Everything that was due by then was named, by the store's clock.
        self._named_to = -math.inf
        #: On the loop's clock.
        self._looked_at = self._looked_at_all = -math.inf
        self._news = asyncio.Event()
        self._looking: asyncio.Task[float] | None = None

    def hear(self, since: Mapping[str, float] | None) -> None:
        """They have something that has been due since a moment; None: any of them may have something due."""
        if since is None:
            self._looked_at_all = -math.inf
        else:
            self._hints.tell(since)
        if since is None or since:
            self._news.set()

    async def wake(self) -> Collection[str]:
        """Destinations that may have something due, once there is news. Never raises StoreUnavailable."""
        while True:
            self._news.clear()
            if self._hints.is_fresh and self._loop.time() - self._looked_at < LOOK_S:
                return self._hints.take(-math.inf)
            wait_s = LOOK_S
            with suppress(StoreUnavailable):
                now = await self._look()
                if names := self._hints.take(now):
                    return names
                wait_s = min(LOOK_S, self._hints.next_moment(now) - now)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()

    async def _look(self) -> float:
        """Ask the database; returns its time. If the caller is cancelled, the look continues and its findings are kept."""
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._ask())
            # An error is for the caller, if one is left.
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._looking)

    async def _ask(self) -> float:
        began = self._loop.time()
        is_all = began - self._looked_at_all >= LOOK_AT_ALL_S
        with self._hints.asking() as asking:
            async with self._line.alone() as connection:
                now, names, since = await connection.fetchrow(DUE, -math.inf if is_all else self._named_to)
            found = dict(zip(names or (), since or (), strict=True))
            self._hints.looked(asking, found, now, at_all=is_all)
        self._looked_at = began
        if is_all:
            self._looked_at_all = began
        self._named_to = now
        return float(now)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._line.close()
