"""An NDJSON file on this machine: one line for each delivery."""

import base64

import msgspec

from gateway.destinations.answers import read_status
from gateway.destinations.kind import Kind
from gateway.destinations.requests import decompressed, json_bytes
from gateway.destinations.target import Parts, Target
from gateway.model import FileAppend, Json, Raw, Text
from gateway.wording import iso_time


def build(target: Target, parts: Parts) -> FileAppend:
    """``{"id", "type", "source", "received_at", "body"}`` of the event.

    BuildError for what JSON cannot encode, and for a compressed body that is broken.
    """
    event = parts.event
    line = {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "received_at": iso_time(event.received_at),
        "body": _body(parts),
    }
    return FileAppend(path=target.path, line=json_bytes(line))


def _body(parts: Parts) -> object:
    match parts.content:
        case None:
            return _received(decompressed(parts.event))
        case Text(text):
            return text
        case Json(value):
            return value
        case Raw(body):
            return _readable(body)


def _received(body: bytes) -> object:
    """The bytes received: as JSON, unchanged but on one line; else as text; else as base64."""
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


FILE = Kind(
    name="file",
    title="a file",
    needs="``path``",
    sends="one line of JSON per delivery",
    keys=frozenset({"path"}),
    text_at=("body",),
    build=build,
    read=read_status,
)
