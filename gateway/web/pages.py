"""The console's pages and the live page's stream. Their looks are in ``console``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Stream

from gateway import console
from gateway.errors import BadRequest, QueryRefused
from gateway.operate import figures, search, selection, summaries, views
from gateway.operate.search import Search
from gateway.operate.selection import Filter
from gateway.store.queries import EventRow, Rejected
from gateway.web import auth, forms, playground, refused, routes
from gateway.web.context import Context
from gateway.web.documents import (
    activity_of,
    delivery_documents,
    destination_documents,
    destinations_of,
    event_document,
    history_of,
    inbox_document,
)
from gateway.web.frame import STATUSES, Page, can_write, framed, login_answer, now, page_of, problem, shell_of, stranger
from gateway.web.live import MARKED, Turn, server_sent
from gateway.wording import iso_time

_encode: Final = msgspec.json.Encoder().encode
#: Rows of a page of events, refused requests shown among them, and rows of a group of dead deliveries.
EVENTS, REFUSED, DEAD = 50, 20, 25
#: Events shown that a shadow treats differently.
SHADOWED: Final = 100
#: Replays and discards shown on the page of dead letters.
TASKS: Final = 8
#: Bytes of a login, which comes from someone who is not known yet.
LONGEST_LOGIN: Final = 8 * 1024
#: New rows in one message of the live stream; others are only counted.
MOST_ROWS: Final = 20

#: Fields of the filter of events.
_FILTER: Final = ("q", "source", "type", "destination", "state", "since")


def handlers(context: Context) -> list[Any]:
    """Every page, and the files that pages need."""
    found = [
        *_assets(),
        *_login(context),
        *_looking(context),
        *forms.handlers(context),
        *playground.handlers(context),
        *refused.handlers(context),
        *routes.handlers(context),
        _stream(context),
        *_inbox(context),
    ]
    problems: dict[Any, Any] = {error: problem(context, status) for error, status in STATUSES.items()}
    problems[auth.LoginNeeded] = login_answer
    return [Router(path="/", route_handlers=found, exception_handlers=problems, include_in_schema=False)]


def _assets() -> list[Any]:
    @get("/console.css", media_type="text/css")
    async def stylesheet() -> bytes:
        return console.stylesheet()

    @get("/console.js", media_type="text/javascript")
    async def script() -> bytes:
        return console.script()

    return [stylesheet, script]


class Login(msgspec.Struct):
    """The form of the login page."""

    token: str
    #: The page requested.
    to: str = "/"


def _login(context: Context) -> list[Any]:
    @get("/login")
    async def login(to: FromQuery[str] = "/") -> Page:
        return page_of(console.login_page(stranger(), to=auth.local_page(to)))

    @post("/login", request_max_body_size=LONGEST_LOGIN)
    async def logged_in(request: Request[Any, Any, Any], data: URLEncodedBody[Login]) -> Response[Any]:
        status, said, headers = 401, "Wrong token.", {}
        try:
            if answer := await context.access.log_in(request, data.token, data.to):
                return answer
        except auth.TooManyTries as error:
            status, said, headers = error.status_code, f"{error.detail}.", error.headers or {}
        page = page_of(console.login_page(stranger(), to=auth.local_page(data.to), error=said), status)
        page.headers.update(headers)
        return page

    @post("/logout")
    async def logout(request: Request[Any, Any, Any]) -> Response[Any]:
        return await context.access.log_out(request)

    return [login, logged_in, logout]


# --- looking ---


def _looking(context: Context) -> list[Any]:
    store = context.gateway.store

    @get("/")
    async def live(request: Request[Any, Any, Any]) -> Page:
        return await _live_page(context, request)

    @get("/events/{event_id:str}")
    async def event(request: Request[Any, Any, Any], event_id: FromPath[str]) -> Response[Any]:
        history = await history_of(context, event_id)
        if event_id != history.event.id:
            return Redirect(f"/events/{history.event.id}#{quote(event_id)}", status_code=303)
        kinds = {name: each.kind.name for name, each in context.gateway.config.destinations.items()}
        shell = shell_of(context, request, "", stats=await store.stats())
        document = await event_document(context, history)
        # In a thread as well: there is a request to lay out for each of its deliveries.
        return page_of(await asyncio.to_thread(console.event_page, shell, document, kinds=kinds))

    @get("/destinations")
    async def destinations(request: Request[Any, Any, Any]) -> Page:
        stats = await store.stats()
        shell = shell_of(context, request, "destinations", stats=stats)
        documents = await destinations_of(context, stats)
        return page_of(console.destinations_page(shell, documents, await _recent(context)))

    @get("/dead")
    async def dead(
        request: Request[Any, Any, Any],
        destination: FromQuery[str] = "",
        cause: FromQuery[str | None] = None,
        before: FromQuery[str] = "",
    ) -> Page:
        stats = await store.stats()
        groups = figures.dead_groups(stats.dead)["groups"]
        done = (await store.activities(limit=50)).rows
        activities = [views.activity(each) for each in done if each.progress is not None]
        opened = await _group(context, groups, destination, cause, before) if destination else None
        shell = shell_of(context, request, "dead", stats=stats)
        return page_of(console.dead_page(shell, groups, activities[:TASKS], opened))

    @get("/activity/{activity_id:str}")
    async def activity(request: Request[Any, Any, Any], activity_id: FromPath[str]) -> Page:
        found = await activity_of(context, activity_id)
        return page_of(console.activity_page(await framed(context, request, "dead"), views.activity(found)))

    @get("/shadow")
    async def shadow(request: Request[Any, Any, Any]) -> Page:
        shell = await framed(context, request, "shadow")
        return page_of(await asyncio.to_thread(console.shadow_page, shell, context.shadows.document(SHADOWED)))

    return [live, event, destinations, dead, activity, shadow]


def _asked(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The filter given in the address."""
    return {name: request.query_params.get(name, "").strip() for name in _FILTER}


