"""YAML as people mean it: a tree of nodes that know their place, with scalars as in JSON.

Aliases, anchors, tags, merge keys and nesting deeper than MAX_DEPTH are refused. The tree is built from the parser's
events without recursion, because libyaml's composer crashes on deep nesting.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final, Protocol

import yaml
from msgspec import Struct, field

from gateway.config.text import comments, indentation, mistakes, sharing
from gateway.config.text.folding import breaks_of
from gateway.config.text.report import Report
from gateway.config.text.spots import Mistake
from gateway.errors import ConfigError, Place

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: Longer numbers are identifiers and stay text.
_MAX_NUMBER_LENGTH: Final = 40
#: YAML's line breaks.
_LINE_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
#: A byte that could not be decoded.
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
#: What ends a text without quotes and reads as if it belonged to it.
_CUT_OFF: Final = re.compile(r" (#\w.*)")
_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Scalar(Struct, frozen=True):
    """A text, and its value as JSON if it was written without quotes."""

    place: Place
    text: str
    value: str | int | float | bool | None
    #: Where the text itself starts: after the quote, or on the line below ``|``.
    content: Place
    #: Whether nothing was written at all (``key:``).
    empty: bool = False
    #: Where the file begins its next lines, as offsets in the text; None: at the lines of the text.
    breaks: tuple[int, ...] | None = None
    #: What YAML cut off as a comment, although it reads like part of the text (``New lead in #sales``).
    cut_off: str = ""


class Pair(Struct, frozen=True):
    """One ``key: value`` of a map."""

    key: Scalar
    value: "Node"


class Map(Struct, frozen=True):
    place: Place
    pairs: tuple[Pair, ...]


class Items(Struct, frozen=True):
    place: Place
    nodes: tuple["Node", ...]


class Broken(Struct, frozen=True):
    """A node that was reported already: no further problem is reported for it."""

    place: Place


Node = Scalar | Map | Items | Broken


def hide_all(report: Report, node: "Node") -> None:
    """Never show what is written there, whatever its shape: it was meant as a secret."""
    if isinstance(node, Scalar):
        report.hide(node.content, node.text)
    elif isinstance(node, Items):
        for each in node.nodes:
            hide_all(report, each)
    elif isinstance(node, Map):
        for pair in node.pairs:
            hide_all(report, pair.key)
            hide_all(report, pair.value)


def read(data: bytes, report: Report, begin: str = "version: 1") -> Node:
    """The tree of the one document in ``data``; adds its lines and all recoverable problems to ``report``.

    ``begin`` is what an empty file should start with.
    Raises ConfigError for a file without a tree: too large, not UTF-8, not YAML.
    """
    text = _decode(data, report)
    report.lines = _LINE_BREAK.split(text)
    _refuse_control_characters(text, report)
    try:
        node = _Builder(report).build(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mistake = mistakes.explain(error, report.lines)
        mark = getattr(error, "problem_mark", None)
        reported = {each.place.line for each in report.problems if each.place.file == report.file}
        if reported & {mistake.line, mark.line if mark else 0}:
            # It is what was reported, on this line or on the one above, that the parser cannot make sense of.
            report.is_yaml = False
            raise ConfigError(report.sorted()) from None
        raise _fatal(report, mistake.message, mistake.hint, mistake.line, mistake.column) from None
    if node is None:
        raise _fatal(report, "the file is empty", f"start with: {begin}")
    return node


def _decode(data: bytes, report: Report) -> str:
    if len(data) > MAX_BYTES:
        raise _fatal(report, "the file is larger than 1 MiB", "is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        escaped = data.decode("utf-8-sig", "surrogateescape")
        report.lines = _LINE_BREAK.split(_ESCAPED.sub(_as_windows_has_it, escaped))
        before = _LINE_BREAK.split(error.object[: error.start].decode("utf-8"))
        raise _fatal(
            report, "this line is not UTF-8", "save the file as UTF-8", len(before), len(before[-1]) + 1
        ) from None


def _as_windows_has_it(found: re.Match[str]) -> str:
    """A byte that is not UTF-8 is most often a quote, a dash or a letter of Windows-1252."""
    return bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "replace")


def _refuse_control_characters(text: str, report: Report) -> None:
    if found := _FORBIDDEN.search(text):
        before = _LINE_BREAK.split(text[: found.start()])
        message = f"the control character U+{ord(found[0]):04X} is not allowed in YAML"
        raise _fatal(
            report, message, 'remove it, or write it in double quotes as "\\x.."', len(before), len(before[-1]) + 1
        )


def _fatal(report: Report, message: str, hint: str = "", line: int = 0, column: int = 0) -> ConfigError:
    report.is_yaml = False
    report.error(Place(report.file, line, column), message, hint)
    return ConfigError(report.sorted())


def json_scalar(text: str) -> str | int | float | bool | None:
    """The JSON value of a text without quotes: null, true, false or a number, or else the text itself.

    >>> [json_scalar(text) for text in ("13", "1e2", "true", "null", "NO", "013", "+1", ".5", "12:30")]
    [13, 100.0, True, None, 'NO', '013', '+1', '.5', '12:30']
    """
    if text in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[text]
    number = _JSON_NUMBER.fullmatch(text)
    if number is None or len(text) > _MAX_NUMBER_LENGTH:
        return text
    if number[1] is None and number[2] is None:
        return int(text)
    return text if float(text) in (float("inf"), float("-inf")) else float(text)


class _Mark(Protocol):
    """A place in libyaml's words, or in those of the parser in Python: line and column from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _Open(Struct):
    """A collection whose end was not read yet."""

    place: Place
    is_map: bool
    #: Whether it, or something around it, was reported already: nothing inside is reported again.
    is_refused: bool
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Builds nodes from events, for one document, with its own stack."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: list[_Open] = []
        self._root: Node | None = None

    def build(self, events: Iterable[yaml.Event]) -> Node | None:
        """The root node; None if there is no document."""
        for event in events:
            self._take(event)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._refuse_second_document(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._put(self._end(self._open.pop()))
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._alias(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._put(self._marked(event) or self._scalar(event))

    def _refuse_second_document(self, event: yaml.DocumentStartEvent) -> None:
        if self._root is not None:
            line = self._place(event.start_mark).line
            raise _fatal(self._report, "a second document starts here", "remove the line ---", line, 1)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        place = self._place(event.start_mark)
        if len(self._open) == MAX_DEPTH:
            raise _fatal(self._report, f"nested deeper than {MAX_DEPTH} levels", "", place.line, place.column)
        is_refused = self._marked(event) is not None or (bool(self._open) and self._open[-1].is_refused)
        self._open.append(_Open(place, isinstance(event, yaml.MappingStartEvent), is_refused))

    def _put(self, node: Node) -> None:
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node

    def _end(self, done: _Open) -> Node:
        if done.is_refused:
            return Broken(done.place)
        if not done.is_map:
            return Items(done.place, tuple(done.children))
        if braces := self._jinja_braces(done):
            return braces
        pairs = zip(done.children[::2], done.children[1::2], strict=True)
        in_list = bool(self._open) and not self._open[-1].is_map
        found = [pair for key, value in pairs if (pair := self._pair(key, value))]
        return Map(done.place, self._unique(found, in_list=in_list))

    def _jinja_braces(self, done: _Open) -> Broken | None:
        """Report ``path: {{ x }}``, which YAML reads as a map whose key is a map."""
        if not done.children or isinstance(done.children[0], Scalar | Broken):
            return None
        lines, line = self._report.lines, done.place.line
        mistake = indentation.unindented_text(line, lines) or mistakes.bare_braces(
            line, done.place.column, lines, self._path()
        )
        if mistake is None:
            return None
        self._report.error(self._at(mistake), mistake.message, mistake.hint)
        return Broken(done.place)

    def _pair(self, key: Node, value: Node) -> Pair | None:
        if isinstance(key, Broken):
            return None
        if not isinstance(key, Scalar) or key.empty:
            self._report.error(key.place, "a key must be a text", "write key: value")
            return None
        if key.text == "<<":
            self._report.error(key.place, "merge keys (<<) are not allowed", sharing.instead(self._path()))
            return None
        if isinstance(value, Scalar) and value.empty:
            # The parser places a missing value after the key, often on the next line.
            value = Scalar(key.place, "", None, key.place, empty=True, cut_off=self._instead_of_value(key))
        return Pair(key, value)

    def _unique(self, pairs: Sequence[Pair], *, in_list: bool) -> tuple[Pair, ...]:
        first: dict[str, Pair] = {}
        again = [pair for pair in pairs if first.setdefault(pair.key.text, pair) is not pair]
        if in_list and len(again) > 1 and pairs.index(again[0]) + len(again) <= len(pairs):
            # One more entry of the list, whose - is missing.
            key, value = again[0].key, again[0].value
            written = f" {value.text[:60]}" if isinstance(value, Scalar) else ""
            message = f'"{key.text}" begins another entry of the list, without its -'
            self._report.error(key.place, message, f"write - {key.text}:{written}")
            return tuple(first.values())
        first.clear()
        for pair in pairs:
            known = first.setdefault(pair.key.text, pair)
            if known is not pair:
                lines = f"lines {known.key.place.line} and {pair.key.place.line}"
                self._report.error(pair.key.place, f'duplicate key "{pair.key.text}": {lines}', "keep one of them")
        return tuple(first.values())

    def _marked(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Broken | None:
        """Refuse a node with an anchor or a tag."""
        if event.anchor is not None:
            is_meant = isinstance(event, yaml.CollectionStartEvent) or event.style in ("|", ">")
            return self._refused(event, "&", "an anchor", is_meant=is_meant)
        return None if event.tag is None else self._refused(event, "!", "a tag")

    def _alias(self, event: yaml.AliasEvent) -> Broken:
        if "<<" in self._path():
            # The merge key itself is reported.
            return Broken(self._place(event.start_mark))
        return self._refused(event, "*", "an alias")

    def _refused(self, event: yaml.NodeEvent, sign: str, name: str, *, is_meant: bool = False) -> Broken:
        """Report a node that YAML reads as something else than a text; ``is_meant``: it cannot be one."""
        place, lines = self._place(event.start_mark), self._report.lines
        anchor = getattr(event, "anchor", None) or ""
        if is_meant or anchor in self._shared:
            message = f'"{sign}{anchor}" is {name}, which is not allowed'
            self._report.error(place, message, sharing.instead(self._path(), anchor))
            return Broken(place)
        mistake = indentation.unindented_text(place.line, lines) or mistakes.reserved_sign(
            place.line, place.column, lines
        )
        message = mistake.message if mistake else f'YAML reads a value that starts with "{sign}" as {name}'
        at = self._at(mistake) if mistake else place
        self._report.error(at, message, mistake.hint if mistake else "put the text in quotes")
        return Broken(place)

    @cached_property
    def _shared(self) -> frozenset[str]:
        return sharing.shared(self._report.lines)

    def _path(self) -> Sequence[str]:
        """The keys above what is read now, the outermost first."""
        keys = [done.children[-1] for done in self._open if done.is_map and len(done.children) % 2]
        return [key.text for key in keys if isinstance(key, Scalar)]

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        place = self._place(event.start_mark)
        plain = event.style in (None, "")
        content = self._content_place(place, event.style)
        return Scalar(
            place=place,
            text=event.value,
            value=json_scalar(event.value) if plain else event.value,
            content=content,
            empty=plain and event.value == "",
            breaks=self._breaks(event, content),
            cut_off=self._cut_off(event.end_mark) if plain and event.value else "",
        )

    def _content_place(self, place: Place, style: str | None) -> Place:
        if style in ("'", '"'):
            return Place(place.file, place.line, place.column + 1)
        if style in ("|", ">"):
            first = self._report.lines[place.line] if place.line < len(self._report.lines) else ""
            return Place(place.file, place.line + 1, len(first) - len(first.lstrip(" ")) + 1)
        return place

    def _breaks(self, event: yaml.ScalarEvent, content: Place) -> tuple[int, ...] | None:
        assert event.end_mark is not None
        if content.line == event.end_mark.line + 1 and not _LINE_BREAK.search(event.value):
            return None
        written = self._report.lines[content.line - 1 : event.end_mark.line + 1]
        return breaks_of(event.value, event.style, written, content.column - 1)

    def _instead_of_value(self, key: Scalar) -> str:
        """The comment after a key without a value on its line, if it reads like one."""
        line, at = self._report.lines[key.place.line - 1], key.content.column - 1 + len(key.text)
        return comments.instead_of_value(line, at)

    def _cut_off(self, end: _Mark | None) -> str:
        assert end is not None
        line = self._report.lines[end.line] if end.line < len(self._report.lines) else ""
        # One space before the # and none after it means "#sales", not a comment.
        found = _CUT_OFF.match(line, end.column)
        return found[1] if found else ""

    def _at(self, mistake: Mistake) -> Place:
        return Place(self._report.file, mistake.line, mistake.column)

    def _place(self, mark: _Mark | None) -> Place:
        assert mark is not None
        return Place(self._report.file, mark.line + 1, mark.column + 1)
