"""Slack, through an incoming webhook or chat.postMessage: messages shortened to Slack's limits, its answers in words.

Limits: Slack's Block Kit reference (docs.slack.dev/reference/block-kit, a page for each block and element) and
``chat.postMessage``; 1 message per second and channel: "Rate limits" (docs.slack.dev/apis/web-api/rate-limits).
Answers: Slack's pages on incoming webhooks and on ``chat.postMessage``, and its changelog of 2016-05-17.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.destinations import previews
from gateway.destinations.answers import beginning, json_of, read_status
from gateway.destinations.chat import cut, posted, shortened, units
from gateway.destinations.dialects.slack import FIELDS, escape
from gateway.destinations.empty import may_be_empty, without_empty
from gateway.destinations.kind import Kind, Option
from gateway.destinations.previews import Message, Part, Said, said
from gateway.destinations.target import NO_JSON, Parts, Target
from gateway.errors import BuildError
from gateway.model import Dead, HttpRequest, Reply, Retry, Verdict

#: Characters of a message's ``text``.
LONGEST_TEXT: Final = 40_000
#: Characters of a text object without a limit of its own.
LONGEST_TEXT_OBJECT: Final = 3_000
#: Characters of all markdown blocks of a message together.
LONGEST_MARKDOWN: Final = 12_000
#: Characters of a text, by the type of the object that holds it and its key there.
LONGEST: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        ("button", "text"): 75,
        ("header", "text"): 150,
        ("image", "alt_text"): 2_000,
        ("image", "title"): 2_000,
        ("input", "hint"): 2_000,
        ("input", "label"): 2_000,
        ("section", "fields"): 2_000,
        ("section", "text"): 3_000,
        ("video", "title"): 199,
    }
)
_NO_LIMITS: Final[Mapping[str, int]] = {}
#: ``LONGEST`` by type and then by key.
_LIMITS: Final = {kind: {key: most for (holder, key), most in LONGEST.items() if holder == kind} for kind, _ in LONGEST}
#: Elements of a list, by the type of the object that holds it and its key there.
MOST: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        ("actions", "elements"): 25,
        ("context", "elements"): 10,
        ("section", "fields"): 10,
    }
)
MOST_BLOCKS: Final = 50
MOST_ATTACHMENTS: Final = 100

#: Slack's words for a message that it refuses, and what to do about each.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account_inactive": "the app or its owner was removed: install it again and use its new token",
        "action_prohibited": "the workspace's rules forbid this post: ask a Slack administrator to allow the app",
        "channel_is_archived": "the channel is archived: unarchive it, or make a webhook for another one",
        "channel_not_found": "the channel is gone or closed to the app: correct channel, or make a new webhook for url",
        "ekm_access_denied": "a Slack administrator has suspended posting: ask them",
        "invalid_arguments": "the message is not as Slack defines it: try it in Slack's Block Kit Builder",
        "invalid_attachments": "the attachments are not as Slack defines them: correct the entry's body or template",
        "invalid_auth": "the token is not one of Slack's: put the app's bot token (xoxb-...) into auth.bearer",
        "invalid_blocks": "the blocks are not as Slack defines them: try the message in Slack's Block Kit Builder",
        "invalid_blocks_format": "the blocks are not a list of objects: correct the entry's body or template",
        "invalid_payload": "Slack could not read the message: try it in Slack's Block Kit Builder",
        "invalid_token": "the webhook was revoked: make a new one and put its address into url",
        "is_archived": "the channel is archived: unarchive it, or name another one in channel",
        "missing_scope": "the app may not post: give it the scope chat:write and install it again",
        "missing_text_or_fallback_or_attachments": "the message is empty: write a text",
        "msg_blocks_too_long": "the blocks are too long: send fewer of them",
        "msg_too_long": "the message is too long: send less",
        "no_active_hooks": "the webhook is switched off: switch it on, or make a new one and put its address into url",
        "no_service": "the webhook was removed: make a new one and put its address into url",
        "no_service_id": "the address is incomplete: put the webhook's whole address into url",
        "no_team": "the workspace is gone: make a webhook in another one and put its address into url",
        "no_text": "the message is empty: write a text",
        "not_allowed_token_type": "this kind of token may not post: put the app's bot token (xoxb-...) into auth.bearer",
        "not_authed": "the request had no token: put the app's bot token (xoxb-...) into auth.bearer",
        "not_in_channel": "the app is not in the channel: invite it there (/invite @app)",
        "posting_to_general_channel_denied": "only some members may post to #general: use another channel's webhook",
        "restricted_action": "the workspace's rules forbid this post: ask a Slack administrator",
        "team_disabled": "the workspace is switched off: make a webhook in another one and put its address into url",
        "token_expired": "the token has expired: put a new one into auth.bearer",
        "token_revoked": "the token was revoked: put a new one into auth.bearer",
        "too_many_attachments": "a message can have 100 attachments: send fewer",
        "user_not_found": "the person is gone: make a new webhook and put its address into url",
    }
)
#: Slack's words for errors that may pass.
PASSING: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
_ABOUT_THE_LOGIN: Final = frozenset(
    {"invalid_auth", "not_authed", "token_expired", "token_revoked", "account_inactive"}
)
_ABOUT_THE_RATE: Final = frozenset({"rate_limited", "ratelimited"})

_HALF_ENTITIES = re.compile(r"(?:&(?:a|am|amp|l|lt|g|gt)?)+$")


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Slack's limits; BuildError when the content is not a message."""

    def fit(message: Message) -> Message:
        message = {"unfurl_links": False, **target.options, **message}
        if target.url.endswith("/chat.postMessage") and not message.get("channel"):
            raise BuildError('chat.postMessage needs a channel: write channel: "#leads" in the destination')
        return fitted(message)

    return posted(target, parts, "a Slack message", lambda text: {"text": text}, fit)


