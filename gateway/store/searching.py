"""What every store's search has in common: its effort, how far it got, and what it chooses from an index. Pure.

Each store has its own streams of numbers, for one waits for its server and the other does not.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec import Struct

from gateway.event.patterns import fits
from gateway.model import DeliveryState
from gateway.store.nouns import BodyIs
from gateway.store.numbers import Group
from gateway.store.places import Place
from gateway.store.queries import DeliveryQuery, EventQuery
from gateway.store.rules import selects

EVERYTHING: Final = EventQuery()
ALL_DELIVERIES: Final = DeliveryQuery()
#: A page of bodies ends after this many bytes of them.
BODY_BYTES: Final = 4 * 1024 * 1024
#: Events that one page of a survey has.
SURVEYED: Final = 500
#: Events waiting for redaction that one page looks at.
UNREDACTED_ROWS: Final = 500
#: Newest waiting deliveries of a destination among which its last error is looked for.
NEWEST_WAITING: Final = 20
#: With more types than this each event's own is compared, without the index.
MOST_TYPES: Final = 200

S = TypeVar("S")


class Effort(Struct):
    """Rows that may still be looked at."""

    left: int

    def spend(self, rows: int) -> None:
        self.left -= rows


class Descent(Generic[S]):
    """Events that all streams of a store have, newest first; where it stopped, and why. Each store walks through them."""

    def __init__(self, streams: Sequence[S], first: int, last: int, effort: Effort) -> None:
        """``first`` is the newest number that is looked at, ``last`` the oldest."""
        self._streams, self._last = streams, last
        self.effort = effort
        #: The number to look at next; below ``last`` there is none.
        self.at = first
        #: What places in this search have in common.
        self.bounds = Place(0)

    @property
    def ended_early(self) -> bool:
        """Whether it stopped before it had seen everything."""
        return self.effort.left <= 0 and self.at >= self._last

    @property
    def is_over(self) -> bool:
        return self.at < self._last or self.effort.left <= 0

    def place(self, at: int) -> Place:
        """The place of an event in this search: the next one continues after it, with the same end."""
        return Place(at, self.bounds.after)

    @property
    def continuation(self) -> Place:
        """Where the next search continues."""
        return self.bounds._replace(at=self.at + 1)

    def found(self, agreed: int) -> bool:
        """Whether the event at ``at`` is in all streams; ``agreed``: the largest number up to it that may be."""
        is_found = agreed == self.at
        self.at = agreed - is_found if agreed >= self._last else 0
        return is_found


def types_of(known: Iterable[tuple[str, str]], source: str, glob: str) -> list[tuple[str, str]] | None:
    """Sources with those of their types that a query asks for; None: any, or so many that looking at each event is cheaper."""
    if not source and not glob:
        return None
    found = [one for one in known if source in ("", one[0]) and (not glob or fits(glob, one[1]))]
    return found if len(found) <= MOST_TYPES else None


def groups_of(
    known: Iterable[Group], destination: str, states: Sequence[DeliveryState], cause: str | None
) -> list[Group]:
    """Those that a query asks for."""
    return [
        group
        for group in known
        if destination in ("", group.destination) and group.state in states and cause in (None, group.cause)
    ]


class NamedRow(NamedTuple):
    """A delivery that was named by its id or by that of its event."""

    number: int
    state: str
    body_is: BodyIs
    event_id: str
    destination: str
    cause: str
    route: str
    source: str
    type: str
    event_seq: int
    changed_at: float

    def is_in(self, which: DeliveryQuery) -> bool:
        """Whether it and its event match a query."""
        is_event = which.source in ("", self.source) and (not which.type or fits(which.type, self.type))
        return is_event and selects(which, self)
