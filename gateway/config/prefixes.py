"""Patterns with the source before the type: ``xobito.contact.created``. No type has it; ``source`` selects the source."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.config.schema.reading import Reading, Words
from gateway.event.patterns import SEPARATORS, fits

#: A pattern of every type.
_EVERY: Final = frozenset({"", "*", "**"})


class _Split(Struct, frozen=True):
    pattern: Words
    source: str
    #: The pattern without it; empty for every type.
    rest: str


def without_sources(
    reading: Reading,
    written: Sequence[Words],
    called: Mapping[str, str],
    types: Callable[[Sequence[str]], Collection[str]],
    *,
    is_chosen: bool,
) -> Sequence[Words]:
    """The patterns that have no source before the type; warns of the others.

    ``called``: the sources that the entry can match, by each name that one goes by; ``types``: those that sources are
    known to send; ``is_chosen``: whether the entry names its sources.
    """
    found = [split for pattern in written if (split := _split(pattern, called, types)) is not None]
    is_whole = len(found) == len(written) and len({each.source for each in found}) == 1
    # One remedy for the whole of match, or one for each pattern of a list that has others, too.
    for each in found[:1] if is_whole else found:
        what = "has the source before the type" if each.rest else "is a source, and not a type"
        hint = _hint(found, is_chosen=is_chosen) if is_whole else _in_a_list(each)
        reading.warning(each.pattern.node, f'"{each.pattern.shown}" {what}', hint)
    told = [id(each.pattern) for each in found]
    return [pattern for pattern in written if id(pattern) not in told]


def _split(
    pattern: Words, called: Mapping[str, str], types: Callable[[Sequence[str]], Collection[str]]
) -> _Split | None:
    text = pattern.text
    ends = [at for at, sign in enumerate(text) if sign in SEPARATORS]
    end = next((end for end in (*ends, len(text)) if text[:end] in called), None)
    if end is None or pattern.is_stand_in or any(fits(text, each) for each in types(tuple(called.values()))):
        return None
    source, rest = called[text[:end]], text[end + 1 :]
    known = types([source])
    if rest in _EVERY:
        return _Split(pattern, source, "") if known else None
    return _Split(pattern, source, rest) if any(fits(rest, each) for each in known) else None


def _hint(found: Sequence[_Split], *, is_chosen: bool) -> str:
    source = f"source: {found[0].source}"
    if not all(each.rest for each in found):
        return "remove match" if is_chosen else f"write {source} instead of match"
    rests = list(map(_written, found))
    match = f"match: {rests[0] if len(rests) == 1 else '[' + ', '.join(rests) + ']'}"
    return f"write {match}" if is_chosen else f"write {source}, and {match}"


def _in_a_list(split: _Split) -> str:
    own = f"a route of its own with source: {split.source}"
    return f"write {_written(split)}, in {own}" if split.rest else f"write {own}"


def _written(split: _Split) -> str:
    return f'"{split.rest}"' if split.rest.startswith("*") else split.rest
