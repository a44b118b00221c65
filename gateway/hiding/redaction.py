"""What a source redacts: shown as •••, and removed from the store after the last delivery if the source says so.

Matching and delivery use the real values; whatever shows an event masks it here first. Total on any payload.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from itertools import chain, compress, islice
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unparsable
from gateway.event import tracks
from gateway.event.naming import Naming
from gateway.event.paths import MISSING, Each, Facts, Path, present, starred_path
from gateway.event.payload import ENVELOPE, SECRET_HEADERS, SECRET_QUERY, is_json, payload_of, query_fields
from gateway.hiding.finder import Finder, hidden_text
from gateway.model import Event

MASK: Final = "•••"
#: Characters from which a redacted value is masked in a text about its event: a shorter one is part of a word.
_SHORTEST: Final = 4
#: Redacted values that are searched for; if an event has more, the whole text is masked.
_MOST: Final = 1000
#: What an answer may make of a value.
_CASES: Final = (str, str.upper, str.lower, str.title)

#: Segments below the payload; ``*`` is any of them.
_Field = tuple[str, ...]


class _Gone:
    """Marks what is to be removed."""


_GONE: Final = _Gone()
#: Types of JSON values: those that hold others, and those that hold or are more than null, true and false.
_CONTAINERS: Final = frozenset({dict, list})
_TELLING: Final = frozenset({dict, list, str, int, float})


class Redaction(Struct, frozen=True, kw_only=True):
    """The fields of a source's events that people must not see."""

    #: As they were written: ``attrs.email``.
    paths: tuple[str, ...] = ()
    #: Their paths, below the payload.
    fields: tuple[_Field, ...] = ()
    #: Lower-case names, or ``*``.
    headers: frozenset[str] = frozenset()
    #: Whether the fields are removed from the store too.
    is_stored: bool = False
    #: Names of fields of the query, or ``*``.
    query: frozenset[str] = frozenset()
    #: Lower-case names of headers that are not shown at all: older releases stored those that prove who sends.
    dropped: frozenset[str] = SECRET_HEADERS
    #: The same for fields of the query, which an earlier configuration may have kept.
    dropped_query: frozenset[str] = SECRET_QUERY
    #: Names of the fields of a record that are redacted, or ``*``.
    tracked: frozenset[str] = frozenset()

    def masked(self, payload: object) -> object:
        """The payload with ``•••`` for what is redacted, whole subtrees included; the rest is unchanged.

        A payload without fields (XML, a text) is masked as a whole: its parts cannot be told apart.
        """
        if self.fields and not isinstance(payload, dict | list):
            return MASK
        return _replaced(payload, _fields(self.fields), MASK)

    def masked_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of an event with ``•••`` for the values of redacted ones."""
        if not self.headers and self.dropped.isdisjoint(headers) and not (self.paths and ENVELOPE in headers):
            return headers
        shown = {name: value for name, value in headers.items() if name not in self.dropped}
        return {name: MASK if self._hides(name) else value for name, value in shown.items()}

    def masked_query(self, query: str) -> Mapping[str, str]:
        """The fields of an event's query, as ``masked_headers``."""
        fields = query_fields(query)
        shown = {name: value for name, value in fields.items() if name.lower() not in self.dropped_query}
        return {name: MASK if name in self.query or "*" in self.query else value for name, value in shown.items()}

    def masked_label(self, event: Event) -> str:
        """The label of an event, or ``•••`` if it holds a redacted value."""
        return self.key_mask_of(event)(event.label) if event.label else ""

    def masked_event(self, event: Event, payload: object) -> Event:
        """The event as it may be shown: its body is the JSON of the masked payload."""
        if not self.paths:
            return event
        body = msgspec.json.encode(self.masked(payload)) if self.fields else event.body
        query = urlencode(self.masked_query(event.query)) if event.query else ""
        track = self.masked_track(event.track)
        return replace(event, headers=self.masked_headers(event.headers), body=body, query=query, track=track)

    def masked_track(self, track: bytes) -> bytes:
        """What an event did to its record, with ``•••`` for redacted values."""
        return tracks.masked(track, self.tracked, MASK) if track and self.tracked else track

    def mask_of(self, event: Event) -> Callable[[str], str]:
        """A function that hides the redacted values of an event in a text about it: an error, or an answer that repeats them."""
        return partial(_without, tuple(islice(self._values(event), _MOST + 1))) if self.paths else str

    def key_mask_of(self, event: Event) -> Callable[[str], str]:
        """A function that hides a key as a whole if it holds a redacted value, however short."""
        if not self.paths:
            return str
        values = [value.lower() for value in islice(self._values(event), _MOST + 1)]
        if len(values) > _MOST:
            return lambda _: MASK
        return lambda key: MASK if any(value and value in key.lower() for value in values) else key

    def stripped(self, event: Event) -> bytes:
        """The body that stays in the store: its JSON without the redacted fields; ``{}`` if it is not JSON."""
        if not is_json(event.headers.get("content-type", "")):
            return b"{}"
        try:
            left = _replaced(payload_of(event), _fields(self.fields), _GONE)
        except Unparsable:
            return b"{}"
        return msgspec.json.encode(left) if isinstance(left, dict | list) else b"{}"

    def _hides(self, header: str) -> bool:
        # Nobody can name a field of an envelope, so all of it is hidden.
        return header in self.headers or "*" in self.headers or (header == ENVELOPE and bool(self.paths))

    def _values(self, event: Event) -> Iterator[str]:
        yield from (value for name, value in event.headers.items() if self._hides(name))
        if self.query:
            shown = self.masked_query(event.query)
            yield from (value for name, value in query_fields(event.query).items() if shown.get(name) == MASK)
        if self.tracked and event.track:
            yield from (text for value in tracks.values_of(event.track, self.tracked) for text in _texts(value))
        try:
            payload = payload_of(event)
        except Unparsable:
            return
        yield from (text for found in _found(payload, _fields(self.fields)) for text in _texts(found))


