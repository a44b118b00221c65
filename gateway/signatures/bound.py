"""What of a request its signature binds.

Anyone who has seen one request can send it again with everything else changed. So only what is bound can tell whether two
requests are the same event.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.errors import Unparsable
from gateway.event.paths import unassign
from gateway.event.payload import parse
from gateway.signatures.message import BODIES, parts, uses
from gateway.signatures.request import RawHeaders, Reading, Request, Stop, readable, signed_form, with_plain_signs
from gateway.signatures.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Bound:
    """What every scheme of a source binds: a request needs to satisfy only one of them.

    Where the secret itself is in each request, or there is none, no part of a request is more trustworthy than another:
    all of it counts as bound.
    """

    schemes: tuple[Scheme, ...]
    #: The source's address as the sender has it.
    public_url: str = ""
    _signing: tuple[Scheme, ...] = field(init=False, repr=False, compare=False)
    #: Whether the body's own hash is the digest of every request.
    _is_plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        is_signed = all(scheme.signs for scheme in self.schemes)
        signing = self.schemes if is_signed else ()
        object.__setattr__(self, "_signing", signing)
        object.__setattr__(self, "_is_plain", all(map(_is_plain, signing)))

    @property
    def is_signed(self) -> bool:
        """Whether a signature binds anything."""
        return bool(self._signing)

    def covers(self, path: Sequence[str]) -> bool:
        """Whether nobody but the sender can choose the value at ``headers...``, ``query...``, ``payload...`` or ``envelope...``."""
        if path[0] == "query":
            return all(uses(scheme.signature.signed) & self._with_query for scheme in self._signing)
        return all(_covers(scheme, path) for scheme in self._signing)

    @property
    def _with_query(self) -> frozenset[str]:
        """The parts of a signed text that hold the query: an address with one of its own is signed as it is."""
        return frozenset({"query"} if "?" in self.public_url else {"query", "url", "uri"})

    def payload(self, content: bytes, payload: object) -> object:
        """The payload to read an id from. If it is signed it depends on the body alone: no signature covers a content type.

        ``content`` is the body decompressed.
        """
        if not self._signing:
            return payload
        try:
            return readable(content)
        except Unparsable:
            return None

    def digest(self, headers: RawHeaders, body: bytes, query: bytes, sha256: bytes, content: bytes) -> bytes:
        """A SHA-256 of the signed content without the time of its signature: the same for a request that is sent again.

        It is the body's own, which is given, unless a scheme signs more than the body or not all of its bytes.
        """
        if self._is_plain:
            return sha256
        if not self.covers(("query",)):
            query = b""
        if any("uri" in uses(each.signature.signed) for each in self._signing):
            # However its signs are sent, the signature is the same.
            query = with_plain_signs(query)
        signed = _signed(self._signing[0], headers, body, content)
        if not query and signed == body:
            return sha256
        if not query and signed is content:
            return hashlib.sha256(content).digest()
        return hashlib.sha256(b"signed\0%d\0%s%s" % (len(query), query, signed)).digest()


def _covers(scheme: Scheme, path: Sequence[str]) -> bool:
    signed, stamp = parts(scheme.signature.signed), scheme.timestamp
    used = uses(scheme.signature.signed)
    root, name = path[0], ".".join(path[1:])
    if root in ("payload", "envelope"):
        # Of a form only the whole is covered: it is signed without what divides its fields, and a=bc looks like ab=c.
        return (
            bool(used & BODIES)
            or (root == "payload" and (_signs(signed, "payload", name) or name in _lines(signed)))
            or ("timestamp" in used and stamp is not None and stamp.payload == name)
        )
    name = name.lower()
    return (
        _signs(signed, "header", name)
        or ("id" in used and scheme.id_header == name)
        or ("timestamp" in used and stamp is not None and stamp.header == name)
    )


def _signs(signed: Sequence[str | tuple[str, str]], kind: str, name: str) -> bool:
    return any(
        part[0] == kind and part[1].removesuffix("?").lower() == name.lower()
        for part in signed
        if isinstance(part, tuple)
    )


def _lines(signed: Sequence[str | tuple[str, str]]) -> Sequence[str]:
    return [name for part in signed if part[0] == "lines" for name in part[1].split(",")]


def _is_plain(scheme: Scheme) -> bool:
    used = uses(scheme.signature.signed)
    return "body" in used and not used & {"query", "url", "uri"} and not (scheme.timestamp and scheme.timestamp.payload)


def _signed(scheme: Scheme, headers: RawHeaders, body: bytes, content: bytes) -> bytes:
    """What a scheme signs of a request without the time of its signature; ``content`` is the body decompressed."""
    used = uses(scheme.signature.signed)
    try:
        if "form" in used:
            return signed_form(content)
        if not used & BODIES:
            return _own_parts(scheme, Request(headers=headers, body=body, unpacked=content)) or body
        if scheme.timestamp and scheme.timestamp.payload:
            return _without(content, scheme.timestamp.payload.split("."))
    except (Stop, Unparsable, ValueError):
        # It would not have been accepted.
        return body
    return content if "content" in used else body


def _own_parts(scheme: Scheme, request: Request) -> bytes:
    """The fields and headers of the request as they are in the signed text, each with its length; empty without any."""
    stamp = scheme.timestamp
    times = {("payload", stamp.payload), ("header", stamp.header)} if stamp else set()
    own = [
        (field, scheme.id_header) if field == "id" else (field, name.lower() if field == "header" else name)
        for field, name in (part for part in parts(scheme.signature.signed) if not isinstance(part, str))
        if field in _OWN
    ]
    reading = Reading(request, aliases=scheme.raw_aliases)
    texts = [_OWN[field](reading, name) for field, name in own if (field, name) not in times]
    # Without the time between them nothing else would show where one ends.
    return b"".join(b"%d:%s" % (len(text), text) for text in texts)


#: The parts of a signed text that are a part of the request, by what they are.
_OWN: Final[Mapping[str, Callable[[Reading, str], bytes]]] = {
    "id": lambda reading, name: reading.header(name.encode()),
    "header": lambda reading, name: reading.header(name.encode()),
    "payload": lambda reading, name: reading.payload(name.split(".")),
    "lines": lambda reading, names: reading.lines(names.split(",")),
    "crc32": lambda reading, _: b"%d" % zlib.crc32(reading.request.body),
}


def _without(body: bytes, path: Sequence[str]) -> bytes:
    payload = parse(body)
    unassign(payload, path)
    return msgspec.json.encode(payload, order="sorted")


#: Of a source whose requests are not signed.
OPEN: Final = Bound(())
