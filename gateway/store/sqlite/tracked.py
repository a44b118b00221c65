"""Records that events are about, as the owner's thread keeps them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec

from gateway.event import tracks
from gateway.store import tracking
from gateway.store.nouns import NewEvent, Record
from gateway.store.sqlite.records import LIGHT, Records
from gateway.store.sqlite.rows import storable, to_json
from gateway.store.tracking import Decided, RecordKey

_OF_KEYS: Final = """
FROM json_each(?1) k CROSS JOIN record r ON r.source = k.value ->> 0 AND r.key = k.value ->> 1 WHERE r.expires > ?2
"""
LAST: Final = f"SELECT r.source, r.key, r.event_id {_OF_KEYS}"
READ: Final = f"SELECT r.key, r.event_id, r.track {_OF_KEYS}"
WRITE: Final = """
INSERT INTO record (source, key, event_id, track, expires) VALUES {rows}
ON CONFLICT (source, key) DO UPDATE SET event_id = excluded.event_id, track = excluded.track, expires = excluded.expires
"""
FREE_KEY: Final = "DELETE FROM dedupe WHERE source = ? AND key = ? AND event_id = ?"

#: Records whose last events are kept in memory. Each takes some 300 bytes.
MOST_LATELY: Final = 20_000

#: As bytes: of what is compared, most is not a text of its own.
MENTIONING: Final = """
SELECT json_group_array(json_array(source, key)) FROM record
WHERE instr(track, CAST(?1 AS BLOB)) AND mentions(CAST(track AS TEXT), ?1)
"""
TRACKS: Final = "SELECT source, track FROM event WHERE seq IN (SELECT value FROM json_each(?)) AND track IS NOT NULL"
FORGET: Final = """
DELETE FROM record WHERE (source, key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
"""

#: A loose scan: one look-up in the index for each source.
SOURCES: Final = """
WITH RECURSIVE known (source) AS (
    SELECT min(source) FROM record
    UNION ALL SELECT (SELECT min(source) FROM record WHERE source > known.source) FROM known WHERE known.source IS NOT NULL
)
SELECT source FROM known WHERE source IS NOT NULL
"""
COUNT: Final = "SELECT count(*) FROM record INDEXED BY record_expires WHERE source = ?"
PRUNE: Final = """
DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE source = ?1 AND expires <= ?2 ORDER BY expires LIMIT ?3)
"""
NTH: Final = "SELECT expires FROM record WHERE source = ? ORDER BY expires LIMIT 1 OFFSET ?"
EVICT: Final = """
DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE source = ? AND expires < ? ORDER BY expires LIMIT ?)
"""


def decide(
    records: Records, requests: Sequence[Sequence[NewEvent]], owners: Sequence[str | None], now: float
) -> Decided:
    """Which requests have to be planned again: the keys of their events are free once more. Writes the other records."""
    decided = tracking.decide(requests, owners, _last(records, tracking.keys_of(requests), now))
    for new in decided.refused:
        records.db.execute(FREE_KEY, (new.event.source, new.key, new.event.id))
    _write(records, decided.written, now)
    return decided


def _last(records: Records, keys: Sequence[RecordKey], now: float) -> dict[RecordKey, str]:
    """Of each record that is remembered the event that has written it."""
    lately = records.last_events
    asked = to_json([key for key in keys if key not in lately])
    rows: list[Any] = records.db.execute(LAST, (asked, now)).fetchall() if asked != "[]" else []
    known = {(source, key): last for source, key, last in rows}
    return known | {key: lately[key][0] for key in keys if key in lately and lately[key][1] > now}


def _write(records: Records, written: Mapping[RecordKey, NewEvent], now: float) -> None:
    rows = [
        (source, key, new.event.id, new.event.track, now + new.record.keeps_s)
        for (source, key), new in written.items()
        if new.record is not None
    ]
    if len(records.last_events) > MOST_LATELY:
        records.last_events.clear()
    records.last_events.update({(row[0], row[1]): (row[2], row[4]) for row in rows})
    records.add(WRITE, [row for row in rows if len(row[3]) <= LIGHT])
    for row in (row for row in rows if len(row[3]) > LIGHT):
        # Not kept compiled: with the statement, what is bound to it would stay in memory.
        records.db.execute(WRITE.format(rows="(?,?,?,?,?)"), row, can_cache=False)


def read(db: apsw.Connection, source: str, keys: Collection[str], now: float) -> Mapping[str, Record]:
    """The records of a source that are remembered, by key."""
    asked = to_json([(source, storable(key)) for key in keys])
    rows: list[Any] = db.execute(READ, (asked, now)).fetchall()
    return {key: Record(event_id, track) for key, event_id, track in rows}


def counts(db: apsw.Connection) -> Mapping[str, int]:
    """How many records are remembered, by source."""
    return {source: int(db.execute(COUNT, (source,)).get) for source in _sources(db)}


def _sources(db: apsw.Connection) -> Sequence[str]:
    rows: list[Any] = db.execute(SOURCES).fetchall()
    return [source for (source,) in rows]


def forget(db: apsw.Connection, seqs: str) -> None:
    """Forget the records that events are about, given their numbers as JSON."""
    rows: list[Any] = db.execute(TRACKS, (seqs,)).fetchall()
    found = [(source, track.key) for source, stored in rows if (track := tracks.decoded(stored)) is not None]
    if found:
        db.execute(FORGET, (msgspec.json.encode(found).decode(),))


def prune(db: apsw.Connection, limit: int, now: float) -> int:
    """Remove records that have expired; how many."""
    removed = 0
    for source in _sources(db):
        db.execute(PRUNE, (source, now, limit - removed))
        removed += db.changes()
        if removed >= limit:
            break
    return removed


def crowded(db: apsw.Connection, most: int) -> dict[str, float]:
    """Sources with more than ``most`` records: until when those that stay are remembered at least. Looks at each record."""
    found = {source: count - most for source, count in counts(db).items() if count > most}
    return {source: db.execute(NTH, (source, many)).get for source, many in found.items()}


def evict(db: apsw.Connection, source: str, until: float, limit: int) -> int:
    """Remove records of a source that are remembered for less long; how many."""
    db.execute(EVICT, (source, until, limit))
    return db.changes()
