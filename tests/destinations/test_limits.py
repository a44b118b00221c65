"""Messages with too much of everything, held against the limits that each vendor publishes, and the page that does."""

import msgspec
import pytest

from gateway.destinations import KINDS
from gateway.destinations.chat import units
from gateway.model import Json
from tests.destinations import examples
from tests.destinations.values import parts

MUCH, WIDE, ESCAPED = "x" * 60_000, "é" * 60_000, '"' * 60_000
PLAIN, MARKED = {"type": "plain_text", "text": MUCH}, {"type": "mrkdwn", "text": MUCH}


def block(kind: str, **keys: object) -> dict[str, object]:
    return {"type": kind, **keys}


SLACK = {
    "text": MUCH,
    "blocks": [
        block("section", text=MARKED, fields=[MARKED] * 20),
        block("header", text=PLAIN),
        block("context", elements=[MARKED] * 20),
        block("actions", elements=[block("button", text=PLAIN)] * 40),
        block("image", alt_text=MUCH, title=PLAIN),
        block("input", label=PLAIN, hint=PLAIN),
        block("video", title=PLAIN),
        block("markdown", text=MUCH),
        block("markdown", text=MUCH),
        *[block("divider")] * 60,
    ],
    "attachments": [{"text": "x", "blocks": [block("markdown", text=MUCH)]}] * 150,
}
EMBED = {
    "title": MUCH,
    "description": MUCH,
    "author": {"name": MUCH},
    "footer": {"text": MUCH},
    "fields": [{"name": MUCH, "value": MUCH}] * 40,
}
DISCORD = {"content": MUCH, "username": MUCH, "thread_name": MUCH, "embeds": [EMBED] * 20}
CARD = {"type": "AdaptiveCard", "version": "1.4", "body": [block("TextBlock", text=MUCH, wrap=True)] * 20}
GOOGLE = {"text": MUCH, "cardsV2": [{"card": {"sections": [{"widgets": [{"textParagraph": {"text": MUCH}}] * 5}]}}]}
TELEGRAM = {"text": MUCH}

BLOCKS = "https://docs.slack.dev/reference/block-kit/blocks"
EMBEDS = "https://discord.com/developers/docs/resources/message#embed-object-embed-limits"
EXECUTE = "https://discord.com/developers/docs/resources/webhook#execute-webhook"


def at(*path: object):
    """How long the text, or the list, is that stands there."""

    def measured(message: object) -> int:
        for step in path:
            message = message[step]
        return units(message) if isinstance(message, str) else len(message)

    return measured


def of_all_markdown(message) -> int:
    holders = [message, *message["attachments"]]
    blocks = [each for holder in holders for each in holder.get("blocks", [])]
    return sum(units(each["text"]) for each in blocks if each["type"] == "markdown")


def of_all_embeds(message) -> int:
    def texts(value):
        if isinstance(value, str):
            return units(value)
        return sum(map(texts, value.values() if isinstance(value, dict) else value))

    return texts(message["embeds"])


def in_bytes(message) -> int:
    return len(msgspec.json.encode(message))


def in_utf_8(key: str):
    return lambda message: len(message[key].encode())


