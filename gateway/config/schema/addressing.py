"""The keys of an entry that people write in another shape: ``to``, ``match`` and ``text``, and parts of a message beside them."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.schema import elsewhere, rates, trees, values
from gateway.config.schema.foreign import combination, shown
from gateway.config.schema.instead import EXCLUDING, alone, condition, exclusion, rooted
from gateway.config.schema.reading import Reading, Words, shape_of, shaped
from gateway.config.schema.remedies import Instead, Remedy, write
from gateway.config.text.reader import Items, Map, Node, Pair, Scalar
from gateway.destinations import KINDS
from gateway.render import TemplateText


def _part_of_body(pair: Pair, around: Map) -> Instead:
    has_text = any(each.key.text == "text" for each in around.pairs)
    return write("body", elsewhere.message_with(pair.key.text), " instead of text" if has_text else "")


def _url(_pair: Pair, around: Map) -> Instead:
    if any(each.key.text == "to" for each in around.pairs):
        return Instead("remove it: the destination has the url, to which path is appended")
    hint = "write to: the name of a destination, which has the url, and path: what is appended to it"
    return Instead(hint, ("to", "path"))


def _endpoint(pair: Pair, _around: Map) -> Instead | None:
    """``endpoint: /contacts``; None for an address."""
    text = pair.value.text if isinstance(pair.value, Scalar) else ""
    return write("path") if text.startswith("/") else None


def _to_kind(pair: Pair, around: Map) -> Instead:
    """``slack: ...``: the type of a destination with what is sent there."""
    if any(each.key.text == "to" for each in around.pairs):
        return write("text")
    hint = f"write to: the name of a destination of type {pair.key.text}, and text: what is sent there"
    return Instead(hint, ("to", "text"))


def _message_of(node: Map) -> str:
    """What to write instead of one destination with its content: ``{slack: hi}``, ``{leads: {text: hi}}``."""
    pairs = node.pairs
    if len(pairs) != 1:
        return "write send instead of to, a list of messages: [{to: ..., text: ...}]"
    name, value = pairs[0].key.text, pairs[0].value
    if name in values.NAMING and isinstance(value, Scalar):
        return f"write to: {value.text}"
    if isinstance(value, Map) and value.pairs:
        return f"write to: {name}, and {' and '.join(pair.key.text for pair in value.pairs)} next to it"
    said = value.text if isinstance(value, Scalar) else ""
    shown = said if _ONE_LINE.fullmatch(said) else "..."
    return f"write to: {name}, and text: {shown} next to it" if said else f"write to: {name}"


#: A text that a hint may repeat as it is written.
_ONE_LINE: Final = re.compile(r"\w[^:#\n]{0,60}")


@shaped(shape_of(values.names_list))
def to(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    """The names of destinations. A map is one of them with its content."""
    nodes = node.nodes if isinstance(node, Items) else (node,)
    maps = [each for each in nodes if isinstance(each, Map)]
    if isinstance(node, Scalar) and node.value is None:
        hint = "write one, a list of them, or [] to ignore the event"
        if node.cut_off:
            hint = f"# starts a comment: write to: {node.cut_off.lstrip('#')}"
        reading.error(node, f"{label} names no destination", hint)
        return None
    if isinstance(node, Scalar) and "{{" in node.text:
        hint = "write a route for each destination, and choose by where"
        reading.error(node, f"{label} is a template, but the name of a destination must be literal", hint)
        return None
    if not maps:
        return values.names_list(reading, node, label)
    named = [values.named_in(each) for each in maps]
    hint = f"write to: [{', '.join(named)}]" if len(named) > 1 and all(named) else _message_of(maps[0])
    if len(maps) > 1 and not all(named):
        hint = "write send instead of to, a list of messages: [{to: ..., text: ...}]"
    reading.error(maps[0], f"{label} must be a destination or a list of them, not a map", hint)
    return None


#: What other products call the type of an event.
_TYPES: Final = values.NAMING | {
    "events",
    "event_types",
    "event.type",
    "topic",
    "topics",
    "pattern",
    "patterns",
    "glob",
}


@shaped(shape_of(values.some_words))
def match(reading: Reading, node: Node, label: str) -> tuple[Words, ...] | None:
    """Patterns of types. A map is none."""
    if not isinstance(node, Map):
        return values.some_words(reading, node, label)
    hint, guessed = "write a type, or a list of types: [contact.created, contact.updated]", tuple[str, ...]()
    if len(node.pairs) == 1 and (pair := node.pairs[0]).key.text in EXCLUDING:
        hint, guessed = (right := exclusion(pair, node)).hint, right.guessed
    elif (
        len(node.pairs) == 1
        and (right := condition(node.pairs[0], node)).keys == ("match",)
        and (pair.key.text in _TYPES or combination(pair.key.text))
    ):
        hint = right.hint
    elif node.pairs and all(pair.key.text not in _TYPES for pair in node.pairs):
        hint, guessed = f"write where: {shown(rooted(node))}", alone(node)
    reading.guess(reading.error(node, f"{label} must be a type or a list of types, not a map", hint), guessed)
    return None


@shaped(trees.TEMPLATE)
def text(reading: Reading, node: Node, label: str) -> TemplateText | None:
    """A text. A list is its lines, and a map a body."""
    if isinstance(node, Items):
        reading.error(node, f"{label} must be one text, not a list", "write text: | and its lines below, indented")
        return None
    if isinstance(node, Map):
        is_text = any(" " in pair.key.text for pair in node.pairs)
        lines, tree = "write text: | and its lines below, indented", "write body instead of text, for JSON"
        reading.error(node, f"{label} must be one text, not a map", lines if is_text else tree)
        return None
    return trees.template(reading, node, label)


#: What other products call the keys of a message, and what to write instead.
FOREIGN: Final[Mapping[str, Remedy]] = {
    "json": write("body", more=", with {{ }} in its texts"),
    **dict.fromkeys(rates.NAMES, rates.of_entry),
    **dict.fromkeys(("endpoint", "resource"), _endpoint),
    "url": _url,
    **dict.fromkeys((*elsewhere.OF_MESSAGES, "username"), _part_of_body),
    **dict.fromkeys((kind.name for kind in KINDS.values() if kind.needs_text), _to_kind),
}


def around(label: str, address: str) -> str:
    """A destination that was written as its address alone, as a map; the type that its name or its variable has."""
    words = re.split(r"[^a-z]+", f"{label} {address}".lower())
    kind = next((f"type: {word}, " for word in words if word in KINDS and word != "http"), "")
    # Any other text may be a secret.
    shown = f'"{address}"' if re.fullmatch(r"\$\{\w+\}", address) else "..."
    return f"{{{kind}url: {shown}}}"
