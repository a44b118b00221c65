"""What is removed, and redacted: in small slices, since appends wait for each."""
# ruff: noqa: S608  the only things put into these texts are our own constants

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

import apsw

from gateway.store.nouns import Retention
from gateway.store.numbers import MINUTES_KEPT
from gateway.store.sqlite import memory, tracked
from gateway.store.sqlite import statements as sql
from gateway.store.sqlite.rows import to_json
from gateway.store.sqlite.words import WordIndex

#: A slice of pruning ends after this many bytes of bodies.
PRUNE_BYTES: Final = 1024 * 1024
#: How often old events whose bodies were still needed are looked at again, seconds.
SWEEP_S: Final = 3600.0
#: How often the records of each source are counted, seconds; takes a few milliseconds for a million.
COUNT_S: Final = 60.0

UNCLEANSED: Final = "SELECT last_event FROM uncleansed"
CLEANSED: Final = "UPDATE uncleansed SET last_event = ?1 WHERE last_event <> ?1"
# iif: the disk may have damaged a row, and json_each would fail for all of them.
_HEADERS: Final = "json_each(iif(json_valid(headers), headers, '{}'))"
CLEANSE: Final = f"""
UPDATE event SET headers = (
    SELECT json_group_object(key, value) FROM {_HEADERS} WHERE key NOT IN (SELECT value FROM json_each(?4))
) WHERE seq > ?1 AND seq <= ?2 AND ?3 IN ('', source)
    AND EXISTS (SELECT 1 FROM {_HEADERS} WHERE key IN (SELECT value FROM json_each(?4)))
"""


def cleanse(db: apsw.Connection, headers: Mapping[str, Collection[str]], limit: int) -> bool:
    """Remove headers from at most ``limit`` events that an older release stored; whether there are more of them."""
    last = int(db.execute(UNCLEANSED).get)
    for source, names in headers.items():
        db.execute(CLEANSE, (last - limit, last, source, to_json(sorted(names))))
    db.execute(CLEANSED, (max(0, last - limit),))
    return last > limit


class Upkeep:
    """Remembers how far it has come; everything else is in the file."""

    def __init__(self) -> None:
        self._pruned_to = self._emptied_to = 0
        self._swept_at = self._counted_at = -math.inf
        #: Sources that remember too many records, and until when those that stay are remembered at least.
        self._crowded: dict[str, float] = {}
        self.words = WordIndex()
        #: What was removed is left in the log, perhaps. For any thread.
        self.is_log_dirty = False

    def prune(self, db: apsw.Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        """Remove one slice: the number of items removed, and whether there may be more even if it is 0."""
        for statement, values in (
            (sql.PRUNE_ATTEMPTS, (now - retention.attempts_s, limit)),
            (sql.PRUNE_KEYS, (now, limit)),
            (sql.PRUNE_ONCE, (now, limit)),
            (memory.PRUNE, (now, limit)),
        ):
            db.execute(statement, values)
            if removed := db.changes():
                return removed, True
        if removed := tracked.prune(db, limit, now) or self._evict(db, retention, limit, now):
            return removed, True
        removed, more = self._empty(db, retention, limit, now)
        if not (removed or more):
            removed, more = self._remove(db, retention, limit, now)
        if not (removed or more):
            self._forget_numbers(db, now)
        return removed, more

    def _evict(self, db: apsw.Connection, retention: Retention, limit: int, now: float) -> int:
        """Remove the oldest records of sources with too many. Counting looks at each, so it is done once a minute."""
        if not self._crowded and now - self._counted_at >= COUNT_S:
            self._crowded, self._counted_at = tracked.crowded(db, retention.records), now
        while self._crowded:
            source, until = self._crowded.popitem()
            if removed := tracked.evict(db, source, until, limit):
                self._crowded[source] = until
                return removed
        return 0

    def redact(self, db: apsw.Connection, bodies: Mapping[str, bytes]) -> int:
        """Replace bodies of events that are still at rest; how many were."""
        redacted: list[Any] = [
            seq
            for event_id, body in bodies.items()
            for (seq,) in db.execute(
                sql.REDACT, (body, hashlib.sha256(body).digest(), event_id), can_cache=False
            ).fetchall()
        ]
        self.words.renew(db, redacted)
        self.is_log_dirty = self.is_log_dirty or bool(redacted)
        return len(redacted)

    def _empty(self, db: apsw.Connection, retention: Retention, limit: int, now: float) -> tuple[int, bool]:
        """Remove bodies of events that are kept; continues where it stopped, and now and then from the beginning."""
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
