"""Lines of YAML that do not fit the lines around them: indentation, dashes and colons."""

import re
from collections.abc import Sequence

from gateway.config.text.spots import Mistake, Spot, text_of


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
        hint = f"write - {spot.text.strip()[:80]}; or indent it to the keys of the entry above"
        return Mistake(spot.line, spot.column, "an entry of the list above begins with -", hint)
    message = "this line does not belong to the lines above it"
    return Mistake(spot.line, spot.column, message, "align the keys of a map, and the - of a list, in the same column")
