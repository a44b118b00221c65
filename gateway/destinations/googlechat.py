"""Google Chat, through an incoming webhook: messages cut to what it takes, its answers in words.

Limits: Google's pages on ``spaces.messages.create`` (32,000 bytes of a message) and "Usage limits" (60 messages a
minute and space). Answers: its standard error model.
"""

from typing import Final

from gateway.destinations.base import Kind, Parts, Target, read_status
from gateway.destinations.chat import Message, as_it_is, field_of, posted, shortened, within_bytes
from gateway.model import HttpRequest, Reply, Verdict

#: Characters of the text; a careful figure, for Google's pages bound the bytes of a message.
LONGEST_TEXT: Final = 4_096
#: Bytes of a whole message as JSON.
LONGEST_MESSAGE: Final = 32_000
#: Keys of a message and its cards whose texts people read.
READABLE: Final = frozenset(
    {"altText", "bottomLabel", "content", "fallbackText", "header", "subtitle", "text", "title", "topLabel"}
)

_MEANINGS: Final = {
    "INVALID_ARGUMENT": "the message is not as Google Chat defines it, or the address is not whole: correct either",
    "NOT_FOUND": "the space or its webhook is gone: make a new webhook and put its address into url",
    "PERMISSION_DENIED": "the webhook may not post there: make a new one and put its address into url",
    "UNAUTHENTICATED": "the address is not whole: put it into url with its key and token",
}


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Google's limits; BuildError when there is no message in the content."""
    return posted(target, parts, "a Google Chat message", lambda text: {"text": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with everything that is too long for Google Chat shortened. Total."""
    text = message.get("text")
    fit = {**message, "text": shortened(text, LONGEST_TEXT, _without_half_link)} if isinstance(text, str) else message
    return within_bytes(fit, LONGEST_MESSAGE, READABLE, as_it_is)


def _without_half_link(kept: str) -> str:
    """Never ends inside a ``<link|label>``."""
    opened = kept.find("<", kept.rfind(">") + 1)
    return kept if opened < 0 else kept[:opened]


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Google names says what to do about it."""
    word = field_of(reply.body, "error", "status")
    return read_status(target, reply, _MEANINGS.get(word, "") if isinstance(word, str) else "")


GOOGLECHAT = Kind(
    name="googlechat",
    escape="googlechat",
    chat=True,
    public=True,
    rate="1/s",
    build=build,
    read=read,
)
