"""The admin listener's application: probes and metrics from the start, API and console as soon as somebody asks for them.

Pages, handlers and schemas take longer to make than everything else at the start, and memory that most processes never
use: nobody looks at most of the replicas of a gateway.
"""

import asyncio
from typing import Final

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.web import health
from gateway.web.auth import PROBES
from gateway.web.context import Context
from gateway.web.refusing import SECURITY_HEADERS, error_answer

#: What is asked for all the time.
_WATCHED: Final = PROBES | {"/metrics"}


class Desk:
    """Answers probes itself and leaves the rest to the whole application, which it makes when it is first needed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._probes: ASGIApp = Litestar(
            route_handlers=health.handlers(context.scrape, context.gateway.store, context.reloader, context.readiness),
            guards=[context.access.guard],
            openapi_config=None,
            logging_config=None,
            exception_handlers={HTTPException: error_answer},
            response_headers=SECURITY_HEADERS,
        )
        self._making: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_probe = scope["path"] in _WATCHED and scope.get("method") == "GET"
        await (self._probes if is_probe else await self.whole())(scope, receive, send)

    async def prepare(self) -> None:
        """Make the whole application before somebody asks for it."""
        await self.whole()

    async def whole(self) -> ASGIApp:
        """The whole application; made in a thread, since events are received meanwhile."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_made, self._context))
        return await asyncio.shield(self._making)


def _made(context: Context) -> ASGIApp:
    # Half of its cost is what it imports.
    from gateway.web.admin import admin_app

    return admin_app(context)
