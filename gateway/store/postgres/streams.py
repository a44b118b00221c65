"""Streams of the numbers of events, newest first, a few at a time, and where several of them agree."""

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
#: Rows that an event counts for whose words are looked up.
LOOK_EFFORT: Final = 2

# OFFSET: the index of words is asked first, whatever the order by number would promise.
_WITH_WORDS: Final = """
(SELECT seq FROM (SELECT seq FROM word WHERE words @@ $1::text::tsquery AND seq > $2 AND seq <= $3 OFFSET 0) w
    ORDER BY seq DESC LIMIT $4)
UNION ALL
(SELECT seq FROM word WHERE words IS NULL AND seq > $2 AND seq <= $3 ORDER BY seq DESC LIMIT $4)
ORDER BY 1 DESC LIMIT $4
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


class Indexed:
    """The result of one statement, a few rows at a time."""

    def __init__(
        self, connection: Connection, statement: str, values: Sequence[Any], effort: Effort, size: int
    ) -> None:
        """``values``: all but the highest number, and how many."""
        self._ask = (connection, statement, values)
        self._effort = effort
        self._rows: list[int] = []
        self._at = 0
        self._size = size
        self._ended = False

    async def at_most(self, seq: int) -> int:
        while True:
            while self._at < len(self._rows):
                if self._rows[self._at] <= seq:
                    return self._rows[self._at]
                self._at += 1
            if self._ended:
                return 0
            await self._fetch(seq)

    async def _fetch(self, seq: int) -> None:
        connection, statement, values = self._ask
        self._rows = [row[0] for row in await connection.fetch(statement, *values, seq, self._size)]
        self._ended = len(self._rows) < self._size
        self._effort.spend(len(self._rows) + 1)
        self._at, self._size = 0, min(self._size * 2, MOST_ROWS)


class Worded:
    """Events whose words match, from the index of words: it has no order, so it is asked for some days at a time."""

    def __init__(self, connection: Connection, match: str, oldest: int, effort: Effort) -> None:
        self._connection, self._match, self._oldest, self._effort = connection, match, oldest, effort
        self._rows: list[int] = []
        self._at = 0
        self._days = 1
        #: Everything above it was given.
        self._down_to: int | None = None

    async def at_most(self, seq: int) -> int:
        while True:
            while self._at < len(self._rows):
                if self._rows[self._at] <= seq:
                    return self._rows[self._at]
                self._at += 1
            if self._down_to is not None and self._down_to < self._oldest:
                return 0
            await self._fetch(seq if self._down_to is None else min(seq, self._down_to))

    async def _fetch(self, seq: int) -> None:
        after = (((seq >> DAY_BITS) - self._days + 1) << DAY_BITS) - 1
        rows = await self._connection.fetch(_WITH_WORDS, self._match, after, seq, WORD_ROWS)
        self._rows, self._at = [row[0] for row in rows], 0
        self._effort.spend(len(rows) + 1)
        if len(rows) == WORD_ROWS:
            self._down_to = self._rows[-1] - 1
        else:
            self._down_to, self._days = after, self._days * 2


class OneByOne:
    """Events whose words match, of those that the index may not have yet.

    When that is enough, the last one is given as if it had matched, so that the search ends there.
    """

    def __init__(self, connection: Connection, match: str, after: int, effort: Effort) -> None:
        self._connection, self._match, self._after, self._effort = connection, match, after, effort
        self._rows: list[int] = []
        self._at = 0
        self._size = WORD_ROWS // 8
        #: Everything above it was looked at; None: nothing was.
        self._down_to: int | None = None

    async def at_most(self, seq: int) -> int:
        while True:
            while self._at < len(self._rows):
                if self._rows[self._at] <= seq:
                    return self._rows[self._at]
                self._at += 1
            if self._down_to is not None and self._down_to <= self._after:
                return 0
            await self._look(seq if self._down_to is None else min(seq, self._down_to))

    async def _look(self, seq: int) -> None:
        found, lowest, count = await self._connection.fetchrow(_LOOKED_AT, self._match, self._after, seq, self._size)
        self._rows, self._at = found or [], 0
        self._effort.spend(LOOK_EFFORT * count + 1)
        self._down_to = lowest - 1 if count == self._size else self._after
        self._size = min(self._size * 2, WORD_ROWS)
        if self._effort.left <= 0 and not self._rows and count:
            self._rows = [lowest]


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
