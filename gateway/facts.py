"""What rules and templates see of an event: its parsed payload, its name and key, its roots and shortcuts.

Everything here reads a sender's bytes and is total: a value, MISSING, or Unparsable.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl

import msgspec

from gateway.errors import Unparsable
from gateway.model import Event

if TYPE_CHECKING:
    from multipart import MultipartPart

#: The roots that every source has; its shortcuts come on top.
ROOTS: Final = frozenset({"event", "payload", "headers", "vars"})
#: Nesting a payload may have; deeper ones are refused before anything walks them.
MAX_DEPTH: Final = 128
MAX_TYPE_LENGTH: Final = 200
#: The type of an event that says nothing about itself.
UNKNOWN_TYPE: Final = "unknown"

Facts = Mapping[str, object]


class Missing:
    """The one value that stands for a field that is not there (null is a value)."""

    def __repr__(self) -> str:
        return "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()

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


def masked_path(path: str) -> str:
    """A path for the log: behind ``/in/name`` may stand a secret."""
    parts = path[:200].split("/")
    return "/".join([*parts[:3], "***"]) if len(parts) > 3 else path[:200]


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


#: As SQLite's ``ascii`` tokenizer sees a word.
_WORD: Final = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a text, as the store's index has them: runs of letters and digits; all but ASCII is a letter."""
    return tuple(_WORD.findall(text))


def split_path(path: str) -> tuple[str, ...]:
    """``payload.items.0.sku`` as its segments."""
    return tuple(path.split("."))


def lookup(facts: object, path: Sequence[str]) -> object:
    """The value at ``path``, or MISSING. A number as a segment picks from a list."""
    value = facts
    for segment in path:
        # The plain dict first: the check of an abstract class costs as much as all the rest.
        if isinstance(value, (dict, Mapping)):
            if segment not in value:
                return MISSING
            value = value[segment]
        elif isinstance(value, list) and segment.isascii() and segment.isdigit() and len(segment) < 10:
            if int(segment) >= len(value):
                return MISSING
            value = value[int(segment)]
        else:
            return MISSING
    return value


def assign(payload: object, path: Sequence[str], value: object) -> None:
    """Set the field at ``path`` of a decoded payload, making the maps on the way. ValueError if something else is there."""
    place = payload
    for segment in path[:-1]:
        place = place.setdefault(segment, {}) if isinstance(place, dict) else lookup(place, [segment])
    last = path[-1]
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list) and lookup(place, [last]) is not MISSING:
        place[int(last)] = value
    else:
        raise ValueError(f"there is no {'.'.join(path)} to set")


def unassign(payload: object, path: Sequence[str]) -> None:
    """Remove the field at ``path`` of a decoded payload, or the element of a list. ValueError if it is not there."""
    place, last = lookup(payload, path[:-1]), path[-1]
    if lookup(place, [last]) is MISSING:
        raise ValueError(f"there is no {'.'.join(path)} to unset")
    if isinstance(place, list):
        del place[int(last)]
    else:
        assert isinstance(place, dict)
        del place[last]


# --- how a source's events are called, from its preset's declarations ---

_FIELD = re.compile(r"\{([^{}|]+)((?:\|\w+)*)\}")

_MODIFIERS: Mapping[str, Callable[[str], str]] = {
    #: The part behind the last separator: ``App\\Models\\Tenant\\Contact`` -> ``Contact``.
    "last": lambda text: re.split(r"[\\/.:]", text)[-1],
    "lower": str.lower,
    #: Only a text that holds a dot: it is a whole type already.
    "dotted": lambda text: text if "." in text else "",
}


def template_problem(source: str) -> tuple[str, str] | None:
    """What is wrong with a ``{path|modifier}`` template, and the remedy; None: nothing."""
    if "{{" in source:
        return "one brace on each side is enough", "write {payload.type}"
    for found in _FIELD.finditer(source):
        if found[1].split(".")[0] not in ("payload", "headers"):
            return (
                f'"{found[1]}" is neither part of the payload nor a header',
                "write {payload.type} or {headers.x-event}",
            )
        unknown = next((name for name in found[2].split("|")[1:] if name not in _MODIFIERS), None)
        if unknown is not None:
            return f'unknown modifier "{unknown}"', f"known: {', '.join(_MODIFIERS)}"
    rest = _FIELD.sub("", source)
    if "{" in rest or "}" in rest or not source:
        return f'"{source}" has a brace that belongs to no field', "write {payload.type}"
    return None


