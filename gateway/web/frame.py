"""The frame around every page of the console, and its error pages."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway import console
from gateway.errors import BadRequest, Conflict, GatewayError, QueryRefused, StoreError, UnknownName
from gateway.operate import views
from gateway.operate.freeing import FREED
from gateway.store.queries import Stats
from gateway.store.room import filling, refusal
from gateway.web import auth
from gateway.web.context import Context
from gateway.web.live import TooManyListen
from gateway.wording import iso_time

HTML: Final = "text/html"
#: HTTP status of each error, in the API and in the console.
STATUSES: Final[Mapping[type[Exception], int]] = {
    BadRequest: 400,
    QueryRefused: 400,
    UnknownName: 404,
    Conflict: 409,
    StoreError: 503,
    TooManyListen: 503,
    Exception: 500,
}
#: Notices by the ``did`` of an address; no other text from an address is shown.
_NEWS: Final[Mapping[str, str]] = {
    "replay": "Replay started.",
    "discard": "Discarded.",
    "pause": "Paused: new deliveries wait until it is resumed.",
    **{did: f"It {words}." for did, words in FREED.items()},
    "mute": "Muted: notifications for this destination are off.",
    "unmute": "Unmuted: notifications for this destination are back on.",
}

#: The name recorded unless a form gives one.
SOMEBODY: Final = "console"
NO_NUMBERS: Final = Stats(destinations={}, received={}, dead=())

Page = Response[Any]


def page_of(body: bytes, status: int = 200) -> Page:
    return Response(body, status_code=status, media_type=HTML)


def now(context: Context) -> str:
    return iso_time(context.gateway.clock())


def can_write(context: Context, request: Request[Any, Any, Any]) -> bool:
    return context.access.role_of(request) == "full"


def shell_of(
    context: Context, request: Request[Any, Any, Any], page: str, *, stats: Stats = NO_NUMBERS
) -> dict[str, Any]:
    """The frame around every page; ``stats`` has the number of dead letters, and which destination fills the store."""
    config, rejection, store = context.gateway.config, context.reloader.rejection, context.gateway.store
    return {
        "page": page,
        "now": now(context),
        "file": next(iter(config.files), ""),
        "revision": config.revision,
        "rejection": rejection
        and {
            "since": iso_time(rejection.since),
            "problems": [views.problem(each) for each in rejection.problems],
        },
        "others": [{"host": each.host, "revision": each.config} for each in context.replicas.differing],
        "full": refusal(store.room, config.limits) or str(filling(stats.pending, config.limits) or ""),
        "dead": sum(each.dead for each in stats.destinations.values()),
        "has_inbox": context.inbox is not None,
        "has_shadow": bool(context.shadows.current),
        "can_write": can_write(context, request),
        "signed_in": context.access.needs_login,
        "notice": _NEWS.get(request.query_params.get("did", ""), ""),
    }


async def framed(context: Context, request: Request[Any, Any, Any], page: str) -> dict[str, Any]:
    """The same for a page that has no use for the statistics itself, also while the store cannot be read."""
    try:
        stats = await context.gateway.store.stats()
    except StoreError:
        stats = NO_NUMBERS
    return shell_of(context, request, page, stats=stats)


def stranger() -> dict[str, Any]:
    """The frame for visitors without a token: it shows nothing of the gateway."""
    return {
        "page": "login", "now": "", "file": "", "revision": "", "rejection": None, "others": (), "full": "", "dead": 0,
        "has_inbox": False, "has_shadow": False, "can_write": True, "signed_in": False, "notice": "",
    }  # fmt: skip


def problem(context: Context, status: int) -> Any:
    """A handler that answers an error with ``status``: as a page, or as JSON if the client does not accept HTML."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        code = error.status_code if isinstance(error, HTTPException) else status
        said = in_words(error)
        if "text/html" not in request.headers.get("accept", ""):
            return Response({"error": said}, status_code=code)
        # Visitors without access see nothing of the gateway.
        known = code != 401 and context.access.may_look(request)
        shell = shell_of(context, request, "") if known else stranger()
        return page_of(console.message_page(shell, title="That did not work", said=said), code)

    return answer


def in_words(error: Exception) -> str:
    """An error for people; of a defect only its kind, because its text can contain anything."""
    if isinstance(error, HTTPException):
        return error.detail
    if isinstance(error, GatewayError):
        return str(error)
    return f"a defect of the gateway: {type(error).__name__}; see its log"


def login_answer(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Programs get an error; people are sent to the login page, which returns them to where they were."""
    if request.scope["path"].startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return Response({"error": error.detail}, status_code=error.status_code)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # A link from elsewhere, a chat for instance: the browser withheld its cookie (SameSite=Strict). It sends it
        # when a page of ours requests the same address.
        query = request.scope["query_string"].decode("latin-1")
        again = escape(auth.local_page(f"{request.scope['path']}?{query}" if query else request.scope["path"]))
        page = f'<!doctype html><title>gateway</title><meta http-equiv="refresh" content="0;url={again}">'
        return Response(page, media_type=HTML)
    return Response(b"", status_code=303, headers={"location": auth.login_page(request)})
