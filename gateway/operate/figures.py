"""The numbers of a store as JSON: of the whole gateway, of its destinations and of dead letters."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.store.queries import DeadGroup, DestinationStats, Stats, Traffic

#: Full minutes over which the rate of incoming events is measured.
_RATE_MINUTES: Final = 5


def stats(numbers: Stats) -> dict[str, Any]:
    """Numbers of the whole gateway, of each destination and of each source; lists have a number per minute.

    ``received`` counts events of senders, not those that the gateway makes about itself.
    """
    from gateway import presets

    each = numbers.destinations.values()
    delivered = sum(sum(one.traffic.delivered) for one in each)
    died = sum(sum(one.traffic.died) for one in each)
    received = {source: list(counts) for source, counts in numbers.received.items() if source != presets.OWN}
    minutes = [sum(minute) for minute in zip(*received.values(), strict=True)]
    return {
        "in_per_s": round(sum(minutes[-1 - _RATE_MINUTES : -1]) / (60 * _RATE_MINUTES), 2),
        "received_1h": sum(minutes),
        "delivered_1h": delivered,
        "delivered_pct": round(100 * delivered / (delivered + died), 2) if delivered + died else None,
        "pending": sum(numbers.pending.values()),
        "dead": sum(one.dead for one in each),
        "oldest_due_s": round(max((one.oldest_due_s for one in each), default=0.0), 1),
        "destinations": {name: destination_stats(one) for name, one in numbers.destinations.items()},
        "received": received,
    }


def destination_stats(numbers: DestinationStats) -> dict[str, Any]:
    """Deliveries of one destination by state, and its last hour."""
    went = numbers.traffic
    return {
        "pending": numbers.pending,
        "dead": numbers.dead,
        "delivered": numbers.delivered,
        "discarded": numbers.discarded,
        "oldest_due_s": round(numbers.oldest_due_s, 1),
        "delivered_1h": sum(went.delivered),
        "retried_1h": sum(went.retried),
        "died_1h": sum(went.died),
        "p50_ms": _ms(went.p50_s),
        "p95_ms": _ms(went.p95_s),
        "traffic": _traffic(went),
    }


def _traffic(went: Traffic) -> dict[str, list[int]]:
    return {"delivered": list(went.delivered), "retried": list(went.retried), "died": list(went.died)}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def dead_groups(groups: Sequence[DeadGroup]) -> dict[str, Any]:
    """Dead deliveries by destination and cause, the largest group first."""
    return {"groups": [{"destination": each.destination, "cause": each.cause, "count": each.count} for each in groups]}