@dataclass(frozen=True, slots=True)
class _Field:
    path: tuple[str, ...]
    modifiers: tuple[Callable[[str], str], ...]

    def text(self, facts: Facts) -> str:
        value = lookup(facts, self.path)
        if isinstance(value, bool) or not isinstance(value, str | int):
            return ""
        text = str(value).strip()
        for modify in self.modifiers:
            text = modify(text)
        return text


@dataclass(frozen=True, slots=True)
class _TypeTemplate:
    """Literal texts and fields in turn; complete only when every field has a text."""

    parts: tuple[str | _Field, ...]

    @classmethod
    def compile(cls, source: str) -> Self:
        parts: list[str | _Field] = []
        end = 0
        for match in _FIELD.finditer(source):
            parts.append(source[end : match.start()])
            modifiers = tuple(_MODIFIERS[name] for name in match[2].split("|")[1:])
            parts.append(_Field(split_path(match[1]), modifiers))
            end = match.end()
        parts.append(source[end:])
        return cls(tuple(part for part in parts if part != ""))

    @property
    def reads_headers(self) -> bool:
        """Whether it says the same of every event of a request."""
        return any(isinstance(part, _Field) and part.path[0] == "headers" for part in self.parts)

    def render(self, facts: Facts) -> str:
        texts = []
        for part in self.parts:
            text = part if isinstance(part, str) else part.text(facts)
            if not text:
                return ""
            texts.append(text)
        return "".join(texts)


@dataclass(frozen=True, slots=True)
class _Shortcut:
    """A mapping found at the first of several paths, with fields filled in from elsewhere."""

    first: tuple[tuple[str, ...], ...]
    fill: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]

    def resolve(self, facts: Facts) -> Mapping[str, object]:
        record = self._record(facts)
        absent = [(name, paths) for name, paths in self.fill if name not in record]
        if not absent:
            return record
        found = {name: _first(facts, paths) for name, paths in absent}
        return {**record, **{name: value for name, value in found.items() if value is not MISSING}}

    def places(self, rest: Sequence[str]) -> Sequence[tuple[str, ...]]:
        """Where a field of the mapping may stand, whatever an event looks like."""
        filled = [
            (*path, *rest[1:]) for name, paths in self.fill if not rest or rest[0] in ("*", name) for path in paths
        ]
        return [*((*path, *rest) for path in self.first), *filled]

    def _record(self, facts: Facts) -> Mapping[str, object]:
        for path in self.first:
            value = lookup(facts, path)
            if isinstance(value, Mapping):
                return value
            # PHP writes an empty map as [].
            if value == []:
                return {}
        return {}


