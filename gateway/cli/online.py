"""Answers from a running gateway, through its API."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import fields

from gateway.cli import api
from gateway.cli.answers import Row
from gateway.operate.selection import Filter


def parameters(which: Filter) -> dict[str, object]:
    """A filter as parameters of the API."""
    pairs = ((each.name, getattr(which, each.name)) for each in fields(which))
    return {name: value for name, value in pairs if value not in ("", None)}


class Online(Struct, frozen=True):
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

    def refused(self, *, source: str, client: str, reason: str, limit: int) -> Sequence[Row]:
        which = {"source": source, "client": client, "reason": reason}
        query = {name: value for name, value in which.items() if value}
        found: Sequence[Row] = api.ask(self.url, "/api/rejected", query={**query, "limit": limit})
        return found

    def activity(self, *, limit: int, before: str = "") -> Row:
        return self._page("/api/activity", {"limit": limit, "before": before})

    def _page(self, path: str, query: Mapping[str, object]) -> Row:
        answer: Row = api.ask(self.url, path, query=query)
        return answer
