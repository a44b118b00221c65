"""An NDJSON file on this machine: one line for each delivery."""

import base64
from datetime import UTC, datetime

import msgspec

from gateway.destinations.base import Kind, Parts, Target, json_bytes, judge_status
from gateway.errors import BuildError
from gateway.model import Event, FileAppend, Json, Raw, Text


def build(target: Target, parts: Parts) -> FileAppend:
    """``{"id", "type", "source", "received_at", "body"}`` of the event; BuildError for what JSON cannot say."""
    event = parts.event
    line = {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "received_at": _iso(event),
        "body": _body(parts),
    }
    return FileAppend(path=target.path, line=json_bytes(line))


def _iso(event: Event) -> str:
    try:
        moment = datetime.fromtimestamp(event.received_at, UTC)
    except (ValueError, OverflowError, OSError):
        raise BuildError(f"the event {event.id} has no readable time of receipt") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _body(parts: Parts) -> object:
    match parts.content:
        case None:
            return _received(parts.event.body)
        case Text(text):
            return text
        case Json(value):
            return value
        case Raw(body):
            return _readable(body)


def _received(body: bytes) -> object:
    """The bytes received as JSON, digit for digit but on one line; else as text; else as base64."""
    try:
        msgspec.json.decode(body)
        return msgspec.Raw(msgspec.json.format(body, indent=-1))
    except (ValueError, RecursionError):
        return _readable(body)


def _readable(body: bytes) -> object:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


FILE = Kind(name="file", escape="none", chat=False, shapes_request=False, build=build, judge=judge_status)
