"""The JSON API: what ``gateway events`` and its like ask, and whoever automates them."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream

from gateway.operate import search, selection, views
from gateway.operate.operations import Move
from gateway.operate.search import Search
from gateway.operate.selection import BadRequest, Filter
from gateway.store.nouns import TaskVerb
from gateway.web.context import Context
from gateway.web.documents import activity_of, destination_document, destination_documents, event_document, history_of
from gateway.web.live import Turn, server_sent

_encode: Final = msgspec.json.Encoder().encode
#: Who does it, unless the request says.
_SOMEBODY: Final = "api"
#: Ids up to which the answer to a replay shows the deliveries.
_SHOWN: Final = 100

Limit = Annotated[int, QueryParameter(description=f"Rows of a page, 1 to {selection.LARGEST_PAGE}.")]
Before = Annotated[str, QueryParameter(description="The `next` of the page before.")]
Name = Annotated[str, PathParameter(description="Of a destination.")]
ActivityId = Annotated[str, PathParameter(description="`act_...`")]
Key = Annotated[
    str, HeaderParameter(name="idempotency-key", description="A second request with the same key does nothing again.")
]


By = Annotated[str, msgspec.Meta(description="Who does it.")]
Reason = Annotated[str, msgspec.Meta(description="Why, for the others who look after the gateway.")]


class Refusal(msgspec.Struct):
    """What was wrong with a request."""

    error: str


class MoveRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Deliveries, by their ids or by what they have in common. Without ids and a state: the dead ones."""

    ids: Annotated[list[str], msgspec.Meta(description="Of deliveries, or of events for all of theirs.")] = []
    destination: Annotated[str, msgspec.Meta(description="Where they go.")] = ""
    cause: Annotated[str | None, msgspec.Meta(description="The group of dead ones: `answered 422`.")] = None
    route: Annotated[str, msgspec.Meta(description="The entry of routes.yaml that made them.")] = ""
    source: Annotated[str, msgspec.Meta(description="The source of their events.")] = ""
    type: Annotated[str, msgspec.Meta(description="A glob on the type of their events.")] = ""
    since: Annotated[str, msgspec.Meta(description="Their events were received since: `2h`, or an ISO time.")] = ""
    until: Annotated[str, msgspec.Meta(description="Their events were received before: as since.")] = ""
    state: Annotated[str, msgspec.Meta(description="`dead` unless it says otherwise.")] = ""
    key: Annotated[str, msgspec.Meta(description="As the header Idempotency-Key.")] = ""
    dry_run: Annotated[bool, msgspec.Meta(description="Only say what would be done.")] = False
    by: By = _SOMEBODY
    reason: Reason = ""

    def move(self, verb: TaskVerb, key: str, **more: Any) -> Move:
        """What is asked for. Raises BadRequest."""
        if key and self.key and key != self.key:
            raise BadRequest("key and the header Idempotency-Key are two different ones: send one of them")
        asked = Filter(
            source=self.source,
            type=self.type,
            destination=self.destination,
            state=self.state,
            route=self.route,
            cause=self.cause,
            since=self.since,
            until=self.until,
        )
        return Move(
            verb=verb, by=self.by, filter=asked, ids=tuple(self.ids), reason=self.reason, key=self.key or key, **more
        )


class ReplayRequest(MoveRequest, forbid_unknown_fields=True, kw_only=True):
    """What to send again: dead deliveries, and delivered ones if they are named by ids or by state."""

    rate: Annotated[str, msgspec.Meta(description="How fast they go out: `5/s`, `60/min`. Empty: at once.")] = ""
    as_new: Annotated[bool, msgspec.Meta(description="With ids of their own, for a receiver that knows the old.")] = (
        False
    )
    reroute: Annotated[bool, msgspec.Meta(description="Match the events again by today's file.")] = False


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why, and for how long."""

    reason: Reason
    for_s: Annotated[float | None, msgspec.Meta(description="Seconds; null: until somebody ends it.")] = None
    by: By = _SOMEBODY


class ByRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who does it."""

    by: By = _SOMEBODY


_REFUSALS: Final = {
    400: ResponseSpec(Refusal, description="It makes no sense: error says what to write", generate_examples=False),
    401: ResponseSpec(Refusal, description="No token, or a wrong one", generate_examples=False),
    403: ResponseSpec(
        Refusal, description="Another site, an unknown Host, or a token that only reads", generate_examples=False
    ),
    404: ResponseSpec(Refusal, description="There is no such thing", generate_examples=False),
    409: ResponseSpec(Refusal, description="The body that it needs is not kept any more", generate_examples=False),
    503: ResponseSpec(Refusal, description="The store refuses, or too many listen", generate_examples=False),
}
_get: Final = partial(get, responses=_REFUSALS)
_post: Final = partial(post, responses=_REFUSALS, status_code=200)


def _who(data: ByRequest | None) -> str:
    return data.by if data else _SOMEBODY


