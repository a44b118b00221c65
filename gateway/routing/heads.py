"""The records of sources as this process has last planned them: each event is planned on top of the one before it.

What is here may not be stored yet, and another replica may have changed a record meanwhile: the store accepts an event
only on top of the event that it was planned on. So nothing here has to be right; it only has to be right nearly always.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import StoreUnavailable
from gateway.event import tracks
from gateway.event.payload import payload_of
from gateway.routing import planning
from gateway.routing.config import Config
from gateway.routing.planning import Plan
from gateway.routing.sources import Received, Source
from gateway.store import Store
from gateway.store.nouns import Appended, NewEvent, NewRecord, Record

#: Bytes of records that are kept in memory, without what Python adds; and records.
MOST_BYTES: Final = 8 * 1024 * 1024
MOST_RECORDS: Final = 20_000
#: How often an event is planned again because another replica has changed its record.
MOST_TRIES: Final = 50

#: Begins to store what was planned, and gives the events with what comes of them.
AppendPlans = Callable[[Sequence[Plan]], "tuple[Sequence[NewEvent], asyncio.Future[Sequence[Appended]]]"]


class _Head(Struct, frozen=True):
    #: The same for all events that were planned on top of one that was read: if one was in vain, so are those after it.
    chain: object
    #: The last event, and what it does.
    event_id: str
    track: bytes


class Asked(Struct, frozen=True):
    """What an event says of its record."""

    #: Empty: it is about none.
    key: str
    fields: Mapping[str, object]


class OnTop(Struct, frozen=True):
    """An event planned on top of the one before it."""

    received: Received
    #: None: it is about no record.
    chain: object = None


class Heads:
    """The last state of records, by source and key. Methods belong to the event loop."""

    def __init__(self) -> None:
        #: The one that was used last at the end.
        self._heads: dict[tuple[str, str], _Head] = {}
        self._bytes = 0
        self._turns: dict[str, asyncio.Lock] = {}
        #: By source: keys to be read together, at the end of this turn of the loop.
        self._wanted: dict[str, set[str]] = {}
        self._reading: dict[str, asyncio.Task[Mapping[str, Record]]] = {}

    async def stored(
        self, store: Store, config: Config, source: Source, received: list[Received], append: AppendPlans
    ) -> tuple[Sequence[Plan], Sequence[NewEvent], Sequence[Appended]]:
        """Plan and store the events of one request, each on top of what is known of the record that it is about.

        They are planned again if another replica has changed a record meanwhile. ``received`` is emptied: a payload takes
        many times its body's memory. Raises StoreUnavailable.
        """
        for _ in range(MOST_TRIES):
            asked = [Asked(*source.naming.tracked(each.event, each.payload)) for each in received]
            found = await self.read(store, source.name, asked)
            async with self.turn(source.name):
                planned = self.planned(source, received, asked, found)
                plans = await planning.plans([each.received for each in planned], config, source)
                planned = [replace(each, received=replace(each.received, payload=None)) for each in planned]
                received.clear()
                new, appending = append(plans)
            appended: Sequence[Appended] = ()
            try:
                appended = await appending
            finally:
                for at, each in enumerate(planned):
                    if not appended or appended[at].duplicate or appended[at].stale:
                        self.drop(each)
            if not appended[0].stale:
                return plans, new, appended
            received += [replace(each.received, payload=payload_of(each.received.event)) for each in planned]
        raise StoreUnavailable(
            f"a record of source {source.name} has changed {MOST_TRIES} times while an event about it was planned: the "
            "sender has to send it again"
        )

    def turn(self, source: str) -> asyncio.Lock:
        """Held while events of a source are planned, until they are given to the store: in the same order."""
        return self._turns.setdefault(source, asyncio.Lock())

    async def read(self, store: Store, source: str, asked: Sequence[Asked]) -> Mapping[str, Record]:
        """Of the records that are not here, those that the store has. Raises StoreUnavailable."""
        missing = {each.key for each in asked if each.key and (source, each.key) not in self._heads}
        if not missing:
            return {}
        wanted = self._wanted.setdefault(source, set())
        wanted |= missing
        if source not in self._reading:
            reading = asyncio.get_running_loop().create_task(self._read(store, source))
            # Whoever waits for it may have gone.
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._reading[source] = reading
        return await asyncio.shield(self._reading[source])

    async def _read(self, store: Store, source: str) -> Mapping[str, Record]:
        """Reads for everybody who asks in this turn of the loop."""
        await asyncio.sleep(0)
        keys = self._wanted.pop(source)
        del self._reading[source]
        return await store.records(source, keys)

    def planned(
        self, source: Source, received: Sequence[Received], asked: Sequence[Asked], found: Mapping[str, Record]
    ) -> Sequence[OnTop]:
        """The events of a request, each on top of its record; ``asked``: of each, ``found``: by ``read``."""
        return [
            self._on_top(source, each, what, found.get(what.key)) if what.key else OnTop(each)
            for each, what in zip(received, asked, strict=True)
        ]

    def _on_top(self, source: Source, received: Received, asked: Asked, stored: Record | None) -> OnTop:
        tracking, place = source.naming.tracking, (source.name, asked.key)
        assert tracking is not None
        head = self._heads.get(place)
        if head is None:
            head = _Head(object(), stored.event_id, stored.track) if stored else _Head(object(), "", b"")
        event = replace(received.event, track=tracks.written(asked.key, head.track, asked.fields, tracking.omitted))
        self._set(place, _Head(head.chain, event.id, event.track))
        record = NewRecord(key=asked.key, after=head.event_id, keeps_s=tracking.keeps_s)
        return OnTop(replace(received, event=event, record=record), head.chain)

    def drop(self, planned: OnTop) -> None:
        """An event was planned in vain, perhaps: the next one about its record reads it again."""
        received = planned.received
        if received.record is None:
            return
        place = (received.event.source, received.record.key)
        head = self._heads.get(place)
        # If not, one that was in vain was planned again meanwhile, and began another chain.
        if head is not None and head.chain is planned.chain:
            self._pop(place)

    def _set(self, place: tuple[str, str], head: _Head) -> None:
        self._pop(place)
        self._heads[place] = head
        self._bytes += len(head.track)
        while self._bytes > MOST_BYTES or len(self._heads) > MOST_RECORDS:
            self._pop(next(iter(self._heads)))

    def _pop(self, place: tuple[str, str]) -> None:
        head = self._heads.pop(place, None)
        if head is not None:
            self._bytes -= len(head.track)
