"""What verbs ask: a running gateway by its API, otherwise an opened store. Both answer as the API does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from gateway.cli import api
from gateway.cli.place import Place
from gateway.operate.selection import Filter

Row = Mapping[str, Any]
Answer = TypeVar("Answer")


class Answers(Protocol):
    """The questions. A page is as of the API: its rows, ``next`` and ``searched_to``."""

    def events(self, which: Filter, *, limit: int, before: str = "", after: str = "") -> Row: ...
    def event(self, event_id: str) -> Row:
        """One event by its id or a delivery's, with why each route matches it and its requests as of today."""

    def raw_event(self, event_id: str) -> Row:
        """One event by its id or a delivery's, as ``explain`` takes it."""

    def dead(self) -> Sequence[Row]:
        """Dead letters, counted by destination and cause."""

    def deliveries(self, which: Filter, *, limit: int, before: str = "") -> Row: ...
    def destinations(self) -> Sequence[Row]: ...
    def activity(self, *, limit: int, before: str = "") -> Row: ...


def ask(place: Place, question: Callable[[Answers], Answer]) -> Answer:
    """What the running gateway answers; if none runs, what its store does. Raises GatewayError."""
    try:
        return question(Online(place.url))
    except api.NotRunning:
        with offline(place) as answers:
            return question(answers)


@contextmanager
def offline(place: Place) -> Iterator[Answers]:
    """The store itself, opened to read. Raises StoreError."""
    from gateway.cli.offline import Offline

    with Offline.opened(place) as answers:
        yield answers


def parameters(which: Filter) -> dict[str, object]:
    """A filter as parameters of the API."""
    pairs = ((each.name, getattr(which, each.name)) for each in fields(which))
    return {name: value for name, value in pairs if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Online:
    """A running gateway. Every question raises what ``api.ask`` raises."""

    url: str

    def events(self, which: Filter, *, limit: int, before: str = "", after: str = "") -> Row:
        return self._page("/api/events", {**parameters(which), "limit": limit, "before": before, "after": after})

    def event(self, event_id: str) -> Row:
        return self._page(f"/api/events/{api.part(event_id)}", {})

    raw_event = event

    def dead(self) -> Sequence[Row]:
        groups: Sequence[Row] = self._page("/api/dead", {})["groups"]
        return groups

    def deliveries(self, which: Filter, *, limit: int, before: str = "") -> Row:
        return self._page("/api/deliveries", {**parameters(which), "limit": limit, "before": before})

    def destinations(self) -> Sequence[Row]:
        found: Sequence[Row] = api.ask(self.url, "/api/destinations")
        return found

    def activity(self, *, limit: int, before: str = "") -> Row:
        return self._page("/api/activity", {"limit": limit, "before": before})

    def _page(self, path: str, query: Mapping[str, object]) -> Row:
        answer: Row = api.ask(self.url, path, query=query)
        return answer
