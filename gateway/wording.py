"""How values are written for people and read back: durations, sizes, counts, times, suggestions, and safe text."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

# --- text ---

# For use inside [] of a regular expression.
#: Control characters: a terminal obeys them.
CONTROLS: Final = "\x00-\x1f\x7f-\x9f"
#: Line and paragraph separators, and characters that change the reading direction.
TURNING: Final = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
#: Unpaired surrogates, which UTF-8 cannot encode.
SURROGATES: Final = "\ud800-\udfff"

_UNPRINTABLE: Final = re.compile(f"[{CONTROLS}{TURNING}{SURROGATES}]")


def printable(text: str) -> str:
    """``text`` safe to print, even if a sender wrote it: nothing in it steers a terminal or turns the reading order."""
    return _UNPRINTABLE.sub(lambda found: " " if found[0] in "\t\n" else "\N{REPLACEMENT CHARACTER}", text)


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 attempt``, ``1,204 attempts``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def few(names: Collection[str], most: int = 3) -> str:
    """``a, b, c and 2 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join([*names][:most]) + more


def joined(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


#: Words for true and false.
_TRUTH: Final = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "0"), False),
}


def truth_like(text: str) -> bool | None:
    """What a word for true or false says; None for any other word."""
    return _TRUTH.get(text.lower())


def closest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str:
    """The known word that is most like another one, empty if none is; ``closeness``: from 0, anything, to 1, the same.

    What differs in case and marks only is the same. A word is never taken for its opposite: ``disabled`` for ``enabled``.
    """
    candidates = [each for each in known if not _are_opposite(word, each)]
    same = (each for each in candidates if folded(each) and folded(each) == folded(word))
    return next(same, "") or next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=closeness)), "")


_NEGATED: Final = re.compile(r"(?:un|dis|in|non?|not|never)[_-]?(?=\w{3})")
#: A word in a name: ``is`` and ``Active`` in ``isActive``.
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_AFFIRMED: Final = re.compile(r"en(?=\w{3})")
#: How alike two words are without what negates one of them, if they are opposites.
_OPPOSITE: Final = 0.8


def _are_opposite(word: str, other: str) -> bool:
    words, others = _WORD.findall(word), _WORD.findall(other)
    pairs = zip(words, others, strict=True) if len(words) == len(others) else [(word, other)]
    return any(_negates(one.lower(), two.lower()) for one, two in pairs)


def _negates(word: str, other: str) -> bool:
    if bool(_NEGATED.match(word)) == bool(_NEGATED.match(other)):
        return False
    one, two = (_AFFIRMED.sub("", _NEGATED.sub("", each, count=1), count=1) for each in (word, other))
    return one == two or difflib.SequenceMatcher(None, one, two).ratio() >= _OPPOSITE


def closest_header(name: str, known: Iterable[str]) -> str:
    """The known header that differs from a name in one misspelt word, or in its hyphens; empty if none does.

    Senders have headers that differ in whole words: ``x-message-type``, ``x-message-retry``, ``x-message-type-id``.
    """
    return next((each for each in known if folded(each) == folded(name) or _one_word_apart(name, each)), "")


def _one_word_apart(one: str, other: str) -> bool:
    words, others = one.lower().split("-"), other.lower().split("-")
    apart = [pair for pair in zip(words, others, strict=False) if pair[0] != pair[1]]
    return len(words) == len(others) and len(apart) == 1 and bool(closest(apart[0][0], [apart[0][1]], closeness=0.75))


def suggest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str:
    """``did you mean "where"?``, or nothing if no known word is close."""
    close = closest(word, known, closeness=closeness)
    return f'did you mean "{close}"?' if close else ""


def folded(text: str) -> str:
    """Its letters and digits in lower case: ``Google Sheets`` and ``google-sheets`` are the same name."""
    return re.sub(r"[\W_]", "", text).lower()


def suggest_or_list(word: str, known: Collection[str]) -> str:
    """The closest known word, else all of them."""
    return suggest(word, known) or (f"known: {', '.join(known)}" if known else "there are none here")


#: What HTTP allows as the name of a header.
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# --- times and durations ---


def iso_time(seconds: float) -> str:
    """``2026-04-16T12:34:56.789Z`` from seconds since the epoch."""
    whole, part = divmod(seconds, 1.0)
    microseconds = round(part * 1e6)
    return f"{_iso_second(int(whole) + microseconds // 1_000_000)}.{microseconds // 1000 % 1000:03}Z"


@lru_cache(maxsize=256)
def _iso_second(second: int) -> str:
    """``2026-04-16T12:34:56``: most times are of the last few seconds."""
    return datetime.fromtimestamp(second, UTC).isoformat()[: -len("+00:00")]


#: Seconds of each unit.
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")


def is_duration(text: str) -> bool:
    return DURATION.fullmatch(text) is not None


def seconds(text: str) -> float:
    """Seconds of a duration such as ``1h30m``; ``is_duration`` must be true of it."""
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration(seconds: float) -> str:
    """``24h``, ``1h30m``, ``45s``, ``0.5s``: as routes.yaml writes it."""
    return "".join(f"{number:g}{unit}" for number, unit in _parts(seconds))


def spaced(seconds: float) -> str:
    """``24 h``, ``1 h 30 min``, ``45 s``: a duration in a sentence."""
    return " ".join(f"{number:g} {unit.replace('m', 'min')}" for number, unit in _parts(seconds))


def _parts(seconds: float) -> list[tuple[float, str]]:
    if seconds < 60:
        return [(round(seconds, 3), "s")]
    if seconds >= 2 * 86400 and seconds % 86400 == 0:
        return [(seconds // 86400, "d")]
    minutes, rest = divmod(round(seconds), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "m"), (rest, "s"))
    return [(number, unit) for number, unit in parts if number]


# --- sizes ---

#: Bytes of each unit.
_SIZES: Final = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
SIZE: Final = re.compile(r"([0-9]{1,12})\s?(B|KB|MB|GB|KiB|MiB|GiB|)")


def size_in_bytes(text: str) -> int:
    """Bytes of a size such as ``1MiB``; ``SIZE`` must match all of it."""
    found = SIZE.fullmatch(text)
    assert found is not None
    return int(found[1]) * _SIZES[found[2]]


def exact_size(octets: int) -> str:
    """``1MiB``, ``512KiB``, ``1500B``: as it would be written in routes.yaml."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if octets % _SIZES[unit] == 0)
    return f"{octets // _SIZES[unit]}{unit}"


def escaped(text: str) -> str:
    r"""``text`` with every character that cannot be seen as an escape. The result can be longer than ``text``.

    ``printable`` keeps a whole output readable and its columns aligned; this is for a short value that an error quotes,
    where the reader must see which characters are in it.

    >>> escaped("a\x1b[2J\u202eb")
    'a\\x1b[2J\\u202eb'
    """
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def size(octets: float) -> str:
    """``812 B``, ``3.4 MiB``, ``512 GiB``."""
    amount = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
