"""One request as a scheme reads it: header fields, form, payload. Anything wrong stops the verification."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from gateway.errors import BodyTooLarge, Unparsable
from gateway.event import codings
from gateway.event.forms import pairs
from gateway.event.paths import MISSING, lookup
from gateway.event.payload import FORM, parse, parse_body

#: Header fields as a listener hands them over: raw bytes, names in lower case.
RawHeaders = Sequence[tuple[bytes, bytes]]
NO_ALIASES: Final[Mapping[bytes, bytes]] = MappingProxyType({})
NO_DOCUMENTS: Final[Mapping[str, bytes]] = MappingProxyType({})


class Request(Struct, frozen=True, kw_only=True):
    """What a sender posted: everything that a signature can cover."""

    method: str = "POST"
    #: After the ``?``, as it was sent; empty without one.
    query: bytes = b""
    headers: RawHeaders
    body: bytes
    #: The last segment of the path, percent-decoded, where a source has its secret there.
    path_secret: bytes = b""
    #: How it says that its body is compressed; empty: it does not.
    coding: str = ""
    #: The body decompressed, if somebody has done that.
    unpacked: bytes | None = None

    @property
    def content(self) -> bytes:
        """The body decompressed. Raises Unparsable or BodyTooLarge."""
        return codings.plain(self.body) if self.unpacked is None else self.unpacked


class Stop(Exception):
    """The request is not authentic; the text is for our log."""


class Awaits(Exception):
    """The verdict depends on a document that is not at hand, or on a newer one."""

    def __init__(self, url: str, reason: str, *, is_known: bool = False) -> None:
        #: ``is_known``: there is a document that can be used, but it does not say what is asked for.
        self.url, self.reason, self.is_known = url, reason, is_known
        super().__init__(reason)


class Reading:
    """A request and what has been read from it so far. Every method raises Stop, and nothing else."""

    def __init__(
        self,
        request: Request,
        public_url: bytes = b"",
        steps: list[str] | None = None,
        aliases: Mapping[bytes, bytes] = NO_ALIASES,
        documents: Mapping[str, bytes] = NO_DOCUMENTS,
    ) -> None:
        self.request = request
        #: By address: keys and certificates that were fetched.
        self.documents = documents
        #: Other names of headers that are missing.
        self.aliases = aliases
        self._public_url = public_url
        #: The body is signed by a hash of it in the address, and so not as a form.
        self.is_hashed = False
        #: What was checked, in words; None: not recorded.
        self.steps = steps
        #: As it was sent; set once it has been checked.
        self.timestamp = b""
        self.id = b""
        #: The fields of a signature's header that is a list of ``name=value``.
        self.fields: dict[bytes, bytes] = {}
        #: The key of a plain digest, or what else of a secret is signed: set for each secret in turn.
        self.secret = b""

    def note(self, step: str) -> None:
        if self.steps is not None:
            self.steps.append(step)

    def header(self, name: bytes) -> bytes:
        """The only value of a header. Two are refused: another reader might trust the other one."""
        values = [value for field, value in self.request.headers if field == name]
        if not values and name in self.aliases:
            return self.header(self.aliases[name])
        if len(values) == 1:
            return values[0]
        shown = name.decode("latin-1")
        raise Stop(f"{len(values)} {shown} headers" if values else f"no {shown} header")

    @property
    def url(self) -> bytes:
        """The public address with the query that was sent, unless the address has one of its own."""
        query = self.sent_query
        return self._public_url + b"?" + query if query else self._public_url

    @property
    def sent_query(self) -> bytes:
        """The query that was sent; empty if the public address has one of its own."""
        return b"" if b"?" in self._public_url else self.request.query

    @property
    def uri(self) -> bytes:
        """The url with those characters decoded that need no escape there."""
        return with_plain_signs(self.url)

    def check_body_hash(self, parameter: str) -> None:
        """Compare the body with its hash in the signed query, if it has one. Raises Stop where it is another one."""
        name = parameter.encode() + b"="
        found = [each[len(name) :] for each in self.sent_query.split(b"&") if each.startswith(name)]
        if not found:
            return
        if found != [hashlib.sha256(self.request.body).hexdigest().encode()]:
            raise Stop(f"{parameter} of the address is not the hash of the body")
        self.note(f"{parameter}: the hash of the body")
        self.is_hashed = True

    @cached_property
    def content(self) -> bytes:
        """The body decompressed."""
        try:
            return self.request.content
        except (Unparsable, BodyTooLarge) as error:
            raise Stop(str(error)) from None

    @cached_property
    def form(self) -> bytes:
        return b"" if self.is_hashed else signed_form(self.content)

    @cached_property
    def _payload(self) -> object:
        try:
            return readable(self.content)
        except Unparsable as error:
            raise Stop(str(error)) from None

    def field_of_query(self, name: str) -> bytes:
        """The only value of a field of the query, percent-decoded. As with headers, two are refused."""
        try:
            values = [value for field, value in pairs(self.request.query) if field == name]
        except ValueError:
            raise Stop("the query is not a form") from None
        if len(values) == 1:
            return values[0].encode()
        raise Stop(f"{len(values)} fields {name} in the query" if values else f"no field {name} in the query")

    def shown(self, path: Sequence[str]) -> bytes:
        """The text or whole number at a path of the payload, which may be a form."""
        types = [value for field, value in self.request.headers if field == b"content-type"]
        try:
            payload = parse_body(self.content, types[0].decode("latin-1") if types else "")
        except Unparsable as error:
            raise Stop(str(error)) from None
        return _text_at(payload, path)

    def payload(self, path: Sequence[str]) -> bytes:
        """The text or whole number at a path of the payload; nothing if that ends in ``?`` and there is none."""
        *parents, last = path
        if last.endswith("?"):
            path = (*parents, last[:-1])
            if lookup(self._payload, path) in (MISSING, None):
                return b""
        return _text_at(self._payload, path)

    def lines(self, names: Sequence[str]) -> bytes:
        """Name and value of each field that the payload has, on lines of their own. Only the first may be of several."""
        fields = self._payload if isinstance(self._payload, Mapping) else {}
        there = [name for name in names if name in fields]
        values = [self.payload([name]) for name in there]
        if any(b"\n" in value for value in values[1:]):
            raise Stop("a line break where one line is signed: another event would have the same signature")
        return b"".join(name.encode() + b"\n" + value + b"\n" for name, value in zip(there, values, strict=True))


def _text_at(payload: object, path: Sequence[str]) -> bytes:
    value = lookup(payload, path)
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise Stop(f"no text or whole number at payload.{'.'.join(path)}")


def readable(body: bytes) -> object:
    """The payload of a body by what it is, not by its content type, which nobody signs. Raises Unparsable if it is none."""
    try:
        return parse(body)
    except Unparsable:
        if body.lstrip()[:1] in (b"{", b"["):
            raise
        boundary = _BOUNDARY.match(body)
        kind = f'multipart/form-data; boundary="{boundary[1].decode()}"' if boundary else FORM
        return parse_body(body, kind)


#: The first line of a multipart body.
_BOUNDARY: Final = re.compile(rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r\n")

#: What HubSpot's page lists: characters that it signs as they are, however they are sent.
_PLAIN_SIGNS: Final = re.compile(rb"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


def with_plain_signs(url: bytes) -> bytes:
    """An address with ``: / ? @ ! $ ' ( ) * , ;`` for their escapes.

    >>> with_plain_signs(b"https://a.example/in?to=https%3A%2F%2Fb%20c")
    b'https://a.example/in?to=https://b%20c'
    """
    return _PLAIN_SIGNS.sub(lambda found: bytes.fromhex(found[0][1:].decode()), url)


def signed_form(body: bytes) -> bytes:
    """Every field of a form, sorted by name and value, each name right before its value. Raises Stop for any other body."""
    if not body.isascii():
        raise Stop("the body is not a form")
    try:
        fields = pairs(body)
    except ValueError:
        raise Stop("the body is not a form") from None
    return "".join(name + value for name, value in sorted(set(fields))).encode("utf-8")
