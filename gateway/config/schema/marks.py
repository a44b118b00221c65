"""Quotation marks of typography, which YAML takes for a part of the value."""

import re
from typing import Final

from gateway.config.schema.reading import Reading
from gateway.config.text.reader import Scalar

_TYPOGRAPHIC: Final = re.compile(r"[“”„‟«»‘’‚‛](?P<value>.*)[“”„‟«»‘’‚‛]")


def unquoted(reading: Reading, node: Scalar, label: str) -> Scalar | None:
    """The node, unless such marks are around its text, which is reported."""
    if (found := _TYPOGRAPHIC.fullmatch(node.text)) is None:
        return node
    message = f"{label}: the quotation marks {node.text[0]} and {node.text[-1]} are part of the value"
    shown = found["value"] if "://" not in found["value"] or "${" in found["value"] else "https://..."
    reading.error(node, message, f'write it in straight ones: "{shown}"')
    return None
