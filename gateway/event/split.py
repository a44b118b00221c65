"""A request that holds several events: the exact bytes of each, and of the rest of the request, its envelope."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from gateway.errors import Unparsable
from gateway.event import charsets
from gateway.event.payload import ENVELOPE, JSON, checked_skeleton, kind_of, parse

#: Events in one request.
MAX_ITEMS: Final = 1000
#: Bytes of an envelope. Each event of a request has a copy: what is larger is left out, the largest members first.
MAX_ENVELOPE: Final = 4096

_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
#: In an envelope: where the event was.
_HERE: Final = msgspec.Raw(b"null")
#: Content types of one JSON value per line.
_LINES: Final = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "application/jsonlines",
    }
)
_SEVERAL: Final = re.compile(rb"\}[ \t\r]*\n\s*\{")


class Piece(NamedTuple):
    """One event of a request. A tuple, since a request has up to a thousand."""

    #: Its exact bytes.
    body: bytes
    #: JSON: the request with every list on the way to the event replaced by its element, and with null for the event.
    envelope: str


def pieces(body: bytes, paths: Sequence[Sequence[str]], content_type: str = JSON) -> list[Piece]:
    """Each event in a body that holds several, in order: on lines, or at ``paths``, whose ``*`` is every element of a list.

    Empty if the body is one event. Raises Unparsable for an item that is not an object, and for too many.
    """
    found = [piece for line in lines(body, content_type) for piece in _parts(line, paths) or [Piece(line, "null")]]
    found = found or _parts(body, paths)
    if len(found) > MAX_ITEMS:
        raise Unparsable(f"the body holds {len(found)} events: at most {MAX_ITEMS} are accepted at once")
    for at, piece in enumerate(found, start=1):
        if not piece.body.lstrip().startswith(b"{"):
            raise Unparsable(f"item {at} of {len(found)} is not an object; none of them was stored")
    return found


def lines(body: bytes, content_type: str) -> list[bytes]:
    """The lines of a body that has one JSON object on each (NDJSON), without empty ones; none if it is anything else.

    The content type decides what a broken line means, not whether there are lines: no signature covers it.
    """
    if content_type == JSON or (kind := kind_of(content_type)) == JSON:
        return []
    is_declared = kind in _LINES
    if not is_declared and not (body.lstrip()[:1] == b"{" and _SEVERAL.search(body)):
        return []
    found = [line for line in body.removeprefix(charsets.BOM).splitlines() if line.strip()]
    if len(found) < 2 or not (is_declared or all(map(_is_object, found))):
        return []
    return found


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse(line), dict)
    except Unparsable:
        return False


def parsed(piece: Piece, at: int, count: int) -> object:
    """The payload of one of the events. Raises Unparsable, which says which of them."""
    try:
        payload = parse(piece.body)
    except Unparsable as error:
        raise Unparsable(f"item {at + 1} of {count}: {error}") from None
    if not isinstance(payload, dict):
        raise Unparsable(f"item {at + 1} of {count} is not an object; none of them was stored")
    return payload


def envelope_of(headers: Mapping[str, str]) -> Mapping[str, object]:
    """The rest of the request that an event was split from, for rules and templates; empty if it was not split."""
    text = headers.get(ENVELOPE)
    return _NO_ENVELOPE if text is None else _read(text)


_NO_ENVELOPE: Final[Mapping[str, object]] = {}


@lru_cache(maxsize=256)
def _read(text: str) -> Mapping[str, object]:
    """Read once for all events of a request."""
    try:
        envelope = parse(text.encode("utf-8", "replace"))
    except Unparsable:
        # Masked, or of a sender that is not quite JSON there.
        return {}
    return envelope if isinstance(envelope, dict) else {}


def _parts(body: bytes, paths: Sequence[Sequence[str]]) -> list[Piece]:
    return [piece for path in paths for piece in _pieces(body, path)]


def _pieces(body: bytes, path: Sequence[str]) -> list[Piece]:
    try:
        checked_skeleton(body)
        return list(_with_texts(_walk(msgspec.Raw(body), path)))
    except (Unparsable, msgspec.MsgspecError, UnicodeError, RecursionError):
        return []


def _with_texts(found: Iterator[tuple[msgspec.Raw, msgspec.Raw]]) -> Iterator[Piece]:
    last, text = None, ""
    for item, rest in found:
        if rest is not last:
            last, text = rest, bytes(rest).decode("utf-8", "replace")
        yield Piece(bytes(item), text)


def _walk(value: msgspec.Raw, path: Sequence[str]) -> Iterator[tuple[msgspec.Raw, msgspec.Raw]]:
    """What is at ``path``, each with the rest of ``value``."""
    if not path:
        yield value, _HERE
        return
    segment, *below = path
    if segment == "*":
        for each in _items(value):
            yield from _walk(each, below)
        return
    members = _members(value)
    if segment not in members:
        return
    inner = rest = _HERE
    small: Mapping[str, msgspec.Raw] | None = None
    for item, left in _walk(members[segment], below):
        if small is None or left is not inner:
            # The events of one list share what is around it.
            inner, small = left, _small(members, segment, left)
            rest = msgspec.Raw(_encode(small))
        yield item, rest


def _small(members: Mapping[str, msgspec.Raw], path: str, left: msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """Those members that fit into an envelope, the one on the path first."""
    room, kept = MAX_ENVELOPE - len(bytes(left)) - len(path) - 6, {path}
    for name in sorted(members.keys() - kept, key=lambda name: len(bytes(members[name]))):
        room -= len(bytes(members[name])) + len(name.encode("utf-8", "replace")) * 2 + 6
        if room < 0:
            break
        kept.add(name)
    return {name: left if name == path else value for name, value in members.items() if name in kept}
