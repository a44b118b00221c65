"""What is removed and indexed in small slices, between the transactions that somebody waits for."""

import hashlib
import math
from collections.abc import Callable
from typing import Any, Final

import apsw

from gateway.model import Event
from gateway.store.nouns import Retention
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.rows import event_of, to_json

#: One slice of pruning stops once it has so many bytes of bodies: appends wait for it.
PRUNE_BYTES: Final = 4 * 1024 * 1024
#: As much of the index of words.
INDEX_BYTES: Final = 1024 * 1024
#: Events that one slice redacts.
REDACTED_AT_ONCE: Final = 50
#: Old events whose bodies were needed are looked at again so often, seconds.
SWEEP_S: Final = 3600.0
#: The numbers of a minute are kept for a day.
MINUTES_KEPT: Final = 24 * 60


class Upkeep:
    """Remembers how far it has come; all else is in the file."""

    def __init__(self) -> None:
        self._pruned_to = self._redacted_to = self._emptied_to = 0
        self._swept_at = -math.inf
        #: The last event in the index of words; None: not known yet.
        self._indexed_to: int | None = None

    def is_behind(self, last_event: int) -> bool:
        """Whether there may be events that are not in the index. Called from any thread."""
        return self._indexed_to is None or self._indexed_to < last_event

    def index(self, db: apsw.Connection, limit: int, last_event: int) -> bool:
        """Take at most ``limit`` events into the index of words; whether there may be more."""
        db.execute(sql.ADD_WORDS, (db.execute(sql.INDEXED_TO).get, limit, INDEX_BYTES))
        if db.changes():
            self._indexed_to = int(db.execute(sql.INDEXED_TO).get)
        else:
            # The last ones were pruned meanwhile.
            self._indexed_to = last_event
        return self.is_behind(last_event)

    def prune(
        self,
        db: apsw.Connection,
        retention: Retention,
        limit: int,
        redacted: Callable[[Event], bytes] | None,
        now: float,
    ) -> tuple[int, bool]:
        """Remove one slice: how many things, and whether there may be more although it was none."""
        for statement, values in (
            (sql.PRUNE_ATTEMPTS, (now - retention.attempts_s, limit)),
            (sql.PRUNE_KEYS, (now, limit)),
            (sql.PRUNE_ONCE, (now, limit)),
        ):
            db.execute(statement, values)
            if removed := db.changes():
                return removed, True
        removed, more = self._redact(db, redacted, limit) if redacted else (0, False)
        if not (removed or more):
            removed, more = self._empty(db, retention, limit, now)
        if not (removed or more):
            removed, more = self._remove(db, retention, limit, now)
        if not (removed or more):
            self._forget_numbers(db, now)
        return removed, more

    def _redact(self, db: apsw.Connection, redacted: Callable[[Event], bytes], limit: int) -> tuple[int, bool]:
        """Take what its source redacts out of the body of an event that is at rest."""
        part = (self._redacted_to, min(limit, REDACTED_AT_ONCE))
        rows: list[Any] = db.execute(sql.TO_REDACT, part).fetchall()
        self._redacted_to = db.execute(sql.LAST_TO_REDACT, part).get or 0
        for seq, *row in rows:
            event, intact, _ = event_of(row)
            # What the disk has damaged is nobody's any more.
            body = redacted(event) if intact else b"{}"
            db.execute(sql.REDACT, (body, hashlib.sha256(body).digest(), seq))
        indexed_to = db.execute(sql.INDEXED_TO).get
        seqs = [row[0] for row in rows if row[0] <= indexed_to]
        db.execute(sql.FORGET_WORDS, (to_json(seqs),))
        for seq in seqs:
            db.execute(sql.WORDS_AGAIN, (seq,))
        return len(rows), self._redacted_to > 0

    def _empty(self, db: apsw.Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        """Remove bodies of events that stay; on from where it stopped, and now and then from the beginning."""
        if retention.bodies_s >= retention.events_s:
            return 0, False
        if now - self._swept_at >= SWEEP_S:
            self._swept_at, self._emptied_to = now, 0
        last, old = db.execute(sql.OLD_BODIES, (self._emptied_to, limit, now - retention.bodies_s)).get
        self._emptied_to = last or self._emptied_to
        db.execute(sql.EMPTY_BODIES, (old,))
        removed = db.changes()
        db.execute(sql.FORGET_WORDS, (old,))
        return removed, last is not None

    def _remove(self, db: apsw.Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        last, old = db.execute(
            sql.OLD_EVENTS, (now - retention.dead_s, self._pruned_to, limit, now - retention.events_s, PRUNE_BYTES)
        ).get
        self._pruned_to = last or 0
        for statement in sql.PRUNE_EVENTS:
            db.execute(statement, (old,))
        return db.changes(), last is not None

    def _forget_numbers(self, db: apsw.Connection, now: float) -> None:
        for statement in sql.FORGET_NUMBERS:
            db.execute(statement, (int(now / 60) - MINUTES_KEPT,) if "?" in statement else ())
