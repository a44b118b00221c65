"""Templates: compiled once, rendered in a sandbox, with every value escaped for its place.

A value of an event can never break the output it is printed into, exhaust the process, or reach anything but the event.
What is wrong with a template is reported when it is compiled; whatever goes wrong with one event is a RenderError with
the template's line.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from gateway.destinations import KINDS
from gateway.destinations.escapes import Escaper, html_escape, no_escape
from gateway.destinations.fields import Fields
from gateway.destinations.markup import Writer
from gateway.errors import Place, Problem, RenderError, TemplateRefused
from gateway.model import Json, Raw, Text
from gateway.render.compiler import FORM_ENDING, HTML_ENDING, JSON_ENDING, Compiler, Folder, Source
from gateway.render.filters import FUNCTIONS
from gateway.render.finish import FINISH, FORM_TYPE, form, header_value, parsed, query_value, safe_path, tidy
from gateway.render.keys import Keys
from gateway.render.names import Namespace
from gateway.render.run import T, renderer, total
from gateway.render.texts import TemplateText
from gateway.render.values import OMIT, Omit, Trouble, encodable, form_escape
from gateway.render.weave import Position

__all__ = ["FORM_TYPE", "FUNCTIONS", "Namespace", "Omit", "Renderer", "TemplateText", "Templates", "Tree", "is_literal"]

_ESCAPE_OF_ENDING: Final[Mapping[str, Escaper]] = {HTML_ENDING: html_escape, FORM_ENDING: form_escape}

#: From the facts of an event, or the Namespace of a message made of them, to what is sent.
#: Raises RenderError and nothing else.
Renderer = Callable[[Mapping[str, object]], T]


#: A ``body:``. Only its TemplateText leaves and keys are templates; everything else is sent as written.
Tree = TemplateText | Mapping["str | TemplateText", "Tree"] | Sequence["Tree"] | None | bool | int | float

#: By the way in which its texts are escaped: which field of a chat's message has which markup.
FIELDS: Final[Mapping[Escaper, Fields]] = {
    kind.escape: kind.fields for kind in KINDS.values() if kind.fields is not None
}

_Build = Callable[["Namespace"], object]


class Templates:
    """All templates of one configuration, each compiled once.

    ``folder`` holds the template files; ``roots`` are the names of the facts that a template may use; ``hide`` removes
    secrets from a text, so that no RenderError shows one. ``texts`` are the files known already, by name: each file read
    is added.
    Every method raises TemplateRefused with the place of a mistake.
    """

    def __init__(
        self, folder: Path, *, roots: Collection[str], hide: Escaper = no_escape, texts: dict[str, str] | None = None
    ) -> None:
        self._files = Folder(folder, {} if texts is None else texts)
        self._roots = roots
        self._hide = hide
        self._compilers: dict[Escaper, Compiler] = {}

    def text(self, source: TemplateText, escape: Escaper) -> Renderer[Text]:
        """A text for people; blank lines are dropped at its ends and collapsed elsewhere."""
        fields = FIELDS.get(escape)
        finish = encodable if fields is None else _then_encodable(fields.text)
        render = self._inline(source, escape, "text", finish)
        return lambda facts: Text(tidy(render(facts)))

    def tree(self, tree: Tree, escape: Escaper) -> Renderer[Json]:
        """A JSON value of the tree's shape; ``default(omit)`` leaves out a leaf and its key."""
        build = self._tree(tree, escape)
        place = _place_of(tree) or Place("", 0)

        def render(facts: Mapping[str, object]) -> Json:
            value = build(Namespace.of(facts))
            if isinstance(value, Omit):
                raise RenderError(place, "omit would leave out the whole body")
            return Json(value)

        fields = FIELDS.get(escape)
        if fields is None:
            return render
        return total(lambda facts: Json(fields.written(render(facts).value)), Source("", place), self._hide)

    def form(self, tree: Tree) -> Renderer[Raw]:
        """A map of fields as a form: a list repeats its name, and a map inside becomes ``name[key]``."""
        build = self._tree(tree, no_escape)

        def render(facts: Mapping[str, object]) -> Raw:
            fields = build(Namespace.of(facts))
            assert isinstance(fields, Mapping)
            return Raw(form(fields), FORM_TYPE)

        return total(render, Source("", _place_of(tree) or Place("", 0)), self._hide)

    def file(self, name: str, used_at: Place, escape: Escaper) -> Renderer[Json | Raw]:
        """A file of the folder: ``.json.j2`` renders to Json, the other endings to Raw with their content type."""
        ending = next((each for each in _ESCAPE_OF_ENDING if name.endswith(each)), "")
        source, compiled = self._compiler(_ESCAPE_OF_ENDING.get(ending, escape)).file(name, used_at)
        fields = None if ending else FIELDS.get(escape)
        finish = self._parsed(compiled.keys, fields) if name.endswith(JSON_ENDING) else FINISH[ending]
        write = str if fields is None or name.endswith(JSON_ENDING) else fields.text
        return renderer(compiled, lambda text: finish(write(text)), source, self._hide)

    def _parsed(self, keys: Keys, fields: Fields | None) -> Callable[[str], Json]:
        """From the text that a ``.json.j2`` file printed to what is sent."""
        if fields is None:
            return partial(parsed, self._hide, keys)
        return lambda text: Json(fields.written(parsed(self._hide, keys, text).value))

    def truth(self, expression: TemplateText) -> Renderer[bool]:
        """Whether one bare expression holds; a missing or null field does not."""
        source = Source.of(expression)
        compiled = self._compiler(no_escape).expression(source)

        holds: Renderer[object] = renderer(compiled, None, source, self._hide)
        return lambda facts: holds(facts) is True

    def is_constant(self, expression: TemplateText) -> bool:
        """Whether an expression, which ``truth`` accepts, uses nothing of an event."""
        return self._compiler(no_escape).is_constant(expression.text)

    def path(self, source: TemplateText) -> Renderer[str]:
        """The path of a url; no value can add, end or climb a segment."""
        return self._inline(source, no_escape, "path", safe_path)

    def query(self, source: TemplateText) -> Renderer[str]:
        """One query value, percent-encoded."""
        return self._inline(source, no_escape, "text", query_value)

    def header(self, source: TemplateText) -> Renderer[str]:
        """The value of a header field: printable ASCII without spaces at its ends."""
        return self._inline(source, no_escape, "text", header_value)

    def _inline(
        self, text: TemplateText, escape: Escaper, start: Position, finish: Callable[[str], str] = encodable
    ) -> Renderer[str]:
        source = Source.of(text)
        compiled = self._compiler(escape).inline(source, start)
        return renderer(compiled, finish, source, self._hide)

    def _compiler(self, escape: Escaper) -> Compiler:
        if escape not in self._compilers:
            self._compilers[escape] = Compiler(escape, self._files, self._roots)
        return self._compilers[escape]

    def _tree(self, tree: Tree, escape: Escaper) -> _Build:
        match tree:
            case TemplateText():
                return self._leaf(tree, escape)
            case Mapping():
                builds = _all([partial(self._tree, child, escape) for child in tree.values()])
                members = list(zip(tree, builds, strict=True))
                written = [(key, build) for key, build in members if isinstance(key, str)]
                if len(written) == len(members):
                    return _object(written)
                return self._object_of_keys(members)
            case list() | tuple():
                return _list(_all([partial(self._tree, child, escape) for child in tree]))
        return lambda _: tree

    def _object_of_keys(self, members: "Sequence[tuple[str | TemplateText, _Build]]") -> _Build:
        """An object some of whose keys are made of values; none of them takes the place of another."""
        keys = [(key, self._key(key)) for key, _ in members]
        place = next(key.place for key, _ in members if isinstance(key, TemplateText))

        def build(names: Namespace) -> object:
            made: dict[str, object] = {}
            for (_, key), (_, value) in zip(keys, members, strict=True):
                name, each = key(names), value(names)
                if name in made:
                    raise Trouble("the key {} is there twice: a value of the event is the same as another key", name)
                if each is not OMIT:
                    made[name] = each
            return made

        return total(build, Source("", place), self._hide)

    def _key(self, key: str | TemplateText) -> Callable[[Namespace], str]:
        if isinstance(key, str):
            return lambda _: key
        return self._inline(key, no_escape, "text")

    def _leaf(self, leaf: TemplateText, escape: Escaper) -> _Build:
        if is_literal(leaf.text):
            constant = encodable(leaf.text)
            return lambda _: constant
        source = Source.of(leaf)
        compiled = self._compiler(escape).inline(source, "text", leaf=True)

        return renderer(compiled, None if compiled.whole else encodable, source, self._hide)


