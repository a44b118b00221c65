"""Keys that events share: of a lane, and of ``once``."""

import hashlib
from typing import Final

import msgspec

from gateway.event.paths import MISSING

#: A longer key is known by its hash, characters.
LONGEST_KEY: Final = 200


def key_text(value: object) -> str | None:
    """A value as a key, at most LONGEST_KEY characters; None of what is missing, null or empty."""
    if value is MISSING or value is None or value == "":
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
