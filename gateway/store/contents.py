"""What every store keeps of an event's headers and query, and what of its body can be searched."""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.errors import BodyTooLarge, Unparsable
from gateway.event import charsets, codings
from gateway.model import Event

#: The name under which the headers have the query, which no header can have: whatever removes an event's headers
#: removes both.
_QUERY: Final = "?"


def head_of(event: Event) -> bytes:
    """The headers and the query of an event, as a JSON object of texts."""
    if event.query:
        return msgspec.json.encode({**event.headers, _QUERY: event.query})
    return msgspec.json.encode(event.headers if type(event.headers) is dict else dict(event.headers))


def read_head(head: bytes | str) -> tuple[Mapping[str, str], str] | None:
    """Headers and query; None: it is damaged."""
    try:
        headers = msgspec.json.decode(head, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return headers, headers.pop(_QUERY, "")


def searchable(body: bytes) -> bytes:
    """A body as it is searched: decompressed, and without a BOM."""
    try:
        return codings.plain(body).removeprefix(charsets.BOM)
    except (Unparsable, BodyTooLarge):
        return body
