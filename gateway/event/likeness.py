"""The event type that is meant by one which no sender has: a misspelt one, or another word for the same. Never the opposite."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from gateway.event.patterns import segments
from gateway.wording import folded

#: Words that senders have for the same, one line for each.
_SAME: Final[Mapping[str, int]] = {
    word: number
    for number, words in enumerate(
        (
            "create created new add added insert inserted",
            "update updated change changed modify modified edit edited",
            "delete deleted remove removed destroy destroyed",
            "send sent outgoing outbound",
            "receive received incoming inbound",
            "fail failed failure error errored",
            "succeed succeeded success successful",
            "cancel canceled cancelled",
            "complete completed finish finished done",
            "start started begin begun",
            "stop stopped end ended",
            "open opened",
            "close closed",
            "read seen",
            "pay paid",
        )
    )
    for word in words.split()
}
#: How alike two words are of which one is a misspelt other one, and the shortest such word.
_ALIKE: Final = 0.85
_SHORTEST: Final = 4
#: The most types that a hint lists.
_MOST: Final = 20


def suggest_type(written: str, known: Collection[str]) -> str:
    """``did you mean "contact.deleted"?`` for ``contact.removed``, or the known types that it can be; empty if there are none."""
    meant = type_like(written, known)
    if meant or not known:
        return f'did you mean "{meant}"?' if meant else ""
    first = _parts(written)[0]
    near = [each for each in known if _parts(each)[0] == first] or [*known]
    more = f" and {len(near) - _MOST} more" if len(near) > _MOST else ""
    return f"known: {', '.join(near[:_MOST])}{more}"


def type_like(written: str, known: Collection[str]) -> str:
    """The known type that means the same as another one; empty if none does."""
    return _most_alike(written, known, _means)


def misspelt_type(written: str, known: Collection[str]) -> str:
    """The known type that another one is misspelt as; empty if it is none, or is spelt as a word of its own."""
    return _most_alike(written, known, _is_misspelt)


def _most_alike(written: str, known: Collection[str], is_alike: Callable[[str, str], bool]) -> str:
    same = next((each for each in known if folded(each) == folded(written)), "")
    found = [each for each in known if _are_alike(_parts(written), _parts(each), is_alike)]
    return same or max(found, key=lambda each: _ratio(written, each), default="")


def _parts(text: str) -> Sequence[str]:
    return [segment.lower() for segment, _ in segments(text)]


def _are_alike(words: Sequence[str], others: Sequence[str], is_alike: Callable[[str, str], bool]) -> bool:
    return len(words) == len(others) and all(map(is_alike, words, others))


def _means(word: str, other: str) -> bool:
    """Whether two words mean the same, each of which may have parts: ``issue_removed``."""
    words, others = (re.split("[_-]", each) for each in (word, other))
    if len(words) > 1:
        return _are_alike(words, others, _means)
    return word == other or _SAME.get(word, word) == _SAME.get(other, other) or _is_misspelt(word, other)


def _is_misspelt(word: str, other: str) -> bool:
    # What differs at its beginning is often the opposite: subscribed and unsubscribed, opened and reopened.
    if word == other or word[:1] != other[:1] or max(len(word), len(other)) < _SHORTEST:
        return word == other
    return _is_one_letter_apart(word, other) or _ratio(word, other) >= _ALIKE


def _is_one_letter_apart(word: str, other: str) -> bool:
    """Whether one letter is missing, too many or another one, or two of them are swapped."""
    shorter, longer = sorted((word, other), key=len)
    pairs = zip(shorter, longer, strict=False)
    start = next((at for at, (one, two) in enumerate(pairs) if one != two), len(shorter))
    rest, more = shorter[start:], longer[start:]
    if len(rest) != len(more):
        return rest == more[1:]
    return rest[1:] == more[1:] or (rest[:2] == more[:2][::-1] and rest[2:] == more[2:])


def _ratio(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word, other).ratio()
