"""Telegram's bots: ``sendMessage`` in HTML, cut to what Telegram takes, its answers in words.

Form, limits and answers: "Telegram Bot API" (making requests, ``sendMessage``, formatting options, ResponseParameters);
20 messages a minute to a group: its Bots FAQ. The token of the bot is a part of the url.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from gateway.destinations.base import Kind, Option, Parts, Target, beginning, read_status
from gateway.destinations.chat import ELLIPSIS, Message, field_of, posted, shortened, units
from gateway.model import HttpRequest, Reply, Retry, Verdict

#: Characters that people see: tags do not count, and an entity counts as what it stands for.
LONGEST_TEXT: Final = 4_096

#: Parts of Telegram's descriptions, in small letters, and what to do about each.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "blocked by the user": "the person has blocked the bot: they have to unblock it",
        "bot was kicked": "the bot was removed from the group: add it again",
        "bot is not a member": "the bot is not in the channel: add it",
        "can't initiate conversation": "the person has not spoken to the bot: they have to press Start first",
        "can't parse entities": "the HTML is not as Telegram defines it: correct the tags of the text",
        "chat not found": "there is no such chat for this bot: correct chat_id, or add the bot to the chat",
        "message is too long": "the message is too long: send less",
        "message text is empty": "the message is empty: write a text",
        "not enough rights": "the bot may not write there: give it the right to send messages",
        "upgraded to a supergroup": "the group has a new id: put the migrate_to_chat_id of this answer into chat_id",
        "user is deactivated": "the person's account is gone: remove the destination",
    }
)
_METHOD: Final = "/sendMessage"
_PIECES: Final = re.compile(r"<(?P<closing>/?)(?P<tag>[a-z][a-z0-9-]*)[^<>]*>|&#?[0-9A-Za-z]{1,31};|.", re.DOTALL)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST to ``sendMessage``, shortened to Telegram's limit; BuildError when there is no message in the content."""
    to = target if target.url.endswith(_METHOD) else replace(target, url=target.url.rstrip("/") + _METHOD)
    return posted(to, parts, "a Telegram message", lambda text: {"text": text}, lambda said: fitted(to, said))


def fitted(target: Target, message: Message) -> Message:
    """The message for the chat of its destination, with a text that fits. Total."""
    defaults = {**target.options, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}
    fit: dict[str, object] = {**defaults, **message}
    if isinstance(text := fit.get("text"), str):
        fit["text"] = (
            html_shortened(text, LONGEST_TEXT) if fit["parse_mode"] == "HTML" else shortened(text, LONGEST_TEXT)
        )
    return fit


def html_shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters beside the tags, with an ellipsis in place of the rest and every tag closed."""
    if units(text) <= limit:
        return text
    kept: list[str] = []
    opened: list[str] = []
    left, end = limit, 0
    for piece in _PIECES.finditer(text):
        tag = piece["tag"]
        if tag and piece["closing"]:
            opened = opened[:-1] if opened[-1:] == [tag] else opened
        elif tag:
            opened.append(tag)
        else:
            left -= units(html.unescape(piece[0]))
        if left < 0:
            break
        if left >= 1:
            kept, end = [f"</{each}>" for each in reversed(opened)], piece.end()
    else:
        return text
    return text[:end] + ELLIPSIS + "".join(kept)


def read(target: Target, reply: Reply) -> Verdict:
    """Delivered on Telegram's ``ok`` only; a refusal that is known says what to do about it."""
    if reply.status == 200 and field_of(reply.body, "ok") is not True:
        return Retry(f"answered 200 without Telegram's ok{beginning(reply.body)}")
    described = field_of(reply.body, "description")
    words = described.lower() if isinstance(described, str) else ""
    known = next((remedy for part, remedy in REFUSALS.items() if part in words), "")
    return read_status(target, reply, known or _OF_THE_TOKEN.get(reply.status, ""))


_OF_THE_TOKEN: Final = {
    401: "the token of the bot was revoked: put the new one into url",
    404: "no bot has this token: url is https://api.telegram.org/bot<token>",
}

TELEGRAM = Kind(
    name="telegram",
    escape="telegram",
    chat=True,
    public=True,
    rate="20/min",
    options=MappingProxyType(
        {"chat_id": Option(about="the chat: -1001234567890, or @channel for a public one", required=True)}
    ),
    build=build,
    read=read,
    hint=("parameters", "retry_after"),
)