NOTHING: Final = Redaction()
EVERYTHING: Final = Redaction(
    paths=("payload", "headers", "query"),
    fields=((),),
    headers=frozenset({"*"}),
    query=frozenset({"*"}),
    tracked=frozenset({"*"}),
)


def of(naming: Naming, paths: Sequence[str], *, is_stored: bool) -> Redaction:
    """The redaction of paths that begin with ``payload``, ``headers``, ``query`` or a shortcut of the source.

    A shortcut may find a field in several places.
    """
    places = [place for path in paths for place in naming.places(starred_path(path))]
    return Redaction(
        paths=tuple(paths),
        fields=tuple(dict.fromkeys(_names(rest) for root, *rest in places if root == "payload")),
        headers=frozenset(".".join(_names(rest)).lower() for root, *rest in places if root == "headers"),
        query=frozenset(".".join(_names(rest)) for root, *rest in places if root == "query"),
        is_stored=is_stored,
    )


def _names(segments: Sequence[str | Each]) -> _Field:
    return tuple(segment for segment in segments if isinstance(segment, str))


def seen(naming: Naming, path: Path, value: object, facts: Facts, masked: Facts) -> object:
    """What a condition saw at ``path`` of ``facts``, as it may be shown: the value there in ``masked``."""
    for place in naming.places(path):
        if present(facts, place) == value:
            shown = present(masked, place)
            return MASK if shown is MISSING else shown
    return value


# --- walking a payload ---
#
# A step in Python for each list and object, of which a body has few for its size (``payload.parse``), and none for each
# of the texts and numbers in them.


class _Fields:
    """The fields that are redacted, seen from one place of a payload: all at once, so that one walk finds them."""

    def __init__(self, paths: frozenset[_Field]) -> None:
        self._paths = paths
        #: Whether this place is one of them.
        self.is_here = () in paths

    def __bool__(self) -> bool:
        """Whether there is any, here or below."""
        return bool(self._paths)

    @cached_property
    def named(self) -> Mapping[str, "_Fields"]:
        """By the name of a member of an object."""
        names = {path[0] for path in self._paths if path[0] != "*"}
        return {name: _fields(path[1:] for path in self._paths if path[0] in ("*", name)) for name in names}

    @cached_property
    def others(self) -> "_Fields":
        """In every other member."""
        return _fields(path[1:] for path in self._paths if path[0] == "*")

    @cached_property
    def at(self) -> Mapping[int, "_Fields"]:
        """By the position of an element of a list."""
        places = {at for path in self._paths if (at := _position(path[0])) is not None}
        return {at: _fields(self._in_element(at)) for at in places}

    @cached_property
    def elements(self) -> "_Fields":
        """In every other element. A name applies to each of them."""
        return _fields(self._in_element(None))

    def _in_element(self, at: int | None) -> Iterator[_Field]:
        for path in self._paths:
            position = _position(path[0])
            if path[0] == "*" or (position is not None and position == at):
                yield path[1:]
            elif position is None:
                yield path

    def in_object(self, value: Mapping[str, object]) -> Iterator[tuple[str, object, "_Fields"]]:
        """Each member that is or may hold one: its name, itself, and the fields in it."""
        named, others = self.named, self.others
        yield from ((name, value[name], named[name]) for name in named if name in value)
        if others:
            members = value.items() if others.is_here else compress(value.items(), _may_hold(value.values()))
            yield from ((name, each, others) for name, each in members if name not in named)

    def in_list(self, value: Sequence[object]) -> Iterator[tuple[int, object, "_Fields"]]:
        """Each element that is or may hold one: its position, itself, and the fields in it."""
        at, elements = self.at, self.elements
        yield from ((place, value[place], at[place]) for place in at if 0 <= place < len(value))
        if elements:
            each_one = enumerate(value) if elements.is_here else compress(enumerate(value), _may_hold(value))
            yield from ((place, each, elements) for place, each in each_one if place not in at)


