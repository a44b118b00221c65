"""A file as one side of a copy: one to copy, or one that is being made under another name."""
# ruff: noqa: S608  the only things put into these texts are our own constants

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import apsw
import msgspec

from gateway.errors import StoreError
from gateway.model import Secret
from gateway.store.copying import BYTES, COLUMNS, EVENTS, PARTS, ROWS, Chunk, Place, Row
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.connection import check_version, connect, migrate, opening, refuse_old
from gateway.store.sqlite.lock import OwnerLock
from gateway.store.sqlite.secrets import ENDING, SecretsFile
from gateway.store.sqlite.tables import BEHIND
from gateway.store.sqlite.upkeep import UNCLEANSED

#: What a copy is called until it is complete.
PARTIAL: Final = ".copying"
#: The part that is in a file of its own.
SECRETS: Final = PARTS[-1]


def _listed(kind: str, prefix: str = "", **instead: str) -> str:
    return ", ".join(instead.get(name, f"{prefix}{name}") for name in COLUMNS[kind].split())


_TURN: Final = "CASE WHEN d.state = 'pending' AND d.lane IS NOT NULL THEN d.turn END"
_OF_EVENT: Final = {
    "delivery": f"SELECT {_listed('delivery', 'd.', turn=_TURN)} FROM delivery d WHERE {{range}} ORDER BY d.event_seq, d.seq",
    "attempt": f"""
    SELECT {_listed("attempt", "a.", event_seq="d.event_seq")} FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq
    WHERE {{range}} ORDER BY d.event_seq, d.seq, a.number
    """,
    "notice": f"""
    SELECT {_listed("notice", "n.", event_seq="d.event_seq")} FROM delivery d JOIN notice n ON n.delivery_seq = d.seq
    WHERE {{range}} ORDER BY d.event_seq, d.seq
    """,
    "held_back": f"SELECT {_listed('held_back', 'd.')} FROM held_back d WHERE {{range}} ORDER BY d.event_seq, d.name",
}
_RANGE: Final = "d.event_seq > ? AND d.event_seq <= ?"
_EVENTS: Final = f"SELECT {_listed('event')} FROM event WHERE seq > ? ORDER BY seq LIMIT {EVENTS}"
#: The key that each other part is read by.
_KEYS: Final = {
    "activity": ("seq",),
    "dedupe": ("source", "key"),
    "once": ("name", "key"),
    "hold": ("destination",),
    "login": ("id",),
    "rejected": ("seq",),
    "came": ("minute", "source"),
    "went": ("minute", "destination", "outcome", "bucket"),
}
_BODY: Final = COLUMNS["event"].split().index("body")
_COPYING: Final = "CREATE TABLE IF NOT EXISTS copying (place TEXT)"
# In the order of the store's clock: upkeep looks at the oldest only.
_IN_ORDER: Final = """
CREATE TEMP TABLE ordered AS SELECT seq, row_number() OVER (ORDER BY recorded_at, seq) AS place FROM attempt;
CREATE UNIQUE INDEX temp.ordered_seq ON ordered (seq);
UPDATE attempt SET seq = -(SELECT place FROM ordered WHERE ordered.seq = attempt.seq);
UPDATE attempt SET seq = -seq;
DROP TABLE ordered;
"""


