"""What verbs can ask about events, deliveries and destinations; the answers have the shape of the API's."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.operate.selection import Filter

Row = Mapping[str, Any]


class Answers(Protocol):
    """The questions. A page is as of the API: its rows, ``next`` and ``searched_to``."""

    def events(self, which: Filter, *, limit: int, before: str = "", after: str = "") -> Row: ...
    def event(self, event_id: str) -> Row:
        """One event by its id or a delivery's, with why each route matches it and its requests as they would be sent now."""

    def raw_event(self, event_id: str) -> Row:
        """One event by its id or a delivery's, as ``explain`` plays it."""

    def dead(self) -> Sequence[Row]:
        """Dead letters, counted by destination and cause."""

    def deliveries(self, which: Filter, *, limit: int, before: str = "") -> Row: ...
    def destinations(self) -> Sequence[Row]: ...
    def refused(self, *, source: str, client: str, reason: str, limit: int) -> Sequence[Row]:
        """Refused requests with what to do about each, the newest first."""

    def activity(self, *, limit: int, before: str = "") -> Row: ...
