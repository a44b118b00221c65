"""Reads, rewrites and compiles template texts and files, each once; every problem has its file and line."""

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import reduce
from operator import or_
from pathlib import Path, PurePosixPath
from types import CodeType
from typing import Final

from jinja2 import BaseLoader, Environment, Template, TemplateSyntaxError, nodes
from msgspec import Struct
from msgspec.structs import asdict, replace

from gateway.destinations import KINDS
from gateway.destinations.escapes import Escaper
from gateway.destinations.markup import TAGS
from gateway.errors import Place, Problem, TemplateRefused
from gateway.render import direct, forms, weave
from gateway.render.brackets import check_markup, check_tags
from gateway.render.filters import PRICES, TESTS
from gateway.render.grammar import Refused, SeveralRefused
from gateway.render.keys import Keys, keys_of
from gateway.render.sandbox import Sandbox
from gateway.render.steps import STEPS
from gateway.render.tags import mistake_in
from gateway.render.texts import TemplateText, line_of, parse
from gateway.render.unknown import UnknownRoot, did_you_mean

JSON_ENDING: Final = ".json.j2"
TEXT_ENDING: Final = ".txt.j2"
HTML_ENDING: Final = ".html.j2"
FORM_ENDING: Final = ".form.j2"
ENDINGS: Final = (JSON_ENDING, TEXT_ENDING, HTML_ENDING, FORM_ENDING)
MAX_FILE: Final = 1 << 20


class Source(TemplateText, frozen=True):
    """The text of one template, and the places of its lines."""

    #: Its name in the templates' folder; empty for a text of routes.yaml.
    name: str = ""

    @classmethod
    def of(cls, text: TemplateText) -> "Source":
        return cls(text.text, text.place, text.breaks)

    def on(self, line: int) -> Place:
        """The place of a line. The column is known only on the first line of an inline text."""
        return replace(line_of(self.place, line), column=self.place.column if line == 1 else 0)

    def refused(self, line: int, message: str, hint: str = "", *, column: int | None = None) -> TemplateRefused:
        """The error for one problem."""
        return TemplateRefused(self.problem(line, message, hint, column=column))

    def refused_at(self, offset: int, message: str, hint: str) -> TemplateRefused:
        """The error for a problem at one character."""
        return self.refused(self.line(offset), message, hint, column=self.column(offset))

    def problem(self, line: int, message: str, hint: str, *, value: int = 0, column: int | None = None) -> Problem:
        """The problem on that line; ``value``: at the first, second ... value on it; ``column``: counted from 0."""
        lines = self.lines()
        whole = lines[line - 1] if 0 < line <= len(lines) else ""
        shown = whole if self.name else ""
        place = self.on(line)
        word = _NAMED.match(message)
        at = re.search(rf"(?<![\w.]){word[1]}\b", shown) if word else None
        if at is not None:
            return Problem(replace(place, column=at.start() + 1), message, hint, line_text=shown)
        if value and shown.count("{{") >= value:
            column = len("{{".join(shown.split("{{")[:value]))
        if column is not None and shown:
            place = replace(place, column=column + 1)
        near = "" if shown or (column is None and word is None) else word[1] if word else _as_written(whole[column:])
        return Problem(place, message, hint, line_text=shown, near=near)


def _as_written(text: str) -> str:
    """The beginning of a text that the file has as it is, and not as an escape."""
    return re.split(r"[\n\t]", text, maxsplit=1)[0].rstrip()


#: A message about a name that is on the line.
_NAMED: Final = re.compile(r'unknown \w+ "(\w+)"')
#: An expression that a hint shows as a template has it.
_IN_BRACES: Final = re.compile(r"\{\{ (.*?) \}\}")


def _without_braces(hint: str) -> str:
    """A hint about one expression, whose author writes no braces."""
    written = re.fullmatch(r"write (?!\{%)(.+)", _IN_BRACES.sub(r"\1", hint), re.DOTALL)
    return f"write {forms.bare(written[1])}" if written else _IN_BRACES.sub(r"\1", hint)


class Compiled(Struct, frozen=True):
    """A template that can be rendered."""

    template: Template
    #: What running it once costs beyond the values it handles, in characters.
    cost: int
    #: Whether it is a single expression, whose value is kept.
    whole: bool
    #: Of JSON: its keys, and those of what it includes.
    keys: Keys
    #: Prints it in a fraction of the time; None: it has something that only Jinja runs.
    closure: direct.Evaluate | None = None


