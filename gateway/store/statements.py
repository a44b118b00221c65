"""The tables of the SQLite store and every statement on them, as named text; no I/O."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Mapping
from typing import Final

from gateway.model import MOVES, DeliveryState

#: How a file of ours is known: "WHGW".
APPLICATION: Final = 0x57484757
VERSION: Final = 2

# --- the tables ---

#: When a delivery is due that waits behind another one of its lane, seconds: never. It stays at the end of the index.
BEHIND: Final = 1e15

# Rows name each other by seq, which is the order of acceptance. Times are by the store's clock,
# except attempt.started_at, event.received_at and those of pause, which are for people.
# This is format 1: a new file takes the way of an old one, through every migration.
SCHEMA: Final = f"""
CREATE TABLE clock (now REAL NOT NULL) STRICT;
INSERT INTO clock VALUES (0);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    received_at REAL NOT NULL,
    stored_at REAL NOT NULL,
    headers TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE dedupe (
    source TEXT NOT NULL,
    key BLOB NOT NULL,
    event_id TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_expires ON dedupe (expires);
CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event_seq INTEGER NOT NULL REFERENCES event,
    route TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in DeliveryState)})),
    due REAL CHECK ((state = 'pending') = (due IS NOT NULL)),
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_before_replay INTEGER NOT NULL DEFAULT 0,
    spent_s REAL NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    last_status INTEGER,
    last_answer TEXT NOT NULL DEFAULT '',
    changed_at REAL NOT NULL,
    replayed_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX delivery_of_event ON delivery (event_seq);