class SQLiteSide:
    """Holds the lock of a store's owner, so that no gateway starts on it."""

    def __init__(self, name: str, path: str, lock: OwnerLock, db: apsw.Connection, secrets: SecretsFile) -> None:
        self.name, self._path, self._lock, self._db, self._secrets = name, path, lock, db, secrets

    @classmethod
    def source(cls, path: str) -> Self:
        """A store to copy. Raises StoreError."""
        if not Path(path).exists():
            raise StoreError(f"{path}: there is no such store: name another file")
        lock = OwnerLock(path)
        try:
            with opening(path):
                db = connect(path, apsw.SQLITE_OPEN_READONLY)
                _refuse_uncleansed(db, path)
        except BaseException:
            lock.release(clean=not lock.was_left)
            raise
        return cls(path, path, lock, db, SecretsFile(Path(path + ENDING)))

    @classmethod
    def target(cls, path: str) -> Self:
        """A store to be made, or to be continued. Raises StoreError."""
        if Path(path).exists():
            raise StoreError(f"{path} exists: a copy needs a file of its own")
        lock, partial = OwnerLock(path), path + PARTIAL
        try:
            with opening(partial):
                os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
                db = connect(partial, apsw.SQLITE_OPEN_READWRITE)
                migrate(db, check_version(db, partial))
                db.execute(_COPYING)
        except BaseException:
            lock.release(clean=not lock.was_left)
            raise
        return cls(path, path, lock, db, SecretsFile(Path(partial + ENDING)))

    async def events(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM event").get)

    # reading

    async def chunk(self, part: str, after: Place) -> Chunk:
        if part == SECRETS:
            return Chunk({SECRETS: [(source, secret.reveal()) for source, secret in self._secrets.pairs()]}, None)
        with opening(self._path):
            return self._of_events(*after or (0,)) if part == "event" else self._of_key(part, after)

    def _of_events(self, after: int) -> Chunk:
        events: list[Row] = []
        size = 0
        for row in self._db.execute(_EVENTS, (after,)):
            events.append(row)
            size += len(row[_BODY])
            if size >= BYTES:
                break
        if not events:
            return Chunk({}, None)
        last = events[-1][0]
        rows = {
            kind: self._db.execute(statement.format(range=_RANGE), (after, last)).fetchall()
            for kind, statement in _OF_EVENT.items()
        }
        rows["delivery"] = [_with_due(row, BEHIND, float("inf")) for row in rows["delivery"]]
        return Chunk({"event": events, **rows}, (last,))

    def _of_key(self, part: str, after: Place) -> Chunk:
        key = _KEYS[part]
        columns = COLUMNS[part].split()
        listed = [*columns, *(name for name in key if name not in columns)]
        where = f"WHERE ({', '.join(key)}) > ({', '.join('?' * len(key))})" if after else ""
        statement = f"SELECT {', '.join(listed)} FROM {part} {where} ORDER BY {', '.join(key)} LIMIT {ROWS}"
        rows: list[Any] = self._db.execute(statement, after).fetchall()
        last = tuple(rows[-1][listed.index(name)] for name in key) if len(rows) == ROWS else None
        return Chunk({part: [row[: len(columns)] for row in rows]}, last)

    # writing

    async def come_to(self) -> tuple[str, Place] | None:
        found: Any = self._db.execute("SELECT place FROM copying").get
        if found is None:
            return (PARTS[0], ())
        return _place(found)

    async def add(self, part: str, chunk: Chunk, then: tuple[str, Place] | None) -> None:
        with opening(self._path), self._db:
            # Triggers have counted what was copied with the events; the store that is copied has counted more.
            if part in ("came", "went") and self._place()[1] == ():
                self._db.execute(f"DELETE FROM {part}")
            for kind, rows in chunk.rows.items():
                self._insert(kind, rows)
            self._db.execute("DELETE FROM copying")
            self._db.execute("INSERT INTO copying VALUES (?)", (msgspec.json.encode(_packed(then)).decode(),))

    def _place(self) -> tuple[str, Place]:
        found: Any = self._db.execute("SELECT place FROM copying").get
        return (found and _place(found)) or (PARTS[0], ())

    def _insert(self, kind: str, rows: Iterable[Row]) -> None:
        if kind == SECRETS:
            self._secrets.extend((source, Secret(secret)) for source, secret in rows)
            return
        columns = COLUMNS[kind].split()
        if kind == "delivery":
            rows = [_with_turn(_with_due(row, float("inf"), BEHIND)) for row in rows]
        if kind in ("attempt", "notice"):
            # Its delivery says which event it belongs to.
            columns, rows = columns[1:], [row[1:] for row in rows]
        marks = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO {kind} ({', '.join(columns)}) VALUES ({marks})", rows)

    async def finish(self) -> None:
        with opening(self._path), self._db:
            self._db.execute(_IN_ORDER)
            self._db.execute("DROP TABLE copying")
            now = self._db.execute(sql.STORED_TIME).get
            self._db.execute(sql.SET_CLOCK, (now,))
        if await self.events():
            self._lock.remember_events()
        self._db.close()
        SecretsFile(Path(self._path + ENDING)).extend(self._secrets.pairs())
        os.rename(self._path + PARTIAL, self._path)  # noqa: PTH104  nothing else runs on this loop
        self._secrets.remove()
        self._db = connect(self._path, apsw.SQLITE_OPEN_READONLY)

    async def close(self) -> None:
        self._db.close()
        self._lock.release(clean=not self._lock.was_left)


def _refuse_uncleansed(db: apsw.Connection, path: str) -> None:
    refuse_old(db, path)
    if db.execute(UNCLEANSED).get:
        raise StoreError(f"{path} was just migrated from an older release: start the gateway on it for a minute first")


_DELIVERY: Final = COLUMNS["delivery"].split()
_DUE, _SEQ, _TURNS = (_DELIVERY.index(name) for name in ("due", "seq", "turn"))


def _with_due(row: Row, this: float, instead: float) -> Row:
    """A delivery with another due time for one that waits in its lane."""
    return (*row[:_DUE], instead, *row[_DUE + 1 :]) if row[_DUE] == this else row


def _with_turn(row: Row) -> Row:
    """A delivery with a place in its lane, which every one has here."""
    return row if row[_TURNS] is not None else (*row[:_TURNS], row[_SEQ], *row[_TURNS + 1 :])


def _packed(place: tuple[str, Place] | None) -> Any:
    """A place as JSON: bytes are hexadecimal in a list of one."""
    if place is None:
        return []
    part, values = place
    return [part, [[value.hex()] if isinstance(value, bytes) else value for value in values]]


def _place(text: str) -> tuple[str, Place] | None:
    found = msgspec.json.decode(text)
    if not found:
        return None
    part, values = found
    return part, tuple(bytes.fromhex(value[0]) if isinstance(value, list) else value for value in values)
