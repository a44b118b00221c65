"""What a template reads, told from its text."""

from collections.abc import Iterator
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from msgspec import Struct

from gateway.errors import Place
from gateway.render.compiler import Source
from gateway.render.expressions import header_of
from gateway.render.filters import FILTERS, TESTS
from gateway.render.texts import TemplateText, parse

#: Why Jinja cannot read a template; ValueError: of a number with thousands of digits.
UNREADABLE: Final = (TemplateSyntaxError, RecursionError, ValueError)
#: Only parses.
_ENVIRONMENT: Final = Environment(autoescape=False)  # noqa: S701  nothing is rendered with it
_ENVIRONMENT.filters.update(FILTERS)
_ENVIRONMENT.tests.update(TESTS)


class Reads(Struct, frozen=True):
    """What a template reads."""

    #: Header fields of the event, in lower case, each with the line that names it.
    headers: tuple[tuple[str, Place], ...] = ()
    #: The files that it includes or imports.
    files: tuple[str, ...] = ()


def reads_of(text: TemplateText) -> Reads:
    """What a template reads that compiles."""
    source = Source.of(text)
    tree = parsed(text)
    return Reads(tuple(_headers(tree, source)), tuple(_files(tree)))


def parsed(text: TemplateText) -> nodes.Template:
    """The tree of a template that compiles, as it is written."""
    return parse(_ENVIRONMENT, text)


def names_in(text: str) -> frozenset[str]:
    """The names that a template takes from the event: ``attrs``. None of one that does not compile, which is reported."""
    try:
        return frozenset(find_undeclared_variables(_ENVIRONMENT.parse(text)))
    except UNREADABLE:
        return frozenset()


def _headers(tree: nodes.Template, source: Source) -> Iterator[tuple[str, Place]]:
    for node in tree.find_all(nodes.Expr):
        if isinstance(node, nodes.Getattr | nodes.Getitem) and (name := header_of(node)) is not None:
            yield name, source.on(node.lineno)


def _files(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Stmt):
        match node:
            case (
                nodes.Include(template=nodes.Const(value=str(name)))
                | nodes.Import(template=nodes.Const(value=str(name)))
                | nodes.FromImport(template=nodes.Const(value=str(name)))
            ):
                yield name
