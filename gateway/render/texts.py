"""A template's text, and where each of its lines is in the file it was written in."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final, Self

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import Place

#: Jinja's line breaks.
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")


def line_of(first: Place, line: int) -> Place:
    """The place of line ``line``, counted from 1, of a text that begins at ``first``."""
    return Place(first.file, max(first.line, 1) + max(line, 1) - 1)


def line_breaks(text: str) -> tuple[int, ...]:
    """Where the lines of a text begin, without the first."""
    return tuple(found.end() for found in _LINE_BREAK.finditer(text))


class TemplateText(Struct, frozen=True, dict=True):
    """A template written in routes.yaml. A line of it is a line of the file, counted from 1."""

    text: str
    #: The place of its first character.
    place: Place
    #: The offsets at which the file begins its next lines: YAML folds lines, and writes a line break as ``\\n``.
    #: None: it has the lines of the file.
    breaks: tuple[int, ...] | None = None

    def line(self, offset: int) -> int:
        """The line of a character."""
        return bisect_right(self.starts, offset) + 1

    def column(self, offset: int) -> int:
        """How many characters of the text are before a character, on its line."""
        return offset - (0, *self.starts)[self.line(offset) - 1]

    def lines(self) -> Sequence[str]:
        """What each line of the file has of the text, without the line break."""
        each = (self.text[start:end] for start, end in pairwise((0, *self.starts, len(self.text))))
        return [line.rstrip("\r\n") for line in each]

    def at(self, offset: int) -> Place:
        """The place of a character. The column is known on the first line only."""
        line = self.line(offset)
        return self.place if line == 1 else line_of(self.place, line)

    def within(self, before: str, after: str) -> Self:
        """The same text between two others, neither of which is in the file."""
        breaks = self.breaks and tuple(offset + len(before) for offset in self.breaks)
        return replace(self, text=f"{before}{self.text}{after}", breaks=breaks)

    def part(self, start: int, end: int) -> "TemplateText":
        """The text from one character to another."""
        breaks = tuple(offset - start for offset in self.starts if offset > start)
        return TemplateText(self.text[start:end], self.at(start), breaks)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The offsets at which its lines begin, without the first."""
        return line_breaks(self.text) if self.breaks is None else self.breaks


def joined(texts: Sequence[TemplateText], separator: str) -> TemplateText:
    """Several texts of one file, in its order, as one."""
    whole, breaks, first = "", list[int](), texts[0].place
    for each in texts:
        whole += separator if whole else ""
        # Each begins on the line that it has in the file.
        breaks += [len(whole)] * (each.place.line - first.line - len(breaks))
        breaks += [len(whole) + offset for offset in each.starts]
        whole += each.text
    return TemplateText(whole, first, tuple(breaks))


def parse(environment: Environment, source: TemplateText) -> nodes.Template:
    """The tree of a template; its nodes, and a TemplateSyntaxError, have lines of the file."""
    if source.breaks is None:
        return environment.parse(source.text)
    parser = Parser(environment, "")
    parser.stream = TokenStream(environment.lexer.wrap(_tokens(environment, source)), None, None)
    return parser.parse()


def _tokens(environment: Environment, source: TemplateText) -> Iterator[tuple[int, str, str]]:
    """Jinja's tokens with lines of the file: Jinja itself counts the lines of the text."""
    # Jinja reads every line break as \n.
    text = _LINE_BREAK.sub("\n", source.text)
    breaks = tuple(offset - source.text.count("\r\n", 0, offset) for offset in source.breaks or ())
    read, at = TemplateText(text, source.place, breaks), 0
    try:
        for _, token, value in environment.lexer.tokeniter(text, None):
            # Jinja has dropped white space before it, at most.
            at = max(text.find(value, at), at)
            yield read.line(at), token, value
            at += len(value)
    except TemplateSyntaxError as error:
        raise TemplateSyntaxError(error.message or "", read.line(at)) from None
