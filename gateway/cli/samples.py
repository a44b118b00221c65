"""Sample events made fresh: the documented bytes with the current time and the requested changes."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from gateway import presets
from gateway.errors import GatewayError, Unparsable
from gateway.event.naming import Naming
from gateway.event.paths import assign
from gateway.event.payload import parse
from gateway.model import HttpRequest
from gateway.rehearsal.curl import command
from gateway.routing import Config, Source
from gateway.signatures import Request


class SourceUnclear(GatewayError):
    """There is no source of that name, or several could have sent the event."""


def sender_of(config: Config, name: str, event: str) -> Source:
    """The source ``name``; for "" the only source, or the only one with a sample ``event``. Raises SourceUnclear."""
    known = ", ".join(config.sources) or "none"
    if name and name not in config.sources:
        raise SourceUnclear(f"unknown source {name} (known: {known})")
    having = [each for each in config.sources.values() if event in presets.load(each.preset).samples]
    fitting = [config.sources[name]] if name else list(config.sources.values())
    for found in (fitting, having):
        if len(found) == 1:
            return found[0]
    raise SourceUnclear(f"several sources could have sent this event: add --source (known: {known})")


def fresh(sample: bytes, naming: Naming, now: float, changes: Sequence[str] = ()) -> bytes:
    """``sample`` as compact JSON with ``timestamp`` set to ``now``, to the microsecond so that no two are the same.

    ``changes`` are ``attrs.email=a@b.c`` or ``data.id=7``; a value that is JSON keeps its type. Raises ValueError.
    """
    try:
        payload = parse(sample)
    except Unparsable:
        if changes:
            raise ValueError("--set changes JSON, which this event is not: leave --set out") from None
        return sample
    if isinstance(payload, dict) and "timestamp" in payload:
        payload["timestamp"] = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise ValueError(f"--set {change}: write PATH=VALUE, for example attrs.email=a@b.c")
        assign(payload, naming.payload_path(path, payload), _value(text))
    return msgspec.json.encode(payload)


def curl(url: str, request: Request) -> str:
    """The command that posts a request to the source at ``url``."""
    secret = f"/{request.path_secret.decode()}" if request.path_secret else ""
    headers = tuple((name.decode(), value.decode()) for name, value in request.headers)
    return command(HttpRequest(method="POST", url=url + secret, headers=headers, body=request.body), between=" ")


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
