"""A message as its chat shows it: from the body of a request to what the template ``parts.html`` draws.

A Preview is made of parts, each a mapping with ``is`` and what that kind of part has:
``text`` (html), ``header`` (html), ``fields`` ([html]), ``facts`` ([(name, html)]), ``context`` ([html]), ``rule``,
``buttons`` ([text]), ``image`` (alt), ``other`` (its type), ``card`` (colour, parts).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from markupsafe import Markup

from gateway.console import markup
from gateway.console.text import cut, marked

Part = Mapping[str, Any]

#: Characters of one text of a message, parts of a message and levels of nesting that are shown.
LONGEST: Final = 6_000
MOST_PARTS: Final = 60
DEEPEST: Final = 8
#: Characters of one text, and parts, from which on a message is long.
LONG, LONG_PARTS = 1_200, 20

_COLOUR: Final = re.compile(r"#?([0-9a-fA-F]{6})")
_NAMED: Final = {"good": "2eb67d", "warning": "ecb22e", "danger": "e01e5a"}


@dataclass(frozen=True, slots=True)
class Preview:
    """A message to be drawn."""

    #: ``slack``, ``discord``, ``teams``, ``googlechat`` or ``telegram``.
    chat: str
    title: str
    #: Whom it comes from; empty: the name that was given in the chat.
    sender: str
    parts: Sequence[Part]

    @property
    def is_long(self) -> bool:
        """Whether it is to be shown in a frame of its own that scrolls."""
        return len(self.parts) > LONG_PARTS or any(len(part.get("html", "")) > LONG for part in self.parts)


def preview(kind: str, body: object) -> Preview | None:
    """The message in the body of a request to a destination of this type; None: it is no message that is known.

    ``body`` is the JSON value, or its text. With ``kind`` empty it is guessed from the fields. Total.
    """
    message = _message(body)
    name = kind or _guessed(message)
    if name not in _CHATS or not message:
        return None
    title, read = _CHATS[name]
    try:
        found = [part for part, _ in zip(read(message), range(MOST_PARTS), strict=False)]
    except RecursionError:
        return None
    sender = message.get("username")
    return Preview(name, title, sender if isinstance(sender, str) else "", found) if found else None


def _message(body: object) -> Mapping[str, Any]:
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return {}
    return body if isinstance(body, dict) else {}


def _guessed(message: Mapping[str, Any]) -> str:
    for name, marks in _MARKS.items():
        if any(mark in message for mark in marks):
            return name
    return ""


#: Fields that only one chat has, the more telling ones first.
_MARKS: Final = {
    "telegram": ("chat_id", "parse_mode"),
    "discord": ("content", "embeds", "allowed_mentions"),
    "googlechat": ("cardsV2",),
    "slack": ("blocks", "unfurl_links", "text"),
}


def _text(value: object) -> str:
    return cut(value, LONGEST) if isinstance(value, str) else ""


def _each(value: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _said(text: object, as_markup: Callable[[str], Markup]) -> Iterator[Part]:
    if words := _text(text):
        yield {"is": "text", "html": as_markup(words)}


def _colour(value: object) -> str:
    """Six digits for an svg's fill; empty: none that is one."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFFFFFF:
        return f"{value:06x}"
    found = _COLOUR.fullmatch(_NAMED.get(value, value)) if isinstance(value, str) else None
    return found[1] if found else ""


# --- Slack ---


def _slack(message: Mapping[str, Any]) -> Iterator[Part]:
    blocks = list(_each(message.get("blocks")))
    yield from (part for block in blocks for part in _slack_block(block))
    if not blocks:
        yield from _said(message.get("text"), markup.slack)
    for each in _each(message.get("attachments")):
        yield {"is": "card", "colour": _colour(each.get("color")) or "999999", "parts": list(_slack_attachment(each))}


def _slack_block(block: Mapping[str, Any]) -> Iterator[Part]:
    match block.get("type"):
        case "header":
            yield {"is": "header", "html": _slack_object(block.get("text"))}
        case "section":
            yield from _slack_section(block)
        case "context":
            yield {"is": "context", "items": [_slack_object(each) for each in _each(block.get("elements"))]}
        case "divider":
            yield {"is": "rule"}
        case "actions":
            yield {"is": "buttons", "names": [_slack_object(each.get("text")) for each in _each(block.get("elements"))]}
        case "image":
            yield {"is": "image", "alt": _text(block.get("alt_text"))}
        case "markdown":
            yield from _said(block.get("text"), markup.markdown)
        case kind:
            yield {"is": "other", "type": _text(kind) or "unknown"}


def _slack_section(block: Mapping[str, Any]) -> Iterator[Part]:
    if isinstance(block.get("text"), dict):
        yield {"is": "text", "html": _slack_object(block["text"])}
    if fields := [_slack_object(each) for each in _each(block.get("fields"))]:
        yield {"is": "fields", "items": fields}
    match block.get("accessory"):
        case {"type": "image", **rest}:
            yield {"is": "image", "alt": _text(rest.get("alt_text"))}
        case {"type": "button", **rest}:
            yield {"is": "buttons", "names": [_slack_object(rest.get("text"))]}


def _slack_object(value: object) -> Markup:
    if not isinstance(value, dict):
        return Markup()
    if value.get("type") == "image":
        return marked(_text(value.get("alt_text")))
    return (markup.slack if value.get("type") == "mrkdwn" else markup.slack_plain)(_text(value.get("text")))


