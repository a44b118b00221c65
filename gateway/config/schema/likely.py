"""What a text or a field of a condition probably means that is read as it stands."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.event import regexes

_GLOB: Final = re.compile(r"\*[^*\s]+|[^*\s]+\*")
_EITHER: Final = re.compile(r"[\w-]+(?:\|[\w-]+)+")
_NOT: Final = re.compile(r"!\s*([A-Za-z][\w-]*)")
_REGEX: Final = re.compile(r"/(\^?.*[\^$\\+?(|\[].*)/[a-z]*")
#: The start of a text, or a class of characters, as regular expressions have them.
_ANCHORED: Final = re.compile(r"\^\S.*|.*(?:\\[dwsDWS][+*{]|\\[+.]).*")
#: Whether a field is there, null or empty, in words.
_STATES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("not null", "is not null", "!null", "!= null"), "{not: null}"),
    "is null": "null",
    **dict.fromkeys(("not empty", "is not empty"), "{empty: false}"),
    "is empty": "{empty: true}",
    **dict.fromkeys(("not exists", "does not exist", "not set", "is not set"), "{exists: false}"),
    "is set": "{exists: true}",
}
#: A field of the message of Node-RED.
_MESSAGE: Final = re.compile(r"msg\.(?P<payload>payload\.)?(?P<field>\w[\w.\[\]-]*)")


def meant_by(text: str) -> tuple[str, str] | None:
    """What a text is written as that is meant as a pattern, a list or an exclusion, and what it is then."""
    if state := _STATES.get(text.lower()):
        return state, "that state"
    if found := _REGEX.fullmatch(text):
        return f"{{regex: {regexes.in_order(found[1])}}}", "a pattern"
    if _ANCHORED.fullmatch(text):
        return f"{{regex: {regexes.in_order(text)}}}", "a pattern"
    if _GLOB.fullmatch(text):
        return f"{{glob: '{text}'}}", "a pattern"
    if _EITHER.fullmatch(text):
        return f"[{', '.join(text.split('|'))}]", "a list"
    found = _NOT.fullmatch(text)
    return (f"{{not: {found[1]}}}", "an exclusion") if found else None


def of_message(field: str) -> str:
    """``msg.payload.id`` as ``payload.id``; empty for any other field."""
    found = _MESSAGE.fullmatch(field)
    return f"payload.{found['field']}" if found else ""
