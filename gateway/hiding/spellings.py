"""What templates and encodings make of a text. Escapes are not here: they are read where they are found (``layers``)."""

import base64
from collections.abc import Callable, Iterator
from typing import Final

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


def encoded(text: str) -> Iterator[bytes]:
    """In hex and in base64: by itself, and what is always the same of it inside a longer text."""
    data = text.encode("utf-8", "surrogatepass")
    yield data.hex().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data)
        yield from (whole, whole.rstrip(b"="))
        for before in range(3):
            # Three bytes are four characters; one that also holds bits of what is before or after can be any.
            bits = 8 * (before + len(data))
            yield encode(bytes(before) + data)[-(-8 * before // 6) : bits // 6]
