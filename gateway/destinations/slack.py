"""Slack's incoming webhooks: messages cut to what Slack takes, and its answers in words.

Limits: Slack's Block Kit reference and ``chat.postMessage``. Answers: Slack's page on incoming webhooks and
its changelog of 2016-05-17.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from gateway.destinations.base import (
    Kind,
    Parts,
    Target,
    beginning,
    http_request,
    json_bytes,
    judge_status,
    retry_after,
)
from gateway.errors import BuildError
from gateway.model import Content, Dead, HttpRequest, Json, Raw, Reply, Retry, Text, Verdict

#: Characters of a message's ``text``.
LONGEST_TEXT: Final = 40_000
#: Characters of a text object where nothing else is said.
LONGEST_TEXT_OBJECT: Final = 3_000
#: Characters by the type of the object that holds a text, and the key that it is under.
LONGEST: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        ("button", "text"): 75,
        ("header", "text"): 150,
        ("image", "alt_text"): 2_000,
        ("image", "title"): 2_000,
        ("input", "hint"): 2_000,
        ("input", "label"): 2_000,
        ("markdown", "text"): 12_000,
        ("section", "fields"): 2_000,
        ("section", "text"): 3_000,
        ("video", "title"): 199,
    }
)
#: Members of a list by the type of the object that holds it, and the key that it is under.
MOST: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        ("actions", "elements"): 25,
        ("context", "elements"): 10,
        ("section", "fields"): 10,
    }
)
MOST_BLOCKS: Final = 50
MOST_ATTACHMENTS: Final = 100

#: Slack's words for a message that it will not take, and what to do about each.
REFUSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "action_prohibited": "the workspace's rules forbid this post: ask a Slack administrator to allow the app",
        "channel_is_archived": "the channel is archived: unarchive it, or make a webhook for another one",
        "channel_not_found": "the channel is gone or closed to the app: make a new webhook and put its address into url",
        "invalid_attachments": "the attachments are not as Slack defines them: correct the entry's body or template",
        "invalid_blocks": "the blocks are not as Slack defines them: try the message in Slack's Block Kit Builder",
        "invalid_blocks_format": "the blocks are not a list of objects: correct the entry's body or template",
        "invalid_payload": "Slack could not read the message: try it in Slack's Block Kit Builder",
        "invalid_token": "the webhook was revoked: make a new one and put its address into url",
        "missing_text_or_fallback_or_attachments": "the message is empty: write a text",
        "no_active_hooks": "the webhook is switched off: switch it on, or make a new one and put its address into url",
        "no_service": "the webhook was removed: make a new one and put its address into url",
        "no_service_id": "the address is incomplete: put the webhook's whole address into url",
        "no_team": "the workspace is gone: make a webhook in another one and put its address into url",
        "no_text": "the message is empty: write a text",
        "posting_to_general_channel_denied": "only some members may post to #general: use another channel's webhook",
        "team_disabled": "the workspace is switched off: make a webhook in another one and put its address into url",
        "too_many_attachments": "a message can have 100 attachments: send fewer",
        "user_not_found": "the person is gone: make a new webhook and put its address into url",
    }
)
_RATE_LIMITED = ("rate_limited", "ratelimited")

_HALF_ENTITIES = re.compile(r"(?:&(?:a|am|amp|l|lt|g|gt)?)+$")


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the message, shortened to Slack's limits; BuildError when there is no message in the content."""
    try:
        message = fitted(_message(parts.content))
    except RecursionError:
        raise BuildError("the message is nested too deeply") from None
    return http_request(
        target,
        parts,
        method="POST",
        url=target.url,
        body=json_bytes({"unfurl_links": False} | message),
        defaults={"content-type": "application/json"},
    )


