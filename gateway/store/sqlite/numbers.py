"""The numbers that the store keeps as it goes, read from the file."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from gateway.model import DeliveryState
from gateway.store.nouns import DeadGroup, DestinationStats, Stats, Traffic
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import tables
from gateway.store.sqlite.snapshots import Snapshot

MINUTES: Final = 60
NO_TRAFFIC: Final = Traffic()


def stats(snapshot: Snapshot, path: str) -> Stats:
    """Current numbers; looks at no event and no delivery."""
    db, now = snapshot
    tally: list[Any] = db.execute(sql.TALLY).fetchall()
    minute = int(now / 60)
    return Stats(
        destinations=_destinations(db, tally, now, minute),
        received=_received(db, minute),
        dead=tuple(
            DeadGroup(destination=name, cause=cause, count=count)
            for name, state, cause, count in sorted(tally, key=lambda row: -row[3])
            if state == DeliveryState.DEAD
        ),
        used_bytes=sum(size(Path(path + ending)) for ending in ("", "-wal")),
        free_bytes=_free_bytes(path),
    )


def _destinations(db: apsw.Connection, tally: list[Any], now: float, minute: int) -> Mapping[str, DestinationStats]:
    due = {name: at for name, at in db.execute(sql.BOUNDS) if at < tables.BEHIND}
    traffic = _traffic(db, minute)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for name, state, _, count in tally:
        states[name][state] += count
    return {
        name: DestinationStats(
            pending=states[name]["pending"],
            dead=states[name]["dead"],
            delivered=states[name]["delivered"],
            discarded=states[name]["discarded"],
            oldest_due_s=max(0.0, now - due.get(name, math.inf)),
            traffic=traffic.get(name, NO_TRAFFIC),
        )
        for name in sorted({*states, *traffic})
    }


def _received(db: apsw.Connection, minute: int) -> Mapping[str, tuple[int, ...]]:
    received: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
    rows: list[Any] = db.execute(sql.CAME, (minute - MINUTES,)).fetchall()
    for at, source, events in rows:
        received[source][_place_of(at, minute)] += events
    return {source: tuple(counts) for source, counts in received.items()}


def _traffic(db: apsw.Connection, minute: int) -> Mapping[str, Traffic]:
    attempts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * MINUTES)
    for at, name, outcome, count in db.execute(sql.WENT, (minute - MINUTES,)):
        attempts[name, outcome][_place_of(at, minute)] += count
    durations: dict[str, dict[int, int]] = defaultdict(dict)
    for name, bucket, count in db.execute(sql.DURATIONS, (minute - MINUTES,)):
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
    for at in range(len(tables.BUCKETS)):
        low, count = tables.BUCKETS[at - 1] if at else 0.0, buckets.get(at, 0)
        if count and left <= count:
            return min(low + (tables.BUCKETS[at] - low) * left / count, tables.BUCKETS[at])
        left -= count
    return tables.BUCKETS[-1]


def size(path: Path) -> int:
    """Bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free_bytes(path: str) -> int:
    """Free space for an unprivileged process on the disk of a file."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize
