"""``gateway explain``: what becomes of one event, entry by entry, and every request that it makes."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from gateway import presets
from gateway.cli import check, look
from gateway.cli.samples import fresh, sender_of
from gateway.config import load
from gateway.destinations.retry import schedule
from gateway.errors import ConfigError, GatewayError
from gateway.event.payload import parse
from gateway.hiding.redaction import MASK
from gateway.model import Event, FileAppend, HttpRequest
from gateway.rehearsal import curl
from gateway.rehearsal.explained import entries, explained, in_words, requests, why_not
from gateway.rehearsal.rehearse import Rehearsal, Rehearsed, rehearse, rehearse_event, sample, sender_headers
from gateway.routing import Config, Source
from gateway.wording import count, printable, suggest

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
    if as_json:
        click.echo(pretty(msgspec.json.encode(explained(loaded, rehearsal))))
    elif as_curl:
        echo(line for each in requests(loaded, rehearsal) for line in _curl(each))
    else:
        echo(_lines(loaded, rehearsal))
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
    body_is = history.get("body_is", "kept")
    if reason := why_not(config, history["id"], history["source"], intact=history["intact"], body_is=body_is):
        raise EventRefused(reason)
    source, received_at = config.source(history["source"]), datetime.fromisoformat(history["received_at"]).timestamp()
    assert source is not None
    body = _changed(msgspec.json.encode(history["payload"]), source, changes, received_at)
    payload = parse(body)
    if source.redaction.paths and MASK.encode() in body:
        note = f"note: the routes see {MASK} here for what {source.name} redacts; the API and the console say what they saw"
        click.echo(note, err=True)
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


# --- for people ---


def echo(lines: Iterator[str]) -> None:
    """Lines on standard output."""
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


def _lines(config: Config, rehearsal: Rehearsal) -> Iterator[str]:
    event, considered, deliveries = rehearsal.event, entries(config, rehearsal), requests(config, rehearsal)
    yield f"{click.style(event.type, bold=True)} from {event.source}, {event.id}"
    yield from entry_lines(considered)
    yield f"\n{_how_many(deliveries)}"
    for each in deliveries:
        yield from ("", click.style(f"{each.route} > {each.destination}", bold=True), *_delivery_lines(each))
    schedules = {each.destination: schedule(config.destinations[each.destination].retry) for each in deliveries}
    if schedules:
        yield "\nwhat is not taken"
        width = max(map(len, schedules))
        yield from (f"  {name:<{width}}  {text}" for name, text in schedules.items())


def entry_lines(considered: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every entry of an explanation, by section, with its clauses."""
    width = max((len(_called(entry)) for entry in considered), default=0)
    clauses = [text for entry in considered for text, _ in _clauses(entry["clauses"], 0)]
    column = max((len(text) for text in clauses if len(text) <= _WIDEST), default=0)
    section = ""
    for entry in considered:
        if entry["section"] != section:
            section = entry["section"]
            yield f"\n{section}"
        yield from _entry_lines(entry, width, column)


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
    yield f"{head}  {printable(in_words(entry))}".rstrip()
    for text, clause in clauses:
        yield f"         {_mark(held=clause['held'])} {_clause_line(text, clause, column)}"


def _clause_line(text: str, clause: Mapping[str, Any], column: int) -> str:
    return f"{printable(text):<{column}}  {_seen(clause)}".rstrip()


def _mark(*, held: bool) -> str:
    return click.style("yes", fg="green") + " " if held else click.style("no", fg="red") + "  "


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
    return count(len(deliveries), "delivery", "deliveries") if deliveries else "Nothing is sent."


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
            yield f"  not shown: {each.not_shown}" if each.not_shown else _dead(each)
            return
    yield from (f"  {line}" for line in pretty(body).split("\n") if body)


def _dead(each: Rehearsed) -> str:
    return click.style(f"  dead: {printable(each.error)}", fg="red")


def _curl(each: Rehearsed) -> Iterator[str]:
    yield f"# {each.route} > {each.destination}"
    match each.request:
        case HttpRequest() as request:
            yield curl.command(request)
        case FileAppend(path=path):
            yield f"# a line in {printable(path)}, no request"
        case None:
            yield f"# not shown: {each.not_shown}" if each.not_shown else f"# dead: {printable(each.error)}"
    yield ""
