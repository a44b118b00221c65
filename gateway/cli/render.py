"""``gateway render``: one template alone, with one event."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway.cli import check
from gateway.cli.place import Place
from gateway.cli.play import play
from gateway.cli.terminal import pretty
from gateway.config import format_problem
from gateway.destinations import KINDS
from gateway.destinations.escapes import Escaper
from gateway.errors import ConfigError, RenderError, TemplateRefused
from gateway.errors import Place as Line
from gateway.event.paths import ROOTS, Facts
from gateway.hiding.masks import Masks
from gateway.model import Json, Raw
from gateway.rehearsal.showing import secretless
from gateway.render import Templates

#: The place of what was typed: a problem there is about the name of the template.
_TYPED: Final = Line("gateway render")


def render(
    place: Place,
    *,
    template: str,
    event: str,
    source: str,
    changes: Sequence[str],
    headers: Sequence[str],
    before: Sequence[str],
    kind: str | None,
    as_json: bool,
) -> int:
    """Print what the template renders; 1 and the place in it when it cannot be compiled or rendered."""
    name = template.removeprefix("./").removeprefix("templates/")
    try:
        loaded = place.loaded()
    except ConfigError as error:
        _report(error, f"templates/{name}")
        return 1
    rehearsal = play(loaded, place, event, source=source, changes=changes, headers=headers, before=before)
    reader = KINDS.get(kind or name.partition("/")[0], KINDS["http"])
    try:
        made = _rendered(place.config.parent / "templates", name, reader.escape, rehearsal.facts, loaded.masks)
    except TemplateRefused as error:
        for problem in error.problems:
            print(format_problem(problem), file=sys.stderr)
        return 2 if any(problem.place == _TYPED for problem in error.problems) else 1
    except RenderError as error:
        print(f"{error}  (with {rehearsal.event.type})", file=sys.stderr)
        return 1
    print(loaded.masks.text(_as_json(made) if as_json else _as_text(made)))
    return 0


def _report(error: ConfigError, file: str) -> None:
    """The problems of the template, or if it has none those of the rest."""
    own = [problem for problem in error.problems if problem.place.file == file]
    check.report(ConfigError(own) if own else error)


def _rendered(folder: Path, name: str, escape: Escaper, facts: Facts, masks: Masks) -> Json | Raw:
    templates = Templates(folder, roots=ROOTS | facts.keys(), hide=masks.text)
    render = templates.file(name, _TYPED, escape)
    try:
        return render({**facts, "vars": secretless(facts["vars"], masks)})
    except RenderError:
        # The template may compute with what is hidden.
        return render(facts)


def _as_text(made: Json | Raw) -> str:
    match made:
        case Json(value):
            return pretty(msgspec.json.encode(value))
        case Raw(body):
            return pretty(body)


def _as_json(made: Json | Raw) -> str:
    match made:
        case Json(value):
            return pretty(msgspec.json.encode({"content_type": "application/json", "content": value}))
        case Raw(body, content_type):
            content = {"content_type": content_type, "content": body.decode("utf-8", "replace")}
            return pretty(msgspec.json.encode(content))
