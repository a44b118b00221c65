"""The JSON Schema of a source: read from its file, compiled, and every mistake in it reported."""

from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.config.samples import Known
from gateway.config.schema.file import FileKeys
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.event.schemas import Schema, SchemaRefused
from gateway.routing.sources import Source

#: The largest file of a schema, bytes.
MOST: Final = 256 * 1024
_HINT: Final = "name a JSON file, relative to the folder of routes.yaml: schemas/contact.json"


def with_schema(reading: Reading, keys: SourceKeys, source: Source) -> Source:
    """The source with the schema that it names, if it names one that can be used."""
    written = keys.schema
    if written is None or written.is_stand_in:
        return source
    called = f'schema: "{written.shown}"'
    try:
        data = reading.disk.read(written.text, MOST + 1)
    except (OSError, ValueError) as error:
        why = ((error.strerror if isinstance(error, OSError) else "") or "it cannot be read").lower()
        reading.error(written.node, f"{called} cannot be used: {why}", _HINT)
        return source
    if len(data) > MOST:
        reading.error(written.node, f"{called} has more than {MOST >> 10} KiB", "keep in it what the payloads need")
        return source
    try:
        return replace(source, schema=Schema.compile(msgspec.json.decode(data)))
    except SchemaRefused as refused:
        reading.error(written.node, f"{called}: {refused}", refused.hint)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reading.error(written.node, f"{called} is not JSON: {error}", _HINT)
    return source


def advise(reading: Reading, written: FileKeys, known: Known) -> None:
    """Warn of a schema whose misfits nobody hears of, of a section that takes nothing, and of samples that do not fit."""
    named = {name: keys.schema for name, keys in written.sources.items() if keys.schema is not None}
    if written.invalid and not named:
        message, hint = (
            "invalid never matches: no source has a schema",
            "add schema: to a source, or remove the section",
        )
        reading.warning(written.invalid[0].place, message, hint)
    for name, schema in named.items():
        if not written.invalid:
            message = f'events of "{name}" that do not fit its schema are reported nowhere'
            reading.warning(schema.node, message, 'write a section: invalid: [{to: ..., text: "{{ invalid.reason }}"}]')
        for sample in known.documented.get(name, ()):
            if misfit := sample.event.invalid:
                message = f"the sample {sample.called} does not fit it: {misfit.path} {misfit.reason}"
                reading.warning(schema.node, message, "correct the schema, unless the sample is wrong")
                break
