"""Sample events: the documented ones of presets, those in a source's own folder, and the events of ``tests``."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway import presets
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.errors import GatewayError
from gateway.event.paths import Facts
from gateway.event.patterns import resource_and_action
from gateway.model import Event
from gateway.presets import CONTENT_TYPES, Preset
from gateway.routing.cases import Test, body_of, headers_of
from gateway.routing.sources import Received, Source
from gateway.wording import few

#: The most files of one folder that are read.
_MOST: Final = 1000
#: The end of a file with a whole request.
REQUEST: Final = ".request.json"

#: What is said of a sample that has its promised fields only.
LEAST: Final = " (with the fields that are always present)"

#: By name, body and headers.
Files = Mapping[str, tuple[bytes, Mapping[str, str]]]


class Sample(Struct, frozen=True):
    """One sample event of a source, as rules and templates see it: whole, or with its promised fields only."""

    source: Source
    event: Event
    facts: Facts
    called: str


def with_samples(reading: Reading, name: str, keys: SourceKeys, source: Source, preset: Preset) -> Source:
    """The source with the samples of its preset and its own; one of its own replaces one of the same name."""
    own = _own(reading, name, keys)
    found = replace(
        source,
        samples={**preset.samples, **{each: body for each, (body, _) in own.items()}},
        sample_headers={**preset.sample_headers, **{each: headers for each, (_, headers) in own.items()}},
        own_samples=frozenset(own),
        samples_folder="" if keys.samples is None else keys.samples.text.rstrip("/"),
    )
    _advise_types(reading, keys, found)
    return found


def _advise_types(reading: Reading, keys: SourceKeys, source: Source) -> None:
    """Warn of the source's own samples that lack the header which names their type."""
    lacking = {
        name: header
        for name in sorted(source.own_samples)
        for header, _ in filter(None, [source.missing_header(source.samples[name], source.sample_headers[name])])
    }
    if lacking and keys.samples is not None:
        nouns, verb, whose = ("sample", "has", "its") if len(lacking) == 1 else ("samples", "have", "their")
        message = f'the {nouns} {few(lacking)} of "{source.name}" {verb} no type'
        header = next(iter(lacking.values()))
        hint = f"{whose} type is in the header {header}: save the event with its headers, as NAME{REQUEST}"
        reading.warning(keys.samples.node, message, hint)


def _own(reading: Reading, name: str, keys: SourceKeys) -> Files:
    if keys.samples is None or keys.samples.is_stand_in:
        return {}
    folder = reading.disk.folder / keys.samples.text
    found = dict[str, tuple[bytes, Mapping[str, str]]]()
    try:
        files = sorted(file for file in folder.rglob("*") if file.is_file())[:_MOST] if folder.is_dir() else []
        for file in files:
            found |= _file(file, file.relative_to(folder).as_posix(), keys.max_body)
    except (OSError, ValueError) as error:
        reading.warning(keys.samples.node, f'samples of "{name}": {error}', "correct the file, or remove it")
        return found
    if not found:
        hint = "put events there: order.paid.json, or order.paid.request.json with headers"
        reading.warning(keys.samples.node, f'no sample of "{name}" is in {keys.samples.shown.rstrip("/")}/', hint)
    return found


def _file(file: Path, name: str, most: int) -> Files:
    """One sample by its name; none for a file of another kind. Raises OSError, or ValueError that names the file."""
    stem, _, suffix = name.rpartition(".")
    if not stem or suffix not in CONTENT_TYPES:
        return {}
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} is larger than max_body")
    if not name.endswith(REQUEST):
        return {stem: (data, {"content-type": CONTENT_TYPES[suffix]})}
    return {name.removesuffix(REQUEST): request_in(data, name)}


