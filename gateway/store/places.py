"""Positions as text: where a listing of events continues, where it ends, and how far it looks without the index."""

import re
from typing import Final, NamedTuple, Self

from gateway.errors import QueryRefused

_TEXT: Final = re.compile("[0-9]{1,19}(-[0-9]{1,19}){0,2}", re.ASCII)
#: The highest number that a store can ask for.
_HIGHEST: Final = (1 << 63) - 1


class Place(NamedTuple):
    """A place in the order of acceptance; ``120``, ``120-100``, ``120-100-57``."""

    #: Number of the event that it is at.
    at: int
    #: A listing that continues here ends before this event; 0: it goes to the first one.
    after: int = 0
    #: A search for the prefix of a word that continues here uses the index up to this event; 0: as at its start.
    indexed_from: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """From a text that the store handed out; raises QueryRefused for any other."""
        numbers = [int(each) for each in text.split("-")] if _TEXT.fullmatch(text) else []
        if not numbers or max(numbers) > _HIGHEST:
            raise _refused(text)
        return cls(*numbers)

    @property
    def suffix(self) -> str:
        """The text after ``at``; zeroes at the end are left out."""
        if self.indexed_from:
            return f"-{self.after}-{self.indexed_from}"
        return f"-{self.after}" if self.after else ""

    def __str__(self) -> str:
        """The text that is handed out."""
        return f"{self.at}{self.suffix}"


def activity_place(text: str) -> str:
    """The id of the activity that a position is; empty for the start. Raises QueryRefused."""
    if text and not text.startswith("act_"):
        raise _refused(text)
    return text


def _refused(text: str) -> QueryRefused:
    return QueryRefused(f'"{text[:40]}" is not a position: use "next" of the previous page')
