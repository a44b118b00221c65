"""What a signature covers: a template such as ``{timestamp}.{body}``, compiled to a function that makes its bytes."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from gateway.signatures.request import Reading

#: The pieces of what is signed, in order, so that a body is never copied.
Message = Callable[[Reading], Sequence[bytes]]

_FIELD: Final = re.compile(r"\{([a-z]+)(?::([^{}]+))?\}")

_PLAIN: Final[dict[str, Callable[[Reading], bytes]]] = {
    "body": lambda reading: reading.request.body,
    "timestamp": lambda reading: reading.timestamp,
    "id": lambda reading: reading.id,
    "method": lambda reading: reading.request.method.encode("latin-1"),
    "query": lambda reading: reading.request.query,
    "url": lambda reading: reading.url,
    "form": lambda reading: reading.form,
    "secret": lambda reading: reading.secret,
}
#: The fields of a signed text; the last two have a name after a colon.
FIELDS: Final = (*_PLAIN, "header:NAME", "payload:PATH")


class SignedRefused(ValueError):
    """A signed text names an unknown field, or has a stray brace."""


@cache
def parts(signed: str) -> Sequence[str | tuple[str, str]]:
    """The literal texts and (field, name) pairs, in order. Raises SignedRefused."""
    found: list[str | tuple[str, str]] = []
    end = 0
    for match in _FIELD.finditer(signed):
        found.append(signed[end : match.start()])
        name, of = match[1], match[2] or ""
        if (name in _PLAIN and of) or (name not in _PLAIN and (name not in ("header", "payload") or not of)):
            raise SignedRefused(f"{match[0]} is not a field of a signed text")
        found.append((name, of))
        end = match.end()
    found.append(signed[end:])
    if any(isinstance(each, str) and ("{" in each or "}" in each) for each in found):
        raise SignedRefused(f'"{signed}" has a brace that belongs to no field')
    return tuple(each for each in found if each)


def uses(signed: str) -> frozenset[str]:
    """The fields of a signed text: ``{"timestamp", "body"}``."""
    return frozenset(each[0] for each in parts(signed) if not isinstance(each, str))


def message(signed: str) -> Message:
    """The function that makes the pieces of a signed text."""
    getters = [_getter(each) for each in parts(signed)]
    return lambda reading: [get(reading) for get in getters]


def _getter(part: str | tuple[str, str]) -> Callable[[Reading], bytes]:
    if isinstance(part, str):
        literal = part.encode()
        return lambda _: literal
    name, of = part
    if name == "header":
        header = of.lower().encode("ascii")
        return lambda reading: reading.header(header)
    if name == "payload":
        path = of.split(".")
        return lambda reading: reading.payload(path)
    return _PLAIN[name]