def _all(compiles: Sequence[Callable[[], _Build]]) -> list[_Build]:
    """Every one of them, or TemplateRefused with the problems of all."""
    builds, problems = list[_Build](), list[Problem]()
    for compile_one in compiles:
        try:
            builds.append(compile_one())
        except TemplateRefused as refused:
            problems += refused.problems
    if problems:
        raise TemplateRefused(*problems)
    return builds


def _then_encodable(write: Writer) -> Writer:
    return lambda text: encodable(write(text))


def _place_of(tree: Tree) -> Place | None:
    """Where the first text of a tree is."""
    match tree:
        case TemplateText(place=place):
            return place
        case Mapping():
            return next(filter(None, map(_place_of, tree.values())), None)
        case list() | tuple():
            return next(filter(None, map(_place_of, tree)), None)
    return None


def is_literal(text: str) -> bool:
    """Whether a text has nothing to render."""
    return "{{" not in text and "{%" not in text


def _object(members: Sequence[tuple[str, _Build]]) -> _Build:
    def build(names: Namespace) -> object:
        made = {}
        for key, member in members:
            value = member(names)
            if value is not OMIT:
                made[key] = value
        return made

    return build


def _list(elements: Sequence[_Build]) -> _Build:
    def build(names: Namespace) -> object:
        return [value for element in elements if (value := element(names)) is not OMIT]

    return build
