"""The JSON Schema of a source: read from its file, compiled, and every mistake in it reported."""

from typing import Final

import msgspec
from msgspec.structs import replace

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
