"""The summary of a source: the template that says what its events are about."""

from msgspec.structs import replace

from gateway import presets
from gateway.config.messages import compiled
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.destinations.escapes import no_escape
from gateway.errors import Place, TemplateRefused
from gateway.model import Text
from gateway.render import Renderer, Templates, TemplateText
from gateway.routing import Source


def summary(reading: Reading, keys: SourceKeys, templates: Templates) -> Renderer[Text] | None:
    """The source's own, or else its preset's; None if neither has one, or after a problem was reported."""
    if keys.summary is not None:
        return compiled(reading, templates.text, keys.summary, no_escape)
    return _usual(keys.preset or "", keys.place, templates)


def with_usual(source: Source, templates: Templates) -> Source:
    """A source that is not in the file, with the summary of its preset."""
    return replace(source, summary=_usual(source.preset, Place(source.name), templates))


def _usual(preset: str, place: Place, templates: Templates) -> Renderer[Text] | None:
    said = presets.load(preset).summary
    try:
        return templates.text(TemplateText(said, place), no_escape) if said else None
    except TemplateRefused:
        # The source has another problem, for which its events have no shortcuts.
        return None