def _slack_attachment(each: Mapping[str, Any]) -> Iterator[Part]:
    yield from _said(each.get("pretext"), markup.slack)
    if title := _text(each.get("title")):
        yield {"is": "header", "html": markup.slack(title)}
    yield from _said(each.get("text"), markup.slack)
    yield from (part for block in _each(each.get("blocks")) for part in _slack_block(block))
    if facts := [(_text(one.get("title")), markup.slack(_text(one.get("value")))) for one in _each(each.get("fields"))]:
        yield {"is": "facts", "items": facts}
    if footer := _text(each.get("footer")):
        yield {"is": "context", "items": [markup.slack(footer)]}


# --- Discord ---


def _discord(message: Mapping[str, Any]) -> Iterator[Part]:
    yield from _said(message.get("content"), markup.markdown)
    for embed in _each(message.get("embeds")):
        yield {"is": "card", "colour": _colour(embed.get("color")) or "4f545c", "parts": list(_discord_embed(embed))}


def _discord_embed(embed: Mapping[str, Any]) -> Iterator[Part]:
    match embed.get("author"):
        case {"name": str() as name}:
            yield {"is": "context", "items": [marked(_text(name))]}
    if title := _text(embed.get("title")):
        yield {"is": "header", "html": markup.markdown(title)}
    yield from _said(embed.get("description"), markup.markdown)
    fields = [(_text(one.get("name")), markup.markdown(_text(one.get("value")))) for one in _each(embed.get("fields"))]
    if fields:
        yield {"is": "facts", "items": fields}
    if isinstance(embed.get("image") or embed.get("thumbnail"), dict):
        yield {"is": "image", "alt": ""}
    match embed.get("footer"):
        case {"text": str() as text}:
            yield {"is": "context", "items": [marked(_text(text))]}


# --- Teams ---


def _teams(message: Mapping[str, Any]) -> Iterator[Part]:
    for each in _each(message.get("attachments")):
        if isinstance(each.get("content"), dict):
            yield from _teams_parts(each["content"].get("body"), 0)
            yield from _teams_actions(each["content"].get("actions"))
    yield from _said(message.get("text"), markup.markdown)


def _teams_parts(body: object, depth: int) -> Iterator[Part]:
    if depth > DEEPEST:
        return
    for each in _each(body):
        match each.get("type"):
            case "TextBlock":
                big = each.get("weight") == "Bolder" or each.get("size") in ("Large", "ExtraLarge", "Medium")
                yield {"is": "header" if big else "text", "html": markup.markdown(_text(each.get("text")))}
            case "FactSet":
                facts = ((_text(one.get("title")), _text(one.get("value"))) for one in _each(each.get("facts")))
                yield {"is": "facts", "items": [(name, markup.markdown(value)) for name, value in facts]}
            case "Container" | "Column":
                yield from _teams_parts(each.get("items"), depth + 1)
            case "ColumnSet":
                columns = ({**column, "type": "Column"} for column in _each(each.get("columns")))
                yield from _teams_parts(list(columns), depth + 1)
            case "Image":
                yield {"is": "image", "alt": _text(each.get("altText"))}
            case "ActionSet":
                yield from _teams_actions(each.get("actions"))
            case kind:
                yield {"is": "other", "type": _text(kind) or "unknown"}


def _teams_actions(actions: object) -> Iterator[Part]:
    if names := [marked(_text(each.get("title"))) for each in _each(actions)]:
        yield {"is": "buttons", "names": names}


# --- Google Chat ---


def _googlechat(message: Mapping[str, Any]) -> Iterator[Part]:
    yield from _said(message.get("text"), markup.slack)
    for each in _each(message.get("cardsV2")):
        if isinstance(each.get("card"), dict):
            yield {"is": "card", "colour": "", "parts": list(_google_card(each["card"]))}


def _google_card(card: Mapping[str, Any]) -> Iterator[Part]:
    if isinstance(header := card.get("header"), dict):
        yield {"is": "header", "html": marked(_text(header.get("title")))}
        if subtitle := _text(header.get("subtitle")):
            yield {"is": "context", "items": [marked(subtitle)]}
    for section in _each(card.get("sections")):
        if title := _text(section.get("header")):
            yield {"is": "text", "html": Markup("<strong>{}</strong>").format(markup.card_html(title))}
        yield from (part for widget in _each(section.get("widgets")) for part in _google_widget(widget))


def _google_widget(widget: Mapping[str, Any]) -> Iterator[Part]:
    match widget:
        case {"textParagraph": {"text": str() as text}}:
            yield {"is": "text", "html": markup.card_html(_text(text))}
        case {"decoratedText": {"text": str() as text, **rest}}:
            yield {"is": "facts", "items": [(_text(rest.get("topLabel")), markup.card_html(_text(text)))]}
        case {"buttonList": {"buttons": buttons}}:
            yield {"is": "buttons", "names": [marked(_text(each.get("text"))) for each in _each(buttons)]}
        case {"image": {**rest}}:
            yield {"is": "image", "alt": _text(rest.get("altText"))}
        case {"divider": _}:
            yield {"is": "rule"}
        case _:
            yield {"is": "other", "type": _text(next(iter(widget), "")) or "unknown"}


# --- Telegram ---


def _telegram(message: Mapping[str, Any]) -> Iterator[Part]:
    is_html = message.get("parse_mode") == "HTML"
    yield from _said(message.get("text"), markup.telegram if is_html else marked)


_CHATS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Iterator[Part]]]]] = {
    "slack": ("Slack", _slack),
    "discord": ("Discord", _discord),
    "teams": ("Teams", _teams),
    "googlechat": ("Google Chat", _googlechat),
    "telegram": ("Telegram", _telegram),
}
