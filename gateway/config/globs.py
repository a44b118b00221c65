"""Event types as other products select them: lists in one text, exclusions and regular expressions, as patterns."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from gateway.event.operators import OperandRefused, compiled_regex
from gateway.event.patterns import SEPARATORS, fits, segments


class Meant(Struct, frozen=True):
    """What a text selects that is not one pattern."""

    #: What it is, in words; empty: one pattern, as far as anyone can tell.
    what: str = ""
    #: The patterns that select the same; empty if none do.
    patterns: tuple[str, ...] = ()
    #: The patterns of what it leaves out.
    excluded: tuple[str, ...] = ()


SEVERAL: Final = "several"
COMPARISON: Final = "a comparison"
REGEX: Final = "a regular expression"

#: Alternatives in one text at most; more are no list that anyone would write.
_MOST: Final = 20
#: Characters that are looked at.
_LONGEST: Final = 300

#: A regular expression between slashes, or one that is called so.
_DRESSED: Final = re.compile(r"/(?P<slashes>.+)/[a-z]*|(?:regexp?|re)[:=]\s*(?P<named>.+)|~\s*(?P<tilde>.+)", re.DOTALL)
#: What a regular expression has, and hardly any type.
_REGEX_SIGN: Final = re.compile(r"^\^|\$$|\\|\[|^\.[*+]|\.\.[*+]|\.\*[)$]|[.\])]\+|\(\?")
#: An expression that compares the type.
_COMPARED: Final = re.compile(r"""(?:event\.)?type\s*(?P<sign>={1,3}|!={1,2}|<>)\s*(["']?)(?P<type>[^\s"']+)\2""")
#: The segments of a type with spaces between them: ``contact created``.
_SPACED: Final = re.compile(r"\w+(?: \w+)+")
_GROUP: Final = re.compile(r"\((?:\?:)?([^(){}]*)\)|\{([^(){}]*)\}")
_ITEM: Final = re.compile(r"[^\s,;|&]+")
_JOINING: Final = frozenset({"or", "and"})
_EXCLUDING: Final = frozenset({"not", "except", "but", "without"})
_EXCLUDED: Final = re.compile(r"(?:!|-|not:)(?P<pattern>[\w*].*)")


@lru_cache(maxsize=1024)
def read(text: str, known: frozenset[str]) -> Meant:
    """What a text selects among the known types, which decide where two readings differ."""
    if len(text) > _LONGEST or "{{" in text or any(fits(text, each) for each in known):
        return Meant()
    if compared := _COMPARED.fullmatch(text):
        is_equal = compared["sign"].startswith("=")
        return Meant(COMPARISON, *(((compared["type"],), ()) if is_equal else ((), (compared["type"],))))
    if _SPACED.fullmatch(text) and (spaced := text.replace(" ", ".")) in known:
        return Meant(SEVERAL, (spaced,))
    dressed = _DRESSED.fullmatch(text)
    bare = text if dressed is None else str(dressed[dressed.lastgroup or 0])
    if dressed is not None or _REGEX_SIGN.search(bare) or _is_repeating(bare, known):
        return Meant(REGEX, tuple(_patterns_of(bare, known)))
    selected, excluded = _items(_expanded(bare))
    if not excluded and selected in ([text], []):
        return Meant()
    return Meant(SEVERAL, tuple(selected), tuple(excluded))


def _is_repeating(text: str, known: frozenset[str]) -> bool:
    """Whether ``a{2}`` or ``a{2,3}`` is a number of times, and not a list of known types."""
    if not _AFTER_ONE.search(text):
        return False
    selected, _ = _items(_expanded(text))
    return not ("," in text and any(fits(one, each) for one in selected for each in known))


def _expanded(text: str) -> str:
    """Without groups: ``contact.(created|updated)`` is ``contact.created|contact.updated``."""
    while (group := _GROUP.search(text)) is not None:
        inner = re.split(r"\s*[|,]\s*", (group[1] or group[2] or "").strip())
        # The group belongs to the item around it, and to no other.
        start = max((found.end() for found in re.finditer(r"[\s,;|&({]", text[: group.start()])), default=0)
        end = _item_end(text, group.end())
        before, after = text[start : group.start()], text[group.end() : end]
        text = text[:start] + "|".join(f"{before}{each}{after}" for each in inner) + text[end:]
        if text.count("|") > _MOST:
            return ""
    return text


def _item_end(text: str, at: int) -> int:
    """Where the item ends that a character is in: before a separator or the end of a group, but not inside another group."""
    depth = 0
    for found in re.finditer(r"[\s,;|&(){}]", text[at:]):
        depth += (found[0] in "({") - (found[0] in ")}")
        if depth < 0 or (not depth and found[0] not in ")}"):
            return at + found.start()
    return len(text)


def _items(text: str) -> tuple[list[str], list[str]]:
    """The patterns of a list, and those that it excludes."""
    selected, excluded = dict[str, None](), dict[str, None]()
    rest_is_excluded = is_excluded = False
    for word in _ITEM.findall(text):
        if word.lower() in _JOINING:
            continue
        if word.lower() in _EXCLUDING:
            is_excluded, rest_is_excluded = True, rest_is_excluded or word.lower() != "not"
            continue
        marked = _EXCLUDED.fullmatch(word)
        if marked or is_excluded or rest_is_excluded:
            excluded[marked["pattern"] if marked else word] = None
        else:
            selected[word] = None
        is_excluded = False
    return list(selected), list(excluded)


# --- regular expressions ---

#: Any characters, those of one segment, and a separator or a character that is escaped.
_PIECE: Final = re.compile(
    r"(?P<any>\.[*+]\??)|(?P<segment>(?:\\[wSd]|\[[^\]]+\])(?:[*+]\??)?)|\\(?P<escaped>[^\w\s])|(?P<plain>[\w./:-])"
)
_REPEATED: Final = re.compile(r"\{\d+(?:,\d*)?\}")
_AFTER_ONE: Final = re.compile(rf"(?<=[^\W_]|[)\]]){_REPEATED.pattern}")
#: A character that is repeated so many times.
_TIMES: Final = re.compile(r"([\w-])\{(\d{1,2})\}")


def _patterns_of(regex: str, known: frozenset[str]) -> Iterable[str]:
    """The patterns that match what a regular expression matches; none if that cannot be said."""
    try:
        matching = _matching(regex, known)
    except OperandRefused:
        return ()
    start, end = ("^" if regex.startswith("^") else ""), ("$" if regex.endswith("$") else "")
    bare = _TIMES.sub(lambda found: found[1] * int(found[2]), regex.removeprefix("^").removesuffix("$"))
    pieces = [] if _REPEATED.search(bare) else _expanded(bare).split("|")
    found = [_pattern_of(each, start, end, known) for each in pieces]
    if found and all(found) and {each for each in known if any(fits(one, each) for one in found)} == matching:
        return dict.fromkeys(found)
    return sorted(matching) if len(matching) <= _MOST else ()


def _matching(regex: str, known: frozenset[str]) -> set[str]:
    search = compiled_regex(regex).search
    return {each for each in known if search(each)}


def _pattern_of(bare: str, start: str, end: str, known: frozenset[str]) -> str:
    """The pattern that matches what a regular expression without alternatives matches; empty if there is none."""
    pieces = list(_PIECE.finditer(bare))
    if not pieces or "".join(each[0] for each in pieces) != bare:
        return ""
    matching = _matching(f"{start}{bare}{end}", known)
    if pieces[-1]["any"]:
        pieces, end = pieces[:-1], ""
    candidates = list(_candidates(pieces, is_whole=bool(end)))
    if matching:
        return next((each for each in candidates if {one for one in known if fits(each, one)} == matching), "")
    # Nothing is known: what only has a beginning is meant with any end.
    return next(iter(candidates[::-1] if start and not end else candidates), "")


def _candidates(pieces: Sequence[re.Match[str]], *, is_whole: bool) -> Iterator[str]:
    """Patterns for a regular expression, the narrowest first."""
    for star in ("*", "**"):
        text = "".join(
            star if each["any"] else "*" if each["segment"] else each["escaped"] or each[0] for each in pieces
        )
        is_open = text[-1:] in SEPARATORS
        tails = ("*", "**") if is_open else ("",) if is_whole else ("", ".*", "*", ".**")
        yield from filter(is_pattern, (text + tail for tail in tails))


def is_pattern(text: str) -> bool:
    """Whether a text can be a pattern."""
    parts = [segment for segment, _ in segments(text)]
    return "" not in parts and not any("**" in each and each != "**" for each in parts)
