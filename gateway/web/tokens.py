"""How hard a token is to guess. A guess itself: what looks random is taken for random."""

import itertools
import math
import re
from typing import Final

#: Bits of entropy that a token needs.
LEAST_BITS: Final = 128
HOW_TO_MAKE_ONE: Final = "openssl rand -hex 16"

#: What a generator draws from, as patterns that few starts need, the smallest first, and how many characters that is.
_ALPHABETS: Final = (
    (r"[0-9]+", 10),
    (r"[0-9a-f]+|[0-9A-F]+", 16),
    # Also letters alone: many a token in base32 has no digit.
    (r"[a-z2-7]+|[A-Z2-7]+", 32),
    (r"[0-9a-z]+|[0-9A-Z]+", 36),
    (r"[0-9a-zA-Z]+", 62),
    (r"[0-9a-zA-Z+/_=-]+", 64),
)
_PRINTABLE: Final = 94
_WORD: Final = r"[A-Z]?[a-z]{4,}"
_OF_WORDS: Final = r"[0-9A-Za-z]"
#: Parts of a token from which it is not taken for random. Of 100,000 tokens in hex none has that much, in base64 28 do.
_MOST_FORESEEN: Final = 0.4
_MOST_IN_WORDS: Final = 0.75


def weakness(token: str) -> str:
    """Why a token is too easy to guess, as the end of a sentence; empty if it is not."""
    size = next((size for pattern, size in _ALPHABETS if re.fullmatch(pattern, token)), _PRINTABLE)
    bits = len(token) * math.log2(size)
    if round(bits) < LEAST_BITS:
        return f"has at most {bits:.0f} bits of entropy, and {LEAST_BITS} are needed"
    if _foreseen(token) > len(token) * _MOST_FORESEEN:
        return "repeats itself"
    if size > 16 and sum(map(len, re.findall(_WORD, token))) > len(re.findall(_OF_WORDS, token)) * _MOST_IN_WORDS:
        return "looks like words"
    return ""


def _foreseen(token: str) -> int:
    """How many characters follow from those before them: three that came before, or steps of one (``abcd``, ``7777``)."""
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(token)]
    return sum(
        token[at - 2 : at + 1] in token[:at] or (abs(steps[at - 1]) <= 1 and steps[at - 1] == steps[at - 2])
        for at in range(2, len(token))
    )
