"""An NDJSON file on this machine: one line for each delivery."""

import base64

import msgspec

from gateway.destinations.base import Kind, Parts, Target, json_bytes, read_status
from gateway.model import FileAppend, Json, Raw, Text
from gateway.wording import iso_time


def build(target: Target, parts: Parts) -> FileAppend:
    """``{"id", "type", "source", "received_at", "body"}`` of the event; BuildError for what JSON cannot say."""
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


FILE = Kind(name="file", keys=frozenset({"path"}), build=build, read=read_status)
