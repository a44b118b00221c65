"""Templates of nothing but texts and plain expressions, as closures: most leaves of a body are.

Jinja makes a context, a generator and a chain of calls for each of them, which takes several times as long as what they do.
A closure is made of the rewritten template, so that it goes through the same steps as the code that Jinja compiles from it.
It is never asked why something failed: whoever runs it runs the template then, which knows its lines.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import nodes
from jinja2.utils import missing

from gateway.destinations.escapes import no_escape
from gateway.render.filters import TESTS
from gateway.render.names import Namespace, Seen
from gateway.render.sandbox import Sandbox, member
from gateway.render.steps import STEPS, WITHOUT_CONTEXT
from gateway.render.values import SCALAR, UndefinedField, encodable

#: The value of an expression; of a whole template its text.
Evaluate = Callable[[Namespace, Sandbox], Any]


class _Other(Exception):
    """The template has something that only Jinja runs."""


def closure(tree: nodes.Template) -> Evaluate | None:
    """What prints a rewritten template as Jinja would, if it can be a closure. The closure may raise anything."""
    try:
        return _text([part for statement in tree.body for part in _parts(statement)])
    except _Other:
        return None


def _parts(statement: nodes.Node) -> Sequence[nodes.Expr]:
    if not isinstance(statement, nodes.Output):
        raise _Other
    return statement.nodes


def _text(parts: Sequence[nodes.Expr]) -> Evaluate:
    written = [part.data if isinstance(part, nodes.TemplateData) else "" for part in parts]
    values = [(at, _made(part)) for at, part in enumerate(parts) if not isinstance(part, nodes.TemplateData)]
    if len(written) == len(values) == 1:
        return values[0][1]

    def text(names: Namespace, sandbox: Sandbox) -> str:
        made = written.copy()
        for at, value in values:
            made[at] = value(names, sandbox)
        return "".join(made)

    return text


def _made(node: nodes.Expr) -> Evaluate:
    """An expression as a closure. Raises _Other."""
    match node:
        case nodes.Const(value=value):
            return lambda _names, _sandbox: value
        case nodes.Name(name=name, ctx="load"):
            return _field(name, [], name)
        case nodes.Filter(name="look up", args=[nodes.Const(value=path), *_]) if (found := _found(node)) is not None:
            return _field(*found, path)
        case nodes.Filter(name="default", node=inner, args=[nodes.Const() | nodes.Name() as other], kwargs=[]) if (
            found := _found(inner)
        ) is not None and node.dyn_args is None is node.dyn_kwargs:
            return _default(*found, _made(other))
        case nodes.Filter(name="print result", node=nodes.Expr() as inner, args=[nodes.Const(value=path)]):
            return _result(_made(inner), path)
        case nodes.Filter(name="print text", node=nodes.Expr() as inner, args=[nodes.Const(value=path)]):
            return _printed(_made(inner), path)
        case nodes.Filter(node=nodes.Expr() as inner, dyn_args=None, dyn_kwargs=None):
            return _filter(node, _made(inner))
        case nodes.Test(node=inner, args=args, kwargs=[], dyn_args=None, dyn_kwargs=None) if node.name in TESTS:
            test, value, others = TESTS[node.name], _made(inner), [_made(each) for each in args or ()]
            return lambda names, sandbox: test(value(names, sandbox), *[each(names, sandbox) for each in others])
        case nodes.Compare(expr=left, ops=[nodes.Operand(op=op, expr=right)]):
            return _two(_COMPARED[op], _made(left), _made(right))
    return _logical(node)


def _logical(node: nodes.Expr) -> Evaluate:
    match node:
        case nodes.Not(node=inner):
            denied = _made(inner)
            return lambda names, sandbox: not denied(names, sandbox)
        case nodes.Neg(node=inner):
            positive = _made(inner)
            return lambda names, sandbox: -positive(names, sandbox)
        case nodes.And(left=left, right=right):
            first, second = _made(left), _made(right)
            return lambda names, sandbox: first(names, sandbox) and second(names, sandbox)
        case nodes.Or(left=left, right=right):
            first, second = _made(left), _made(right)
            return lambda names, sandbox: first(names, sandbox) or second(names, sandbox)
        case nodes.CondExpr(test=test, expr1=one, expr2=nodes.Expr() as other):
            holds, then, otherwise = _made(test), _made(one), _made(other)
            return lambda names, sandbox: then(names, sandbox) if holds(names, sandbox) else otherwise(names, sandbox)
    raise _Other


_COMPARED: Final[Mapping[str, Callable[[Any, Any], object]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


def _two(compare: Callable[[Any, Any], object], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda names, sandbox: compare(left(names, sandbox), right(names, sandbox))


def _found(node: nodes.Node | None) -> tuple[str, Sequence[object]] | None:
    """The root and the keys of a field that is written out; None: the node is something else."""
    match node:
        case nodes.Filter(name="look up", node=nodes.Name(name=root), args=[nodes.Const(), *others]):
            keys = [key.value for key in others if isinstance(key, nodes.Const)]
            return (root, keys) if len(keys) == len(others) else None
    return None


def _field(root: str, keys: Sequence[object], path: str) -> Evaluate:
    """``field``."""

    def field(names: Namespace, _sandbox: Sandbox) -> object:
        value = names.get(root, missing)
        for key in keys:
            value = value[key] if type(value) is dict and key in value else member(value, key)
        return UndefinedField(name=path) if value is missing else value

    return field


def _default(root: str, keys: Sequence[object], replacement: Evaluate) -> Evaluate:
    """``default`` of a field: no error is made to be thrown away."""

    def default(names: Namespace, sandbox: Sandbox) -> object:
        # As in ``_field``: a function for both would be called for each leaf.
        value = names.get(root, missing)
        for key in keys:
            value = value[key] if type(value) is dict and key in value else member(value, key)
        return replacement(names, sandbox) if value is None or value is missing else value

    return default


def _filter(node: nodes.Filter, value: Evaluate) -> Evaluate:
    function, with_context = STEPS[node.name], node.name not in WITHOUT_CONTEXT
    args = [_made(each) for each in node.args]
    named = {str(each.key): _made(each.value) for each in node.kwargs}
    if not named and with_context:
        return lambda names, sandbox: function(
            Seen(sandbox, names), value(names, sandbox), *[each(names, sandbox) for each in args]
        )

    def filtered(names: Namespace, sandbox: Sandbox) -> object:
        given = [value(names, sandbox), *[each(names, sandbox) for each in args]]
        by_name = {name: each(names, sandbox) for name, each in named.items()}
        return function(Seen(sandbox, names), *given, **by_name) if with_context else function(*given, **by_name)

    return filtered


def _result(value: Evaluate, path: str) -> Evaluate:
    """``print_result``, with a short way for plain values."""
    step = STEPS["print result"]

    def result(names: Namespace, sandbox: Sandbox) -> str:
        made, budget = value(names, sandbox), names.budget
        kind = type(made)
        if kind is str:
            # As ``spend``, without a call for each leaf.
            budget.work -= SCALAR + len(made)
            if budget.work < 0:
                budget.spend(0)
            text = made if sandbox.escape is no_escape else sandbox.escaped(budget, made)
            budget.result = text if made.isascii() else encodable(text)
        elif kind is int or kind is bool or made is None:
            budget.spend(SCALAR)
            budget.result = made
        else:
            step(Seen(sandbox, names), made, path)
        return ""

    return result


def _printed(value: Evaluate, path: str) -> Evaluate:
    """``print_text``, with a short way for plain texts."""
    step = STEPS["print text"]

    def printed(names: Namespace, sandbox: Sandbox) -> object:
        made = value(names, sandbox)
        if type(made) is str:
            return sandbox.escaped(names.budget, made)
        return step(Seen(sandbox, names), made, path)

    return printed
