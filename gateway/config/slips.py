"""Slips in tests: fields that differ a little from those of the samples, and events without a type."""

from gateway.config.mismatches import typo
from gateway.config.samples import Known
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading


def in_tests(reading: Reading, written: FileKeys, known: Known) -> None:
    """Warn of a ``set`` of a test that adds a field which is like one of the samples, and of an event that has no type."""
    for each, header, value in known.untyped:
        message = f'the event of the test "{each.name}" has no type, which is in the header {header}'
        reading.warning(each.place, message, f"add headers: {{{header}: ...}}, for example {value}")
    for test in written.tests:
        source = test.source.text if test.source else next(iter(written.sources), "")
        samples = [each.facts for each in known.documented.get(source, ())]
        for event in (one for one in (test, *test.events) if one.event):
            for path in event.set:
                if not path.startswith("headers") and (meant := typo(path, samples)):
                    reading.warning(event.name_at("set", path), f"no sample has {path}", f'did you mean "{meant}"?')
