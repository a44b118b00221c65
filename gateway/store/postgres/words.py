"""The index of words in payloads: what is in it, and how far it has come.

An event has a row in it with its words; with null it passes every search: what its source redacts has no words in the
index before it was redacted, and some payloads have too many. Events without a row pass, too.
"""

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Self

from msgspec import Struct

from gateway.store.contents import searchable
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.rows import unpacked
from gateway.store.postgres.tables import DAY_BITS, DAY_S
from gateway.store.rules import words_in

#: A slice of the index ends after this many bytes of bodies.
SLICE_BYTES: Final = 256 * 1024
#: Characters of a word that count: PostgreSQL takes at most 2,046 bytes of one.
LONGEST: Final = 200
#: Bytes of an event's words, separators included: PostgreSQL takes at most 1 MiB.
MOST_BYTES: Final = 900_000
#: What was on its way this long ago, seconds, is over: an append is cut off long before.
SETTLED_S: Final = 60.0

INDEXED_TO: Final = "SELECT upto FROM indexed"
# OFFSET 0: never joined. The planner believes that hardly any event is without words, and would look at all of them before it
# takes the first ones.
_WITHOUT_WORDS: Final = """
SELECT seq, label, CASE WHEN redact THEN NULL WHEN body_is = 'forgotten' THEN '' ELSE body END FROM (
    SELECT e.*, sum(length(body)) OVER (ORDER BY seq) - length(body) AS before FROM (
        SELECT seq, label, body, redact, body_is FROM event e
        WHERE seq > $1{to} AND NOT EXISTS (SELECT 1 FROM word w WHERE w.seq = e.seq OFFSET 0) ORDER BY seq LIMIT $2
    ) e
) e WHERE before < $3 ORDER BY seq
"""
# With an end it may be planned to look at everything up to there: that must not be all that is still to be added.
NEXT: Final = _WITHOUT_WORDS.format(to="")
LATE: Final = _WITHOUT_WORDS.format(to=" AND seq <= $4")
_ADD: Final = """
INSERT INTO word (seq, words)
SELECT seq, array_to_tsvector(words) FROM (
    SELECT k.seq, CASE WHEN k.words IS NULL THEN NULL ELSE string_to_array(k.words, ' ') END AS words
    FROM unnest($1::bigint[], $2::text[]) k (seq, words)
) k WHERE NOT EXISTS (SELECT 1 FROM word w WHERE w.seq = k.seq)
"""
_COME_TO: Final = "UPDATE indexed SET upto = greatest(upto, $1)"
# The oldest transaction that is running, and the one that comes next.
_RUNNING: Final = """
SELECT pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS following, gateway_now() AS now
FROM pg_current_snapshot() s
"""
_FORGET: Final = "DELETE FROM word WHERE seq = ANY($1::bigint[])"
_BODIES: Final = "SELECT seq, label, body FROM event WHERE seq = ANY($1::bigint[])"
_INDEXED: Final = "SELECT seq FROM word WHERE seq = ANY($1::bigint[])"

#: Letters that are alike; as in SQLite's ``ascii`` tokenizer no others are.
_FOLDED: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def folded(word: str) -> str:
    """A word as it is in the index."""
    return word[:LONGEST].translate(_FOLDED)


def query_of(words: Sequence[str], any_of: Sequence[Sequence[str]] = ()) -> str:
    """For ``@@``: all of ``words``, and all of one of ``any_of``; empty if nothing in these is a word. ``ada*`` is a prefix."""
    either = [_all_of(each) for each in any_of]
    parts = [_all_of(words), f"({' | '.join(either)})" if all(either) and either else ""]
    return " & ".join(filter(None, parts))


def _all_of(words: Sequence[str]) -> str:
    found = [(part, word.endswith(f"{part}*")) for word in words for part in words_in(word)]
    # A word has no quotes and no backslashes, so that nothing in it is an operator.
    return " & ".join(f"'{folded(part)}'{':*' if is_begun else ''}" for part, is_begun in found)


