"""The fields that conditions, templates and ``order_by`` may name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway import presets
from gateway.config.impossible import impossible
from gateway.config.mismatches import elsewhere
from gateway.config.schema.conditions import Field
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.config.shortcuts import ATTRS
from gateway.config.text.reader import Scalar
from gateway.config.tracking import fields_path
from gateway.event import tracks
from gateway.event.conditions import changes_in
from gateway.event.naming import EVENT_FIELDS, INVALID, INVALID_FIELDS
from gateway.event.paths import MISSING, ROOTS, Path, PathRefused, as_written, parse_path, present
from gateway.render import actions
from gateway.render.grammar import instead_of_field
from gateway.wording import suggest, suggest_or_list

#: The fields of `delivery`, in `failed`.
_DELIVERY_FIELDS: Final = ("id", "destination", "route", "attempts", "reason", "status", "count", "link")


#: A path as templates and JSONPath have it.
_UNWRAPPED: Final = re.compile(r"\{\{\s*(?P<braces>[^{}\s]+)\s*\}\}|\$\.(?P<below>.+)")


class Fields:
    """Checks the paths of fields against the roots that sources have, and the fields known below them."""

    def __init__(self, reading: Reading, written: FileKeys) -> None:
        self._reading = reading
        self._vars = written.vars
        #: With the gateway's own.
        self.sources: Mapping[str, SourceKeys] = {
            **written.sources,
            presets.OWN: SourceKeys(place=written.place, written={}, preset=presets.OWN),
        }

    def shortcuts(self, source: str) -> frozenset[str]:
        """The roots that a source adds; if its preset is unknown, those of every preset."""
        keys = self.sources[source]
        named = presets.NAMES if keys.preset is None else (keys.preset,)
        return frozenset(keys.shortcuts).union(*(presets.load(name).naming.shortcut_names for name in named))

    def without_attrs(self, sources: Sequence[str]) -> Sequence[str]:
        """Those of some sources that have no preset and do not declare ``attrs``, which templates may name all the same."""
        keys = ((source, self.sources[source]) for source in sources)
        return [
            name
            for name, each in keys
            if not each.has("preset") and each.preset is None and ATTRS not in each.shortcuts
        ]

    def usual_root(self, sources: Sequence[str]) -> str:
        """Where a field probably is that only has a name: below ``attrs``, if events of all these sources have it."""
        return ATTRS if all(map(self._has_attrs, sources)) else "payload"

    def _has_attrs(self, source: str) -> bool:
        keys = self.sources[source]
        return ATTRS in (self.shortcuts(source) if keys.has("preset") else keys.shortcuts)

    def tracked(self, sources: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Where the fields are that these sources remember of their records; those without ``track`` are absent."""
        keys = {source: self.sources[source].track for source in sources}
        return {source: fields_path(track) for source, track in keys.items() if track is not None}

    @property
    def everywhere(self) -> frozenset[str]:
        """Every root that any source has."""
        return ROOTS.union(
            *map(self.shortcuts, self.sources), tracks.ROOTS if self.tracked(tuple(self.sources)) else ()
        )

    def roots(self, sources: Sequence[str]) -> frozenset[str]:
        """The roots that all of these sources have, as far as they have a preset; else those that they declare."""
        keys = [self.sources[source] for source in sources]
        known = [self.shortcuts(source) for source in sources if self.sources[source].preset is not None]
        declared = [frozenset(each.shortcuts) | {ATTRS} for each in keys if each.preset is None]
        # Without a source nothing is rendered, and its problem is reported elsewhere.
        own = tracks.ROOTS if sources and len(self.tracked(sources)) == len(sources) else frozenset[str]()
        return ROOTS | own | frozenset.intersection(*(known or declared or [frozenset({ATTRS})]))

    def check_condition(self, field: Field, sources: Sequence[str], roots: frozenset[str]) -> None:
        """Report a condition on a path that no event of these sources can have, or that no event can meet."""
        if self.check(field.path, sources, roots):
            for message, hint in (*impossible(field, self.sources), *self._unknown_changes(field, sources)):
                self._reading.error(field.path, message, hint)

    def check_named(self, field: Field) -> None:
        """Report a condition that no event of any source can meet."""
        if self.check(field.path, tuple(self.sources), self.everywhere):
            for message, hint in impossible(field, self.sources):
                self._reading.error(field.path, message, hint)

    def _unknown_changes(self, field: Field, sources: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Why what became of a field is not known for these sources, and what to write."""
        change = next(changes_in(field.conditions), None)
        if change is None:
            return
        tracked = self.tracked(sources)
        for source in sources:
            if source not in tracked:
                known = next(iter(tracked), "")
                yield (
                    f'"{change.text}" asks what changed, and source "{source}" does not remember that',
                    f"add source: {known}, or track: 180d to the source {source}"
                    if known
                    else f"add track: 180d to {source}",
                )
                return
            fields = tracked[source]
            if change.path[: len(fields)] != fields or len(change.path) == len(fields):
                shown = as_written(fields)
                yield (
                    f'"{change.text}" asks what changed, and source "{source}" remembers what is below {shown}',
                    f"name a field of it: {shown}.{change.path[-1]}",
                )
                return

    def check(self, path: Scalar, sources: Sequence[str], roots: frozenset[str]) -> bool:
        """Whether events of these sources can have a path; reports it if not."""
        before = len(self._reading.report.problems)
        try:
            self._check(path, parse_path(path.text), sources, roots)
        except PathRefused as refused:
            self._reading.error(path, f'"{path.text}" {refused}', refused.hint)
        return len(self._reading.report.problems) == before

    def _check(self, path: Scalar, parsed: Path, sources: Sequence[str], roots: frozenset[str]) -> None:
        root, below = parsed[0], parsed[1:]
        rest = [segment if isinstance(segment, str) else "[*]" for segment in below]
        if not isinstance(root, str) or root not in roots:
            hint = self._hint(path.text.partition(".")[0], path.text, sources, roots)
            self._reading.error(path, f'unknown field "{path.text}"', hint)
        elif not rest or "" in rest:
            hint = "write the field after the dot: "
            hint += 'event.action: created; or match: "*.created"' if root == "event" else f"{root}.name"
            self._reading.error(path, f'"{path.text}" does not name a field', hint)
        elif root == "event" and (len(rest) > 1 or rest[0] not in EVENT_FIELDS):
            self._reading.error(path, f'event has no field "{".".join(rest)}"', instead_of_field(rest[0], path.text))
        elif root == "vars" and present({name: each.value for name, each in self._vars.items()}, below) is MISSING:
            self._reading.error(path, f'vars has no "{".".join(rest)}"', suggest_or_list(rest[0], self._vars))
        elif root == "delivery" and (len(rest) > 1 or rest[0] not in _DELIVERY_FIELDS):
            hint = suggest_or_list(rest[0], _DELIVERY_FIELDS)
            self._reading.error(path, f'delivery has no field "{".".join(rest)}"', hint)
        elif root == INVALID and (len(rest) > 1 or rest[0] not in INVALID_FIELDS):
            hint = suggest_or_list(rest[0], INVALID_FIELDS)
            self._reading.error(path, f'invalid has no field "{".".join(rest)}"', hint)
        elif root == "query" and len(rest) > 1:
            name = ".".join(rest)
            self._reading.error(path, f'a field of the query has no parts: "{name}"', f"write query.{rest[0]}")
        elif root == "headers" and (len(rest) > 1 or rest[0] != rest[0].lower()):
            self._reading.error(
                path,
                f'"{".".join(rest)}" is not a valid header name here',
                "write header names in lower case: headers.x-webhook-event",
            )

    def check_anywhere(self, path: Scalar) -> bool:
        """Whether events of any source can have a path; reports it if not."""
        return self.check(path, tuple(self.sources), self.everywhere)

    def _hint(self, root: str, path: str, sources: Sequence[str], roots: frozenset[str]) -> str:
        if bare := _UNWRAPPED.fullmatch(path):
            below = bare["below"] or ""
            is_path = re.split(r"[.\[]", below, maxsplit=1)[0] in roots
            return f"write {bare['braces'] or (below if is_path else f'payload.{below}')}"
        if right := actions.field(path):
            return f"write {right}"
        if root == "delivery":
            return '"delivery" exists only in entries under failed'
        if root == INVALID:
            return '"invalid" exists only in entries under invalid'
        declaring = [source for source in sources if root in self.shortcuts(source)]
        if root in tracks.ROOTS:
            known = next(iter(self.tracked(sources)), "")
            lacking = next((source for source in sources if source not in self.tracked(sources)), "a source")
            return f"{root} needs track: add {f'source: {known}, or ' if known else ''}track: 180d to {lacking}"
        if declaring:
            return f"not every source of this route has {root}: add source: {declaring[0]}"
        if right := elsewhere(path, self._reading.samples):
            return right
        if "." in path and (suggestion := suggest(root, sorted(roots))):
            return suggestion
        return f"start with one of {', '.join(sorted(roots))}: {self.usual_root(sources)}.{path}"
