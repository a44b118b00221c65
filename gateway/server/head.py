"""What the head of a request has to say for itself: where it ends, and for whom it is."""

from collections.abc import Sequence
from typing import Final

from gateway.server import refusals
from gateway.server.refusals import Refused

_WATCHED: Final = frozenset({b"host", b"expect", b"transfer-encoding"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

Fields = Sequence[tuple[bytes, bytes]]


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
