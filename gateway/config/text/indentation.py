"""Lines of YAML that do not fit the lines around them: indentation, dashes and colons."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from gateway.config.text.spots import Mistake, Spot, text_of
from gateway.wording import count

#: What a parser says where a line is indented in a way that fits nothing above it.
_MISFITS: Final = (
    "mapping values",
    "did not find expected '-'",
    "did not find expected key",
    "did not find expected <doc",
    "could not find expected ':'",
    "block sequence",
)
_KEY: Final = re.compile(r"""(?P<before> *(?P<dash>- +)?)(?P<key>[\w.\[\]*-]+|"[^"]*"|'[^']*'):(?P<value>\s.*)?$""")
_BLOCK: Final = re.compile(r".*:\s+[|>][-+0-9]*\s*(?:#.*)?$")


#: The keys of the file, which nothing inside of it has.
OF_THE_FILE: Final = frozenset(
    {
        "always",
        "conditions",
        "console_url",
        "defaults",
        "destinations",
        "failed",
        "include",
        "invalid",
        "limits",
        "retention",
        "routes",
        "sources",
        "tests",
        "trusted_proxies",
        "unmatched",
        "vars",
        "version",
    }
)


class _Column(Struct, frozen=True):
    """Where keys or dashes of a map or list begin, in spaces, and the line and key that show it."""

    spaces: int
    line: int
    key: str


def misindented(spot: Spot, lines: Sequence[str]) -> Mistake | None:
    """A line with too many or too few spaces, with the number that fits the lines above it."""
    if not spot.problem.startswith(_MISFITS):
        return None
    line = spot.began_line if spot.problem.startswith("could not") else spot.line
    text = text_of(lines, line)
    if "\t" in text[: _spaces(text) + 1] or not text.strip():
        return None
    if (outdented := _text_outdented(line, text, lines) or _key_outdented(line, text, lines)) is not None:
        return outdented
    found = _KEY.match(text)
    if found is None:
        return None
    if _spaces(text) and found["key"] in OF_THE_FILE and not found["dash"] and not (found["value"] or "").strip():
        why = f'and "{found["key"]}" belongs to the top level of the file'
        return _indent(line, text, 0, "like " + _at_the_top(lines, line), why)
    fitting = [*_columns(lines, line, is_dash=found["dash"] is not None)]
    spaces = _spaces(text)
    if (
        not spaces
        or not fitting
        or any(each.spaces == spaces for each in (*fitting, *_columns(lines, line, is_dash=True)))
    ):
        return None
    nearest = min(fitting, key=lambda each: abs(each.spaces - spaces))
    return _indent(
        line, text, nearest.spaces, f'like "{nearest.key}" in line {nearest.line}', "which fits nothing above it"
    )


def _at_the_top(lines: Sequence[str], line: int) -> str:
    """The key at the top level that is the nearest above a line."""
    above = ((number, _KEY.match(text_of(lines, number))) for number in range(line - 1, 0, -1))
    found = next(((number, key["key"]) for number, key in above if key and not key["before"]), None)
    return f'"{found[1]}" in line {found[0]}' if found else "the first line"


def _indent(line: int, text: str, spaces: int, like: str, why: str) -> Mistake:
    written = _spaces(text)
    message = f"this line is indented by {count(written, 'space')}, {why}"
    return Mistake(line, written + 1, message, f"indent it by {count(spaces, 'space')}, {like}")