ENQUEUE = "https://developer.pagerduty.com/api-reference/368ae3d938c9e-send-an-event-to-pager-duty"
PUBLISHED = [
    ("slack", SLACK, "https://docs.slack.dev/reference/methods/chat.postMessage", at("text"), 40_000),
    ("slack", SLACK, "https://docs.slack.dev/reference/methods/chat.postMessage", at("attachments"), 100),
    ("slack", SLACK, BLOCKS, at("blocks"), 50),
    ("slack", SLACK, f"{BLOCKS}/section-block", at("blocks", 0, "text", "text"), 3_000),
    ("slack", SLACK, f"{BLOCKS}/section-block", at("blocks", 0, "fields"), 10),
    ("slack", SLACK, f"{BLOCKS}/section-block", at("blocks", 0, "fields", 0, "text"), 2_000),
    ("slack", SLACK, f"{BLOCKS}/header-block", at("blocks", 1, "text", "text"), 150),
    ("slack", SLACK, f"{BLOCKS}/context-block", at("blocks", 2, "elements"), 10),
    ("slack", SLACK, f"{BLOCKS}/actions-block", at("blocks", 3, "elements"), 25),
    (
        "slack",
        SLACK,
        "https://docs.slack.dev/reference/block-kit/block-elements/button-element",
        at("blocks", 3, "elements", 0, "text", "text"),
        75,
    ),
    ("slack", SLACK, f"{BLOCKS}/image-block", at("blocks", 4, "alt_text"), 2_000),
    ("slack", SLACK, f"{BLOCKS}/image-block", at("blocks", 4, "title", "text"), 2_000),
    ("slack", SLACK, f"{BLOCKS}/input-block", at("blocks", 5, "label", "text"), 2_000),
    ("slack", SLACK, f"{BLOCKS}/input-block", at("blocks", 5, "hint", "text"), 2_000),
    ("slack", SLACK, f"{BLOCKS}/video-block", at("blocks", 6, "title", "text"), 199),
    ("slack", SLACK, f"{BLOCKS}/markdown-block", of_all_markdown, 12_000),
    ("discord", DISCORD, EXECUTE, at("content"), 2_000),
    ("discord", {"embeds": [{"title": "t"}] * 20}, EXECUTE, at("embeds"), 10),
    ("discord", DISCORD, EXECUTE, at("username"), 80),
    ("discord", DISCORD, EXECUTE, at("thread_name"), 100),
    ("discord", DISCORD, EMBEDS, at("embeds", 0, "title"), 256),
    ("discord", DISCORD, EMBEDS, at("embeds", 0, "description"), 4_096),
    ("discord", {"embeds": [{"author": {"name": MUCH}}]}, EMBEDS, at("embeds", 0, "author", "name"), 256),
    ("discord", {"embeds": [{"footer": {"text": MUCH}}]}, EMBEDS, at("embeds", 0, "footer", "text"), 2_048),
    (
        "discord",
        {"embeds": [{"fields": [{"name": "n", "value": "v"}] * 40}]},
        EMBEDS,
        at("embeds", 0, "fields"),
        25,
    ),
    (
        "discord",
        {"embeds": [{"fields": [{"name": MUCH, "value": MUCH}]}]},
        EMBEDS,
        at("embeds", 0, "fields", 0, "name"),
        256,
    ),
    (
        "discord",
        {"embeds": [{"fields": [{"name": MUCH, "value": MUCH}]}]},
        EMBEDS,
        at("embeds", 0, "fields", 0, "value"),
        1_024,
    ),
    ("discord", DISCORD, EMBEDS, of_all_embeds, 6_000),
    (
        "teams",
        CARD,
        "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
        in_bytes,
        28 * 1024,
    ),
    (
        "googlechat",
        GOOGLE,
        "https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/create",
        in_bytes,
        32_000,
    ),
    ("telegram", TELEGRAM, "https://core.telegram.org/bots/api#sendmessage", at("text"), 4_096),
    (
        "mattermost",
        {"text": MUCH},
        "https://docs.mattermost.com/developers/integrate/webhooks/incoming",
        at("text"),
        16_383,
    ),
    ("rocketchat", {"text": MUCH}, "https://docs.rocket.chat/docs/message", at("text"), 5_000),
    ("ntfy", {"message": MUCH}, "https://docs.ntfy.sh/publish/#limitations", at("message"), 4_096),
    ("ntfy", {"message": WIDE}, "https://docs.ntfy.sh/publish/#limitations", in_utf_8("message"), 4_096),
    (
        "ntfy",
        {"message": ESCAPED},
        "https://github.com/binwiederhier/ntfy/blob/main/server/server.go",
        in_bytes,
        8_192,
    ),
    ("pagerduty", {"payload": {"summary": MUCH}}, ENQUEUE, at("payload", "summary"), 1_024),
    ("pagerduty", {"dedup_key": MUCH}, ENQUEUE, at("dedup_key"), 255),
    ("twilio", {"Body": MUCH}, "https://www.twilio.com/docs/api/errors/21617", at("Body"), 1_600),
]


def message(kind: str, content: dict[str, object]):
    return examples.message_of(
        KINDS[kind], KINDS[kind].build(examples.target(KINDS[kind]), parts(content=Json(content)))
    )


@pytest.mark.parametrize(
    ("kind", "content", "page", "measured", "limit"),
    PUBLISHED,
    ids=[f"{kind} {limit} {page}" for kind, _, page, _, limit in PUBLISHED],
)
def test_what_is_sent_is_within_what_the_vendor_publishes(kind, content, page, measured, limit) -> None:
    before, after = measured(content), measured(message(kind, content))
    assert before > limit, "the message is not too long to begin with"
    assert 0.9 * limit <= after <= limit, page


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.needs_text and kind.longest])
def test_every_kind_that_people_read_has_a_published_limit_here(kind: str) -> None:
    assert kind in {name for name, *_ in PUBLISHED}, f"add a row for {kind} to PUBLISHED, with the vendor's page"
