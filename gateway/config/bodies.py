"""Warnings about bodies that their receiver does not read: JSON in a text, and a message without any of its fields."""

import json
import re
from collections.abc import Mapping
from typing import Final

from gateway.config.schema.entries import MessageKeys
from gateway.config.schema.reading import Reading
from gateway.destinations import Kind
from gateway.render import TemplateText, Tree
from gateway.wording import suggest

#: Characters of the longest body that a remedy repeats.
_LONGEST: Final = 160
_TAG: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_OBJECT: Final = re.compile(r'\s*\{\s*".*\}\s*', re.DOTALL)
#: What other programs call the text of a message.
_OTHER_NAMES: Final = frozenset({"text", "message", "msg", "content", "body", "summary", "description"})


def advise(reading: Reading, keys: MessageKeys, kind: Kind) -> None:
    """Warn about the body of a message for a kind of destination."""
    tree = keys.body.tree if keys.body is not None else None
    text = tree.text if isinstance(tree, TemplateText) else tree
    if isinstance(text, str):
        _json_in_text(reading, keys, text)
    elif isinstance(tree, Mapping):
        _no_field(reading, keys, tree, kind)


def _json_in_text(reading: Reading, keys: MessageKeys, text: str) -> None:
    # It is JSON once its tags are values; with a comma too many it is still meant as JSON.
    is_meant = _is_json(_TAG.sub("0", text)) or _OBJECT.fullmatch(text)
    if not is_meant:
        return
    hint = "put it in templates/NAME.json.j2, and write template: NAME.json.j2 instead of body"
    if _is_json(text):
        # JSON is YAML.
        written = text.strip()
        is_short = len(written) <= _LONGEST and "\n" not in written
        hint = f"write body: {written}" if is_short else "remove the | or the quotes: JSON is valid YAML"
    message = f'the body of "{keys.called}" is JSON written as text, so it is sent as one quoted string'
    reading.warning(keys.key_at("body"), message, hint)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _no_field(reading: Reading, keys: MessageKeys, tree: "Mapping[str | TemplateText, Tree]", kind: Kind) -> None:
    """A message of a chat that has nothing to show."""
    names = [each for each in tree if isinstance(each, str)]
    if not kind.contents or len(names) < len(tree) or set(names) & set(kind.contents):
        return
    *others, last = kind.contents
    known = f"{', '.join(others)} or {last}" if others else last
    text = next((each for each in kind.contents if each.lower() in _OTHER_NAMES), kind.contents[0])
    is_other = next((each for each in names if each.lower() in _OTHER_NAMES), "")
    meant = f'write "{text}" instead of "{is_other}"' if is_other else ""
    near = next(filter(None, (suggest(each, kind.contents) for each in names)), "")
    message = f'the body of "{keys.called}" has no {known}, so {kind.title} has nothing to show'
    reading.warning(keys.key_at("body"), message, meant or near or f"add {text}: ...")
