"""What becomes of an event that was received: the entries that match it, the keys of its deliveries, what is stored."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway import telemetry
from gateway.errors import RenderError
from gateway.event import codings
from gateway.event.paths import Facts
from gateway.model import Event, new_id
from gateway.render import Namespace
from gateway.routing import Config, Destination, Entry, Received, Source
from gateway.routing.gathering import Debounce, Digest
from gateway.routing.silences import NOTHING, Followed, followed
from gateway.routing.timing import UNTIMED
from gateway.store.nouns import Firing, Gather, NewDelivery, NewEvent, NewRecord

#: Bytes of events that are planned before other requests have their turn; each event counts as some more.
TURN: Final = 3 << 14
EACH: Final = 1 << 10


#: Seconds, and with which others.
Wait = tuple[float, Gather | None]
AT_ONCE: Final[Wait] = (0.0, None)
NO_WAITS: Final[Mapping[str, Wait]] = MappingProxyType({})


#: Of larger events nothing is kept until they are sent, bytes: a payload takes many times its body's memory.
SMALL: Final = 4096


class Known(Struct, frozen=True):
    """What is known of a small event that was received a moment ago: it need not be read again to be sent."""

    payload: object
    #: By this configuration; None: a part of them is in the store.
    facts: Facts | None
    config: Config

    def facts_by(self, config: Config) -> Facts | None:
        """The facts, if they are the same by this configuration."""
        return self.facts if self.config is config else None


class Plan(Struct, frozen=True):
    """What becomes of one event; nothing is reserved for it yet."""

    event: Event
    #: Identifies it within its source.
    key: bytes
    source: Source
    #: The entries that match it.
    entries: Sequence[Entry]
    #: Those of them that send something for it: not those whose hours are over.
    sending: Sequence[Entry]
    #: By destination: the lane of its deliveries.
    lanes: Mapping[str, str | None]
    firings: Sequence[Firing]
    #: By entry that does not send at once: the seconds until it does, and how its deliveries gather with others.
    waits: Mapping[str, Wait] = NO_WAITS
    #: The record that it is about.
    record: NewRecord | None = None
    #: What it meets and what it begins to wait for, of the source's ``follow_up``.
    followed: Followed = NOTHING
    #: None: it is not small.
    known: Known | None = None

    def new_event(self, config: Config, reserve: Callable[[Destination], float | None]) -> NewEvent:
        """The event with its deliveries; ``reserve`` says for how long to lease one that may start at once."""
        event = self.event
        deliveries = [
            NewDelivery(
                id=new_id("dlv", event.received_at),
                route=route,
                destination=destination,
                lease_s=reserve(config.destinations[destination]) if not wait_s else None,
                lane=self.lanes[destination] if gather is None else None,
                wait_s=wait_s,
                gather=gather,
            )
            for entry in self.sending
            for wait_s, gather in [self.waits.get(entry.name, AT_ONCE)]
            for route, destination in entry.deliveries
        ]
        return NewEvent(
            event=event,
            key=self.key,
            window_s=self.source.window_s,
            deliveries=deliveries,
            firings=self.firings,
            meets=self.followed.meets,
            awaits=self.followed.awaits,
            is_redacted_later=self.source.redaction.is_stored,
            record=self.record,
        )


async def plans(received: Sequence[Received], config: Config, source: Source) -> Sequence[Plan]:
    """The plan of each event of a request. Where there are many, or long ones, other requests have a turn in between."""
    found, spent = [], 0
    for each in received:
        known, entries = matching(each, config, source)
        spent += EACH + len(each.event.body)
        if spent > TURN:
            await asyncio.sleep(0)
            spent = 0
        found.append(keyed(each, known, entries, config, source))
    return found


def plan(received: Received, config: Config, source: Source) -> Plan:
    """The plan of one event."""
    return keyed(received, *matching(received, config, source), config, source)


def matching(received: Received, config: Config, source: Source) -> tuple[Facts, Sequence[Entry]]:
    """The facts of an event, and the entries that match it."""
    known = source.naming.facts(received.event, received.payload)
    return known, config.sections_of(source.name).matching(known)


def keyed(received: Received, known: Facts, entries: Sequence[Entry], config: Config, source: Source) -> Plan:
    """The plan of an event, with the keys of its deliveries."""
    event = received.event
    if not config.timed:
        sending, waits = entries, NO_WAITS
    else:
        sending = [entry for entry in entries if not entry.is_skipped(event.received_at)]
        waits = {entry.name: _wait(entry, known, event, source) for entry in sending if entry.name in config.timed}
    names = {destination for entry in sending for _, destination in entry.deliveries}
    lanes = {name: config.destinations[name].lane(known) for name in names}
    firings = _firings(sending, known, event, source)
    following = followed(source.follow_ups, event.type, known) if source.follow_ups else NOTHING
    record, small = received.record, None
    # What is compressed is not small for long.
    if len(event.body) <= SMALL and not codings.coding_of(event.body):
        small = Known(received.payload, known if source.naming.tracking is None else None, config)
    return Plan(event, received.key, source, entries, sending, lanes, firings, waits, record, following, small)


def _wait(entry: Entry, known: Facts, event: Event, source: Source) -> Wait:
    now, timing = event.received_at, entry.timing or UNTIMED
    match entry.gathers:
        case Digest() as digest:
            wait_s = digest.wait_s(now)
            return wait_s + timing.closed_s(now + wait_s), digest.gather(known)
        case Debounce() as debounce:
            try:
                gather = debounce.gather(Namespace(known))
            except RenderError as error:
                # Better too often than never.
                reason = source.redaction.mask_of(event)(str(error))
                telemetry.log("delivery.unkeyed", event_id=event.id, route=entry.name, reason=reason)
                gather = None
            wait_s = debounce.quiet_s if gather else 0.0
            closed_s = timing.closed_s(now + wait_s)
            # Nothing is sent before they open: until then an event that comes takes the place of the one before it.
            return wait_s + closed_s, replace(gather, at_most_s=math.inf) if gather and closed_s else gather
    return timing.wait_s(now), None


def _firings(entries: Sequence[Entry], known: Facts, event: Event, source: Source) -> Sequence[Firing]:
    keyed = [entry for entry in entries if entry.once]
    if not keyed:
        return ()
    # The keys of an event share what one template may use.
    names = Namespace(known)
    return [firing for entry in keyed if (firing := _firing(entry, names, event, source))]


def _firing(entry: Entry, known: Facts, event: Event, source: Source) -> Firing | None:
    assert entry.once is not None
    try:
        return entry.once.firing(entry, known)
    except RenderError as error:
        # Better twice than never.
        reason = source.redaction.mask_of(event)(str(error))
        telemetry.log("delivery.unkeyed", event_id=event.id, route=entry.name, reason=reason)
        return None
