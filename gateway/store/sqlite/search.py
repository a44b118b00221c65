"""Which events a query finds: streams of their numbers, newest first, each from an index, met where all agree.

A search looks at a bounded number of rows, whatever is asked; one that reaches the bound says how far back it got.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import apsw

from gateway.event.patterns import fits
from gateway.model import DeliveryState
from gateway.store.numbers import Group
from gateway.store.places import Place
from gateway.store.queries import EFFORT, DeliveryQuery, EventQuery
from gateway.store.rules import words_in
from gateway.store.searching import Descent, Effort, groups_of, types_of
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import words as index
from gateway.store.sqlite.rows import to_json

#: Rows that an index is asked for at first, and at most.
FIRST_ROWS: Final = 16
MOST_ROWS: Final = 256
#: Newest events that pass without the index when it is asked for a prefix: a common one takes a third of a second for a
#: million events, and a page is often full before it is needed.
FRESH: Final = 300
_FIRST: Final = 1


def _matching(words: Sequence[str], any_of: Sequence[Sequence[str]]) -> str:
    """For MATCH: all of ``words``, and all of one of ``any_of``; empty: nothing in these is a word."""
    either = [_all_of(each) for each in any_of]
    parts = [_all_of(words), f"({' OR '.join(either)})" if all(either) and either else ""]
    return " AND ".join(filter(None, parts))


def _all_of(words: Sequence[str]) -> str:
    """Quoted, so that nothing in a word is an operator but a star at its end."""
    found = [(part, word.endswith(f"{part}*")) for word in words for part in words_in(word)]
    return " AND ".join(f'"{part}"{"*" if is_begun else ""}' for part, is_begun in found)


class Stream(Protocol):
    """Numbers of events, descending."""

    def at_most(self, seq: int) -> int:
        """The largest one up to ``seq``, which never grows from one call to the next; 0 if there is none."""


class Indexed:
    """The result of one statement, a few rows at a time."""

    def __init__(
        self, connection: apsw.Connection, statement: str, values: Sequence[Any], effort: Effort, size: int
    ) -> None:
        self._ask = (connection, statement, values)
        self._effort = effort
        self._rows: list[int] = []
        self._at = 0
        self._size = size
        self._ended = False

    def at_most(self, seq: int) -> int:
        while True:
            while self._at < len(self._rows):
                if self._rows[self._at] <= seq:
                    return self._rows[self._at]
                self._at += 1
            if self._ended:
                return 0
            self._fetch(seq)

    def _fetch(self, seq: int) -> None:
        connection, statement, values = self._ask
        self._rows = [row for (row,) in connection.execute(statement, (*values, seq, self._size))]
        self._ended = len(self._rows) < self._size
        self._effort.spend(len(self._rows) + 1)
        self._at, self._size = 0, min(self._size * 2, MOST_ROWS)


class AnyOf:
    """All numbers of several streams."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def at_most(self, seq: int) -> int:
        return max((stream.at_most(seq) for stream in self._streams), default=0)


class Then:
    """Numbers above a bound from one stream; once they are used up those of another, which is not asked before."""

    def __init__(self, newer: Stream, bound: int, older: Stream) -> None:
        self._newer, self._bound, self._older = newer, bound, older

    def at_most(self, seq: int) -> int:
        return self._newer.at_most(seq) or self._older.at_most(min(seq, self._bound))


class Search(Descent[Stream]):
    """A search in the file."""

    def __iter__(self) -> Iterator[int]:
        while not self.is_over:
            agreed = self.at
            for stream in self._streams:
                agreed = stream.at_most(agreed)
                if agreed < self._last:
                    break
            at = self.at
            if self.found(agreed):
                yield at


