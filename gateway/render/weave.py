"""Rewrites a parsed template: every printed value is escaped for its place, and every loop and call is counted.

The place of a value is decided here, from the template's own text, not by its author and not at run time:

    "text"      text for people, also inside a macro or set block that is prose
    "string"    inside a JSON string
    "value"     where JSON has a value
    "path"      in the path of a url
    "result"    a leaf that is one whole expression: the value itself is kept
    "truth"     an ``if``: whether its one expression holds

Steps are ordinary filters with names that no template can write, such as ``print value``.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal
from urllib.parse import quote

from jinja2 import nodes

from gateway.render.expressions import Expressions, shown, step
from gateway.render.grammar import Refused, check
from gateway.render.sandbox import EXPRESSION

Position = Literal["text", "string", "value", "path", "result", "truth"]

#: Compiles the file with that name, used on that line, and returns what running it once costs.
Include = Callable[[str, int], int]


def weave(
    tree: nodes.Template,
    start: Position,
    roots: Collection[str],
    include: Include,
    hows: Mapping[int, str] | None = None,
) -> None:
    """Rewrite ``tree``, whose text begins at ``start``, in place. Raises Refused.

    ``hows``: how the values are printed that are not printed as their position says, by their ``id``.
    """
    check(tree, roots)
    end = _Weaver(start, include, hows or {}).body(tree.body, start)
    if end != start:
        raise Refused(
            _last_line(tree), "the text ends inside a JSON string: a quote is missing, or there is one too many"
        )


_PUNCTUATION = re.compile(r"[\s,:{}\[\]]*")


def punctuated(tree: nodes.Template) -> None:
    """Make ``{{ "," if not loop.last }}`` of a JSON file into the author's own text, which it is, in place."""
    for node in (tree, *tree.find_all((nodes.If, nodes.For, nodes.Macro, nodes.With, nodes.AssignBlock))):
        for name in ("body", "else_"):
            if isinstance(statements := getattr(node, name, None), list):
                statements[:] = [new for old in statements for new in _without_punctuation(old)]


def _without_punctuation(statement: nodes.Node) -> Iterator[nodes.Node]:
    if not isinstance(statement, nodes.Output):
        yield statement
        return
    for child in statement.nodes:
        match child:
            case nodes.CondExpr(test=test, expr1=nodes.Const(value=str(one)), expr2=other) if (
                other is None or isinstance(other, nodes.Const)
            ) and _PUNCTUATION.fullmatch(one + str(other.value if other else "")):
                line = child.lineno
                body, rest = (_written(each, line) for each in (one, str(other.value) if other else ""))
                yield nodes.If(test, body, [], rest, lineno=line)
            case _:
                yield nodes.Output([child], lineno=child.lineno)


def _written(text: str, line: int) -> list[nodes.Node]:
    return [nodes.Output([nodes.TemplateData(text, lineno=line)], lineno=line)] if text else []


def whole_expression(tree: nodes.Template) -> bool:
    """Whether the text is one ``{{ }}`` and nothing else."""
    match tree.body:
        case [nodes.Output(nodes=[only])]:
            return not isinstance(only, nodes.TemplateData)
    return False


def cost_of(node: nodes.Node) -> int:
    """What running a template, or the body of a loop or macro, once costs: its own text, and its expressions."""
    written = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
    return written + EXPRESSION * sum(not isinstance(each, nodes.TemplateData) for each in node.find_all(nodes.Expr))


def _last_line(tree: nodes.Template) -> int:
    return max((node.lineno for node in tree.find_all(nodes.Node) if node.lineno), default=1)


class _Weaver:
    def __init__(self, start: Position, include: Include, hows: Mapping[int, str]) -> None:
        self._start = start
        self._hows = hows
        self._include = include
        self._expressions = Expressions()

    def body(self, statements: list[nodes.Node], place: Position) -> Position:
        """Rewrite the statements in place; the position after them."""
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
                node.filter = step(None, f"keep {self._fragment(node)}", line=node.lineno)
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
                place = _after(child, place)
            else:
                path = nodes.Const(shown(child).replace("…", "the value"))
                how = self._hows.get(id(child), place)
                node.nodes[index] = step(self._expression(child), f"print {how}", path, line=child.lineno)
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
                "put whole strings into every branch, or add an {% else %} with the same quote",
            )
        return ends.pop()

    def _for(self, node: nodes.For, place: Position) -> Position:
        size = nodes.Const(cost_of(node))
        node.iter = step(self._expression(node.iter), "count steps", size, line=node.lineno)
        node.test = node.test and self._expression(node.test)
        if {self.body(node.body, place), self.body(node.else_, place)} != {place}:
            raise Refused(
                node.lineno,
                "this {% for %} begins inside a JSON string and ends outside it, or the other way round",
                "put both quotes inside the loop, or both outside",
            )
        return place

    def _macro(self, node: nodes.Macro) -> Iterator[nodes.Node]:
        """The macro, then its name bound to one whose output is marked as escaped."""
        size = nodes.Const(cost_of(node))
        node.defaults = [self._expression(default) for default in node.defaults]
        mark = f"macro {self._fragment(node)}"
        yield node
        name = nodes.Name(node.name, "load", lineno=node.lineno)
        marked = step(name, mark, size, line=node.lineno)
        yield nodes.Assign(nodes.Name(node.name, "store", lineno=node.lineno), marked, lineno=node.lineno)

    def _fragment(self, node: nodes.Macro | nodes.AssignBlock) -> Position:
        """Weave the body of a macro or set block, which is prose or JSON by itself; its position."""
        place: Position = "value" if self._start == "value" and _is_json(node) else "text"
        if self.body(node.body, place) != place:
            raise Refused(
                node.lineno, "this block ends inside a JSON string: a quote is missing, or there is one too many"
            )
        return place

    def _included(self, node: nodes.Include, place: Position) -> None:
        if place != self._start or place not in ("text", "value"):
            where = "inside a JSON string" if self._start == "value" else "in this place"
            raise Refused(node.lineno, f"an {{% include %}} is not supported {where}", "import a macro instead")
        if node.ignore_missing:
            raise Refused(node.lineno, "ignore missing is not supported: every file is read when the gateway starts")
        self._file(node)

    def _file(self, node: nodes.Include | nodes.Import | nodes.FromImport) -> None:
        match node.template:
            case nodes.Const(value=str(name)):
                size = nodes.Const(self._include(name, node.lineno))
            case _:
                raise Refused(node.lineno, "the name of a file cannot be computed", "write it out")
        node.template = step(node.template, "count file", size, line=node.lineno)
        # Without the context, the file's macros would see neither the event nor the budget.
        node.with_context = True


_MEANING = re.compile(r'\\(.?)|["\n]', re.DOTALL)


def _after(data: nodes.TemplateData, place: Position) -> Position:
    """The position after the template's own ``data``. In a path, the data is encoded."""
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
    "\n": (
        "a JSON string must end on the line on which it begins",
        r"add the missing quote, or write \n for a new line",
    ),
    "\\\n": ("a backslash at the end of a line inside a JSON string", r"write \n for a new line"),
    "\\": ("a backslash right before {{ or {% would escape the value", r"write \\ for a backslash"),
}


def _is_json(node: nodes.Node) -> bool:
    """Whether a block looks like JSON at both ends. A wrong guess looks odd but is safe: both ways escape."""
    texts = [
        child.data.strip() if isinstance(child, nodes.TemplateData) else "x"
        for output in node.find_all(nodes.Output)
        for child in output.nodes
    ]
    written = [text for text in texts if text]
    return bool(written) and written[0][0] in '{["' and written[-1][-1] in '}]"'
