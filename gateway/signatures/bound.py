"""What of a request its signature binds.

Anyone who has seen one request can send it again with everything else changed. So only what is bound can tell whether two
requests are the same event.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.errors import Unparsable
from gateway.event.paths import lookup, unassign
from gateway.event.payload import parse
from gateway.signatures.message import parts, uses
from gateway.signatures.request import Stop, readable, signed_form, with_plain_signs
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

    def covers(self, path: Sequence[str]) -> bool:
        """Whether nobody but the sender can choose the value at ``headers...``, ``payload...`` or ``envelope...``."""
        return all(_covers(scheme, path) for scheme in self._signing)

    def payload(self, body: bytes, payload: object) -> object:
        """The payload to read an id from. If it is signed it depends on the body alone: no signature covers a content type."""
        if not self._signing:
            return payload
        try:
            return readable(body)
        except Unparsable:
            return None

    def digest(self, body: bytes, query: bytes, sha256: bytes) -> bytes:
        """A SHA-256 of the signed content without the time of its signature: the same for a request that is sent again.

        It is the body's own, which is given, unless a scheme signs more than the body or not all of its bytes.
        """
        if self._is_plain:
            return sha256
        content = _content(self._signing[0], body)
        # An address with a query of its own is signed as it is.
        signed = {"query"} if "?" in self.public_url else {"query", "url", "uri"}
        if not all(uses(each.signature.signed) & signed for each in self._signing):
            query = b""
        if any("uri" in uses(each.signature.signed) for each in self._signing):
            # However its signs are sent, the signature is the same.
            query = with_plain_signs(query)
        if not query and content == body:
            return sha256
        return hashlib.sha256(b"signed\0%d\0%s%s" % (len(query), query, content)).digest()


def _covers(scheme: Scheme, path: Sequence[str]) -> bool:
    signed, stamp = parts(scheme.signature.signed), scheme.timestamp
    used = uses(scheme.signature.signed)
    root, name = path[0], ".".join(path[1:])
    if root in ("payload", "envelope"):
        # Of a form only the whole is covered: it is signed without what divides its fields, and a=bc looks like ab=c.
        return (
            "body" in used
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
    return any(part[0] == kind and part[1].lower() == name.lower() for part in signed if isinstance(part, tuple))


def _lines(signed: Sequence[str | tuple[str, str]]) -> Sequence[str]:
    return [name for part in signed if part[0] == "lines" for name in part[1].split(",")]


def _is_plain(scheme: Scheme) -> bool:
    used = uses(scheme.signature.signed)
    return "body" in used and not used & {"query", "url", "uri"} and not (scheme.timestamp and scheme.timestamp.payload)


def _content(scheme: Scheme, body: bytes) -> bytes:
    used = uses(scheme.signature.signed)
    try:
        if "form" in used:
            return signed_form(body)
        if "body" not in used:
            payload = readable(body)
            signed = parts(scheme.signature.signed)
            named = [part[1].split(".") for part in signed if part[0] == "payload"]
            named += [[name] for name in _lines(signed)]
            return msgspec.json.encode([lookup(payload, path) or None for path in named])
        if scheme.timestamp and scheme.timestamp.payload:
            return _without(body, scheme.timestamp.payload.split("."))
    except (Stop, Unparsable, ValueError):
        # It would not have been accepted.
        return body
    return body


def _without(body: bytes, path: Sequence[str]) -> bytes:
    payload = parse(body)
    unassign(payload, path)
    return msgspec.json.encode(payload, order="sorted")


#: Of a source whose requests are not signed.
OPEN: Final = Bound(())
