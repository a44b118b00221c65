"""What a replay would send although a newer state of the same record was delivered since."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from gateway.model import Delivery, DeliveryState, Event
from gateway.operate import rerouting, selection
from gateway.process import Gateway
from gateway.routing import Config
from gateway.store.queries import EFFORT, EventQuery, EventRow
from gateway.wording import iso_time, printable

#: Bodies that the store is asked for at a time.
BODIES: Final = 64


class _Record(NamedTuple):
    source: str
    resource: str
    id: str


class _Sent(NamedTuple):
    """A record that was sent to a destination."""

    record: _Record
    destination: str


async def overtaken(gateway: Gateway, deliveries: Sequence[Delivery]) -> Sequence[str]:
    """A sentence for each delivery that would send an older state of a record after a newer one."""
    rows = await _rows(gateway, [each.event_id for each in deliveries])
    loaded = await gateway.store.load([row.id for row in rows]) if rows else {}
    events = {id_: each for id_, each in loaded.items() if isinstance(each, Event)}
    records = await asyncio.to_thread(_records, gateway.config, list(events.values()))
    wanted = {
        each.id: _Sent(records[each.event_id], each.destination) for each in deliveries if each.event_id in records
    }
    if not wanted:
        return []
    # The newest first: what is newer than the oldest of them.
    newest = await _newest(gateway, set(wanted.values()), after=rows[-1].position)
    ages = await _rows(gateway, [*records, *(row.id for row in newest.values())])
    # Any of them may have been removed meanwhile: then nothing is said.
    rank = {row.id: at for at, row in enumerate(ages)}
    found = [(each, newest.get(wanted[each.id])) for each in deliveries if each.id in wanted]
    return [
        _sentence(gateway.config, events[each.event_id], each, wanted[each.id].record, later)
        for each, later in found
        if later is not None and rank.get(later.id, len(ages)) < rank.get(each.event_id, 0)
    ]


async def _rows(gateway: Gateway, ids: Sequence[str]) -> Sequence[EventRow]:
    """Events by their ids, the newest first."""
    return (await gateway.store.events(EventQuery(ids=tuple(dict.fromkeys(ids))))).rows if ids else ()


async def _newest(gateway: Gateway, wanted: Collection[_Sent], *, after: str) -> Mapping[_Sent, EventRow]:
    """The newest event of each record that was delivered to its destination, of those newer than a position."""
    found: dict[_Sent, EventRow] = {}
    words = {each: selection.words(each.record.id) for each in wanted}
    # What the index of words has no words for would have the search for the others look at every event.
    for of_index in ([each for each in wanted if words[each]], [each for each in wanted if not words[each]]):
        any_of = tuple(dict.fromkeys(words[each] for each in of_index if words[each]))
        query = EventQuery(
            source=_only(each.record.source for each in of_index),
            destination=_only(each.destination for each in of_index),
            state=DeliveryState.DELIVERED,
            any_of=any_of,
            after=after,
            limit=BODIES,
            effort=EFFORT,
        )
        left = set(of_index)
        while left:
            page = await gateway.store.candidates(query)
            found |= await _delivered(gateway, left, [each.event for each in page.rows])
            left -= found.keys()
            if not page.next or page.searched_to is not None:
                break
            query = replace(query, before=page.next, effort=query.effort - page.spent)
    return found


def _only(names: Iterable[str]) -> str:
    """What all of them are; empty if they differ."""
    found = set(names)
    return found.pop() if len(found) == 1 else ""


async def _delivered(gateway: Gateway, wanted: Collection[_Sent], events: Sequence[Event]) -> Mapping[_Sent, EventRow]:
    """The newest of these events of each record that was delivered to its destination."""
    records = await asyncio.to_thread(_records, gateway.config, events)
    about = {each.record for each in wanted}
    found: dict[_Sent, EventRow] = {}
    for row in await _rows(gateway, [id_ for id_, record in records.items() if record in about]):
        for each in row.deliveries:
            sent = _Sent(records[row.id], each.destination)
            if each.state is DeliveryState.DELIVERED and sent in wanted:
                found.setdefault(sent, row)
    return found


def _records(config: Config, events: Sequence[Event]) -> Mapping[str, _Record]:
    """What each event is about, by its id; without those that do not say."""
    found = {each.id: (each.source, rerouting.record_of(config, each)) for each in events}
    return {id_: _Record(source, *record) for id_, (source, record) in found.items() if record is not None}


def _sentence(config: Config, event: Event, delivery: Delivery, record: _Record, later: EventRow) -> str:
    hide = config.redaction(event).key_mask_of(event)
    return printable(
        f"{record.resource} {hide(record.id)}: {later.id} ({later.type}, {iso_time(later.received_at)}) was delivered to "
        f"{delivery.destination} after {event.id}, which would send an older state of it"
    )
