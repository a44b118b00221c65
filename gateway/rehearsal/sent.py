"""A delivery as the checks of a test see it."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from gateway.destinations import KINDS
from gateway.errors import Unparsable
from gateway.event.paths import MISSING, lookup
from gateway.event.payload import parse
from gateway.model import Event, FileAppend, HttpRequest, Mail, OutboundRequest
from gateway.rehearsal.comparing import lines
from gateway.routing import Destination


class Sent(Struct, frozen=True, kw_only=True):
    """One delivery as checks see it."""

    destination: Destination
    request: OutboundRequest
    #: For a line of a file, only its ``body``.
    body: bytes
    #: The body as JSON, or MISSING.
    value: object
    #: The event's bytes as this destination would get them verbatim.
    verbatim: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def message(self) -> str:
        """What a reader sees: the text of a chat's message, or else the body."""
        paths = dict.fromkeys((self.destination.kind.text_at, *(kind.text_at for kind in KINDS.values())))
        found = (self.value, *(lookup(self.value, path) for path in paths))
        return next((each for each in found if isinstance(each, str)), self.text)

    def has(self, text: str) -> bool:
        """Whether the body contains ``text``: as sent, or in one of its JSON texts."""
        return text in self.text or any(text in each for each in _texts(self.value))


class _Line(msgspec.Struct):
    body: msgspec.Raw


def sent_by(destination: Destination, request: OutboundRequest, event: Event) -> Sent:
    body, verbatim = b"", event.body
    match request:
        case HttpRequest():
            body = request.body
        case Mail():
            body = request.said
        case FileAppend(line=line):
            body = bytes(msgspec.json.decode(line, type=_Line).body)
            verbatim = msgspec.json.format(event.body, indent=-1)
    try:
        value: object = parse(body)
    except Unparsable:
        value = destination.kind.message_in(body) or MISSING
    return Sent(destination=destination, request=request, body=body, value=value, verbatim=verbatim)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            for each in value.values():
                yield from _texts(each)


def lines_of(sent: Sent) -> Sequence[str]:
    return sent.text.split("\n") if sent.value is MISSING else lines(sent.value)


def with_whole(sent: Sent, wrong: Sequence[str]) -> Iterator[str]:
    """What is wrong, followed by everything that is sent."""
    if wrong:
        yield from (*wrong, "sent:", *(f"  {line}" for line in lines_of(sent)))
