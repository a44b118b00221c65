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
#: A plan, and the chain that its event belongs to.
_Step = tuple[Plan, object]
#: (source, key)
_Place = tuple[str, str]
_NONE: Final[Mapping[str, Record]] = {}


class _Head(Struct, frozen=True):
    #: The same for all events that were planned on top of one that was read: if one was in vain, so are those after it.
    chain: object
    #: The last event, and what it does.
    event_id: str
    track: bytes


class _Asked(Struct, frozen=True):
    """An event that is to be planned."""

    received: Received
    #: As long as nothing is known of its record.
    facts: dict[str, object]
    #: Of its record; empty: it is about none.
    key: str


class Heads:
    """The last state of records, by source and key. Methods belong to the event loop."""

    def __init__(self) -> None:
        #: The one that was used last at the end.
        self._heads: dict[_Place, _Head] = {}
        self._bytes = 0
        #: Held while events of a source are planned, until they are given to the store: in the same order.
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
            asked = [_asked(source, each) for each in received]
            received.clear()
            found = await self._found(store, source.name, asked)
            turn = self._turns.setdefault(source.name, asyncio.Lock())
            steps: Sequence[_Step]
            if len(asked) == 1 and not turn.locked():
                # Nothing waits from here to the append: that is a turn by itself.
                steps = [self._step(config, source, asked.pop(), found)]
                new, appending = append([plan for plan, _ in steps])
            else:
                async with turn:
                    steps = await self._steps(config, source, asked, found)
                    new, appending = append([plan for plan, _ in steps])
            appended: Sequence[Appended] = ()
            try:
                appended = await appending
            finally:
                for at, (plan, chain) in enumerate(steps):
                    if not appended or appended[at].duplicate or appended[at].stale:
                        self._drop(plan, chain)
            if not appended[0].stale:
                return [plan for plan, _ in steps], new, appended
            received += [Received(event=each.event, payload=payload_of(each.event), key=each.key) for each, _ in steps]
        raise StoreUnavailable(
            f"a record of source {source.name} has changed {MOST_TRIES} times while an event about it was planned: the "
            "sender has to send it again"
        )

    # what the store has

    async def _found(self, store: Store, source: str, asked: Sequence[_Asked]) -> Mapping[str, Record]:
        """Of the records that are not here, those that the store has. Raises StoreUnavailable."""
        missing = [each.key for each in asked if each.key and (source, each.key) not in self._heads]
        if not missing:
            return _NONE
        self._wanted.setdefault(source, set()).update(missing)
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

    # planning

    async def _steps(
        self, config: Config, source: Source, asked: list[_Asked], found: Mapping[str, Record]
    ) -> Sequence[_Step]:
        """Several events in their order. Where there are many, or long ones, other requests have a turn in between."""
        steps, spent = [], 0
        for each in asked:
            spent += planning.EACH + len(each.received.event.body)
            if spent > planning.TURN:
                await asyncio.sleep(0)
                spent = 0
            steps.append(self._step(config, source, each, found))
        asked.clear()
        return steps

    def _step(self, config: Config, source: Source, asked: _Asked, found: Mapping[str, Record]) -> tuple[Plan, object]:
        """The plan of an event on top of the last one about its record, and the chain that it belongs to."""
        received, known, chain = asked.received, asked.facts, None
        tracking = source.naming.tracking
        assert tracking is not None
        if asked.key:
            place = (source.name, asked.key)
            head = self._heads.get(place) or _head_of(found.get(asked.key))
            fields = tracking.fields_in(known)
            track, stored = tracks.written(asked.key, head.track, fields, tracking.omitted)
            event = replace(received.event, track=stored)
            record = NewRecord(key=asked.key, after=head.event_id, keeps_s=tracking.keeps_s)
            received = Received(event=event, payload=received.payload, key=received.key, record=record)
            known.update(tracks.roots(track, fields))
            chain = head.chain
            self._set(place, _Head(chain, event.id, stored))
        entries = config.sections_of(source.name).matching(known)
        return planning.keyed(received, known, entries, config, source), chain

    def _drop(self, plan: Plan, chain: object) -> None:
        """An event was planned in vain, perhaps: the next one about its record reads it again."""
        if plan.record is None:
            return
        place = (plan.source.name, plan.record.key)
        head = self._heads.get(place)
        # If not, one that was in vain was planned again meanwhile, and began another chain.
        if head is not None and head.chain is chain:
            self._pop(place)

    def _set(self, place: _Place, head: _Head) -> None:
        self._pop(place)
        self._heads[place] = head
        self._bytes += len(head.track)
        while self._bytes > MOST_BYTES or len(self._heads) > MOST_RECORDS:
            self._pop(next(iter(self._heads)))

    def _pop(self, place: _Place) -> None:
        head = self._heads.pop(place, None)
        if head is not None:
            self._bytes -= len(head.track)


def _asked(source: Source, received: Received) -> _Asked:
    facts = {**source.naming.facts(received.event, received.payload)}
    assert source.naming.tracking is not None
    return _Asked(received, facts, source.naming.tracking.key(facts))


def _head_of(record: Record | None) -> _Head:
    return _Head(object(), "", b"") if record is None else _Head(object(), record.event_id, record.track)