def words_of(label: str, body: bytes) -> str | None:
    """The words of an event, each once, separated by spaces; None: too many to be indexed."""
    found = {folded(word) for leaf in (label, *_leaves(body)) for word in words_in(leaf)}
    words = " ".join(found).encode("utf-8", "replace").decode()
    return words if len(words.encode()) <= MOST_BYTES else None


def _leaves(body: bytes) -> Iterator[str]:
    """The values in a JSON text, as it spells them; anything else is one text."""
    try:
        whole = json.loads((body := searchable(body)).decode(), parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        yield unpacked(body)
        return
    left: list[Any] = [whole]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif value is not None:
            yield value if isinstance(value, str) else "true" if value else "false"


async def forget(connection: Connection, seqs: Collection[int]) -> None:
    """Delete events from the index: they have no rows any more, or nothing to find."""
    await connection.execute(_FORGET, list(seqs))


async def renew(connection: Connection, seqs: Collection[int]) -> None:
    """Give the events among these that are in the index the words of their present bodies."""
    indexed = [row[0] for row in await connection.fetch(_INDEXED, list(seqs))]
    await forget(connection, indexed)
    await _add(connection, await connection.fetch(_BODIES, indexed))


async def _add(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Rows of (seq, label, body or null)."""
    words = await asyncio.to_thread(_words_of, rows)
    await connection.execute(_ADD, [row[0] for row in rows], words)


def _words_of(rows: Sequence[Sequence[Any]]) -> list[str | None]:
    return [None if body is None else words_of(unpacked(label), body) for _, label, body in rows]


class _Mark(Struct, frozen=True):
    """An event that was stored, and the transactions that may have stored lower ones after it.

    An append is known as a transaction before it draws its numbers (``statements.TAKE_KEYS``): whichever drew a lower one
    was running when the higher one could be seen. Only the day in a seq is another matter: it is older than the number.
    """

    seq: int
    #: All of them come before this one.
    before: int
    at: float

    @classmethod
    async def at_seq(cls, connection: Connection, seq: int) -> Self:
        _, following, now = await connection.fetchrow(_RUNNING)
        return cls(seq, following, now)

    async def is_settled(self, connection: Connection) -> bool:
        """Whether no lower seq is still to come."""
        oldest, _, now = await connection.fetchrow(_RUNNING)
        is_of_new_day = self.at - (self.seq >> DAY_BITS) * DAY_S < SETTLED_S
        return now - self.at >= SETTLED_S or (oldest >= self.before and not is_of_new_day)


class WordIndex:
    """Remembers how far it has come; everything else is in the database."""

    def __init__(self) -> None:
        #: Everything up to this event was in the index when it was last looked at.
        self._to = 0
        #: The index is complete up to it once it is settled, and what was committed late has been added.
        self._mark: _Mark | None = None

    async def add(self, connection: Connection, limit: int) -> bool:
        """Add at most ``limit`` events, in a transaction; whether there may be more."""
        upto: int = await connection.fetchval(INDEXED_TO)
        self._to = max(self._to, upto)
        if rows := await connection.fetch(NEXT, self._to, limit, SLICE_BYTES):
            await _add(connection, rows)
            self._to = rows[-1][0]
        # Also while ever more events come in: a search looks at those beyond it one by one.
        return await self._complete(connection, upto, limit) or bool(rows)

    async def _complete(self, connection: Connection, upto: int, limit: int) -> bool:
        """Come to the mark, if no event below it is still to be committed; whether some were added."""
        if self._mark is not None and await self._mark.is_settled(connection):
            if rows := await connection.fetch(LATE, upto, limit, SLICE_BYTES, self._mark.seq):
                await _add(connection, rows)
                return True
            await connection.execute(_COME_TO, self._mark.seq)
            upto, self._mark = self._mark.seq, None
        if self._mark is None and upto < self._to:
            self._mark = await _Mark.at_seq(connection, self._to)
        return False
