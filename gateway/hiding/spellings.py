"""The ways in which a text may be written elsewhere: by templates, in JSON, in urls, in bytes."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Final
from urllib.parse import quote, quote_plus

#: What filters of templates make of a text.
SHAPES: Final[tuple[Callable[[str], str], ...]] = (
    str,
    str.upper,
    str.lower,
    str.title,
    str.capitalize,
    str.strip,
    lambda text: text[::-1],
)


def in_json(text: str) -> Iterator[str]:
    """As it is, and inside a text of JSON."""
    yield text
    yield from (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))


def in_nested_json(text: str) -> Iterator[str]:
    """Inside a text of JSON, and that inside another one."""
    yield from in_json(text)
    for inner, outer in product((True, False), repeat=2):
        once = json.dumps(text, ensure_ascii=inner)[1:-1]
        yield json.dumps(once, ensure_ascii=outer)[1:-1]


def encoded(text: str) -> Iterator[str]:
    """Percent-encoded, in base64 and in hex."""
    try:
        yield from (quote(text, safe=""), quote(text), quote_plus(text))
    except UnicodeEncodeError:
        # An unpaired surrogate, from a variable that is not UTF-8: no url or encoding can hold it.
        return
    data = text.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode()
        yield from (whole, whole.rstrip("="))
    yield from (data.hex(), data.hex().upper())


@lru_cache(maxsize=256)
def escaped_bytes(text: bytes) -> re.Pattern[bytes]:
    """A text with any of its bytes percent-encoded, or escaped as in JSON: clients and servers differ in which."""
    each = (rb"(?:\\?%s|%%%02x|\\u00%02x)" % (re.escape(bytes([byte])), byte, byte) for byte in text)
    return re.compile(b"".join(each), re.IGNORECASE)
