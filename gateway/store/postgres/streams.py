"""Streams of the numbers of events, newest first, a few at a time, and where several of them agree."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from gateway.store.postgres.connections import Connection
from gateway.store.postgres.tables import DAY_BITS
from gateway.store.searching import Descent, Effort

#: Rows that a stream is asked for at first, and at most.
FIRST_ROWS: Final = 32
MOST_ROWS: Final = 256
#: Rows that the index of words gives at a time.
WORD_ROWS: Final = 2_000
#: Events that the index of words gives at most: it gives all of a day before the newest is known, and a million takes seconds.
FEW_INDEXED: Final = 20_000
#: The same for a word that is common on a day, but not lately.
MOST_INDEXED: Final = 500_000
#: Events of such a day that are looked at one by one at a time.
COMMON_ROWS: Final = 5_000
#: Rows that an event counts for whose words are looked up, among the newest events and on such a day.
LOOK_EFFORT: Final = 2
COMMON_EFFORT: Final = 0.4
#: Above every number of an event.
_HIGHEST: Final = 1 << 63

# MATERIALIZED: the index of words is asked first, whatever the order by number would promise. ``>=`` the first number of a
# day: with ``>`` the last one before it, the partition of that day would be looked into as well.
_WITH_WORDS: Final = """
WITH found AS MATERIALIZED (
    SELECT seq FROM word WHERE words @@ $1::text::tsquery AND seq >= $2 AND seq <= $3 LIMIT $5 + 1
)
SELECT (SELECT count(*) FROM found) <= $5, array(
    (SELECT seq FROM found ORDER BY seq DESC LIMIT $4)
    UNION ALL
    (SELECT seq FROM word WHERE words IS NULL AND seq >= $2 AND seq <= $3 ORDER BY seq DESC LIMIT $4)
    ORDER BY 1 DESC LIMIT $4
)
"""
# A look-up for each event; one that has no words in the index passes.
_LOOKED_AT: Final = """
SELECT array_agg(seq ORDER BY seq DESC) FILTER (WHERE passes), min(seq), count(*) FROM (
    SELECT e.seq, coalesce((SELECT w.words @@ $1::text::tsquery FROM word w WHERE w.seq = e.seq LIMIT 1), true) AS passes
    FROM (SELECT seq FROM event WHERE seq > $2 AND seq <= $3 ORDER BY seq DESC LIMIT $4) e
) e
"""


class Stream(Protocol):
    """Numbers of events, descending."""

    async def at_most(self, seq: int) -> int:
        """The largest one up to ``seq``, which never grows from one call to the next; 0 if there is none."""


class _Slices(ABC):
    """Numbers that the database gives some at a time, the highest first."""

    def __init__(self, connection: Connection, effort: Effort, size: int, lowest: int = 1) -> None:
        """``size``: of the first slice; ``lowest``: there is nothing below this number."""
        self._connection, self._effort, self._size, self._lowest = connection, effort, size, lowest
        self._rows: Sequence[int] = ()
        self._at = 0
        #: Everything above it was given.
        self._down_to = _HIGHEST

    async def at_most(self, seq: int) -> int:
        while True:
            while self._at < len(self._rows):
                if self._rows[self._at] <= seq:
                    return self._rows[self._at]
                self._at += 1
            if self._down_to < self._lowest:
                return 0
            self._rows, self._down_to = await self._slice(min(seq, self._down_to))
            self._at = 0

    @abstractmethod
    async def _slice(self, seq: int) -> tuple[Sequence[int], int]:
        """The next ones up to ``seq``; and the number above which that is all."""


class Indexed(_Slices):
    """The result of one statement, a few rows at a time."""

    def __init__(
        self, connection: Connection, statement: str, values: Sequence[Any], effort: Effort, size: int
    ) -> None:
        """``values``: all but the highest number, and how many."""
        super().__init__(connection, effort, size)
        self._statement, self._values = statement, values

    async def _slice(self, seq: int) -> tuple[Sequence[int], int]:
        rows = [row[0] for row in await self._connection.fetch(self._statement, *self._values, seq, self._size)]
        self._effort.spend(len(rows) + 1)
        down_to = rows[-1] - 1 if len(rows) == self._size else 0
        self._size = min(self._size * 2, MOST_ROWS)
        return rows, down_to


class OneByOne(_Slices):
    """Events whose words match, of those that the index may not have yet.

    When that is enough, the last one is given as if it had matched, so that the search ends there.
    """

    def __init__(self, connection: Connection, match: str, after: int, effort: Effort) -> None:
        super().__init__(connection, effort, WORD_ROWS // 8, after + 1)
        self._match, self._after = match, after

    async def _slice(self, seq: int) -> tuple[Sequence[int], int]:
        found, lowest, count = await self._connection.fetchrow(_LOOKED_AT, self._match, self._after, seq, self._size)
        self._effort.spend(LOOK_EFFORT * count + 1)
        down_to = lowest - 1 if count == self._size else self._after
        self._size = min(self._size * 2, WORD_ROWS)
        is_enough = self._effort.left <= 0 and not found and count
        return [lowest] if is_enough else found or (), down_to


class Worded(_Slices):
    """Events whose words match, from the index of words: it has no order, so it is asked for some days at a time.

    On a day that has many of them, events are looked at one by one as long as that finds some.
    """

    def __init__(self, connection: Connection, match: str, oldest: int, effort: Effort) -> None:
        super().__init__(connection, effort, WORD_ROWS, oldest)
        self._match = match
        self._days = 1
        self._most = FEW_INDEXED
        #: The first number of the day whose events are looked at one by one; above every number if there is none.
        self._common = _HIGHEST

    async def _slice(self, seq: int) -> tuple[Sequence[int], int]:
        if seq >= self._common:
            return await self._of_common_day(seq)
        first = ((seq >> DAY_BITS) - self._days + 1) << DAY_BITS
        is_all, rows = await self._connection.fetchrow(_WITH_WORDS, self._match, first, seq, self._size, self._most)
        self._effort.spend(len(rows) + 1)
        if not is_all:
            self._common, self._days = first if self._days == 1 else _HIGHEST, 1
            return (), seq
        if len(rows) == self._size:
            # With so many of them, looking at events one by one is cheaper again.
            self._most = FEW_INDEXED
            return rows, rows[-1] - 1
        self._days, self._most = self._days * 2, FEW_INDEXED
        return rows, first - 1

    async def _of_common_day(self, seq: int) -> tuple[Sequence[int], int]:
        after = self._common - 1
        found, lowest, count = await self._connection.fetchrow(_LOOKED_AT, self._match, after, seq, COMMON_ROWS)
        self._effort.spend(int(COMMON_EFFORT * count) + 1)
        if count < COMMON_ROWS:
            self._common, self._most = _HIGHEST, FEW_INDEXED
            return found or (), after
        if not found and self._most == FEW_INDEXED:
            # The newest may be far: the index knows where.
            self._common, self._most = _HIGHEST, MOST_INDEXED
        elif not found and self._effort.left <= 0:
            # As of ``OneByOne``: the search ends there.
            return [lowest], lowest - 1
        return found or (), lowest - 1


class Then:
    """Numbers above a bound from one stream; once they are used up those of another, which is not asked before."""

    def __init__(self, newer: Stream, bound: int, older: Stream) -> None:
        self._newer, self._bound, self._older = newer, bound, older

    async def at_most(self, seq: int) -> int:
        return await self._newer.at_most(seq) or await self._older.at_most(min(seq, self._bound))


class Nothing:
    """No event at all."""

    async def at_most(self, seq: int) -> int:  # noqa: ARG002  as every stream
        return 0


class Search(Descent[Stream]):
    """A search in the database."""

    async def __aiter__(self) -> AsyncIterator[int]:
        while not self.is_over:
            agreed = self.at
            for stream in self._streams:
                agreed = await stream.at_most(agreed)
                if agreed < self._last:
                    break
            at = self.at
            if self.found(agreed):
                yield at
