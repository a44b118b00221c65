"""Sample events made fresh: the documented bytes with the current time and the requested changes."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from gateway.cli.given import Given
from gateway.errors import GatewayError, Unparsable
from gateway.event.forms import pairs
from gateway.event.likeness import type_like
from gateway.event.naming import Naming
from gateway.event.paths import MISSING, PathRefused, assign, lookup, split_path
from gateway.event.payload import parse
from gateway.model import HttpRequest
from gateway.rehearsal.curl import command
from gateway.rehearsal.rehearse import request_of
from gateway.routing import Config, Source
from gateway.signatures import Request
from gateway.wording import few, joined, suggest

#: Samples that are listed where an event is unknown.
_MOST_SAMPLES: Final = 8


class SourceUnclear(GatewayError):
    """There is no source of that name, or the event could come from several sources, or from none."""

    exit_code = 2


def sender_of(config: Config, name: str, event: str) -> Source:
    """The source ``name``; for "" the only source, or the only one with a sample ``event``. Raises SourceUnclear."""
    known = ", ".join(config.sources) or "none"
    if name and name not in config.sources:
        raise SourceUnclear(f"unknown source {name} (known: {known})")
    having = [each for each in config.sources.values() if event in each.samples]
    fitting = [config.sources[name]] if name else list(config.sources.values())
    for found in (fitting, having):
        if len(found) == 1:
            return found[0]
    if not config.sources:
        raise SourceUnclear("routes.yaml has no source that could send it: add one")
    if not event:
        raise SourceUnclear(f"several sources have samples: name one, or add --source (known: {known})")
    if having:
        raise SourceUnclear(f"{joined([each.name for each in having])} have a sample {event}: add --source")
    if Path(event).exists():
        raise SourceUnclear(f"{event} does not say which source sends it: add --source (known: {known})")
    samples = sorted({sample for each in config.sources.values() for sample in each.samples})
    meant = type_like(event, samples)
    hint = f'did you mean "{meant}"?' if meant else f"samples: {few(samples, _MOST_SAMPLES) or 'none'}"
    raise SourceUnclear(f"{event} is neither a sample of a source nor a file  ({hint})")


def fresh(sample: bytes, naming: Naming, now: float, changes: Sequence[str] = ()) -> bytes:
    """``sample`` as another event that happens ``now``: with the current ``timestamp``, and ids that no other has.

    One without either gets the field ``gateway_sample``. JSON becomes compact, a form stays a form; of XML and text
    nothing is changed. ``changes`` are ``attrs.email=a@b.c`` or ``payload.data.id=7``; a value that is JSON keeps its type.
    Raises ValueError.
    """
    try:
        payload = parse(sample)
    except Unparsable:
        if changes:
            raise ValueError("--set changes JSON, which this event is not: leave --set out") from None
        return _fresh_form(sample, naming, now) if _FORM.fullmatch(sample) else sample
    _make_fresh(payload, naming, now)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise ValueError(f"--set {change}: write PATH=VALUE, for example attrs.email=a@b.c")
        _refuse_elsewhere(path, naming)
        assign(payload, naming.payload_path(path, payload), value_of(text))
    return msgspec.json.encode(payload)


def _refuse_elsewhere(path: str, naming: Naming) -> None:
    """As in ``set`` of a test, only a field of the event can be changed."""
    try:
        root, *rest = split_path(path)
    except PathRefused as refused:
        raise ValueError(f'--set {path}: "{path}" {refused}; {refused.hint}') from None
    homes = [*sorted(naming.shortcut_names), "payload"]
    if root not in homes or not rest or "" in rest:
        roots = sorted([*homes, "headers"])
        hint = suggest(root, roots) if rest and root not in roots else ""
        hint = hint or f"start with one of {', '.join(roots)}: {homes[0]}.{'name' if root in roots else path}"
        raise ValueError(f'--set {path}: "{path}" is not a field of the event; {hint}')


_FORM: Final = re.compile(rb"[\w.*+%-]+=[^<>{}\s]*")


def _fresh_form(sample: bytes, naming: Naming, now: float) -> bytes:
    fields = pairs(sample)
    # Of a field that is there several times the first one counts, and the others stay.
    payload: dict[str, object] = dict(reversed(fields))
    _make_fresh(payload, naming, now)
    renewed = [(name, payload.pop(name, value)) for name, value in fields]
    return urlencode([*renewed, *payload.items()]).encode()


def _make_fresh(payload: object, naming: Naming, now: float) -> None:
    """Change in place what makes each event of a request another one."""
    events = [each for path in naming.split for each in _at(payload, path)] or [payload]
    for number, event in enumerate(events):
        is_fresh = _take_new_ids(event, naming, now + number / 1e6)
        if isinstance(event, dict):
            is_fresh |= _take_time(event, now)
            if not is_fresh:
                event["gateway_sample"] = f"{now:.6f}"


def _take_time(event: dict[str, object], now: float) -> bool:
    """Whether the event has a ``timestamp`` that is now one of its own, to the microsecond."""
    match event.get("timestamp"):
        case str():
            event["timestamp"] = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
            return True
        case int(before) if not isinstance(before, bool):
            event["timestamp"] = int(now * 1000) if before > _MOST_SECONDS else int(now)
    return False


#: A number above it counts milliseconds since the epoch.
_MOST_SECONDS: Final = 100_000_000_000


def _take_new_ids(event: object, naming: Naming, now: float) -> bool:
    has_any = False
    # What also names the event stays: another type would be another sample.
    named = {path for template in naming.types for path in template.paths}
    for path in (
        path[1:] for template in naming.ids for path in template.paths if path[0] == "payload" and path not in named
    ):
        for value in _at(event, path):
            if isinstance(value, str | int) and not isinstance(value, bool):
                assign(event, path, _another(value, now))
                has_any = True
    return has_any


def _at(value: object, path: Sequence[str]) -> Sequence[object]:
    """The values at a path, in which ``*`` is every item of a list."""
    if not path:
        return [value]
    if path[0] == "*":
        return [found for each in (value if isinstance(value, list) else ()) for found in _at(each, path[1:])]
    inner = lookup(value, path[:1])
    return [] if inner is MISSING else _at(inner, path[1:])


def posted(source: Source, body: bytes, event: Given, now: float) -> Request:
    """The signed request with a ``body``, under an id of its own if the sender writes it into a header. Raises CannotSign."""
    naming = source.naming
    of_ids = {path[1] for each in (*naming.ids, *naming.labels) for path in each.paths if path[0] == "headers"}
    request = signed(source, body, event, now)

    def renewed(name: str, value: str) -> str:
        # Any other value was made for this request, and signed.
        return (
            str(_another(value, now)) if name in of_ids - event.written and value == event.headers.get(name) else value
        )

    headers = [(name, renewed(name.decode(), value.decode()).encode()) for name, value in request.headers]
    return replace(request, headers=headers)


def signed(source: Source, body: bytes, event: Given, now: float) -> Request:
    """The signed request with a ``body`` and the headers of an event. Raises CannotSign."""
    return request_of(source, body, now=now, headers=event.headers, kept=event.written)


def _another(value: str | int, now: float) -> str | int:
    """An id of the same kind that nothing has yet."""
    if isinstance(value, int) or value.isdecimal():
        return type(value)(int(now * 1e6))
    with suppress(ValueError):
        return str(uuid4()) if UUID(value) else value
    at = max(map(value.rfind, "_-:/."))
    return f"{value[: at + 1]}{token_hex(8)}"


def curl(url: str, request: Request) -> str:
    """The command that posts a request to the source at ``url``."""
    headers = tuple((name.decode(), value.decode()) for name, value in request.headers)
    sent = HttpRequest(method=request.method, url=address_of(url, request), headers=headers, body=request.body)
    return command(sent, between=" ")


def address_of(url: str, request: Request) -> str:
    """Where a request to the source at ``url`` goes, with the secrets that its sender writes into the address."""
    secret = f"/{request.path_secret.decode()}" if request.path_secret else ""
    return f"{url}{secret}" + (f"?{request.query.decode()}" if request.query else "")


def value_of(text: str) -> object:
    """A value that is JSON, or else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