def _message(content: Content | None) -> dict[str, object]:
    match content:
        case Text(text):
            return {"text": text}
        case Raw(body):
            return {"text": _decoded(body)}
        case Json(dict() as value):
            return value
        case Json():
            raise BuildError('a Slack message is an object: write {"text": ...} or {"blocks": [...]}')
        case None:
            raise BuildError("a Slack message needs a text, a body or a template: write one in the entry")


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BuildError("a Slack message is text, and this content is not UTF-8") from None


def fitted(message: Mapping[str, object]) -> dict[str, object]:
    """The message with everything that is too long for Slack shortened; what fits stays as it is. Total."""
    fit = {key: _fitted(value, None, holder="message", key=key) for key, value in message.items()}
    if isinstance(text := fit.get("text"), str):
        fit["text"] = shortened(text, LONGEST_TEXT)
    return fit


def _fitted(value: object, limit: int | None, *, holder: str, key: str) -> object:
    if isinstance(value, str):
        return value if limit is None else shortened(value, limit, markup=holder != "plain_text")
    if isinstance(value, list):
        return [_fitted(item, limit, holder=holder, key=key) for item in _fewer(value, holder, key)]
    if isinstance(value, dict):
        return _fitted_object(value, limit)
    return value


def _fitted_object(value: dict[str, object], limit: int | None) -> dict[str, object]:
    kind = value.get("type")
    holder = kind if isinstance(kind, str) else ""
    if holder in ("plain_text", "mrkdwn"):
        limits = {"text": limit or LONGEST_TEXT_OBJECT}
    else:
        limits = {key: LONGEST[holder, key] for key in value if (holder, key) in LONGEST}
    return {key: _fitted(item, limits.get(key), holder=holder, key=key) for key, item in value.items()}


def _fewer(items: list[object], holder: str, key: str) -> list[object]:
    if key == "blocks" and len(items) > MOST_BLOCKS:
        left_out = len(items) - MOST_BLOCKS + 1
        return [*items[: MOST_BLOCKS - 1], _note(f"… {left_out} more blocks are left out")]
    if key == "attachments":
        return items[:MOST_ATTACHMENTS]
    return items[: MOST.get((holder, key), len(items))]


def _note(text: str) -> dict[str, object]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": text}]}


def shortened(text: str, limit: int, *, markup: bool = True) -> str:
    """At most ``limit`` characters, with an ellipsis in place of the rest.

    Never ends inside an escaped ``&lt;``, nor, where there is markup, inside a ``<link|label>``. Counted in
    UTF-16 units, the longest of the ways to count an emoji: Slack does not say which is its own.
    """
    if len(text) * 2 <= limit or _units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: (limit - 1) * 2].decode("utf-16-le", "ignore")
    if markup and (opened := kept.find("<", kept.rfind(">") + 1)) >= 0:
        kept = kept[:opened]
    return _HALF_ENTITIES.sub("", kept) + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def judge(reply: Reply, now: float) -> Verdict:
    """Delivered on Slack's ``ok`` only; a refusal that Slack names is final and says what to do about it."""
    word = _word(reply.body)
    if word in _RATE_LIMITED:
        return Retry(f"answered {reply.status}: {word}", after_s=retry_after(reply.headers, now))
    if reply.status < 500 and word in REFUSALS:
        return Dead(f"Slack answered {word}: {REFUSALS[word]}")
    if reply.status != 200 or word == "ok":
        return judge_status(reply, now)
    return Retry(f"answered 200 without Slack's ok{beginning(reply.body)}", after_s=retry_after(reply.headers, now))


def _word(body: bytes) -> str:
    """``ok`` or Slack's name of the error, from plain text and from ``{"ok": false, "error": "..."}``."""
    try:
        answer = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body[:100].decode("utf-8", "replace").strip().lower()
    if not isinstance(answer, dict):
        return ""
    return "ok" if answer.get("ok") is True else str(answer.get("error", ""))


SLACK = Kind(name="slack", escape="slack", chat=True, shapes_request=False, build=build, judge=judge)
