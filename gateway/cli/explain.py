"""``gateway explain``: what becomes of one event, entry by entry, and every request that it makes."""

import base64
import hashlib
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway import presets
from gateway.cli import check, look
from gateway.cli.samples import fresh, sender_of
from gateway.config import Config, Source, load
from gateway.config.config import Considered
from gateway.config.masks import Masks
from gateway.config.report import suggest
from gateway.errors import ConfigError, GatewayError, RenderError, printable
from gateway.facts import MISSING, iso_time, parse
from gateway.match import Explanation, Finding, Rule
from gateway.model import Event, FileAppend, HttpRequest, OutboundRequest
from gateway.rehearsal import Rehearsal, Rehearsed, rebuilt, rehearse, rehearse_event, sample, sender_headers, shown
from gateway.retry import duration, schedule

#: Characters of a value that is shown beside its clause.
_LONGEST_SEEN: Final = 120
#: Characters of a clause up to which the values beside the clauses are aligned.
_WIDEST: Final = 56


class EventRefused(GatewayError):
    """There is no such event, or it cannot be changed or played as asked."""


def explain(
    *,
    event: str,
    config: Path,
    source: str,
    changes: Sequence[str],
    as_curl: bool,
    as_json: bool,
    url: str,
    store: str,
) -> int:
    """Print why each entry takes the event or does not, and its requests; 1 when the file has problems."""
    try:
        loaded = load_for_show(config)
    except ConfigError as error:
        check.report(error)
        return 1
    rehearsal = play(loaded, event, source=source, changes=changes, url=url, store=store)
    deliveries = [_hidden(each, loaded) for each in _without_secret_vars(loaded, rehearsal)]
    entries = [_entry(each, rehearsal, loaded.masks) for each in (*rehearsal.considered, *rehearsal.told)]
    schedules = {each.destination: schedule(loaded.destinations[each.destination].retry) for each in deliveries}
    if as_json:
        click.echo(pretty(msgspec.json.encode(_document(rehearsal.event, entries, deliveries, schedules))))
    elif as_curl:
        _echo(line for each in deliveries for line in _curl(each))
    else:
        _echo(_lines(rehearsal.event, entries, deliveries, schedules))
    return 0


# --- the event ---


def load_for_show(path: Path) -> Config:
    """The configuration, with made-up values for what is not set. Raises ConfigError."""
    return load(path, environ=check.environment(path.parent / ".env"), no_env=True)


def play(config: Config, event: str, *, source: str, changes: Sequence[str], url: str, store: str) -> Rehearsal:
    """``event`` played: a sample, a JSON file, or the id of a stored event or delivery; "": the first sample."""
    if event.startswith(("evt_", "dlv_")):
        return _play_stored(config, look.stored(url=url, store=store, event_id=event), source, changes)
    is_own = source == presets.OWN or (not source and event in presets.load(presets.OWN).samples)
    sender, now = config.own if is_own else sender_of(config, source, event), time.time()
    body = _changed(_body(sender, event), sender, changes, now)
    return rehearse(config, sender, body, sender_headers(sender, body, event), now)


