"""What of a request may be a secret of its destination: in the request as it is shown, and in an answer that repeats it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.hiding.addresses import MASK, SHORTEST_SECRET, masked_url, parts_that_open
from gateway.hiding.spellings import escaped_bytes
from gateway.model import FileAppend, HttpRequest, OutboundRequest

#: Headers that are never secret; the value of any other might be.
PUBLIC_HEADERS: Final = frozenset(
    {"accept-encoding", "content-type", "host", "user-agent", "webhook-id", "x-webhook-event", "x-webhook-signature"}
)


def masked_headers(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """By lower-case name, with ``***`` for each value that might be a secret."""
    lower = ((name.lower(), value) for name, value in headers)
    return {name: value if name in PUBLIC_HEADERS else MASK for name, value in lower}


def masked_request(request: OutboundRequest, own: str, *, is_path_public: bool) -> OutboundRequest:
    """The request with ``***`` for what may be a secret of its destination, whose address is ``own``."""
    if isinstance(request, FileAppend):
        return request
    headers = tuple((name, value if name in PUBLIC_HEADERS else MASK) for name, value in request.headers)
    return replace(request, url=masked_url(request.url, own, is_path_public=is_path_public), headers=headers)


def masked_answer(body: bytes, request: HttpRequest) -> bytes:
    """The answer without the secrets of the request that it repeats: ``Cannot POST /services/T0/B0/...`` goes on record."""
    if len(body) < SHORTEST_SECRET:
        return body
    # The longest first: one secret may be a part of another.
    secrets = {unquote_to_bytes(secret) for secret in _secrets(request)}
    is_escaped = b"%" in body or b"\\" in body
    mask = MASK.encode()
    for secret in sorted(secrets, key=len, reverse=True):
        body = escaped_bytes(secret).sub(mask, body) if is_escaped else body.replace(secret, mask)
    return body


def _secrets(request: HttpRequest) -> Iterator[str]:
    values = [*request.secrets, *parts_that_open(request.url)]
    for name, value in request.headers:
        if name not in PUBLIC_HEADERS:
            values += [value, value.rpartition(" ")[2]]
    return (value for value in values if len(value) >= SHORTEST_SECRET)
