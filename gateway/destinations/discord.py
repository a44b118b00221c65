"""Discord's webhooks: no mention unless it is asked for, messages cut to what Discord takes, its answers in words.

Limits: Discord's pages "Webhook Resource" (execute webhook) and "Message Resource" (embed limits). Answers: its pages
"Rate Limits" (``retry_after`` in seconds; no fixed number, so the pace here is a careful one) and "Opcodes and Status
Codes" (JSON error codes).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations.base import Kind, Parts, Target, read_status
from gateway.destinations.chat import Message, field_of, posted, shortened, units, without_half_escape
from gateway.model import HttpRequest, Reply, Verdict

LONGEST_CONTENT: Final = 2_000
MOST_EMBEDS: Final = 10
MOST_FIELDS: Final = 25
#: Of all texts of all embeds together.
LONGEST_EMBEDS: Final = 6_000
#: Characters of the texts of an embed, by where they are.
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
#: Of the keys beside the content.
LONGEST_NAMES: Final[Mapping[str, int]] = MappingProxyType({"username": 80, "thread_name": 100})

#: Discord's numbers for what it will not do, and what to do about each.
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
        220003: "a webhook can begin a thread in a forum only: remove thread_name from the body",
    }
)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Discord's limits; BuildError when there is no message in the content."""
    return posted(target, parts, "a Discord message", lambda text: {"content": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with everything that is too long for Discord shortened, and no mentions by itself. Total."""
    fit = {"allowed_mentions": {"parse": []}, **message}
    for key, limit in {"content": LONGEST_CONTENT, **LONGEST_NAMES}.items():
        if isinstance(text := fit.get(key), str):
            fit[key] = shortened(text, limit, without_half_escape)
    if isinstance(embeds := fit.get("embeds"), list):
        fit["embeds"] = list(_Embeds().fitted(embeds))
    return fit


class _Embeds:
    """Cuts the embeds of one message, which share a budget."""

    def __init__(self) -> None:
        self._left = LONGEST_EMBEDS

    def fitted(self, embeds: list[object]) -> Iterator[object]:
        for embed in embeds[:MOST_EMBEDS]:
            if not isinstance(embed, dict):
                yield embed
            elif self._left:
                yield self._embed(embed)

    def _embed(self, embed: dict[str, object]) -> dict[str, object]:
        fit = dict(embed)
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
        """A field needs a name and a value: without room for both it is left out."""
        for field in fields:
            if not isinstance(field, dict):
                yield field
            elif self._left > 1:
                name, value = field.get("name"), field.get("value")
                fit = dict(field)
                if isinstance(name, str):
                    fit["name"] = self._text(name, min(LONGEST_FIELD_NAME, self._left - 1))
                if isinstance(value, str):
                    fit["value"] = self._text(value, LONGEST_FIELD_VALUE)
                yield fit

    def _text(self, text: str, limit: int) -> str:
        fit = shortened(text, min(limit, self._left), without_half_escape)
        self._left -= units(fit)
        return fit


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Discord numbers says what to do about it."""
    code = field_of(reply.body, "code")
    return read_status(target, reply, REFUSALS.get(code, "") if isinstance(code, int) else "")


DISCORD = Kind(
    name="discord",
    escape="discord",
    chat=True,
    public=True,
    rate="30/min",
    build=build,
    read=read,
    hint=("retry_after",),
)