def fitted(message: Message) -> dict[str, object]:
    """The message with every text and list shortened to Slack's limits; what fits is unchanged. Total."""
    fit = {key: _fitted(value, None, holder="message", key=key) for key, value in message.items()}
    fit = cut(fit, {"text": LONGEST_TEXT}, _without_half_markup)
    markdown = _Markdown()
    for holder in (fit, *_objects(fit.get("attachments"))):
        if isinstance(blocks := holder.get("blocks"), list):
            holder["blocks"] = list(markdown.fitted(blocks))
    is_text = "blocks" not in fit and "attachments" not in fit
    return fit if is_text or not may_be_empty(fit) else without_empty(fit)


class _Markdown:
    """Shortens the markdown blocks of one message, which share a budget; one without room is left out."""

    def __init__(self) -> None:
        self._left = LONGEST_MARKDOWN

    def fitted(self, blocks: list[object]) -> Iterator[object]:
        for block in blocks:
            text = block.get("text") if isinstance(block, dict) and block.get("type") == "markdown" else None
            if not isinstance(block, dict) or not isinstance(text, str):
                yield block
            elif self._left:
                fit = shortened(text, self._left, _without_half_markup)
                self._left -= units(fit)
                yield {**block, "text": fit}


def _objects(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _fitted(value: object, limit: int | None, *, holder: str, key: str) -> object:
    if isinstance(value, str):
        mend = _without_half_entity if holder == "plain_text" else _without_half_markup
        return value if limit is None else shortened(value, limit, mend)
    if isinstance(value, list):
        return [_fitted(item, limit, holder=holder, key=key) for item in _fewer(value, holder, key)]
    if isinstance(value, dict):
        return _fitted_object(value, limit)
    return value


def _fitted_object(value: dict[str, object], limit: int | None) -> dict[str, object]:
    kind = value.get("type")
    holder = kind if isinstance(kind, str) else ""
    is_text = holder in ("plain_text", "mrkdwn")
    limits = {"text": limit or LONGEST_TEXT_OBJECT} if is_text else _LIMITS.get(holder, _NO_LIMITS)
    fit: dict[str, object] = {}
    for key, item in value.items():
        most = limits.get(key)
        # Two units for each character, at most.
        if isinstance(item, str) and (most is None or len(item) * 2 <= most):
            fit[key] = item
        else:
            fit[key] = _fitted(item, most, holder=holder, key=key)
    return fit


def _fewer(items: list[object], holder: str, key: str) -> list[object]:
    if key == "blocks" and len(items) > MOST_BLOCKS:
        left_out = len(items) - MOST_BLOCKS + 1
        return [*items[: MOST_BLOCKS - 1], _note(f"… {left_out} more blocks are left out")]
    if key == "attachments":
        return items[:MOST_ATTACHMENTS]
    return items[: MOST.get((holder, key), len(items))]


def _note(text: str) -> dict[str, object]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": text}]}


def _without_half_entity(kept: str) -> str:
    """Never ends inside an escaped ``&lt;``."""
    return _HALF_ENTITIES.sub("", kept)


def _without_half_markup(kept: str) -> str:
    """Nor inside a ``<link|label>``."""
    opened = kept.find("<", kept.rfind(">") + 1)
    return _without_half_entity(kept if opened < 0 else kept[:opened])


def read(target: Target, reply: Reply) -> Verdict:
    """Delivered only on Slack's ``ok``; a refusal that Slack names is final and says what to do about it."""
    word = _word(reply.body)
    if word in PASSING:
        return Retry(f"answered {reply.status}: {word}")
    if reply.status < 500 and word in REFUSALS:
        login = f"; {target.login}" if word in _ABOUT_THE_LOGIN and target.login else ""
        return Dead(f"Slack answered {word}: {REFUSALS[word]}{login}")
    if reply.status != 200 or word == "ok":
        return read_status(target, reply)
    return Retry(f"answered 200 without Slack's ok{beginning(reply)}")


def status_of(reply: Reply) -> int:
    """The status that an error would have: chat.postMessage answers 200 to everything."""
    word = _word(reply.body) if reply.status == 200 else ""
    if word in _ABOUT_THE_LOGIN:
        return 401
    return 429 if word in _ABOUT_THE_RATE else reply.status


def _word(body: bytes) -> str:
    """``ok`` or Slack's name for the error, from plain text or from ``{"ok": false, "error": "..."}``."""
    answer = json_of(body)
    if answer is NO_JSON:
        return body[:100].decode("utf-8", "replace").strip().lower()
    if not isinstance(answer, dict):
        return ""
    return "ok" if answer.get("ok") is True else str(answer.get("error", ""))


# --- as people see it ---

#: Colours of attachments by name.
_COLOURS: Final = {"good": "2eb67d", "warning": "ecb22e", "danger": "e01e5a"}


def preview(message: Message) -> Iterator[Part]:
    """The blocks, or the text if there are none, and the attachments as cards."""
    blocks = list(previews.objects(message.get("blocks")))
    yield from (part for block in blocks for part in _block(block))
    if not blocks:
        yield from previews.text(message.get("text"), "slack")
    for each in previews.objects(message.get("attachments")):
        colour = previews.colour(each.get("color"), _COLOURS) or "999999"
        yield {"is": "card", "colour": colour, "parts": list(_attachment(each))}


def _block(block: Message) -> Iterator[Part]:
    match block.get("type"):
        case "header":
            yield {"is": "header", "html": _text_object(block.get("text"))}
        case "section":
            yield from _section(block)
        case "context":
            elements = previews.objects(block.get("elements"))
            yield {"is": "context", "items": [_text_object(each) for each in elements]}
        case "divider":
            yield {"is": "rule"}
        case "actions":
            elements = previews.objects(block.get("elements"))
            yield {"is": "buttons", "names": [_text_object(each.get("text")) for each in elements]}
        case "image":
            yield {"is": "image", "alt": previews.word(block.get("alt_text"))}
        case "markdown":
            yield from previews.text(block.get("text"), "markdown")
        case kind:
            yield {"is": "other", "type": previews.word(kind) or "unknown"}


def _section(block: Message) -> Iterator[Part]:
    if isinstance(block.get("text"), dict):
        yield {"is": "text", "html": _text_object(block["text"])}
    if fields := [_text_object(each) for each in previews.objects(block.get("fields"))]:
        yield {"is": "fields", "items": fields}
    match block.get("accessory"):
        case {"type": "image", **rest}:
            yield {"is": "image", "alt": previews.word(rest.get("alt_text"))}
        case {"type": "button", **rest}:
            yield {"is": "buttons", "names": [_text_object(rest.get("text"))]}


def _text_object(value: object) -> Said:
    if not isinstance(value, dict):
        return said("")
    if value.get("type") == "image":
        return said(value.get("alt_text"))
    return said(value.get("text"), "slack" if value.get("type") == "mrkdwn" else "slack_plain")


def _attachment(each: Message) -> Iterator[Part]:
    yield from previews.text(each.get("pretext"), "slack")
    if title := previews.word(each.get("title")):
        yield {"is": "header", "html": said(title, "slack")}
    yield from previews.text(each.get("text"), "slack")
    yield from (part for block in previews.objects(each.get("blocks")) for part in _block(block))
    fields = previews.objects(each.get("fields"))
    if facts := [(previews.word(one.get("title")), said(one.get("value"), "slack")) for one in fields]:
        yield {"is": "facts", "items": facts}
    if footer := previews.word(each.get("footer")):
        yield {"is": "context", "items": [said(footer, "slack")]}


SLACK = Kind(
    name="slack",
    title="Slack",
    needs="``url``: an incoming webhook; or ``https://slack.com/api/chat.postMessage`` with ``auth: {bearer: ...}`` and ``channel``",
    sends="``text`` as a message in mrkdwn",
    keys=frozenset({"url", "headers", "auth"}),
    needs_text=True,
    secret_after=("hooks.slack.com/",),
    hosts=("slack.com",),
    is_hosted=True,
    rate="1/s",
    rate_page="https://docs.slack.dev/apis/web-api/rate-limits",
    contents=("text", "blocks", "attachments"),
    longest=LONGEST_TEXT,
    escape=escape,
    fields=FIELDS,
    instead_of_markup="write {{ slack_link(url, label) }} or {{ slack_user(id) }}",
    options=MappingProxyType(
        {
            "channel": Option(
                about='the channel of chat.postMessage: "#leads" or C0123456789; a webhook has its own',
                pattern=r"\S*",
            )
        }
    ),
    build=build,
    read=read,
    status_of=status_of,
    preview=preview,
    marks=("blocks", "unfurl_links"),
)
