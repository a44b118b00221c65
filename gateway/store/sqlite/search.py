"""Which events a query finds: streams of their numbers, the newest first, each from an index, met where all agree.

Whatever is asked, no more than EFFORT rows are looked at: a page that took so many says how far back it has come.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

import apsw

from gateway.errors import QueryRefused
from gateway.event.words import words_in
from gateway.model import DeliveryState
from gateway.store.nouns import DeliveryQuery, EventQuery
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite import tables
from gateway.store.sqlite.rows import to_json

#: Rows that one page may cost; some 50 ms.
EFFORT: Final = 20_000
#: What it costs beside to read a body and to look into it, rows.
OF_A_BODY: Final = 5
#: Rows that an index is asked for at first, and at most.
FIRST_ROWS: Final = 16
MOST_ROWS: Final = 256
#: Events that are looked into one by one before an index is asked for the beginning of a word: for one that many have, it
#: takes a third of a second of a million events, and a page is full before it is needed.
FRESH: Final = 300
#: Of more types than these, an event's own is looked at in place of the index.
MOST_TYPES: Final = 200
_FIRST: Final = 1


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", glob)
    spelled = {"*": "[^.]*", "**": ".*"}
    return re.compile("".join(spelled.get(part, re.escape(part)) for part in parts), re.DOTALL)


def fits(glob: str, type_: str) -> bool:
    """Whether a type meets a glob: ``*`` is one segment, ``**`` any number of them."""
    return _pattern(glob).fullmatch(type_) is not None


class Group(NamedTuple):
    """Deliveries that have all but their event in common."""

    destination: str
    state: str
    cause: str
    deliveries: int


@dataclass(slots=True)
class Effort:
    """What is left of it."""

    left: int = EFFORT

    def spend(self, rows: int) -> None:
        self.left -= rows


def _matching(words: Sequence[str]) -> str:
    """Quoted, so that nothing in a word is an operator, but for a star at its end."""
    found = [(part, word.endswith(f"{part}*")) for word in words for part in words_in(word)]
    return " AND ".join(f'"{part}"{"*" if is_begun else ""}' for part, is_begun in found)


class Stream(Protocol):
    """Numbers of events, falling."""

    def at_most(self, seq: int) -> int:
        """The largest one up to ``seq``, which never grows from one call to the next; 0: there is none."""


class Indexed:
    """What one statement gives, a few rows at a time."""

    def __init__(self, connection: apsw.Connection, statement: str, values: Sequence[Any], effort: Effort) -> None:
        self._ask = (connection, statement, values)
        self._effort = effort
        self._rows: list[int] = []
        self._at = 0
        self._size = FIRST_ROWS
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
    """The numbers of several streams."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def at_most(self, seq: int) -> int:
        return max((stream.at_most(seq) for stream in self._streams), default=0)


class Then:
    """The numbers above a bound of one stream, and when there is none left those of another, which is not asked before."""

    def __init__(self, newer: Stream, bound: int, older: Stream) -> None:
        self._newer, self._bound, self._older = newer, bound, older

    def at_most(self, seq: int) -> int:
        return self._newer.at_most(seq) or self._older.at_most(min(seq, self._bound))


class Search:
    """The events that all of some streams have, from the newest on; where it stopped, and why."""

    def __init__(self, streams: Sequence[Stream], first: int, last: int, effort: Effort) -> None:
        """``first`` is the newest number that is looked at, ``last`` the oldest."""
        self._streams, self._last = streams, last
        self.effort = effort
        #: The number that would be looked at next; below ``last``: there is none.
        self.at = first

    @property
    def is_tired(self) -> bool:
        """Whether it ends before it has seen everything."""
        return self.effort.left <= 0 and self.at >= self._last

    def __iter__(self) -> Iterator[int]:
        while self.at >= self._last and self.effort.left > 0:
            agreed = self.at
            for stream in self._streams:
                agreed = stream.at_most(agreed)
                if agreed < self._last:
                    self.at = 0
                    return
            if agreed == self.at:
                self.at = agreed - 1
                yield agreed
            else:
                self.at = agreed