class Searcher:
    """Makes the streams of a query, on one connection at one moment of the store's clock."""

    def __init__(
        self, connection: apsw.Connection, now: float, effort: int = EFFORT, first_rows: int = FIRST_ROWS
    ) -> None:
        """``first_rows``: rows that an index is asked for at first."""
        self.connection = connection
        self._now = now
        self._effort = Effort(effort)
        self._first_rows = first_rows

    def events(self, query: EventQuery) -> Search:
        """Where to look for the events of a query."""
        streams = [*self._of_type(query.source, query.type)]
        if query.destination or query.state is not None:
            streams.append(self._of_deliveries(query.destination, query.state, None))
        before = Place.read(query.before) if query.before else None
        newer_than = max(before.after if before else 0, Place.read(query.after).at if query.after else 0)
        first = self._first(before, query.until_s)
        indexed_from = 0
        if match := _matching(query.words, query.any_of):
            indexed_from = (before and before.indexed_from) or max(first - FRESH, _FIRST)
            streams.append(self._with_words(match, indexed_from))
        search = self._search(streams, first, max(self._since(query.since_s), newer_than + 1))
        search.bounds = Place(0, newer_than, indexed_from)
        return search

    def deliveries(self, query: DeliveryQuery) -> Search:
        """Where to look for the events of these deliveries; which of an event's deliveries match is for the caller."""
        streams = [*self._of_type(query.source, query.type)]
        if query.destination or query.state is not None or query.cause is not None:
            streams.append(self._of_deliveries(query.destination, query.state, query.cause))
        before = Place.read(query.before) if query.before else None
        return self._search(streams, self._first(before, query.until_s), self._since(query.since_s))

    def bounds(self, since_s: float | None, until_s: float | None) -> tuple[int, int]:
        """The first and the last event stored between two times, given as seconds ago."""
        return self._since(since_s), self._first(None, until_s)

    def count(self, which: DeliveryQuery, states: Sequence[DeliveryState], *, may_be_empty: bool) -> int:
        """How many deliveries match; ``may_be_empty``: also of events without a body."""
        groups = self.groups(which.destination, states, which.cause)
        # Only delivered ones can belong to such events.
        asks_event = which.source or which.type or (not may_be_empty and DeliveryState.DELIVERED in states)
        if not asks_event and not which.route and which.since_s is None and which.until_s is None:
            return sum(group.deliveries for group in groups)
        first, last = self.bounds(which.since_s, which.until_s)
        more: tuple[object, ...] = (first - 1, last, which.route)
        if asks_event:
            more = (*more, *self.about_event(which, may_be_empty=may_be_empty))
        statement = sql.COUNT_IF_EVENT if asks_event else sql.COUNT
        return sum(self.connection.execute(statement, (*group[:3], *more)).get for group in groups)

    def about_event(self, which: DeliveryQuery, *, may_be_empty: bool) -> tuple[bool, str, str | None]:
        """What a delivery's event has to be, for _IF_EVENT."""
        types = {type_ for _, type_ in self._types() if fits(which.type, type_)} if which.type else None
        return may_be_empty, which.source, None if types is None else to_json(sorted(types))

    def groups(self, destination: str, states: Sequence[DeliveryState], cause: str | None) -> list[Group]:
        """Those that have deliveries."""
        return groups_of((Group(*row) for row in self.connection.execute(sql.TALLY)), destination, states, cause)

    def _search(self, streams: Sequence[Stream], first: int, last: int) -> Search:
        return Search([*streams, self._stream(sql.ALL_EVENTS)], first, last, self._effort)

    def _stream(self, statement: str, *values: Any) -> Stream:
        return Indexed(self.connection, statement, values, self._effort, self._first_rows)

    def _of_type(self, source: str, glob: str) -> Iterator[Stream]:
        # The reader compares the type of each event as well.
        if (found := types_of(self._types(), source, glob)) is not None:
            yield AnyOf([self._stream(sql.EVENTS_OF_TYPE, *one) for one in found])

    def _types(self) -> Iterator[tuple[str, str]]:
        found = self.connection.execute(sql.NEXT_SOURCE, ("",)).get
        while found is not None:
            yield found
            more = self.connection.execute(sql.NEXT_TYPE, found).get
            found = more or self.connection.execute(sql.NEXT_SOURCE, (found[0],)).get

    def _of_deliveries(self, destination: str, state: DeliveryState | None, cause: str | None) -> Stream:
        groups = self.groups(destination, tuple(DeliveryState) if state is None else (state,), cause)
        return AnyOf([self._stream(sql.EVENTS_OF_DELIVERIES, *group[:3]) for group in groups])

    def _with_words(self, match: str, indexed_from: int) -> Stream:
        bound = self.connection.execute(index.INDEXED_TO).get
        if "*" in match:
            bound = min(bound, indexed_from)
        newer = self._stream(index.EVENTS_NOT_INDEXED, bound)
        older = AnyOf([self._stream(index.EVENTS_WITH_WORDS, match), self._stream(index.EVENTS_TO_REDACT)])
        return Then(newer, bound, older)

    # bounds

    def _first(self, before: Place | None, until_s: float | None) -> int:
        last_event: int = self.connection.execute(sql.LAST_EVENT).get
        first = last_event if until_s is None else min(last_event, self._stored_since(self._now - until_s) - 1)
        return first if before is None else min(first, before.at - 1)

    def _since(self, since_s: float | None) -> int:
        return _FIRST if since_s is None else self._stored_since(self._now - since_s)

    def _stored_since(self, moment: float) -> int:
        """The first event stored at a moment or later; events are in the order of the store's clock."""
        low, high = _FIRST, self.connection.execute(sql.LAST_EVENT).get + 1
        while low < high:
            middle = (low + high) // 2
            seq, stored_at = self.connection.execute(sql.STORED_AT, (middle,)).get
            if stored_at >= moment:
                high = middle
            else:
                low = seq + 1
        return int(low)
