"""What a source redacts: shown as •••, and removed from the store after the last delivery if the source says so.

Matching and delivery use the real values; whatever shows an event masks it here first. Total on any payload.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Unparsable
from gateway.event.naming import Naming
from gateway.event.paths import MISSING, Facts, lookup, split_path
from gateway.event.payload import SECRET_HEADERS, is_json, parse, payload_of
from gateway.hiding.finder import Finder, hidden_text
from gateway.model import Event

MASK: Final = "•••"
#: Characters from which a redacted value is masked in a text about its event: a shorter one is part of a word.
_SHORTEST: Final = 4
#: Redacted values that are searched for; if an event has more, the whole text is masked.
_MOST: Final = 1000
#: What an answer may make of a value.
_CASES: Final = (str, str.upper, str.lower, str.title)

Path = tuple[str, ...]


class _Gone:
    """Marks what is to be removed."""


_GONE: Final = _Gone()


class Redaction(Struct, frozen=True, kw_only=True):
    """The fields of a source's events that people must not see."""

    #: As they were written: ``attrs.email``.
    paths: tuple[str, ...] = ()
    #: Their paths, below the payload.
    fields: tuple[Path, ...] = ()
    #: Lower-case names, or ``*``.
    headers: frozenset[str] = frozenset()
    #: Whether the fields are removed from the store too.
    is_stored: bool = False
    #: Lower-case names of headers that are not shown at all: older releases stored those that prove who sends.
    dropped: frozenset[str] = SECRET_HEADERS

    def masked(self, payload: object) -> object:
        """The payload with ``•••`` for what is redacted, whole subtrees included; the rest is unchanged.

        A payload without fields (XML, a text) is masked as a whole: its parts cannot be told apart.
        """
        if self.fields and not isinstance(payload, dict | list):
            return MASK
        return _replaced(payload, self.fields, MASK)

    def masked_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of an event with ``•••`` for the values of redacted ones."""
        if not self.headers and self.dropped.isdisjoint(headers):
            return headers
        shown = {name: value for name, value in headers.items() if name not in self.dropped}
        return {name: MASK if self._hides(name) else value for name, value in shown.items()}

    def masked_label(self, event: Event) -> str:
        """The label of an event, or ``•••`` if it holds a redacted value."""
        return self.key_mask_of(event)(event.label) if event.label else ""

    def masked_event(self, event: Event, payload: object) -> Event:
        """The event as it may be shown: its body is the JSON of the masked payload."""
        if not self.paths:
            return event
        body = msgspec.json.encode(self.masked(payload)) if self.fields else event.body
        return replace(event, headers=self.masked_headers(event.headers), body=body)

    def mask_of(self, event: Event) -> Callable[[str], str]:
        """A function that hides the redacted values of an event in a text about it: an error, or an answer that repeats them."""
        return partial(_without, tuple(islice(self._values(event), _MOST + 1))) if self.paths else str

    def key_mask_of(self, event: Event) -> Callable[[str], str]:
        """A function that hides a key as a whole if it holds a redacted value, however short."""
        if not self.paths:
            return str
        values = [value.lower() for value in self._values(event) if value]
        return lambda key: MASK if any(value in key.lower() for value in values) else key

    def stripped(self, event: Event) -> bytes:
        """The body that stays in the store: its JSON without the redacted fields; ``{}`` if it is not JSON."""
        if not is_json(event.headers.get("content-type", "")):
            return b"{}"
        try:
            left = _replaced(parse(event.body), self.fields, _GONE)
        except Unparsable:
            return b"{}"
        return msgspec.json.encode(left) if isinstance(left, dict | list) else b"{}"

    def _hides(self, header: str) -> bool:
        return header in self.headers or "*" in self.headers

    def _values(self, event: Event) -> Iterator[str]:
        yield from (value for name, value in event.headers.items() if self._hides(name))
        try:
            payload = payload_of(event)
        except Unparsable:
            return
        for field in self.fields:
            yield from (text for found in _found(payload, field) for text in _texts(found))


NOTHING: Final = Redaction()
EVERYTHING: Final = Redaction(paths=("payload", "headers"), fields=((),), headers=frozenset({"*"}))


def of(naming: Naming, paths: Sequence[str], *, is_stored: bool) -> Redaction:
    """The redaction of paths that begin with ``payload``, ``headers`` or a shortcut of the source.

    A shortcut may find a field in several places.
    """
    places = [place for path in paths for place in naming.places(split_path(path))]
    return Redaction(
        paths=tuple(paths),
        fields=tuple(dict.fromkeys(tuple(rest) for root, *rest in places if root == "payload")),
        headers=frozenset(".".join(rest).lower() for root, *rest in places if root == "headers"),
        is_stored=is_stored,
    )


def seen(naming: Naming, path: Path, value: object, facts: Facts, masked: Facts) -> object:
    """What a condition saw at ``path`` of ``facts``, as it may be shown: the value there in ``masked``."""
    for place in naming.places(path):
        if lookup(facts, place) == value:
            shown = lookup(masked, place)
            return MASK if shown is MISSING else shown
    return value


# --- walking a payload ---


def _replaced(payload: object, fields: Sequence[Path], by: object) -> object:
    for field in fields:
        payload = _with(payload, field, by)
    return payload


def _with(value: object, path: Path, by: object) -> object:
    """A copy of ``value`` with ``by`` at ``path``: ``*`` is any segment, a name applies to each element of a list."""
    if not path:
        return by
    match value:
        case dict():
            changed = {
                name: _with(each, path[1:], by) if path[0] in ("*", name) else each for name, each in value.items()
            }
            return {name: each for name, each in changed.items() if each is not _GONE}
        case list():
            elements = [_with(each, rest, by) if rest is not None else each for each, rest in _elements(value, path)]
            return [each for each in elements if each is not _GONE]
    return value


def _elements(values: Sequence[object], path: Path) -> Iterator[tuple[object, Path | None]]:
    """Each element with the rest of the path; None if the path does not lead to it."""
    head, rest = path[0], path[1:]
    if not (head.isascii() and head.isdigit()):
        yield from ((each, rest if head == "*" else path) for each in values)
        return
    wanted = int(head) if len(head) < 10 else -1
    yield from ((each, rest if at == wanted else None) for at, each in enumerate(values))


def _found(value: object, path: Path) -> Iterator[object]:
    """The values at ``path``, found as ``_with`` finds them."""
    if not path:
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            if path[0] in ("*", name):
                yield from _found(each, path[1:])
    elif isinstance(value, list):
        for each, rest in _elements(value, path):
            if rest is not None:
                yield from _found(each, rest)


def _texts(value: object) -> Iterator[str]:
    """Every text and number below a value."""
    match value:
        case str():
            yield value
        case bool() | None:
            return
        case int() | float():
            yield json.dumps(value)
        case dict():
            yield from (text for each in value.values() for text in _texts(each))
        case list():
            yield from (text for each in value for text in _texts(each))


def _without(values: Sequence[str], text: str) -> str:
    if len(values) > _MOST:
        return MASK if text else text
    wanted = {each for value in values for each in (value, value.strip()) if _SHORTEST <= len(each) <= len(text)}
    return hidden_text(text, (Finder(wanted, shapes=_CASES, is_encoded=False),), MASK)
