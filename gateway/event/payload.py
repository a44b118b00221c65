"""From the bytes of a request to payloads and the header fields that are kept.

Everything here reads a sender's bytes and is total: it returns a value or raises Unparsable.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.errors import BodyTooLarge, Unparsable
from gateway.event import charsets, codings
from gateway.event.forms import MAX_FIELDS, pairs, percent_decoded
from gateway.event.paths import MISSING
from gateway.model import Event

if TYPE_CHECKING:
    from multipart import MultipartPart

#: Levels of nesting in a payload; deeper ones are refused before anything walks them.
MAX_DEPTH: Final = 128
#: Lists and objects in a payload of any size, and bytes for each further one. Making one takes a hundred times as long
#: as reading its two brackets, and whatever walks a payload pays for it again.
MAX_CONTAINERS: Final = 50_000
BYTES_OF_A_CONTAINER: Final = 16


#: Header fields in which known senders show their secret.
SECRET_HEADERS: Final = frozenset(
    {"authorization", "cf-webhook-auth", "x-gitlab-token", "x-telegram-bot-api-secret-token", "x-webhook-token"}
)
#: Fields of a query by which senders show theirs; a source may have others.
SECRET_QUERY: Final = frozenset({"access_token", "api_key", "apikey", "password", "secret", "sig", "token"})
#: Where an event of a split request has the rest of that request, among its headers. No header has such a name.
ENVELOPE: Final = ":envelope"

#: Header fields that are not kept: credentials, and those that belong to one connection.
DROPPED_HEADERS: Final = frozenset(
    {
        ENVELOPE.encode(),
        *(name.encode() for name in SECRET_HEADERS),
        b"connection",
        b"content-length",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_decode = msgspec.json.Decoder().decode


def parse(body: bytes, charset: str = "") -> object:
    """The JSON value of ``body`` by RFC 8259: no NaN, no unpaired surrogates, at most 128 levels deep.

    It is UTF-8, perhaps after a BOM; only if it is not, it is read in the ``charset`` that its request declares. Raises
    Unparsable, also for a body that is little more than brackets.
    """
    skeleton = checked_skeleton(body)
    try:
        payload: object = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        payload = _decoded_again(body, charset, error)
    if skeleton and _is_deeper(skeleton, MAX_DEPTH):
        raise Unparsable(f"the body nests deeper than {MAX_DEPTH} levels")
    return payload


def _decoded_again(body: bytes, charset: str, error: Exception) -> object:
    """The JSON value of a body that is not plain JSON in UTF-8. Raises Unparsable."""
    try:
        if (changed := charsets.as_utf8(body, charset)) is not None:
            return _decode(changed)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as another:
        error = another
    raise Unparsable(f"the body is not valid JSON: {charsets.why_not_json(body, charset, error)}") from None


def checked_skeleton(body: bytes) -> bytes:
    """Its brackets, if it has enough of them to be deep. Raises Unparsable if it has too many."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return b""
    skeleton = _skeleton(body)
    count, most = len(skeleton) // 2, max(MAX_CONTAINERS, len(body) // BYTES_OF_A_CONTAINER)
    if count > most:
        raise Unparsable(f"the body has {count:,} lists and objects: a body of its size can have {most:,}")
    return skeleton


#: Square brackets and quotes stay, braces become square, and everything else goes.
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_TEXTS: Final = re.compile(rb'"[^"]*"?')


def _skeleton(body: bytes) -> bytes:
    r"""The brackets of a JSON text in order, all of them square, without those inside of its texts.

    >>> _skeleton(b'{"a[": [1, {}, "\\"]"]}')
    b'[[[]]]'
    """
    if b"\\" in body:
        # A backslash is always inside of a text, and the first of two escapes the second.
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = body.translate(_AS_SQUARE, _OTHERS)
    # What is between two quotes that are next to each other now was a text without brackets, or nothing but a comma.
    return _TEXTS.sub(b"", marks.replace(b'""', b""))


def _is_deeper(skeleton: bytes, levels: int) -> bool:
    """Whether brackets nest deeper: each round takes away the innermost pairs, without a step for each in Python."""
    for _ in range(levels):
        if not skeleton:
            return False
        skeleton = skeleton.replace(b"[]", b"")
    return bool(skeleton)


JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


