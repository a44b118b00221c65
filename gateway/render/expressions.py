"""Rewrites the expressions of a template: fields know their path, and costly operations are counted."""

from typing import TypeGuard, TypeVar

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from gateway.render.filters import COMPARING_TESTS

_Node = TypeVar("_Node", bound=nodes.Node)


def step(value: nodes.Expr | None, name: str, *arguments: nodes.Expr, line: int) -> nodes.Filter:
    """A call of one of STEPS."""
    return nodes.Filter(value, name, list(arguments), [], None, None, lineno=line)


def shown(node: nodes.Node) -> str:
    """``attrs.company``: an expression as its author wrote it, close enough to find it."""
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


def header_of(node: nodes.Getattr | nodes.Getitem) -> str | None:
    """The header field that a lookup names, in lower case: ``headers.x_event`` and ``headers["X-Event"]``."""
    match node:
        case nodes.Getattr(node=nodes.Name(name="headers"), attr=name):
            return str(name).replace("_", "-").lower()
        case nodes.Getitem(node=nodes.Name(name="headers"), arg=nodes.Const(value=str(name))):
            return name.lower()
    return None


def _is_lookup(node: nodes.Expr) -> TypeGuard[nodes.Getattr | nodes.Getitem]:
    return isinstance(node, nodes.Getattr) or (
        isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice)
    )


def _is_constant(node: nodes.Literal) -> bool:
    return all(isinstance(inner, nodes.Literal | nodes.Pair) for inner in node.find_all(nodes.Node))


class Expressions(NodeTransformer):
    """Gives fields their whole path, and counts whatever takes longer with a longer value."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return self._field(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        return self._field(node) if _is_lookup(node) else step(self._inside(node), "count made", line=node.lineno)

    def visit_Call(self, node: nodes.Call) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        method = node.node
        if not isinstance(method, nodes.Getattr) or not _is_lookup(method.node):
            return self._inside(node)
        # In two steps: which of them finds nothing tells a missing field from a missing method.
        node.node = nodes.Const(None)
        self._inside(node)
        path, name = nodes.Const(shown(method)), nodes.Const(method.attr)
        node.node = step(self._field(method.node), "look up", path, name, line=node.lineno)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        self._inside(node)
        node.expr = step(node.expr, "count all", line=node.lineno)
        for operand in node.ops:
            name = "count inside" if operand.op in ("in", "notin") else "count all"
            operand.expr = step(operand.expr, name, line=node.lineno)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        self._inside(node)
        if node.name in COMPARING_TESTS:
            node.node = step(node.node, "count all", line=node.lineno)
            name = "count inside" if node.name == "in" else "count all"
            node.args = [step(each, name, line=node.lineno) for each in node.args]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        paths = nodes.Const(tuple(map(shown, node.nodes)))
        first, *others = self._inside(node).nodes
        return step(first, "join texts", paths, *others, line=node.lineno)

    def visit_Mul(self, node: nodes.BinExpr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        operator, paths = nodes.Const(node.operator), nodes.Const((shown(node.left), shown(node.right)))
        self._inside(node)
        return step(node.left, "compute", operator, paths, node.right, line=node.lineno)

    visit_Add = visit_Sub = visit_Div = visit_FloorDiv = visit_Mod = visit_Pow = visit_Mul  # noqa: N815 - Jinja's visitor

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        node.expr2 = node.expr2 or nodes.Const("", lineno=node.lineno)
        return self._inside(node)

    def visit_List(self, node: nodes.Literal) -> nodes.Expr:  # noqa: N802 - Jinja's visitor
        if _is_constant(node):
            return node
        return step(self._inside(node), "count all", line=node.lineno)

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
        return step(self.visit(base), "look up", nodes.Const(shown(node)), *keys, line=node.lineno)

    def _key(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Expr:
        header = header_of(node)
        if header is not None:
            return nodes.Const(header)
        if isinstance(node, nodes.Getattr):
            return nodes.Const(node.attr)
        key: nodes.Expr = self.visit(node.arg)
        return key