def _first(facts: Facts, paths: Sequence[tuple[str, ...]]) -> object:
    found = (lookup(facts, path) for path in paths)
    return next((value for value in found if value is not MISSING), MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the events of a source are called, and the short names of its fields."""

    types: tuple[_TypeTemplate, ...]
    shortcuts: Mapping[str, _Shortcut]
    #: What identifies an event, tried in turn; none that is whole: its bytes.
    ids: tuple[_TypeTemplate, ...] = ()
    #: Where the events of a body that holds many stand, below the payload; none: a body is one event.
    split: tuple[tuple[str, ...], ...] = ()
    #: Values of the operator's own, under the root ``vars``.
    vars: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def compile(
        cls,
        types: Sequence[str],
        shortcuts: Mapping[str, Mapping[str, object]],
        ids: Sequence[str] = (),
        split: Sequence[str] = (),
    ) -> Self:
        """Of ``{path|modifier}`` templates, tried in order, and ``{name: {first: [path], fill: {field: [path]}}}``."""
        return cls(
            types=tuple(_TypeTemplate.compile(source) for source in types),
            shortcuts={name: _shortcut(declared) for name, declared in shortcuts.items()},
            ids=tuple(_TypeTemplate.compile(source) for source in ids),
            split=tuple(split_path(path)[1:] for path in split),
        )

    def renamed(self, types: Sequence[str] | None, ids: Sequence[str] | None, split: Sequence[str] | None) -> Self:
        """With the operator's own in place of the preset's; None leaves one as it is."""
        own = type(self).compile(types or (), {}, ids or (), split or ())
        return replace(
            self,
            types=self.types if types is None else own.types,
            ids=self.ids if ids is None else own.ids,
            split=self.split if split is None else own.split,
        )

    def key(self, payload: object, headers: Mapping[str, str], sha256: bytes, item: int | None = None) -> bytes:
        """What an event is known by for good: its id where all parts of one are there, else its bytes.

        ``item`` is its position in a request that holds many: two that are alike are two events.
        """
        facts = {"payload": payload, "headers": headers}
        for number, template in enumerate(self.ids):
            text = template.render(facts)
            if text:
                position = b"" if item is None or not template.reads_headers else b"%d" % item
                return hashlib.sha256(
                    b"\0".join((b"id", b"%d" % number, position, text.encode("utf-8", "replace")))
                ).digest()
        return sha256 if item is None else hashlib.sha256(b"item\0%d\0" % item + sha256).digest()

    def extended(self, shortcuts: Mapping[str, Sequence[str]], values: Mapping[str, object]) -> Self:
        """With ``vars``, and with shortcuts ``{name: paths of the record, the first of which counts}`` on top."""
        own = {name: _shortcut({"first": list(paths)}) for name, paths in shortcuts.items()}
        return replace(self, shortcuts={**self.shortcuts, **own}, vars=values)

    @property
    def shortcut_names(self) -> frozenset[str]:
        """The roots this source adds."""
        return frozenset(self.shortcuts)

    def payload_path(self, path: str, payload: object) -> tuple[str, ...]:
        """Where ``attrs.email`` or ``payload.data.id`` stands inside this payload, as segments below its root."""
        root, *rest = split_path(path)
        if root in self.shortcuts:
            homes = self.shortcuts[root].first
            found = [home for home in homes if isinstance(lookup({"payload": payload}, home), Mapping)]
            root, *rest = *(found or homes)[0], *rest
        return tuple(rest) if root == "payload" else (root, *rest)

    def places(self, path: Sequence[str]) -> Sequence[tuple[str, ...]]:
        """Everywhere that ``path`` may lead, a shortcut's to each of its places, in the order in which they count."""
        root, *rest = path
        return self.shortcuts[root].places(rest) if root in self.shortcuts else (tuple(path),)

    def type_of(self, payload: object, headers: Mapping[str, str]) -> str:
        """``contact.created``: at most 200 printable characters without blanks; ``unknown`` if nothing says it."""
        facts = {"payload": payload, "headers": headers}
        named = next(filter(None, (template.render(facts) for template in self.types)), UNKNOWN_TYPE)
        named = named[:MAX_TYPE_LENGTH]
        if named.isascii() and named.isprintable() and " " not in named:
            return named
        return "".join(char if char.isprintable() and not char.isspace() else "_" for char in named)

    def facts(self, event: Event, payload: object) -> Facts:
        """The roots ``event``, ``payload``, ``headers``, ``vars`` and this source's shortcuts."""
        resource, _, action = event.type.rpartition(".")
        facts: dict[str, object] = {
            "event": {
                "id": event.id,
                "type": event.type,
                "source": event.source,
                "resource": resource or action,
                "action": action if resource else "",
                "received_at": iso_time(event.received_at),
            },
            "payload": payload,
            "headers": event.headers,
            "vars": self.vars,
        }
        for name, shortcut in self.shortcuts.items():
            facts[name] = shortcut.resolve(facts)
        return facts


def _shortcut(declared: Mapping[str, object]) -> _Shortcut:
    first, fill = declared["first"], declared.get("fill", {})
    assert isinstance(first, list)
    assert isinstance(fill, dict)
    return _Shortcut(
        first=tuple(split_path(path) for path in first),
        fill=tuple((name, tuple(split_path(path) for path in paths)) for name, paths in fill.items()),
    )


def iso_time(seconds: float) -> str:
    """``2026-04-16T12:34:56.789Z`` of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
