"""Mattermost, through an incoming webhook: messages shortened to its limit, its answers in words.

Form and answers: Mattermost's page "Incoming webhooks" (200 ``ok``; 400 for a message or webhook that is not valid, 403, 404
and 413 or 500 beyond the limits of the server). Limit: a post has at most 16,383 characters.
"""

from collections.abc import Iterator
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import read_status
from gateway.destinations.chat import cut, posted, remedy, whole_markdown
from gateway.destinations.dialects.mattermost import FIELDS, escape
from gateway.destinations.kind import Kind
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest, Reply, Verdict

#: Characters of a post, and the names above it.
LONGEST_TEXT: Final = 16_383
LONGEST_NAME: Final = 64

#: Mattermost's ids of errors, and what to do about each.
REFUSALS: Final = {
    "web.incoming_webhook.invalid.app_error": "the webhook was removed: make a new one and put its address into url",
    "web.incoming_webhook.disabled.app_error": "the server allows no incoming webhooks: enable them in its System Console",
    "web.incoming_webhook.channel.app_error": "there is no such channel: correct channel of the body, or leave it out",
    "web.incoming_webhook.channel_locked.app_error": "the webhook is locked to its channel: remove channel from the body",
    "web.incoming_webhook.permissions.app_error": "the webhook's owner may not post there: let them join the channel",
    "web.incoming_webhook.user.app_error": "there is no such user: correct channel of the body",
    "web.incoming_webhook.text.app_error": "the message is empty: write a text or attachments",
    "api.post.create_post.can_not_post_to_deleted.error": "the channel is archived: choose another one",
}


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Mattermost's limits; BuildError when the content is not a message."""
    return posted(target, parts, "a Mattermost message", lambda text: {"text": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with its text and its names shortened to Mattermost's limits. Total."""
    return cut(message, {"text": LONGEST_TEXT, "username": LONGEST_NAME}, whole_markdown)


def read(target: Target, reply: Reply) -> Verdict:
    """By the status; a refusal that Mattermost names says what to do about it."""
    return read_status(target, reply, remedy(reply, REFUSALS, "id"))


def preview(message: Message) -> Iterator[Part]:
    """The text, and each attachment as a card."""
    yield from previews.text(message.get("text"), "markdown")
    for each in previews.objects(message.get("attachments")):
        colour = previews.colour(each.get("color")) or "999999"
        yield {"is": "card", "colour": colour, "parts": list(_attachment(each))}


def _attachment(each: Message) -> Iterator[Part]:
    """The parts of an attachment as Slack defined it, with texts in Markdown."""
    yield from previews.text(each.get("pretext"), "markdown")
    if title := previews.word(each.get("title")):
        yield {"is": "header", "html": said(title)}
    yield from previews.text(each.get("text"), "markdown")
    fields = previews.objects(each.get("fields"))
    if facts := [(previews.word(one.get("title")), said(one.get("value"), "markdown")) for one in fields]:
        yield {"is": "facts", "items": facts}
    if each.get("image_url") or each.get("thumb_url"):
        yield {"is": "image", "alt": ""}
    if names := [said(one.get("name") or one.get("text")) for one in previews.objects(each.get("actions"))]:
        yield {"is": "buttons", "names": names}
    if footer := previews.word(each.get("footer")):
        yield {"is": "context", "items": [said(footer)]}


MATTERMOST = Kind(
    name="mattermost",
    title="Mattermost",
    needs="``url``: an incoming webhook",
    sends="``text`` as a post in Markdown",
    needs_text=True,
    secret_after=("/hooks/",),
    contents=("text", "attachments"),
    longest=LONGEST_TEXT,
    escape=escape,
    fields=FIELDS,
    build=build,
    read=read,
    preview=preview,
    marks=("icon_url", "icon_emoji"),
)
