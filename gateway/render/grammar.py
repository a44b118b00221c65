"""What a template may contain; whatever is wrong is Refused with its line."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from gateway.event import tracks
from gateway.event.naming import EVENT_FIELDS
from gateway.render import calls
from gateway.render.filters import FILTERS, FUNCTIONS, READ_AT_LOAD, TESTS
from gateway.render.foreign import FUNCTIONS_ELSEWHERE, INSTEAD_OF, INSTEAD_OF_NAMES, INSTEAD_OF_TESTS
from gateway.render.sandbox import LOOP_METHODS, TEXT_METHODS
from gateway.render.values import Trouble
from gateway.wording import closest, suggest

#: Tests of other templates after ``is not``, which is read first, and what is written here.
_OPPOSITES: Mapping[str, str] = {
    **dict.fromkeys(("empty", "blank"), "{0}"),
    **dict.fromkeys(("null", "nil"), "{0} is not none"),
    "present": "{0} is not defined",
}
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
    """A template is refused: the line in its own text, why, and what to do; ``value``: which of the values on that line."""

    def __init__(self, line: int, message: str, hint: str = "", value: int = 0) -> None:
        self.line, self.message, self.hint, self.value = line, message, hint, value
        super().__init__(message)


class SeveralRefused(Refused):
    """A template is refused for several reasons, of which the first is its own."""

    def __init__(self, each: Sequence[Refused]) -> None:
        self.each = each
        super().__init__(each[0].line, each[0].message, each[0].hint, each[0].value)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint with the closest known name, or all of them if they are few; empty if nothing helps."""
    listed = f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""
    return suggest(name, sorted(known)) or listed


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
    known = frozenset(roots) | frozenset(FUNCTIONS)
    unknown = {name.name for name in tree.find_all(nodes.Name)} - known
    if unknown and not differences:
        _make_known(tree)
        # Only now: it compiles the whole template again.
        yield from _of_names(tree, unknown & (find_undeclared_variables(tree) | {"self"}), roots)
    yield from _of_calls(tree)
    if "event" in roots:
        yield from _of_event(tree)


def _make_known(tree: nodes.Template) -> None:
    """Give filters and tests that are unknown, and reported, known names: at others Jinja stops looking for names."""
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        known = FILTERS if isinstance(node, nodes.Filter) else TESTS
        node.name = node.name if node.name in known else next(iter(known))


def _of_event(tree: nodes.Template) -> Iterator[Refused]:
    """``event.time``: the sender's fields are under payload, and ``event`` has the gateway's own only."""
    if any(name.name == "event" and name.ctx != "load" for name in tree.find_all(nodes.Name)):
        # A loop over the sender's events may call each one so.
        return
    # The whole of a path comes before the steps that it is made of.
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        path = _shown(node)
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
        case nodes.Filter(name=name) if name not in FILTERS:
            hint = INSTEAD_OF.get(name) or did_you_mean(name, FILTERS)
            return Refused(node.lineno, f'unknown filter "{name}"', hint)
        case nodes.Filter(name=name, args=[first, *_]) if name in READ_AT_LOAD:
            return _misread(node.lineno, name, first)
        case nodes.Mod(left=nodes.Const(value=str())):
            message = "% is the remainder of a division, and puts no value into a text"
            return Refused(node.lineno, message, f"join texts and values with ~: {_as_joined(node)}")
        case nodes.BinExpr() if isinstance(node, _ARITHMETIC):
            return _filtered_first(node)
        case nodes.Not(node=nodes.Test(name=name) as test) if name in _OPPOSITES:
            return Refused(node.lineno, f'unknown test "{name}"', f"write {_OPPOSITES[name].format(_shown(test.node))}")
        case nodes.Test(name=("match" | "search" | "regex") as name, args=[nodes.Const(value=str() as pattern), *_]):
            begin = "^" if name == "match" and not pattern.startswith("^") else ""
            hint = f"write a condition under where: {_shown(node.node)}: {{regex: {_quoted(begin + pattern)}}}"
            return Refused(node.lineno, f'unknown test "{name}"', hint)
        case nodes.Test(name=name) if name not in TESTS:
            hint = INSTEAD_OF_TESTS.get(name) or did_you_mean(name, TESTS)
            return Refused(node.lineno, f'unknown test "{name}"', hint)
        case _ if not isinstance(node, _ALLOWED):
            hint = "if, for, set, macro, include and import are supported"
            return Refused(_first_line(node), "this tag is not supported", hint)
    return None


def _as_joined(node: nodes.Mod) -> str:
    """``'No. %s' % attrs.id`` as ``'No. ' ~ attrs.id``."""
    assert isinstance(node.left, nodes.Const)
    values = iter(node.right.items if isinstance(node.right, nodes.Tuple) else [node.right])
    parts = re.split(r"(%(?:\(\w+\))?[\d.]*[sdifr])", node.left.value)
    shown = [_shown(next(values, nodes.Const("..."))) if part[:1] == "%" else _quoted(part) for part in parts if part]
    return " ~ ".join([*shown, *map(_shown, values)])


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
    operand = _shown(last.node)
    computed = _shown(_with_last(node, last.node))
    hint = f"write {computed} | {_called(last)}"
    if inner is node and node.operator == "/" and operand == "100" and last.name != "money":
        hint += f", or {_shown(node.left)} | money(attrs.currency, minor=true) for an amount in cents"
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


def _called(node: nodes.Filter) -> str:
    """A filter as it is written: ``money(attrs.currency, minor=true)``."""
    arguments = ", ".join([*map(_shown, node.args), *(f"{each.key}={_shown(each.value)}" for each in node.kwargs)])
    return f"{node.name}({arguments})" if arguments else node.name


def _shown(node: nodes.Node) -> str:
    """A value as it is written; ``...`` for what is neither a field, a constant, filtered nor computed."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Const(value=str() as text):
            return _quoted(text)
        case nodes.Const(value=value):
            return str(value).lower()
        case nodes.Getattr(node=inner, attr=name):
            return f"{_shown(inner)}.{name}"
        case nodes.Getitem(node=inner, arg=nodes.Const() as index):
            return f"{_shown(inner)}[{_shown(index)}]"
        case nodes.Call(node=nodes.Getattr(node=inner, attr="get"), args=[nodes.Const(value=str() as name), *_]):
            return f"{_shown(inner)}{calls.step(json.dumps(name, ensure_ascii=False))}"
        case nodes.List(items=items):
            return f"[{', '.join(map(_shown, items))}]"
        case nodes.Neg(node=inner):
            return f"-{_shown(inner)}"
        case nodes.Filter(node=nodes.Node() as inner):
            return f"({_shown(inner)} | {_called(node)})"
        case nodes.BinExpr(left=left, right=right, operator=operator):
            return f"({_shown(left)} {operator} {_shown(right)})"
    return "..."


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if "'" in text or "\n" in text else f"'{text}'"


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


def _of_names(tree: nodes.Template, undeclared: Collection[str], roots: Collection[str]) -> Iterator[Refused]:
    called = {id(call.node): call for call in tree.find_all(nodes.Call)}
    for name in tree.find_all(nodes.Name):
        if name.name in undeclared:
            path, call = _path_from(tree, name), called.get(id(name))
            hint = calls.elsewhere(name.name, [*map(_shown, call.args)]) if call is not None else ""
            hint = hint or _of_loop(tree, name, path) or _instead_of(name.name, path, roots, is_called=call is not None)
            yield Refused(name.lineno, f'unknown name "{name.name}"', hint)


def _path_from(tree: nodes.Template, name: nodes.Name) -> str:
    """The whole path that begins with a name."""
    found: nodes.Expr = name
    # What is around comes before what is inside.
    for node in reversed([*tree.find_all(nodes.Expr)]):
        if isinstance(node, nodes.Getattr | nodes.Getitem) and node.node is found:
            found = node
    return _shown(found)


def _of_loop(tree: nodes.Template, name: nodes.Name, path: str) -> str:
    """The variable of a loop that is meant by a name inside it; empty if none is like it."""
    around = [loop for loop in tree.find_all(nodes.For) if any(name is each for each in loop.find_all(nodes.Name))]
    known = [each.name for loop in reversed(around) for each in loop.target.find_all(nodes.Name)]
    known += [loop.target.name for loop in reversed(around) if isinstance(loop.target, nodes.Name)]
    parts = name.name.lower().split("_")
    meant = next((each for each in known if each in parts), "") or closest(name.name, known, closeness=0.7)
    return f'did you mean "{meant}{path.removeprefix(name.name)}"?' if meant else ""


def _instead_of(name: str, path: str, roots: Collection[str], *, is_called: bool) -> str:
    if name == "github" and path.startswith("github.event."):
        return f"write payload.{path.removeprefix('github.event.')}"
    instead = INSTEAD_OF_NAMES.get(name, "")
    if instead and ("payload" in roots or "payload" not in instead):
        return instead
    if is_called:
        filter_ = FUNCTIONS_ELSEWHERE.get(name, name)
        return f"write | {filter_} after the value" if filter_ in FILTERS else did_you_mean(name, FUNCTIONS)
    if "events" in roots:
        return f"a digest has events, count, by, first and last: first.{name}, or {{% for each in events %}}"
    if name in tracks.ROOTS:
        return f"{name} is what a source with track knows: add track: 180d to every source of this route"
    return did_you_mean(name, {*roots, "omit"})


def _of_calls(tree: nodes.Template) -> Iterator[Refused]:
    imported = {node.target for node in tree.find_all(nodes.Import)}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(node=nodes.Name(name=alias)) if alias in imported:
                pass
            case nodes.Getattr(node=of, attr=name) if name not in TEXT_METHODS | LOOP_METHODS:
                hint = calls.instead(_shown(of), name, [*map(_shown, call.args)])
                yield Refused(call.lineno, f'unknown function ".{name}()"', hint)
