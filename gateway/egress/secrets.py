"""What of a request may not come back in an answer that goes on record."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.model import HttpRequest

#: What an answer may repeat of a request: characters from which it is masked as a possible secret.
SHORTEST_SECRET: Final = 6
SHORTEST_PATH_SECRET: Final = 16
#: Headers that are no secret; every other value might be one.
PUBLIC_HEADERS: Final = frozenset(
    {"accept-encoding", "content-type", "user-agent", "webhook-id", "x-webhook-event", "x-webhook-signature"}
)


def masked(body: bytes, request: HttpRequest) -> bytes:
    """The answer without what it repeats of the request: ``Cannot POST /services/T0/B0/...`` goes on record."""
    if len(body) < SHORTEST_SECRET:
        return body
    # The longest first: one secret may be a part of another.
    secrets = {unquote_to_bytes(secret) for secret in _secrets(request)}
    is_escaped = b"%" in body or b"\\" in body
    for secret in sorted(secrets, key=len, reverse=True):
        body = _any_spelling(secret).sub(b"***", body) if is_escaped else body.replace(secret, b"***")
    return body


@lru_cache(maxsize=256)
def _any_spelling(secret: bytes) -> re.Pattern[bytes]:
    """A secret with any of its characters percent-encoded, or escaped as in JSON: clients and servers differ in which."""
    each = (rb"(?:\\?%s|%%%02x|\\u00%02x)" % (re.escape(bytes([byte])), byte, byte) for byte in secret)
    return re.compile(b"".join(each), re.IGNORECASE)


def _secrets(request: HttpRequest) -> Iterator[str]:
    """What could be a secret: long parts of a path, values of a query, values of headers."""
    address, _, query = request.url.partition("?")
    yield from (part for part in address.split("/")[3:] if len(part) >= SHORTEST_PATH_SECRET)
    values = [piece.partition("=")[2] for piece in query.split("&")]
    for name, value in request.headers:
        if name not in PUBLIC_HEADERS:
            values += [value, value.rpartition(" ")[2]]
    yield from (value for value in values if len(value) >= SHORTEST_SECRET)