class Searcher:
    """Makes the streams of a query, on one connection at one moment of the store's clock."""

    def __init__(self, connection: apsw.Connection, now: float) -> None:
        self.connection = connection
        self._now = now
        self._effort = Effort()

    def events(self, query: EventQuery) -> Search:
        """Where to look for the events of a query; what ``holds`` says is not asked."""
        streams = [*self._of_type(query.source, query.type)]
        if query.destination or query.state is not None:
            streams.append(self._of_deliveries(query.destination, query.state, None))
        first = self._first(query.before, query.until_s)
        if match := _matching(query.words):
            streams.append(self._with_words(match, first))
        last = max(self._since(query.since_s), self._after(query.after))
        return self._search(streams, first, last)

    def deliveries(self, query: DeliveryQuery) -> Search:
        """Where to look for the events of those deliveries; each of an event's has to be asked what else it is."""
        streams = [*self._of_type(query.source, query.type)]
        if query.destination or query.state is not None or query.cause is not None:
            streams.append(self._of_deliveries(query.destination, query.state, query.cause))
        return self._search(streams, self._first(query.before, query.until_s), self._since(query.since_s))

    def bounds(self, since_s: float | None, until_s: float | None) -> tuple[int, int]:
        """The first and the last event that were stored between two times, so many seconds ago."""
        return self._since(since_s), self._first("", until_s)

    def count(self, which: DeliveryQuery, states: Sequence[DeliveryState], *, may_be_empty: bool) -> int:
        """How many deliveries fit; ``may_be_empty``: of events without a body, too."""
        groups = self.groups(which.destination, states, which.cause)
        # Only what is delivered can be of such events.
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
        """All that there are deliveries of."""
        return [
            Group(name, state, why, count)
            for name, state, why, count in self.connection.execute(sql.TALLY)
            if destination in ("", name) and state in states and cause in (None, why)
        ]

    def _search(self, streams: Sequence[Stream], first: int, last: int) -> Search:
        return Search([*streams, self._stream(sql.ALL_EVENTS)], first, last, self._effort)

    def _stream(self, statement: str, *values: Any) -> Stream:
        return Indexed(self.connection, statement, values, self._effort)

    def _of_type(self, source: str, glob: str) -> Iterator[Stream]:
        if source or glob:
            known = [one for one in self._types() if source in ("", one[0]) and (not glob or fits(glob, one[1]))]
            # With more of them it is cheaper to look at each event; whoever reads the rows asks for its type, too.
            if len(known) <= MOST_TYPES:
                yield AnyOf([self._stream(sql.EVENTS_OF_TYPE, *one) for one in known])

    def _types(self) -> Iterator[tuple[str, str]]:
        found = self.connection.execute(sql.NEXT_SOURCE, ("",)).get
        while found is not None:
            yield found
            more = self.connection.execute(sql.NEXT_TYPE, found).get
            found = more or self.connection.execute(sql.NEXT_SOURCE, (found[0],)).get

    def _of_deliveries(self, destination: str, state: DeliveryState | None, cause: str | None) -> Stream:
        groups = self.groups(destination, tuple(DeliveryState) if state is None else (state,), cause)
        return AnyOf([self._stream(sql.EVENTS_OF_DELIVERIES, *group[:3]) for group in groups])

    def _with_words(self, match: str, first: int) -> Stream:
        bound = self.connection.execute(sql.INDEXED_TO).get
        if "*" in match:
            bound = min(bound, first - FRESH)
        newer = self._stream(sql.EVENTS_NOT_INDEXED, bound)
        return Then(newer, bound, self._stream(sql.EVENTS_WITH_WORDS, match))

    # places

    def _first(self, before: str, until_s: float | None) -> int:
        last_event: int = self.connection.execute(sql.LAST_EVENT).get
        first = last_event if until_s is None else min(last_event, self._stored_since(self._now - until_s) - 1)
        if not before:
            return first
        if not before.isascii() or not before.isdigit() or len(before) > 18:
            raise QueryRefused(f'"{before[:40]}" is no place in a list: take "next" of the page before')
        return min(first, int(before) - 1)

    def _since(self, since_s: float | None) -> int:
        return _FIRST if since_s is None else self._stored_since(self._now - since_s)

    def _after(self, event_id: str) -> int:
        if not event_id:
            return _FIRST
        seq = self.connection.execute(sql.EVENT_SEQ, (event_id,)).get
        if seq is None:
            raise QueryRefused(f'after: there is no event "{event_id[:60]}"')
        return int(seq) + 1

    def _stored_since(self, moment: float) -> int:
        """The first event that was stored at a moment or later; events are in the order of the store's clock."""
        low, high = _FIRST, self.connection.execute(sql.LAST_EVENT).get + 1
        while low < high:
            middle = (low + high) // 2
            seq, stored_at = self.connection.execute(sql.STORED_AT, (middle,)).get
            if stored_at >= moment:
                high = middle
            else:
                low = seq + 1
        return int(low)


def middle(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration below which a share of the attempts were, seconds, of how many there are in each bucket."""
    total = sum(buckets.values())
    if not total:
        return None
    left = total * share
    for at in range(len(tables.BUCKETS)):
        low, count = tables.BUCKETS[at - 1] if at else 0.0, buckets.get(at, 0)
        if count and left <= count:
            return low + (tables.BUCKETS[at] - low) * left / count
        left -= count
    return tables.BUCKETS[-1]
