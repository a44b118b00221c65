"""What events are about, in a few words: made when they are shown, from what may be shown of them. Nothing is stored."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from gateway.errors import RenderError, Unparsable
from gateway.event import subjects
from gateway.event.payload import payload_of
from gateway.model import Event
from gateway.store import Reads
from gateway.store.queries import EventHistory, EventQuery, EventRow

if TYPE_CHECKING:
    from gateway.routing import Config

#: Bytes of a body that is looked into, and of all bodies of a list; an event that is too large has no summary.
LARGEST: Final = 64 * 1024
LARGEST_OF_ALL: Final = 2 * 1024 * 1024


async def of_rows(reads: Reads, config: "Config", rows: Sequence[EventRow]) -> Mapping[str, str]:
    """The summaries of listed events, by id, without those that have none."""
    ids = list(_small_enough(rows))
    if not ids:
        return {}
    loaded = await reads.load(ids)
    events = [each for each in loaded.values() if isinstance(each, Event)]
    return await asyncio.to_thread(lambda: dict(_summaries(config, events)))


async def of_events(reads: Reads, config: "Config", ids: Iterable[str]) -> Mapping[str, str]:
    """The same for events of which only the ids are known."""
    named = tuple(dict.fromkeys(ids))
    return await of_rows(reads, config, (await reads.events(EventQuery(ids=named))).rows) if named else {}


def of_history(config: "Config", history: EventHistory) -> str:
    """The summary of one event; empty if its body is not what was received, or if the process has died over it."""
    is_safe = history.intact and history.body_is == "kept" and not any(each.crashes for each in history.deliveries)
    return summary(config, history.event) if is_safe else ""


def _small_enough(rows: Sequence[EventRow]) -> Iterator[str]:
    left = LARGEST_OF_ALL
    for row in rows:
        # One over which the process has died is left alone.
        if row.size <= min(LARGEST, left) and not any(each.crashes for each in row.deliveries):
            left -= row.size
            yield row.id


def _summaries(config: "Config", events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    for event in events:
        if said := summary(config, event):
            yield event.id, said


def summary(config: "Config", event: Event) -> str:
    """What one event is about, as its source says it, or by the usual fields; redacted values and secrets are hidden. Total."""
    source = config.source(event.source)
    try:
        payload = payload_of(event)
    except (Unparsable, RecursionError):
        return ""
    redaction = config.redaction(event)
    shown = redaction.masked(payload)
    if source is None:
        return ""
    facts = source.naming.facts(redaction.masked_event(event, payload), shown)
    said = ""
    if source.summary is not None:
        facts = {**facts, "vars": config.masks.value(source.naming.vars)}
        try:
            said = subjects.line(source.summary(facts).text)
        except RenderError:
            # A field that this event does not have.
            said = ""
    return config.masks.text(said or subjects.usual(facts.get("attrs") or shown) or subjects.usual(shown))
