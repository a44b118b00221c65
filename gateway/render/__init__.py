"""Templates: what is said about an event, compiled once, rendered in a sandbox, escaped for its place.

A value of an event can never break the output it is printed into, use up the process, or reach anything but the
event. What can be wrong about a template is said when it is compiled; what can go wrong with one event is a
RenderError with the template's line, whatever it was.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

import msgspec

from gateway.destinations.escapes import Escaper, html_escape, no_escape
from gateway.errors import Place, RenderError
from gateway.model import Json, Raw, Text
from gateway.render.compiler import FORM_ENDING, HTML_ENDING, JSON_ENDING, Compiled, Compiler, Folder, Source, line_of
from gateway.render.filters import FUNCTIONS
from gateway.render.sandbox import BUDGET, MAX_OUTPUT, Budget
from gateway.render.values import (
    OMIT,
    Omit,
    Trouble,
    encodable,
    form_escape,
    printable,
    readable,
)
from gateway.render.weave import Position

__all__ = ["FORM_TYPE", "FUNCTIONS", "Namespace", "Omit", "Renderer", "TemplateText", "Templates", "Tree", "is_literal"]

P = ParamSpec("P")
T = TypeVar("T")
#: The facts of an event, or the Namespace of a message made of them, in; what is said about it out.
#: Raises RenderError and nothing else.
Renderer = Callable[[Mapping[str, object]], T]


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template written in routes.yaml."""

    text: str
    #: Of the text's first character: its line n is line ``place.line + n - 1`` of the file.
    place: Place


#: A ``body:``; only its TemplateText leaves are templates, everything else is as it is.
Tree = TemplateText | Mapping[str, "Tree"] | Sequence["Tree"] | None | bool | int | float

_Build = Callable[["Namespace"], object]

_ESCAPE_OF_ENDING: Final[Mapping[str, Escaper]] = {HTML_ENDING: html_escape, FORM_ENDING: form_escape}
FORM_TYPE: Final = "application/x-www-form-urlencoded"
#: Of one value, characters: no server takes a longer address.
MAX_QUERY: Final = 32_768
#: Of an error, characters.
MAX_MESSAGE: Final = 500