def handlers(context: Context) -> list[Any]:
    """Every endpoint below /api."""
    return [
        *_reading(context),
        *_destinations(context),
        *_moves(context),
        *_activities(context),
        *_whole(context),
        _live(context),
    ]


# --- which ones ---


Source = Annotated[str, QueryParameter(description="A source of routes.yaml.")]
Type = Annotated[str, QueryParameter(description="A glob on the event's type: `contact.*`.")]
Destination = Annotated[str, QueryParameter(description="A destination, also one that is gone.")]
State = Annotated[str, QueryParameter(name="state", description="pending, delivered, dead or discarded.")]
Since = Annotated[str, QueryParameter(description="Received since: `2h`, `30m`, `7d` or an ISO time.")]
Until = Annotated[str, QueryParameter(description="Received before: as since.")]
Q = Annotated[str, QueryParameter(description="A text in the payload, or `path=value`: `data.id=451`.")]
Route = Annotated[str, QueryParameter(description="An entry of routes.yaml.")]
Cause = Annotated[str | None, QueryParameter(description="The group of dead deliveries: `answered 422`.")]

_LIVE: Final = "/api/live"
_PAGE: Final = frozenset({"limit", "before"})
_OF_BOTH: Final = frozenset({"source", "type", "destination", "state", "since", "until"})


async def _of_events(
    request: Request[Any, Any, Any],
    source: Source = "",
    type: Type = "",
    destination: Destination = "",
    in_state: State = "",
    since: Since = "",
    until: Until = "",
    q: Q = "",
) -> Filter:
    page = frozenset() if request.scope["path"] == _LIVE else _PAGE | {"after"}
    _refuse_unknown(request, _OF_BOTH | page | {"q"})
    return Filter(source=source, type=type, destination=destination, state=in_state, since=since, until=until, q=q)


async def _of_deliveries(
    request: Request[Any, Any, Any],
    source: Source = "",
    type: Type = "",
    destination: Destination = "",
    in_state: State = "",
    since: Since = "",
    until: Until = "",
    route: Route = "",
    cause: Cause = None,
) -> Filter:
    _refuse_unknown(request, _OF_BOTH | _PAGE | {"route", "cause"})
    asked = Filter(source=source, type=type, destination=destination, state=in_state, since=since, until=until)
    return replace(asked, route=route, cause=cause)


def _refuse_unknown(request: Request[Any, Any, Any], known: frozenset[str]) -> None:
    """A filter that is misspelt would narrow nothing, and nobody would see it."""
    for name in request.query_params:
        if name not in known:
            raise BadRequest(f'"{name[:60]}" is no filter here (known: {", ".join(sorted(known))})')


_EVENTS: Final = {"asked": Provide(_of_events)}
_DELIVERIES: Final = {"asked": Provide(_of_deliveries)}


def _search(context: Context, asked: Filter, **page: Any) -> Search:
    return selection.event_search(asked, context.gateway.config, context.gateway.clock(), **page)


# --- events and deliveries ---


def _reading(context: Context) -> list[Any]:
    store = context.gateway.store

    @_get("/api/events", dependencies=_EVENTS, summary="Events, the newest first", tags=["events"])
    async def events(
        asked: NamedDependency[Filter],
        limit: Limit = 50,
        before: Before = "",
        after: Annotated[str, QueryParameter(description="Only those newer than this event's id.")] = "",
    ) -> dict[str, Any]:
        wanted = _search(context, asked, limit=limit, before=before, after=after)
        return views.event_page(await search.events(store, wanted))

    @_get("/api/events/{event_id:str}", summary="One event with all that became of it", tags=["events"])
    async def event(
        event_id: Annotated[str, PathParameter(description="Of an event, or of one of its deliveries.")],
    ) -> dict[str, Any]:
        return await event_document(context, await history_of(context, event_id))

    @_get("/api/deliveries", dependencies=_DELIVERIES, summary="Deliveries, of the newest event first", tags=["events"])
    async def deliveries(asked: NamedDependency[Filter], limit: Limit = 50, before: Before = "") -> dict[str, Any]:
        query = selection.delivery_query(asked, context.gateway.clock(), limit=limit, before=before)
        return views.delivery_page(await store.deliveries(query))

    @_get("/api/dead", summary="Dead deliveries by destination and cause, the largest group first", tags=["events"])
    async def dead() -> dict[str, Any]:
        return views.dead_groups((await store.stats()).dead)

    @_get("/api/rejected", summary="Requests that were refused at the door, the newest first", tags=["events"])
    async def rejected(limit: Limit = 50) -> list[dict[str, Any]]:
        return [views.rejected(each) for each in await store.rejected(limit=selection.page(limit))]

    return [events, event, deliveries, dead, rejected]


# --- destinations ---


