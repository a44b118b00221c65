"""What a signature covers: a template such as ``{timestamp}.{body}``, compiled to a function that makes its bytes."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from msgspec import Struct

from gateway.signatures.request import Reading, Stop

#: The pieces of what is signed, in order, so that a body is never copied.
Message = Callable[[Reading], Sequence[bytes]]

_FIELD: Final = re.compile(r"\{([a-z]+)(?::([^{}]+))?\}")

_PLAIN: Final[dict[str, Callable[[Reading], bytes]]] = {
    "body": lambda reading: reading.request.body,
    "content": lambda reading: reading.content,
    "timestamp": lambda reading: reading.timestamp,
    "id": lambda reading: reading.id,
    "method": lambda reading: reading.request.method.encode("latin-1"),
    "query": lambda reading: reading.request.query,
    "url": lambda reading: reading.url,
    "form": lambda reading: reading.form,
    "secret": lambda reading: reading.secret,
}
#: The body as it was sent, and without its compression.
BODIES: Final = frozenset({"body", "content"})
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


class Joint(Struct, frozen=True):
    """Where a part that the sender writes meets the next one: if the part held the divider, one signature would fit two
    requests, whose parts end at different places.
    """

    #: As it is written: ``{id}``.
    part: str
    value: Callable[[Reading], bytes]
    #: Any of these would end it; empty: nothing does.
    dividers: tuple[bytes, ...]

    def check(self, reading: Reading) -> None:
        """Raises Stop if the part holds a divider."""
        value = self.value(reading)
        for divider in self.dividers:
            if divider in value:
                raise Stop(f'{self.part} holds "{divider.decode()}", which ends it in what is signed')


#: Parts that a sender writes freely. A timestamp has a strict form, and its end is plain wherever it stands.
_FREE: Final = frozenset({"id", "header", "payload", "query", "url"})
#: What an address cannot hold, and a body of JSON or XML begins with.
_BEGINS_A_BODY: Final = (b"{", b"<")


@cache
def joints(signed: str) -> Sequence[Joint]:
    """Every part of a signed text, but for the body, whose end something must tell."""
    found = parts(signed)
    body = next((at for at, each in enumerate(found) if each[0] in (*BODIES, "form")), len(found))
    return tuple(
        Joint(f"{{{name}:{of}}}" if of else f"{{{name}}}", _getter_of_free(name, of), _dividers(name, found[beside]))
        for at, (name, of) in ((at, each) for at, each in enumerate(found) if not isinstance(each, str))
        # What comes before the body ends at what follows it; what comes after it begins after what precedes it.
        if 0 <= (beside := at + 1 if at < body else at - 1) < len(found)
        and name in _FREE
        and not (name == "payload" and body < len(found))
        and (isinstance(found[beside], str) or found[beside][0] != "timestamp")
    )


def _dividers(name: str, beside: str | tuple[str, str]) -> tuple[bytes, ...]:
    if isinstance(beside, str):
        return (beside.encode(),)
    return _BEGINS_A_BODY if name in ("url", "query") else ()


def _getter_of_free(name: str, of: str) -> Callable[[Reading], bytes]:
    # Of a url the sender chooses the query only.
    return (lambda reading: reading.sent_query) if name in ("url", "query") else _getter((name, of))


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