def _search(context: Context, asked: Mapping[str, str], **page: Any) -> Search:
    return selection.event_search(Filter(**asked), context.gateway.config, context.gateway.clock(), **page)


async def _live_page(context: Context, request: Request[Any, Any, Any]) -> Page:
    store, config = context.gateway.store, context.gateway.config
    asked, before = _asked(request), request.query_params.get("before", "")
    error, rows, more, searched_to = "", [], "", None
    try:
        page = await search.events(store, _search(context, asked, limit=EVENTS, before=before))
    except (BadRequest, QueryRefused) as mistake:
        error = str(mistake)
    else:
        said = await summaries.of_rows(store, config, page.rows)
        rows = [views.event_row(row, said.get(row.id, "")) for row in page.rows]
        more, searched_to = page.next, page.searched_to
        if not before and not any(value for name, value in asked.items() if name != "source"):
            rows = _with_refused(rows, await refused.newest(context, asked["source"], limit=REFUSED), is_all=not more)
    stats = await store.stats()
    narrowed = {name: value for name, value in asked.items() if value}
    body = console.live_page(
        shell_of(context, request, "live", stats=stats),
        stats=figures.stats(stats),
        destinations=await destinations_of(context, stats),
        rows=rows,
        filter=asked,
        choices={"sources": list(config.sources), "destinations": list(config.destinations)},
        paging={
            "next": f"/?{urlencode({**narrowed, 'before': more})}" if more else "",
            "first": f"/?{urlencode(narrowed)}",
            "searched_to": None if searched_to is None else iso_time(searched_to),
            "is_live": not before and not error,
            "live": f"/live?{urlencode(narrowed)}",
            "is_later": bool(before),
        },
        senders=[] if rows else _senders(context),
        activities=await _recent(context),
        filter_error=error,
    )
    return page_of(body, 400 if error else 200)


async def _recent(context: Context) -> list[dict[str, Any]]:
    """What people did lately, to be marked on charts."""
    return [views.activity(each) for each in (await context.gateway.store.activities(limit=MARKED)).rows]


def _senders(context: Context) -> list[dict[str, str]]:
    """The address of each source, and a command to try it."""
    found = []
    for each in context.gateway.config.sources.values():
        samples = each.samples
        name = "contact.created" if "contact.created" in samples else next(iter(samples), "")
        found.append(
            {
                "source": each.name,
                "url": f"{context.gateway.ingest}{each.path}",
                "command": f"gateway send {name}" if name else "",
            }
        )
    return found


def _with_refused(rows: list[dict[str, Any]], refused: list[dict[str, Any]], *, is_all: bool) -> list[dict[str, Any]]:
    """Both, newest first; refused requests only from the time that the rows span."""
    oldest = rows[-1]["received_at"] if rows and not is_all else ""
    fitting = [each for each in refused if each["at"] >= oldest]
    return sorted([*rows, *fitting], key=lambda each: str(each.get("received_at") or each["at"]), reverse=True)