def _destinations(context: Context) -> list[Any]:
    operations, store = context.operations, context.gateway.store

    async def document(name: str) -> dict[str, Any]:
        return destination_document(context, name, await store.stats())

    @_get("/api/destinations", summary="How it stands with every destination", tags=["destinations"])
    async def destinations() -> list[dict[str, Any]]:
        return destination_documents(context, await store.stats())

    def verb(name: str) -> dict[str, Any]:
        return {"path": f"/api/destinations/{{name:str}}/{name}", "tags": ["destinations"]}

    @_post(**verb("pause"), summary="Hold the deliveries of a destination")
    async def pause(name: Name, data: JSONBody[HoldRequest]) -> dict[str, Any]:
        await operations.pause(name, by=data.by, reason=data.reason, for_s=data.for_s)
        return await document(name)

    @_post(**verb("resume"), summary="Let a paused destination go on")
    async def resume(name: Name, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        was_paused = await operations.resume(name, by=_who(data))
        return {**await document(name), "was_paused": was_paused}

    @_post(**verb("mute"), summary="Tell nobody of the troubles of a destination")
    async def mute(name: Name, data: JSONBody[HoldRequest]) -> dict[str, Any]:
        await operations.mute(name, by=data.by, reason=data.reason, for_s=data.for_s)
        return await document(name)

    @_post(**verb("unmute"), summary="Tell of the troubles of a destination again")
    async def unmute(name: Name, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        was_muted = await operations.unmute(name, by=_who(data))
        return {**await document(name), "was_muted": was_muted}

    return [destinations, pause, resume, mute, unmute]


# --- what is done to deliveries ---


def _moves(context: Context) -> list[Any]:
    operations = context.operations

    @_post("/api/replay", summary="Send deliveries again, or match their events again", tags=["moves"])
    async def replay(data: JSONBody[ReplayRequest], key: Key = "") -> dict[str, Any]:
        verb: TaskVerb = "reroute" if data.reroute else "replay"
        move = data.move(verb, key, rate=data.rate, as_new=data.as_new)
        if data.dry_run:
            return views.preview(await operations.preview(move))
        activity = await operations.carry_out(move)
        moved = await operations.moved(activity, move.ids) if 0 < len(move.ids) <= _SHOWN else []
        return {"activity": views.activity(activity), "replayed": [views.delivery(each) for each in moved]}

    @_post("/api/discard", summary="Give deliveries up for good", tags=["moves"])
    async def discard(data: JSONBody[MoveRequest], key: Key = "") -> dict[str, Any]:
        move = data.move("discard", key)
        if data.dry_run:
            return views.preview(await operations.preview(move))
        return {"activity": views.activity(await operations.carry_out(move))}

    return [replay, discard]


def _activities(context: Context) -> list[Any]:
    operations, store = context.operations, context.gateway.store

    @_get("/api/activity", summary="What people did, the newest first", tags=["activity"])
    async def activities(limit: Limit = 50, before: Before = "") -> dict[str, Any]:
        return views.activity_page(await store.activities(limit=selection.page(limit), before=before))

    @_get("/api/activity/{activity_id:str}", summary="One activity, with how far it has come", tags=["activity"])
    async def activity(activity_id: ActivityId) -> dict[str, Any]:
        return views.activity(await activity_of(context, activity_id))

    @_post(
        "/api/activity/{activity_id:str}/stop",
        summary="End a replay or a discard before it has reached everything",
        tags=["activity"],
    )
    async def stop(activity_id: ActivityId, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        return views.activity(await operations.stop(activity_id, by=_who(data)))

    return [activities, activity, stop]


# --- the gateway as a whole ---


def _whole(context: Context) -> list[Any]:
    store, reloader = context.gateway.store, context.reloader

    @_get("/api/stats", summary="The numbers of the last hour", tags=["gateway"])
    async def stats() -> dict[str, Any]:
        return views.stats(await store.stats())

    @_get("/api/config", summary="The configuration in force, without its secrets", tags=["gateway"])
    async def config() -> dict[str, Any]:
        rejection = reloader.rejection
        problems, since = (rejection.problems, rejection.since) if rejection else ((), None)
        return views.configuration(context.gateway.config, problems, since)

    @_post("/api/reload", summary="Put the file on disk in force", tags=["gateway"])
    async def reload(data: JSONBody[ByRequest | None] = None) -> dict[str, str]:
        return {"changed": await reloader.reload(by=_who(data))}

    return [stats, config, reload]


# --- live ---


def _live(context: Context) -> Any:
    @_get(_LIVE, dependencies=_EVENTS, summary="What happens, as server-sent events", tags=["events"])
    async def live(asked: NamedDependency[Filter]) -> Response[Any]:
        listener = context.live.listen(_search(context, asked))
        return Stream(server_sent(listener, event_stream), media_type="text/event-stream")

    return live


def event_stream(turn: Turn) -> list[tuple[str, bytes]]:
    """A turn as JSON."""
    found = []
    rows = [views.event_row(row) for row in (*turn.new, *turn.changed)]
    if rows or turn.skipped:
        found.append(("events", _encode({"events": rows, "skipped": turn.skipped})))
    if turn.stats is not None:
        found.append(("stats", _encode(views.stats(turn.stats))))
    return found
