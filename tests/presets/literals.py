"""The mappings that are written out in a source file of Python or JavaScript, read without running it.

Packages publish example requests mostly in the tests of their own: as literals, sometimes with a constant of the file.
What a call or an expression makes is passed over, with all that it is part of.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

JAVASCRIPT = {"true": True, "false": False, "null": None}
COMMENT = re.compile(r"(?:^|(?<=\s))//[^\n]*|/\*.*?\*/", re.MULTILINE | re.DOTALL)
BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_$][\w$]*)(\s*:)")
CONSTANT = re.compile(r"^\s*(?:const|let|var)\s+(\w+)\s*=\s*('[^'\n]*'|\"[^\"\n]*\"|\d+)\s*;", re.MULTILINE)


def in_python(text: str) -> Iterator[dict[str, Any]]:
    """Each outermost mapping of a file of Python; none of a file that this Python can't read."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError:
        return
    names: dict[str, Any] = {}
    for each in tree.body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            try:
                names[each.targets[0].id] = value(each.value, names)
            except ValueError:
                continue
    yield from outermost(tree, names)


def in_javascript(text: str) -> Iterator[dict[str, Any]]:
    """Each outermost mapping of a file of JavaScript: its literals are those of Python, but for bare keys."""
    text = BARE_KEY.sub(r'\1"\2"\3', COMMENT.sub("", text))
    names = JAVASCRIPT | {name: ast.literal_eval(literal) for name, literal in CONSTANT.findall(text)}
    ends = dict(pairs(text))
    at = text.find("{")
    while at >= 0:
        found = mapping(text[at : ends.get(at, at) + 1], names)
        if found is not None:
            yield found
        at = text.find("{", at + 1 if found is None else ends[at])


def mapping(text: str, names: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            found = value(ast.parse(text, mode="eval").body, names)
    except (SyntaxError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def pairs(text: str) -> Iterator[tuple[int, int]]:
    """Where each brace opens and closes; one in a string spoils its literal, which then is passed over."""
    opened = []
    for at, sign in enumerate(text):
        if sign == "{":
            opened.append(at)
        elif sign == "}" and opened:
            yield opened.pop(), at


def outermost(node: ast.AST, names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(node, ast.Dict):
        try:
            yield value(node, names)
        except ValueError:
            pass
        else:
            return
    for child in ast.iter_child_nodes(node):
        yield from outermost(child, names)


def value(node: ast.expr | None, names: Mapping[str, Any]) -> Any:
    """What a literal is; ValueError for all else."""
    match node:
        case ast.Dict():
            values = [value(each, names) for each in node.values]
            return dict(zip((value(each, names) for each in node.keys), values, strict=True))
        case ast.List() | ast.Tuple():
            return [value(each, names) for each in node.elts]
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Constant(value=str() | int() | float() | bool() | None):
            return node.value
    raise ValueError("no literal")
