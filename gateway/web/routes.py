"""The map of sources, entries and destinations, a page for each source and entry, and what people did."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Request, get
from litestar.params import FromPath, FromQuery

from gateway import console, telemetry
from gateway.errors import UnknownName
from gateway.operate import map as maps
from gateway.operate import refusals, summaries, views
from gateway.store.queries import DeliveryQuery, EventQuery, Stats
from gateway.web import refused
from gateway.web.context import Context
from gateway.web.documents import destinations_of
from gateway.web.frame import Page, framed, page_of, shell_of
from gateway.wording import iso_time, printable

#: Newest events on the page of a source or an entry, and refused requests.
NEWEST: Final = 20
#: Rows of a page of activities.
ACTIVITIES: Final = 100


def handlers(context: Context) -> list[Any]:
    """The pages."""
    store = context.gateway.store

    @get("/routes")
    async def routes(request: Request[Any, Any, Any]) -> Page:
        drawn, stats = await _map(context)
        return page_of(console.routes_page(shell_of(context, request, "routes", stats=stats), drawn))

    @get("/routes/{name:str}")
    async def route(request: Request[Any, Any, Any], name: FromPath[str]) -> Page:
        config, (drawn, stats) = context.gateway.config, await _map(context)
        found = next((each for each in drawn["routes"] if each["name"] == name), None)
        if found is None:
            raise UnknownName(f"no entry {printable(name[:100])} in routes.yaml")
        entry = (config.shadow or config).entries[name]
        if found["last_match"] is None and (last := await maps.last_match(store, name)) is not None:
            found = {**found, "last_match": iso_time(last)}
        rows = (await store.deliveries(DeliveryQuery(route=name, limit=NEWEST))).rows
        ids = tuple(dict.fromkeys(each.event_id for each in rows))[:NEWEST]
        return page_of(
            console.route_page(
                shell_of(context, request, "routes", stats=stats),
                route=found,
                written=await asyncio.to_thread(config.trials.written, entry.place, config.masks),
                destinations=[each for each in drawn["destinations"] if each["name"] in found["destinations"]],
                rows=await _rows(context, EventQuery(ids=ids)) if ids else [],
            )
        )

    @get("/sources/{name:str}")
    async def source(request: Request[Any, Any, Any], name: FromPath[str]) -> Page:
        config, (drawn, stats) = context.gateway.config, await _map(context)
        found = next((each for each in drawn["sources"] if each["name"] == name), None)
        if found is None:
            raise UnknownName(f"no source {printable(name[:100])} in routes.yaml")
        known = config.sources[name]
        standing = await context.vigil.standing(known)
        turned_away = refusals.meant(await context.rejections.newest(limit=refusals.MOST), refusals.Which(source=name))
        return page_of(
            console.source_page(
                shell_of(context, request, "routes", stats=stats),
                source={
                    **found,
                    "address": f"{context.gateway.ingest}{known.path}",
                    "secret_from": known.secret_from,
                    "token_from": known.token_from,
                    "samples": sorted(known.samples),
                    "silent_s": standing.silent_s,
                    "awaited": standing.awaited if known.follow_ups else None,
                },
                routes=[each for each in drawn["routes"] if each["sources"] is None or name in each["sources"]],
                refused=refused.documents(config, turned_away[:NEWEST]),
                rows=await _rows(context, EventQuery(source=name, limit=NEWEST)),
            )
        )

    @get("/activity")
    async def activities(request: Request[Any, Any, Any], before: FromQuery[str] = "") -> Page:
        page = await store.activities(limit=ACTIVITIES, before=before)
        following = f"/activity?{urlencode({'before': page.next})}" if page.next else ""
        rows = [views.activity(each) for each in page.rows]
        shell = await framed(context, request, "activity")
        return page_of(console.activities_page(shell, rows, following=following, is_later=bool(before)))

    return [routes, route, source, activities]


async def _map(context: Context) -> tuple[Mapping[str, Any], Stats]:
    """Sources, routes and destinations as they are drawn; and the store's statistics."""
    store = context.gateway.store
    stats = await store.stats()
    drawn = maps.drawn(
        context.gateway.config,
        stats=stats,
        found=await maps.matches(store, telemetry.ROUTE_LAST_MATCH.values()),
        refused=await store.rejected(limit=maps.REFUSED),
        destinations=await destinations_of(context, stats),
        since=context.reloader.since,
        now=context.gateway.clock(),
    )
    return drawn, stats


async def _rows(context: Context, query: EventQuery) -> list[dict[str, Any]]:
    store = context.gateway.store
    rows = (await store.events(query)).rows
    said = await summaries.of_rows(store, context.gateway.config, rows)
    return [views.event_row(each, said.get(each.id, "")) for each in rows]
