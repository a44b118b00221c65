"""A block of a refused template as a whole, with each of its tags as it is to be written. Pure."""

import re
from collections.abc import Sequence
from typing import Final

#: Characters of the longest block that a remedy quotes.
_LONGEST: Final = 200
_OPENING: Final = re.compile(r"\{%-?\s*(?:(?:if|for|macro|with)\b|set\s+\w+\s*-?%\})")
_ENDING: Final = re.compile(r"\{%-?\s*end(\w*)")

_STATEMENT: Final = re.compile(
    r"(?:if|elif|for|set|macro|with)\s+.+|else|end(?:if|for|set|macro|with)|(?:include|import|from)\s+[\"'].+",
    re.DOTALL,
)


def opens(tag: str) -> bool:
    """Whether a tag begins a block."""
    return _OPENING.match(tag) is not None


def statements(contents: Sequence[str]) -> Sequence[str]:
    """Tags of statements that are written in the braces of values, in the right ones; empty for others."""
    return [f"{{% {content} %}}" if _STATEMENT.fullmatch(content) else "" for content in contents]


def whole(tags: Sequence[tuple[str, str]], texts: Sequence[str]) -> str:
    """The block that the first of these tags opens; empty if it is long, on several lines or not all known.

    ``tags``: each as it is written, and as it is to be written; ``texts``: what follows each of them.
    """
    written, depth = "", 0
    for (tag, right), text in zip(tags, texts, strict=True):
        if not right:
            return ""
        written += _dashed(tag, right)
        depth += opens(right) - (_ENDING.match(right) is not None)
        if depth == 0 or len(written) > _LONGEST:
            break
        written += text
    return written if depth == 0 and len(written) <= _LONGEST and "\n" not in written else ""


def _dashed(tag: str, right: str) -> str:
    """With the dashes that remove the white space around the tag."""
    if right == tag:
        return tag
    before, after = "-" * (tag[2:3] == "-"), "-" * (tag[-3:-2] == "-")
    return f"{right[:2]}{before}{right[2:-2]}{after}{right[-2:]}"


def in_short(tag: str, following: str) -> str:
    """A block on several lines: with the first value that a loop prints."""
    name = re.split(r"\W+", tag, maxsplit=2)[1]
    inside = following if name == "for" and following.startswith("{{") else "..."
    return f"{tag}{inside}{{% end{name} %}}"
