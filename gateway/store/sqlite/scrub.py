"""Looking for damage while the store is in use: every table by ranges of its keys, and its rows in every index.

The whole check that SQLite has would hold one moment of the file for minutes, and its log would grow meanwhile. Here
each range is a moment of its own.
"""
# ruff: noqa: S608  the only things put into these texts are names from the file's own schema

import time
from collections.abc import Sequence
from typing import Any, Final

import apsw
from msgspec import Struct

from gateway.errors import StoreCorrupt
from gateway.store.sqlite.connection import corrupt
from gateway.store.sqlite.snapshots import Snapshots

#: A range takes about this long, seconds; the first one has this many rows.
RANGE_S: Final = 0.01
FIRST_ROWS: Final = 50
MOST_ROWS: Final = 10_000

_TABLES: Final = """
SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema'
"""
_INDEXES: Final = """
SELECT l.name, substr(s.sql, instr(s.sql, ' WHERE ') + 7, iif(instr(s.sql, ' WHERE '), length(s.sql), 0))
FROM pragma_index_list(?) l LEFT JOIN sqlite_schema s ON s.name = l.name WHERE l.origin <> 'pk'
"""


class _Table(Struct, kw_only=True):
    """A table, and how far it was looked through."""

    name: str
    #: The columns of its key.
    keys: Sequence[str]
    columns: Sequence[str]
    #: (name, columns, condition) of each index; no condition: it has every row.
    indexes: Sequence[tuple[str, Sequence[str], str]]
    #: The last key that was looked at; empty: none yet.
    last: tuple[Any, ...] = ()

    @property
    def _key(self) -> str:
        return f"({', '.join(self.keys)})"

    def _bound(self, sign: str, key: Sequence[Any]) -> str:
        return f"{self._key} {sign} ({', '.join('?' * len(key))})" if key else "1"

    def check(self, db: apsw.Connection, rows: int) -> tuple[int, str]:
        """Look at the next rows: how many there were, and what is wrong; fewer than ``rows``: these were the last."""
        order = ", ".join(self.keys)
        after = self._bound(">", self.last)
        to: Any = db.execute(
            f"SELECT {order} FROM {self.name} WHERE {after} ORDER BY {order} LIMIT 1 OFFSET {rows - 1}", self.last
        ).get
        # One column comes as it is, several as a tuple.
        until = () if to is None else to if len(self.keys) > 1 else (to,)
        where, values = f"{after} AND {self._bound('<=', until)}", (*self.last, *until)
        # A quoted value has been read to its end, wherever the file keeps it.
        read = " + ".join(f"total(length(quote({each})))" for each in self.columns)
        found: Any = db.execute(f"SELECT count(*), {read} FROM {self.name} NOT INDEXED WHERE {where}", values).get
        seen = int(found[0])
        self.last = until
        for index, columns, condition in self.indexes:
            # Also of an index without a row.
            db.execute(f"SELECT 1 FROM {self.name} INDEXED BY {index} WHERE {condition or '1'} LIMIT 1").fetchall()
            missing = db.execute(self._missing(index, columns, condition, where), values).get
            if missing:
                return seen, f"{missing} rows of {self.name} are missing from its index {index}"
        return seen, ""

    def _missing(self, index: str, columns: Sequence[str], condition: str, where: str) -> str:
        same = " AND ".join(f"x.{each} IS t.{each}" for each in dict.fromkeys((*columns, *self.keys)))
        fits = condition or "1"
        return f"""
            SELECT count(*) FROM {self.name} AS t NOT INDEXED WHERE {where} AND {fits} AND NOT EXISTS (
                SELECT 1 FROM {self.name} AS x INDEXED BY {index} WHERE {fits} AND {same}
            )
        """


class Scrub(Struct):
    """How far the check has come. ``step`` is for one thread at a time, the rest for any."""

    snapshots: Snapshots
    #: The fraction of all rows that was looked at; 1: all of them, or the whole file at its start.
    share: float = 0.0
    _left: list[_Table] | None = None
    _rows: int = FIRST_ROWS
    _seen: int = 0
    _total: int = 0

    def step(self) -> str:
        """Look at the next range; what is wrong there, in a sentence, or an empty text. Raises StoreError."""
        try:
            with self.snapshots.take() as (db, _):
                if self._left is None:
                    self._left = _tables(db)
                    self._total = sum(int(db.execute(f"SELECT count(*) FROM {each.name}").get) for each in self._left)
                finding = self._next(db) if self._left else ""
        except StoreCorrupt as error:
            return str(error)
        self.share = min(self._seen / max(self._total, 1), 0.99) if self._left else 1.0
        return str(corrupt(self.snapshots.path, finding)) if finding else ""

    def _next(self, db: apsw.Connection) -> str:
        assert self._left is not None
        began = time.monotonic()
        seen, finding = self._left[0].check(db, self._rows)
        self._seen += seen
        if seen < self._rows:
            self._left.pop(0)
        took_s = time.monotonic() - began
        if took_s < RANGE_S / 2:
            self._rows = min(self._rows * 2, MOST_ROWS)
        elif took_s > RANGE_S * 2:
            self._rows = max(self._rows // 2, 1)
        return finding


def _tables(db: apsw.Connection) -> list[_Table]:
    found: list[Any] = db.execute(_TABLES).fetchall()
    return [_table(db, name, has_no_rowid=bool(wr)) for name, wr in found]


def _table(db: apsw.Connection, name: str, *, has_no_rowid: bool) -> _Table:
    columns: list[Any] = db.execute("SELECT name, pk FROM pragma_table_info(?)", (name,)).fetchall()
    primary = [column for column, at in sorted(columns, key=lambda each: each[1]) if at]
    indexes: list[Any] = db.execute(_INDEXES, (name,)).fetchall()
    return _Table(
        name=name,
        keys=primary if has_no_rowid else ["rowid"],
        columns=[column for column, _ in columns],
        indexes=[
            (
                index,
                [each for (each,) in db.execute("SELECT name FROM pragma_index_info(?)", (index,))],
                condition or "",
            )
            for index, condition in indexes
        ],
    )
