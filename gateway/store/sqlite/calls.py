"""Calls on their way through the writer's thread, and what a transaction changes in memory."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.store.base import OnAppended
from gateway.store.nouns import NewEvent, Outcome, Want
from gateway.store.sqlite.leases import Held


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One caller that waits, and what it is told."""

    future: asyncio.Future[Any]
    #: Real time, seconds: how long it has waited decides whether it is refused.
    since: float
    answer: Any = None
    error: Exception | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Append(Call):
    events: Sequence[NewEvent]
    on_done: OnAppended | None


@dataclass(slots=True, kw_only=True, eq=False)
class Settle(Call):
    outcomes: Sequence[Outcome]


@dataclass(slots=True, kw_only=True, eq=False)
class Write(Call):
    """A rare change: carried out by itself inside the transaction. A KeyError comes before any change."""

    run: "Callable[[Change], object]"


@dataclass(slots=True, kw_only=True, eq=False)
class Claim(Call):
    wants: Mapping[str, Want]


@dataclass(slots=True, kw_only=True, eq=False)
class Load(Call):
    event_ids: Collection[str]


@dataclass(slots=True, kw_only=True)
class Change:
    """What a transaction does to the leases once it is on disk."""

    now: float
    #: For ids, which people read a time in: seconds since the epoch.
    wall: float
    granted: list[Held] = field(default_factory=list)
    ended: dict[str, Held] = field(default_factory=dict)
    #: By destination: the earliest due time among the rows that wait because of it.
    lowered: dict[str, float] = field(default_factory=dict)
    #: (destination, lane) of deliveries that ended: the next one may go.
    freed: set[tuple[str, str]] = field(default_factory=set)

    def lower(self, destination: str, due: float) -> None:
        self.lowered[destination] = min(due, self.lowered.get(destination, math.inf))
