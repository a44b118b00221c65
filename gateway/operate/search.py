"""Searching events: the store narrows them down by its indexes, payloads are compared here."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import QueryRefused
from gateway.model import Event
from gateway.store import Reads
from gateway.store.queries import EFFORT, Candidate, EventPage, EventQuery

#: Bodies that the store is asked for at first, and at most.
FIRST_BODIES: Final = 16
MOST_BODIES: Final = 256

Matches = Callable[[Event], bool]


class Search(Struct, frozen=True, kw_only=True):
    """Which events somebody is looking for."""

    #: ``after`` may also be the id of an event.
    query: EventQuery = field(default_factory=EventQuery)
    #: What else an event has to be; None if the query says everything. Called in a thread.
    matches: Matches | None = None


async def events(store: Reads, search: Search) -> EventPage:
    """A page of matching events, newest first; ends early rather than search for long. Raises QueryRefused."""
    query = replace(search.query, after=await _position(store, search.query.after))
    return await (store.events(query) if search.matches is None else _looked_into(store, query, search.matches))


async def _position(store: Reads, after: str) -> str:
    if not after.startswith(("evt_", "dlv_")):
        return after
    history = await store.event(after)
    if history is None:
        raise QueryRefused(f'after: there is no event "{after[:60]}"')
    return history.position


async def _looked_into(store: Reads, query: EventQuery, matches: Matches) -> EventPage:
    import asyncio

    found: list[Candidate] = []
    asked = replace(query, limit=min(max(query.limit + 1, FIRST_BODIES), MOST_BODIES), effort=EFFORT)
    while True:
        page = await store.candidates(asked)
        found += await asyncio.to_thread(_matching, page.rows, matches)
        if len(found) > query.limit or not page.next or page.searched_to is not None:
            break
        left = asked.effort - page.spent
        asked = replace(asked, before=page.next, limit=min(asked.limit * 2, MOST_BODIES), effort=left)
    shown = found[: query.limit]
    rows = (await store.events(EventQuery(ids=tuple(each.event.id for each in shown)))).rows if shown else ()
    if len(found) > query.limit:
        return EventPage(rows=rows, next=shown[-1].position)
    return EventPage(rows=rows, next=page.next, searched_to=page.searched_to)


def _matching(rows: Sequence[Candidate], matches: Matches) -> list[Candidate]:
    return [each for each in rows if matches(each.event)]
