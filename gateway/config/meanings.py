"""What the variables of templates lead to: ``item`` of a loop to ``payload.line_items[*]``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from gateway.config.mismatches import written_as_field
from gateway.errors import Place
from gateway.event.paths import Path, PathRefused, parse_path
from gateway.render import TemplateText
from gateway.render.silent import leading


class Meanings:
    """Those of some templates, which are read only if a field of one is asked for."""

    def __init__(self, texts: Callable[[], Iterable[TemplateText]] = tuple) -> None:
        self._texts = texts

    def path(self, place: Place, field: str) -> Path:
        """Where a field that is written at a place is in an event; empty if that cannot be said."""
        try:
            root, *below = parse_path(field)
        except PathRefused:
            return ()
        return (*self._leading(place).get(str(root), (root,)), *below)

    def as_written(self, place: Place, field: str, hint: str) -> str:
        """A hint about where a field leads, in the words of its template; empty if it has none for it."""
        variable = field.partition(".")[0].partition("[")[0]
        if (path := self._leading(place).get(variable)) is not None:
            hint = hint.replace(written_as_field(path), variable)
        return "" if "[*]" in hint else hint

    def _leading(self, place: Place) -> Mapping[str, Path]:
        return {
            name: path
            for first, last, names in self._all
            if first.file == place.file and first.line <= place.line <= last.line
            for name, path in names.items()
        }

    @cached_property
    def _all(self) -> Sequence[tuple[Place, Place, Mapping[str, Path]]]:
        """The first and the last place of each template, and what its variables lead to."""
        found = ((text.place, text.at(len(text.text)), leading(text)) for text in self._texts())
        return [each for each in found if each[2]]
