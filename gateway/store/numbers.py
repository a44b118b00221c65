"""The numbers that every store keeps as it goes, from its rows to what people see; pure."""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gateway.model import DeliveryState
from gateway.store.queries import DeadGroup, DestinationStats, Stats, Traffic

#: The upper bounds, in seconds, of the buckets that count attempts by duration; one more bucket is for longer ones.
BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
#: Minutes that are shown.
MINUTES: Final = 60
#: The numbers of a minute are kept for a day.
MINUTES_KEPT: Final = 24 * 60
NO_TRAFFIC: Final = Traffic()


class Group(NamedTuple):
    """Deliveries of one destination, state and cause."""

    destination: str
    state: str
    cause: str
    deliveries: int


class Numbers(NamedTuple):
    """Rows of one moment, in any order; those of the minutes after ``minute - MINUTES``."""

    #: The present minute, since the epoch.
    minute: int
    tally: Iterable[Group]
    #: Destination to the time that its delivery that is due longest was due, and the present time.
    due: Mapping[str, float]
    now: float
    #: (minute, source, events)
    came: Iterable[tuple[int, str, int]]
    #: (minute, destination, outcome, attempts)
    went: Iterable[tuple[int, str, str, int]]
    #: (destination, bucket, attempts)
    durations: Iterable[tuple[str, int, int]]


def bucket_of(duration_s: float) -> int:
    """The bucket that an attempt of this duration is counted in."""
    return bisect_left(BUCKETS, duration_s)


def stats(numbers: Numbers, *, used_bytes: int, free_bytes: int | None) -> Stats:
    """What people see of these rows."""
    tally = list(numbers.tally)
    return Stats(
        destinations=_destinations(numbers, tally),
        received=_received(numbers),
        dead=tuple(
            DeadGroup(destination=name, cause=cause, count=count)
            for name, state, cause, count in sorted(tally, key=lambda group: -group.deliveries)
            if state == DeliveryState.DEAD
        ),
        used_bytes=used_bytes,
        free_bytes=free_bytes,
    )


def _destinations(numbers: Numbers, tally: Iterable[Group]) -> Mapping[str, DestinationStats]:
    traffic = _traffic(numbers)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for name, state, _, count in tally:
        states[name][state] += count
    return {
        name: DestinationStats(
            pending=states[name]["pending"],
            dead=states[name]["dead"],
            delivered=states[name]["delivered"],
            discarded=states[name]["discarded"],
            oldest_due_s=max(0.0, numbers.now - numbers.due.get(name, math.inf)),
            next_due_s=max(0.0, numbers.due.get(name, -math.inf) - numbers.now),
            traffic=traffic.get(name, NO_TRAFFIC),
        )
        for name in sorted({*states, *traffic})
    }


def _received(numbers: Numbers) -> Mapping[str, tuple[int, ...]]:
    received: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
    for at, source, events in numbers.came:
        received[source][_place_of(at, numbers.minute)] += events
    return {source: tuple(counts) for source, counts in received.items()}


def _traffic(numbers: Numbers) -> Mapping[str, Traffic]:
    attempts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * MINUTES)
    for at, name, outcome, count in numbers.went:
        attempts[name, outcome][_place_of(at, numbers.minute)] += count
    durations: dict[str, dict[int, int]] = defaultdict(dict)
    for name, bucket, count in numbers.durations:
        durations[name][bucket] = count
    return {
        name: Traffic(
            delivered=tuple(attempts[name, "delivered"]),
            retried=tuple(attempts[name, "retry"]),
            died=tuple(attempts[name, "dead"]),
            p50_s=quantile(buckets, 0.5),
            p95_s=quantile(buckets, 0.95),
        )
        for name, buckets in durations.items()
    }


def _place_of(minute: int, last: int) -> int:
    """Index of a minute among the last MINUTES, the oldest first."""
    return MINUTES - 1 - min(max(last - minute, 0), MINUTES - 1)


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration below which this share of attempts stayed, seconds, from the number in each bucket; None of none."""
    total = sum(buckets.values())
    if not total:
        return None
    left = total * share
    for at in range(len(BUCKETS)):
        low, count = BUCKETS[at - 1] if at else 0.0, buckets.get(at, 0)
        if count and left <= count:
            return min(low + (BUCKETS[at] - low) * left / count, BUCKETS[at])
        left -= count
    return BUCKETS[-1]
