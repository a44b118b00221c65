"""An expression of a template as its author writes it."""

from typing import Final

from jinja2 import nodes

from gateway.render import calls
from gateway.render.forms import in_quotes


def shown(node: nodes.Node) -> str:
    """A value as it is written; ``...`` for what is neither a field, a constant, filtered nor computed."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Const(value=str() as text):
            return in_quotes(text)
        case nodes.Const(value=value):
            return str(value).lower()
        case nodes.Getattr(node=inner, attr=name):
            return f"{shown(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Const() as index):
            return f"{shown(inner)}[{shown(index)}]"
        case nodes.Call(node=nodes.Getattr(node=inner, attr="get"), args=[nodes.Const(value=str() as name), *_]):
            return f"{shown(inner)}{calls.step(in_quotes(name))}"
        case nodes.List(items=items):
            return f"[{', '.join(map(shown, items))}]"
        case nodes.Neg(node=inner):
            return f"-{shown(inner)}"
        case nodes.Filter(node=nodes.Node() as inner):
            return f"({shown(inner)} | {called(node)})"
        case nodes.BinExpr(left=left, right=right, operator=operator):
            return f"({shown(left)} {operator} {shown(right)})"
    return _condition(node)


def _condition(node: nodes.Node) -> str:
    match node:
        case nodes.And(left=left, right=right):
            return f"({shown(left)} and {shown(right)})"
        case nodes.Or(left=left, right=right):
            return f"({shown(left)} or {shown(right)})"
        case nodes.Not(node=inner):
            return f"(not {shown(inner)})"
        case nodes.Concat(nodes=parts):
            return f"({' ~ '.join(map(shown, parts))})"
        case nodes.Compare(expr=left, ops=[nodes.Operand(op=sign, expr=right)]) if sign in _SIGNS:
            return f"({shown(left)} {_SIGNS[sign]} {shown(right)})"
        case nodes.Call(node=nodes.Expr() as function, args=arguments, kwargs=[]):
            return f"{shown(function)}({', '.join(map(shown, arguments))})"
    return "..."


_SIGNS: Final = {
    "eq": "==",
    "ne": "!=",
    "gt": ">",
    "gteq": ">=",
    "lt": "<",
    "lteq": "<=",
    "in": "in",
    "notin": "not in",
}


def called(node: nodes.Filter) -> str:
    """A filter as it is written: ``money(attrs.currency, minor=true)``."""
    arguments = ", ".join([*map(shown, node.args), *(f"{each.key}={shown(each.value)}" for each in node.kwargs)])
    return f"{node.name}({arguments})" if arguments else node.name


def list_of(node: nodes.Node) -> nodes.Node:
    """The list of which a loop takes some elements, or takes them in another order."""
    match node:
        case nodes.Filter(name=name, node=nodes.Node() as inner) if name in _CHOOSING:
            return list_of(inner)
        case nodes.Getitem(node=inner, arg=nodes.Slice()):
            return list_of(inner)
    return node


#: Filters that give elements of their list.
_CHOOSING: Final = frozenset({"default", "list", "rejectattr", "reverse", "selectattr", "sort", "unique"})
