"""Documents that the API and the console share."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.errors import UnknownName
from gateway.model import Delivery, DeliveryState
from gateway.operate import digests, views
from gateway.operate.conditions import UNTROUBLED
from gateway.operate.logins import with_logins
from gateway.operate.operations import no_such
from gateway.operate.summaries import of_history, of_rows
from gateway.rehearsal.explained import explained_history, recalled_by
from gateway.store.activities import Activity
from gateway.store.queries import DestinationStats, EventHistory, EventQuery, Stats
from gateway.web.context import Context
from gateway.wording import iso_time, printable

_NO_DELIVERIES: Final = DestinationStats()


async def history_of(context: Context, id_: str) -> EventHistory:
    """An event by its id, or by the id of one of its deliveries. Raises UnknownName."""
    history = await context.gateway.store.event(id_)
    if history is None:
        raise UnknownName(no_such(id_))
    return history


async def activity_of(context: Context, id_: str) -> Activity:
    """A recorded activity, by its id. Raises UnknownName."""
    activity = await context.gateway.store.activity(id_)
    if activity is None:
        raise UnknownName(f"no activity {printable(id_[:100])}")
    return activity


async def event_document(context: Context, history: EventHistory) -> dict[str, Any]:
    """Everything known about an event, and what today's configuration makes of it.

    It is made in a thread, so that events are still received meanwhile.
    """
    config, console = context.gateway.config, context.gateway.console

    known = None
    if subjects := await asyncio.to_thread(recalled_by, config, history):
        recalled = await context.gateway.store.recall("", subjects)
        known = {subject: each.value for subject, each in recalled.known.items()}

    def made() -> dict[str, Any]:
        shown = views.event_history(history, config.redaction(history.event), due, holds)
        said = of_history(config, history)
        return {**shown, "summary": said, **explained_history(config, history, console, known)}

    due = await digests.due_s(context.gateway.store, history)
    holds = await _holds(context, history)
    return await asyncio.to_thread(made)


async def _holds(context: Context, history: EventHistory) -> Mapping[str, Mapping[str, Any]]:
    """By destination for which one of its deliveries waits: what holds it, and its last error."""
    waiting = {each.destination for each in history.deliveries if each.state is DeliveryState.PENDING}
    standings = {name: context.dispatcher.holds.standing(name) for name in waiting}
    errors = context.operations.errors
    await errors.look([name for name, each in standings.items() if each.held or each.failures])
    return {name: views.hold(each, errors.last(name)) for name, each in standings.items()}


async def inbox_document(context: Context) -> list[dict[str, Any]]:
    """The requests that ``gateway dev`` recorded, newest first; made in a thread, like an event."""
    entries = context.inbox.entries() if context.inbox else ()
    masks = context.gateway.config.masks
    return await asyncio.to_thread(lambda: [views.inbox_entry(entry, masks) for entry in entries])


async def delivery_documents(context: Context, deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Each with its event's ``type`` and ``summary``, and ``at``, the time of its last attempt; empty if unknown."""
    if not deliveries:
        return []
    store = context.gateway.store
    rows = (await store.events(EventQuery(ids=tuple({each.event_id for each in deliveries})))).rows
    types = {row.id: row.type for row in rows}
    said = await of_rows(store, context.gateway.config, rows)
    last = await store.last_attempts([each.id for each in deliveries])
    return [
        {
            **views.delivery(each),
            "type": types.get(each.event_id, ""),
            "summary": said.get(each.event_id, ""),
            "at": iso_time(last[each.id].started_at) if each.id in last else "",
        }
        for each in deliveries
    ]


async def destinations_of(context: Context, stats: Stats) -> list[dict[str, Any]]:
    """The same, after the store was asked for the last error of those with problems."""
    found = destination_documents(context, stats)
    if troubled := [each["name"] for each in found if each["condition"] not in UNTROUBLED]:
        await context.operations.errors.look(troubled)
        found = destination_documents(context, stats)
    return await _with_logins(context, found)


async def destination_of(context: Context, name: str, stats: Stats) -> dict[str, Any]:
    """One destination, in routes.yaml or removed."""
    [found] = await _with_logins(context, [destination_document(context, name, stats)])
    return found


async def _with_logins(context: Context, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    gateway = context.gateway
    return list(await with_logins(documents, gateway.config, gateway.store, gateway.tokens))


def destination_documents(context: Context, stats: Stats) -> list[dict[str, Any]]:
    """Every destination in routes.yaml, and removed ones that still have deliveries, without the state of their logins."""
    names = dict.fromkeys([*context.gateway.config.destinations, *stats.destinations])
    return [destination_document(context, name, stats) for name in names]


def destination_document(context: Context, name: str, stats: Stats) -> dict[str, Any]:
    """One destination without the state of its login."""
    numbers = stats.destinations.get(name, _NO_DELIVERIES)
    error = context.operations.errors.last(name)
    return views.destination(name, context.gateway.config, context.dispatcher.holds.standing(name), numbers, error)
