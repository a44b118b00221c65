"""What of a request may be a secret of its destination, and the request without it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from gateway.hiding.addresses import MASK, masked_url, parts_that_open
from gateway.model import FileAppend, Mail, OutboundRequest

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
    if isinstance(request, Mail):
        return replace(request, login=None)
    headers = tuple((name, value if name in PUBLIC_HEADERS else MASK) for name, value in request.headers)
    return replace(request, url=masked_url(request.url, own, is_path_public=is_path_public), headers=headers)


def secret_values(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The values of headers that might be secrets, with and without a scheme such as ``Bearer``."""
    for name, value in headers:
        if name.lower() not in PUBLIC_HEADERS:
            yield from {value, value.rpartition(" ")[2]}


def secrets_of_settings(url: str, headers: Iterable[tuple[str, str]], *, is_path_public: bool) -> Iterator[str]:
    """What may be a secret in the address and the headers of a destination."""
    yield from (parts_that_open(url) if is_path_public else (url,))
    yield from secret_values(headers)
