"""The JSON API, used by ``gateway events`` and similar verbs, and by scripts."""

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.operate import figures, refusals, search, selection, summaries, views
from gateway.operate.freeing import FREED
from gateway.operate.operations import Move
from gateway.operate.refusals import Which
from gateway.operate.search import Search
from gateway.operate.selection import Filter
from gateway.store.activities import TaskVerb
from gateway.web import forgetting, handshakes, logins, whole
from gateway.web.context import Context
from gateway.web.documents import activity_of, destination_of, destinations_of, event_document, history_of
from gateway.web.live import Turn, server_sent

_encode: Final = msgspec.json.Encoder().encode
#: The name recorded unless the request gives one.
_SOMEBODY: Final = "api"
#: With up to this many ids, the answer to a replay includes the deliveries.
_SHOWN: Final = 100

Limit = Annotated[int, QueryParameter(description=f"Maximum number of rows, 1 to {selection.LARGEST_PAGE}.")]
Before = Annotated[str, QueryParameter(description="The `next` of the previous page.")]
Name = Annotated[str, PathParameter(description="Name of a destination.")]
ActivityId = Annotated[str, PathParameter(description="`act_...`")]
Key = Annotated[
    str,
    HeaderParameter(
        name="idempotency-key", description="A second request with the same key that asks for the same does nothing."
    ),
]


By = Annotated[str, msgspec.Meta(description="Name to record: who does this.")]
Reason = Annotated[str, msgspec.Meta(description="Reason to record, for other operators.")]


class Refusal(msgspec.Struct):
    """An error."""

    error: str


class MoveRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which deliveries: by ids or by common properties; dead ones unless ids or a state are given."""

    ids: Annotated[
        list[str], msgspec.Meta(description="Ids of deliveries, or of events for all their deliveries.")
    ] = []
    destination: Annotated[str, msgspec.Meta(description="Destination of the deliveries.")] = ""
    cause: Annotated[str | None, msgspec.Meta(description="Cause of dead deliveries: `answered 422`.")] = None
    route: Annotated[str, msgspec.Meta(description="Name of the routes.yaml entry that created them.")] = ""
    source: Annotated[str, msgspec.Meta(description="Source of their events.")] = ""
    type: Annotated[str, msgspec.Meta(description="Glob for the type of their events.")] = ""
    since: Annotated[str, msgspec.Meta(description="Events received since: `2h` ago, or an ISO time.")] = ""
    until: Annotated[str, msgspec.Meta(description="Events received before; written like since.")] = ""
    state: Annotated[str, msgspec.Meta(description="State of the deliveries; `dead` by default.")] = ""
    key: Annotated[str, msgspec.Meta(description="Same as the header Idempotency-Key.")] = ""
    dry_run: Annotated[bool, msgspec.Meta(description="Show what would be affected and change nothing.")] = False
    by: By = _SOMEBODY
    reason: Reason = ""

    def move(self, verb: TaskVerb, key: str, **more: Any) -> Move:
        """The move requested. Raises BadRequest."""
        if key and self.key and key != self.key:
            raise BadRequest("key and the header Idempotency-Key differ: send only one of them")
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
    """Deliveries to send again: dead ones, and delivered ones if selected by ids or state."""

    rate: Annotated[str, msgspec.Meta(description="Rate of sending: `5/s`, `60/min`. Empty: as fast as possible.")] = ""
    as_new: Annotated[bool, msgspec.Meta(description="Send with new ids, for a receiver that ignores known ones.")] = (
        False
    )
    reroute: Annotated[bool, msgspec.Meta(description="Match the events again with the current routes.yaml.")] = False


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Reason and duration."""

    reason: Reason
    for_s: Annotated[float | None, msgspec.Meta(description="Duration in seconds; null: until someone ends it.")] = None
    by: By = _SOMEBODY


class ByRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The name to record."""

    by: By = _SOMEBODY


_REFUSALS: Final = {
    400: ResponseSpec(Refusal, description="Invalid request: error says what to write", generate_examples=False),
    401: ResponseSpec(Refusal, description="Missing or wrong token", generate_examples=False),
    403: ResponseSpec(
        Refusal, description="Request from another site, unknown Host, or read-only token", generate_examples=False
    ),
    404: ResponseSpec(Refusal, description="Not found", generate_examples=False),
    409: ResponseSpec(
        Refusal,
        description="The body of the event is no longer kept, the key was used for another request, or a replay that is "
        "not finished has yet to reach the same deliveries",
        generate_examples=False,
    ),
    503: ResponseSpec(
        Refusal, description="The store is unavailable, or the live stream has no free place", generate_examples=False
    ),
}
_get: Final = partial(get, responses=_REFUSALS)
_post: Final = partial(post, responses=_REFUSALS, status_code=200)


def _who(data: ByRequest | None) -> str:
    return data.by if data else _SOMEBODY


def handlers(context: Context) -> list[Any]:
    """Every endpoint under /api."""
    return [
        *_reading(context),
        *_destinations(context),
        *_moves(context),
        *forgetting.handlers(context, _REFUSALS),
        *handshakes.handlers(context, _REFUSALS),
        *logins.handlers(context, _REFUSALS),
        *_activities(context),
        *whole.handlers(context, _REFUSALS),
        _live(context),
    ]


# --- filters ---


OwnId = Annotated[str, PathParameter(description="Id of an event, or of one of its deliveries.")]
Source = Annotated[str, QueryParameter(description="Name of a source.")]
Type = Annotated[str, QueryParameter(description="Glob for the event's type: `contact.*`.")]
Destination = Annotated[str, QueryParameter(description="Name of a destination, current or removed.")]
State = Annotated[str, QueryParameter(name="state", description="pending, delivered, dead or discarded.")]
Since = Annotated[str, QueryParameter(description="Received since: `2h`, `30m`, `7d` ago, or an ISO time.")]
Until = Annotated[str, QueryParameter(description="Received before; written like since.")]
Q = Annotated[str, QueryParameter(description="Text in the payload, or `path=value`: `data.id=451`.")]
Route = Annotated[str, QueryParameter(description="Name of an entry in routes.yaml.")]
Cause = Annotated[str | None, QueryParameter(description="Cause of dead deliveries: `answered 422`.")]

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
    """Refuse unknown filters: a misspelt one would silently filter nothing."""
    for name in request.query_params:
        if name not in known:
            raise BadRequest(f'"{name[:60]}" is not a filter here (known: {", ".join(sorted(known))})')


_EVENTS: Final = {"asked": Provide(_of_events)}
_DELIVERIES: Final = {"asked": Provide(_of_deliveries)}


def _search(context: Context, asked: Filter, **page: Any) -> Search:
    return selection.event_search(asked, context.gateway.config, context.gateway.clock(), **page)


# --- events and deliveries ---


def _reading(context: Context) -> list[Any]:
    store = context.gateway.store

    @_get("/api/events", dependencies=_EVENTS, summary="List events, newest first", tags=["events"])
    async def events(
        asked: NamedDependency[Filter],
        limit: Limit = 50,
        before: Before = "",
        after: Annotated[
            str, QueryParameter(description="Only events newer than this `position`, or than the event with this id.")
        ] = "",
    ) -> dict[str, Any]:
        wanted = _search(context, asked, limit=limit, before=before, after=after)
        page = await search.events(store, wanted)
        return views.event_page(page, await summaries.of_rows(store, context.gateway.config, page.rows))

    @_get(
        "/api/events/{event_id:str}", summary="Show one event with its deliveries, attempts and routes", tags=["events"]
    )
    async def event(event_id: OwnId) -> dict[str, Any]:
        return await event_document(context, await history_of(context, event_id))

    @_post(
        "/api/events/{event_id:str}/try",
        summary="Retry now what waits for another attempt: the deliveries of an event, or one delivery",
        tags=["events"],
    )
    async def try_at_once(event_id: OwnId, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        return {"tried": await context.operations.hasten(event_id, by=_who(data))}

    @_get(
        "/api/deliveries",
        dependencies=_DELIVERIES,
        summary="List deliveries, those of the newest event first",
        tags=["events"],
    )
    async def deliveries(asked: NamedDependency[Filter], limit: Limit = 50, before: Before = "") -> dict[str, Any]:
        query = selection.delivery_query(asked, context.gateway.clock(), limit=limit, before=before)
        page = await store.deliveries(query)
        ids = [each.event_id for each in page.rows]
        return views.delivery_page(page, await summaries.of_events(store, context.gateway.config, ids))

    @_get("/api/dead", summary="Count dead deliveries by destination and cause, largest group first", tags=["events"])
    async def dead() -> dict[str, Any]:
        return figures.dead_groups((await store.stats()).dead)

    @_get("/api/rejected", summary="List refused requests, newest first", tags=["events"])
    async def rejected(
        limit: Limit = 50,
        source: Source = "",
        client: Annotated[str, QueryParameter(description="Beginning of the address they came from.")] = "",
        reason: Annotated[str, QueryParameter(description="Part of the reason, or the status: `401`.")] = "",
    ) -> list[dict[str, Any]]:
        which = Which(source=source, client=client, reason=reason)
        most = selection.page(limit)
        rows = await context.rejections.newest(limit=most if which.is_empty else refusals.MOST)
        return [refusals.document(context.gateway.config, each) for each in refusals.meant(rows, which)[:most]]

    return [events, event, try_at_once, deliveries, dead, rejected]


# --- destinations ---


def _destinations(context: Context) -> list[Any]:
    operations, store = context.operations, context.gateway.store

    async def document(name: str) -> dict[str, Any]:
        return await destination_of(context, name, await store.stats())

    @_get("/api/destinations", summary="Show the current status of every destination", tags=["destinations"])
    async def destinations() -> list[dict[str, Any]]:
        return await destinations_of(context, await store.stats())

    def verb(name: str) -> dict[str, Any]:
        return {"path": f"/api/destinations/{{name:str}}/{name}", "tags": ["destinations"]}

    @_post(**verb("pause"), summary="Pause a destination: hold its deliveries")
    async def pause(name: Name, data: JSONBody[HoldRequest]) -> dict[str, Any]:
        await operations.pause(name, by=data.by, reason=data.reason, for_s=data.for_s)
        return await document(name)

    @_post(**verb("resume"), summary="Resume a paused destination")
    async def resume(name: Name, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        freed = await operations.resume(name, by=_who(data))
        return {**await document(name), "was_paused": freed == "resumed", "did": f"{name} {FREED[freed]}"}

    @_post(**verb("try"), summary="Try a destination at once whose circuit is open, or that asked to wait")
    async def try_now(name: Name, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        freed = await operations.try_now(name, by=_who(data))
        return {**await document(name), "did": f"{name} {FREED[freed]}"}

    @_post(**verb("mute"), summary="Mute a destination: turn its notifications off")
    async def mute(name: Name, data: JSONBody[HoldRequest]) -> dict[str, Any]:
        await operations.mute(name, by=data.by, reason=data.reason, for_s=data.for_s)
        return await document(name)

    @_post(**verb("unmute"), summary="Unmute a destination")
    async def unmute(name: Name, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        was_muted = await operations.unmute(name, by=_who(data))
        return {**await document(name), "was_muted": was_muted}

    return [destinations, pause, resume, try_now, mute, unmute]


# --- replay and discard ---


def _moves(context: Context) -> list[Any]:
    operations = context.operations

    @_post("/api/replay", summary="Replay deliveries, or reroute their events", tags=["moves"])
    async def replay(data: JSONBody[ReplayRequest], key: Key = "") -> dict[str, Any]:
        verb: TaskVerb = "reroute" if data.reroute else "replay"
        move = data.move(verb, key, rate=data.rate, as_new=data.as_new)
        if data.dry_run:
            return views.preview(await operations.preview(move))
        activity = await operations.carry_out(move)
        moved = await operations.moved(activity, move.ids) if 0 < len(move.ids) <= _SHOWN else []
        return {"activity": views.activity(activity), "replayed": [views.delivery(each) for each in moved]}

    @_post("/api/discard", summary="Discard deliveries for good", tags=["moves"])
    async def discard(data: JSONBody[MoveRequest], key: Key = "") -> dict[str, Any]:
        move = data.move("discard", key)
        if data.dry_run:
            return views.preview(await operations.preview(move))
        return {"activity": views.activity(await operations.carry_out(move))}

    return [replay, discard]


def _activities(context: Context) -> list[Any]:
    operations, store = context.operations, context.gateway.store

    @_get("/api/activity", summary="List activities (what people did), newest first", tags=["activity"])
    async def activities(limit: Limit = 50, before: Before = "") -> dict[str, Any]:
        return views.activity_page(await store.activities(limit=selection.page(limit), before=before))

    @_get("/api/activity/{activity_id:str}", summary="Show one activity with its progress", tags=["activity"])
    async def activity(activity_id: ActivityId) -> dict[str, Any]:
        return views.activity(await activity_of(context, activity_id))

    @_post(
        "/api/activity/{activity_id:str}/stop",
        summary="Stop a replay, discard or erasure before its end",
        tags=["activity"],
    )
    async def stop(activity_id: ActivityId, data: JSONBody[ByRequest | None] = None) -> dict[str, Any]:
        return views.activity(await operations.stop(activity_id, by=_who(data)))

    return [activities, activity, stop]


# --- live ---


def _live(context: Context) -> Any:
    @_get(_LIVE, dependencies=_EVENTS, summary="Stream events and statistics as server-sent events", tags=["events"])
    async def live(request: Request[Any, Any, Any], asked: NamedDependency[Filter]) -> Response[Any]:
        role = context.access.role_of(request)
        listener = context.live.listen(_search(context, asked), role or "")
        return Stream(server_sent(listener, event_stream), media_type="text/event-stream")

    return live


def event_stream(turn: Turn) -> list[tuple[str, bytes]]:
    """The messages of a turn, as JSON."""
    found = []
    rows = [views.event_row(row, turn.summaries.get(row.id, "")) for row in (*turn.new, *turn.changed)]
    if rows or turn.skipped:
        found.append(("events", _encode({"events": rows, "skipped": turn.skipped})))
    if turn.stats is not None:
        found.append(("stats", _encode(figures.stats(turn.stats))))
    return found
