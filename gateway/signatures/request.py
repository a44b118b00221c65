"""One request as a scheme reads it: header fields, form, payload. Anything wrong stops the verification."""

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from gateway.errors import BodyTooLarge, Unparsable
from gateway.event import codings
from gateway.event.forms import pairs
from gateway.event.paths import MISSING, lookup
from gateway.event.payload import parse, parse_body

#: Header fields as a listener hands them over: raw bytes, names in lower case.
RawHeaders = Sequence[tuple[bytes, bytes]]


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


class Reading:
    """A request and what has been read from it so far. Every method raises Stop, and nothing else."""

    def __init__(self, request: Request, public_url: bytes = b"", steps: list[str] | None = None) -> None:
        self.request = request
        self._public_url = public_url
        #: What was checked, in words; None: not recorded.
        self.steps = steps
        #: As it was sent; set once it has been checked.
        self.timestamp = b""
        self.id = b""
        #: The fields of a signature's header that is a list of ``name=value``.
        self.fields: dict[bytes, bytes] = {}
        #: The key of a plain digest, set for each secret in turn.
        self.secret = b""

    def note(self, step: str) -> None:
        if self.steps is not None:
            self.steps.append(step)

    def header(self, name: bytes) -> bytes:
        """The only value of a header. Two are refused: another reader might trust the other one."""
        values = [value for field, value in self.request.headers if field == name]
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

    @cached_property
    def content(self) -> bytes:
        """The body decompressed."""
        try:
            return self.request.content
        except (Unparsable, BodyTooLarge) as error:
            raise Stop(str(error)) from None

    @cached_property
    def form(self) -> bytes:
        return signed_form(self.content)

    @cached_property
    def _payload(self) -> object:
        try:
            return parse(self.content)
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


def _text_at(payload: object, path: Sequence[str]) -> bytes:
    value = lookup(payload, path)
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise Stop(f"no text or whole number at payload.{'.'.join(path)}")


def signed_form(body: bytes) -> bytes:
    """Every field of a form, sorted by name and value, each name right before its value. Raises Stop for any other body."""
    if not body.isascii():
        raise Stop("the body is not a form")
    try:
        fields = pairs(body)
    except ValueError:
        raise Stop("the body is not a form") from None
    return "".join(name + value for name, value in sorted(set(fields))).encode("utf-8")
