"""The part of the API that takes the login of a destination."""

from typing import Annotated, Any, Final

import msgspec
from litestar import post
from litestar.params import JSONBody, PathParameter

from gateway.operate.logging_in import log_in
from gateway.web.context import Context

#: The name recorded unless the request gives one.
_SOMEBODY: Final = "api"


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The login. Its repr hides it."""

    refresh_token: Annotated[
        str,
        msgspec.Meta(description="The refresh token that the authorization server issued; it is never shown again."),
    ]
    by: Annotated[str, msgspec.Meta(description="Name to record: who does this.")] = _SOMEBODY

    def __repr__(self) -> str:
        return f"LoginRequest(by={self.by!r})"


def handlers(context: Context, responses: Any) -> list[Any]:
    """POST /api/destinations/{name}/login."""

    @post(
        "/api/destinations/{name:str}/login",
        responses=responses,
        status_code=200,
        summary="Keep the login of a destination, encrypted, and resume the destinations that were paused because it was missing",
        tags=["destinations"],
    )
    async def login(
        name: Annotated[str, PathParameter(description="Name of a destination.")], data: JSONBody[LoginRequest]
    ) -> dict[str, Any]:
        gateway, holds = context.gateway, context.dispatcher.holds
        return {"destinations": list(await log_in(gateway, holds, name, data.refresh_token, by=data.by))}

    return [login]
