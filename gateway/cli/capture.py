"""``gateway capture``: the next real event of a source becomes a sample."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from gateway.cli import tail, terminal
from gateway.cli.given import body_as_json
from gateway.cli.place import Place
from gateway.config.samples import REQUEST
from gateway.errors import GatewayError
from gateway.event.paths import MISSING, as_written, lookup
from gateway.event.payload import FORM, kind_of, parse_body
from gateway.hiding.redaction import MASK
from gateway.operate.selection import Filter
from gateway.rehearsal.as_test import sent_headers
from gateway.routing import Config, Source
from gateway.wording import suggest_or_list

#: What is in the way of a path, or hides the file.
_AWKWARD: Final = frozenset({"", ".", ".."})


class CannotCapture(GatewayError):
    """There is no such source, or its event cannot become a sample."""

    exit_code = 2


def capture(place: Place, *, name: str, last: bool, force: bool, as_json: bool) -> int:
    """Write the next event of a source, or its ``last`` one, into its folder of samples. Raises CannotCapture."""
    source = _source(place.loaded(), name)
    found = (
        place.ask(lambda asked: asked.events(Filter(source=name), limit=1)["events"]) if last else _next(place, name)
    )
    if not found:
        raise CannotCapture(f"there is no event of {name} yet: leave --last out to wait for one")
    event = place.ask(lambda asked: asked.event(found[0]["id"]))
    if event["body_is"] != "kept" or not event["intact"]:
        raise CannotCapture(f"the body of {event['id']} is not kept as it came")
    body, hidden = _body(source, event)
    file = _file(place.config.parent, source, event["type"])
    if file.exists() and not force:
        raise CannotCapture(f"{file} exists already: add --force to replace it")
    headers = {each: value for each, value in sent_headers(source, event["headers"]).items() if value != MASK}
    query = f"?{urlencode(event['query'])}" if event["query"] else ""
    written = {
        "method": source.first_method,
        "url": f"https://gateway.example{source.path}{query}",
        "headers": [[each, value] for each, value in headers.items()],
        **body_as_json(body),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{json.dumps(written, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
    _report(place, source, event, file, hidden, as_json=as_json)
    return 0


def _source(config: Config, name: str) -> Source:
    if name not in config.sources:
        raise CannotCapture(f"unknown source {name} ({suggest_or_list(name, config.sources)})")
    source = config.sources[name]
    if source.naming.split:
        raise CannotCapture(
            f"a request of {name} holds several events, which are stored one by one: save a whole request of its sender "
            f"in the folder of its samples"
        )
    return source


def _next(place: Place, name: str) -> Sequence[Mapping[str, Any]]:
    terminal.note(f"waiting for the next event of {name}; Ctrl-C stops")
    seen = tail.Seen()
    for row in tail.rows(place, Filter(source=name), 0, seen):
        news = seen.news(row)
        if news is not None and news["what"] == "event":
            return [news]
    return ()


def _body(source: Source, event: Mapping[str, Any]) -> tuple[bytes, Sequence[str]]:
    """The body without redacted values, and the paths where others stand for them."""
    payload, documented = event["payload"], _documented(source, event["type"])
    hidden = [] if payload == MASK else list(_masked(payload, ()))
    for path in hidden:
        stand_in = lookup(documented, path)
        if stand_in is not MISSING and not isinstance(stand_in, dict | list):
            _put(payload, path, stand_in)
    if isinstance(payload, str):
        return payload.encode(), [MASK] if payload == MASK else []
    if kind_of(event["headers"].get("content-type", "")) == FORM and _is_flat(payload):
        return urlencode(payload, doseq=True).encode(), [as_written(path) for path in hidden]
    return json.dumps(payload, ensure_ascii=False).encode(), [as_written(path) for path in hidden]


def _documented(source: Source, event_type: str) -> object:
    body = source.samples.get(event_type, b"")
    try:
        return parse_body(body, source.sample_headers.get(event_type, {}).get("content-type", ""))
    except GatewayError:
        return {}


def _masked(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if value == MASK:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from _masked(each, (*path, str(name)))


def _put(payload: Any, path: tuple[str, ...], value: object) -> None:
    *before, last = path
    place = lookup(payload, before)
    if isinstance(place, list):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value


def _is_flat(payload: object) -> bool:
    return isinstance(payload, dict) and all(
        isinstance(each, str) or (isinstance(each, list) and all(isinstance(one, str) for one in each))
        for each in payload.values()
    )


def _file(folder: Path, source: Source, event_type: str) -> Path:
    """``samples/github/push.request.json``, in a folder of its own for each part of a type."""
    parts = ["_" if each in _AWKWARD else each.replace("\\", "_") for each in event_type.split("/")]
    return folder / (source.samples_folder or f"samples/{source.name}") / f"{'/'.join(parts)}{REQUEST}"


def _report(
    place: Place, source: Source, event: Mapping[str, Any], file: Path, hidden: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        terminal.print_json({"file": str(file), "event": event["id"], "type": event["type"], "redacted": list(hidden)})
        return
    terminal.say(f"{event['type']} ({event['id']}) saved as sample {file}")
    if hidden:
        terminal.say(f"redacted, with other values in their place: {', '.join(hidden)}")
    elif not source.redaction.paths:
        terminal.say("it may contain personal data; to mask it, add redact: [attrs.email] to the source")
    if not source.samples_folder:
        terminal.say(f"add to the source {source.name} in {place.config}: samples: samples/{source.name}")
    terminal.say(f"then: gateway explain {event['type']} --source {source.name}")
