"""Forgetting somebody: every event of theirs is looked for in the whole store and erased, slice by slice."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway import telemetry
from gateway.model import Event
from gateway.operate import selection
from gateway.operate.search import Matches
from gateway.process import Gateway
from gateway.store.activities import Activity, Erasure

#: A part of a preview ends after so many seconds: whoever waits for it sees how far it is.
PART_S: Final = 2.0
#: Seconds between two tries to wipe the store's files, while somebody reads them.
BETWEEN_WIPES_S: Final = 0.05


class Found(Struct, frozen=True, kw_only=True):
    """Part of a preview."""

    #: Events that would be forgotten, of those looked at.
    count: int
    looked_at: int
    #: ``after`` of the next part; empty: this was the last.
    next: str


class Forgetting:
    """Previews erasures, begins and continues them. One per process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = gateway.store

    async def look(self, find: str, *, after: str = "") -> Found:
        """Count the events that would be forgotten, for some seconds. Raises BadRequest, QueryRefused."""
        _, _, matches = selection.meant(find, self._gateway.config)
        until, count, looked_at = time.monotonic() + PART_S, 0, 0
        while True:
            page = await self._store.survey(after=after)
            count += len(await asyncio.to_thread(_matching, page.events, matches))
            looked_at += len(page.events)
            after = page.to
            if page.is_last or time.monotonic() > until:
                return Found(count=count, looked_at=looked_at, next="" if page.is_last else after)

    async def begin(self, find: str, *, by: str, reason: str, key: str) -> Activity:
        """Begin to forget; what is stored from now on is not looked at. Raises BadRequest."""
        subject, value, _ = selection.meant(find, self._gateway.config)
        erasure = Erasure(by=by, find=find, value=value, subject=subject, reason=reason, key=key)
        activity = await self._store.begin_erasure(erasure)
        telemetry.log("activity.begun", activity=activity.id, verb="forget", by=by, subject=subject)
        return activity

    async def go_on(self) -> bool:
        """Do the next slice of the oldest unfinished erasure; False if there is none."""
        replica = self._gateway.replica
        erasure = await self._store.open_erasure(replica)
        if erasure is None:
            return False
        if erasure.is_looked_through:
            if await self._store.wipe():
                await asyncio.sleep(BETWEEN_WIPES_S)
            else:
                await self._store.forget(erasure, (), to=erasure.until, replica=replica)
            return True
        page = await self._store.survey(after=erasure.after, until=erasure.until)
        _, _, matches = selection.meant(erasure.find, self._gateway.config)
        found = await asyncio.to_thread(_matching, page.events, matches)
        await self._store.forget(erasure, found, to=page.to, replica=replica)
        return True


def _matching(events: Sequence[Event], matches: Matches) -> Sequence[str]:
    return [each.id for each in events if matches(each)]
