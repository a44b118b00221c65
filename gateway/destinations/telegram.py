"""Telegram's bots: ``sendMessage`` in HTML, shortened to Telegram's limit, its answers in words.

Form, limits and answers: "Telegram Bot API" (making requests, ``sendMessage``, formatting options, ResponseParameters);
20 messages per minute to a group: its Bots FAQ. The bot's token is part of the url.
"""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import beginning, read_status
from gateway.destinations.chat import ELLIPSIS, field_of, posted, remedy_of_words, shortened, units
from gateway.destinations.dialects.telegram import FIELDS, escape
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Retry, Verdict

#: Characters that people see: tags do not count, and an entity counts as its character.
LONGEST_TEXT: Final = 4_096

#: Parts of Telegram's descriptions, in lower case, and what to do about each.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "blocked by the user": "the person has blocked the bot: ask them to unblock it",
        "bot was kicked": "the bot was removed from the group: add it again",
        "bot is not a member": "the bot is not in the channel: add it",
        "can't initiate conversation": "the person has never written to the bot: ask them to press Start",
        "can't parse entities": "the HTML is not as Telegram defines it: correct the tags of the text",
        "chat not found": "this bot has no such chat: correct chat_id, or add the bot to the chat",
        "message is too long": "the message is too long: send less",
        "message text is empty": "the message is empty: write a text",
        "not enough rights": "the bot may not write there: allow it to send messages",
        "upgraded to a supergroup": "the group has a new id: put the migrate_to_chat_id of this answer into chat_id",
        "user is deactivated": "the person's account is gone: remove the destination",
    }
)
_METHOD: Final = "/sendMessage"
#: Characters of HTML for each character that people see.
_MOST_MARKUP: Final = 16
_TAG: Final = r"<(?P<closing>/?)(?P<tag>[a-z][a-z0-9-]*)[^<>]*>"
_TAGS: Final = re.compile(_TAG)
_PIECES: Final = re.compile(_TAG + r"|&#?[0-9A-Za-z]{1,31};|.", re.DOTALL)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST to ``sendMessage``, shortened to Telegram's limit; BuildError when the content is not a message."""
    to = target if target.url.endswith(_METHOD) else replace(target, url=target.url.rstrip("/") + _METHOD)
    return posted(to, parts, "a Telegram message", lambda text: {"text": text}, lambda message: fitted(to, message))


def fitted(target: Target, message: Message) -> Message:
    """The message for the destination's chat, with its text shortened to the limit. Total."""
    defaults = {**target.options, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}
    fit: dict[str, object] = {**defaults, **message}
    if isinstance(text := fit.get("text"), str):
        fit["text"] = (
            html_shortened(text, LONGEST_TEXT) if fit["parse_mode"] == "HTML" else shortened(text, LONGEST_TEXT)
        )
    return fit


def html_shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters, not counting tags, with an ellipsis for the rest and every tag closed."""
    if len(text) <= limit and units(text) <= limit:
        return text
    # What shows so little of so much is cut without a look at its end.
    looked_at = text[: limit * _MOST_MARKUP]
    left, end = limit, 0
    for piece in _PIECES.finditer(looked_at):
        if not piece["tag"]:
            left -= units(html.unescape(piece[0]))
        if left < 0:
            break
        if left >= 1:
            end = piece.end()
    else:
        if looked_at == text:
            return text
        end = min(end, looked_at.rfind("<") if looked_at.rfind("<") > looked_at.rfind(">") else end)
    return text[:end] + ELLIPSIS + "".join(f"</{each}>" for each in reversed(_opened(text[:end])))


def _opened(text: str) -> list[str]:
    """The tags that are open at its end."""
    opened: list[str] = []
    for piece in _TAGS.finditer(text):
        if not piece["closing"]:
            opened.append(piece["tag"])
        elif opened[-1:] == [piece["tag"]]:
            opened.pop()
    return opened


def read(target: Target, reply: Reply) -> Verdict:
    """Delivered only on Telegram's ``ok``; a known refusal says what to do about it."""
    if reply.status == 200 and field_of(reply.body, "ok") is not True:
        return Retry(f"answered 200 without Telegram's ok{beginning(reply)}")
    known = remedy_of_words(reply, REFUSALS, "description")
    return read_status(target, reply, known or _ABOUT_THE_TOKEN.get(reply.status, ""))


_ABOUT_THE_TOKEN: Final = {
    401: "the bot's token was revoked: put the new one into url",
    404: "no bot has this token: url is https://api.telegram.org/bot<token>",
}


def preview(message: Message) -> Iterator[Part]:
    """The text, in HTML unless the body says otherwise."""
    yield from previews.text(message.get("text"), "telegram" if message.get("parse_mode") == "HTML" else "plain")


TELEGRAM = Kind(
    name="telegram",
    title="Telegram",
    needs="``url``: ``https://api.telegram.org/bot<token>``, and ``chat_id``",
    sends="``text`` as a message in HTML",
    needs_text=True,
    secret_after=("api.telegram.org/",),
    hosts=("api.telegram.org",),
    is_hosted=True,
    rate="20/min",
    rate_page="https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this",
    contents=("text",),
    longest=LONGEST_TEXT,
    escape=escape,
    fields=FIELDS,
    options=MappingProxyType(
        {
            "chat_id": Option(
                about="the chat: -1001234567890, or @channel for a public one",
                required=True,
                pattern=r"-?[0-9]+|@[A-Za-z0-9_]+",
            )
        }
    ),
    build=build,
    read=read,
    hint=("parameters", "retry_after"),
    preview=preview,
    marks=("chat_id", "parse_mode"),
)
