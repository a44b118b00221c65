"""Compiles the ``tests`` of a file: an event, changes to it, and what should happen to it."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from msgspec.structs import replace

from gateway import presets
from gateway.config import checks
from gateway.config.memory import Kept
from gateway.config.schema import foreign
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.reading import Reading, Words
from gateway.config.schema.sources import SourceKeys
from gateway.config.schema.tests import EVENTS, CheckKeys, EventKeys, Expected, TestKeys
from gateway.config.text.reader import Map, Node, Scalar
from gateway.config.ways import made_up_url
from gateway.event.likeness import suggest_type
from gateway.event.paths import PathRefused, split_path
from gateway.routing.cases import Check, Test, header_of
from gateway.store.memory import Subject
from gateway.wording import closest, suggest, suggest_or_list

#: What to write for a file of a test that is not there.
_FILES: Final = "name a file that exists, relative to the folder of routes.yaml"


class TestCompiler:
    """Compiles tests, checked against the names in the file."""

    __test__ = False

    def __init__(
        self,
        reading: Reading,
        sources: Mapping[str, SourceKeys],
        samples: Mapping[str, Collection[str]],
        destinations: Mapping[str, DestinationKeys],
        routes: Collection[str],
        kept: Mapping[str, Kept],
        fetches: Collection[str],
    ) -> None:
        self._reading = reading
        self._sources = sources
        self._samples = samples
        self._destinations = destinations
        self._routes = routes
        self._kept = kept
        self._fetches = fetches

    def test(self, keys: TestKeys, shortcuts: Mapping[str, frozenset[str]]) -> Test | None:
        """Compile one test; None after a problem was reported. ``shortcuts``: by source."""
        before = self._reading.report.errors
        source = self._source(keys)
        self._check_event(keys, source)
        for each in (keys, *keys.events):
            self._check_fields(each, shortcuts.get(source, frozenset()))
            self._check_headers(each)
            self._check_before(each, source)
        self._check_fetched(keys)
        outcome, checks, reason = self._expected(keys.expect or ())
        if self._reading.report.errors != before or keys.name is None:
            return None
        one = _of_event(keys, keys.name.text, source, keys.now)
        events = tuple(_of_event(each, keys.name.text, source, keys.now) for each in keys.events)
        memory = self._memory(keys)
        fetched = {name: plain.value for name, plain in keys.fetched.items()}
        one = replace(one, memory=memory, fetched=fetched)
        return replace(one, outcome=outcome, checks=checks, reason=reason, events=events)

    def _source(self, keys: TestKeys) -> str:
        known = self._sources
        own = self._samples[presets.OWN]
        if _text(keys.source) == presets.OWN or (
            keys.source is None and _text((keys.events[0] if keys.events else keys).event) in own
        ):
            return presets.OWN
        if keys.source is None:
            if len(known) != 1 and not self._reading.has_unread("source"):
                self._reading.error(
                    keys.place,
                    "this test does not say which source its event comes from",
                    f"add source: {next(iter(known), '...')}",
                )
            return next(iter(known), "")
        if keys.source.text not in known:
            self._reading.refuse_unknown("source", keys.source.node, keys.source.shown, known)
        return keys.source.text

    def _check_event(self, keys: TestKeys, source: str) -> None:
        given = [key for key in (*EVENTS, "events") if keys.has(key)]
        if len(given) != 1:
            hint = "write event: contact.created, file: event.json, payload: {...}, or a list under events"
            message = "a test needs one of event, file, payload and events"
            self._reading.error(keys.place, message + (f", not {' and '.join(given)}" if given else ""), hint)
        for key in ("set", "unset", "headers", "query", "before"):
            if "events" in keys.written and key in keys.written:
                message = f'"{key}" does not say which of the events it is about'
                self._reading.error(keys.key_at(key), message, "move it into the element of events")
        for each in keys.events:
            among = [key for key in EVENTS if each.has(key)]
            if len(among) != 1:
                message = "an event of a test needs one of event, file and payload"
                message += f", not {' and '.join(among)}" if among else ""
                self._reading.error(each.place, message, "write {event: contact.created, set: {...}}")
        for each in (keys, *keys.events):
            self._check_sample(each, source)
            self._check_file(each)

    def _check_file(self, keys: EventKeys) -> None:
        """The file of an event is there."""
        if keys.file is not None and not keys.file.is_stand_in:
            path = self._reading.disk.folder / keys.file.text
            if not _is_file(path):
                near = suggest(path.name, _names_in(path.parent))
                self._reading.warning(keys.file.node, f"there is no file {keys.file.shown}", near or _FILES)

    def _check_sample(self, keys: EventKeys, source: str) -> None:
        samples = self._samples.get(source)
        if keys.event is None or samples is None:
            return
        preset = presets.OWN if source == presets.OWN else self._sources[source].preset or ""
        if keys.event.text not in samples:
            hint = suggest_type(keys.event.shown, samples) or "there are none here"
            self._reading.error(keys.event.node, f'unknown sample "{keys.event.shown}" of {preset or source}', hint)

    def _check_fields(self, keys: EventKeys, shortcuts: frozenset[str]) -> None:
        roots = sorted({"payload", "headers", *shortcuts})
        written = [(path, keys.name_at("set", path)) for path in keys.set]
        for path, place in (*written, *((each.text, each.place) for each in keys.unset)):
            try:
                root, *rest = split_path(path)
            except PathRefused as refused:
                self._reading.error(place, f'"{path}" {refused}', refused.hint)
                continue
            if root not in roots or not rest or "" in rest or (root == "headers" and len(rest) > 1):
                hint = _under(path, roots, keys.value_at("set", path))
                self._reading.error(place, f'"{path}" is not a field of the event', hint)

    def _memory(self, keys: TestKeys) -> Mapping[Subject, Mapping[str, object]]:
        """What is remembered; by names that some entry remembers, with the values that it keeps."""
        for name, by_key in keys.memory.items():
            place = keys.name_at("memory", name)
            if name not in self._kept:
                hint = suggest_or_list(name, self._kept) if self._kept else "no entry has remember yet"
                self._reading.error(place, f'nothing is remembered as "{name}"', hint)
                continue
            known = self._kept[name].values
            for other in dict.fromkeys(each for values in by_key.values() for each in values if each not in known):
                hint = suggest_or_list(other, known)
                self._reading.error(place, f'no value "{other}" is remembered as "{name}"', hint)
        return {(name, key): values for name, by_key in keys.memory.items() for key, values in by_key.items()}

    def _check_headers(self, keys: EventKeys) -> None:
        """Only what can be sent as a header."""
        for name, value in keys.headers.items():
            checks.sent_header(self._reading, name, value.text, keys.name_at("headers", name))
        for path, plain in keys.set.items():
            with suppress(PathRefused):
                if (header := header_of(path)) is not None:
                    checks.sent_header(self._reading, header, plain.value, keys.name_at("set", path))

    def _check_before(self, keys: EventKeys, source: str) -> None:
        """Only what a source remembers can be known."""
        known = self._sources.get(source)
        if keys.before is not None and known is not None and known.track is None:
            message = f'"before": source "{source}" remembers nothing of its records'
            self._reading.error(keys.key_at("before"), message, f"add track: 180d to {source}, or remove before")

    def _check_fetched(self, keys: TestKeys) -> None:
        for name in keys.fetched:
            if name not in self._fetches:
                hint = suggest_or_list(name, self._fetches) if self._fetches else "add fetch to a route, or remove it"
                self._reading.error(keys.name_at("fetched", name), f'no route fetches "{name}"', hint)

    # --- expect ---

    def _expected(
        self, expected: Sequence[Expected]
    ) -> tuple[Literal["deliveries", "ignored", "rejected", "failed"], tuple[Check, ...], str]:
        match expected:
            case [Expected(name=Scalar(text="ignored" | "rejected" as outcome), check=None)] if (
                outcome not in self._destinations
            ):
                return ("ignored" if outcome == "ignored" else "rejected"), (), ""
            case [Expected(name=Scalar(text="failed"), check=Scalar(text=reason))] if (
                "failed" not in self._destinations
            ):
                if reason == "":
                    hint = "write part of it: {failed: the event has no field}"
                    self._reading.error(expected[0].name, '"failed" has no reason', hint)
                return "failed", (), reason
        self._refuse_twice(expected)
        return "deliveries", tuple(check for each in expected if (check := self._check(each)) is not None), ""

    def _refuse_twice(self, expected: Sequence[Expected]) -> None:
        seen: set[tuple[str, str]] = set()
        for each in expected:
            route, _, name = each.name.text.rpartition(">")
            line = route.strip(), name.strip()
            if line in seen:
                hint = "write it once; {count: 2} says how many deliveries go there"
                self._reading.error(each.name, f'"{each.name.text}" is expected twice', hint)
            seen.add(line)

    def _check(self, expected: Expected) -> Check | None:
        route, arrow, name = expected.name.text.rpartition(">")
        destination = name.strip()
        if destination not in self._destinations:
            types = {each: keys.type for each, keys in self._destinations.items()}
            meant = _NOTHING.get(destination) or checks.meant_destination(destination, types)
            self._reading.refuse_unknown("destination", expected.name, destination, self._destinations, meant)
        if arrow:
            self._reading.refuse_unknown("route", expected.name, route.strip(), self._routes)
        base = Check(place=expected.name.place, destination=destination, route=route.strip() or None)
        match expected.check:
            case CheckKeys() as keys:
                return _asked(base, keys)
            case Scalar(text="verbatim"):
                return Check(place=base.place, destination=base.destination, route=base.route, verbatim=True)
            case Scalar(text=text) as node:
                self._reading.error(node, f'"{text}" is not a valid expectation', _said(node))
        return base


def _under(path: str, roots: Sequence[str], node: Node | None) -> str:
    """What to write instead of a path without one of the roots, or of a root with all of its fields."""
    if path in roots and isinstance(node, Map) and node.pairs:
        return f"write {', '.join(_dotted(path, node))}"
    root, dot, rest = path.partition(".")
    if (near := closest(root, roots, closeness=0.7)) and near != root and dot:
        return f'did you mean "{near}.{rest}"?'
    if root == "headers":
        return "name one header: headers.x-github-event"
    home = next((each for each in roots if each not in ("payload", "headers")), "payload")
    example = f"{home}.name" if path in roots else f"payload.{path}" if "." in path else f"{home}.{path}"
    return f"start with one of {', '.join(roots)}: {example}"


#: Words for no delivery at all.
_NOTHING: Final = dict.fromkeys(("none", "nothing", "nobody", "null"), "write expect: [] for no delivery")


def _said(node: Scalar) -> str:
    """What to write for a number of deliveries, or for what a delivery contains."""
    match node.value:
        case bool() | int() as number if number < 1:
            return "remove it: a destination that is not listed must get nothing"
        case True:
            return "write {count: 1}"
        case int() as number:
            return f"write {{count: {number}}}"
    shown = foreign.shown(node) if _WORDS.fullmatch(node.text) else "..."
    return suggest(node.text, ["verbatim"], closeness=0.8) or f"write {{contains: {shown}}}, or verbatim"


#: A text that a hint may repeat.
_WORDS: Final = re.compile(r"[\w .,-]{1,60}")


def _dotted(path: str, node: Node) -> Iterator[str]:
    """The lines of a map in maps with the whole path of each value."""
    if isinstance(node, Map) and node.pairs:
        for pair in node.pairs:
            yield from _dotted(f"{path}.{pair.key.text}", pair.value)
    else:
        yield f"{path}: {foreign.shown(node)}"


def _of_event(keys: EventKeys, name: str, source: str, now: float | None) -> Test:
    """An event as a test that expects nothing."""
    return Test(
        name=name,
        place=keys.place,
        source=source,
        event=_text(keys.event),
        file=_text(keys.file),
        payload=keys.payload,
        headers={name.lower(): value.text for name, value in keys.headers.items()},
        set={path: plain.value for path, plain in keys.set.items()},
        unset=tuple(path.text for path in keys.unset),
        query={name: value.text for name, value in keys.query.items()},
        before=None if keys.before is None else {name: plain.value for name, plain in keys.before.items()},
        now=now,
    )


def _asked(base: Check, keys: CheckKeys) -> Check:
    return Check(
        place=base.place,
        destination=base.destination,
        route=base.route,
        method=keys.method,
        url=None if keys.url is None else made_up_url(base.destination, keys.url).text,
        headers={name.lower(): value.text for name, value in keys.headers.items()},
        json=keys.json,
        json_contains=keys.json_contains,
        text=_text(keys.text),
        contains=tuple(each.text for each in keys.contains),
        not_contains=tuple(each.text for each in keys.not_contains),
        count=keys.count,
        waits_until=keys.waits_until,
    )


def _text(words: Words | None) -> str | None:
    return None if words is None else words.text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _names_in(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except (OSError, ValueError):
        return []
