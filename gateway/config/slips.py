"""Fields that differ by a small slip from those of the samples."""

from gateway.config.mismatches import typo
from gateway.config.samples import Known
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading


def in_tests(reading: Reading, written: FileKeys, known: Known) -> None:
    """Warn of a ``set`` of a test that adds a field which is like one of the samples."""
    for test in written.tests:
        source = test.source.text if test.source else next(iter(written.sources), "")
        samples = [each.facts for each in known.documented.get(source, ())]
        for event in (one for one in (test, *test.events) if one.event):
            for path in event.set:
                if not path.startswith("headers") and (meant := typo(path, samples)):
                    reading.warning(event.name_at("set", path), f"no sample has {path}", f'did you mean "{meant}"?')
