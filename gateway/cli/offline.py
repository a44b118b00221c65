"""Answers from the store itself, when no gateway is running."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from gateway.cli.answers import Row
from gateway.errors import ConfigError, GatewayError
from gateway.model import DeliveryState, Event
from gateway.operate import digests, figures, search, selection, summaries, views
from gateway.operate.selection import Filter
from gateway.store import Reads, open_reads
from gateway.store.holds import Hold
from gateway.store.queries import DestinationStats, EventHistory, EventQuery, EventRow, LastError

if TYPE_CHECKING:
    from gateway.holds.standing import Standing
    from gateway.routing import Config

T = TypeVar("T")

#: Events that are read at a time.
PAGE: Final = 200


@contextmanager
def reading(url: str) -> Iterator[tuple[Reads, asyncio.Runner]]:
    """A store that is opened once, to read, and what runs every question to it. Raises StoreError."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        reads = runner.run(stack.enter_async_context(open_reads(url)))
        try:
            yield reads, runner
        finally:
            runner.run(stack.aclose())


class NotFound(GatewayError):
    """The store has no such event or delivery."""


class Offline:
    """An opened store, and the file beside it where an answer depends on it."""

    def __init__(self, reads: Reads, load: "Callable[[], Config]", runner: asyncio.Runner, *, has_file: bool) -> None:
        self._reads, self._load, self._runner, self._has_file = reads, load, runner, has_file

    @classmethod
    @contextmanager
    def opened(cls, url: str, load: "Callable[[], Config]", *, has_file: bool) -> Iterator["Offline"]:
        """Open the store to read; ``load`` loads the file, if there is one, when an answer needs it. Raises StoreError."""
        with reading(url) as (reads, runner):
            yield cls(reads, load, runner, has_file=has_file)

    @cached_property
    def _config(self) -> "Config":
        return self._load()

    def events(self, which: Filter, *, limit: int, before: str = "", after: str = "") -> Row:
        # A file with problems must not hide the events, unless payloads are searched.
        config = self._config if which.q else None
        wanted = selection.event_search(which, config, time.time(), limit=limit, before=before, after=after)
        page = self._got(search.events(self._reads, wanted))
        return views.event_page(page, self._summaries(page.rows))

    def _summaries(self, rows: Sequence[EventRow]) -> Mapping[str, str]:
        """What events are about; nothing if the file has problems, or is not there."""
        with suppress(ConfigError):
            if not rows or not self._has_file:
                return {}
            return self._got(summaries.of_rows(self._reads, self._config, rows))
        return {}

    def event(self, event_id: str) -> Row:
        from gateway.rehearsal.explained import explained_history

        history, config = self._history(event_id), self._config
        due = self._got(digests.due_s(self._reads, history))
        shown = views.event_history(history, config.redaction(history.event), due, self._holds_of(history))
        said = summaries.of_history(config, history)
        return {**shown, "summary": said, **explained_history(config, history)}

    def _holds_of(self, history: EventHistory) -> Mapping[str, Row]:
        """By destination for which one of its deliveries waits: what holds it, and its last error."""
        waiting = {each.destination for each in history.deliveries if each.state is DeliveryState.PENDING}
        if not waiting:
            return {}
        holds = {each.destination: each for each in self._got(self._reads.holds())}
        standings = {name: _standing(name, holds) for name in waiting}
        errors = self._got(self._reads.last_errors([name for name, each in standings.items() if each.held]))
        return {name: views.hold(each, errors.get(name)) for name, each in standings.items()}

    def raw_event(self, event_id: str) -> Row:
        return views.event_history(self._history(event_id))

    def _history(self, event_id: str) -> EventHistory:
        history = self._got(self._reads.event(event_id))
        if history is None:
            raise NotFound(f"no event or delivery {event_id}: `gateway events` lists them")
        return history

    def last_events(self, most: int, *, source: str = "", type: str = "") -> tuple[Sequence[Event], int]:
        """The newest events with their bodies, oldest first, and how many of them have no intact body any more."""
        query = EventQuery(source=source, type=type, limit=min(most + 1, PAGE))
        rows = list[EventRow]()
        while len(rows) <= most:
            page = self._got(self._reads.events(query))
            rows += page.rows
            if not page.next:
                break
            query = replace(query, before=page.next)
        wanted = {each.id for each in rows[:most]}
        # Not beyond them: what has no intact body would be looked for in the whole store.
        query = replace(query, before="", after=rows[most].position if len(rows) > most else "")
        found = list[Event]()
        while len(found) < len(wanted):
            bodies = self._got(self._reads.candidates(query))
            found += [each.event for each in bodies.rows if each.event.id in wanted]
            if not bodies.next:
                break
            query = replace(query, before=bodies.next)
        return found[::-1], len(wanted) - len(found)

    def dead(self) -> Sequence[Row]:
        groups: Sequence[Row] = figures.dead_groups(self._got(self._reads.stats()).dead)["groups"]
        return groups

    def deliveries(self, which: Filter, *, limit: int, before: str = "") -> Row:
        query = selection.delivery_query(which, time.time(), limit=limit, before=before)
        page = self._got(self._reads.deliveries(query))
        ids = tuple(dict.fromkeys(each.event_id for each in page.rows))
        rows = self._got(self._reads.events(EventQuery(ids=ids))).rows if ids else ()
        return views.delivery_page(page, self._summaries(rows))

    def destinations(self) -> Sequence[Row]:
        """Without a gateway nothing is in flight."""
        from gateway.operate import logins
        from gateway.operate.conditions import UNTROUBLED

        config, numbers = self._config, self._got(self._reads.stats()).destinations
        holds = {each.destination: each for each in self._got(self._reads.holds())}

        def shown(name: str) -> dict[str, Any]:
            known, standing = numbers.get(name, DestinationStats()), _standing(name, holds)
            drawn = views.destination(name, config, standing, known, errors.get(name))
            return {**drawn, "waits": "no gateway is running"} if known.pending and not standing.held else drawn

        errors: Mapping[str, LastError] = {}
        names = list(dict.fromkeys([*config.destinations, *numbers]))
        if troubled := [name for name in names if shown(name)["condition"] not in UNTROUBLED]:
            errors = self._got(self._reads.last_errors(troubled))
        return self._got(logins.with_logins([shown(name) for name in names], config, self._reads))

    def refused(self, *, source: str, client: str, reason: str, limit: int) -> Sequence[Row]:
        from gateway.operate import refusals

        rows = self._got(self._reads.rejected(limit=refusals.MOST))
        found = refusals.meant(rows, refusals.Which(source=source, client=client, reason=reason))
        return [refusals.document(self._config, each) for each in found[:limit]]

    def activity(self, *, limit: int, before: str = "") -> Row:
        return views.activity_page(self._got(self._reads.activities(limit=limit, before=before)))

    def _got(self, asked: Awaitable[T]) -> T:
        return self._runner.run(_awaited(asked))


async def _awaited(asked: Awaitable[T]) -> T:
    return await asked


def _standing(name: str, holds: Mapping[str, Hold]) -> "Standing":
    from gateway.holds.standing import Standing
    from gateway.store.holds import paused_by

    hold = holds.get(name, Hold(destination=name))
    return Standing(
        held=paused_by(hold.pause) if hold.pause else _circuit(hold),
        circuit="open" if hold.circuit else "closed",
        throttled=hold.wait_s > 0,
        failures=hold.circuit.failures if hold.circuit else 0,
        denied=hold.circuit.denied if hold.circuit else (),
        in_flight=0,
        paused=hold.pause,
        muted=hold.mute,
    )


def _circuit(hold: Hold) -> str:
    from gateway.destinations.gates import why_open

    return why_open(hold.circuit.failures, hold.circuit.denied) if hold.circuit else ""
