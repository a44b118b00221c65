"""What is remembered of the record that an event is about: what was known before it, what it changed, what is known now.

A record is the last known value of each of its fields. Partial updates are merged field by field: a field that an event
does not have keeps its value, and one that was never seen is unknown, which is not a value. Pure, and total.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.event.paths import MISSING, Facts

#: The longest field that is remembered, and the longest record, bytes of JSON. What has no room is unknown to later events.
MOST_FIELD: Final = 16 * 1024
MOST_RECORD: Final = 64 * 1024

#: No more bytes than these of what is stored say which record it is; and which do.
KEY_BYTES: Final = 1024
_STORED_KEY: Final = re.compile(rb'\["(?:[^"\\]|\\.)*"', re.DOTALL)

#: The roots that an event of a tracked source has.
BEFORE: Final = "before"
CHANGES: Final = "changes"
RECORD: Final = "record"
ROOTS: Final = frozenset({BEFORE, CHANGES, RECORD})


class Track(Struct, frozen=True, array_like=True):
    """What one event did to its record; stored with the event, and as the record until the next event."""

    #: Identifies the record within its source.
    key: str
    #: The fields that are known after the event.
    record: dict[str, Any]
    #: The fields that it changed, with the values that they had before.
    changed: dict[str, Any] = {}
    #: Names of fields of ``record`` that were unknown before.
    added: tuple[str, ...] = ()

    @property
    def before(self) -> Mapping[str, Any]:
        """The fields that were known before the event."""
        if not self.changed and not self.added:
            return self.record
        added = frozenset(self.added)
        return {name: value for name, value in {**self.record, **self.changed}.items() if name not in added}


def merged(key: str, before: Mapping[str, Any], fields: Mapping[str, Any]) -> Track:
    """What an event with these ``fields`` does to a record of which ``before`` is known."""
    record, changed, added = dict(before), dict[str, Any](), list[str]()
    for name, value in fields.items():
        known = record.get(name, MISSING)
        if known is MISSING:
            added.append(name)
            record[name] = value
        elif (known != value) if type(known) is type(value) and type(value) in _PLAIN else not same(known, value):
            changed[name] = known
            record[name] = value
    return Track(key, record, changed, tuple(added))


#: Types that need no look inside.
_PLAIN: Final = frozenset({str, int, type(None)})


def same(one: object, other: object) -> bool:
    """Whether two values are equal in JSON: 1 is 1.0, but true is not 1."""
    if one != other:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool)


def written(key: str, stored: bytes, fields: Mapping[str, Any], omitted: Collection[str] = ()) -> tuple[Track, bytes]:
    """What an event with these ``fields`` does to its record: as a Track, and as it is stored.

    ``stored`` is the record as the event before it has left it; empty: nothing is known yet. ``omitted`` are names of
    fields that are not remembered.
    """
    track = decoded(stored)
    before: Mapping[str, Any] = track.record if track is not None else {}
    if omitted:
        before, fields = _without(before, omitted), _without(fields, omitted)
    after = merged(key, before, fields)
    written = _encode(after)
    # Nothing in it can be longer than all of it.
    if len(written) > MOST_FIELD:
        after = _bounded(after)
        written = _encode(after)
    return after, written


def _without(fields: Mapping[str, Any], omitted: Collection[str]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name not in omitted}


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Track).decode


def encoded(track: Track) -> bytes:
    """As it is stored."""
    return _encode(track)


def _bounded(track: Track) -> Track:
    kept: dict[str, Any] = {}
    left = MOST_RECORD
    for name, value in track.record.items():
        size = len(_encode({name: value}))
        if size <= min(MOST_FIELD, left):
            kept[name] = value
            left -= size
    return Track(track.key, kept, track.changed, tuple(name for name in track.added if name in kept))


@lru_cache(maxsize=64)
def decoded(stored: bytes) -> Track | None:
    """Not to be changed; None if nothing was stored, or if it is damaged."""
    try:
        return _decode(stored) if stored else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def key_of(stored: bytes) -> str:
    """Identifies the record that an event is about; empty if nothing was stored."""
    track = decoded(stored)
    return "" if track is None else track.key


def only_key(stored: bytes) -> bytes | None:
    """What is left of what was stored when nothing but the record's key may be; None: not even that, it is damaged.

    Its first ``KEY_BYTES`` are enough.
    """
    found = _STORED_KEY.match(stored)
    return None if found is None else found[0] + b",{}]"


def before_of(stored: bytes) -> Mapping[str, Any]:
    """The fields that were known before an event."""
    track = decoded(stored)
    return {} if track is None else track.before


def facts_of(stored: bytes, fields: Mapping[str, Any]) -> Facts:
    """The roots ``before``, ``changes`` and ``record`` of an event with these ``fields``."""
    track = decoded(stored)
    return {BEFORE: {}, CHANGES: [], RECORD: fields} if track is None else roots(track, fields)


def roots(track: Track, fields: Mapping[str, Any]) -> Facts:
    """The same for an event that does this. ``record`` has what the event itself says even where that had no room."""
    record = {**fields, **track.record}
    changes = [{"name": name, "before": was, "after": record.get(name)} for name, was in track.changed.items()]
    return {BEFORE: track.before, CHANGES: changes, RECORD: record}


# --- conditions on what changed ---


def is_other(before: object, now: object) -> bool:
    """Whether a value was known, is known, and is another one."""
    return before is not MISSING and now is not MISSING and not same(before, now)


# --- what people may see ---


def is_one_of(name: str, names: Collection[str]) -> bool:
    """Whether a field is among these; ``*`` is every one."""
    return name in names or "*" in names


def masked(stored: bytes, names: Collection[str], mask: str) -> bytes:
    """What was stored, with ``mask`` for the values of the fields among ``names``."""
    track = decoded(stored)
    if track is None:
        return b""
    record, changed = (
        {name: mask if is_one_of(name, names) else value for name, value in fields.items()}
        for fields in (track.record, track.changed)
    )
    return _encode(Track(track.key, record, changed, track.added))


def fields_of(stored: bytes) -> tuple[Mapping[str, Any], ...]:
    """The fields after the event, and those that it changed as they were."""
    track = decoded(stored)
    return () if track is None else (track.record, track.changed)


def values_of(stored: bytes, names: Collection[str]) -> Iterator[object]:
    """The values of the fields among ``names``, before and after the event."""
    for fields in fields_of(stored):
        yield from (value for name, value in fields.items() if is_one_of(name, names))
