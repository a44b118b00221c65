"""Any URL: the destination's request with the entry's on top."""

from urllib.parse import quote, unquote_plus

from gateway.destinations.base import (
    Kind,
    Pairs,
    Parts,
    Target,
    http_request,
    is_header_value,
    json_bytes,
    judge_status,
    sendable,
)
from gateway.errors import BuildError
from gateway.model import HttpRequest, Json, Raw, Text

_JSON = "application/json"
_BYTES = "application/octet-stream"
_BODILESS = ("GET", "HEAD", "DELETE")


def build(target: Target, parts: Parts) -> HttpRequest:
    """The request for one event; BuildError when its content, path or a header cannot be sent."""
    method = (parts.method or target.method or "POST").upper()
    body, defaults = _content(method, parts)
    url = _url(target.url, parts)
    return http_request(target, parts, method=method, url=url, body=body, defaults=defaults)


def _url(base: str, parts: Parts) -> str:
    without_fragment, _, _ = base.partition("#")
    address, _, own_query = without_fragment.partition("?")
    if parts.path:
        # A template's path arrives encoded; what is left of these two would start a query or a fragment.
        path = parts.path.replace("?", "%3F").replace("#", "%23")
        address = f"{address.rstrip('/')}/{path.lstrip('/')}"
    query = _query(own_query, parts.query)
    return f"{address}?{query}" if query else address


def _query(own: str, entry: Pairs) -> str:
    replaced = {name for name, _ in entry}
    kept = [piece for piece in own.split("&") if piece and unquote_plus(piece.partition("=")[0]) not in replaced]
    try:
        return "&".join([*kept, *(f"{quote(name, safe='')}={value}" for name, value in entry)])
    except UnicodeEncodeError:
        raise BuildError("a name in query holds half a character (a lone surrogate)") from None


def _content(method: str, parts: Parts) -> tuple[bytes, dict[str, str]]:
    match parts.content:
        case None:
            return _verbatim(method, parts)
        case Text(text):
            return json_bytes({"text": text}), {"content-type": _JSON}
        case Json(value):
            return json_bytes(value), {"content-type": _JSON}
        case Raw(body, content_type, headers):
            return body, dict(sendable(headers)) | _typed(content_type if body else "")


def _verbatim(method: str, parts: Parts) -> tuple[bytes, dict[str, str]]:
    """The bytes received, with what makes them verifiable; a DELETE must not ship the whole object."""
    headers = dict(sendable(parts.verbatim_headers))
    if method in _BODILESS:
        return b"", headers
    return parts.event.body, headers | _typed(parts.event.headers.get("content-type") or _BYTES)


def _typed(content_type: str) -> dict[str, str]:
    """A content type as a header; bytes of none that could be sent are just bytes."""
    if not content_type:
        return {}
    return {"content-type": content_type if is_header_value(content_type) else _BYTES}


HTTP = Kind(name="http", escape="none", chat=False, shapes_request=True, build=build, judge=judge_status)
