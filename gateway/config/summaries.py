"""The summary of a source: the template that says what its events are about."""

from gateway import presets
from gateway.config.messages import compiled
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.destinations.escapes import no_escape
from gateway.model import Text
from gateway.render import Renderer, Templates, TemplateText


def summary(reading: Reading, keys: SourceKeys, templates: Templates) -> Renderer[Text] | None:
    """The source's own, or else its preset's; None if neither has one, or after a problem was reported."""
    written = keys.summary
    if written is None and (usual := presets.load(keys.preset or "").summary):
        written = TemplateText(usual, keys.place)
    return None if written is None else compiled(reading, templates.text, written, no_escape)