def _body(source: Source, event: str) -> bytes:
    samples = presets.load(source.preset).samples
    name = event or next(iter(samples), "")
    if name in samples:
        return sample(source, name)
    path = Path(name)
    try:
        if path.is_file():
            return path.read_bytes()
    except (OSError, ValueError) as error:
        raise EventRefused(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    hint = suggest(name, samples) or f"samples: {', '.join(samples)}"
    raise EventRefused(f"{name} is no sample, no file and no stored id ({hint})")


def _play_stored(config: Config, history: Mapping[str, Any], name: str, changes: Sequence[str]) -> Rehearsal:
    if name not in ("", history["source"]):
        raise EventRefused(f"{history['id']} came from {history['source']}, not from {name}: leave --source out")
    source = config.source(history["source"])
    if source is None:
        raise EventRefused(f"{history['id']} came from {history['source']}, which is no longer in routes.yaml")
    if not history["intact"]:
        raise EventRefused(f"the stored body of {history['id']} does not match its checksum: it is never sent")
    received_at = datetime.fromisoformat(history["received_at"]).timestamp()
    body = _changed(msgspec.json.encode(history["payload"]), source, changes, received_at)
    payload = parse(body)
    event = Event(
        id=history["id"],
        source=source.name,
        type=source.naming.type_of(payload, history["headers"]) if changes else history["type"],
        received_at=received_at,
        headers=history["headers"],
        body=body,
        sha256=hashlib.sha256(body).digest(),
    )
    held_back = {each["route"]: look.fired_before(each) for each in history["held_back"]}
    return rehearse_event(config, source, event, payload, held_back)


def _changed(body: bytes, source: Source, changes: Sequence[str], now: float) -> bytes:
    try:
        return fresh(body, source.naming, now, changes) if changes else body
    except ValueError as error:
        raise EventRefused(str(error)) from None


# --- without its secrets ---


def _without_secret_vars(config: Config, rehearsal: Rehearsal) -> Iterator[Rehearsed]:
    """The deliveries, built with ``***`` in place of secrets among ``vars``: no filter can make another text of them.

    One that cannot be built so, because it computes with the value, stays as it is.
    """
    sources = {
        name: replace(source, naming=replace(source.naming, vars=secretless(source.naming.vars, config.masks)))
        for name, source in {**config.sources, config.own.name: config.own}.items()
    }
    own = sources.pop(config.own.name)
    marked = rebuilt(replace(config, sources=sources, own=own), rehearsal)
    return (each if each.request else real for each, real in zip(marked, rehearsal.deliveries, strict=True))


def secretless(values: object, masks: Masks) -> Mapping[str, object]:
    """The root ``vars`` without what came from outside."""
    found = masks.value(values)
    assert isinstance(found, Mapping)
    return found


def _hidden(each: Rehearsed, config: Config) -> Rehearsed:
    if each.request is None:
        return replace(each, error=config.masks.text(each.error))
    request = shown(each.request, config.destinations[each.destination])
    return replace(each, request=_hidden_request(request, config.masks))


def _hidden_request(request: OutboundRequest, masks: Masks) -> OutboundRequest:
    match request:
        case FileAppend():
            return replace(request, path=masks.text(request.path), line=_hidden_bytes(request.line, masks))
        case HttpRequest():
            headers = tuple((name, masks.text(value)) for name, value in request.headers)
            return replace(
                request, url=masks.url(request.url), headers=headers, body=_hidden_bytes(request.body, masks)
            )


def _hidden_bytes(data: bytes, masks: Masks) -> bytes:
    return masks.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


# --- as data ---


def _document(
    event: Event,
    entries: Sequence[Mapping[str, Any]],
    deliveries: Sequence[Rehearsed],
    schedules: Mapping[str, str],
) -> Mapping[str, object]:
    return {
        "event": {
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "received_at": iso_time(event.received_at),
        },
        "entries": entries,
        "deliveries": [
            {
                "route": each.route,
                "destination": each.destination,
                "request": _request(each.request),
                "error": each.error,
                "retry": schedules[each.destination],
            }
            for each in deliveries
        ],
    }


def _request(request: OutboundRequest | None) -> Mapping[str, object] | None:
    match request:
        case HttpRequest():
            return {
                "method": request.method,
                "url": request.url,
                "headers": dict(request.headers),
                "body": _content(request.body),
            }
        case FileAppend():
            return {"file": request.path, "line": _content(request.line)}
    return None


def _content(data: bytes) -> object:
    """JSON as its value, other text as text, all else as base64."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _entry(each: Considered, rehearsal: Rehearsal, masks: Masks) -> Mapping[str, Any]:
    entry = each.entry
    return {
        "section": entry.section,
        "name": entry.name,
        "place": f"{entry.place.file}:{entry.place.line}",
        "considered": each.explanation is not None,
        "taken": each.taken,
        "ignores": not entry.deliveries,
        "ends": entry.rule.stops,
        "once": masks.text(_once(each, rehearsal)),
        "clauses": [_clause(finding, masks) for finding in _findings(each, rehearsal.event)],
    }


def _once(each: Considered, rehearsal: Rehearsal) -> str:
    """Whether a key lets it fire, in words; empty: it asks for none."""
    entry = each.entry
    if entry.once is None or not each.taken:
        return ""
    if entry.name in rehearsal.held_back:
        return rehearsal.held_back[entry.name]
    try:
        firing = entry.once.firing(entry, rehearsal.facts)
    except RenderError as error:
        return f"the key of once cannot be made, so nothing holds it back: {error}"
    if firing is None:
        return "the key of once is empty, so nothing holds it back"
    return f"fires once in {duration(firing.window_s)} for the key {firing.key}"


def _findings(each: Considered, event: Event) -> Sequence[Finding]:
    """What the entry asks; of one that is not about such events, only why not."""
    rule, explanation = each.entry.rule, each.explanation
    if explanation is None:
        return ()
    about = list(_about(rule, explanation, event))
    if not (explanation.source and explanation.type):
        return [finding for finding in about if not finding.held]
    conditions = len(rule.where)
    expression = (replace(found, text=f"if: {found.text}") for found in explanation.findings[conditions:])
    return [*about, *explanation.findings[:conditions], *expression]


def _about(rule: Rule, explanation: Explanation, event: Event) -> Iterator[Finding]:
    if rule.sources is not None:
        text = f"source: {', '.join(sorted(rule.sources))}"
        yield Finding(text=text, held=explanation.source, path=("event", "source"), seen=event.source)
    if rule.patterns is not None:
        text = f"match: {', '.join(rule.patterns)}"
        yield Finding(text=text, held=explanation.type, path=("event", "type"), seen=event.type)


def _clause(finding: Finding, masks: Masks) -> Mapping[str, Any]:
    clause: dict[str, Any] = {"text": masks.text(finding.text), "held": finding.held}
    if finding.path:
        clause["field"] = ".".join(finding.path)
        clause["missing"] = finding.seen is MISSING
        if finding.seen is not MISSING:
            clause["seen"] = masks.value(finding.seen)
    if finding.error:
        clause["error"] = masks.text(finding.error)
    if finding.inner:
        clause["inner"] = [_clause(each, masks) for each in finding.inner]
    return clause


# --- for people ---


def _echo(lines: Iterator[str]) -> None:
    # A terminal shows colours unless it was told not to; what is no terminal gets none.
    color = False if os.environ.get("NO_COLOR") else None
    for line in lines:
        click.echo(line, color=color)


def pretty(data: bytes) -> str:
    """JSON on several lines; other text as it is; nothing of it can steer the terminal."""
    try:
        text = msgspec.json.format(data, indent=2).decode()
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace")
    return "\n".join(map(printable, text.split("\n")))


def _lines(
    event: Event,
    entries: Sequence[Mapping[str, Any]],
    deliveries: Sequence[Rehearsed],
    schedules: Mapping[str, str],
) -> Iterator[str]:
    yield f"{click.style(event.type, bold=True)} from {event.source}, {event.id}"
    width = max((len(_called(entry)) for entry in entries), default=0)
    clauses = [text for entry in entries for text, _ in _clauses(entry["clauses"], 0)]
    column = max((len(text) for text in clauses if len(text) <= _WIDEST), default=0)
    section = ""
    for entry in entries:
        if entry["section"] != section:
            section = entry["section"]
            yield f"\n{section}"
        yield from _entry_lines(entry, width, column)
    yield f"\n{_how_many(deliveries)}"
    for each in deliveries:
        yield from ("", click.style(f"{each.route} > {each.destination}", bold=True), *_delivery_lines(each))
    if schedules:
        yield "\nwhat is not taken"
        width = max(map(len, schedules))
        yield from (f"  {name:<{width}}  {text}" for name, text in schedules.items())


def _called(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']} ({entry['place']})"


def _entry_lines(entry: Mapping[str, Any], width: int, column: int) -> Iterator[str]:
    mark = _mark(held=entry["taken"]) if entry["considered"] else " -  "
    clauses = list(_clauses(entry["clauses"], 0))
    head = f"  {mark} {_called(entry):<{width}}"
    if len(clauses) == 1 and not entry["taken"]:
        # Most entries are not about the event: they take a line each.
        yield f"{head}  {_clause_line(*clauses[0], column)}"
        return
    yield f"{head}  {_remark(entry)}".rstrip()
    for text, clause in clauses:
        yield f"         {_mark(held=clause['held'])} {_clause_line(text, clause, column)}"


def _clause_line(text: str, clause: Mapping[str, Any], column: int) -> str:
    return f"{printable(text):<{column}}  {_seen(clause)}".rstrip()


def _mark(*, held: bool) -> str:
    return click.style("yes", fg="green") + " " if held else click.style("no", fg="red") + "  "


def _remark(entry: Mapping[str, Any]) -> str:
    if not entry["considered"]:
        return "not looked at: an entry before it took the event"
    if not entry["taken"]:
        return ""
    if entry["ignores"]:
        return "to: [] ignores the event"
    every = [] if entry["clauses"] else ["takes every event"]
    told = ["told of the first delivery, should that be given up"] if entry["section"] == "failed" else []
    once = [printable(entry["once"])] if entry["once"] else []
    return ", ".join([*(told or every), *once, *(["stop: no entry behind it is looked at"] if entry["ends"] else [])])


def _clauses(clauses: Sequence[Mapping[str, Any]], depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each clause with its text, those inside of others behind it and further in."""
    for clause in clauses:
        yield "  " * depth + clause["text"], clause
        yield from _clauses(clause.get("inner", ()), depth + 1)


def _seen(clause: Mapping[str, Any]) -> str:
    """``attrs.type: "lead"``, ``attrs.type: missing``, or why the expression failed."""
    if "error" in clause:
        return printable(f"fails, which counts as yes: {clause['error']}")
    if "field" not in clause:
        return ""
    value = "missing" if clause["missing"] else msgspec.json.encode(clause["seen"]).decode()
    shown_value = value if len(value) <= _LONGEST_SEEN else f"{value[:_LONGEST_SEEN]}…"
    return printable(f"{clause['field']}: {shown_value}")


def _how_many(deliveries: Sequence[Rehearsed]) -> str:
    if not deliveries:
        return "Nothing is sent."
    return f"{len(deliveries)} {'delivery' if len(deliveries) == 1 else 'deliveries'}"


def _delivery_lines(each: Rehearsed) -> Iterator[str]:
    match each.request:
        case HttpRequest(body=body) as request:
            yield f"  {request.method} {printable(request.url)}"
            yield from (f"  {name}: {printable(value)}" for name, value in request.headers)
            if body:
                yield ""
        case FileAppend(line=body) as request:
            yield f"  a line in {printable(request.path)}"
        case None:
            yield click.style(f"  dead: {printable(each.error)}", fg="red")
            return
    yield from (f"  {line}" for line in pretty(body).split("\n") if body)


def _curl(each: Rehearsed) -> Iterator[str]:
    yield f"# {each.route} > {each.destination}"
    match each.request:
        case HttpRequest() as request:
            yield from _curl_command(request)
        case FileAppend(path=path):
            yield f"# a line in {printable(path)}, no request"
        case None:
            yield f"# dead: {printable(each.error)}"
    yield ""


def _curl_command(request: HttpRequest) -> Iterator[str]:
    # With --request HEAD curl would wait for a body.
    method = "--head" if request.method == "HEAD" else f"--request {request.method}"
    parts = [f"curl -sS {method} {shlex.quote(request.url)}"]
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers]
    before = ""
    if request.body:
        text = request.body.decode("utf-8", "replace")
        if all(map(_is_plain, text)):
            parts.append(f"--data-binary {shlex.quote(text)}")
        else:
            # Bytes that a terminal or a shell would change.
            before = f"printf %s {base64.b64encode(request.body).decode()} | base64 -d | "
            parts.append("--data-binary @-")
    yield before + " \\\n  ".join(parts)


def _is_plain(character: str) -> bool:
    return character == "\n" or printable(character) == character != "\N{REPLACEMENT CHARACTER}"
