"""Maps of texts that were written as texts or as lists: headers, fields of a query."""

import re
from typing import Final

from gateway.config.schema.reading import GRANTING, Reading
from gateway.config.text.quotes import quoted
from gateway.config.text.reader import Items, Map, Node, Scalar, hide_all, json_scalar

#: A pair in one text: ``X-Api-Key: ${API_KEY}``.
_PAIR: Final = re.compile(r"(?P<key>[A-Za-z][\w-]*)\s*[:=]\s*(?P<value>\S.*)")


def as_map(reading: Reading, node: Node) -> str:
    """What to write instead of ``X-Api-Key: ...`` in one text, or of a list of such or of ``{name, value}``; empty: nothing.

    What may be a secret is neither shown nor repeated.
    """
    found = [_as_pair(each) for each in (node.nodes if isinstance(node, Items) else (node,))]
    pairs = [each for each in found if each is not None]
    if not pairs or len(pairs) < len(found):
        return ""
    if any("${" not in value and GRANTING.search(key) for key, value in pairs):
        hide_all(reading.report, node)
    return f"{{{', '.join(f'{key}: {_repeated(key, value)}' for key, value in pairs)}}}"


def _as_pair(node: Node) -> tuple[str, str] | None:
    if isinstance(node, Scalar):
        found = _PAIR.fullmatch(node.text)
        return (found["key"], found["value"]) if found else None
    written = {pair.key.text: pair.value for pair in node.pairs} if isinstance(node, Map) else {}
    key, value = written.get("name", written.get("key")), written.get("value")
    if len(written) == 1:
        key, value = next(iter(node.pairs)).key if isinstance(node, Map) else None, next(iter(written.values()))
    is_named = isinstance(key, Scalar) and re.fullmatch(r"[A-Za-z][\w.-]*", key.text)
    return (key.text, value.text) if is_named and isinstance(key, Scalar) and isinstance(value, Scalar) else None


def _repeated(key: str, value: str) -> str:
    if "${" not in value and GRANTING.search(key):
        return '"..."'
    return value if re.fullmatch(r"[\w./ +-]*\w", value) and isinstance(json_scalar(value), str) else quoted(value)
