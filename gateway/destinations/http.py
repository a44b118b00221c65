"""Any URL: the destination's settings with the entry's on top."""

from urllib.parse import quote, unquote_plus

from gateway.destinations.answers import read_status
from gateway.destinations.kind import Kind
from gateway.destinations.requests import LONGEST_URL, http_request, json_bytes, sendable
from gateway.destinations.target import Pairs, Parts, Target
from gateway.errors import BuildError
from gateway.model import HttpRequest, Json, Raw, Text

_JSON = "application/json"
_BYTES = "application/octet-stream"
_BODILESS = ("GET", "HEAD", "DELETE")


def build(target: Target, parts: Parts) -> HttpRequest:
    """The request for one event; BuildError when its content or its url cannot be sent."""
    method = parts.method or target.method or "POST"
    body, defaults = content_of(method, parts)
    url = _url(target.url, parts)
    if len(url) > LONGEST_URL:
        raise BuildError(f"the request's url is {len(url):,} characters long: at most {LONGEST_URL:,} can be sent")
    return http_request(target, parts, method=method, url=url, body=body, defaults=defaults)


def _url(base: str, parts: Parts) -> str:
    # A bare "#" at the end of a url is allowed, and would swallow the path.
    address, _, own_query = base.partition("#")[0].partition("?")
    if parts.path:
        address = f"{address.rstrip('/')}/{parts.path.lstrip('/')}"
    query = _query(own_query, parts.query)
    return f"{address}?{query}" if query else address


def _query(own: str, entry: Pairs) -> str:
    replaced = {name for name, _ in entry}
    kept = [piece for piece in own.split("&") if piece and unquote_plus(piece.partition("=")[0]) not in replaced]
    return "&".join([*kept, *(f"{quote(name, safe='')}={value}" for name, value in entry)])


def content_of(method: str, parts: Parts) -> tuple[bytes, dict[str, str]]:
    """The body of a request and the headers that belong to it; BuildError for what JSON cannot encode."""
    match parts.content:
        case None:
            return _verbatim(method, parts)
        case Text(text):
            return json_bytes({"text": text}), {"content-type": _JSON}
        case Json(value):
            return json_bytes(value), {"content-type": _JSON}
        case Raw(body, content_type):
            return body, {"content-type": content_type} if body else {}


def _verbatim(method: str, parts: Parts) -> tuple[bytes, dict[str, str]]:
    """The bytes received, with what makes them verifiable; a DELETE must not carry the whole object."""
    headers = sendable(parts.verbatim_headers)
    if method in _BODILESS:
        return b"", headers
    received = parts.event.headers
    content_type = sendable([("content-type", received.get("content-type") or _BYTES)]) or {"content-type": _BYTES}
    # The bytes are as they were sent: without it nobody could read them.
    coding = {"content-encoding": received["content-encoding"]} if received.get("content-encoding") else {}
    return parts.event.body, headers | content_type | sendable(coding.items())


HTTP = Kind(
    name="http",
    title="HTTP",
    needs="``url``",
    sends=(
        '``text`` as ``{"text": ...}``, ``body`` as JSON, a template by its file\'s extension; without any of them the '
        "bytes received"
    ),
    keys=frozenset({"url", "method", "headers", "auth", "sign"}),
    shapes_request=True,
    is_path_public=True,
    build=build,
    read=read_status,
)
