"""Microsoft Teams, through a webhook of its Workflows: an Adaptive Card of at most 28 KB, its answers in words.

Form and limits: Microsoft's pages "Create and send messages" (webhooks: 28 KB, 4 requests per second) and "Text
features" of Adaptive Cards (a subset of Markdown). Answers: "Create and send messages": a message that was not posted
can be answered 200 with a text about an HTTP error.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import beginning, is_final, json_of, read_status
from gateway.destinations.chat import posted, within_bytes, without_half_escape
from gateway.destinations.dialects.teams import FIELDS, escape
from gateway.destinations.kind import Kind
from gateway.destinations.previews import Message, Part, said
from gateway.destinations.target import NO_JSON, Parts, Target
from gateway.model import Dead, HttpRequest, Reply, Retry, Verdict

#: Bytes of a whole message as JSON.
LONGEST_MESSAGE: Final = 28_000
#: Levels of containers that a preview shows.
DEEPEST: Final = 8
#: Keys of a card whose texts people read.
READABLE: Final = frozenset({"altText", "fallbackText", "label", "placeholder", "speak", "text", "title", "value"})

_CARD: Final = "application/vnd.microsoft.card.adaptive"
_INNER_STATUS: Final = re.compile(r"http error (?:code: ?)?([1-5][0-9]{2})", re.IGNORECASE)

_MEANINGS: Final = {
    400: "the card is not as Teams defines it: try it in the Adaptive Cards Designer",
    401: "the workflow asks for a login: let anyone start its trigger",
    403: "the workflow is closed to others: let anyone start its trigger",
    404: "the workflow was removed: make a new one and put its address into url",
    410: "the webhook was retired: make one in Workflows and put its address into url",
    413: "the message is over 28 KB: send less",
}


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the card, shortened to Teams' limit; BuildError when the content is not a message."""
    return posted(target, parts, "a Teams message", _card, fitted)


def _card(text: str) -> Message:
    # A TextBlock shows a single line break as a space.
    lines = "\n\n".join(line for line in text.splitlines() if line.strip())
    block = {"type": "TextBlock", "text": lines, "wrap": True}
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    return {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": [block]}


def fitted(message: Message) -> Message:
    """A message for Workflows of at most 28 KB; a bare card is put into one. Total."""
    if message.get("type") == "AdaptiveCard":
        message = {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": message}]}
    return within_bytes(message, LONGEST_MESSAGE, READABLE, without_half_escape)


def read(target: Target, reply: Reply) -> Verdict:
    """By the status, or by the one in the text of a 2xx that reports an error."""
    if not _error_in(reply):
        return read_status(target, reply, _MEANINGS.get(reply.status, ""))
    reason = f"answered {reply.status}, but Teams did not post it{beginning(reply)}"
    return Dead(reason) if is_final(status_of(reply)) else Retry(reason)


def status_of(reply: Reply) -> int:
    """The status in the text of a 2xx that reports an error."""
    inner = _INNER_STATUS.search(_error_in(reply))
    return int(inner[1]) if inner else reply.status


def _error_in(reply: Reply) -> str:
    """The text of a 2xx that reports an error; empty if it reports none."""
    if not 200 <= reply.status < 300 or json_of(reply.body) is not NO_JSON:
        return ""
    text = reply.body.decode("utf-8", "replace")
    return text if "error" in text.lower() else ""


def preview(message: Message) -> Iterator[Part]:
    """The cards of a message, and its text."""
    for each in previews.objects(message.get("attachments")):
        if isinstance(card := each.get("content"), dict):
            yield from _elements(card.get("body"), 0)
            yield from _actions(card.get("actions"))
    yield from previews.text(message.get("text"), "markdown")


def _elements(body: object, depth: int) -> Iterator[Part]:
    if depth > DEEPEST:
        return
    for each in previews.objects(body):
        match each.get("type"):
            case "TextBlock":
                is_big = each.get("weight") == "Bolder" or each.get("size") in ("Large", "ExtraLarge", "Medium")
                yield {"is": "header" if is_big else "text", "html": said(each.get("text"), "markdown")}
            case "FactSet":
                facts = previews.objects(each.get("facts"))
                items = [(previews.word(one.get("title")), said(one.get("value"), "markdown")) for one in facts]
                yield {"is": "facts", "items": items}
            case "Container" | "Column":
                yield from _elements(each.get("items"), depth + 1)
            case "ColumnSet":
                columns = [{**column, "type": "Column"} for column in previews.objects(each.get("columns"))]
                yield from _elements(columns, depth + 1)
            case "Image":
                yield {"is": "image", "alt": previews.word(each.get("altText"))}
            case "ActionSet":
                yield from _actions(each.get("actions"))
            case kind:
                yield {"is": "other", "type": previews.word(kind) or "unknown"}


def _actions(actions: object) -> Iterator[Part]:
    if names := [said(each.get("title")) for each in previews.objects(actions)]:
        yield {"is": "buttons", "names": names}


TEAMS = Kind(
    name="teams",
    title="Teams",
    needs="``url``: a Workflows webhook",
    sends="``text`` as an Adaptive Card; a body is your own card",
    needs_text=True,
    secret_after=("/workflows/",),
    hosts=("webhook.office.com", "logic.azure.com", "api.powerplatform.com"),
    is_hosted=True,
    rate="4/s",
    rate_page="https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
    text_at=("attachments", "0", "content", "body", "0", "text"),
    contents=("type", "attachments", "text"),
    longest=LONGEST_MESSAGE,
    escape=escape,
    fields=FIELDS,
    build=build,
    read=read,
    status_of=status_of,
    preview=preview,
)
