"""The secrets of routes.yaml: what the file marks as one, and all that came from outside. Shown as ``***``."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

import markupsafe

from gateway.hiding.addresses import MASK, SHORTEST_SECRET, parts_that_open
from gateway.hiding.spellings import SHAPES, encoded, in_nested_json
from gateway.model import FileAppend, HttpRequest, OutboundRequest

#: Characters from which a text is first searched for each secret.
_LONG = 4_096


class Masks:
    """Texts that are never printed, however a template or a request may spell them.

    ``escapers`` are the ways in which templates escape values.
    """

    def __init__(self, secrets: Iterable[str], escapers: Iterable[Callable[[str], str]] = ()) -> None:
        self._secrets = frozenset(secrets)
        self._escapers = frozenset({_as_html, *escapers})

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        # Made when first needed: most files load without a problem.
        spelled = self._spelled
        # The longest first: one secret may be a part of another.
        found = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
        return re.compile(found) if found else None

    @cached_property
    def _spelled(self) -> frozenset[str]:
        parts = {part for secret in self._secrets for part in (secret, *_of_address(secret))}
        kept = {part for part in parts if len(part) >= SHORTEST_SECRET}
        # An escaped text can be shorter, down to nothing, which would match everywhere.
        return frozenset(each for secret in kept for each in self._spellings(secret) if len(each) >= SHORTEST_SECRET)

    def _spellings(self, secret: str) -> Iterator[str]:
        for shaped in {shape(secret) for shape in SHAPES}:
            for escaped in {shaped, *(escape(shaped) for escape in self._escapers)}:
                yield from in_nested_json(escaped)
        yield from encoded(secret)

    def text(self, text: str) -> str:
        """The text with ``***`` for every secret."""
        if self._pattern is None:
            return text
        # A search for each is a hundred times faster than the pattern, which tries all of them at every character.
        if len(text) > _LONG and not any(each in text for each in self._spelled):
            return text
        return self._pattern.sub(MASK, text)

    def value(self, value: object) -> object:
        """A JSON value with every text in it masked, and every number that is a secret."""
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
        """The url masked part by part: its host stays visible when the whole url is a secret."""
        scheme, separator, rest = url.partition("://")
        host, slash, after = rest.partition("/")
        return f"{scheme}{separator}{self.text(host)}{slash}{self.text(after)}"

    def request(self, request: OutboundRequest) -> OutboundRequest:
        """The request with every secret in it masked."""
        match request:
            case FileAppend():
                return replace(request, path=self.text(request.path), line=self._bytes(request.line))
            case HttpRequest():
                headers = tuple((name, self.text(value)) for name, value in request.headers)
                return replace(request, url=self.url(request.url), headers=headers, body=self._bytes(request.body))

    def _bytes(self, data: bytes) -> bytes:
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _as_html(text: str) -> str:
    return str(markupsafe.escape(text))


def _of_address(value: str) -> Iterator[str]:
    return parts_that_open(value) if "://" in value else iter(())
