"""What a text or a field of a condition probably means that is read as it stands."""

import json
import re
from collections.abc import Mapping
from typing import Final

from gateway.event import regexes

_GLOB: Final = re.compile(r"\*[^*\s]+|[^*\s]+\*")
_EITHER: Final = re.compile(r"[\w-]+(?:\|[\w-]+)+")
_NOT: Final = re.compile(r"!\s*([A-Za-z][\w-]*)")
_REGEX: Final = re.compile(r"/(?P<signs>\^?.*[\^$\\+?(|\[].*)/(?P<flags>[a-z]*)|/(?P<words>[^/]+)/(?P<marks>i|gi|ig|g)")
#: What some products write before a regular expression. ``~/inbox`` is a path in a home folder, and ``~5`` means about 5.
_TILDE: Final = re.compile(r"~(?:=|\*)?\s*(?P<regex>[A-Za-z^(\[.][^~/]*)")
#: Any text in LIKE of SQL, at one end or both. ``100%``, ``%20`` and the variable ``%NAME%`` are none.
_LIKE: Final = re.compile(
    r"(?!%[A-Z0-9_]+%\Z)(?P<before>%(?!\d[0-9A-Fa-f]|[0-9A-F]\d|[0-9A-F]{2}))?(?P<text>[^%\s]*[^%\s\d]|[^%\s]{2,})(?P<after>(?<!\d)%)?"
)
#: By whether there is one before and one after: the operator, and what it compares.
_LIKE_OPERATORS: Final[Mapping[tuple[bool, bool], tuple[str, str]]] = {
    (True, False): ("suffix", "the end of a text"),
    (False, True): ("prefix", "the beginning of a text"),
    (True, True): ("contains", "a part of a text"),
}
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
        flags = "(?i)" if "i" in (found["flags"] or found["marks"] or "") else ""
        return f"{{regex: {regexes.in_order(flags + (found['signs'] or found['words']))}}}", "a pattern"
    if found := _TILDE.fullmatch(text):
        return f"{{regex: {regexes.in_order(found['regex'])}}}", "a pattern"
    if (found := _LIKE.fullmatch(text)) and (found["before"] or found["after"]) and len(found["text"]) > 1:
        operator, what = _LIKE_OPERATORS[bool(found["before"]), bool(found["after"])]
        return f"{{{operator}: {json.dumps(found['text'], ensure_ascii=False)}}}", what
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
