"""Slack refuses a whole message for one empty text in it: what is empty is left out.

What each part needs is in Slack's Block Kit reference (docs.slack.dev/reference/block-kit, a page for each block and element;
"Text object": at least one character) and in "Secondary attachments".
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_Object = Mapping[str, object]


def _has(*keys: str) -> Callable[[_Object], bool]:
    """Whether an object has one of some keys, with something in it."""
    return lambda item: any(item.get(key) for key in keys)


#: What an object of a type cannot do without; it is left out if it has none of it.
_NEEDS: Final[Mapping[str, Callable[[_Object], bool]]] = MappingProxyType(
    {
        "actions": _has("elements"),
        "button": _has("text"),
        "context": _has("elements"),
        "header": _has("text"),
        "image": _has("image_url", "slack_file"),
        "markdown": _has("text"),
        "mrkdwn": _has("text"),
        "plain_text": _has("text"),
        "section": _has("text", "fields"),
        "text": _has("text"),
    }
)
#: What an element of a list without a type cannot do without, by the key of the list.
_NEEDS_IN: Final[Mapping[str, Callable[[_Object], bool]]] = MappingProxyType(
    {
        "attachments": _has(
            *("text", "pretext", "title", "fallback", "fields", "blocks", "actions"),
            *("image_url", "thumb_url", "author_name", "footer"),
        ),
        "fields": _has("title", "value", "text"),
    }
)
#: Texts and lists that Slack refuses if they are empty, and does not need.
_OPTIONAL: Final = frozenset({"attachments", "blocks", "elements", "fields", "footer", "pretext", "text", "title"})
#: Under which everything is the author's own, and may be empty.
_DATA: Final = frozenset({"metadata"})


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
            kind = found.get("type")
            needs = _NEEDS.get(kind) if isinstance(kind, str) else _NEEDS_IN.get(key)
            return found if needs is None or needs(found) else _GONE
        case list():
            return [each for each in (_kept(each, key) for each in value) if each is not _GONE]
    return value


def _is_gone(key: str, value: object, *, is_run: bool) -> bool:
    if value is _GONE:
        return True
    return key in _OPTIONAL and (value == [] or (isinstance(value, str) and not (value if is_run else value.strip())))
