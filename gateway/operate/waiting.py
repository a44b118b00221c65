"""Why deliveries to a destination wait, in a few words: the same in the console, the API and on the command line. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.destinations import gates
from gateway.event.paths import as_written
from gateway.wording import spaced

if TYPE_CHECKING:
    from gateway.holds.standing import Standing
    from gateway.routing import Config, Destination
    from gateway.routing.entries import Entry
    from gateway.store.queries import DestinationStats


def why_waiting(name: str, config: "Config", standing: "Standing", numbers: "DestinationStats") -> str:
    """``rate 60/min, next delivery in 0.4 s``; empty if none waits, or each of them is about to start."""
    known = config.destinations.get(name)
    if known is None or numbers.pending <= standing.in_flight:
        return ""
    if standing.held:
        return standing.held
    if numbers.next_due_s > 0:
        causes = " or ".join(dict.fromkeys([*_not_yet(name, config), "retry"]))
        return f"the next one is due in {spaced(round(numbers.next_due_s) or 1)} ({causes})"
    return "; ".join(_due(known, standing))


def _due(known: "Destination", standing: "Standing") -> Iterator[str]:
    """What keeps deliveries that are due."""
    if rate := gates.rate(known.gate.interval_s):
        yield f"rate {rate}"
    if standing.in_flight >= known.concurrency:
        yield f"concurrency {known.concurrency}, all in flight"
    if known.order:
        yield f"order_by {as_written(known.order)}, waiting for an earlier one"


def _not_yet(name: str, config: "Config") -> Iterator[str]:
    """The keys of its routes because of which a delivery may not be due yet."""
    for entry in config.entries.values():
        if name in entry.messages:
            yield from _keys_of(entry, name)


def _keys_of(entry: "Entry", destination: str) -> Iterator[str]:
    if entry.gathers is not None:
        yield entry.gathers.key
    if entry.timing is not None and entry.timing.delay_s:
        yield "delay"
    if entry.timing is not None and entry.timing.hours is not None and not entry.timing.skips:
        yield "hours"
    if entry.messages[destination].recalls:
        yield "recall"
