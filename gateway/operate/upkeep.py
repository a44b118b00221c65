"""What is done in the background: to the store, slice by slice, what retention, redaction and search need; senders' keys."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from gateway import telemetry
from gateway.dispatcher.steps import for_ever
from gateway.errors import CorruptEvent
from gateway.model import Event
from gateway.process import Gateway
from gateway.routing import Config

#: Seconds between two rounds of pruning and redacting.
INTERVAL_S: Final = 60.0
#: Seconds after which the keys of a sender are fetched again.
KEYS_INTERVAL_S: Final = 3600.0
#: Seconds between two slices of the index or of a wipe, and between two looks for something to do.
BETWEEN_SLICES_S: Final = 0.05
LOOK_INTERVAL_S: Final = 1.0
#: Seconds between two looks for damage, each of some 10 ms: a twentieth of one processor.
BETWEEN_INSPECTIONS_S: Final = 0.2


class Upkeep:
    """The loops that keep the store small, redacted and searchable. One per process; those of one replica at a time work."""

    def __init__(self, gateway: Gateway, is_ours: Callable[[], bool]) -> None:
        """``is_ours``: whether this replica is the one that does it for all of them now."""
        self._gateway = gateway
        self._is_ours = is_ours
        self._store = gateway.store
        #: Whether no event is left with a header that only older releases stored.
        self._is_cleansed = False

    async def run(self) -> None:
        """Continue until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for step in (self._round, self._index, self._wipe, self._inspect):
                tasks.create_task(for_ever(partial(self._if_ours, step)))
            # Every replica verifies.
            tasks.create_task(for_ever(self._learn_keys))

    async def _if_ours(self, step: Callable[[], Awaitable[None]]) -> None:
        if self._is_ours():
            await step()
        else:
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _round(self) -> None:
        await self.tidy()
        await asyncio.sleep(INTERVAL_S)

    async def tidy(self) -> None:
        """Remove everything past its retention and redact what no delivery needs any more. Raises StoreUnavailable."""
        await self._prune()
        await self._redact()
        await self._cleanse()

    async def _prune(self) -> None:
        await self._store.breathe()
        while removed := await self._store.prune(self._gateway.config.retention):
            telemetry.log("store.pruned", removed=removed)
            await self._store.breathe()

    async def _redact(self) -> None:
        after, is_more = "", True
        while is_more:
            await self._store.breathe()
            page = await self._store.unredacted(after=after)
            if page.events:
                # In a thread: large bodies take their time, and events keep coming in.
                bodies = await asyncio.to_thread(_redacted, self._gateway.config, page.events)
                if removed := await self._store.redact(bodies):
                    telemetry.log("store.pruned", removed=removed)
            after, is_more = page.next, bool(page.next)

    async def _cleanse(self) -> None:
        while not self._is_cleansed:
            await self._store.breathe()
            self._is_cleansed = not await self._store.cleanse(self._gateway.config.secret_headers)

    async def _learn_keys(self) -> None:
        await self.learn_keys()
        await asyncio.sleep(INTERVAL_S)

    async def learn_keys(self) -> None:
        """Fetch the keys of senders ahead of their requests, and again every hour."""
        for source in self._gateway.config.sources.values():
            for url in source.verifier.addresses:
                documents = self._gateway.egress.documents
                if url not in documents.known or documents.age_s(url) > KEYS_INTERVAL_S:
                    await documents.look(url, source.door)

    async def _inspect(self) -> None:
        await self._store.breathe()
        is_more = await self._store.inspect()
        await asyncio.sleep(BETWEEN_INSPECTIONS_S if is_more else INTERVAL_S)

    async def _wipe(self) -> None:
        await self._store.breathe()
        is_more = await self._store.wipe()
        await asyncio.sleep(BETWEEN_SLICES_S if is_more else LOOK_INTERVAL_S)

    async def _index(self) -> None:
        await self._store.breathe()
        is_more = await self._store.index()
        await asyncio.sleep(BETWEEN_SLICES_S if is_more else LOOK_INTERVAL_S)


def _redacted(config: Config, events: Mapping[str, Event | CorruptEvent]) -> Mapping[str, bytes]:
    """Bodies without what their sources redact; nothing is left of a damaged one."""
    return {id_: b"{}" if isinstance(each, CorruptEvent) else config.stripped(each) for id_, each in events.items()}
