"""An expression of a template as its author writes it."""

from collections.abc import Iterable
from typing import Final

from jinja2 import nodes

from gateway.render import calls
from gateway.render.forms import in_quotes


def shown(node: nodes.Node) -> str:
    """A value as it is written, in parentheses if it is computed; ``...`` for arguments that are taken from a list."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Const(value=str() as text):
            return in_quotes(text)
        case nodes.Const(value=value):
            return str(value).lower()
        case nodes.List(items=items):
            return f"[{_listed(items)}]"
        case nodes.Tuple(items=items):
            return f"({_listed(items)}{',' * (len(items) == 1)})"
        case nodes.Dict(items=items):
            return f"{{{', '.join(f'{shown(each.key)}: {shown(each.value)}' for each in items)}}}"
        case nodes.Neg(node=inner):
            return f"-{shown(inner)}"
        case nodes.Getattr() | nodes.Getitem() | nodes.Call():
            return _below(node)
    return f"({_computed(node)})"


def _below(node: nodes.Node) -> str:
    """A field, an element or what a function gives."""
    match node:
        case nodes.Getattr(node=inner, attr=name):
            return f"{shown(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Slice(start=start, stop=stop, step=step)):
            parts = [shown(each) if each is not None else "" for each in (start, stop)]
            return f"{shown(inner)}[{':'.join([*parts, shown(step)] if step is not None else parts)}]"
        case nodes.Getitem(node=inner, arg=index):
            return f"{shown(inner)}[{shown(index)}]"
        case nodes.Call(node=nodes.Getattr(node=inner, attr="get"), args=[nodes.Const(value=str() as name)]):
            return f"{shown(inner)}{calls.step(in_quotes(name))}"
        case nodes.Call(node=nodes.Expr() as function, args=arguments, kwargs=named, dyn_args=None, dyn_kwargs=None):
            return f"{shown(function)}({_listed([*arguments, *named])})"
    return "..."


def _computed(node: nodes.Node) -> str:
    """What is in parentheses."""
    match node:
        case nodes.Filter(node=nodes.Node() as inner):
            return f"{shown(inner)} | {called(node)}"
        case nodes.Test(node=inner):
            return f"{shown(inner)} is {called(node)}"
        case nodes.BinExpr(left=left, right=right, operator=operator):
            return f"{shown(left)} {operator} {shown(right)}"
        case nodes.UnaryExpr(node=inner, operator=operator):
            return f"{operator} {shown(inner)}"
        case nodes.Concat(nodes=parts):
            return " ~ ".join(map(shown, parts))
        case nodes.Compare(expr=left, ops=others):
            return " ".join([shown(left), *(f"{_SIGNS[each.op]} {shown(each.expr)}" for each in others)])
        case nodes.CondExpr(test=asked, expr1=value, expr2=nodes.Expr() as other):
            return f"{shown(value)} if {shown(asked)} else {shown(other)}"
        case nodes.CondExpr(test=asked, expr1=value):
            return f"{shown(value)} if {shown(asked)}"
    return "..."


def _listed(items: Iterable[nodes.Node]) -> str:
    return ", ".join(
        f"{each.key}={shown(each.value)}" if isinstance(each, nodes.Keyword) else shown(each) for each in items
    )


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


def called(node: nodes.Filter | nodes.Test) -> str:
    """A filter or a test as it is written: ``money(attrs.currency, minor=true)``."""
    arguments = _listed([*(node.args or ()), *(node.kwargs or ())])
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
