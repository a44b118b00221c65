"""``gateway explain``: what happens to one event, entry by entry, and every request that it makes."""

from collections.abc import Iterator, Sequence

import click
import msgspec

from gateway.cli import entries, terminal
from gateway.cli.place import Place
from gateway.cli.play import play
from gateway.cli.terminal import echo, pretty
from gateway.destinations.retry import schedule
from gateway.model import FileAppend, HttpRequest, Mail
from gateway.rehearsal import curl, explained, showing
from gateway.rehearsal.rehearse import Asking, Rehearsal, Rehearsed
from gateway.routing import Config
from gateway.wording import count, printable


def explain(
    place: Place,
    *,
    event: str,
    source: str,
    changes: Sequence[str],
    headers: Sequence[str],
    before: Sequence[str],
    as_curl: bool,
    as_json: bool,
) -> int:
    """Print why each entry matches the event or does not, and its requests. Raises ConfigError."""
    loaded = place.loaded()
    rehearsal = play(loaded, place, event, source=source, changes=changes, headers=headers, before=before)
    if as_json:
        terminal.print_json(explained.explained(loaded, rehearsal))
    elif as_curl:
        echo(line for each in showing.requests(loaded, rehearsal) for line in _curl(each, loaded))
    else:
        echo(_lines(loaded, rehearsal))
    return 0


def _lines(config: Config, rehearsal: Rehearsal) -> Iterator[str]:
    event, deliveries = rehearsal.event, showing.requests(config, rehearsal)
    yield f"{click.style(event.type, bold=True)} from {event.source}, {event.id}"
    yield from entries.changed(explained.record_of(config, rehearsal))
    yield from (f"  follow_up: {printable(words)}" for words in explained.follow_ups(config, rehearsal))
    if misfit := event.invalid:
        why = f"{printable(misfit.path)} {printable(misfit.reason)}"
        yield f"invalid: {why}; only entries in always and invalid match it"
    yield from entries.lines(explained.entries(config, rehearsal))
    yield f"\n{_how_many(deliveries)}"
    for each in deliveries:
        token = showing.token_of(config.destinations.get(each.destination))
        yield from (
            "",
            click.style(f"{each.route} > {each.destination}", bold=True),
            *_waits(each, event.received_at),
            *_delivery_lines(each, token),
        )
    if shadows := showing.shadow_requests(config, rehearsal):
        yield f"\n{count(len(shadows), 'shadow')}: matched and rendered, not sent"
    for each in shadows:
        yield from ("", click.style(f"{each.route} > {each.destination}", bold=True), *_delivery_lines(each, ""))
    schedules = {each.destination: schedule(config.destinations[each.destination].retry) for each in deliveries}
    if schedules:
        yield "\nif a delivery fails"
        width = max(map(len, schedules))
        yield from (f"  {name:<{width}}  {text}" for name, text in schedules.items())


def _how_many(deliveries: Sequence[Rehearsed]) -> str:
    return count(len(deliveries), "delivery", "deliveries") if deliveries else "Nothing is sent."


def _waits(each: Rehearsed, now: float) -> Iterator[str]:
    if said := showing.waits(each, now):
        yield f"  {said}"


def _delivery_lines(each: Rehearsed, token: str) -> Iterator[str]:
    yield from (f"  {printable(line)}" for line in each.memory)
    for one in each.lookups:
        yield from _lookup_lines(one)
    if each.assumed:
        yield f"  then, {each.assumed}:"
    match each.request:
        case Mail() as mail:
            yield from (f"  {line}" if line else "" for line in _mail_lines(mail))
            return
        case HttpRequest(body=body) as request:
            yield f"  {request.method} {printable(request.url)}"
            yield from (f"  {name}: {printable(value)}" for name, value in request.headers)
            if token:
                yield click.style(f"  (its token {token})", dim=True)
            if body:
                yield ""
        case FileAppend(line=body) as request:
            yield f"  a line in {printable(request.path)}"
        case None:
            if each.discarded:
                yield f"  discarded: {printable(each.discarded)}"
            else:
                yield f"  not shown: {each.not_shown}" if each.not_shown else _dead(each)
            return
    yield from (f"  {line}" for line in pretty(body).split("\n") if body)


def _mail_lines(mail: Mail) -> Iterator[str]:
    """Its headers, and its text, its HTML or both."""
    try:
        said = msgspec.json.decode(mail.said, type=dict[str, str])
    except msgspec.MsgspecError:
        # Where a secret was masked that is not a part of one text.
        said = {"text": mail.said.decode("utf-8", "replace")}
    yield f"MAIL {printable(mail.url)}"
    yield from (f"{name}: {printable(said[name])}" for name in ("from", "to", "subject") if name in said)
    yield f"content-type: {mail.content_type}"
    for name, content_type in (("text", "text/plain"), ("html", "text/html")):
        if text := said.get(name):
            yield ""
            if mail.content_type not in ("text/plain", "text/html"):
                yield f"{content_type}:"
            yield from map(printable, text.rstrip().split("\n"))


def _lookup_lines(one: Asking) -> Iterator[str]:
    match one.request:
        case HttpRequest(body=body) as request:
            yield f"  fetch {one.name} from {one.destination}: {request.method} {printable(request.url)}"
            yield from (f"    {line}" for line in pretty(body).split("\n") if body)


def _dead(each: Rehearsed) -> str:
    return click.style(f"  dead: {printable(each.error)}", fg="red")


def _curl(each: Rehearsed, config: Config) -> Iterator[str]:
    yield f"# {each.route} > {each.destination}"
    for one in each.lookups:
        if isinstance(one.request, HttpRequest):
            yield f"# first, fetch {one.name} from {one.destination}"
            yield curl.command(one.request, options=[*curl.options(config.destinations[one.destination].door)])
    if each.assumed:
        yield f"# then, {each.assumed}"
    match each.request:
        case HttpRequest() as request:
            yield curl.command(request, options=[*curl.options(config.destinations[each.destination].door)])
        case Mail(recipients=recipients):
            yield f"# an e-mail to {printable(', '.join(recipients))}, no HTTP request"
        case FileAppend(path=path):
            yield f"# a line in {printable(path)}, no request"
        case None:
            why = each.not_shown or each.discarded
            yield f"# not shown: {why}" if why else f"# dead: {printable(each.error)}"
    yield ""