def request_in(data: bytes, name: str) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of a request in a file, as ``gateway sign --json`` prints it. Raises ValueError that names the file."""
    try:
        written = json.loads(data)
        body = base64.b64decode(written["body_base64"]) if "body_base64" in written else written["body"].encode()
        headers = {str(header).lower(): str(value) for header, value in written.get("headers", [])}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ValueError(f"{name} is not a request as gateway sign --json prints it") from None
    return body, {"content-type": CONTENT_TYPES["json"], **headers}


# --- as rules see them ---


def documented(source: Source) -> Iterator[Sample]:
    """The samples that say what a source sends; those of a preset for any sender are mere examples."""
    preset = presets.load(source.preset)
    parsed = {name: _parsed(source, body, source.sample_headers[name]) for name, body in source.samples.items()}
    known = _known(source, parsed.values())
    for name, first in parsed.items():
        if first is None or (preset.any_types and name not in source.own_samples):
            continue
        sample = _sample(source, first)
        yield from _remembered(sample, known.get(_subject(first.event.type), {}))
        promised, attrs = preset.promised.get(sample.called), sample.facts.get("attrs")
        if promised is not None and isinstance(attrs, Mapping) and name not in source.own_samples:
            least = {name: value for name, value in attrs.items() if name in promised}
            called = f"{sample.called}{LEAST}"
            yield replace(sample, facts={**sample.facts, "attrs": least}, called=called)


def _known(source: Source, parsed: Iterable[Received | None]) -> Mapping[str, Mapping[str, object]]:
    """By subject, the fields that its samples have together; none without ``track``."""
    found: dict[str, dict[str, object]] = {}
    if source.naming.tracking is not None:
        for each in filter(None, parsed):
            fields = source.naming.tracking.fields_in(source.naming.facts(each.event, each.payload))
            found.setdefault(_subject(each.event.type), {}).update(fields)
    return found


def _remembered(sample: Sample, known: Mapping[str, object]) -> Iterator[Sample]:
    """The sample as an event about a record that was ``known``, then as the first one about it; as it is without ``track``."""
    source, event, payload = sample.source, sample.event, sample.facts["payload"]
    if source.naming.tracking is None:
        yield sample
        return
    after = source.naming.after(event, payload, known)
    yield replace(sample, event=after, facts=source.naming.facts(after, payload))
    yield replace(sample, called=f"{sample.called} (the first event about its record)")


def _subject(event_type: str) -> str:
    return resource_and_action(event_type)[0]


def tested(tests: Iterable[Test], sources: Mapping[str, Source], folder: Path) -> Mapping[str, Sequence[Sample]]:
    """By source, the events of tests; those that cannot be made are reported when the tests run."""
    found: dict[str, list[Sample]] = {}
    for test in (one for each in tests for one in each.each):
        source, has_event = sources.get(test.source), test.event or test.file or test.payload
        if source is None or not has_event:
            continue
        try:
            body, headers = body_of(test, source, folder), headers_of(test, source)
        except (GatewayError, OSError, ValueError):
            continue
        first = _parsed(source, body, headers)
        if first is not None:
            found.setdefault(test.source, []).append(_sample(source, first, test.before))
    return found


def untyped(tests: Iterable[Test], sources: Mapping[str, Source], folder: Path) -> Iterator[tuple[Test, str, str]]:
    """The tests whose event lacks the header that names its type, with that header and an example of its value."""
    for test in (one for each in tests for one in each.each if each.outcome != "rejected"):
        source = sources.get(test.source)
        # Of a sample, it is said of its source.
        if source is None or test.event is not None or not (test.file or test.payload):
            continue
        try:
            lacking = source.missing_header(body_of(test, source, folder), headers_of(test, source))
        except (GatewayError, OSError, ValueError):
            continue
        if lacking is not None:
            yield test, *lacking


def _sample(source: Source, first: Received, before: Mapping[str, object] | None = None) -> Sample:
    event = source.naming.after(first.event, first.payload, before) if before is not None else first.event
    return Sample(source, event, source.naming.facts(event, first.payload), event.type)


def _parsed(source: Source, body: bytes, headers: Mapping[str, str]) -> Received | None:
    """The first event of a request; None if it cannot be parsed."""
    raw = [(key.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for key, value in headers.items()]
    try:
        first = source.received(raw, body, now=0.0)[0]
    except GatewayError:
        return None
    return replace(first, event=replace(first.event, id="evt_sample"))


class Known:
    """What is known of the events of every source."""

    def __init__(self, sources: Mapping[str, Source], tests: Iterable[Test], folder: Path) -> None:
        self.sources = sources
        #: By source; none where nothing documents what it sends.
        self.documented = {name: tuple(documented(source)) for name, source in sources.items()}
        #: By source, the events of its tests.
        self.tested = tested(tests, sources, folder)
        #: Tests whose event has no type, each with the header that would name it and an example of its value.
        self.untyped = tuple(untyped(tests, sources, folder))

    def types(self, sources: Sequence[str]) -> frozenset[str]:
        """The types of the samples and of the tests of these sources."""
        return frozenset(each.event.type for each in (*self.samples(sources), *self.tests(sources)))

    def samples(self, sources: Sequence[str]) -> Sequence[Sample]:
        """Those that document what these sources send."""
        return [sample for source in sources for sample in self.documented.get(source, ())]

    def tests(self, sources: Sequence[str]) -> Sequence[Sample]:
        """The events of tests."""
        return [sample for source in sources for sample in self.tested.get(source, ())]

    def are_all_documented(self, sources: Sequence[str]) -> bool:
        """Whether there are samples of every one of these sources, so that what none of them has is worth a warning."""
        return all(self.documented.get(source) for source in sources)