def _spaces(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _columns(lines: Sequence[str], line: int, *, is_dash: bool) -> Iterator[_Column]:
    """Where a key, or a dash, on a line may begin: those of the maps and lists that are open there, the nearest first."""
    inside = 1 + max(map(len, lines[: line - 1]), default=0)
    for number in range(line - 1, 0, -1):
        found = _KEY.match(text_of(lines, number))
        if found is None:
            continue
        if len(found["before"]) < inside and not is_dash:
            yield _Column(len(found["before"]), number, found["key"])
        start = _spaces(found["before"])
        if found["dash"] and start < inside and is_dash:
            yield _Column(start, number, f"- {found['key']}")
        inside = min(inside, start if found["dash"] else len(found["before"]))
        if inside == 0:
            return


def _text_outdented(line: int, text: str, lines: Sequence[str]) -> Mistake | None:
    """A line that was meant as part of the text block above it."""
    if _KEY.match(text) or text.lstrip().startswith("- "):
        return None
    first = 0
    for number in range(line - 1, 0, -1):
        above = text_of(lines, number)
        if _BLOCK.match(above) and first:
            return _indent(
                line, text, _spaces(text_of(lines, first)), f"like line {first}", "less than the text above it"
            )
        if above.strip() and _spaces(above) <= _spaces(text):
            return None
        first = number if above.strip() else first
    return None


def unindented_text(line: int, lines: Sequence[str], *, is_key: bool = False) -> Mistake | None:
    """The first line of a text after ``text: |``, if it begins where the key does; on this line or a few above it.

    ``is_key``: whether it may be read as a key: ``Note: hello``.
    """
    for number in range(line, max(line - _NEAR, 1), -1):
        above = next(
            (each for each in range(number - 1, max(number - _NEAR, 0), -1) if text_of(lines, each).strip()), 0
        )
        parent, text = _KEY.match(text_of(lines, above)), text_of(lines, number)
        if not text.strip() or parent is None or not _BLOCK.match(text_of(lines, above)):
            continue
        if _spaces(text) > len(parent["before"]) or (_KEY.match(text) and not is_key):
            return None
        is_next = text.lstrip().startswith("- ") and _spaces(text) < len(parent["before"])
        if is_next or text.lstrip().startswith("#"):
            return None
        deeper = " deeper than its key" if _spaces(text) else ""
        message = f'this line is not indented{deeper}, so it is not part of "{parent["key"]}"'
        hint = f"indent the lines of the text by {count(len(parent['before']) + 2, 'space')}, below line {above}"
        return Mistake(number, _spaces(text) + 1, message, hint)
    return None


#: Lines from the one where the parser gave up back to the first of a text.
_NEAR: Final = 10


def _key_outdented(line: int, text: str, lines: Sequence[str]) -> Mistake | None:
    """The line above it, if that should be below a key without a value: ``crm:``, ``url: ...`` in one column."""
    above = text_of(lines, line - 1)
    found, parent = _KEY.match(above), _KEY.match(text_of(lines, line - 2))
    if not _KEY.match(text) or found is None or parent is None or (parent["value"] or "").strip():
        return None
    if not len(found["before"]) == len(parent["before"]) < _spaces(text):
        return None
    return _indent(line - 1, above, _spaces(text), f"like line {line}", f'so it is not part of "{parent["key"]}"')


def too_deep(spot: Spot) -> Mistake | None:
    if not spot.problem.startswith("mapping values"):
        return None
    message = "this line is indented as part of the value above it"
    return Mistake(spot.line, spot.column, message, "align it with the lines around it")


def dash_without_space(spot: Spot, lines: Sequence[str]) -> Mistake | None:
    """``-name: push``, on the line where the parser gave up or the one before."""
    for line in (spot.line, spot.line - 1):
        found = re.match(r"(\s*)-([A-Za-z_][\w.]*:(?:\s.*)?)$", text_of(lines, line))
        if found is not None:
            message = "an entry of a list begins with - and a space"
            return Mistake(line, len(found[1]) + 1, message, f"write - {found[2].strip()[:80]}")
    return None


def no_colon(spot: Spot) -> Mistake | None:
    if "could not find expected ':'" not in spot.problem:
        return None
    return Mistake(
        spot.began_line, spot.began_column, "this line has no value", "write key: value, with a space after the colon"
    )


def unaligned(spot: Spot) -> Mistake | None:
    beginnings = (
        "did not find expected key",
        "did not find expected '-'",
        "did not find expected <doc",
        "block sequence",
    )
    if not spot.problem.startswith(beginnings):
        return None
    if spot.problem.startswith("did not find expected '-'") and re.match(r"\s*[\w.\-]+:", spot.text):
        hint = f"write - {spot.text.strip()[:80]}"
        if not spot.text.lstrip().startswith("name:"):
            hint += "; or indent it to the keys of the entry above"
        return Mistake(spot.line, spot.column, "an entry of the list above begins with -", hint)
    message = "this line does not belong to the lines above it"
    return Mistake(spot.line, spot.column, message, "align the keys of a map, and the - of a list, in the same column")
