"""What is printed and logged, without the secrets in it: what a file holds as one, and all that came from outside."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

from gateway.render.values import ESCAPERS, html_escape

#: Characters from which a secret is masked wherever it turns up: a shorter one is a word.
_SHORTEST: Final = 6
#: The same of a part of an address: shorter ones are words.
_SHORTEST_OF_PATH: Final = 16
#: Characters from which on a text is looked through for each secret first.
_LONG: Final = 4_096
MASK: Final = "***"


class Masks:
    """Texts that are never printed, and the ways in which a template or a request may spell them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secrets)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        # Made when it is needed first: most files load without a word.
        spelled = self._spelled
        # The longest first: one secret may be a part of another.
        found = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
        return re.compile(found) if found else None

    @cached_property
    def _spelled(self) -> frozenset[str]:
        kept = {part for secret in self._secrets for part in (secret, *_of_address(secret)) if len(part) >= _SHORTEST}
        # An escaped text can be shorter, down to nothing, which stands everywhere.
        return frozenset(each for secret in kept for each in _spellings(secret) if len(each) >= _SHORTEST)

    def text(self, text: str) -> str:
        """The text with ``***`` in place of every secret."""
        if self._pattern is None:
            return text
        # Looking for each is a hundred times faster than the pattern, which tries all of them at every character.
        if len(text) > _LONG and not any(each in text for each in self._spelled):
            return text
        return self._pattern.sub(MASK, text)

    def value(self, value: object) -> object:
        """A JSON value with every text in it masked, and a number that is a secret."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(each) for key, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
            case int() | float() if self.text(str(value)) != str(value):
                return MASK
        return value

    def url(self, url: str) -> str:
        """Its host stays when the whole address came from outside: it says where a request goes."""
        scheme, separator, rest = url.partition("://")
        host, slash, behind = rest.partition("/")
        return f"{scheme}{separator}{self.text(host)}{slash}{self.text(behind)}"


def _spellings(secret: str) -> Iterator[str]:
    """As filters and encodings make it, each also inside JSON, and JSON inside of that."""
    for shaped in {make(secret) for make in _SHAPES}:
        for escaped in {shaped, html_escape(shaped), *(escape(shaped) for escape in ESCAPERS.values())}:
            yield from _in_json(escaped)
    try:
        yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    except UnicodeEncodeError:
        # Half a surrogate pair, from a variable that is not UTF-8: no url has it.
        return
    yield from _encoded(secret.encode())


_SHAPES: Final[tuple[Callable[[str], str], ...]] = (
    str,
    str.upper,
    str.lower,
    str.title,
    str.capitalize,
    str.strip,
    lambda text: text[::-1],
)


def _in_json(text: str) -> Iterator[str]:
    yield text
    for inner, outer in product((True, False), repeat=2):
        once = json.dumps(text, ensure_ascii=inner)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=outer)[1:-1]


def _encoded(secret: bytes) -> Iterator[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(secret).decode()
        yield from (whole, whole.rstrip("="))
    yield from (secret.hex(), secret.hex().upper())


def _of_address(value: str) -> Iterator[str]:
    """The parts of a url that open it."""
    if "://" not in value:
        return
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    yield from filter(None, (parts.username, parts.password))
    yield from (each.partition("=")[2] for each in parts.query.split("&"))
    yield from (each for each in parts.path.split("/") if len(each) >= _SHORTEST_OF_PATH)