def parse_body(body: bytes, content_type: str) -> object:
    """The payload of a body that is not compressed, by its content type: JSON unless that says otherwise.

    A form becomes a map of texts, with a list for a repeated field, or the JSON in its field ``payload`` if it has one.
    XML, and other text that is not JSON, stays text; JSON that is called a form is JSON. Without a body it is ``{}``.
    Raises Unparsable.
    """
    if not body:
        return {}
    if content_type == JSON:
        return parse(body)
    kind, charset = kind_of(content_type), charsets.charset_of(content_type)
    if kind == FORM:
        found = _json_called_a_form(body)
        return _parsed_form(body, charset) if found is MISSING else found
    if kind == _MULTIPART:
        return _parsed_multipart(body, content_type)
    if kind.endswith("xml"):
        return charsets.text(body, charset)
    if kind.startswith("text/"):
        try:
            return parse(body, charset)
        except Unparsable:
            return charsets.text(body, charset)
    return parse(body, charset)


def is_json(content_type: str) -> bool:
    """Whether a body of that type must be JSON."""
    kind = kind_of(content_type)
    return kind not in (FORM, _MULTIPART) and not kind.endswith("xml")


def is_plain_json(body: bytes, content_type: str) -> bool:
    """Whether the payload is the JSON of the body, whatever its request's headers say."""
    if content_type == JSON:
        return True
    if not is_json(content_type) or ";" not in content_type:
        return is_json(content_type)
    return not charsets.codec_of(charsets.charset_of(content_type)) or charsets.is_utf8(body)


def kind_of(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _json_called_a_form(body: bytes) -> object:
    """The object or list in a body; MISSING if it is not JSON."""
    if body.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] not in (b"{", b"["):
        return MISSING
    try:
        return parse(body)
    except Unparsable:
        return MISSING


def _parsed_form(body: bytes, charset: str = "") -> object:
    try:
        return _fields(pairs(body, charsets.codec_of(charset)))
    except ValueError as error:
        raise Unparsable(f"the body is not a valid form: {error}") from None


def _parsed_multipart(body: bytes, content_type: str) -> object:
    """Like a form; a file becomes its ``filename``, ``content_type`` and ``size`` in bytes."""
    # Imported late: few senders need it.
    from multipart import MultipartError, MultipartParser, parse_options_header

    try:
        _, options = parse_options_header(content_type)
        parser = MultipartParser(
            BytesIO(body),
            options.get("boundary", ""),
            content_length=len(body),
            spool_limit=len(body) + 1,
            memory_limit=len(body) + 1,
            part_limit=MAX_FIELDS,
        )
        return _fields([(part.name, _part(part)) for part in parser.parts()])
    except (MultipartError, ValueError, LookupError, AssertionError) as error:
        raise Unparsable(f"the body is not a valid multipart form: {error}") from None


def _part(part: "MultipartPart") -> object:
    if not part.filename:
        return part.raw.decode("utf-8")
    return {"filename": part.filename, "content_type": part.content_type, "size": part.size}


def _fields(named: Iterable[tuple[str, object]]) -> object:
    """The fields as a map, or the JSON in the field ``payload``."""
    fields: dict[str, Any] = {}
    for name, value in named:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    inner = fields.get("payload")
    if isinstance(inner, str) and inner.lstrip()[:1] in ("{", "["):
        try:
            return parse(inner.encode("utf-8"))
        except (Unparsable, UnicodeError):
            return fields
    return fields


NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


def query_fields(query: str) -> Mapping[str, str]:
    """The parameters of a query, the first of repeated ones. Total: a query that cannot be read has none."""
    if not query:
        return NO_FIELDS
    try:
        return dict(reversed(pairs(query.encode("ascii"))))
    except ValueError:
        return NO_FIELDS


def kept_query(query: bytes, dropped: Collection[str]) -> str:
    """A query as it was sent, without the fields that show a secret; empty if it cannot be read."""
    if not query:
        return ""
    try:
        named = [(field, percent_decoded(field.partition(b"=")[0].replace(b"+", b" "))) for field in query.split(b"&")]
        return b"&".join(field for field, name in named if name.decode().lower() not in dropped).decode("ascii")
    except ValueError:
        return ""


def payload_of(event: Event) -> object:
    """The payload of a received event. Raises Unparsable if its body can no longer be read."""
    try:
        return parse_body(codings.plain(event.body), event.headers.get("content-type", ""))
    except BodyTooLarge as error:
        raise Unparsable(str(error)) from None


def kept_headers(
    headers: Iterable[tuple[bytes, bytes]], dropped: Collection[bytes] = DROPPED_HEADERS
) -> dict[str, str]:
    """The header fields of a request that its event keeps; ``headers`` have lower-case names."""
    kept: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if raw_name in dropped:
            continue
        name = raw_name.decode("latin-1")
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            # A field value is bytes (RFC 9110, 5.5): most senders mean UTF-8, and latin-1 keeps all others.
            value = raw_value.decode("latin-1")
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept
