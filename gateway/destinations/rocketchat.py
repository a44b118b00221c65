"""Rocket.Chat, through an incoming webhook: messages shortened to its limit, its answers in words.

Form: Rocket.Chat's pages "Create webhooks" and "Post message". Answers: ``{"success": true}``, or false with ``error``.
Limit: the workspace's ``Message_MaxAllowedSize``, 5,000 characters unless its administrator changed it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations.answers import beginning, read_status
from gateway.destinations.chat import cut, field_of, posted, remedy_of_words
from gateway.destinations.dialects.rocketchat import FIELDS, escape
from gateway.destinations.kind import Kind
from gateway.destinations.mattermost import preview
from gateway.destinations.previews import Message
from gateway.destinations.target import Parts, Target
from gateway.model import Dead, HttpRequest, Reply, Verdict

LONGEST_TEXT: Final = 5_000

#: Parts of Rocket.Chat's words for an error, and what to do about each.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invalid integration id or token": "the webhook was removed or disabled: put its present address into url",
        "invalid-channel": "there is no such channel: correct channel of the body, or leave it out",
        "error-not-allowed": "the webhook's user may not post there: let them join the channel",
        "error-message-size-exceeded": "the message is too long for the workspace: send less",
        "error-action-not-allowed": "the webhook's user may not post there: allow it",
        "unauthorized": "the webhook may not post there: correct its channel in Administration > Integrations",
    }
)


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Rocket.Chat's limit; BuildError when the content is not a message."""
    return posted(target, parts, "a Rocket.Chat message", lambda text: {"text": text}, fitted)


def fitted(message: Message) -> Message:
    """The message with its text shortened to Rocket.Chat's limit. Total."""
    return cut(message, {"text": LONGEST_TEXT})


def read(target: Target, reply: Reply) -> Verdict:
    """By the status and ``success``; a known refusal says what to do about it."""
    if 200 <= reply.status < 300 and field_of(reply.body, "success") is False:
        known = remedy_of_words(reply, REFUSALS, "error")
        return Dead(
            f"answered {reply.status}, but Rocket.Chat did not post it{beginning(reply)}" + (known and f" ({known})")
        )
    return read_status(target, reply, remedy_of_words(reply, REFUSALS, "error") if reply.status < 500 else "")


def status_of(reply: Reply) -> int:
    """422 where a 2xx reports an error."""
    return 422 if 200 <= reply.status < 300 and field_of(reply.body, "success") is False else reply.status


ROCKETCHAT = Kind(
    name="rocketchat",
    title="Rocket.Chat",
    needs="``url``: an incoming webhook",
    sends="``text`` as a message in Markdown",
    needs_text=True,
    secret_after=("/hooks/",),
    contents=("text", "attachments"),
    longest=LONGEST_TEXT,
    escape=escape,
    fields=FIELDS,
    build=build,
    read=read,
    status_of=status_of,
    preview=preview,
    marks=("alias",),
)
