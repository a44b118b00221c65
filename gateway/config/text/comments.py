"""Texts that begin with # or have it after a space: YAML reads the rest of the line as a comment."""

import re
from collections.abc import Sequence
from typing import Final

from gateway.config.text.quotes import quoted
from gateway.config.text.spots import Mistake, Spot, text_of

#: What a parser says where the end of a map or list on one line is lost in a comment.
_UNENDED: Final = ("did not find expected ',' or", "did not find expected node content")
#: How far above the line where the parser gave up the comment may be.
_NEAR: Final = 30
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'')
#: A value inside { } or [ ], with its key; nobody who writes "#sales" there means a comment.
_VALUE: Final = re.compile(
    r"(?:(?P<key>[\w.\-]+):\s+|\[\s*|,\s*)(?P<value>(?:[^\s,:{}\[\]#][^,:{}\[\]#]*\s)?#\w[^,{}\[\]]*)"
)
#: A comment where a value is expected.
_INSTEAD: Final = re.compile(r"[\"']?\s*:\s+(?P<value>#\w.*)")


def instead_of_value(line: str, at: int) -> str:
    """What follows a key that ends at an index of its line, if it begins with # and reads like a value: ``#leads``; else empty."""
    found = _INSTEAD.match(line, at)
    return found["value"].strip() if found else ""


def in_flow(spot: Spot, lines: Sequence[str]) -> Mistake | None:
    """``{channel: #leads}``, on the line where the parser gave up or above it."""
    if not spot.problem.startswith(_UNENDED):
        return None
    for line in range(spot.line, max(spot.line - _NEAR, 0), -1):
        text = text_of(lines, line)
        # Quotes hide neither brackets nor marks, and keep their length.
        found = _VALUE.search(bare := _QUOTED.sub(lambda each: "q" * len(each[0]), text))
        if found is None or not _is_value(found["key"], bare[: found.start("value")], bare[found.start("value") :]):
            continue
        key = f"{found['key']}: " if found["key"] else ""
        value = text[found.start("value") : found.end("value")].strip()
        at = found.start("value") + found["value"].index("#") + 1
        return Mistake(line, at, "# starts a comment, so what follows it is lost", f"write {key}{quoted(value)}")
    return None


def _is_value(key: str | None, before: str, after: str) -> bool:
    """Whether a map is open between two parts of a line, if there is a key, or else a list."""
    if key is None:
        return before.count("[") > before.count("]") and before.rindex("[") > before.rfind("{")
    opened, closed = (sum(map(before.count, signs)) for signs in ("{[", "}]"))
    return opened > closed or sum(map(after.count, "}]")) > sum(map(after.count, "{["))
