"""The part of the API that lets a sender choose its secret."""

from typing import Annotated, Any, Final

import msgspec
from litestar import post
from litestar.params import JSONBody, PathParameter

from gateway.operate.expecting import expect_secret
from gateway.web.context import Context
from gateway.wording import iso_time

#: The name recorded unless the request gives one.
_SOMEBODY: Final = "api"


class ExpectRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who expects the secret."""

    by: Annotated[str, msgspec.Meta(description="Name to record: who does this.")] = _SOMEBODY


def handlers(context: Context, responses: Any) -> list[Any]:
    """POST /api/sources/{name}/handshake."""

    @post(
        "/api/sources/{name:str}/handshake",
        responses=responses,
        status_code=200,
        summary="Accept the secret that a sender chooses in a handshake, for ten minutes",
        tags=["gateway"],
    )
    async def handshake(
        name: Annotated[str, PathParameter(description="Name of a source.")],
        data: JSONBody[ExpectRequest | None] = None,
    ) -> dict[str, Any]:
        until = await expect_secret(context.gateway, name, by=data.by if data else _SOMEBODY)
        return {"source": name, "until": iso_time(until)}

    return [handshake]
