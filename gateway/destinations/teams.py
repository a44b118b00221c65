"""Microsoft Teams, through a webhook of its Workflows: an Adaptive Card of at most 28 KB, its answers in words.

Form and limits: Microsoft's pages "Create and send messages" (webhooks: 28 KB, 4 requests a second) and "Text
features" of Adaptive Cards (a part of Markdown). Answers: "Create and send messages": a message that did not arrive
can be answered 200 with a text about an HTTP error.
"""

import re
from typing import Final

from gateway.destinations.base import NO_JSON, Kind, Parts, Target, beginning, json_of, read_status
from gateway.destinations.chat import Message, posted, within_bytes, without_half_escape
from gateway.model import Dead, HttpRequest, Reply, Retry, Verdict

#: Bytes of a whole message as JSON.
LONGEST_MESSAGE: Final = 28_000
#: Keys of a card whose texts people read.
READABLE: Final = frozenset({"altText", "fallbackText", "label", "placeholder", "speak", "text", "title", "value"})

_CARD: Final = "application/vnd.microsoft.card.adaptive"
_INNER_STATUS: Final = re.compile(r"http error (?:code: ?)?([1-5][0-9]{2})", re.IGNORECASE)

_MEANINGS: Final = {
    400: "the card is not as Teams defines it: try it in the Adaptive Cards Designer",
    401: "the workflow asks for a login: set its trigger to be started by anyone",
    403: "the workflow is closed to others: set its trigger to be started by anyone",
    404: "the workflow was removed: make a new one and put its address into url",
    410: "the webhook was retired: make one in Workflows and put its address into url",
    413: "the message is over 28 KB: send less",
}


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the card, shortened to what Teams takes; BuildError when there is no message in the content."""
    return posted(target, parts, "a Teams message", _card, fitted)


def _card(text: str) -> Message:
    # A single line break is a blank to a TextBlock.
    lines = "\n\n".join(line for line in text.splitlines() if line.strip())
    block = {"type": "TextBlock", "text": lines, "wrap": True}
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    return {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": [block]}


def fitted(message: Message) -> Message:
    """The message that Workflows take, of at most 28 KB; a bare card is put into one. Total."""
    if message.get("type") == "AdaptiveCard":
        message = {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": message}]}
    return within_bytes(message, LONGEST_MESSAGE, READABLE, without_half_escape)


def read(target: Target, reply: Reply) -> Verdict:
    """By the status, and by the one that a text inside a 2xx tells."""
    told = _told(reply)
    if not told:
        return read_status(target, reply, _MEANINGS.get(reply.status, ""))
    reason = f"answered {reply.status}, but Teams did not take it{beginning(reply.body)}"
    inner = stands_for(reply)
    is_final = 400 <= inner < 500 and inner not in (408, 425, 429)
    return Dead(reason) if is_final else Retry(reason)


def stands_for(reply: Reply) -> int:
    """The status inside a text about an error."""
    inner = _INNER_STATUS.search(_told(reply))
    return int(inner[1]) if inner else reply.status


def _told(reply: Reply) -> str:
    """The error that the text of a 2xx tells of; empty: it tells of none."""
    if not 200 <= reply.status < 300 or json_of(reply.body) is not NO_JSON:
        return ""
    text = reply.body.decode("utf-8", "replace")
    return text if "error" in text.lower() else ""


TEAMS = Kind(
    name="teams",
    escape="teams",
    chat=True,
    public=True,
    rate="4/s",
    build=build,
    read=read,
    stands_for=stands_for,
)
