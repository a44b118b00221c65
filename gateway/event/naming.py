"""The type and the dedupe key of an event, and the facts that rules and templates see, as its source declares them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.event import tracks
from gateway.event.braces import Template
from gateway.event.paths import MISSING, Each, Facts, Path, lookup, split_path, starred_path
from gateway.event.patterns import resource_and_action
from gateway.event.payload import ENVELOPE, NO_FIELDS, query_fields
from gateway.event.split import envelope_of
from gateway.model import Event
from gateway.wording import iso_time, printable

MAX_TYPE_LENGTH: Final = 200
#: The root that only events have which do not fit the schema of their source, and its fields.
INVALID: Final = "invalid"
INVALID_FIELDS: Final = ("path", "reason")
MAX_LABEL_LENGTH: Final = 200
#: Of what identifies a record; a longer one is replaced by its hash.
MAX_KEY_LENGTH: Final = 200


#: The type of an event that does not say its own.
UNKNOWN_TYPE: Final = "unknown"


#: The fields of `event`; those below the other roots are the sender's.
EVENT_FIELDS: Final = ("id", "type", "source", "resource", "action", "received_at")


class _Shortcut(Struct, frozen=True):
    """A map found at the first of several paths that has one, with fields added from elsewhere."""

    first: tuple[tuple[str, ...], ...]
    fill: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]

    def resolve(self, facts: Facts) -> Mapping[str, object]:
        record = self._record(facts)
        for name, paths in self.fill:
            if name not in record and (value := _first(facts, paths)) is not MISSING:
                record = {**record, name: value}
        return record

    def places(self, rest: Sequence[str | Each]) -> Sequence[Path]:
        """Every path where a field of the map can be, whatever the event looks like."""
        filled = [
            (*path, *rest[1:]) for name, paths in self.fill if not rest or rest[0] in ("*", name) for path in paths
        ]
        return [*((*path, *rest) for path in self.first), *filled]

    def _record(self, facts: Facts) -> Mapping[str, object]:
        for path in self.first:
            value = lookup(facts, path)
            if type(value) is dict or isinstance(value, Mapping):
                return value
            # PHP writes an empty map as [].
            if value == []:
                return {}
        return {}


def _first(facts: Facts, paths: Sequence[tuple[str, ...]]) -> object:
    found = (lookup(facts, path) for path in paths)
    return next((value for value in found if value is not MISSING), MISSING)


class Tracking(Struct, frozen=True, kw_only=True):
    """What identifies the record that an event is about, and which of its fields are remembered."""

    #: Tried in order, as they were written: the first whose parts are all present.
    per: tuple[str, ...]
    #: Where the fields are: a shortcut, or a path of the payload.
    fields: tuple[str, ...]
    #: How long a record is remembered after its last event, seconds.
    keeps_s: float
    #: Names of fields that are not remembered: the store must not keep them.
    omitted: frozenset[str] = frozenset()
    _keys: tuple[Template, ...] = ()

    @classmethod
    def compile(cls, per: Sequence[str], fields: str, keeps_s: float) -> Self:
        """From ``{path|modifier}`` templates and the path of a map: ``attrs``."""
        keys = tuple(Template.compile(source) for source in per)
        return cls(per=tuple(per), fields=split_path(fields), keeps_s=keeps_s, _keys=keys)

    def fields_in(self, facts: Facts) -> Mapping[str, object]:
        """The fields of an event's record."""
        found = lookup(facts, self.fields)
        return found if isinstance(found, Mapping) else {}

    def key(self, facts: Facts) -> str:
        """What identifies the record, at most MAX_KEY_LENGTH printable characters; empty if the event does not say it."""
        key = next(filter(None, (template.render(facts) for template in self._keys)), "")
        if len(key) <= MAX_KEY_LENGTH and key.isprintable():
            return key
        return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


