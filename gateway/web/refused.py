"""The page of refused requests."""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Request, get

from gateway import console
from gateway.operate import refusals
from gateway.operate.refusals import Which
from gateway.routing import Config
from gateway.store.queries import Rejected
from gateway.web.context import Context
from gateway.web.frame import Page, framed, page_of

#: Rows of the page.
SHOWN: Final = 100
#: Characters of a filter.
_LONGEST: Final = 200


def handlers(context: Context) -> list[Any]:
    """The page."""

    @get("/refused")
    async def refused(request: Request[Any, Any, Any]) -> Page:
        asked = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in ("source", "client", "reason")}
        rows = await context.rejections.newest(limit=refusals.MOST)
        found = refusals.meant(rows, Which(**asked))
        body = console.refused_page(
            await framed(context, request, "refused"),
            rows=documents(context.gateway.config, found[:SHOWN]),
            filter=asked,
            sources=sorted({each.source for each in rows}),
            more=max(0, len(found) - SHOWN),
        )
        return page_of(body)

    return [refused]


def documents(config: Config, rows: Sequence[Rejected]) -> list[dict[str, Any]]:
    """Each with what to do about it."""
    return [refusals.document(config, each) for each in rows]


async def newest(context: Context, source: str, *, limit: int) -> list[dict[str, Any]]:
    """The newest refused requests, of one source or of all ("")."""
    rows = await context.rejections.newest(limit=limit)
    return documents(context.gateway.config, refusals.meant(rows, Which(source=source)))