async def _group(
    context: Context, groups: Sequence[Mapping[str, Any]], destination: str, cause: str | None, before: str
) -> dict[str, Any]:
    """The dead deliveries of a destination, of one cause or of all."""
    store = context.gateway.store
    asked = Filter(destination=destination, cause=cause, state="dead")
    page = await store.deliveries(selection.delivery_query(asked, context.gateway.clock(), limit=DEAD, before=before))
    chosen = {"destination": destination, **({} if cause is None else {"cause": cause})}
    fitting = [each for each in groups if each["destination"] == destination and cause in (None, each["cause"])]
    return {
        "title": f"dead for {destination}" if cause is None else cause or "no cause recorded",
        "destination": destination,
        "count": sum(each["count"] for each in fitting),
        "selection": chosen,
        "rows": await delivery_documents(context, page.rows),
        "next": f"/dead?{urlencode({**chosen, 'before': page.next})}" if page.next else "",
        "searched_to": None if page.searched_to is None else iso_time(page.searched_to),
    }


# --- the live page's stream ---


def _stream(context: Context) -> Any:
    @get("/live")
    async def live(request: Request[Any, Any, Any]) -> Response[Any]:
        role = context.access.role_of(request)
        asked = _asked(request)
        # Only where the page shows them, too.
        source = asked["source"] if not any(value for name, value in asked.items() if name != "source") else None
        listener = context.live.listen(_search(context, asked), role or "", refused_of=source)
        shown = _Shown(context, can_write=can_write(context, request))
        return Stream(server_sent(listener, shown.messages), media_type="text/event-stream")

    return live


class _Shown:
    """What one page gets: the newest rows of each turn, and changed rows, which it may or may not show."""

    def __init__(self, context: Context, *, can_write: bool) -> None:
        self._context = context
        self._can_write = can_write
        #: The page was just drawn with the first turn's rows.
        self._is_first = True

    def messages(self, turn: Turn) -> list[tuple[str, bytes]]:
        """A turn as rows and numbers, ready to insert into the page."""
        found = []
        if turn.new or turn.changed or turn.skipped:
            found.append(("rows", _encode(self._rows(turn))))
        if turn.refused:
            found.append(("refused", _encode({"html": self._refused(turn.refused)})))
        if turn.stats is not None:
            documents = destination_documents(self._context, turn.stats)
            done = [views.activity(each) for each in self._context.live.activities]
            html = console.live_numbers(figures.stats(turn.stats), documents, activities=done, now=now(self._context))
            found.append(("numbers", _encode({"html": html})))
        return found

    def _refused(self, rows: Sequence[Rejected]) -> str:
        return console.refused_rows(refused.documents(self._context.gateway.config, rows), now=now(self._context))

    def _rows(self, turn: Turn) -> dict[str, Any]:
        """``new`` rows to insert or replace (``fresh`` of them are new), ``changed`` rows only to replace, ``skipped``: a count."""
        most = len(turn.new) if self._is_first else MOST_ROWS
        fresh = 0 if self._is_first else min(most, len(turn.new))
        self._is_first = False
        return {
            "new": self._html(turn.new[:most], turn.summaries),
            "changed": self._html(turn.changed, turn.summaries),
            "fresh": fresh,
            "skipped": turn.skipped + len(turn.new[most:]),
        }

    def _html(self, rows: Sequence[EventRow], said: Mapping[str, str]) -> str:
        shown = [views.event_row(row, said.get(row.id, "")) for row in rows]
        return console.live_rows(shown, now=now(self._context), can_write=self._can_write)


# --- the inbox of ``gateway dev`` ---


def _inbox(context: Context) -> list[Any]:
    if context.inbox is None:
        return []

    @get("/inbox")
    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        if "html" not in request.headers.get("accept", ""):
            return Response(await inbox_document(context))
        kinds = {name: each.kind.name for name, each in context.gateway.config.destinations.items()}
        shell, document = await framed(context, request, "inbox"), await inbox_document(context)
        return page_of(await asyncio.to_thread(console.inbox_page, shell, document, kinds=kinds))

    @get("/inbox.json")
    async def listed() -> list[dict[str, Any]]:
        return await inbox_document(context)

    return [page, listed]
