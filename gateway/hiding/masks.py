"""The secrets of routes.yaml: what the file marks as one, and all that came from outside. Shown as ``***``."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

import markupsafe
from msgspec import Struct
from msgspec.structs import replace

from gateway.hiding.addresses import MASK, SHORTEST_SECRET, SHORTEST_SEGMENT, after_host, parts_that_open
from gateway.hiding.finder import SHORTEST, Finder, hidden, hidden_text
from gateway.model import FileAppend, HttpRequest, Mail, OutboundRequest

#: What JSON and addresses are made of: to mask it would hide nothing, and spoil every answer.
_NO_SECRETS: Final = frozenset({"true", "false", "null", "http", "https"})


class Masks:
    """Texts that are never shown, however a template, a request or an answer may spell them.

    ``secrets`` may be anywhere; ``own`` are those that only the answers of one destination can repeat, by its name.
    ``escapers`` are the ways in which templates escape values.

    From six characters on a secret is masked wherever it is, as part of a word and in any case: ``text`` and the others
    hide it in what is printed. In what a destination says and is told (``answer``, the body of a ``request``) the
    shorter ones are masked, too, from four characters on, but only where they stand alone as they were written, with no letter, digit or ``_`` next to them: a
    secret ``beta`` leaves ``alphabetagamma`` and ``Beta`` alone. ``true``, ``false``, ``null``, ``http`` and ``https``
    are never masked. Of an address, its answers are also searched for its path and for each segment of it, but for
    words of less than 16 small letters: ``/services/T012AB/x1y2`` hides ``T012AB`` and ``x1y2``, not ``services``.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        escapers: Iterable[Callable[[str], str]] = (),
        own: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        every = frozenset(secrets)
        escapes = frozenset({_as_html, *escapers})
        printed = {part for secret in every for part in (secret, *_of_address(secret)) if len(part) >= SHORTEST_SECRET}
        #: What is hidden in everything that is printed, and what in answers besides.
        self._printed = (Finder(printed, escapers=escapes),)
        self._answered = (*self._printed, _for_answers(every, printed, escapes))
        self._own = {
            name: (*self._answered, _for_answers(texts, printed, escapes)) for name, texts in (own or {}).items()
        }

    def prepare(self) -> None:
        """Do in advance what the first answer would wait for: 80 us for each secret."""
        for finder in self._answered:
            finder.prepare()

    def text(self, text: str) -> str:
        """The text with ``***`` for every secret of at least six characters."""
        return hidden_text(text, self._printed, MASK)

    def answer(self, data: bytes, destination: str = "") -> bytes:
        """What a destination said, or is told, with ``***`` for every secret."""
        return hidden(data, self._own.get(destination, self._answered), MASK.encode())

    def reason(self, text: str, destination: str) -> str:
        """Why an attempt failed, with ``***`` for every secret."""
        return hidden_text(text, self._own.get(destination, self._answered), MASK)

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
                return replace(request, path=self.text(request.path), line=self.answer(request.line))
            case Mail():
                said, message = self.answer(request.said), self.answer(request.message)
                return replace(request, url=self.url(request.url), login=None, said=said, message=message)
            case HttpRequest():
                headers = tuple((name, self.text(value)) for name, value in request.headers)
                return replace(request, url=self.url(request.url), headers=headers, body=self.answer(request.body))


class Hiding(Struct, frozen=True, kw_only=True):
    """Hides what must not go on record of an attempt: secrets first, as a redacted value may be a part of one."""

    masks: Masks
    #: Whose attempt it is.
    destination: str
    #: Hides the redacted values of its event.
    redact: Callable[[str], str]

    def answer(self, body: bytes) -> bytes:
        """The body of an answer as it may be quoted, and go on record."""
        masked = self.masks.answer(body, self.destination)
        if self.redact is str:
            return masked
        text = masked.decode("utf-8", "replace")
        shown = self.redact(text)
        return masked if shown is text else shown.encode()

    def text(self, text: str) -> str:
        """A reason, or a traceback, as it may go on record."""
        return self.redact(self.masks.reason(text, self.destination))


def _as_html(text: str) -> str:
    return str(markupsafe.escape(text))


def _for_answers(
    secrets: Iterable[str], printed: Collection[str], escapers: Collection[Callable[[str], str]]
) -> Finder:
    """What answers are searched for besides what is hidden everywhere."""
    parts = {part for secret in secrets for part in (secret, *_heard_of_address(secret))} - _NO_SECRETS
    long = {part for part in parts if len(part) >= SHORTEST_SECRET} - set(printed)
    return Finder(long, {part for part in parts if SHORTEST <= len(part) < SHORTEST_SECRET}, escapers)


def _of_address(value: str) -> Iterator[str]:
    return parts_that_open(value) if "://" in value else iter(())


def _heard_of_address(value: str) -> Iterator[str]:
    if "://" not in value:
        return
    path, _, query = after_host(value).partition("?")
    if len(path) >= SHORTEST_SECRET:
        yield f"/{path}"
    for segment in path.split("/"):
        if not _is_word(segment, SHORTEST_SEGMENT):
            # A bot's token follows a colon.
            yield from (segment, segment.rpartition(":")[2])
    yield from (each for each in parts_that_open(f"://?{query}") if not _is_word(each, SHORTEST_SECRET))


def _is_word(text: str, longest: int) -> bool:
    """Whether a part of an address is one of the words that many addresses have."""
    return len(text) < longest and re.fullmatch("[a-z_-]+", text) is not None
