"""Slack refuses a whole message for one empty text in it: what is empty is left out.

What each part needs is in Slack's Block Kit reference (docs.slack.dev/reference/block-kit, a page for each block and element;
"Text object": at least one character) and in "Secondary attachments".
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from gateway.destinations.dialects.slack import FIELDS
from gateway.destinations.markup import address

#: What an object of a type needs one of; it is left out if those that it has are empty.
_NEEDS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "actions": ("elements",),
        "button": ("text",),
        "context": ("elements",),
        "header": ("text",),
        "image": ("image_url", "slack_file"),
        "markdown": ("text",),
        "mrkdwn": ("text",),
        "plain_text": ("text",),
        "section": ("text", "fields"),
        "text": ("text",),
    }
)
#: What an element of a list without a type needs, by the key of the list.
_NEEDS_IN: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "attachments": (
            "text",
            "pretext",
            "title",
            "fallback",
            "fields",
            "blocks",
            "image_url",
            "author_name",
            "footer",
        ),
        "fields": ("title", "value"),
    }
)
#: Texts, lists and addresses that Slack refuses if they are empty, and does not need.
_OPTIONAL: Final = frozenset({"attachments", "blocks", "elements", "fields", "footer", "pretext", "text", "title"}) | {
    key for (_, key), writer in FIELDS.known.items() if writer is address
}
#: Under which everything is the author's own, and may be empty.
_DATA: Final = frozenset({"metadata"})


#: A text of blanks only, in JSON.
_BLANK: Final = re.compile(rb'"(?: |\\[nrt])+"')


def may_be_empty(message: Mapping[str, object]) -> bool:
    """Whether anything in a message may be empty; to be told so costs a tenth of a look at each part of it."""
    try:
        written = msgspec.json.encode(message)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, OverflowError):
        # Whoever makes the request says what is wrong with it.
        return True
    return b'""' in written or b"[]" in written or _BLANK.search(written) is not None


def without_empty(message: Mapping[str, object]) -> dict[str, object]:
    """The message without the blocks, texts and fields in it that are empty. Total."""
    # In rich text a blank is a text.
    is_run = message.get("type") == "text"
    found = ((key, value if key in _DATA else _kept(value, key)) for key, value in message.items())
    return {key: value for key, value in found if not _is_gone(key, value, is_run=is_run)}


class _Gone:
    """Stands for an object that has nothing to show."""


_GONE: Final = _Gone()


def _kept(value: object, key: str) -> object:
    match value:
        case dict():
            found = without_empty(value)
            kind = value.get("type")
            needs = _NEEDS.get(kind, ()) if isinstance(kind, str) else _NEEDS_IN.get(key, ())
            # What was never there is the author's mistake, which Slack names.
            had = [each for each in needs if each in value]
            return _GONE if had and not any(found.get(each) for each in had) else found
        case list():
            return [each for each in (_kept(each, key) for each in value) if each is not _GONE]
    return value


def _is_gone(key: str, value: object, *, is_run: bool) -> bool:
    if value is _GONE:
        return True
    return key in _OPTIONAL and (value == [] or (isinstance(value, str) and not (value if is_run else value.strip())))
