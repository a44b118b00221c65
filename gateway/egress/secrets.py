"""What of a request may not come back in an answer that goes on record."""

from collections.abc import Iterator
from typing import Final

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
    for secret in sorted(_secrets(request), key=len, reverse=True):
        body = body.replace(secret.encode(), b"***")
    return body


def _secrets(request: HttpRequest) -> Iterator[str]:
    """What could be a secret: long parts of a path, values of a query, values of headers."""
    address, _, query = request.url.partition("?")
    yield from (part for part in address.split("/")[3:] if len(part) >= SHORTEST_PATH_SECRET)
    values = [piece.partition("=")[2] for piece in query.split("&")]
    for name, value in request.headers:
        if name not in PUBLIC_HEADERS:
            values += [value, value.rpartition(" ")[2]]
    yield from (value for value in values if len(value) >= SHORTEST_SECRET)
