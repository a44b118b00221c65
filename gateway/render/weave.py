"""Rewrites a parsed template: every printed value is escaped for its place, every loop and call counts.

The place of a value is decided here, from the template's own text, never by the author and never at run time:

    "text"      readable text, also inside a macro or set block that is prose
    "string"    inside a JSON string
    "value"     where JSON has a value
    "path"      in the path of a url
    "result"    a leaf that is one whole expression: the value itself is kept
    "truth"     an ``if``: whether its one expression holds

Steps are ordinary filters whose names (``print value``) no template can write.
"""

import re
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from typing import Literal, TypeGuard, TypeVar
from urllib.parse import quote

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.visitor import NodeTransformer

from gateway.render.filters import COMPARING_TESTS, FILTERS, FUNCTIONS, TESTS
from gateway.render.sandbox import LOOP_METHODS, TEXT_METHODS

Position = Literal["text", "string", "value", "path", "result", "truth"]

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
    nodes.Scope: "{% autoescape %} is not possible here: every value is escaped for its place already",
    nodes.NSRef: "namespace is not possible here: write a filter (join, sum, first) or a macro",
}


class Refused(Exception):
    """A template is not taken: the line in its own text, why, and the remedy."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        self.line, self.message, self.hint = line, message, hint
        super().__init__(message)


def weave(tree: nodes.Template, start: Position, roots: Collection[str], include: Include) -> None:
    """Rewrite ``tree``, whose text begins at ``start``, in place. Raises Refused."""
    _check(tree, roots)
    end = _Weaver(start, include).body(tree.body, start)
    if end != start:
        raise Refused(_last_line(tree), "the text ends inside a JSON string: a quote is missing, or one too many")


def check_markup(tree: nodes.Template, hint: str) -> None:
    """Refuse a value inside a chat's angle brackets: ``<{{ x }}>`` is a mention or a link of the sender's choice."""
    is_open = False
    for child in (child for output in tree.find_all(nodes.Output) for child in output.nodes):
        if isinstance(child, nodes.TemplateData):
            last = _BRACKET.findall(child.data)[-1:]
            is_open = last[0] != ">" if last else is_open
        elif is_open and not (isinstance(child, nodes.Filter) and child.name == "mrkdwn_raw"):
            raise Refused(
                child.lineno,
                "a value inside <...> is live markup of the sender's choice",
                hint,
            )


#: What ends markup, and what begins it: ``a < b`` does not.
_BRACKET = re.compile(r">|<(?=[!@#\w]|\Z)")


def whole_expression(tree: nodes.Template) -> bool:
    """Whether the text is one ``{{ }}`` and nothing else."""
    match tree.body:
        case [nodes.Output(nodes=[only])]:
            return not isinstance(only, nodes.TemplateData)
    return False


def length_of(node: nodes.Node) -> int:
    """How many characters of its own text a template, loop or macro has."""
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData))


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The hint that names the nearest of ``known``, or all of a few; empty if nothing helps."""
    close = get_close_matches(name, sorted(known), n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""


# --- what a template may say at all ---


def _check(tree: nodes.Template, roots: Collection[str]) -> None:
    for node in tree.find_all(nodes.Node):
        _check_node(node)
    for difference in tree.find_all(nodes.Sub):
        _check_header(difference)
    known = frozenset(roots) | frozenset(FUNCTIONS)
    unknown = {name.name for name in tree.find_all(nodes.Name)} - known
    if unknown:
        # Asked only now: it compiles the whole template once more.
        _check_names(tree, unknown & (find_undeclared_variables(tree) | {"self"}), known)
    _check_calls(tree)


def _first_line(node: nodes.Node) -> int:
    # Jinja gives a scope no line of its own.
    return next((one.lineno for one in (node, *node.find_all(nodes.Node)) if one.lineno), 1)


def _last_line(tree: nodes.Template) -> int:
    return max((node.lineno for node in tree.find_all(nodes.Node) if node.lineno), default=1)


def _check_node(node: nodes.Node) -> None:
    if type(node) in _REFUSED:
        raise Refused(_first_line(node), _REFUSED[type(node)])
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
            raise Refused(
                _first_line(node), "this tag is not possible here", "if, for, set, macro, include and import are"
            )


def _check_header(difference: nodes.Sub) -> None:
    """``headers.x-webhook-event``: to Jinja it subtracts."""
    match difference:
        case nodes.Sub(left=nodes.Getattr(node=nodes.Name(name="headers"), attr=first), right=nodes.Name(name=second)):
            hint = f"every - is an _ here: headers.{first}_{second}..."
            raise Refused(difference.lineno, f'"headers.{first}-{second}" subtracts one name from another', hint)


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


def _is_lookup(node: nodes.Expr) -> TypeGuard[nodes.Getattr | nodes.Getitem]:
    return isinstance(node, nodes.Getattr) or (
        isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice)
    )