class Folder:
    """The template files; nothing outside the folder is ever read."""

    def __init__(self, path: Path, texts: dict[str, str]) -> None:
        self._path = path
        #: The texts of the files read so far, by name: each is read once.
        self._texts = texts

    def read(self, name: str, used_at: Place) -> Source:
        """The file called ``name`` (``slack/lead.json.j2``). Raises TemplateRefused."""
        if not name.endswith(ENDINGS):
            hint = self._suggestion(name) or "the ending decides how values are escaped"
            endings = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            raise _problem(used_at, f'template "{name}" must end in {endings}', hint)
        place = Place(f"{self._path.name}/{name}", 1)
        if name not in self._texts:
            self._texts[name] = self._text(name, used_at, place)
        return Source(self._texts[name], place, name=name)

    def _text(self, name: str, used_at: Place, place: Place) -> str:
        file = self._file(name)
        if file is None:
            raise _problem(used_at, f'unknown template "{name}"', self._suggestion(name))
        try:
            if file.stat().st_size > MAX_FILE:
                raise _problem(place, f"a template has at most {MAX_FILE:,} bytes")
            return file.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise _problem(used_at, f'template "{name}" cannot be read: {error.strerror}') from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise _problem(Place(place.file, line), "this line is not UTF-8", "save the file as UTF-8") from None

    def _file(self, name: str) -> Path | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or str(path) != name:
            return None
        try:
            file = (self._path / path).resolve()
            # A link may point elsewhere in the folder, as in a mounted ConfigMap, but not out of it.
            return file if file.is_file() and file.is_relative_to(self._path.resolve()) else None
        except (OSError, RuntimeError):
            return None

    def _suggestion(self, name: str) -> str:
        inside = name.removeprefix(f"{self._path.name}/")
        if inside != name:
            return f"names are relative to {self._path.name}/: write {inside}"
        found = (file.relative_to(self._path).as_posix() for end in ENDINGS for file in self._path.rglob(f"*{end}"))
        known = [one for one in found if self._file(one)]
        return did_you_mean(name, known) or f"put it into {self._path.name}/"


def _problem_of(source: Source, refused: Refused, *, is_bare: bool) -> Problem:
    hint = refused.in_condition if is_bare else refused.hint
    found = source.problem(refused.line, refused.message, hint, value=refused.value)
    if refused.unknown is None:
        return found
    return UnknownRoot(**asdict(found), path=refused.unknown.path, around=refused.unknown.around)


def _problem(place: Place, message: str, hint: str = "") -> TemplateRefused:
    return TemplateRefused(Problem(place, message, hint))


class _Included(BaseLoader):
    """Serves files that were compiled together with the one that includes them; reads nothing at run time."""

    def __init__(self) -> None:
        self.templates: dict[str, Template] = {}

    def load(self, environment: Environment, name: str, globals: object = None) -> Template:  # noqa: ARG002 - Jinja's
        return self.templates[name]


#: What to write instead of a value in angle brackets, where those are markup.
_INSTEAD_OF_MARKUP: Final[Mapping[Escaper, str]] = {
    kind.escape: kind.instead_of_markup for kind in KINDS.values() if kind.instead_of_markup
}

#: How values are escaped in texts that have HTML's tags.
_WITH_TAGS: Final = frozenset(kind.escape for kind in KINDS.values() if kind.fields and TAGS in kind.fields.text.reads)

#: Characters that the reader of a value can be shown, by how it is escaped; others show all of it.
_LONGEST: Final[Mapping[Escaper, int]] = {
    kind.escape: kind.longest for kind in KINDS.values() if kind.longest is not None
}

#: The code, the cost of running it, whether it is a single expression, its keys, and a closure that does the same.
_Woven = tuple[CodeType, int, bool, Keys, direct.Evaluate | None]

#: Code of earlier loads, by everything it depends on: a reload changes a few of a thousand templates.
_kept: dict[Hashable, _Woven] = {}
_MOST_KEPT: Final = 10_000


def _keep(key: Hashable, woven: _Woven) -> None:
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    _kept[key] = woven


