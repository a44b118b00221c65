"""Google Chat, through an incoming webhook: messages shortened to its limits, its answers in words.

Limits: Google's pages on ``spaces.messages.create`` (32,000 bytes per message) and "Usage limits" (60 messages per
minute and space). Answers: its standard error model.
"""

from collections.abc import Iterator
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import read_status
from gateway.destinations.chat import as_it_is, cut, posted, remedy, within_bytes
from gateway.destinations.dialects.googlechat import FIELDS, escape
from gateway.destinations.kind import Kind
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Verdict

#: Characters of the text; a cautious figure, since Google documents only the bytes of a message.
LONGEST_TEXT: Final = 4_096
#: Bytes of a whole message as JSON.
LONGEST_MESSAGE: Final = 32_000
#: Keys of a message and its cards whose texts people read.
READABLE: Final = frozenset(
    {"altText", "bottomLabel", "content", "fallbackText", "header", "subtitle", "text", "title", "topLabel"}
)

_MEANINGS: Final = {
    "INVALID_ARGUMENT": "the message is not as Google Chat defines it, or the address is incomplete: correct whichever it is",
    "NOT_FOUND": "the space or its webhook is gone: make a new webhook and put its address into url",
    "PERMISSION_DENIED": "the webhook may not post there: make a new one and put its address into url",
    "UNAUTHENTICATED": "the address is incomplete: put it into url with its key and token",
}


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Google's limits; BuildError when the content is not a message."""
    return posted(target, parts, "a Google Chat message", lambda text: {"text": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with every text shortened to Google Chat's limit. Total."""
    fit = cut(message, {"text": LONGEST_TEXT}, _without_half_link)
    return within_bytes(fit, LONGEST_MESSAGE, READABLE, as_it_is)


def _without_half_link(kept: str) -> str:
    """Never ends inside a ``<link|label>``."""
    opened = kept.find("<", kept.rfind(">") + 1)
    return kept if opened < 0 else kept[:opened]


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Google names says what to do about it."""
    return read_status(target, reply, remedy(reply, _MEANINGS, "error", "status"))


def preview(message: Message) -> Iterator[Part]:
    """The text, and each card."""
    yield from previews.text(message.get("text"), "slack")
    for each in previews.objects(message.get("cardsV2")):
        if isinstance(card := each.get("card"), dict):
            yield {"is": "card", "colour": "", "parts": list(_card_parts(card))}


def _card_parts(card: Message) -> Iterator[Part]:
    if isinstance(header := card.get("header"), dict):
        yield {"is": "header", "html": said(header.get("title"))}
        if subtitle := previews.word(header.get("subtitle")):
            yield {"is": "context", "items": [said(subtitle)]}
    for section in previews.objects(card.get("sections")):
        if title := previews.word(section.get("header")):
            yield {"is": "text", "html": said(f"<b>{title}</b>", "card_html")}
        yield from (part for widget in previews.objects(section.get("widgets")) for part in _widget(widget))


def _widget(widget: Message) -> Iterator[Part]:
    match widget:
        case {"textParagraph": {"text": str() as text}}:
            yield {"is": "text", "html": said(text, "card_html")}
        case {"decoratedText": {"text": str() as text, **rest}}:
            yield {"is": "facts", "items": [(previews.word(rest.get("topLabel")), said(text, "card_html"))]}
        case {"buttonList": {"buttons": buttons}}:
            yield {"is": "buttons", "names": [said(each.get("text")) for each in previews.objects(buttons)]}
        case {"image": {**rest}}:
            yield {"is": "image", "alt": previews.word(rest.get("altText"))}
        case {"divider": _}:
            yield {"is": "rule"}
        case _:
            yield {"is": "other", "type": previews.word(next(iter(widget), "")) or "unknown"}


GOOGLECHAT = Kind(
    name="googlechat",
    title="Google Chat",
    needs="``url``: a webhook",
    sends="``text`` as a message",
    needs_text=True,
    secret_after=("chat.googleapis.com/",),
    hosts=("chat.googleapis.com",),
    is_hosted=True,
    rate="1/s",
    rate_page="https://developers.google.com/workspace/chat/limits",
    contents=("text", "cardsV2", "cards"),
    longest=LONGEST_MESSAGE,
    escape=escape,
    fields=FIELDS,
    instead_of_markup="write the address without them: it becomes a link by itself",
    build=build,
    read=read,
    preview=preview,
    marks=("cardsV2",),
)
