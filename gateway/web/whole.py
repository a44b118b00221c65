"""The part of the JSON API that is about the gateway as a whole: its numbers, its configuration, its replicas."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from gateway.operate import figures, selection, views
from gateway.operate.shadows import KEPT
from gateway.web.context import Context


class ReloadRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who reloads, and which replicas."""

    by: Annotated[str, msgspec.Meta(description="Name to record: who does this.")] = "api"
    all: Annotated[
        bool, msgspec.Meta(description="Have every replica reload its own files, once this one has accepted its own.")
    ] = False


def handlers(context: Context, refusals: Mapping[int, ResponseSpec]) -> list[Any]:
    """/api/stats, /api/config, /api/replicas, /api/reload and /api/shadow."""
    store, reloader, replicas = context.gateway.store, context.reloader, context.replicas
    reading = partial(get, responses=refusals, tags=["gateway"])
    writing = partial(post, responses=refusals, status_code=200, tags=["gateway"])

    @reading("/api/stats", summary="Show statistics of the last hour")
    async def stats() -> dict[str, Any]:
        return figures.stats(await store.stats())

    @reading("/api/config", summary="Show the configuration in force, without secrets")
    async def config() -> dict[str, Any]:
        rejection = reloader.rejection
        problems, since = (rejection.problems, rejection.since) if rejection else ((), None)
        return views.configuration(context.gateway.config, problems, since)

    @reading("/api/replicas", summary="List the replicas that share the store, and the configuration of each")
    async def list_replicas() -> list[dict[str, Any]]:
        return [views.replica(each, replicas.me) for each in replicas.known]

    @writing("/api/reload", summary="Reload routes.yaml from disk")
    async def reload(data: JSONBody[ReloadRequest | None] = None) -> dict[str, str]:
        asked = data or ReloadRequest()
        is_for_all = asked.all or replicas.waits
        changed = replicas.reload_all(by=asked.by) if is_for_all else reloader.reload(by=asked.by)
        return {"changed": await changed}

    @reading("/api/shadow", summary="Show what a shadow would have sent instead, newest first")
    async def shadow(
        limit: Annotated[int, QueryParameter(description=f"Maximum number of events, 1 to {KEPT}.")] = KEPT,
    ) -> dict[str, Any]:
        return dict(context.shadows.document(selection.page(limit)))

    return [stats, config, list_replicas, reload, shadow]
