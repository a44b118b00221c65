"""Calls on their way through the writer's thread, and what a transaction changes in memory."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from gateway.store.nouns import NewEvent, Outcome, Want
from gateway.store.sqlite.leases import Fresh, Held


class Call(Struct, kw_only=True, eq=False):
    """A caller that waits, and its answer."""

    future: asyncio.Future[Any]
    #: When it began to wait, on the monotonic clock: one that has waited too long is refused.
    since: float
    answer: Any = None
    error: Exception | None = None


class Append(Call, kw_only=True, eq=False):
    events: Sequence[NewEvent]
    replica: str


class Settle(Call, kw_only=True, eq=False):
    outcomes: Sequence[Outcome]


class Write(Call, kw_only=True, eq=False):
    """A rare change: carried out by itself inside the transaction. A KeyError must come before any change."""

    run: "Callable[[Change], object]"
    #: Whether it may change deliveries that wait.
    moves: bool = True


class Claim(Call, kw_only=True, eq=False):
    replica: str
    wants: Mapping[str, Want]


class EmptyLog(Call, kw_only=True, eq=False):
    """Everything in the log goes into the database; answers whether it did."""


class Change(Struct, kw_only=True):
    """What a transaction does to the leases once it is on disk."""

    now: float
    #: Seconds since the epoch, for ids: people read a time in them.
    wall: float
    granted: list[Held] = field(default_factory=list)
    #: By destination: new deliveries that are due and were not leased.
    fresh: dict[str, list[Fresh]] = field(default_factory=dict)
    #: Whether deliveries that wait may have been changed.
    is_moved: bool = False
    ended: dict[str, Held] = field(default_factory=dict)
    #: By destination: the earliest due time of the rows that this transaction makes wait.
    lowered: dict[str, float] = field(default_factory=dict)
    #: (destination, lane) of deliveries that ended: the next one may go.
    freed: set[tuple[str, str]] = field(default_factory=set)
    #: Deliveries that became pending, less those that ended; not kept where they are counted again.
    pending: int = 0
    is_recounted: bool = False

    def lower(self, destination: str, due: float) -> None:
        self.lowered[destination] = min(due, self.lowered.get(destination, math.inf))
