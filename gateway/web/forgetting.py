"""The part of the API that forgets somebody."""

from typing import Annotated, Any, Final

import msgspec
from litestar import post
from litestar.params import HeaderParameter, JSONBody

from gateway.errors import BadRequest
from gateway.operate import views
from gateway.web.context import Context

#: The name recorded unless the request gives one.
_SOMEBODY: Final = "api"


class ForgetRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whose events to erase."""

    find: Annotated[
        str, msgspec.Meta(description="What their events contain: `data.id=451`, `headers.x-y=z`, or any text.")
    ]
    dry_run: Annotated[bool, msgspec.Meta(description="Count the events, part by part, and change nothing.")] = False
    after: Annotated[str, msgspec.Meta(description="With dry_run: the `next` of the previous part.")] = ""
    key: Annotated[str, msgspec.Meta(description="Same as the header Idempotency-Key.")] = ""
    by: Annotated[str, msgspec.Meta(description="Name to record: who does this.")] = _SOMEBODY
    reason: Annotated[str, msgspec.Meta(description="Reason to record, for other operators.")] = ""


def handlers(context: Context, responses: Any) -> list[Any]:
    """POST /api/forget."""
    operations = context.operations

    @post(
        "/api/forget",
        responses=responses,
        status_code=200,
        summary="Erase every event of a person for good",
        tags=["moves"],
    )
    async def forget(
        data: JSONBody[ForgetRequest],
        key: Annotated[
            str, HeaderParameter(name="idempotency-key", description="A second request with the same key does nothing.")
        ] = "",
    ) -> dict[str, Any]:
        if data.dry_run:
            found = await operations.look(data.find, after=data.after)
            return {"count": found.count, "looked_at": found.looked_at, "next": found.next or None}
        if data.after:
            raise BadRequest("after: only a dry_run is done in parts; leave it out")
        if key and data.key and key != data.key:
            raise BadRequest("key and the header Idempotency-Key differ: send only one of them")
        activity = await operations.forget(data.find, by=data.by, reason=data.reason, key=data.key or key)
        return {"activity": views.activity(activity)}

    return [forget]
