"""What leads where: sources, entries and destinations with their numbers, for a map of the file in force."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from gateway.model import time_of
from gateway.presets import OWN
from gateway.routing import Config
from gateway.routing.entries import Entry
from gateway.store import Store
from gateway.store.nouns import DeliveryQuery, EventQuery, EventRow, Rejected, Stats
from gateway.store.rules import REJECTED_KEPT
from gateway.wording import iso_time

#: The newest events that numbers of entries are counted from, and the time that they cover at most, seconds.
COUNTED: Final = 500
HOUR_S: Final = 3600.0
#: Refused requests that are counted.
REFUSED: Final = 2 * REJECTED_KEPT


class Matches(Struct, frozen=True, kw_only=True):
    """What entries matched, as far as the newest events show it."""

    #: Events of the last hour by the name of an entry.
    counts: Mapping[str, int]
    #: When each matched last, seconds since the epoch.
    last: Mapping[str, float]
    #: When the newest of these events came, by source.
    came: Mapping[str, float]
    #: Whether the hour had more events than were counted.
    is_part: bool


async def matches(store: Store, known: Mapping[str, float]) -> Matches:
    """Count the newest events; ``known``: when entries matched last, as this process saw it."""
    page = await store.events(EventQuery(since_s=HOUR_S, limit=COUNTED))
    last = dict(known)
    counts: Counter[str] = Counter()
    came: dict[str, float] = {}
    for row in page.rows:
        came.setdefault(row.source, row.received_at)
        for name in _entries_of(row):
            counts[name] += 1
            last[name] = max(last.get(name, 0.0), row.received_at)
    return Matches(counts=counts, last=last, came=came, is_part=bool(page.next))


def _entries_of(row: EventRow) -> frozenset[str]:
    return frozenset(each.route for each in row.deliveries)


async def last_match(store: Store, route: str) -> float | None:
    """When the newest event came that a route has a delivery of; None if none is found in bounded time."""
    rows = (await store.deliveries(DeliveryQuery(route=route, limit=1))).rows
    return time_of(rows[0].event_id) if rows else None


def drawn(
    config: Config,
    *,
    stats: Stats,
    found: Matches,
    refused: Iterable[Rejected],
    destinations: Sequence[Mapping[str, Any]],
    since: float,
    now: float,
) -> dict[str, Any]:
    """The three columns; ``since`` is when the configuration was put in force."""
    turned_away: Counter[str] = Counter()
    for each in refused:
        if each.status >= 300 and now - each.at < HOUR_S:
            turned_away[each.source] += each.count
    return {
        "sources": [_source(config, name, stats, turned_away) for name in config.sources],
        "routes": [_route(each, found, since) for each in config.entries.values() if not _is_part(config, each)],
        "destinations": list(destinations),
        "is_part": found.is_part,
        "since": iso_time(since) if since else None,
    }


def _is_part(config: Config, entry: Entry) -> bool:
    """Whether it is an element of another entry's ``send``, which has its deliveries, too."""
    return entry.name not in config.takers and entry.name not in config.failed.names


def _source(config: Config, name: str, stats: Stats, turned_away: Mapping[str, int]) -> dict[str, Any]:
    source = config.sources[name]
    return {
        "name": name,
        "preset": source.preset,
        "path": source.path,
        "received_1h": sum(stats.received.get(name, ())),
        "traffic": list(stats.received.get(name, ())),
        "refused_1h": turned_away.get(name, 0),
    }


def _route(entry: Entry, found: Matches, since: float) -> dict[str, Any]:
    names = {entry.name, *(route for route, _ in entry.deliveries)}
    last = max((found.last[each] for each in names if each in found.last), default=0.0)
    sources = entry.rule.sources
    came = max((at for name, at in found.came.items() if sources is None or name in sources), default=0.0)
    return {
        "name": entry.name,
        "section": entry.section,
        "place": str(entry.place),
        "sources": None if sources is None else sorted(each for each in sources if each != OWN),
        "types": list(entry.rule.patterns) if entry.rule.patterns is not None else [],
        "destinations": list(dict.fromkeys(destination for _, destination in entry.deliveries)),
        "matched_1h": max((found.counts.get(each, 0) for each in names), default=0),
        "last_match": iso_time(last) if last else None,
        # It was asked since the file is in force, and has not matched.
        "is_silent": bool(since) and last < since <= came,
    }