CREATE INDEX delivery_due ON delivery (destination, due) WHERE state = 'pending';
CREATE INDEX delivery_dead ON delivery (seq) WHERE state = 'dead';
CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY,
    delivery_seq INTEGER NOT NULL REFERENCES delivery,
    number INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    started_at REAL NOT NULL,
    duration_s REAL NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    reason TEXT NOT NULL,
    answer TEXT NOT NULL,
    config_revision TEXT NOT NULL,
    sent_bytes INTEGER NOT NULL,
    sent_sha256 BLOB NOT NULL,
    next_s REAL,
    UNIQUE (delivery_seq, number)
) STRICT;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = 1;
"""

#: From the format that a file has to the next one.
MIGRATIONS: Final[Mapping[int, str]] = {
    1: """
    CREATE TABLE pause (
        destination TEXT NOT NULL PRIMARY KEY,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        since REAL NOT NULL,
        until REAL
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE delivery ADD COLUMN lane TEXT;
    ALTER TABLE delivery ADD COLUMN turn INTEGER;
    CREATE INDEX delivery_lane ON delivery (destination, lane, turn) WHERE state = 'pending' AND lane IS NOT NULL;
    CREATE TABLE once (
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        fired_at REAL NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX once_expires ON once (expires);
    CREATE TABLE held_back (
        event_seq INTEGER NOT NULL REFERENCES event,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        event_id TEXT NOT NULL,
        fired_at REAL NOT NULL,
        PRIMARY KEY (event_seq, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE notice (
        delivery_seq INTEGER PRIMARY KEY REFERENCES delivery,
        teller TEXT NOT NULL,
        due REAL NOT NULL,
        dead TEXT NOT NULL,
        count INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE INDEX notice_teller ON notice (teller, due);
    PRAGMA user_version = 2;
    """,
}

# --- statements of the owner; {rows} becomes (?,...),(?,...) ---

TAKE_KEYS: Final = """
INSERT INTO dedupe (source, key, event_id, expires) VALUES {rows}
ON CONFLICT DO UPDATE SET event_id = excluded.event_id, expires = excluded.expires WHERE dedupe.expires <= ?
"""
KEY_OWNERS: Final = """
SELECT json_group_array(json_array(d.event_id, EXISTS (SELECT 1 FROM event e WHERE e.id = d.event_id)) ORDER BY k.key)
FROM json_each(?) k CROSS JOIN dedupe d ON d.source = k.value ->> 0 AND d.key = unhex(k.value ->> 1)
"""
ADD_EVENTS: Final = """
INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body) VALUES {rows}
"""
ADD_DELIVERIES: Final = """
INSERT INTO delivery (seq, id, event_seq, route, destination, state, due, changed_at, lane, turn) VALUES {rows}
"""
MOVE_DELIVERIES: Final = """
WITH new (seq, state, due, attempts, spent_s, reason, last_status, last_answer, changed_at) AS (VALUES {rows})
UPDATE delivery SET state = new.state, due = new.due, attempts = new.attempts, spent_s = new.spent_s,
    reason = new.reason, last_status = new.last_status, last_answer = new.last_answer, changed_at = new.changed_at
FROM new WHERE delivery.seq = new.seq AND delivery.state = 'pending'
"""
ADD_ATTEMPTS: Final = """
INSERT OR REPLACE INTO attempt (delivery_seq, number, recorded_at, started_at, duration_s, outcome, status, reason,
    answer, config_revision, sent_bytes, sent_sha256, next_s) VALUES {rows}
"""
DELIVERY: Final = """
d.id, e.id, d.route, d.destination, d.state, d.attempts, d.attempts_before_replay, d.spent_s, d.crashes, d.due,
d.reason, d.last_status, d.last_answer, d.lane,
(SELECT n.count || ' ' || n.dead FROM notice n WHERE n.delivery_seq = d.seq)
"""
# One more than there are slots: the first that is left says what is due next.
CLAIM: Final = f"""
SELECT CAST(json_group_array(json_array(c.due, d.seq, {DELIVERY}) ORDER BY c.due, c.seq) AS BLOB) FROM (
    SELECT seq, due FROM delivery INDEXED BY delivery_due
    WHERE state = 'pending' AND destination = ? AND seq NOT IN (SELECT value FROM json_each(?))
    ORDER BY due LIMIT ?
) c CROSS JOIN delivery d ON d.seq = c.seq CROSS JOIN event e ON e.seq = d.event_seq
"""
# As bytes: a text that the disk has damaged must not fail the whole answer.
EVENT: Final = """
CAST(e.id AS BLOB), CAST(e.source AS BLOB), CAST(e.type AS BLOB), e.received_at, CAST(e.headers AS BLOB), e.body, e.sha256
"""
LOAD: Final = f"SELECT {EVENT} FROM event e WHERE e.id IN (SELECT value FROM json_each(?))"
# Only of a transaction that stores no event and no attempt: those have its time already.
SET_CLOCK: Final = "UPDATE clock SET now = ?"
STORED_TIME: Final = """
SELECT max(now, coalesce((SELECT stored_at FROM event ORDER BY seq DESC LIMIT 1), 0),
    coalesce((SELECT recorded_at FROM attempt ORDER BY seq DESC LIMIT 1), 0)) FROM clock
"""
LAST_SEQS: Final = """
SELECT coalesce((SELECT max(seq) FROM event), 0), max(coalesce((SELECT max(seq) FROM delivery), 0),
    coalesce((SELECT max(turn) FROM delivery WHERE state = 'pending' AND lane IS NOT NULL), 0))
"""
STILL_PENDING: Final = """
SELECT json_group_array(id) FROM delivery WHERE state = 'pending' AND id IN (SELECT value FROM json_each(?))
"""
REPLAY: Final = f"""
UPDATE delivery SET state = 'pending', due = ?2, attempts_before_replay = attempts, spent_s = 0, crashes = 0,
    changed_at = ?2, replayed_by = ?3
WHERE seq IN (SELECT value FROM json_each(?1))
    AND state IN ({", ".join(f"'{s}'" for s, moves in MOVES.items() if DeliveryState.PENDING in moves)})
RETURNING seq
"""
DELIVERY_SEQS: Final = """
SELECT seq FROM delivery WHERE id = ?1
UNION ALL SELECT seq FROM delivery WHERE event_seq = (SELECT seq FROM event WHERE id = ?1)
"""
DELIVERIES_BY_SEQ: Final = f"""
SELECT {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.seq IN (SELECT value FROM json_each(?)) ORDER BY d.seq
"""
DELIVERY_BY_ID: Final = f"""
SELECT CAST(json_array({DELIVERY}) AS BLOB) FROM delivery d JOIN event e ON e.seq = d.event_seq WHERE d.id = ?
"""
CRASHED: Final = """
UPDATE delivery SET crashes = crashes + 1 WHERE id = ? AND state = 'pending' RETURNING crashes
"""

# A loose scan: two look-ups in the index for each destination, however many deliveries wait.
BOUNDS: Final = """
WITH RECURSIVE waiting (destination) AS (
    SELECT min(destination) FROM delivery WHERE state = 'pending'
    UNION ALL
    SELECT (SELECT min(destination) FROM delivery WHERE state = 'pending' AND destination > waiting.destination)
    FROM waiting WHERE waiting.destination IS NOT NULL
)
SELECT destination, (SELECT min(due) FROM delivery d WHERE d.state = 'pending' AND d.destination = waiting.destination)
FROM waiting WHERE destination IS NOT NULL
"""

# Rows are in the order of the store's clock, so a slice looks at the oldest only.
PRUNE_ATTEMPTS: Final = """
DELETE FROM attempt WHERE recorded_at <= ? AND seq IN (SELECT seq FROM attempt ORDER BY seq LIMIT ?)
"""
PRUNE_KEYS: Final = """
DELETE FROM dedupe WHERE (source, key) IN (SELECT source, key FROM dedupe WHERE expires <= ? ORDER BY expires LIMIT ?)
"""
OLD_EVENTS: Final = """
SELECT max(seq), json_group_array(seq) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM delivery d WHERE d.event_seq = e.seq
        AND (d.state = 'pending' OR (d.state = 'dead' AND d.changed_at > ?1))
))
FROM (
    SELECT seq, stored_at, sum(size) OVER (ORDER BY seq) - size AS bytes_before
    FROM (SELECT seq, stored_at, length(body) AS size FROM event WHERE seq > ?2 ORDER BY seq LIMIT ?3)
) e WHERE e.stored_at <= ?4 AND e.bytes_before < ?5
"""
PRUNE_ONCE: Final = """
DELETE FROM once WHERE (name, key) IN (SELECT name, key FROM once WHERE expires <= ? ORDER BY expires LIMIT ?)
"""
PRUNE_EVENTS: Final = (
    """
    DELETE FROM notice WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    """
    DELETE FROM attempt WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    "DELETE FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM held_back WHERE event_seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))",
)

# --- statements of the read side ---

EVENTS: Final = """
SELECT seq, id, source, type, received_at, length(body) FROM event
WHERE seq < CASE ?1 WHEN '' THEN 0x7fffffffffffffff ELSE (SELECT seq FROM event WHERE id = ?1) END ORDER BY seq DESC LIMIT ?2
"""
DELIVERIES_OF: Final = f"""
SELECT d.event_seq, d.seq, {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.event_seq IN (SELECT value FROM json_each(?)) ORDER BY d.seq
"""
DELIVERIES_IN: Final = f"""
SELECT {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.state = '{{state}}' AND (?1 = '' OR d.destination = ?1)
    AND d.seq < CASE ?2 WHEN '' THEN 0x7fffffffffffffff ELSE (SELECT seq FROM delivery WHERE id = ?2) END
ORDER BY d.seq DESC LIMIT ?3
"""
WAITING: Final = """
SELECT route, destination, count(*) FROM delivery WHERE state = 'pending' GROUP BY destination, route
"""
EVENT_BY_SEQ: Final = f"SELECT {EVENT} FROM event e WHERE e.seq = ?"
EVENT_SEQ: Final = """
SELECT seq FROM event WHERE id = ?1 UNION ALL SELECT event_seq FROM delivery WHERE id = ?1 LIMIT 1
"""
ATTEMPTS: Final = """
SELECT d.id, a.number, a.started_at, a.duration_s, a.outcome, a.status, a.reason, a.answer, a.config_revision,
    a.sent_bytes, a.sent_sha256, a.next_s
FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq WHERE d.event_seq = ? ORDER BY d.seq, a.number
"""

# --- lanes: only the first of those pending may be due ---

_FIRST: Final = """
(SELECT d.seq FROM delivery d INDEXED BY delivery_lane
    WHERE d.state = 'pending' AND d.destination = k.value ->> 0 AND d.lane = k.value ->> 1 ORDER BY d.turn LIMIT 1)
"""
BUSY_LANES: Final = f"SELECT k.value ->> 0, k.value ->> 1 FROM json_each(?) k WHERE {_FIRST} IS NOT NULL"
NEXT_IN_LANES: Final = f"""
UPDATE delivery SET due = ?2 WHERE due = {BEHIND} AND seq IN (SELECT {_FIRST} FROM json_each(?1) k) RETURNING destination
"""
LANED: Final = (
    "SELECT seq FROM delivery WHERE seq IN (SELECT value FROM json_each(?)) AND lane IS NOT NULL ORDER BY seq"
)
LAST_IN_LANE: Final = "UPDATE delivery SET turn = ? WHERE seq = ?"
FALL_IN: Final = f"""
UPDATE delivery SET due = {BEHIND} WHERE seq IN (SELECT value FROM json_each(?)) AND EXISTS (
    SELECT 1 FROM delivery d INDEXED BY delivery_lane WHERE d.state = 'pending'
        AND d.destination = delivery.destination AND d.lane = delivery.lane AND d.turn < delivery.turn
)
"""

# --- routes that fire once per key ---

FIRE: Final = """
INSERT INTO once (name, key, event_id, fired_at, expires) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET event_id = excluded.event_id, fired_at = excluded.fired_at, expires = excluded.expires
WHERE once.expires <= ?4
"""
HOLD_BACK: Final = """
INSERT INTO held_back (event_seq, name, key, event_id, fired_at)
SELECT ?1, name, key, event_id, fired_at FROM once WHERE name = ?2 AND key = ?3
"""
HELD_BACK: Final = "SELECT name, key, event_id, fired_at FROM held_back WHERE event_seq = ? ORDER BY name"

# --- notices of dead deliveries ---

LAST_NOTICE: Final = "SELECT delivery_seq, due FROM notice WHERE teller = ? ORDER BY due DESC LIMIT 1"
ONE_MORE: Final = "UPDATE notice SET count = count + 1 WHERE delivery_seq = ?"
ADD_NOTICE: Final = "INSERT INTO notice (delivery_seq, teller, due, dead) VALUES (?, ?, ?, ?)"
EVENT_OF: Final = "SELECT event_seq FROM delivery WHERE seq = ?"

# --- pauses ---

PAUSE: Final = "INSERT OR REPLACE INTO pause (destination, by, reason, since, until) VALUES (?, ?, ?, ?, ?)"
RESUME: Final = "DELETE FROM pause WHERE destination = ? RETURNING destination"
PAUSES: Final = "SELECT destination, by, reason, since, until FROM pause ORDER BY destination"
