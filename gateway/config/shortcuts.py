"""Fields below ``attrs`` in entries whose sources do not have that shortcut."""

from collections.abc import Collection, Iterable, Sequence

from gateway.config.mismatches import elsewhere
from gateway.config.schema.reading import Reading
from gateway.errors import Place
from gateway.event.paths import Facts
from gateway.wording import joined

#: The shortcut to the record, which nearly every preset has; a source of one's own may declare it.
ATTRS = "attrs"


def undeclared(
    reading: Reading, sources: Collection[str], fields: Iterable[tuple[str, Place]], samples: Sequence[Facts]
) -> None:
    """Warn of fields below ``attrs`` that templates and conditions name; ``sources``: those that lack it."""
    found: dict[Place, dict[str, str]] = {}
    for path, place in fields:
        root, _, below = path.partition(".")
        if root == ATTRS and below:
            meant = elsewhere(path, samples).removeprefix('did you mean "').removesuffix('"?')
            found.setdefault(place, {})[path] = meant if samples else f"payload.{below}"
    noun, verb = ("source", "has") if len(sources) == 1 else ("sources", "have")
    names = joined([f'"{name}"' for name in sources])
    for place, meant_by in found.items():
        right = joined([each for each in meant_by.values() if each])
        hint = f"{f'write {right}' if right else 'name a field of the payload'}, or declare it there: shortcuts: {{attrs: payload}}"
        message = f"the {noun} {names} {verb} no shortcut attrs, so there is no {joined(list(meant_by))}"
        reading.warning(place, message, hint)