@lru_cache(maxsize=4096)
def _fields_of(paths: frozenset[_Field]) -> _Fields:
    return _Fields(paths)


def _fields(paths: Iterable[_Field]) -> _Fields:
    return _fields_of(frozenset(paths))


def _position(segment: str) -> int | None:
    """The position of an element, -1 if no list is as long; None if the segment is not a number."""
    if not (segment.isascii() and segment.isdigit()):
        return None
    return int(segment) if len(segment) < 10 else -1


def _may_hold(values: Iterable[object]) -> Iterator[bool]:
    """Of each value, whether it is a list or an object."""
    return map(_CONTAINERS.__contains__, map(type, values))


def _replaced(value: object, fields: _Fields, by: object) -> object:
    """``value`` with ``by`` for every field: a copy if anything in it changes."""
    if fields.is_here:
        return by
    match value:
        case dict() if fields.others.is_here:
            return {} if by is _GONE else dict.fromkeys(value, by)
        case dict():
            changed = {name: _replaced(each, below, by) for name, each, below in fields.in_object(value)}
            merged = {**value, **changed} if changed else value
            return {name: each for name, each in merged.items() if each is not _GONE} if by is _GONE else merged
        case list() if fields.elements.is_here:
            return [] if by is _GONE else [by] * len(value)
        case list():
            copy = list(value)
            for at, each, below in fields.in_list(value):
                copy[at] = _replaced(each, below, by)
            return [each for each in copy if each is not _GONE] if by is _GONE else copy
    return value


def _found(payload: object, fields: _Fields) -> Iterator[object]:
    """The values of the fields, some of them twice; all values at places that are alike are looked into at once."""
    rest: list[tuple[_Fields, list[object]]] = [(fields, [payload])]
    while rest:
        here, values = rest.pop()
        if here.is_here:
            yield from values
        else:
            rest += _below(here, values).items()


def _below(here: _Fields, values: Collection[object]) -> Mapping[_Fields, list[object]]:
    """What the values hold at their places, by the fields that are there."""
    found: dict[_Fields, list[object]] = {}
    objects = [value for value in values if isinstance(value, dict)]
    lists = [value for value in values if isinstance(value, list)]
    for name, fields in here.named.items():
        found.setdefault(fields, []).extend([value[name] for value in objects if name in value])
    for place, fields in here.at.items():
        found.setdefault(fields, []).extend([value[place] for value in lists if 0 <= place < len(value)])
    for fields, inside in (
        (here.others, chain.from_iterable(map(dict.values, objects))),
        (here.elements, chain.from_iterable(lists)),
    ):
        if fields:
            every = list(inside)
            found.setdefault(fields, []).extend(every if fields.is_here else compress(every, _may_hold(every)))
    # Where nothing is left to look into, a name would be looked for in the elements of no list for ever.
    return {fields: inside for fields, inside in found.items() if inside}


def _texts(value: object) -> Iterator[str]:
    """Every text and number in a value."""
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                yield text
            case bool() | None:
                pass
            case int() | float() as number:
                yield json.dumps(number)
            case dict() as members:
                rest.extend(_telling(members.values()))
            case list() as elements:
                rest.extend(_telling(elements))


def _telling(values: Collection[object]) -> Iterator[object]:
    """Those that are or hold something: not null, true and false."""
    return compress(values, map(_TELLING.__contains__, map(type, values)))


def _without(values: Sequence[str], text: str) -> str:
    if len(values) > _MOST:
        return MASK if text else text
    wanted = {each for value in values for each in (value, value.strip()) if _SHORTEST <= len(each) <= len(text)}
    return hidden_text(text, (Finder(wanted, shapes=_CASES, is_encoded=False),), MASK)
