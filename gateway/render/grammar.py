"""What a template may contain; whatever is wrong is Refused with its line."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from jinja2 import nodes

from gateway.event.naming import EVENT_FIELDS
from gateway.render import forms
from gateway.render.filters import FILTERS, READ_AT_LOAD, TESTS
from gateway.render.forms import in_quotes
from gateway.render.sandbox import LOOP_METHODS, TEXT_METHODS
from gateway.render.unknown import INSTEAD_OF, MODULES, Unknown, did_you_mean, unknown_names
from gateway.render.values import Trouble
from gateway.render.written import called, shown
from gateway.wording import suggest

#: Filters that make a text of a number; ``number`` does if it is given decimals.
_MAKING_TEXTS = frozenset({"money", "string", "phone", "mask", "bold"})

#: Computations with numbers; none of them but + accepts a text.
_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Macro,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.NSRef,
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


_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Extends: "{% extends %} is not supported: {% include %} or {% import %} the common part",
    nodes.Block: "{% block %} is not supported: {% include %} or {% import %} the common part",
    nodes.CallBlock: "{% call %} is not supported: give the macro its text as an argument",
    nodes.FilterBlock: "{% filter %} is not supported: write the filter inside {{ }}",
    nodes.Scope: "{% autoescape %} is not supported: every value is already escaped for its place",
}


class Refused(Exception):
    """A template is refused: the line in its own text, why, and what to do; ``value``: which of the values on that line.

    ``unknown``: the name that nothing has, if that is why; ``in_condition``: what to do in an ``if``, if it is something else.
    """

    def __init__(
        self,
        line: int,
        message: str,
        hint: str = "",
        value: int = 0,
        *,
        unknown: Unknown | None = None,
        in_condition: str = "",
    ) -> None:
        self.line, self.message, self.hint, self.value = line, message, hint, value
        self.unknown, self.in_condition = unknown, in_condition or hint
        super().__init__(message)


class SeveralRefused(Refused):
    """A template is refused for several reasons, of which the first is its own."""

    def __init__(self, each: Sequence[Refused]) -> None:
        self.each = each
        super().__init__(each[0].line, each[0].message, each[0].hint, each[0].value)


def check(tree: nodes.Template, roots: Collection[str]) -> None:
    """Raise SeveralRefused for the constructs, filters, tests, functions and names that a template cannot have."""
    # What is wrong in the same way twice on a line looks the same.
    apart: dict[tuple[int, str], Refused] = {}
    for each in _found(tree, roots):
        apart.setdefault((each.line, each.message), each)
    if apart:
        raise SeveralRefused(sorted(apart.values(), key=lambda each: each.line))


def _found(tree: nodes.Template, roots: Collection[str]) -> Iterator[Refused]:
    yield from filter(None, map(_of_node, tree.find_all(nodes.Node)))
    if any(not isinstance(node, _ALLOWED) for node in tree.find_all(nodes.Node)):
        return
    differences = [*_of_headers(tree)]
    yield from differences
    if not differences:
        for each in unknown_names(tree, roots):
            yield Refused(each.line, f'unknown name "{each.name}"', each.hint, unknown=each)
    yield from _of_calls(tree)
    yield from _of_numbers(tree)
    if "event" in roots:
        yield from _of_event(tree)


def _of_event(tree: nodes.Template) -> Iterator[Refused]:
    """``event.time``: the sender's fields are under payload, and ``event`` has the gateway's own only."""
    if any(name.name == "event" and name.ctx != "load" for name in tree.find_all(nodes.Name)):
        # A loop over the sender's events may call each one so.
        return
    # The whole of a path comes before the steps that it is made of.
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        path = shown(node)
        if (field := _field_of_event(node)) and field not in EVENT_FIELDS:
            yield Refused(node.lineno, f'event has no field "{field}"', instead_of_field(field, path))


def _field_of_event(node: nodes.Node) -> str:
    """The first step of a path that begins with ``event``; empty for any other."""
    match node:
        case (
            nodes.Getattr(node=nodes.Name(name="event"), attr=field)
            | nodes.Getitem(node=nodes.Name(name="event"), arg=nodes.Const(value=field))
        ):
            return str(field)
        case nodes.Getattr(node=inner) | nodes.Getitem(node=inner):
            return _field_of_event(inner)
    return ""


#: Fields of the gateway's own that other products call otherwise.
_CALLED: Mapping[str, str] = {
    **dict.fromkeys(("time", "timestamp", "created_at", "date", "at", "receivedAt"), "received_at"),
    **dict.fromkeys(("name", "event", "event_type", "kind"), "type"),
}


def instead_of_field(field: str, path: str) -> str:
    """What to write for a path that begins with a field which ``event`` does not have."""
    if field in _CALLED:
        return f"write event.{_CALLED[field]}"
    below = re.sub(r"^event(?:\.\w+|\[[^\]]*\])", "", path)
    if field in ("payload", "headers", "query", "attrs", "envelope"):
        return f"write {field}{below}"
    if field in ("body", "json", "content"):
        return f"write payload{below}"
    near = suggest(field, EVENT_FIELDS, closeness=0.75)
    return near or f"known: {', '.join(EVENT_FIELDS)}; what the sender sends is under payload: payload.{field}{below}"


def _first_line(node: nodes.Node) -> int:
    # Jinja gives a scope no line number.
    return next((one.lineno for one in (node, *node.find_all(nodes.Node)) if one.lineno), 1)


def _of_node(node: nodes.Node) -> Refused | None:
    if type(node) in _REFUSED:
        return Refused(_first_line(node), _REFUSED[type(node)])
    match node:
        case nodes.For(recursive=True):
            return Refused(node.lineno, "a recursive loop is not supported", "write a macro that calls itself")
        case nodes.AssignBlock(filter=nodes.Filter()):
            return Refused(node.lineno, "a filter on a {% set %} block is not supported", "write it inside {{ }}")
        case nodes.Filter(args=[nodes.Const(value=str() as pattern), *_]) if node.name in forms.SEARCHING:
            return _searching(node, pattern)
        case nodes.Test(args=[nodes.Const(value=str() as pattern), *_]) if node.name in forms.SEARCHING:
            return _searching(node, pattern)
        case nodes.Not(node=nodes.Test(args=[nodes.Const(value=str() as pattern), *_]) as test) if (
            test.name in forms.SEARCHING
        ):
            return _searching(test, pattern, hint=forms.denied)
        case nodes.Filter(name=name) if name not in FILTERS:
            return Refused(node.lineno, f'unknown filter "{name}"', _instead_of_filter(node))
        case nodes.Getitem(node=inner, arg=nodes.Tuple(items=[])):
            return Refused(
                node.lineno, f"{shown(inner)}[] names no element", f"write {shown(inner)}[0] for the first one"
            )
        case nodes.Filter(name=name, args=[first, *_]) if name in READ_AT_LOAD:
            return _misread(node.lineno, name, first)
        case nodes.Mod(left=nodes.Const(value=str())):
            message = "% gives the remainder of a division and inserts nothing into a text"
            return Refused(node.lineno, message, f"join texts and values with ~: {_as_joined(node)}")
        case nodes.BinExpr() if isinstance(node, _ARITHMETIC):
            return _filtered_first(node)
        case nodes.Not(node=nodes.Test(name=name) as test) if name not in TESTS:
            return Refused(node.lineno, f'unknown test "{name}"', _instead_of_test(test, is_denied=True))
        case nodes.Test(name=name) if name not in TESTS:
            return Refused(node.lineno, f'unknown test "{name}"', _instead_of_test(node))
        case _ if not isinstance(node, _ALLOWED):
            hint = "if, for, set, macro, include and import are supported"
            return Refused(_first_line(node), "this tag is not supported", hint)
    return None


def _searching(
    node: nodes.Filter | nodes.Test, pattern: str, *, hint: Callable[[str], str] = lambda hint: hint
) -> Refused:
    """A filter or a test that looks for a pattern."""
    kind, value = "filter" if isinstance(node, nodes.Filter) else "test", shown(node.node or nodes.Const(""))
    condition, found = forms.matching(node.name, value, pattern), forms.found(node.name, value, pattern)
    is_literal = not condition.startswith(f"write {forms.WHERE}")
    in_template = hint(condition if is_literal and kind == "test" else found)
    if not is_literal and _PATH.fullmatch(value):
        condition = f"{hint(condition)} in the route, or {in_template.removeprefix('write ')}"
    else:
        condition = hint(condition if is_literal else found)
    return Refused(node.lineno, f'unknown {kind} "{node.name}"', in_template, in_condition=condition)


#: A field as conditions name it.
_PATH = re.compile(r"\w+(?:\.\w+|\[\d+\])+")


def _instead_of_filter(node: nodes.Filter) -> str:
    if node.name in INSTEAD_OF or node.node is None:
        return INSTEAD_OF.get(node.name, "")
    arguments = [*map(shown, node.args)]
    return forms.form(node.name, shown(node.node), arguments) or did_you_mean(node.name, FILTERS, closeness=0.7)


def _instead_of_test(node: nodes.Test, *, is_denied: bool = False) -> str:
    arguments = [*map(shown, node.args or [])]
    asked = forms.asked(node.name, shown(node.node), arguments, is_denied=is_denied)
    return asked or did_you_mean(node.name, TESTS, closeness=0.7)


def _as_joined(node: nodes.Mod) -> str:
    """``'No. %s' % attrs.id`` as ``'No. ' ~ attrs.id``."""
    assert isinstance(node.left, nodes.Const)
    values = iter(node.right.items if isinstance(node.right, nodes.Tuple) else [node.right])
    parts = re.split(r"(%(?:\(\w+\))?[\d.]*[sdifr])", node.left.value)
    written = [
        shown(next(values, nodes.Const("..."))) if part[:1] == "%" else in_quotes(part) for part in parts if part
    ]
    return " ~ ".join([*written, *map(shown, values)])


def _filtered_first(node: nodes.BinExpr) -> Refused | None:
    """``attrs.amount / 100 | number(2)``: the filter makes a text of 100 first, which nothing can be divided by."""
    inner = node
    while isinstance(inner.right, _ARITHMETIC):
        inner = inner.right
    last = inner.right
    # A text can be added to a text.
    if isinstance(inner, nodes.Add) or not isinstance(last, nodes.Filter) or not _makes_text(last):
        return None
    if last.node is None:
        return None
    operand = shown(last.node)
    computed = shown(_with_last(node, last.node))
    hint = f"write {computed} | {called(last)}"
    if inner is node and node.operator == "/" and operand == "100" and last.name != "money":
        hint += f", or {shown(node.left)} | money(attrs.currency, minor=true) for an amount in cents"
    message = (
        f'the filter "{last.name}" applies to {operand} alone and makes a text, which "{inner.operator}" cannot compute'
    )
    return Refused(node.lineno, message, hint)


def _makes_text(node: nodes.Filter) -> bool:
    has_decimals = bool(node.args) or any(each.key == "decimals" for each in node.kwargs)
    return node.name in _MAKING_TEXTS or (node.name == "number" and has_decimals)


def _with_last(node: nodes.BinExpr, last: nodes.Expr) -> nodes.BinExpr:
    """A computation with another last operand."""
    right = _with_last(node.right, last) if isinstance(node.right, _ARITHMETIC) else last
    return type(node)(node.left, right, lineno=node.lineno)


def _misread(line: int, name: str, argument: nodes.Expr) -> Refused | None:
    """An argument that is written wrongly: nothing of it is left to be found with an event."""
    if isinstance(argument, nodes.Const) and isinstance(argument.value, str):
        try:
            READ_AT_LOAD[name](argument.value)
        except Trouble as trouble:
            return Refused(line, str(trouble))
    elif name == "sum_of":
        return Refused(line, "the expression of sum_of cannot be computed", 'write it out: sum_of("price * quantity")')
    return None


def _of_headers(tree: nodes.Template) -> Iterator[Refused]:
    """``headers.x-webhook-event``, which Jinja reads as a subtraction."""
    for difference in tree.find_all(nodes.Sub):
        match difference:
            case nodes.Sub(
                left=nodes.Getattr(node=nodes.Name(name="headers"), attr=first), right=nodes.Name(name=second)
            ):
                hint = f"write _ for every -: headers.{first}_{second}..."
                yield Refused(difference.lineno, f'"headers.{first}-{second}" subtracts one name from another', hint)


def _of_numbers(tree: nodes.Template) -> Iterator[Refused]:
    """``1.phone``, as Make names the output of its first module."""
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Const) and isinstance(node.node.value, int | float) and id(node) not in called:
            message = f'the number {node.node.value} has no field "{node.attr}"'
            yield Refused(node.lineno, message, f"name a field of the event: payload.{node.attr}")


def _of_calls(tree: nodes.Template) -> Iterator[Refused]:
    imported = {node.target for node in tree.find_all(nodes.Import)}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(node=nodes.Name(name=alias)) if alias in imported or alias in MODULES:
                pass
            case nodes.Getattr(node=of, attr=name) if name not in TEXT_METHODS | LOOP_METHODS:
                hint = forms.method(shown(of), name, [*map(shown, call.args)])
                yield Refused(call.lineno, f'unknown function ".{name}()"', hint)
