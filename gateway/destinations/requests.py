"""Making requests: what the kinds that speak HTTP share."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.destinations.target import Parts, Target
from gateway.errors import BodyTooLarge, BuildError, Unparsable
from gateway.event import codings
from gateway.model import Event, HttpRequest

#: Characters; many servers refuse shorter urls, and our own client refuses longer ones.
LONGEST_URL: Final = 32_768

#: Fields that belong to the connection or to the framing of the body (RFC 9110, 7.6.1), so routes.yaml cannot set them.
RESERVED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def http_request(
    target: Target, parts: Parts, *, method: str, url: str, body: bytes, defaults: Mapping[str, str]
) -> HttpRequest:
    """A request with its headers; the entry's win over the destination's, and those over the defaults.

    The configuration refuses an entry's header that cannot be sent, or that auth or the gateway sets.
    """
    headers = {**defaults, **target.fixed_headers}
    headers.update((name.lower(), value) for name, value in parts.headers)
    headers["webhook-id"] = parts.delivery_id
    return HttpRequest(method=method, url=url, headers=tuple(headers.items()), body=body)


def sendable(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those of a sender's headers that can be sent on; an odd one must not hold up an event."""
    fit = ((name.lower(), value) for name, value in pairs if _TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
    return {name: value for name, value in fit if name not in RESERVED_HEADERS}


def decompressed(event: Event) -> bytes:
    """The body received, for a place that cannot say how it is compressed; BuildError if it cannot be decompressed."""
    try:
        return codings.plain(event.body)
    except (BodyTooLarge, Unparsable) as error:
        raise BuildError(f"the body received cannot be decompressed: {error}") from None


def json_bytes(value: object) -> bytes:
    """A JSON value as bytes; BuildError for what JSON or UTF-8 cannot encode."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise BuildError("the content has an unpaired surrogate, which UTF-8 cannot encode") from None
    except RecursionError:
        raise BuildError("the content is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise BuildError(f"the content is not JSON: {error}") from None
