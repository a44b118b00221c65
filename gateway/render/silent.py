"""The fields of a template that can be missing without an error: a loop over one repeats nothing, a test of one is false."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from jinja2 import nodes
from msgspec import Struct

from gateway.errors import Place
from gateway.event.paths import EACH, Path
from gateway.render.compiler import Source
from gateway.render.expressions import shown
from gateway.render.reads import UNREADABLE, parsed
from gateway.render.texts import TemplateText
from gateway.render.written import list_of

Use = Literal["loop", "test", "denial"]

#: Tests that say that a field may be missing.
_OF_MISSING: Final = frozenset({"defined", "undefined", "none"})
_DENYING: Final = frozenset({"ne", "notin"})


class Silent(Struct, frozen=True):
    """One such field; ``use``: whether a missing one repeats nothing, makes a test false, or makes it true."""

    path: Path
    #: As it is written.
    written: str
    place: Place
    use: Use


#: What a name of a template leads to; None: nothing that is known.
_Scope = Mapping[str, Path | None]


def silent_in(text: TemplateText, *, is_condition: bool = False) -> Iterator[Silent]:
    """Those of a template; none of one that does not compile, which is reported.

    A field is left out where its author says that it may be missing. ``is_condition``: it is one expression, whose truth
    counts.
    """
    try:
        tree = parsed(text)
    except UNREADABLE:
        return
    scope = dict[str, Path | None]()
    for assigned in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.With, nodes.Import)):
        scope |= _assigned(assigned, scope)
    source, reader = Source.of(text), _Reader(scope)
    for node, path, use in reader.condition(tree) if is_condition else reader.of_all(tree.body, frozenset()):
        yield Silent(path, shown(node), source.on(node.lineno), use)


def leading(text: TemplateText) -> Mapping[str, Path]:
    """What the variables of a template lead to: ``item`` to ``payload.line_items[*]``; without those that lead to several fields."""
    try:
        # A thousand texts that only print are not parsed again.
        tree = parsed(text) if "{%" in text.text else nodes.Template([])
    except UNREADABLE:
        return {}
    scope = dict[str, Path | None]()
    for node in tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.With, nodes.Import, nodes.For)):
        found = (
            _element(node, path_of(list_of(node.iter), scope))
            if isinstance(node, nodes.For)
            else _assigned(node, scope)
        )
        scope |= {name: None if scope.get(name, path) != path else path for name, path in found.items()}
    return {name: path for name, path in scope.items() if path is not None}


def _element(node: nodes.For, path: Path | None) -> Mapping[str, Path | None]:
    """What the variables of a loop over a list lead to."""
    if isinstance(node.target, nodes.Name):
        return {node.target.name: None if path is None else (*path, EACH)}
    return {name.name: None for name in node.target.find_all(nodes.Name)}


def is_worth_reading(text: str) -> bool:
    """Whether a text can have any: a thousand texts that only print are not parsed again."""
    return any(word in text for word in ("{%", " if ", "==", "!=", " in ", " and ", " or "))


def _assigned(node: nodes.Node, scope: _Scope) -> Mapping[str, Path | None]:
    match node:
        case nodes.Assign(target=nodes.Name(name=name), node=value) if name not in scope:
            return {name: path_of(value, scope)}
        case nodes.Macro(args=names) | nodes.With(targets=names):
            return {each.name: None for each in names if isinstance(each, nodes.Name)}
    return {name.name: None for name in node.find_all(nodes.Name) if name.ctx == "store"}


def path_of(node: nodes.Node, scope: _Scope) -> Path | None:
    """The field that an expression is; None if it is anything else."""
    match node:
        case nodes.Name(name=name):
            return scope.get(name, (name,))
        case nodes.Getattr(node=above, attr=key) | nodes.Getitem(node=above, arg=nodes.Const(value=str(key))):
            path = path_of(above, scope)
        case nodes.Getitem(node=above, arg=nodes.Const(value=int(index))) if index >= 0:
            path, key = path_of(above, scope), str(index)
        case _:
            return None
    return None if path is None else (*path, key)


_Found = Iterator[tuple[nodes.Node, Path, Use]]
_Expected = frozenset[Path]


class _Reader:
    """Walks through a template; ``expected`` are the fields whose absence the author has thought of there."""

    def __init__(self, scope: _Scope) -> None:
        self._scope = scope

    def of_all(self, found: Iterable[nodes.Node], expected: _Expected) -> _Found:
        for node in found:
            yield from self._of(node, expected)

    def _of(self, node: nodes.Node, expected: _Expected) -> _Found:
        match node:
            case nodes.For():
                yield from self._loop(node, expected)
            case nodes.If(test=test, body=body, elif_=others, else_=rest):
                more = expected | self._thought_of(test)
                yield from self._test(test, more | self._named(body))
                yield from self.of_all([*body, *others, *rest], more | self._tested(test))
            case nodes.CondExpr(test=test, expr1=first, expr2=second):
                more = expected | self._thought_of(test)
                yield from self._test(test, more | self._named([first]))
                yield from self.of_all(filter(None, [first, second]), more | self._tested(test))
            case nodes.Compare():
                yield from self._comparison(node, expected)
            case _:
                yield from self.of_all(node.iter_child_nodes(), expected)

    def condition(self, tree: nodes.Template) -> _Found:
        """Those of a template that is one expression, whose truth counts."""
        for output in tree.find_all(nodes.Output):
            for each in output.nodes:
                yield from self._test(each, self._thought_of(each))

    def _loop(self, node: nodes.For, expected: _Expected) -> _Found:
        path = path_of(node.iter, self._scope)
        if path is not None and path not in expected and not node.else_:
            yield node.iter, path, "loop"
        inner = _Reader({**self._scope, **_element(node, path)})
        if node.test is not None:
            yield from inner._test(node.test, expected)
        yield from inner.of_all(node.body, expected)
        yield from self.of_all(node.else_, expected)

    def _test(self, node: nodes.Node, expected: _Expected) -> _Found:
        path = path_of(node, self._scope)
        if path is not None:
            if path not in expected:
                yield node, path, "test"
            return
        match node:
            case nodes.And(left=left, right=right):
                yield from self._test(left, expected | self._named([right]))
                yield from self._test(right, expected)
            case nodes.Or(left=left, right=right):
                yield from self._test(left, expected)
                yield from self._test(right, expected)
            case nodes.Not() | nodes.Test():
                return
            case _:
                yield from self._of(node, expected)

    def _comparison(self, node: nodes.Compare, expected: _Expected) -> _Found:
        use: Use = "denial" if node.ops[0].op in _DENYING else "test"
        for each in (node.expr, *(operand.expr for operand in node.ops)):
            path = path_of(each, self._scope)
            if path is None:
                yield from self._of(each, expected)
            elif path not in expected:
                yield each, path, use

    def _named(self, found: Iterable[nodes.Node]) -> _Expected:
        """Every field that is read there, and all that it is inside of."""
        read = (
            path_of(each, self._scope)
            for node in found
            for each in (node, *node.find_all((nodes.Getattr, nodes.Getitem)))
        )
        return frozenset(path[:end] for path in read if path for end in range(2, len(path) + 1))

    def _tested(self, node: nodes.Node) -> _Expected:
        """Fields whose truth is tested."""
        path = path_of(node, self._scope)
        if path is not None:
            return frozenset([path])
        parts = (node.left, node.right) if isinstance(node, nodes.And | nodes.Or) else ()
        return frozenset().union(*map(self._tested, parts))

    def _thought_of(self, node: nodes.Node) -> _Expected:
        """Fields that are tested for being missing."""
        missing = [node, *node.find_all((nodes.Not, nodes.Test))]
        tested = (
            each.node
            for each in missing
            if isinstance(each, nodes.Not) or (isinstance(each, nodes.Test) and each.name in _OF_MISSING)
        )
        return self._named(tested)