class Namespace(dict[str, object]):
    """All names that the templates of one message see, and the budget that they share."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        super().__init__(FUNCTIONS)
        self.update(facts)
        self.budget = self[BUDGET] = Budget()

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> "Namespace":
        """The one that was prepared, or one for these facts."""
        return facts if isinstance(facts, cls) else cls(facts)


class Templates:
    """All templates of one configuration, each compiled once.

    ``folder`` holds the template files; ``roots`` are the names of the facts that a template may use. ``hide`` takes
    secrets out of a text: no RenderError has one.
    Every method raises TemplateRefused with the place of what is wrong.
    """

    def __init__(self, folder: Path, *, roots: Collection[str], hide: Escaper = no_escape) -> None:
        self._files = Folder(folder)
        self._roots = roots
        self._hide = hide
        #: The template files that were read, by name: those asked for, and what they include.
        self.texts: Mapping[str, str] = self._files.texts
        self._compilers: dict[Escaper, Compiler] = {}

    def text(self, source: TemplateText, escape: Escaper) -> Renderer[Text]:
        """A readable text; blank lines at its ends are dropped, double ones collapsed."""
        render = self._inline(source, escape, "text")
        return lambda facts: Text(_tidy(render(facts)))

    def tree(
        self, tree: Tree, escape: Escaper, escapes: Mapping[str, Escaper] = MappingProxyType({})
    ) -> Renderer[Json]:
        """A JSON value of the tree's shape; ``default(omit)`` leaves out a leaf with its key.

        ``escapes`` are those of certain fields, and of all below them.
        """
        build = self._tree(tree, escape, escapes)

        def render(facts: Mapping[str, object]) -> Json:
            value = build(Namespace.of(facts))
            if isinstance(value, Omit):
                assert isinstance(tree, TemplateText)
                raise RenderError(tree.place, "omit would leave out the whole body")
            return Json(value)

        return render

    def form(self, tree: Tree) -> Renderer[Raw]:
        """A map of fields in form encoding: lists repeat their name, maps in it are called ``name[key]``."""
        build = self._tree(tree, no_escape, {})

        def render(facts: Mapping[str, object]) -> Raw:
            fields = build(Namespace.of(facts))
            assert isinstance(fields, Mapping)
            return Raw("&".join(_pairs("", fields)).encode(), FORM_TYPE)

        return render

    def file(self, name: str, used_at: Place, escape: Escaper) -> Renderer[Json | Raw]:
        """A file of the folder, by its ending: ``.json.j2`` gives Json, the others Raw of their type."""
        ending = next((each for each in _ESCAPE_OF_ENDING if name.endswith(each)), "")
        source, compiled = self._compiler(_ESCAPE_OF_ENDING.get(ending, escape)).file(name, used_at)
        finish = partial(_parsed, self._hide) if name.endswith(JSON_ENDING) else _FINISH[ending]
        return _total(lambda facts: finish(_run(compiled, Namespace.of(facts))), source, self._hide)

    def truth(self, expression: TemplateText) -> Renderer[bool]:
        """Whether one bare expression holds; a field that is missing or null does not."""
        source = Source(expression.text, expression.place)
        compiled = self._compiler(no_escape).expression(source)

        def evaluate(facts: Mapping[str, object]) -> bool:
            names = Namespace.of(facts)
            _run(compiled, names)
            return names.budget.result is True

        return _total(evaluate, source, self._hide)

    def is_constant(self, expression: TemplateText) -> bool:
        """Whether an expression that ``truth`` takes names nothing of an event."""
        return self._compiler(no_escape).is_constant(expression.text)

    def path(self, source: TemplateText) -> Renderer[str]:
        """The path of a url; no value adds, ends or climbs a segment."""
        return self._inline(source, no_escape, "path", _safe_path)

    def query(self, source: TemplateText) -> Renderer[str]:
        """One value of a query, percent-encoded."""
        return self._inline(source, no_escape, "text", _query_value)

    def header(self, source: TemplateText) -> Renderer[str]:
        """The value of a header field: printable ASCII without blanks at its ends."""
        return self._inline(source, no_escape, "text", _header_value)

    def _inline(
        self, text: TemplateText, escape: Escaper, start: Position, finish: Callable[[str], str] = encodable
    ) -> Renderer[str]:
        source = Source(text.text, text.place)
        compiled = self._compiler(escape).inline(source, start)
        return _total(lambda facts: finish(_run(compiled, Namespace.of(facts))), source, self._hide)

    def _compiler(self, escape: Escaper) -> Compiler:
        if escape not in self._compilers:
            self._compilers[escape] = Compiler(escape, self._files, self._roots)
        return self._compilers[escape]

    def _tree(self, tree: Tree, escape: Escaper, escapes: Mapping[str, Escaper]) -> _Build:
        match tree:
            case TemplateText():
                return self._leaf(tree, escape)
            case Mapping():
                members = ((key, child, escapes.get(key)) for key, child in tree.items())
                return _object(
                    [(key, self._tree(child, own or escape, {} if own else escapes)) for key, child, own in members]
                )
            case list() | tuple():
                return _list([self._tree(child, escape, escapes) for child in tree])
        return lambda _: tree

    def _leaf(self, leaf: TemplateText, escape: Escaper) -> _Build:
        if is_literal(leaf.text):
            constant = encodable(leaf.text)
            return lambda _: constant
        source = Source(leaf.text, leaf.place)
        compiled = self._compiler(escape).inline(source, "text", leaf=True)

        def build(names: Namespace) -> object:
            text = _run(compiled, names)
            return names.budget.result if compiled.whole else encodable(text)

        return _total(build, source, self._hide)


def is_literal(text: str) -> bool:
    """Whether a text has nothing to render."""
    return "{{" not in text and "{%" not in text


def _object(members: Sequence[tuple[str, _Build]]) -> _Build:
    def build(names: Namespace) -> object:
        built = ((key, build(names)) for key, build in members)
        return {key: value for key, value in built if value is not OMIT}

    return build


def _list(elements: Sequence[_Build]) -> _Build:
    def build(names: Namespace) -> object:
        built = (build(names) for build in elements)
        return [value for value in built if value is not OMIT]

    return build


# --- one render ---


def _run(compiled: Compiled, names: Namespace) -> str:
    context = compiled.template.new_context(names, shared=True)
    text = "".join(compiled.template.root_render_func(context))
    if len(text) > MAX_OUTPUT:
        raise Trouble(f"more than {MAX_OUTPUT:,} characters of output")
    return text


def _total(render: Callable[P, T], source: Source, hide: Escaper) -> Callable[P, T]:
    """``render`` that raises RenderError with the template's line, and nothing else."""

    def total(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return render(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - templates raise anything: {{ 1 / 0 }} is a ZeroDivisionError
            raise RenderError(_place(error.__traceback__, source), _words(error, hide)) from None

    return total


def _place(traceback: TracebackType | None, source: Source) -> Place:
    """The innermost line of a template in the traceback; generated code knows which line it was made from."""
    place = Place(source.place.file, 0 if source.name else source.place.line)
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            first = source.place if template.name is None else Place(template.filename, 1)
            place = line_of(first, template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return place


_TYPES: Final = {
    "NoneType": "null",
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "dict": "an object",
    "list": "a list",
}


def _words(error: Exception, hide: Escaper) -> str:
    match error:
        case Trouble():
            return _cut(hide(error.told(hide)))
        case RecursionError():
            return "the template calls or nests itself too deeply"
        case MemoryError():
            return "the template needs too much memory"
    text = re.sub(
        r"'[<>]=?' not supported between instances of (\S+) and (\S+)", r"cannot compare \1 with \2", str(error)
    )
    # Names that Python or we keep for ourselves are written list_() and _tojson() in code.
    text = re.sub(r"\b_?([a-z0-9]+)_?\(\)", r"\1", text)
    text = re.sub(r"(\w+) got an unexpected keyword argument '(\w+)'", r'\1 has no argument "\2"', text)
    text = re.sub(r"'(\w+)'(?: object)?", lambda name: _TYPES.get(name[1], name[0]), text)
    return _cut(hide(text)) or type(error).__name__


def _cut(text: str) -> str:
    return printable(text[:MAX_MESSAGE])[:MAX_MESSAGE]


# --- what becomes of the text ---


def _tidy(text: str) -> str:
    lines = re.sub(r"\n(?:[^\S\n]*\n){2,}", "\n\n", text)
    kept = re.sub(r"\A(?:[^\S\n]*\n)+", "", lines, count=1)
    # The end by hand: an expression would try it at every character.
    end = kept.find("\n", len(kept.rstrip()))
    return kept if end < 0 else kept[:end]


def _parsed(hide: Escaper, text: str) -> Json:
    body = encodable(text).encode()
    try:
        return Json(msgspec.json.decode(body))
    except msgspec.MsgspecError as error:
        raise Trouble(f"the result is not JSON: {_where(str(error), body, hide)}") from None


def _where(message: str, body: bytes, hide: Escaper) -> str:
    """Msgspec's words, its byte as a line and column of the output, and what stands there."""
    words = message.removeprefix("JSON is malformed: ")
    found = re.search(r"\s*\(byte (\d+)\)", words)
    at = int(found[1]) if found else len(body)
    before = body[:at].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    # Before it is cut: of a secret no part is shown.
    near = hide(before)[-20:] + hide(body[at:].decode(errors="replace"))[:20]
    return f"{words[: found.start()] if found else words} in line {line}, column {column} of it, near {near!r}"


def _plain(text: str) -> Raw:
    return Raw(encodable(text).encode(), "text/plain; charset=utf-8")


def _html(text: str) -> Raw:
    return Raw(encodable(text).encode(), "text/html; charset=utf-8")


def _form(text: str) -> Raw:
    """Pairs, on one line or several; what the author's own words cannot say in a form is encoded."""
    pairs = (pair.strip() for line in text.splitlines() for pair in line.split("&"))
    encoded = "&".join(quote(pair, safe="=%+!*'()~[]") for pair in pairs if pair)
    return Raw(encoded.encode(), FORM_TYPE)


_FINISH: Final[Mapping[str, Callable[[str], Raw]]] = {HTML_ENDING: _html, FORM_ENDING: _form, "": _plain}


def _pairs(name: str, value: object) -> Sequence[str]:
    """The pairs of one field; null is an empty text."""
    if isinstance(value, Mapping):
        inner = ((f"{name}[{key}]" if name else key, each) for key, each in value.items())
        return [pair for called, each in inner for pair in _pairs(called, each)]
    if isinstance(value, list):
        return [pair for each in value for pair in _pairs(name, each)]
    text = "" if value is None else readable(value)
    return [f"{quote_plus(encodable(name))}={quote_plus(encodable(text))}"]


def _safe_path(path: str) -> str:
    climbing = {".", ".."} & set(path.replace("%2E", ".").replace("%2e", ".").split("/"))
    if climbing:
        raise Trouble(f'the path has a segment "{climbing.pop()}", which would lead elsewhere')
    return path


def _query_value(text: str) -> str:
    if len(text) > MAX_QUERY:
        raise Trouble(f"a value of a query has at most {MAX_QUERY:,} characters: send it as body")
    return quote(encodable(text), safe="")


def _header_value(text: str) -> str:
    value = text.strip(" \t")
    odd = re.search(r"[^\t\x20-\x7e]", value)
    if odd:
        raise Trouble(f"a header value cannot hold {odd[0]!a}: only printable ASCII, on one line")
    return value
