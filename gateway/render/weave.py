"""Rewrites a parsed template: every printed value is escaped for its place, every loop and call counts.

The place of a value is decided here, from the template's own text, never by the author and never at run time:

    "text"      readable text, also inside a macro or set block that is prose
    "string"    inside a JSON string
    "value"     where JSON has a value
    "path"      in the path of a url
    "result"    a leaf that is one whole expression: the value itself is kept

Steps are ordinary filters whose names (``print value``) no template can write.
"""

import re
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from typing import Literal, TypeVar
from urllib.parse import quote

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.visitor import NodeTransformer

from gateway.render.filters import FILTERS, FUNCTIONS, TESTS
from gateway.render.sandbox import LOOP_METHODS, TEXT_METHODS

Place = Literal["text", "string", "value", "path", "result"]

#: Compiles the file of that name, used on that line, and gives the length of its own text.
Include = Callable[[str, int], int]

_Node = TypeVar("_Node", bound=nodes.Node)

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Macro,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.With,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.Tuple,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.BinExpr,
    nodes.UnaryExpr,
    nodes.CondExpr,
)

_REFUSED = {
    nodes.Extends: "{% extends %} is not possible here: {% include %} or {% import %} the common part",
    nodes.Block: "{% block %} is not possible here: {% include %} or {% import %} the common part",
    nodes.CallBlock: "{% call %} is not possible here: give the macro its text as an argument",
    nodes.FilterBlock: "{% filter %} is not possible here: write the filter inside {{ }}",
    nodes.NSRef: "namespace is not possible here: write a filter (join, sum, first) or a macro",
}


