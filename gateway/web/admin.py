"""The admin listener's application: health, metrics, API and console behind one guard."""

from typing import Any, Final

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp, Scope

from gateway import __version__, telemetry
from gateway.errors import ConfigError, GatewayError, UnknownName
from gateway.operate import views
from gateway.web import api, health, pages
from gateway.web.auth import LoginNeeded
from gateway.web.context import Context
from gateway.web.frame import STATUSES, in_words, login_answer, problem
from gateway.web.refusing import SECURITY_HEADERS, error_answer
from gateway.wording import printable

#: Bytes of a request's body: a thousand ids take some 50 KiB.
LONGEST_BODY: Final = 256 * 1024


def admin_app(context: Context) -> ASGIApp:
    """The application of the admin listener."""
    return Litestar(
        route_handlers=[
            *health.handlers(context.scrape, context.gateway.store, context.reloader, context.readiness),
            *api.handlers(context),
            *pages.handlers(context),
        ],
        guards=[context.access.guard],
        # Exactly this path: Litestar's own router would answer everything below it with a page.
        openapi_config=OpenAPIConfig(
            title="Webhook gateway",
            version=__version__,
            path="/api/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
        ),
        logging_config=None,
        request_max_body_size=LONGEST_BODY,
        exception_handlers={
            LoginNeeded: login_answer,
            HTTPException: error_answer,
            # From reading a body; our own documents are shallow.
            RecursionError: _too_deep,
            NotFoundException: _no_page(context),
            ConfigError: _configerror_answer,
            **{error: _said(status) for error, status in STATUSES.items()},
        },
        after_exception=[_log_defect],
        response_headers=SECURITY_HEADERS,
    )


def _too_deep(_: Request[Any, Any, Any], _error: RecursionError) -> Response[dict[str, str]]:
    return Response({"error": "the body is nested too deeply"}, status_code=400)


def _no_page(context: Context) -> Any:
    """The handler for unknown paths: a page for people, JSON for programs."""
    shown = problem(context, 404)

    def answer(request: Request[Any, Any, Any], error: NotFoundException) -> Any:
        path = request.scope["path"]
        is_for_a_person = "text/html" in request.headers.get("accept", "") and not path.startswith("/api/")
        if request.method == "GET" and is_for_a_person:
            return shown(request, UnknownName(f"no page {printable(path[:100])}"))
        return error_answer(request, error)

    return answer


def _said(status: int) -> Any:
    def answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
        return Response({"error": in_words(error)}, status_code=status)

    return answer


async def _log_defect(error: Exception, scope: Scope) -> None:
    if not isinstance(error, HTTPException | GatewayError | RecursionError):
        telemetry.log("internal.error", path=scope["path"], exc_info=error)


def _configerror_answer(_: Request[Any, Any, Any], error: ConfigError) -> Response[dict[str, Any]]:
    return Response(
        {
            "error": "routes.yaml was rejected; the previous version stays in force",
            "problems": [views.problem(each) for each in error.problems],
        },
        status_code=422,
    )
