"""The filter of regular expressions: RE2's, which no text can make slow."""

import re
from typing import Final

from gateway.event.operators import OperandRefused, compiled_regex
from gateway.render.filters.arguments import short
from gateway.render.sandbox import MAX_OUTPUT
from gateway.render.values import Spend, Trouble, encodable, readable

#: Of one match, in characters; RE2 itself looks at each character of the text about as long as an escaper.
MATCH: Final = 400
_GROUP: Final = re.compile(r"\\([0-9])|\\(.)", re.DOTALL)
#: Groups that a replacement may name: each adds what it matched, at most the text.
MOST_GROUPS: Final = 9


def regex_replace(value: object, pattern: object, replacement: object = "", *, spend: Spend = lambda _: None) -> str:
    r"""Every match of a regular expression (RE2) replaced; ``\1`` is what its first group matched.

    >>> regex_replace("+1 (415) 555", "[^0-9+]", ""), regex_replace("Doe, Ann", r"(\w+), (\w+)", r"\2 \1")
    ('+1415555', 'Ann Doe')
    """
    text, new = encodable(readable(value)), short(replacement, "the replacement of regex_replace")
    groups = [(found.start(), found.end(), found[1], found[2]) for found in _GROUP.finditer(new)]
    if len(groups) > MOST_GROUPS:
        raise Trouble(f"the replacement of regex_replace names more than {MOST_GROUPS} groups")
    made: list[str] = []
    done = length = 0
    for match in checked(short(pattern, "the pattern of regex_replace")).finditer(text):
        spend(MATCH)
        made += (text[done : match.start()], _expanded(new, groups, match))
        done = match.end()
        length += len(made[-1])
        if length > MAX_OUTPUT:
            raise Trouble(f"regex_replace would add more than {MAX_OUTPUT:,} characters")
    return "".join(made) + text[done:]


def checked(pattern: str) -> "re.Pattern[str]":
    """A compiled pattern. Raises Trouble with what is wrong with it."""
    try:
        return compiled_regex(pattern)  # type: ignore[no-any-return]
    except OperandRefused as refused:
        hint = f": {refused.hint}" if refused.hint else ""
        raise Trouble(f"the pattern of regex_replace {refused}{hint}") from None


def _expanded(new: str, groups: list[tuple[int, int, str | None, str | None]], match: "re.Match[str]") -> str:
    made, done = "", 0
    for start, end, number, other in groups:
        made += new[done:start]
        if number is None:
            made += other or ""
        else:
            try:
                made += match[int(number)] or ""
            except IndexError:
                raise Trouble(f"the pattern of regex_replace has no group {number}") from None
        done = end
    return made + new[done:]