class Refused(Exception):  # noqa: N818 - never leaves this package: it becomes TemplateRefused with its file
    """A template is not taken: the line in its own text, why, and the remedy."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        self.line, self.message, self.hint = line, message, hint
        super().__init__(message)


def weave(tree: nodes.Template, start: Place, roots: Collection[str], include: Include) -> nodes.Template:
    """``tree`` rewritten in place for a text that begins at ``start``. Raises Refused."""
    _check(tree, roots)
    end = _Weaver(include).body(tree.body, start)
    if end != start:
        raise Refused(_last_line(tree), "the file ends inside a JSON string", "a quote is missing or one too many")
    tree.set_environment(tree.environment)  # type: ignore[arg-type]
    return tree


def length_of(node: nodes.Node) -> int:
    """How many characters of its own text a template, loop or macro has."""
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData))


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The hint that names the nearest of ``known``, or all of a few; empty if nothing helps."""
    close = get_close_matches(name, sorted(known), n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 40 else ""


# --- what a template may say at all ---


def _check(tree: nodes.Template, roots: Collection[str]) -> None:
    for node in tree.find_all(nodes.Node):
        _check_node(node)
    known = frozenset(roots) | frozenset(FUNCTIONS)
    unknown = {name.name for name in tree.find_all(nodes.Name)} - known
    if unknown:
        _check_names(tree, unknown & find_undeclared_variables(tree), known)


def _check_node(node: nodes.Node) -> None:
    if type(node) in _REFUSED:
        raise Refused(node.lineno, _REFUSED[type(node)])
    match node:
        case nodes.For(recursive=True):
            raise Refused(node.lineno, "a recursive loop is not possible here", "write a macro that calls itself")
        case nodes.AssignBlock(filter=nodes.Filter()):
            raise Refused(node.lineno, "a filter on a {% set %} block is not possible here", "write it inside {{ }}")
        case nodes.Filter(name=name) if name not in FILTERS:
            raise Refused(node.lineno, f'unknown filter "{name}"', did_you_mean(name, FILTERS))
        case nodes.Test(name=name) if name not in TESTS:
            raise Refused(node.lineno, f'unknown test "{name}"', did_you_mean(name, TESTS))
        case _ if not isinstance(node, _ALLOWED):
            raise Refused(node.lineno, "this tag is not possible here", "if, for, set, macro, include and import are")


def _check_names(tree: nodes.Template, undeclared: Collection[str], known: Collection[str]) -> None:
    for name in tree.find_all(nodes.Name):
        if name.name in undeclared:
            hint = "write none" if name.name in ("null", "nil") else did_you_mean(name.name, known)
            raise Refused(name.lineno, f'unknown name "{name.name}"', hint)


def _check_calls(tree: nodes.Template) -> None:
    imported = {node.target for node in tree.find_all(nodes.Import)}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(node=nodes.Name(name=alias)) if alias in imported:
                pass
            case nodes.Getattr(attr=name) if name not in TEXT_METHODS | LOOP_METHODS:
                hint = f"write | {name}" if name in FILTERS else did_you_mean(name, TEXT_METHODS)
                raise Refused(call.lineno, f'unknown function ".{name}()"', hint)


# --- expressions ---


def _step(value: nodes.Expr | None, name: str, *arguments: nodes.Expr, line: int) -> nodes.Filter:
    return nodes.Filter(value, name, list(arguments), [], None, None, lineno=line)


def shown(node: nodes.Node) -> str:
    """``attrs.company``: an expression as its author wrote it, near enough to be found."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Const(value=value):
            return repr(value)
        case nodes.Getattr(node=base, attr=name):
            return f"{shown(base)}.{name}"
        case nodes.Getitem(node=base, arg=nodes.Const(value=str(name))) if name.isidentifier():
            return f"{shown(base)}.{name}"
        case nodes.Getitem(node=base, arg=key):
            return f"{shown(base)}[{shown(key)}]"
        case nodes.Filter(node=nodes.Expr() as base, name=name):
            return f"({shown(base)} | {name})"
    return "…"


class _Expressions(NodeTransformer):
    """Fields know their whole path, joined texts and literals count."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return self._field(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        if isinstance(node.arg, nodes.Slice):
            return self._inside(node)
        return self._field(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        paths = nodes.Const(tuple(map(shown, node.nodes)))
        first, *others = self._inside(node).nodes
        return _step(first, "join texts", paths, *others, line=node.lineno)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        node.expr2 = node.expr2 or nodes.Const("", lineno=node.lineno)
        return self._inside(node)

    def visit_List(self, node: nodes.Literal) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return _step(self._inside(node), "count literal", line=node.lineno)

    visit_Tuple = visit_Dict = visit_List  # noqa: N815 - Jinja's visitor

    def _inside(self, node: _Node) -> _Node:
        visited: _Node = self.generic_visit(node)
        return visited

    def _field(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Expr:
        keys: list[nodes.Expr] = []
        base: nodes.Expr = node
        while isinstance(base, nodes.Getattr | nodes.Getitem):
            keys.insert(0, self._key(base))
            base = base.node
        return _step(self.visit(base), "field", nodes.Const(shown(node)), *keys, line=node.lineno)

    def _key(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Expr:
        of_headers = isinstance(node.node, nodes.Name) and node.node.name == "headers"
        match node:
            case nodes.Getattr(attr=name):
                return nodes.Const(name.replace("_", "-").lower() if of_headers else name)
            case nodes.Getitem(arg=nodes.Const(value=str(name))) if of_headers:
                return nodes.Const(name.lower())
        key: nodes.Expr = self.visit(node.arg)
        return key


# --- statements: a walk through the text, in order ---


class _Weaver:
    def __init__(self, start: Place, include: Include) -> None:
        self._start = start
        self._include = include
        self._expressions = _Expressions()

    def body(self, statements: list[nodes.Node], place: Place) -> Place:
        """Rewrite the statements in place; the place of what follows them."""
        woven: list[nodes.Node] = []
        for statement in statements:
            place = self._statement(statement, place)
            woven += [statement, *_after_statement(statement)]
        statements[:] = woven
        return place

    def _statement(self, node: nodes.Node, place: Place) -> Place:
        match node:
            case nodes.Output():
                return self._output(node, place)
            case nodes.If():
                return self._if(node, place)
            case nodes.For():
                return self._for(node, place)
            case nodes.With():
                node.values = [self._expression(value) for value in node.values]
                return self.body(node.body, place)
            case nodes.Assign():
                node.node = self._expression(node.node)
            case nodes.AssignBlock():
                node.filter = _step(None, self._fragment(node), line=node.lineno)
            case nodes.Macro():
                node.defaults = [self._expression(default) for default in node.defaults]
                node.set_kept = self._fragment(node)
            case nodes.Include() | nodes.Import() | nodes.FromImport():
                self._file(node, place)
        return place

    def _expression(self, node: nodes.Expr) -> nodes.Expr:
        woven: nodes.Expr = self._expressions.visit(node)
        return woven
