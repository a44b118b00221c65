"""The words of a payload, as a store indexes them and a search looks for them."""

import re
from typing import Final

#: A word, as SQLite's ``ascii`` tokenizer defines it.
_WORD: Final = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text: runs of letters and digits, where every non-ASCII character counts as a letter."""
    return tuple(_WORD.findall(text))
