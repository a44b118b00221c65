"""Parsers for templates and trees: bodies with templates in them, and plain JSON."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.config.schema.reading import Reading, Shape, shaped
from gateway.config.schema.values import TEXT, expect_scalar, number, some
from gateway.config.text.reader import Broken, Items, Map, Node, Scalar
from gateway.config.text.references import is_number
from gateway.render import TemplateText, Tree, is_literal
from gateway.render.texts import joined
from gateway.routing.cases import Plain

#: The path of a field without braces.
_FIELD: Final = re.compile(
    r"(?:(?:payload|attrs|headers)(?:\.[A-Za-z_]\w*)+|event\.(?:id|type|source|received_at|resource|action))"
)
#: What becomes of a text in a tree.
_Text: TypeAlias = Callable[[Reading, Scalar], TemplateText | str | None]

TEMPLATE: Final[Shape] = {**TEXT, "title": "template"}


@shaped(TEMPLATE)
def template(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A text with ``{{ }}``. Values of references are inert in it."""
    scalar = expect_scalar(reading, node, label)
    if scalar is None:
        return None
    if scalar.cut_off:
        hint = f'put the text in quotes to keep "{scalar.cut_off}", or put two spaces before a comment'
        reading.warning(scalar, f'{label} ends before "{scalar.cut_off}": YAML reads the rest as a comment', hint)
    return _template_text(reading, scalar)


@shaped(some(TEMPLATE))
def templates(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A text with ``{{ }}``, or a list of them, as one text with commas between them."""
    if not isinstance(node, Items):
        return template(reading, node, label)
    found = [template(reading, each, label) for each in node.nodes]
    if not found:
        reading.error(node, f"{label} is empty", "write at least one, or remove the key")
    kept = [each for each in found if each is not None]
    if not found or len(kept) < len(found):
        return None
    return joined(kept, ", ")


def _template_text(reading: Reading, scalar: Scalar) -> TemplateText | None:
    written = reading.resolved(scalar, reading.references.resolve_in_template)
    return None if written is None else TemplateText(written.text, scalar.content, written.breaks)


@dataclass(frozen=True, slots=True)
class Body:
    """A ``body:``; an empty text sends no body at all."""

    tree: Tree
    is_empty: bool


@shaped({"title": "any value; its texts are templates"})
def body(reading: Reading, node: Node, label: str) -> Body | None:
    """A tree whose texts are templates."""
    if isinstance(node, Scalar) and node.text == "" and not node.empty:
        return Body(None, is_empty=True)
    found, is_sound = _walked(reading, node, label, _template_text)
    return Body(found, is_empty=False) if is_sound else None


@shaped({"title": "any value"})
def json(reading: Reading, node: Node, label: str) -> Plain | None:
    """Any value; references in its texts are replaced."""
    found, is_sound = _walked(reading, node, label, _resolved)
    return Plain(found) if is_sound else None


def plain(reading: Reading, node: Node, label: str) -> object:
    """The value of a tree without templates; None for each part that was reported as a problem."""
    return _tree(reading, node, label, _resolved)


def _resolved(reading: Reading, scalar: Scalar) -> str | None:
    written = reading.resolved(scalar, reading.references.resolve)
    return None if written is None else written.text


def _walked(reading: Reading, node: Node, label: str, text: _Text) -> tuple[Tree, bool]:
    """The value of a tree, and whether all of it could be read: None alone may also be what was written."""
    before = reading.report.errors, len(reading.missing)
    found = _tree(reading, node, label, text)
    return found, before == (reading.report.errors, len(reading.missing))


def _key(reading: Reading, key: Scalar, text: _Text) -> str | TemplateText:
    """A key is as it is written, unless it has a template in it where texts are templates."""
    made = text(reading, key) if text is _template_text and not is_literal(key.text) else None
    return made if isinstance(made, TemplateText) else key.text


def _tree(reading: Reading, node: Node, label: str, text: _Text) -> Tree:
    match node:
        case Map(_, pairs):
            return {
                _key(reading, pair.key, text): _tree(reading, pair.value, f'"{pair.key.text}" in {label}', text)
                for pair in pairs
            }
        case Items(_, nodes):
            return [_tree(reading, each, label, text) for each in nodes]
        case Broken():
            return None
    if node.empty:
        reading.error(node, f"{label} has no value", 'write one, null, or ""')
        return None
    if not isinstance(node.value, str):
        return node.value
    if text is _template_text and _FIELD.fullmatch(node.text):
        key = label.partition('"')[2].partition('"')[0]
        hint = f'write {key}: "{{{{ {node.text} }}}}"'
        reading.warning(node, f'{label} is the text "{node.text}", not the value of that field', hint)
    return number(reading, node) if is_number(node.text) else text(reading, node)
