"""An expression of a template as its author writes it."""

import json

from jinja2 import nodes

from gateway.render import calls


def shown(node: nodes.Node) -> str:
    """A value as it is written; ``...`` for what is neither a field, a constant, filtered nor computed."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Const(value=str() as text):
            return quoted(text)
        case nodes.Const(value=value):
            return str(value).lower()
        case nodes.Getattr(node=inner, attr=name):
            return f"{shown(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Const() as index):
            return f"{shown(inner)}[{shown(index)}]"
        case nodes.Call(node=nodes.Getattr(node=inner, attr="get"), args=[nodes.Const(value=str() as name), *_]):
            return f"{shown(inner)}{calls.step(json.dumps(name, ensure_ascii=False))}"
        case nodes.List(items=items):
            return f"[{', '.join(map(shown, items))}]"
        case nodes.Neg(node=inner):
            return f"-{shown(inner)}"
        case nodes.Filter(node=nodes.Node() as inner):
            return f"({shown(inner)} | {called(node)})"
        case nodes.BinExpr(left=left, right=right, operator=operator):
            return f"({shown(left)} {operator} {shown(right)})"
    return "..."


def called(node: nodes.Filter) -> str:
    """A filter as it is written: ``money(attrs.currency, minor=true)``."""
    arguments = ", ".join([*map(shown, node.args), *(f"{each.key}={shown(each.value)}" for each in node.kwargs)])
    return f"{node.name}({arguments})" if arguments else node.name


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if "'" in text or "\n" in text else f"'{text}'"
