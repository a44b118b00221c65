"""What every store keeps of an event's headers and query, what of its body can be searched, and what attempts looked up."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from gateway.errors import BodyTooLarge, Unparsable
from gateway.event import charsets, codings
from gateway.model import Attempt, Event, Lookup, Misfit

#: The names under which the headers have the query, and why an event is invalid, which no header can have: whatever
#: removes an event's headers removes all of it.
_QUERY: Final = "?"
_INVALID: Final = ("(path)", "(reason)")


class Head(Struct, frozen=True):
    """What is kept of an event besides its names and its body."""

    headers: Mapping[str, str]
    query: str = ""
    invalid: Misfit | None = None


#: Of a head that is damaged.
NO_HEAD: Final = Head({})


def head_of(event: Event) -> bytes:
    """The headers and the query of an event, and why it is invalid, as a JSON object of texts."""
    more = {_QUERY: event.query} if event.query else {}
    if event.invalid is not None:
        more |= zip(_INVALID, (event.invalid.path, event.invalid.reason), strict=True)
    # Most events have nothing more, and their headers need no copy.
    is_whole = not more and type(event.headers) is dict
    return msgspec.json.encode(event.headers if is_whole else {**event.headers, **more})


def read_head(head: bytes | str) -> Head | None:
    """What ``head_of`` made; None: it is damaged."""
    try:
        headers = msgspec.json.decode(head, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    path, reason = (headers.pop(name, "") for name in _INVALID)
    return Head(headers, headers.pop(_QUERY, ""), Misfit(path, reason) if path else None)


def searchable(body: bytes) -> bytes:
    """A body as it is searched: decompressed, and without a BOM."""
    try:
        return codings.plain(body).removeprefix(charsets.BOM)
    except (Unparsable, BodyTooLarge):
        return body


class _LookedUp(Struct, frozen=True, array_like=True):
    """What an attempt looked up and chose, in one column."""

    lookups: tuple[Lookup, ...] = ()
    choice: int = 0


def looked_up(attempt: Attempt) -> bytes | None:
    """What an attempt looked up and chose, to be stored; None: nothing."""
    if not attempt.lookups and not attempt.choice:
        return None
    return msgspec.json.encode(_LookedUp(attempt.lookups, attempt.choice))


def as_looked_up(stored: bytes | str | None) -> tuple[tuple[Lookup, ...], int]:
    """The inverse of ``looked_up``; nothing for what the disk has damaged."""
    if stored is None:
        return (), 0
    try:
        found = msgspec.json.decode(stored, type=_LookedUp)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return (), 0
    return found.lookups, found.choice