class Naming(Struct, frozen=True, kw_only=True):
    """How the events of a source are named and identified, and the shortcuts to their fields."""

    types: tuple[Template, ...]
    shortcuts: Mapping[str, _Shortcut]
    #: What identifies an event, tried in order; its signed content if none of them is complete.
    ids: tuple[Template, ...] = ()
    #: The sender's ids that no signature covers, tried in order: they are kept for people, and identify nothing.
    labels: tuple[Template, ...] = ()
    #: Paths of the events in a body that holds several, below the payload; empty: a body is one event.
    split: tuple[tuple[str, ...], ...] = ()
    #: The operator's own values, under the root ``vars``.
    vars: Mapping[str, object] = field(default_factory=dict)
    #: The records that its events are about; None: none are remembered.
    tracking: Tracking | None = None

    @classmethod
    def compile(
        cls,
        types: Sequence[str],
        shortcuts: Mapping[str, Mapping[str, object]],
        ids: Sequence[str] = (),
        split: Sequence[str] = (),
    ) -> Self:
        """From ``{path|modifier}`` templates, tried in order, and ``{name: {first: [path], fill: {field: [path]}}}``."""
        return cls(
            types=tuple(Template.compile(source) for source in types),
            shortcuts={name: _shortcut(declared) for name, declared in shortcuts.items()},
            ids=tuple(Template.compile(source) for source in ids),
            split=tuple(starred_path(path)[1:] for path in split),
        )

    def renamed(self, types: Sequence[str] | None, ids: Sequence[str] | None, split: Sequence[str] | None) -> Self:
        """With the operator's own templates and paths instead of the preset's; None keeps the preset's."""
        own = type(self).compile(types or (), {}, ids or (), split or ())
        return replace(
            self,
            types=self.types if types is None else own.types,
            ids=self.ids if ids is None else own.ids,
            split=self.split if split is None else own.split,
        )

    def bound(self, covers: Callable[[Sequence[str]], bool]) -> Self:
        """With every id as a label that reads anything but covered values, given their paths."""
        ids = [each for each in self.ids if all(map(covers, each.paths))]
        return replace(self, ids=tuple(ids), labels=tuple(each for each in self.ids if each not in ids))

    def label(self, payload: object, headers: Mapping[str, str], query: str = "") -> str:
        """The sender's id that no signature covers, at most 200 printable characters; empty if there is none."""
        facts = _said(payload, headers, query)
        found = next(filter(None, (template.render(facts) for template in self.labels)), "")
        return printable(found[:MAX_LABEL_LENGTH])

    def key(
        self,
        payload: object,
        headers: Mapping[str, str],
        digest: bytes,
        item: int | None = None,
        *,
        query: str = "",
    ) -> bytes:
        """The dedupe key of an event: a hash of its id if all parts of one are present, else ``digest``.

        ``item`` is its position in a request that holds several: two equal items are two events.
        """
        facts = _said(payload, headers, query) if self.ids else {}
        for number, template in enumerate(self.ids):
            text = template.render(facts)
            if text:
                position = b"" if item is None or not template.reads_request else b"%d" % item
                return hashlib.sha256(
                    b"\0".join((b"id", b"%d" % number, position, text.encode("utf-8", "replace")))
                ).digest()
        return digest if item is None else hashlib.sha256(b"item\0%d\0" % item + digest).digest()

    def extended(self, shortcuts: Mapping[str, Sequence[str]], values: Mapping[str, object]) -> Self:
        """With ``vars``, and with additional shortcuts ``{name: paths, the first of which counts}``."""
        own = {name: _shortcut({"first": list(paths)}) for name, paths in shortcuts.items()}
        return replace(self, shortcuts={**self.shortcuts, **own}, vars=values)

    @property
    def shortcut_names(self) -> frozenset[str]:
        """The roots this source adds."""
        return frozenset(self.shortcuts)

    def payload_path(self, path: str, payload: object) -> tuple[str, ...]:
        """The path of ``attrs.email`` or ``payload.data.id`` inside this payload, as segments below its root."""
        root, *rest = split_path(path)
        if root in self.shortcuts:
            homes = self.shortcuts[root].first
            found = [home for home in homes if isinstance(lookup({"payload": payload}, home), Mapping)]
            root, *rest = *(found or homes)[0], *rest
        return tuple(rest) if root == "payload" else (root, *rest)

    def places(self, path: Path) -> Sequence[Path]:
        """Every path that ``path`` can stand for, in order of precedence: several if it begins with a shortcut."""
        root, *rest = path
        shortcut = self.shortcuts.get(root) if isinstance(root, str) else None
        return (path,) if shortcut is None else shortcut.places(rest)

    def type_of(self, payload: object, headers: Mapping[str, str], query: str = "") -> str:
        """``contact.created``: at most 200 printable characters without spaces; ``unknown`` if the event does not say it."""
        facts = _said(payload, headers, query)
        named = UNKNOWN_TYPE
        for template in self.types:
            if text := template.render(facts):
                named = text[:MAX_TYPE_LENGTH]
                break
        if named.isascii() and named.isprintable() and " " not in named:
            return named
        return "".join(char if char.isprintable() and not char.isspace() else "_" for char in named)

    def facts(self, event: Event, payload: object) -> Facts:
        """The roots ``event``, ``payload``, ``headers``, ``query``, ``envelope``, ``vars`` and this source's shortcuts.

        Of an event that does not fit the schema of its source, also ``invalid``.
        """
        resource, action = resource_and_action(event.type)
        facts: dict[str, object] = {
            "event": {
                "id": event.id,
                "type": event.type,
                "source": event.source,
                "resource": resource,
                "action": action,
                "received_at": iso_time(event.received_at),
            },
            "payload": payload,
            "headers": event.headers,
            "query": query_fields(event.query) if event.query else NO_FIELDS,
            "envelope": envelope_of(event.headers) if ENVELOPE in event.headers else NO_FIELDS,
            "vars": self.vars,
        }
        if event.invalid is not None:
            facts[INVALID] = {"path": event.invalid.path, "reason": event.invalid.reason}
        for name, shortcut in self.shortcuts.items():
            facts[name] = shortcut.resolve(facts)
        if self.tracking is not None:
            facts.update(tracks.facts_of(event.track, self.tracking.fields_in(facts)))
        return facts

    def after(
        self, event: Event, payload: object, before: Mapping[str, object] | None, earlier: Sequence[Event] = ()
    ) -> Event:
        """The event as if ``before`` was known of the record that it is about; None: what ``earlier`` events said of it."""
        facts, tracking = self.facts(event, payload), self.tracking
        if tracking is None or not (key := tracking.key(facts)):
            return event
        if before is not None:
            known = tracks.encoded(tracks.Track(key, dict(before)))
        else:
            tracked = (each.track for each in reversed(earlier) if each.source == event.source)
            known = next((each for each in tracked if tracks.key_of(each) == key), b"")
        return replace(event, track=tracks.written(key, known, tracking.fields_in(facts), tracking.omitted)[1])


def _said(payload: object, headers: Mapping[str, str], query: str) -> Facts:
    """What templates of names and ids see."""
    facts: dict[str, object] = {
        "payload": payload,
        "headers": headers,
        "query": query_fields(query) if query else NO_FIELDS,
    }
    if ENVELOPE in headers:
        facts["envelope"] = envelope_of(headers)
    return facts


def _shortcut(declared: Mapping[str, object]) -> _Shortcut:
    first, fill = declared["first"], declared.get("fill", {})
    assert isinstance(first, list)
    assert isinstance(fill, dict)
    return _Shortcut(
        first=tuple(split_path(path) for path in first),
        fill=tuple((name, tuple(split_path(path) for path in paths)) for name, paths in fill.items()),
    )
