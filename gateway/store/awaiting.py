"""What sources are expected to send: where a store keeps what has not come yet."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

#: Events that a source may be waited for at a time; what is awaited beyond that is not kept.
MOST_OPEN: Final = 10_000


class Expectation(Struct, frozen=True, kw_only=True):
    """A source from which something is awaited; the three names identify it."""

    source: str
    #: The rule.
    name: str
    #: What it is about, as a hash; empty: about the source as a whole.
    key: str = ""
    #: The event since which it is awaited; empty: none.
    event_id: str = ""
    #: How long it has been awaited, seconds.
    age_s: float = 0.0
    #: Seconds until it is overdue; None: it is never.
    due_s: float | None = None


class Expectations(Protocol):
    """Open expectations, the same for all replicas. Appended events open and meet them, in their own transaction.

    Every method raises StoreUnavailable.
    """

    async def overdue(self, *, limit: int = 100) -> Sequence[Expectation]:
        """Those that are overdue, the longest first."""

    async def lasting(self) -> Sequence[Expectation]:
        """Those that are never due."""

    async def open(self) -> Mapping[str, int]:
        """How many there are by source."""

    async def add(self, expectation: Expectation) -> bool:
        """Keep another one, durable on return; False, and nothing is changed, if one of its names is there."""

    async def remove(self, gone: Sequence[Expectation]) -> None:
        """Forget some, durable on return. One that was opened anew since, by another event, stays."""
