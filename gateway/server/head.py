"""What the head of a request has to say for itself: where it ends, and for whom it is."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import httptools

from gateway.server import refusals
from gateway.server.refusals import Refused

_WATCHED: Final = frozenset({b"host", b"expect", b"transfer-encoding"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

Fields = Sequence[tuple[bytes, bytes]]
#: The path as apps see it and as it was sent, and the query.
Address = tuple[str, bytes, bytes]

#: Bytes of an address that is remembered: senders post to a few.
_LONGEST_KEPT: Final = 256


_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


def scope_of(
    method: bytes,
    url: bytes,
    version: str,
    fields: Fields,
    server: tuple[str, int | None] | None,
    client: tuple[str, int] | None,
    scheme: str,
) -> dict[str, Any]:
    """The scope of a request for its app. Raises httptools' or a decoding error for a url that is none."""
    path, raw_path, query = _kept(url) if len(url) <= _LONGEST_KEPT else _parsed(url)
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": version,
        "server": server,
        "client": client,
        "scheme": scheme,
        "root_path": "",
        "headers": fields,
        "state": {},
        "method": method.decode("ascii"),
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
    }


def _parsed(url: bytes) -> Address:
    parts = httptools.parse_url(url)
    path = parts.path.decode("ascii")
    return unquote(path) if "%" in path else path, parts.path, parts.query or b""


_kept: Final = lru_cache(maxsize=512)(_parsed)


def check_head(fields: Fields, version: str) -> bool:
    """Whether the client waits for 100 Continue before it sends the body. Names are in lower case. Raises Refused."""
    if version not in ("1.1", "1.0"):
        raise Refused(refusals.VERSION)
    hosts, is_waiting = 0, False
    for name, value in fields:
        if name not in _WATCHED:
            continue
        if name == b"host":
            hosts += 1
        elif name == b"expect":
            is_waiting = value.lower() == b"100-continue"
        elif value.strip().lower() != b"chunked" or version == "1.0":
            raise Refused(refusals.ENCODING)
    if hosts != 1 and (hosts or version == "1.1"):
        raise Refused(refusals.HOST)
    return is_waiting


def framing_of(fields: Fields) -> bytes:
    """A head that says no more than where the body ends."""
    lines = [name + b": " + value for name, value in fields if name in _FRAMING]
    return b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""])
