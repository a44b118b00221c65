"""A stored event matched again by today's file: what would be made of it now, next to what was made. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.errors import Unparsable
from gateway.event.paths import MISSING, Facts, lookup
from gateway.event.payload import payload_of
from gateway.model import Delivery, DeliveryState, Event, new_id
from gateway.operate import selection
from gateway.routing import Config
from gateway.store.nouns import NewDelivery
from gateway.store.queries import EventHistory

#: States by importance: of several deliveries of one route to one destination the last one counts.
_IMPORTANCE: Final = (DeliveryState.DISCARDED, DeliveryState.DEAD, DeliveryState.DELIVERED, DeliveryState.PENDING)

Pair = tuple[str, str]


class Rerouted(Struct, frozen=True, kw_only=True):
    """The result of matching an event again, for one route and destination."""

    event_id: str
    route: str
    destination: str
    #: ``new``, ``dead: replayed``, ``delivered: left alone``, ``no longer routed: left as it is``, ...
    fate: str
    #: The delivery to make.
    new: NewDelivery | None = None
    #: The id of a delivery to replay.
    replayed: str = ""


def rerouted(config: Config, history: EventHistory, now: float) -> Sequence[Rerouted]:
    """Each route and destination that an event has, or would have in this configuration.

    ``now`` is the wall clock, seconds since the epoch. What was delivered or is pending is never sent again.
    """
    known = _known(history)
    facts = facts_of(config, history.event) if history.body_is == "kept" and history.intact else None
    source = config.source(history.event.source)
    if source is None:
        return _left(history.event, known, "its source is no longer in routes.yaml: left as it is")
    if facts is None:
        return _left(history.event, known, "its body is no longer kept: left as it is")
    plan = config.plan(source, facts, history.event.received_at)
    silent = _silent(config, history)
    now_routed = [_planned(config, history.event, pair, known.get(pair), facts, silent, now) for pair in plan]
    gone = {pair: each for pair, each in known.items() if pair not in plan}
    return [*now_routed, *_left(history.event, gone, "no longer routed: left as it is")]


def _known(history: EventHistory) -> Mapping[Pair, Delivery]:
    ordered = sorted(history.deliveries, key=lambda each: _IMPORTANCE.index(each.state))
    return {(each.route, each.destination): each for each in ordered if each.notice is None}


def _planned(
    config: Config,
    event: Event,
    pair: Pair,
    known: Delivery | None,
    facts: Facts,
    silent: frozenset[str],
    now: float,
) -> Rerouted:
    route, destination = pair
    if known is None and route in silent:
        return Rerouted(
            event_id=event.id, route=route, destination=destination, fate="fired before for its key: left alone"
        )
    if known is None:
        lane = config.destinations[destination].lane(facts)
        new = NewDelivery(id=new_id("dlv", now), route=route, destination=destination, lane=lane)
        return Rerouted(event_id=event.id, route=route, destination=destination, fate="new", new=new)
    if known.state is DeliveryState.DEAD:
        return Rerouted(
            event_id=event.id, route=route, destination=destination, fate="dead: replayed", replayed=known.id
        )
    return Rerouted(event_id=event.id, route=route, destination=destination, fate=f"{known.state}: left alone")


def _left(event: Event, known: Mapping[Pair, Delivery], fate: str) -> list[Rerouted]:
    return [
        Rerouted(event_id=event.id, route=route, destination=destination, fate=fate) for route, destination in known
    ]


def _silent(config: Config, history: EventHistory) -> frozenset[str]:
    """Routes that had already fired for the event's key."""
    entries = (config.entries.get(each.name) for each in history.held_back)
    return frozenset(route for entry in entries if entry for route, _ in entry.deliveries)


def facts_of(config: Config, event: Event) -> Facts | None:
    """What rules see of a stored event; None if its source or its body is gone."""
    source = config.source(event.source)
    try:
        return None if source is None else source.naming.facts(event, payload_of(event))
    except Unparsable:
        return None


def record_of(config: Config, event: Event) -> tuple[str, str] | None:
    """What an event is about: its resource and the id of the record; None if it does not say."""
    facts = facts_of(config, event)
    found = MISSING if facts is None else lookup(facts, ("attrs", "id"))
    id_ = selection.as_text(found)
    return (str(lookup(facts, ("event", "resource"))), id_) if id_ else None
