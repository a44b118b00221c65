"""Patterns of event types: what is refused, what matches no known type, and what to write instead."""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

from gateway import presets
from gateway.config import globs
from gateway.config.globs import Meant
from gateway.config.schema.reading import Reading, Words
from gateway.config.text.compared import all_but
from gateway.event.likeness import misspelt_type
from gateway.event.patterns import SEPARATORS, fits, segments

#: What is wrong, and what to write.
Problem = tuple[str, str]

#: How a condition on the type is added, by whether the entry has conditions; None: there are none where the pattern is.
_WHERE: Final = {True: "add {} to the existing where", False: "write where: {{{}}}"}


def check(
    reading: Reading,
    written: Sequence[Words],
    known: frozenset[str],
    named: Collection[str],
    *,
    has_where: bool | None = None,
) -> None:
    """Check patterns against the known types of their sources; ``named``: the presets of these.

    ``has_where``: whether there are conditions beside the patterns; None: there cannot be any.
    """
    # What was a type of an older release need not be a pattern of this one: /weather.
    current = [pattern for pattern in written if not _is_renamed(reading, pattern, named, is_alone=len(written) == 1)]
    # A value from outside is never repeated.
    meant = [globs.read(each.text, known) if each.text == each.shown else Meant() for each in current]
    excluded = [name for each in meant for name in each.excluded]
    selected = [name for one, each in zip(current, meant, strict=True) for name in _selected(one.shown, each)]
    remedy = _remedy(selected, excluded, has_where) if excluded else ""
    for pattern, each in zip(current, meant, strict=True):
        if problem := _refused(pattern, each):
            reading.error(pattern.node, problem[0], remedy or problem[1])
        elif each.excluded:
            # The remedy is about all of them.
            if each is next(one for one in meant if one.excluded):
                reading.warning(pattern.node, f'"{pattern.shown}" excludes a type, which a pattern cannot do', remedy)
        elif each.what:
            reading.warning(pattern.node, *_foreign(pattern, each))
        elif hint := near(pattern.text, known):
            reading.warning(pattern.node, f'"{pattern.shown}" matches no known event type', hint)


def _is_renamed(reading: Reading, pattern: Words, named: Collection[str], *, is_alone: bool) -> bool:
    """Warn about a type that only an older release gave to the events of these presets; whether it is one.

    ``is_alone``: whether it is the only pattern, which may be written without a list.
    """
    is_renamed = False
    for name in sorted(named):
        for old, new in presets.load(name).renamed.items():
            if pattern.text == old or (old.endswith("*") and pattern.text.startswith(old[:-1])):
                rest = pattern.shown.removeprefix(old[:-1]) if old.endswith("*") else ""
                now = ", ".join(each.replace("*", rest or "*") for each in new)
                message = f'"{pattern.shown}" matches no event: newer releases give these events of {name} other types'
                reading.warning(pattern.node, message, f"write {now if len(new) == 1 or not is_alone else f'[{now}]'}")
                is_renamed = True
    return is_renamed


# --- what is not one pattern ---


def _selected(shown: str, meant: Meant) -> Iterable[str]:
    return meant.patterns or (() if meant.excluded else (shown,))


def _remedy(selected: Sequence[str], excluded: Sequence[str], has_where: bool | None) -> str:
    """What to write for patterns of which some exclude types."""
    if has_where is None:
        return "list the types that are meant"
    condition = _WHERE[has_where].format(all_but(excluded))
    return f"write match: {_listed(selected)}, and {condition}" if selected else f"remove match, and {condition}"


def _listed(patterns: Sequence[str]) -> str:
    """One pattern or a list, as YAML."""
    quoted = [f'"{each}"' if each.startswith("*") else each for each in patterns]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _foreign(pattern: Words, meant: Meant) -> Problem:
    return f'"{pattern.shown}" is read as one pattern, not as {meant.what}', _instead(meant) or _STARS


def _instead(meant: Meant) -> str:
    """The same as patterns; empty if it cannot be said."""
    if not meant.patterns:
        return ""
    return f"write {'a list: ' if len(meant.patterns) > 1 else ''}{_listed(meant.patterns)}"


_STARS: Final = "** matches any number of whole segments, * matches one or the rest of one: contact.**, issue_*"
_MARKS: Final = "separate segments by single marks: contact.created, orders/create, pullrequest:created"


def _refused(pattern: Words, meant: Meant) -> Problem | None:
    """What is wrong with a text that no type can match."""
    shown = pattern.shown
    if "{{" in pattern.text:
        return (
            f'"{shown}" is a template, but a pattern must be literal',
            "write the type; put conditions on fields under where",
        )
    if meant.what == globs.REGEX and not globs.is_pattern(pattern.text):
        return _foreign(pattern, meant)
    if found := re.search(r"[,\s]", pattern.text):
        kind = "comma" if found[0] == "," else "space"
        return f'"{shown}" contains a {kind}, which no event type does', _instead(meant) or "write a list: [one, two]"
    if globs.is_pattern(pattern.text):
        return None
    if any(not segment for segment, _ in segments(pattern.text)):
        return f'"{shown}" has an empty segment', _instead(meant) or _MARKS
    return f'"{shown}" has ** inside a segment', _STARS


# --- what is like a known type ---


@lru_cache(maxsize=1024)
def near(pattern: str, known: frozenset[str]) -> str:
    """The hint about one pattern, which thousands of routes may share; empty if it matches a known type, or is like none."""
    if any(fits(pattern, event_type) for event_type in known):
        return ""
    if "%" in pattern and any(fits(pattern.replace("%", "*"), event_type) for event_type in known):
        return f'write "{pattern.replace("%", "*")}"'
    shapes = sorted({_shaped(event_type, pattern) for event_type in known})
    same = [shape for shape in shapes if _undotted(shape) == _undotted(pattern)]
    if same:
        return f'separators are literal: write "{same[0]}"'
    if below := min((f"{pattern}{each}*" for each in SEPARATORS if _is_begun(pattern + each, known)), default=""):
        return f'write "{below}" for every type that begins with it'
    meant = misspelt_type(pattern, shapes)
    return f'did you mean "{meant}"?' if meant else ""


def _is_begun(beginning: str, known: Collection[str]) -> bool:
    return any(event_type.startswith(beginning) for event_type in known)


def _undotted(text: str) -> str:
    """A type or a pattern with all its separators alike."""
    return ".".join(segment for segment, _ in segments(text))


def _shaped(event_type: str, pattern: str) -> str:
    """A type with the stars of a pattern in place."""
    stars, parts = [star for star, _ in segments(pattern)], segments(event_type)
    return "".join(
        (star if "*" in star and fits(star, segment) else segment) + separator
        for (segment, separator), star in zip(parts, stars + [""] * len(parts), strict=False)
    )