def _is_constant(node: nodes.Literal) -> bool:
    return all(isinstance(inner, nodes.Literal | nodes.Pair) for inner in node.find_all(nodes.Node))


class _Expressions(NodeTransformer):
    """Fields know their whole path, and whatever takes longer with a longer value counts."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return self._field(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return self._field(node) if _is_lookup(node) else _step(self._inside(node), "count made", line=node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        self._inside(node)
        node.expr = _step(node.expr, "count all", line=node.lineno)
        for operand in node.ops:
            step = "count inside" if operand.op in ("in", "notin") else "count all"
            operand.expr = _step(operand.expr, step, line=node.lineno)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        self._inside(node)
        if node.name in COMPARING_TESTS:
            node.node = _step(node.node, "count all", line=node.lineno)
            step = "count inside" if node.name == "in" else "count all"
            node.args = [_step(each, step, line=node.lineno) for each in node.args]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        paths = nodes.Const(tuple(map(shown, node.nodes)))
        first, *others = self._inside(node).nodes
        return _step(first, "join texts", paths, *others, line=node.lineno)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        node.expr2 = node.expr2 or nodes.Const("", lineno=node.lineno)
        return self._inside(node)

    def visit_List(self, node: nodes.Literal) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        if _is_constant(node):
            return node
        return _step(self._inside(node), "count all", line=node.lineno)

    visit_Tuple = visit_Dict = visit_List  # noqa: N815 - Jinja's visitor

    def _inside(self, node: _Node) -> _Node:
        self.generic_visit(node)
        return node

    def _field(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Expr:
        keys: list[nodes.Expr] = []
        base: nodes.Expr = node
        while _is_lookup(base):
            keys.insert(0, self._key(base))
            base = base.node
        return _step(self.visit(base), "look up", nodes.Const(shown(node)), *keys, line=node.lineno)

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
    def __init__(self, start: Position, include: Include) -> None:
        self._start = start
        self._include = include
        self._expressions = _Expressions()

    def body(self, statements: list[nodes.Node], place: Position) -> Position:
        """Rewrite the statements in place; where the text stands behind them."""
        woven: list[nodes.Node] = []
        for statement in statements:
            if isinstance(statement, nodes.Macro):
                woven += self._macro(statement)
            else:
                place = self._statement(statement, place)
                woven.append(statement)
        statements[:] = woven
        return place

    def _statement(self, node: nodes.Node, place: Position) -> Position:
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
                node.filter = _step(None, f"keep {self._fragment(node)}", line=node.lineno)
            case nodes.Include():
                self._included(node, place)
            case nodes.Import() | nodes.FromImport():
                self._file(node)
        return place

    def _expression(self, node: nodes.Node) -> nodes.Expr:
        woven: nodes.Expr = self._expressions.visit(node)
        return woven

    def _output(self, node: nodes.Output, place: Position) -> Position:
        for index, child in enumerate(node.nodes):
            if isinstance(child, nodes.TemplateData):
                place = _behind(child, place)
            else:
                path = nodes.Const(shown(child).replace("…", "the value"))
                node.nodes[index] = _step(self._expression(child), f"print {place}", path, line=child.lineno)
        return place

    def _if(self, node: nodes.If, place: Position) -> Position:
        branches = [node, *node.elif_]
        for branch in branches:
            branch.test = self._expression(branch.test)
        ends = {self.body(body, place) for body in (*(branch.body for branch in branches), node.else_)}
        if len(ends) > 1:
            raise Refused(
                node.lineno,
                "the branches of this {% if %} do not agree: one ends inside a JSON string, another outside",
                "give every branch whole strings, or a missing {% else %} the same quote",
            )
        return ends.pop()

    def _for(self, node: nodes.For, place: Position) -> Position:
        size = nodes.Const(length_of(node))
        node.iter = _step(self._expression(node.iter), "count steps", size, line=node.lineno)
        node.test = node.test and self._expression(node.test)
        if {self.body(node.body, place), self.body(node.else_, place)} != {place}:
            raise Refused(
                node.lineno,
                "this {% for %} begins inside a JSON string and ends outside, or the other way round",
                "put both quotes inside the loop, or both outside",
            )
        return place

    def _macro(self, node: nodes.Macro) -> Iterator[nodes.Node]:
        """The macro, and its name bound anew to one whose output is marked as escaped."""
        size = nodes.Const(length_of(node))
        node.defaults = [self._expression(default) for default in node.defaults]
        step = f"macro {self._fragment(node)}"
        yield node
        name = nodes.Name(node.name, "load", lineno=node.lineno)
        marked = _step(name, step, size, line=node.lineno)
        yield nodes.Assign(nodes.Name(node.name, "store", lineno=node.lineno), marked, lineno=node.lineno)

    def _fragment(self, node: nodes.Macro | nodes.AssignBlock) -> Position:
        """Weave the body of a macro or set block, which is prose or JSON by itself; the place it is made for."""
        place: Position = "value" if self._start == "value" and _is_json(node) else "text"
        if self.body(node.body, place) != place:
            raise Refused(node.lineno, "this block ends inside a JSON string: a quote is missing, or one too many")
        return place

    def _included(self, node: nodes.Include, place: Position) -> None:
        if place != self._start or place not in ("text", "value"):
            where = "inside a JSON string" if self._start == "value" else "in this place"
            raise Refused(node.lineno, f"an {{% include %}} is not possible {where}", "import a macro instead")
        if node.ignore_missing:
            raise Refused(
                node.lineno, "ignore missing is not possible here: every file is read when the gateway starts"
            )
        self._file(node)

    def _file(self, node: nodes.Include | nodes.Import | nodes.FromImport) -> None:
        match node.template:
            case nodes.Const(value=str(name)):
                size = nodes.Const(self._include(name, node.lineno))
            case _:
                raise Refused(node.lineno, "the name of a file is written out here, not computed")
        node.template = _step(node.template, "count file", size, line=node.lineno)
        # Without it the file's macros would not see the event, nor the budget.
        node.with_context = True


_MEANING = re.compile(r'\\(.?)|["\n]', re.DOTALL)


def _behind(data: nodes.TemplateData, place: Position) -> Position:
    """Where the text stands after the template's own ``data``; a path's is encoded here."""
    if place == "path":
        data.data = quote(data.data, safe="/%:@!$&'()*+,;=~")
    if place not in ("string", "value"):
        return place
    for match in _MEANING.finditer(data.data):
        if match[0] == '"':
            place = "value" if place == "string" else "string"
        elif place == "string" and match[0] in ("\n", "\\", "\\\n"):
            line = data.lineno + data.data.count("\n", 0, match.start())
            raise Refused(line, *_IN_STRING[match[0]])
    return place


_IN_STRING = {
    "\n": ("a JSON string ends on the line on which it begins", r"a quote is missing; a new line is written \n"),
    "\\\n": ("a backslash at the end of a line inside a JSON string", r"a new line is written \n"),
    "\\": ("a backslash right before {{ or {% would escape what is printed", r"write \\ for one that is shown"),
}


def _is_json(node: nodes.Node) -> bool:
    """Whether a block looks like JSON at both ends. A wrong guess looks odd and is safe: either way it is escaped."""
    texts = [
        child.data.strip() if isinstance(child, nodes.TemplateData) else "x"
        for output in node.find_all(nodes.Output)
        for child in output.nodes
    ]
    written = [text for text in texts if text]
    return bool(written) and written[0][0] in '{["' and written[-1][-1] in '}]"'
