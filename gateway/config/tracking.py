"""``track`` of a source: what identifies its records, which of their fields are remembered, and for how long."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from msgspec.structs import replace

from gateway.config.samples import Known
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading, Words
from gateway.config.schema.sources import SourceKeys, TrackKeys
from gateway.event import tracks
from gateway.event.braces import template_problem
from gateway.event.naming import Naming, Tracking
from gateway.event.paths import PathRefused, split_path, starred_path
from gateway.hiding.redaction import Redaction
from gateway.presets import Preset

#: Where the fields of a record usually are.
ATTRS: Final = "attrs"
#: Every field.
ANY: Final = "*"


def fields_path(keys: TrackKeys) -> tuple[str, ...]:
    """Where the fields are that a source remembers, as it is written; only ``attrs`` if that cannot be read."""
    try:
        return split_path(keys.fields.text) if keys.fields else (ATTRS,)
    except PathRefused:
        return (ATTRS,)


def tracked(
    reading: Reading, name: str, keys: SourceKeys, preset: Preset, naming: Naming, redaction: Redaction
) -> tuple[Naming, Redaction]:
    """With what the source remembers, and what to hide of it; reports every problem."""
    if keys.track is None or keys.track.for_s is None:
        return naming, redaction
    before = reading.report.errors
    per = _per(reading, name, keys, keys.track, preset)
    _check_fields(reading, name, keys, naming)
    if reading.report.errors != before:
        return naming, redaction
    tracking = Tracking.compile(per, keys.track.fields.text if keys.track.fields else ATTRS, keys.track.for_s)
    hidden = frozenset(chain.from_iterable(_names(naming, path, tracking.fields) for path in redaction.paths))
    if redaction.is_stored:
        tracking = replace(tracking, omitted=hidden)
        _refuse_removed(reading, name, keys, tracking, redaction)
    return replace(naming, tracking=tracking), replace(redaction, tracked=hidden)


def _per(reading: Reading, name: str, keys: SourceKeys, track: TrackKeys, preset: Preset) -> Sequence[str]:
    if track.per is None:
        if not preset.record:
            why = f"the preset {preset.name} does not say" if preset.name else "without a preset, per must say"
            message = f'track of source "{name}": {why} what identifies a record'
            hint = 'write track: {per: "{payload.type}:{payload.id}", for: 180d}'
            reading.error(keys.key_at("track"), message, hint)
        return preset.record
    if not track.per:
        hint = 'write what identifies a record: "{payload.id}"'
        reading.error(track.key_at("per"), f'per of track of source "{name}" is an empty list', hint)
    for each in track.per:
        problem = template_problem(each.text)
        if problem is None and "{" not in each.text:
            problem = (f'"{each.shown}" is the same for every event, so all of them would be one record', _braces(each))
        if problem is not None:
            reading.error(each.node, f'per of track of source "{name}": {problem[0]}', problem[1])
    return [each.text for each in track.per]


def _braces(written: Words) -> str:
    path = written.shown if written.shown.startswith("payload.") else f"payload.{written.shown}"
    return f'write "{{{path}}}", with the braces'


def _check_fields(reading: Reading, name: str, keys: SourceKeys, naming: Naming) -> None:
    track = keys.track
    assert track is not None
    for shortcut in keys.shortcuts:
        if shortcut in tracks.ROOTS:
            message = f'source "{name}": the shortcut "{shortcut}" hides what track knows'
            reading.error(keys.name_at("shortcuts", shortcut), message, "rename the shortcut")
    roots = ("payload", *sorted(naming.shortcut_names))
    if track.fields is None:
        if ATTRS not in naming.shortcut_names:
            message = f'track of source "{name}": its events have no attrs'
            hint = "say where the fields of a record are: track: {fields: payload.data, ...}"
            reading.error(keys.key_at("track"), message, hint)
        return
    try:
        root, *rest = split_path(track.fields.text)
    except PathRefused as refused:
        reading.error(track.fields.node, f'fields of track: "{track.fields.shown}" {refused}', refused.hint)
        return
    if root not in roots or "" in rest:
        message = f'fields of track of source "{name}": "{track.fields.shown}" is not a part of the payload'
        reading.error(track.fields.node, message, f"start with one of {', '.join(roots)}: payload.data")


def _names(naming: Naming, path: str, fields: tuple[str, ...]) -> Iterator[str]:
    """The fields of a record that a redacted path is or belongs to; ANY: it has them all."""
    root, *rest = fields
    homes = [(*first, *rest) for first in naming.shortcuts[root].first] if root in naming.shortcuts else [tuple(fields)]
    for place in naming.places(starred_path(path)):
        for home in homes:
            if all(one in (other, ANY) for one, other in zip(map(str, place), home, strict=False)):
                yield str(place[len(home)]) if len(place) > len(home) else ANY


def _refuse_removed(reading: Reading, name: str, keys: SourceKeys, tracking: Tracking, redaction: Redaction) -> None:
    """What has to go after the last delivery is not remembered for months."""
    place = keys.key_at("track")
    if ANY in tracking.omitted:
        message = f'track of source "{name}": redact removes every field that it would remember'
        reading.error(place, message, "redact single fields, or remove track")
        return
    for template in tracking.per:
        for path in Naming.compile((template,), {}).types[0].paths:
            if path[0] == "payload" and any(
                len(path) > len(field) and all(one in (other, ANY) for one, other in zip(field, path[1:], strict=False))
                for field in redaction.fields
            ):
                message = f'track of source "{name}": {".".join(path)} identifies its records, and redact removes it'
                reading.error(place, message, "identify them by another field: track: {per: ...}")


def advise(reading: Reading, written: FileKeys, known: Known) -> None:
    """Warn of records that no sample is about."""
    for name, source in known.sources.items():
        tracking, samples = source.naming.tracking, known.samples([name])
        if tracking is not None and samples and not any(tracking.key(each.facts) for each in samples):
            message = f'no sample of "{name}" has what identifies a record, so nothing would be remembered'
            place = written.sources[name].key_at("track")
            reading.warning(place, message, "name fields that exist: track: {per: ...}")
