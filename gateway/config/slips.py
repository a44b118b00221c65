"""Slips in tests: fields that differ a little from those of the samples, and events without a type."""

from gateway.config.mismatches import typo
from gateway.config.samples import Known
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading
from gateway.config.schema.tests import EventKeys
from gateway.routing.sources import Source
from gateway.wording import closest_header


def in_tests(reading: Reading, written: FileKeys, known: Known) -> None:
    """Warn of a ``set`` of a test that adds a field which is like one of the samples, and of an event that has no type."""
    for each, header, value in known.untyped:
        message = f'the event of the test "{each.name}" has no type, which is in the header {header}'
        reading.warning(each.place, message, f"add headers: {{{header}: ...}}, for example {value}")
    for test in written.tests:
        source = test.source.text if test.source else next(iter(written.sources), "")
        samples = [each.facts for each in known.documented.get(source, ())]
        for one in (test, *test.events):
            _headers(reading, one, known.sources.get(source))
        for event in (one for one in (test, *test.events) if one.event):
            for path in event.set:
                if not path.startswith("headers") and (meant := typo(path, samples)):
                    reading.warning(event.name_at("set", path), f"no sample has {path}", f'did you mean "{meant}"?')


def _headers(reading: Reading, keys: EventKeys, source: Source | None) -> None:
    """Warn of a header that is like one which the sender sends."""
    if source is None:
        return
    sent = {name for headers in source.sample_headers.values() for name in headers}
    for name in keys.headers:
        if name.lower() not in sent and (meant := closest_header(name, sorted(sent))):
            message = f'"{name}" is not a header of this sender'
            reading.warning(keys.name_at("headers", name), message, f'did you mean "{meant}"?')
