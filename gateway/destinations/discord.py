"""Discord's webhooks: no mention unless asked for, messages shortened to Discord's limits, its answers in words.

Limits: Discord's pages "Webhook Resource" (execute webhook) and "Message Resource" (embed limits). Answers: its pages
"Rate Limits" (``retry_after`` in seconds; no fixed number, so the rate here is a cautious one) and "Opcodes and Status
Codes" (JSON error codes).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import read_status
from gateway.destinations.chat import cut, posted, remedy, shortened, units, whole_markdown
from gateway.destinations.dialects.discord import FIELDS, escape
from gateway.destinations.kind import Kind
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Verdict

LONGEST_CONTENT: Final = 2_000
MOST_EMBEDS: Final = 10
MOST_FIELDS: Final = 25
#: Characters of all texts of all embeds together.
LONGEST_EMBEDS: Final = 6_000
#: Characters of the texts of an embed, by their place in it.
LONGEST: Final[Mapping[tuple[str, ...], int]] = MappingProxyType(
    {
        ("title",): 256,
        ("description",): 4_096,
        ("author", "name"): 256,
        ("footer", "text"): 2_048,
    }
)
LONGEST_FIELD_NAME: Final = 256
LONGEST_FIELD_VALUE: Final = 1_024
#: Characters of the texts of the message itself.
LONGEST_TEXTS: Final[Mapping[str, int]] = MappingProxyType(
    {"content": LONGEST_CONTENT, "username": 80, "thread_name": 100}
)

#: Discord's numbers for what it refuses, and what to do about each.
REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        10003: "the channel is gone: make a webhook in another one and put its address into url",
        10015: "the webhook was removed: make a new one and put its address into url",
        40005: "the message is too large: send less",
        50006: "the message is empty: write a text, content or embeds",
        50013: "the webhook may not post there: check the channel's permissions",
        50027: "the address of the webhook is wrong: put its whole address into url",
        50035: "the message is not as Discord defines it: correct the entry's body or template",
        50109: "the message is not JSON: correct the entry's body or template",
        220001: "a forum needs a thread: write thread_name into the body, or put ?thread_id=... into url",
        220003: "only in a forum can a webhook start a thread: remove thread_name from the body",
    }
)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Discord's limits; BuildError when the content is not a message."""
    return posted(target, parts, "a Discord message", lambda text: {"content": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with every text shortened to Discord's limit, and no mentions by default. Total."""
    fit = cut({"allowed_mentions": {"parse": []}, **message}, LONGEST_TEXTS, whole_markdown)
    if isinstance(embeds := fit.get("embeds"), list):
        fit["embeds"] = list(_Embeds().fitted(embeds))
    return fit


class _Embeds:
    """Shortens the embeds of one message, which share a budget."""

    def __init__(self) -> None:
        self._left = LONGEST_EMBEDS

    def fitted(self, embeds: list[object]) -> Iterator[object]:
        for embed in embeds[:MOST_EMBEDS]:
            if not isinstance(embed, dict):
                yield embed
            elif self._left:
                yield self._embed(embed)

    def _embed(self, embed: dict[str, object]) -> dict[str, object]:
        # An empty timestamp is one that the event did not have.
        fit = {key: value for key, value in embed.items() if key != "timestamp" or value != ""}
        for (key, *inside), limit in LONGEST.items():
            value = fit.get(key)
            if isinstance(value, dict) and inside and isinstance(value.get(inside[0]), str):
                fit[key] = {**value, inside[0]: self._text(value[inside[0]], limit)}
            elif isinstance(value, str) and not inside:
                fit[key] = self._text(value, limit)
        if isinstance(fields := fit.get("fields"), list):
            fit["fields"] = list(self._fields(fields[:MOST_FIELDS]))
        return fit

    def _fields(self, fields: list[object]) -> Iterator[object]:
        """A field needs a name and a value; it is left out if one is empty, or if there is no room for both."""
        for field in fields:
            if not isinstance(field, dict):
                yield field
            elif self._left > 1 and not _is_empty(field):
                name, value = field.get("name"), field.get("value")
                fit = dict(field)
                if isinstance(name, str):
                    fit["name"] = self._text(name, min(LONGEST_FIELD_NAME, self._left - 1))
                if isinstance(value, str):
                    fit["value"] = self._text(value, LONGEST_FIELD_VALUE)
                yield fit

    def _text(self, text: str, limit: int) -> str:
        fit = shortened(text, min(limit, self._left), whole_markdown)
        self._left -= units(fit)
        return fit


def _is_empty(field: Message) -> bool:
    return any(isinstance(text := field.get(key), str) and not text.strip() for key in ("name", "value"))


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Discord numbers says what to do about it."""
    return read_status(target, reply, remedy(reply, REFUSALS, "code"))


def preview(message: Message) -> Iterator[Part]:
    """The content, and each embed as a card."""
    yield from previews.text(message.get("content"), "markdown")
    for embed in previews.objects(message.get("embeds")):
        colour = previews.colour(embed.get("color")) or "4f545c"
        yield {"is": "card", "colour": colour, "parts": list(_embed_parts(embed))}


def _embed_parts(embed: Message) -> Iterator[Part]:
    match embed.get("author"):
        case {"name": str() as name}:
            yield {"is": "context", "items": [said(name)]}
    if title := previews.word(embed.get("title")):
        yield {"is": "header", "html": said(title, "markdown")}
    yield from previews.text(embed.get("description"), "markdown")
    fields = previews.objects(embed.get("fields"))
    if facts := [(previews.word(each.get("name")), said(each.get("value"), "markdown")) for each in fields]:
        yield {"is": "facts", "items": facts}
    if isinstance(embed.get("image") or embed.get("thumbnail"), dict):
        yield {"is": "image", "alt": ""}
    match embed.get("footer"):
        case {"text": str() as text}:
            yield {"is": "context", "items": [said(text)]}


DISCORD = Kind(
    name="discord",
    title="Discord",
    needs="``url``: a webhook",
    sends="``text`` as content in Markdown; mentions nobody unless the body has ``allowed_mentions``",
    needs_text=True,
    secret_after=("/api/webhooks/",),
    hosts=("discord.com", "discordapp.com"),
    is_hosted=True,
    rate="30/min",
    rate_page="https://discord.com/developers/docs/topics/rate-limits",
    text_at=("content",),
    contents=("content", "embeds", "components", "poll"),
    longest=LONGEST_CONTENT + LONGEST_EMBEDS,
    escape=escape,
    fields=FIELDS,
    build=build,
    read=read,
    hint=("retry_after",),
    preview=preview,
    marks=("content", "embeds", "allowed_mentions"),
)
