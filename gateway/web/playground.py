"""The playground: an event and an entry side by side, and what the one makes of the other."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import FormMultiDict

from gateway import console
from gateway.destinations import KINDS
from gateway.errors import BadRequest, BuildError, ConfigError, NothingChosen, UnknownName
from gateway.model import Event
from gateway.operate import playground, views
from gateway.operate.playground import Draft
from gateway.routing import Config
from gateway.web.context import Context
from gateway.web.documents import history_of
from gateway.web.frame import SOMEBODY, framed, page_of
from gateway.wording import printable

PATH: Final = "/playground"
#: The types that a message can be shown as.
CHATS: Final = tuple(name for name, kind in KINDS.items() if kind.needs_text)
#: Fields of a draft.
_FIELDS: Final = tuple(each.name for each in msgspec.structs.fields(Draft))


def handlers(context: Context) -> list[Any]:
    """The page, what it shows of a draft, and its one way to send."""
    # A file takes its time to compile, and nobody needs two at a time.
    one_at_a_time = asyncio.Lock()

    async def shown(request: Request[Any, Any, Any], draft: Draft, **more: Any) -> Response[Any]:
        async with one_at_a_time:
            found = await asyncio.to_thread(playground.played, context.gateway.config, draft, context.gateway.clock())
        shell = await framed(context, request, "playground")
        config = context.gateway.config
        kinds = {name: each.kind.name for name, each in config.destinations.items()}
        if draft.kind:
            kinds = dict.fromkeys(kinds, draft.kind)
        body = await asyncio.to_thread(
            console.playground_page,
            shell,
            draft=msgspec.structs.asdict(draft),
            found=found,
            kinds=kinds,
            choices=_choices(config),
            **more,
        )
        return page_of(body)

    @get(PATH)
    async def opened(request: Request[Any, Any, Any]) -> Response[Any]:
        draft, loaded = await _loaded(context, dict(request.query_params))
        return await shown(request, draft, loaded=loaded)

    @post(PATH, status_code=200)
    async def tried(request: Request[Any, Any, Any]) -> Response[Any]:
        form = await request.form()
        return await shown(request, _draft(form), loaded=_kept(form))

    @post(f"{PATH}/send", status_code=200)
    async def sent(request: Request[Any, Any, Any]) -> Response[Any]:
        form = await request.form()
        draft, (route, destination) = _draft(form), _chosen(form)
        if form.get("step") != "do":
            return await shown(request, draft, loaded=_kept(form), asked={"route": route, "destination": destination})
        by = str(form.get("by", "")).strip()[:60] or SOMEBODY
        try:
            answered = await playground.send(context.gateway, draft, route=route, destination=destination, by=by)
        except (BuildError, ConfigError, NothingChosen) as error:
            raise BadRequest(f"nothing was sent: {context.gateway.config.masks.text(str(error))}") from None
        return await shown(request, draft, loaded=_kept(form), answered=answered)

    return [opened, tried, sent]


def _draft(form: FormMultiDict) -> Draft:
    # A form ends every line in two characters.
    return Draft(**{name: str(form.get(name, "")).replace("\r\n", "\n") for name in _FIELDS})


def _chosen(form: FormMultiDict) -> tuple[str, str]:
    """The route and the destination of the delivery to send."""
    route, _, destination = str(form.get("delivery", "")).partition("\n")
    if not destination:
        raise BadRequest("nothing is selected: press Send at one of the messages")
    return route.strip(), destination.strip()


def _kept(form: FormMultiDict) -> dict[str, str]:
    """What was loaded, for the fields that load it again."""
    return {name: str(form.get(f"loaded_{name}", "")) for name in ("sample", "event", "route")}


def _choices(config: Config) -> dict[str, Any]:
    return {
        "samples": playground.samples(config),
        "routes": list(config.entries),
        "templates": sorted(config.trials.templates),
        "kinds": {name: KINDS[name].title for name in CHATS},
        "destinations": list(config.destinations),
    }


async def _loaded(context: Context, asked: Mapping[str, str]) -> tuple[Draft, dict[str, str]]:
    """A sample or a stored event, with an entry of the file. Raises UnknownName, BadRequest."""
    config = context.gateway.config
    route = asked.get("route", "")
    entry = _entry_text(config, route)
    template = asked.get("template", "") or _template_of(config, entry)
    text = config.masks.text(config.trials.templates.get(template, ""))
    loaded = {"sample": "", "event": "", "route": route}
    more = {"entry": entry, "template": template if text else "", "template_text": text, "kind": asked.get("kind", "")}
    if event_id := asked.get("event", "").strip():
        event, payload, headers = await _stored(context, event_id)
        loaded["event"] = event.id
        return Draft(source=event.source, payload=payload, headers=headers, **more), loaded
    source, sample = _sample(config, asked.get("sample", ""))
    loaded["sample"] = f"{source}/{sample}" if sample else ""
    payload, headers = _of_sample(config, source, sample)
    return Draft(source=source, payload=payload, headers=headers, **more), loaded


def _sample(config: Config, asked: str) -> tuple[str, str]:
    """Source and name of a sample: the first one if none is named. Raises UnknownName."""
    source, _, name = asked.partition("/")
    if asked and name not in (config.sources[source].samples if source in config.sources else ()):
        raise UnknownName(f"no sample {printable(asked[:100])}: see gateway sources")
    if asked:
        return source, name
    for each in config.sources.values():
        usual = "contact.created" if "contact.created" in each.samples else next(iter(sorted(each.samples)), "")
        if usual:
            return each.name, usual
    return next(iter(config.sources), ""), ""


def _of_sample(config: Config, source: str, name: str) -> tuple[str, str]:
    if not name:
        return "{}", ""
    known = config.sources[source]
    headers = known.sample_headers.get(name, {})
    return known.samples[name].decode("utf-8", "replace"), _lines(headers)


async def _stored(context: Context, event_id: str) -> tuple[Event, str, str]:
    """A stored event with body and headers as they may be shown: nothing that is redacted gets here."""
    history = await history_of(context, event_id)
    if any(each.crashes for each in history.deliveries):
        raise BadRequest(f"the gateway died while it worked on {history.event.id}: run gateway explain, which is apart")
    shown = await asyncio.to_thread(views.event_history, history, context.gateway.config.redaction(history.event))
    headers = {name: value for name, value in shown["headers"].items() if name != "content-type"}
    if isinstance(shown["payload"], str):
        return history.event, shown["payload"], _lines(shown["headers"])
    body = msgspec.json.format(msgspec.json.encode(shown["payload"]), indent=2).decode()
    return history.event, body, _lines({"content-type": "application/json", **headers})


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in headers.items())


def _entry_text(config: Config, route: str) -> str:
    """An entry as it is written in the file, without its secrets. Raises UnknownName."""
    if not route:
        return ""
    entry = config.entries.get(route)
    if entry is None:
        raise UnknownName(f"no route {printable(route[:100])} in routes.yaml")
    return config.trials.written(entry.place, config.masks)


def _template_of(config: Config, entry: str) -> str:
    """The template file that an entry names."""
    return next((name for name in config.trials.templates if name in entry), "")