class Compiler:
    """Compiles the templates that escape values in one way."""

    def __init__(self, escape: Escaper, folder: Folder, roots: Collection[str]) -> None:
        self._escape = escape
        self._folder = folder
        self._roots = frozenset(roots)
        self._included = _Included()
        self._sandbox = Sandbox(escape, _LONGEST.get(escape), PRICES, self._included)
        self._sandbox.filters = dict(STEPS)
        self._sandbox.tests = dict(TESTS)
        #: By text and position: a thousand routes often share a text.
        self._inline: dict[Hashable, Compiled] = {}
        self._files: dict[str, tuple[Source, Compiled]] = {}
        self._open: list[str] = []

    def inline(self, source: Source, start: weave.Position, *, leaf: bool = False) -> Compiled:
        """A text of routes.yaml. If it is a ``leaf`` and a single expression, its value is kept."""
        key = (source.text, source.breaks, start, leaf)
        if key not in self._inline:
            self._inline[key] = self._compile(source, start, leaf=leaf)
        return self._inline[key]

    def expression(self, source: Source) -> Compiled:
        """One bare expression, whose truth is kept."""
        try:
            compiled = self.inline(source.within("{{ ", " }}"), "truth", leaf=True)
        except TemplateRefused as refused:
            bare = (replace(each, hint=_without_braces(each.hint)) for each in refused.problems)
            raise TemplateRefused(*bare) from None
        if not compiled.whole:
            raise source.refused(
                1, "this is not one expression", 'write it bare: attrs.type == "lead" and not attrs.email'
            )
        return compiled

    def is_constant(self, expression: str) -> bool:
        """Whether a bare expression, which compiles, uses nothing of an event."""
        tree = self._sandbox.parse(f"{{{{ {expression} }}}}")
        return not any(node.name in self._roots for node in tree.find_all(nodes.Name))

    def file(self, name: str, used_at: Place) -> tuple[Source, Compiled]:
        """A file of the folder, and everything it includes."""
        if name not in self._files:
            source = self._folder.read(name, used_at)
            if name in self._open:
                raise _problem(used_at, f'template "{name}" includes itself: {" > ".join([*self._open, name])}')
            self._open.append(name)
            try:
                compiled = self._compile(source, "value" if name.endswith(JSON_ENDING) else "text")
            finally:
                self._open.pop()
            self._files[name] = source, compiled
            self._included.templates[name] = compiled.template
        return self._files[name]

    def _compile(self, source: Source, start: weave.Position, *, leaf: bool = False) -> Compiled:
        named = (source.name, source.name and source.place.file)
        key = (source.text, source.breaks, *named, start, leaf, self._roots, self._escape)
        kept = _kept.get(key)
        if kept is None:
            kept, alone = self._woven(source, start, leaf=leaf)
            if alone:
                _keep(key, kept)
        code, cost, whole, keys, closure = kept
        return Compiled(Template.from_code(self._sandbox, code, {}, None), cost, whole, keys, closure)

    def _woven(self, source: Source, start: weave.Position, *, leaf: bool) -> tuple[_Woven, bool]:
        """The code of a template, and whether it includes no other."""
        try:
            tree = parse(self._sandbox, source)
            others = nodes.Include | nodes.Import | nodes.FromImport
            alone = not any(isinstance(node, others) for node in tree.find_all(nodes.Stmt))
            whole = leaf and weave.whole_expression(tree)
            cost = weave.cost_of(tree)
            if start == "value":
                weave.punctuated(tree)
            keys = [keys_of(tree)] if start == "value" else []
            if self._escape in _INSTEAD_OF_MARKUP:
                check_markup(tree, _INSTEAD_OF_MARKUP[self._escape])
            hows = _places_of_html(tree) if source.name.endswith(HTML_ENDING) else None
            if start == "text" and not leaf and self._escape in _WITH_TAGS:
                check_tags(tree)
            place: weave.Position = "result" if whole and start == "text" else start
            weave.weave(tree, place, self._roots, self._include(source, keys), hows)
            code = self._sandbox.compile(tree, source.name or None, source.place.file if source.name else None)
        except Refused as refused:
            # Here and below: nobody who starts with a file that is in order waits for the tables of other languages.
            from gateway.render.foreign import advice

            foreign = advice(source, refused.line, is_bare=start == "truth")
            if foreign is not None:
                raise source.refused_at(*foreign) from None
            each = refused.each if isinstance(refused, SeveralRefused) else (refused,)
            raise TemplateRefused(*(_problem_of(source, one, is_bare=start == "truth") for one in each)) from None
        except TemplateSyntaxError as error:
            from gateway.render.foreign import advice
            from gateway.render.syntax import fault, in_plain_words

            opened = mistake_in(source.text, is_bare=start == "truth")
            if opened is not None and source.line(opened.at) <= error.lineno:
                raise source.refused_at(opened.at, opened.message, opened.hint) from None
            foreign = advice(source, error.lineno, is_bare=start == "truth")
            if foreign is not None:
                raise source.refused_at(*foreign) from None
            message = error.message or "syntax error"
            found = fault(source, error.lineno, message, self._roots, is_bare=start == "truth")
            if found is not None and start != "truth":
                raise source.refused_at(found.at, found.message, found.hint) from None
            words = (found.message, found.hint) if found else in_plain_words(message, is_bare=start == "truth")
            raise source.refused(error.lineno, *words) from None
        except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
            raise source.refused(1, f"the template is too deep or too large: {error}") from None
        return (code, cost, whole, reduce(or_, keys, Keys()), direct.closure(tree)), alone

    def _include(self, source: Source, keys: list[Keys]) -> Callable[[str, int], int]:
        ending = next((end for end in ENDINGS if source.name.endswith(end)), TEXT_ENDING)

        def include(name: str, line: int) -> int:
            if not name.endswith(ending):
                raise source.refused(
                    line, f'"{name}" cannot be used here', f"only {ending} files escape values in the same way"
                )
            compiled = self.file(name, source.on(line))[1]
            keys.append(compiled.keys)
            return compiled.cost

        return include


def _places_of_html(tree: nodes.Template) -> Mapping[int, str]:
    # Imported when it is needed: most files have no HTML.
    from gateway.render import html

    return html.check(tree)
