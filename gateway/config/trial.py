"""Entries that somebody tries out: the file as it was read, with one entry in place of all that it has."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import dedent
from typing import Final

from msgspec.structs import replace as changed

from gateway.config.include import Written
from gateway.config.schema.destinations import DestinationKeys
from gateway.config.schema.reading import Words
from gateway.config.text.disk import Disk
from gateway.config.text.reader import Map, Scalar, read
from gateway.config.text.report import Report
from gateway.destinations import KINDS
from gateway.errors import ConfigError, Place, Problem
from gateway.hiding.addresses import MASK
from gateway.hiding.masks import Masks
from gateway.render import TemplateText
from gateway.routing.config import Config

#: What a problem of the entry itself is reported in, instead of the name of the file.
ENTRY: Final = "entry"
#: Sections whose entries are left out.
_ENTRIES: Final = frozenset({"always", "routes", "unmatched", "invalid", "failed", "tests"})
#: A value from outside: an entry that is tried out gets none.
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{[^}]*\}?")
#: Instead of a secret: it has no meaning in YAML, in headers and in markup.
HIDDEN: Final = "(hidden)"
_INDENT: Final = "  "


class Trials:
    """Compiles entries that are not in the file, as if they were. Nothing is written or put in force."""

    def __init__(self, disk: Disk, main: str, compiled: Callable[[Disk, str], Config]) -> None:
        """``compiled`` compiles what a Disk holds, as in ``shown_as``, and raises ConfigError."""
        self._disk = disk
        self._main = main
        self._compiled = compiled

    def config(self, entry: str, templates: Mapping[str, str], kind: str = "") -> Config:
        """The configuration with ``entry`` as its only one, and other texts for some of its templates.

        With ``kind``, every destination is of that type. A reference to a value from outside becomes HIDDEN, so that no
        entry can compute with a secret. Raises ConfigError with places in the entry.
        """
        texts = {name: _without_entries(name, data) for name, data in self._disk.contents.items()}
        main = texts[self._main]
        item, shift = _as_item(_REFERENCE.sub(HIDDEN, entry))
        texts[self._main] = f"{main}\nroutes:\n{item}\n"
        contents = {name: text.encode() for name, text in texts.items()}
        first = main.count("\n") + 3
        try:
            config = self._compiled(self._disk.edited(contents=contents, templates=templates), kind)
        except ConfigError as error:
            problems = [_in_entry(each, self._main, first, shift) for each in error.problems]
            raise ConfigError(problems, error.includes, error.files) from None
        warnings = [_in_entry(each, self._main, first, shift) for each in config.warnings]
        return replace(config, warnings=tuple(each for each in warnings if each.place.file == ENTRY))

    def written(self, place: Place, masks: Masks) -> str:
        """The text of the entry at a place, with HIDDEN for every secret in it; empty if it cannot be cut out."""
        report = Report(place.file)
        if data := self._disk.contents.get(place.file):
            read(data, report)
        lines = report.lines[place.line - 1 :]
        if not lines or not lines[0].lstrip().startswith("- "):
            return ""
        dash = len(lines[0]) - len(lines[0].lstrip())
        text = "\n".join([lines[0], *_of_item(lines[1:], dash)])
        return masks.text(dedent(text).rstrip()).replace(MASK, HIDDEN) + "\n"

    @property
    def templates(self) -> Mapping[str, str]:
        """The template files that the configuration uses, by name."""
        return self._disk.templates


def shown_as(written: Written, kind: str) -> Written:
    """The same file with every destination of one type, at an address that does not exist."""
    keys = written.keys
    found = {name: _of_kind(each.place, kind) for name, each in keys.destinations.items()}
    return changed(written, keys=replace(keys, destinations=found, defaults=None))


def _of_kind(place: Place, kind: str) -> DestinationKeys:
    url = f"https://{kind}.example/hook"
    options = {name: TemplateText("1", place) for name, each in KINDS[kind].options.items() if each.required}
    scalar = Scalar(place=place, text=url, value=url, content=place)
    return DestinationKeys(place=place, written={}, options=options, type=kind, url=Words(url, url, scalar))


def has_hidden(entry: str) -> bool:
    """Whether an entry has a value that is hidden here, so that it would not be sent as the file has it."""
    return HIDDEN in entry or _REFERENCE.search(entry) is not None


def _of_item(lines: Sequence[str], dash: int) -> Iterator[str]:
    """The lines of a list's item, up to the next item or to what comes after the list."""
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) <= dash:
            return
        yield line


def _without_entries(name: str, data: bytes) -> str:
    """A file's text without its sections of entries. Raises ConfigError for one that is not written line by line."""
    report = Report(name)
    root, lines = read(data, report), list(report.lines)
    if not isinstance(root, Map):
        return "\n".join(lines)
    starts = [(pair.key.place.line, pair.key.text) for pair in root.pairs]
    if len({line for line, _ in starts}) < len(starts):
        message = "entries can be tried out only with a file that has each section on a line of its own"
        raise ConfigError([Problem(Place(name), message, "write it with a line for each section")])
    ends = [*(line for line, _ in starts[1:]), len(lines) + 1]
    for (start, key), end in zip(starts, ends, strict=True):
        if key in _ENTRIES:
            lines[start - 1 : end - 1] = [""] * (end - start)
    return "\n".join(lines)


def _as_item(entry: str) -> tuple[str, int]:
    """An entry as the item of a list, and how far that moves it to the right: nothing in it can end the list, or begin
    another section.
    """
    # Whatever ends a line in YAML ends one here.
    lines = dedent("\n".join(entry.splitlines())).strip("\n").split("\n")
    shift = len(_INDENT)
    if not lines[0].startswith("- "):
        shift += len(_INDENT)
        lines = [f"- {lines[0]}", *(f"{_INDENT}{line}" for line in lines[1:])]
    return "\n".join(f"{_INDENT}{line}" if line.strip() else line for line in lines), shift


def _in_entry(problem: Problem, main: str, first: int, shift: int) -> Problem:
    """A problem with its line and column counted in the entry, if it is about that."""
    place = problem.place
    if place.file != main or place.line < first:
        return problem
    moved = Place(ENTRY, place.line - first + 1, max(place.column - shift, 1) if place.column else 0)
    return changed(problem, place=moved, line_text=problem.line_text[shift:])
