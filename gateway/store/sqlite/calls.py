"""Calls on their way through the writer's thread, and what a transaction changes in memory."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.store.nouns import NewEvent, Outcome, Want
from gateway.store.sqlite.leases import Held


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """A caller that waits, and its answer."""

    future: asyncio.Future[Any]
    #: When it began to wait, on the monotonic clock: one that has waited too long is refused.
    since: float
    answer: Any = None
    error: Exception | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Append(Call):
    events: Sequence[NewEvent]
    replica: str


@dataclass(slots=True, kw_only=True, eq=False)
class Settle(Call):
    outcomes: Sequence[Outcome]


@dataclass(slots=True, kw_only=True, eq=False)
class Write(Call):
    """A rare change: carried out by itself inside the transaction. A KeyError must come before any change."""

    run: "Callable[[Change], object]"


@dataclass(slots=True, kw_only=True, eq=False)
class Claim(Call):
    replica: str
    wants: Mapping[str, Want]


@dataclass(slots=True, kw_only=True, eq=False)
class Load(Call):
    event_ids: Collection[str]


@dataclass(slots=True, kw_only=True)
class Change:
    """What a transaction does to the leases once it is on disk."""

    now: float
    #: Seconds since the epoch, for ids: people read a time in them.
    wall: float
    granted: list[Held] = field(default_factory=list)
    ended: dict[str, Held] = field(default_factory=dict)
    #: By destination: the earliest due time of the rows that this transaction makes wait.
    lowered: dict[str, float] = field(default_factory=dict)
    #: (destination, lane) of deliveries that ended: the next one may go.
    freed: set[tuple[str, str]] = field(default_factory=set)

    def lower(self, destination: str, due: float) -> None:
        self.lowered[destination] = min(due, self.lowered.get(destination, math.inf))
