"""``sum_of``: the sum of an expression over the fields of each element, which is read when the template is loaded."""

from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException
from functools import lru_cache
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.utils import missing

from gateway.render.filters.arguments import elements, short
from gateway.render.filters.groups import at
from gateway.render.filters.money import exact, plain
from gateway.render.values import Spend, Trouble, kind

#: Of one operation or field of the expression, in characters.
OPERATION: Final = 200
#: Digits, as many as any amount of money has; exponents are bounded, too, so no step is long.
_CONTEXT: Final = Context(prec=60, Emax=400, Emin=-400)
_OPERATORS: Final[Mapping[type[nodes.BinExpr], Callable[[Decimal, Decimal], Decimal]]] = {
    nodes.Add: _CONTEXT.add,
    nodes.Sub: _CONTEXT.subtract,
    nodes.Mul: _CONTEXT.multiply,
    nodes.Div: _CONTEXT.divide,
}

#: The number of one element.
_Term = Callable[[object], Decimal]


def sum_of(value: object, expression: object, *, spend: Spend = lambda _: None) -> int | float:
    """The sum of an expression of the fields of each element, exact to the cent.

    The expression has fields, numbers, ``+ - * /`` and parentheses; a text that is a number counts as one.

    >>> sum_of([{"price": "0.10", "qty": 3}, {"price": 2, "qty": 1}], "price * qty")
    2.3
    """
    term, size = compiled(short(expression, "the expression of sum_of"))
    total = Decimal()
    for element in elements(value):
        spend(OPERATION * size)
        try:
            total = _CONTEXT.add(total, term(element))
        except DecimalException as error:
            is_zero = "division" in type(error).__name__.lower() or "Undefined" in type(error).__name__
            raise Trouble("sum_of divides by zero" if is_zero else "sum_of makes a number that is too large") from None
    return plain(total)


@lru_cache(maxsize=1_000)
def compiled(expression: str) -> tuple[_Term, int]:
    """The number of one element, and how many operations it takes. Raises Trouble for what is not such an expression."""
    try:
        tree = Environment(autoescape=False).parse(f"{{{{ {expression} }}}}")  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError:
        tree = nodes.Template([])
    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as only])]:
            return _term(only), sum(1 for _ in only.find_all(nodes.Expr)) + 1
    raise Trouble('sum_of: {} is not an expression such as "price * quantity"', expression)


def _term(node: nodes.Node) -> _Term:
    match node:
        case nodes.Const(value=int() | float() as value) if not isinstance(value, bool):
            number = Decimal(str(value))
            return lambda _element: number
        case nodes.Name() | nodes.Getattr():
            return _field(_path(node))
        case nodes.Neg(node=inner):
            term = _term(inner)
            return lambda element: _CONTEXT.minus(term(element))
        case nodes.BinExpr(left=left, right=right) if type(node) in _OPERATORS:
            operate, one, other = _OPERATORS[type(node)], _term(left), _term(right)
            return lambda element: operate(one(element), other(element))
    raise Trouble("sum_of has fields, numbers, + - * / and parentheses only")


def _path(node: nodes.Node) -> str:
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Getattr(node=base, attr=name):
            return f"{_path(base)}.{name}"
    raise Trouble("sum_of has fields, numbers, + - * / and parentheses only")


def _field(path: str) -> _Term:
    def number(element: object) -> Decimal:
        value = at(element, path)
        found = exact(value)
        if found is None:
            shown = "has no" if value is missing else f"has {kind(value)} as"
            raise Trouble(f"sum_of: an element {shown} {path}, which is not a number")
        return found

    return number
