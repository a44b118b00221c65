"""The summary of a source: the template that says what its events are about."""

from gateway import presets
from gateway.config.messages import compiled
from gateway.config.schema.reading import Reading
from gateway.config.schema.sources import SourceKeys
from gateway.destinations.escapes import no_escape
from gateway.errors import TemplateRefused
from gateway.model import Text
from gateway.render import Renderer, Templates, TemplateText


def summary(reading: Reading, keys: SourceKeys, templates: Templates) -> Renderer[Text] | None:
    """The source's own, or else its preset's; None if neither has one, or after a problem was reported."""
    if keys.summary is not None:
        return compiled(reading, templates.text, keys.summary, no_escape)
    usual = presets.load(keys.preset or "").summary
    try:
        return templates.text(TemplateText(usual, keys.place), no_escape) if usual else None
    except TemplateRefused:
        # The source has another problem, for which its events have no shortcuts.
        return None
