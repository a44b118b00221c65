"""What rules and templates see of an event: its parsed payload, its name and key, its roots and shortcuts.

Everything here reads a sender's bytes and is total: a value, MISSING, or Unparsable.
"""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from gateway.errors import Unparsable
from gateway.model import Event

if TYPE_CHECKING:
    from multipart import MultipartPart

#: Nesting a payload may have; deeper ones are refused before anything walks them.
MAX_DEPTH: Final = 128


#: Header fields of a request that are not kept: credentials, and what belongs to one connection.
DROPPED_HEADERS: Final = frozenset(
    {
        b"authorization",
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


def parse(body: bytes) -> object:
    """The JSON value of ``body`` as RFC 8259 has it: no NaN, no lone surrogates, UTF-8 only, depth <= 128.

    Raises Unparsable.
    """
    try:
        payload: object = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unparsable(f"the body is not valid JSON: {error}") from None
    # A payload with few brackets cannot be deep: counting them is cheaper than walking it.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth_exceeds(payload, MAX_DEPTH):
        raise Unparsable(f"the body nests deeper than {MAX_DEPTH} levels")
    return payload


#: Fields of a form that are read.
MAX_FIELDS: Final = 1000
#: Events that one request may hold.
MAX_ITEMS: Final = 1000

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


def parse_body(body: bytes, content_type: str) -> object:
    """The payload of a body by its content type: JSON unless that says otherwise. Raises Unparsable.

    A form is a map of texts (a list where a field is repeated), or the JSON of its field ``payload`` where it has
    one. XML and other text that is no JSON is the text.
    """
    kind = _kind(content_type)
    if kind == _FORM:
        return _parsed_form(body)
    if kind == _MULTIPART:
        return _parsed_multipart(body, content_type)
    if kind.endswith("xml"):
        return body.decode("utf-8", "replace")
    if kind.startswith("text/"):
        try:
            return parse(body)
        except Unparsable:
            return body.decode("utf-8", "replace")
    return parse(body)


def is_json(content_type: str) -> bool:
    """Whether a body of that type is read as JSON only."""
    kind = _kind(content_type)
    return kind not in (_FORM, _MULTIPART) and not kind.endswith("xml")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _parsed_form(body: bytes) -> object:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Unparsable(f"the body is no form: {error}") from None
    return _fields(pairs)


def _parsed_multipart(body: bytes, content_type: str) -> object:
    """Like a form; of a file that comes along its ``filename``, ``content_type`` and ``size``, in bytes."""
    # Few senders need it.
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
        raise Unparsable(f"the body is no multipart form: {error}") from None


def _part(part: "MultipartPart") -> object:
    if not part.filename:
        return part.raw.decode("utf-8")
    return {"filename": part.filename, "content_type": part.content_type, "size": part.size}


def _fields(pairs: Iterable[tuple[str, object]]) -> object:
    """A map of them, or the JSON that the field ``payload`` holds."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
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


def query_fields(query: bytes) -> Mapping[str, str]:
    """The parameters behind a ``?``; of repeated ones the first. Total: what cannot be read is not there."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(pairs))


def payload_of(event: Event) -> object:
    """The payload of an event that was received; Unparsable if its body is none any more."""
    return parse_body(event.body, event.headers.get("content-type", ""))


_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def slices(body: bytes, paths: Sequence[Sequence[str]]) -> list[bytes]:
    """The exact bytes of each item of a body that holds many, in their order; ``*`` in a path is each of a list.

    Empty when the body has none of the shapes. Raises Unparsable for an item that is no object, and for too many.
    """
    found = [item for path in paths for item in _slices(body, path)]
    if len(found) > MAX_ITEMS:
        raise Unparsable(f"the body holds {len(found)} events: at most {MAX_ITEMS} are taken at once")
    for at, item in enumerate(found, start=1):
        if not item.lstrip().startswith(b"{"):
            raise Unparsable(f"item {at} of {len(found)} is no object; none of them was stored")
    return found


def _slices(body: bytes, path: Sequence[str]) -> list[bytes]:
    found = [body]
    try:
        for segment in path:
            found = [
                bytes(each)
                for one in found
                for each in (_items(one) if segment == "*" else _member(_members(one), segment))
            ]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []
    return found


def _member(members: Mapping[str, msgspec.Raw], name: str) -> Sequence[msgspec.Raw]:
    return [members[name]] if name in members else []


def _depth_exceeds(payload: object, limit: int) -> bool:
    level = [payload]
    for _ in range(limit):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def kept_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The header fields of a request that stay with its event; ``headers`` have lower-case names."""
    kept: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if raw_name in DROPPED_HEADERS:
            continue
        # RFC 9110, 5.5: a field value is bytes; latin-1 keeps every one of them.
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


# --- how a source's events are called, from its preset's declarations ---
