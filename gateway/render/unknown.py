"""Names of a template that nothing has, and what was meant by them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from msgspec import Struct

from gateway.errors import Problem
from gateway.event import tracks
from gateway.render import forms
from gateway.render.filters import FILTERS, FUNCTIONS, TESTS
from gateway.render.written import list_of, shown
from gateway.wording import closest, suggest

_NOTHING: Final = "remove it: every value is escaped for its place"
#: What to write instead of filters and tests that other templates have, of Jinja or not.
INSTEAD_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("safe", "e", "h", "raw", "escape", "escape_once", "forceescape", "escapejs"), _NOTHING),
    **dict.fromkeys(("nl2br", "linebreaks", "linebreaksbr", "newline_to_br"), "write lines, which keeps line breaks"),
    **dict.fromkeys(("format", "floatformat", "number_format"), "write number(2)"),
    "currency": 'write money("EUR")',
    **dict.fromkeys(
        ("money_with_currency", "money_without_currency", "money_without_trailing_zeros"),
        "write money(attrs.currency)",
    ),
    **dict.fromkeys(("substring", "substr", "slice"), "write [:3] after the value, or truncate(3)"),
    "time": 'write date("%d.%m.%Y")',
    "attr": 'write payload["name"]',
    **dict.fromkeys(("from_json", "fromjson", "parse_json", "from_yaml"), "remove it: the payload is already parsed"),
}
#: What to write instead of names that other languages have.
INSTEAD_OF_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("null", "nil"), "write none"),
    **dict.fromkeys(("now", "today", "utcnow"), "write event.received_at"),
    **dict.fromkeys(("blank", "empty"), "write not before the value"),
    "undefined": "write is not defined",
    "always": "remove it: a route without an if matches every event",
    "forloop": "write loop",
    **dict.fromkeys(
        ("body", "request", "webhook", "trigger", "json", "params", "input", "inputs", "context"),
        "write payload: it is what the sender sends",
    ),
    **dict.fromkeys(("env", "secrets", "environ", "process"), "write ${NAME}, outside the braces"),
}


class Unknown(Struct, frozen=True):
    """One such name."""

    line: int
    name: str
    #: The whole path that begins with it.
    path: str
    #: The loops around it, the innermost first: the variable of each, and its list.
    around: tuple[tuple[str, str], ...]
    hint: str


class UnknownRoot(Problem, frozen=True):
    """A name in a template that nothing has."""

    #: The whole path that begins with it: ``product.title``.
    path: str = ""
    #: The loops around it, the innermost first: the variable of each, and its list.
    around: tuple[tuple[str, str], ...] = ()


def did_you_mean(name: str, known: Collection[str], *, closeness: float = 0.6) -> str:
    """A hint with the closest known name, or all of them if they are few; empty if nothing helps."""
    listed = f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""
    return suggest(name, sorted(known), closeness=closeness) or listed


def unknown_names(tree: nodes.Template, roots: Collection[str]) -> Iterator[Unknown]:
    """The names that are neither roots nor declared where they are."""
    known = frozenset(roots) | frozenset(FUNCTIONS)
    if not {name.name for name in tree.find_all(nodes.Name)} - known:
        return
    _make_known(tree)
    # Only now: it compiles the whole template again.
    undeclared = (find_undeclared_variables(tree) | {"self"}) - known
    found = [name for name in tree.find_all(nodes.Name) if name.name in undeclared and name.ctx == "load"]
    if found:
        reader = _Reader(tree, roots)
        yield from filter(None, map(reader.unknown, found))


class _Reader:
    """Says what was meant by the names of one template."""

    def __init__(self, tree: nodes.Template, roots: Collection[str]) -> None:
        self._roots = sorted(roots)
        self._called = {id(call.node): [*map(shown, call.args)] for call in tree.find_all(nodes.Call)}
        self._above = {id(each.node): each for each in _steps(tree)}
        self._keyed = {id(each.arg): each for each in tree.find_all(nodes.Getitem)}
        self._compared = {id(each) for each in _compared(tree)}
        self._scopes = list(_scopes(tree))
        self._assigned = list(_assigned(tree))

    def unknown(self, name: nodes.Name) -> Unknown | None:
        """A name; None if a loop or a macro around it declares it."""
        around = [scope for scope in reversed(self._scopes) if id(name) in scope.inside]
        variables = [each for scope in around for each in scope.names]
        if name.name in variables:
            return None
        loops = tuple(scope.loop for scope in around if scope.loop is not None)
        above = self._above.get(id(name))
        if name.name in MODULES and isinstance(above, nodes.Getattr) and (arguments := self._called.get(id(above))):
            return Unknown(name.lineno, f"{name.name}.{above.attr}", "", loops, _of_module(above.attr, arguments))
        return Unknown(name.lineno, name.name, self._path(name), loops, self._hint(name, variables))

    def _path(self, name: nodes.Name) -> str:
        """The fields that follow a name, up to one that is computed or a method."""
        found: nodes.Expr = name
        while (above := self._above.get(id(found))) is not None and id(above) not in self._called:
            found = above
        return shown(found)

    def _hint(self, name: nodes.Name, variables: Sequence[str]) -> str:
        elsewhere = next((scope.loop for scope in self._scopes if scope.loop and scope.loop[0] == name.name), None)
        if elsewhere is not None:
            return f"{name.name} exists only inside {{% for {name.name} in {elsewhere[1]} %}}"
        declared = [each for each in (*variables, *self._assigned) if each != name.name]
        # line_item is the item of a loop.
        meant = next((each for each in variables if each == name.name.lower().rpartition("_")[2]), "")
        meant = meant or closest(name.name, [*declared, *self._roots], closeness=0.7)
        if meant in declared:
            return f'did you mean "{meant}{self._path(name).removeprefix(name.name)}"?'
        if (key := self._keyed.get(id(name))) is not None:
            return f"write {shown(key.node)}.{name.name}"
        if id(name) in self._compared and self._path(name) == name.name and name.name not in INSTEAD_OF_NAMES:
            return f'put it in quotes: "{name.name}"'
        return _instead_of(name.name, [*self._roots, *variables], self._called.get(id(name)))


def _steps(tree: nodes.Template) -> Iterator[nodes.Getattr | nodes.Getitem]:
    """Steps by a name or a number that is written out."""
    yield from tree.find_all(nodes.Getattr)
    for node in tree.find_all(nodes.Getitem):
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str | int):
            yield node


def _compared(tree: nodes.Template) -> Iterator[nodes.Node]:
    """What fields are compared with: the right side of ``==``, and what a list on that of ``in`` has."""
    for operand in tree.find_all(nodes.Operand):
        if operand.op in ("eq", "ne"):
            yield operand.expr
        if isinstance(operand.expr, nodes.List):
            yield from operand.expr.items


def _make_known(tree: nodes.Template) -> None:
    """Give filters and tests that are unknown, and reported, known names: at others Jinja stops looking for names."""
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        known = FILTERS if isinstance(node, nodes.Filter) else TESTS
        node.name = node.name if node.name in known else next(iter(known))


#: Names under which JavaScript has its functions.
MODULES = frozenset({"Math", "JSON", "Object", "String", "Number", "Array"})


def _of_module(method: str, arguments: Sequence[str]) -> str:
    if method == "parse":
        return INSTEAD_OF["from_json"]
    return forms.form(method, arguments[0], arguments[1:])


class _Scope(Struct, frozen=True):
    """A loop or a macro."""

    names: tuple[str, ...]
    #: The ids of the names inside it.
    inside: frozenset[int]
    #: Of a loop over one variable: that, and the list.
    loop: tuple[str, str] | None = None


def _scopes(tree: nodes.Template) -> Iterator[_Scope]:
    """Those of a template; what is around comes first."""
    for node in tree.find_all((nodes.For, nodes.Macro)):
        if isinstance(node, nodes.Macro):
            yield _Scope(tuple(each.name for each in node.args), _names_of(node.body))
        if not isinstance(node, nodes.For):
            continue
        targets = [node.target] if isinstance(node.target, nodes.Name) else [*node.target.find_all(nodes.Name)]
        loop = (node.target.name, shown(list_of(node.iter))) if isinstance(node.target, nodes.Name) else None
        inside = _names_of([*node.body, *([node.test] if node.test is not None else [])])
        yield _Scope(tuple(each.name for each in targets), inside, loop)


def _names_of(found: Sequence[nodes.Node]) -> frozenset[int]:
    return frozenset(
        id(each) for node in found for each in (node, *node.find_all(nodes.Name)) if isinstance(each, nodes.Name)
    )


def _assigned(tree: nodes.Template) -> Iterator[str]:
    """What {% set %}, {% macro %} and {% import %} name."""
    for node in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.Import)):
        match node:
            case nodes.Assign(target=nodes.Name(name=name)) | nodes.AssignBlock(target=nodes.Name(name=name)):
                yield name
            case nodes.Macro(name=name) | nodes.Import(target=name):
                yield name


def _instead_of(name: str, roots: Collection[str], arguments: Sequence[str] | None) -> str:
    """The hint for a name; ``arguments``: of its call, None if it is not called."""
    instead = INSTEAD_OF_NAMES.get(name, "")
    if instead and ("payload" in roots or "payload" not in instead):
        return instead
    if arguments is not None:
        written = forms.form(name, arguments[0], arguments[1:]) if arguments else ""
        return written or did_you_mean(name, FUNCTIONS)
    if "events" in roots:
        return f"a digest has events, count, by, first and last: first.{name}, or {{% for each in events %}}"
    if name in tracks.ROOTS:
        return f"{name} needs track: add track: 180d to every source of this route"
    return did_you_mean(name, {*roots, "omit"})
