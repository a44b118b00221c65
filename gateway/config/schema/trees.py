"""Parsers for templates and trees: bodies with templates in them, and plain JSON."""

from dataclasses import dataclass
from typing import Final

from gateway.config.schema.reading import Reading, Shape, shaped
from gateway.config.schema.values import TEXT, expect_scalar, number
from gateway.config.text.reader import Broken, Items, Map, Node, Scalar
from gateway.config.text.references import is_number
from gateway.render import TemplateText, Tree
from gateway.routing.cases import Plain

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


def _template_text(reading: Reading, scalar: Scalar) -> TemplateText | None:
    written = reading.resolved(scalar, reading.references.resolve_in_template)
    return None if written is None else TemplateText(written.text, scalar.content)


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
    before = len(reading.report.problems), len(reading.missing)
    found = _tree(reading, node, label)
    after = len(reading.report.problems), len(reading.missing)
    return Body(found, is_empty=False) if before == after else None


def _tree(reading: Reading, node: Node, label: str) -> Tree:
    match node:
        case Map(_, pairs):
            return {pair.key.text: _tree(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in pairs}
        case Items(_, nodes):
            return [_tree(reading, each, label) for each in nodes]
        case Broken():
            return None
    if node.empty:
        reading.error(node, f"{label} has no value", 'write one, null, or ""')
        return None
    if not isinstance(node.value, str):
        return node.value
    return number(reading, node) if is_number(node.text) else _template_text(reading, node)


@shaped({"title": "any value"})
def json(reading: Reading, node: Node, label: str) -> Plain | None:
    """Any value; references in its texts are replaced."""
    before = len(reading.report.problems), len(reading.missing)
    found = plain(reading, node, label)
    after = len(reading.report.problems), len(reading.missing)
    return Plain(found) if before == after else None


def plain(reading: Reading, node: Node, label: str) -> object:
    """The value of a tree without templates; None for each part that was reported as a problem."""
    match node:
        case Map(_, pairs):
            return {pair.key.text: plain(reading, pair.value, f'"{pair.key.text}" in {label}') for pair in pairs}
        case Items(_, nodes):
            return [plain(reading, each, label) for each in nodes]
        case Broken():
            return None
    if node.empty:
        reading.error(node, f"{label} has no value", 'write one, null, or ""')
        return None
    if not isinstance(node.value, str):
        return node.value
    if is_number(node.text):
        return number(reading, node)
    written = reading.resolved(node, reading.references.resolve)
    return None if written is None else written.text
