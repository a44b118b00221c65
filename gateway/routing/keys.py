"""Keys made of event fields, for ``order_by`` and ``once``."""

import hashlib
from typing import Final

import msgspec

from gateway.event.paths import MISSING

#: Characters; a longer key is replaced by its hash.
LONGEST_KEY: Final = 200


def key_text(value: object) -> str | None:
    """A value as a key of at most LONGEST_KEY characters; None if it is missing, null or empty."""
    if value is MISSING or value is None or value == "":
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
