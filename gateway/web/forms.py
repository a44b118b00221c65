"""The console's forms; replays and discards are confirmed on a page of their own first."""

import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from litestar import Request, Response, get, post
from litestar.datastructures import FormMultiDict, MultiDict
from litestar.params import FromPath
from litestar.response import Redirect

from gateway import console
from gateway.errors import BadRequest
from gateway.operate import selection, views
from gateway.operate.operations import Move
from gateway.operate.selection import Filter
from gateway.web.context import Context
from gateway.web.documents import delivery_documents
from gateway.web.frame import SOMEBODY, framed, page_of
from gateway.wording import is_duration, seconds

_Verb = Literal["replay", "discard"]
#: The fields of a form or of an address.
_Fields = FormMultiDict | MultiDict[Any]

#: Characters of the longest address; with more ids than fit, the answer to the form itself is the confirmation page.
_LONGEST_ADDRESS: Final = 4000
#: Fields that select deliveries.
_WHICH: Final = ("state", "destination", "cause", "route", "source", "type", "since", "until")


def handlers(context: Context) -> list[Any]:
    """Every form."""
    return [*_moves(context), *_holds(context)]


def _moves(context: Context) -> list[Any]:
    @post("/replay")
    async def replay(request: Request[Any, Any, Any]) -> Response[Any]:
        return await _move(context, request, "replay", await request.form())

    @post("/discard")
    async def discard(request: Request[Any, Any, Any]) -> Response[Any]:
        return await _move(context, request, "discard", await request.form())

    @get("/replay")
    async def ask_replay(request: Request[Any, Any, Any]) -> Response[Any]:
        return await _ask(context, request, "replay", request.query_params)

    @get("/discard")
    async def ask_discard(request: Request[Any, Any, Any]) -> Response[Any]:
        return await _ask(context, request, "discard", request.query_params)

    @post("/activity/{activity_id:str}/stop")
    async def stop(activity_id: FromPath[str]) -> Response[Any]:
        activity = await context.operations.stop(activity_id, by=SOMEBODY)
        return Redirect(f"/activity/{activity.id}", status_code=303)

    @post("/events/{event_id:str}/try")
    async def try_at_once(event_id: FromPath[str], request: Request[Any, Any, Any]) -> Response[Any]:
        await context.operations.hasten(str((await request.form()).get("ids", event_id)), by=SOMEBODY)
        return Redirect(f"/events/{quote(event_id, safe='')}", status_code=303)

    return [try_at_once, replay, discard, ask_replay, ask_discard, stop]


async def _move(context: Context, request: Request[Any, Any, Any], verb: _Verb, form: _Fields) -> Response[Any]:
    """Ask for confirmation first, on a page of its own that the Back button reaches too; then act, once per key."""
    move, fields, back = _meant(verb, form)
    if form.get("step") == "do":
        activity = await context.operations.carry_out(move)
        # An event's own page shows its progress.
        is_of_event = back.startswith("/events/")
        to = f"{back}?did={verb}" if is_of_event else f"/activity/{activity.id}"
        return Redirect(to, status_code=303)
    asking = f"/{verb}?{urlencode(fields)}"
    if len(asking) <= _LONGEST_ADDRESS:
        return Redirect(asking, status_code=303)
    return await _ask(context, request, verb, form)


async def _ask(context: Context, request: Request[Any, Any, Any], verb: _Verb, form: _Fields) -> Response[Any]:
    """The page that shows what would be done."""
    move, fields, back = _meant(verb, form)
    found = await context.operations.preview(move)
    sample = await delivery_documents(context, found.sample)
    body = console.confirm_page(
        await framed(context, request, "dead"),
        verb=verb,
        plan={**views.preview(found), "sample": sample},
        fields=fields,
        key=secrets.token_hex(16),
        subject=selection.in_words(move.filter, move.ids),
        back=back,
    )
    return page_of(body)


def _meant(verb: _Verb, form: _Fields) -> tuple[Move, list[tuple[str, str]], str]:
    """The move that a form asks for, the fields that repeat it, and the page to go back to."""
    # An empty cause is valid: deliveries that died without a reason.
    written = {name: str(form[name]) for name in _WHICH if form.get(name) or (name == "cause" and name in form)}
    ids = () if form.get("which") == "all" else tuple(map(str, form.getall("ids", [])))
    if not ids and form.get("which") != "all":
        raise BadRequest("nothing is selected: go back and select deliveries")
    back = str(form.get("back", ""))
    move = Move(
        verb=verb,
        by=str(form.get("by", "")).strip() or SOMEBODY,
        filter=Filter(**written),
        ids=ids,
        reason=str(form.get("reason", "")),
        key=str(form.get("key", "")),
        rate=str(form.get("rate", "")) if verb == "replay" else "",
    )
    fields = [*written.items(), *(("ids", each) for each in ids), ("which", str(form.get("which", ""))), ("back", back)]
    return move, fields, _back(back, written)


def _back(event_id: str, written: Mapping[str, str]) -> str:
    if event_id:
        return f"/events/{quote(event_id, safe='')}"
    if "destination" in written:
        return f"/dead?{urlencode({name: written[name] for name in ('destination', 'cause') if name in written})}"
    return "/"


def _holds(context: Context) -> list[Any]:
    operations = context.operations

    def done(name: str, verb: str) -> Response[Any]:
        return Redirect(f"/destinations?did={verb}#d-{quote(name)}", status_code=303)

    @post("/destinations/{name:str}/pause")
    async def pause(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
        await operations.pause(name, **_hold(await request.form()))
        return done(name, "pause")

    @post("/destinations/{name:str}/mute")
    async def mute(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
        await operations.mute(name, **_hold(await request.form()))
        return done(name, "mute")

    @post("/destinations/{name:str}/resume")
    async def resume(name: FromPath[str]) -> Response[Any]:
        return done(name, await operations.resume(name, by=SOMEBODY))

    @post("/destinations/{name:str}/try")
    async def try_now(name: FromPath[str]) -> Response[Any]:
        return done(name, await operations.try_now(name, by=SOMEBODY))

    @post("/destinations/{name:str}/unmute")
    async def unmute(name: FromPath[str]) -> Response[Any]:
        await operations.unmute(name, by=SOMEBODY)
        return done(name, "unmute")

    return [pause, mute, resume, try_now, unmute]


def _hold(form: FormMultiDict) -> dict[str, Any]:
    lasting = str(form.get("for", ""))
    if lasting and not is_duration(lasting):
        raise BadRequest(f'for: "{lasting[:40]}" is not a valid duration: write 30m, 2h or 1d')
    return {
        "by": str(form.get("by", "")).strip() or SOMEBODY,
        "reason": str(form.get("reason", "")),
        "for_s": seconds(lasting) if lasting else None,
    }
