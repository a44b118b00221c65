"""The words of a payload, as the index of a store holds them and a search looks for them."""

import re
from typing import Final

#: As SQLite's ``ascii`` tokenizer sees a word.
_WORD: Final = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text, as the store's index has them: runs of letters and digits; all but ASCII is a letter."""
    return tuple(_WORD.findall(text))
