"""Every statement on the tables of the SQLite store, as named text; no I/O."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from typing import Final

from gateway.store.rules import MAY_BE_DISCARDED, MAY_BE_REPLAYED
from gateway.store.sqlite.tables import BEHIND

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
INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body, redact, label, track) VALUES {rows}
"""
ADD_DELIVERIES: Final = """
INSERT INTO delivery (seq, id, event_seq, route, destination, state, due, changed_at, lane, turn) VALUES {rows}
"""
MOVE_DELIVERIES: Final = """
WITH new (seq, state, due, attempts, spent_s, reason, last_status, last_answer, changed_at, cause) AS (VALUES {rows})
UPDATE delivery SET state = new.state, due = new.due, attempts = new.attempts, spent_s = new.spent_s,
    reason = new.reason, last_status = new.last_status, last_answer = new.last_answer, changed_at = new.changed_at,
    cause = new.cause
FROM new WHERE delivery.seq = new.seq AND delivery.state = 'pending'
"""
ADD_ATTEMPTS: Final = """
INSERT OR REPLACE INTO attempt (delivery_seq, number, recorded_at, started_at, duration_s, outcome, status, reason,
    answer, config_revision, sent_bytes, sent_sha256, next_s, memory, looked_up) VALUES {rows}
"""
DELIVERY: Final = """
d.id, e.id, d.route, d.destination, d.state, d.attempts, d.attempts_before_replay, d.spent_s, d.crashes, d.due,
d.reason, d.last_status, d.last_answer, d.lane,
(SELECT n.count || ' ' || n.dead FROM notice n WHERE n.delivery_seq = d.seq),
d.cause, (SELECT id FROM activity WHERE seq = d.task),
(SELECT t.count || ' ' || t.head FROM timing t WHERE t.delivery_seq = d.seq AND t.head <> '')
"""
# One row more than there are slots: the first one that is left over says what is due next.
CLAIM: Final = f"""
SELECT CAST(json_group_array(json_array(c.due, d.seq, {DELIVERY}) ORDER BY c.due, c.seq) AS BLOB) FROM (
    SELECT seq, due FROM delivery INDEXED BY delivery_due
    WHERE state = 'pending' AND destination = ? AND seq NOT IN (SELECT value FROM json_each(?))
    ORDER BY due LIMIT ?
) c CROSS JOIN delivery d ON d.seq = c.seq CROSS JOIN event e ON e.seq = d.event_seq
"""
# The first that is due of another event than some.
CLAIM_ANOTHER: Final = f"""
SELECT CAST(json_group_array(json_array(c.due, d.seq, {DELIVERY})) AS BLOB) FROM (
    SELECT seq, due FROM delivery INDEXED BY delivery_due
    WHERE state = 'pending' AND destination = ? AND seq NOT IN (SELECT value FROM json_each(?)) AND due <= ?
        AND event_seq NOT IN (SELECT seq FROM event WHERE id IN (SELECT value FROM json_each(?)))
    ORDER BY due LIMIT 1
) c CROSS JOIN delivery d ON d.seq = c.seq CROSS JOIN event e ON e.seq = d.event_seq
"""
# As bytes: a text that the disk has damaged must not fail the whole answer.
EVENT: Final = """
CAST(e.id AS BLOB), CAST(e.source AS BLOB), CAST(e.type AS BLOB), e.received_at, CAST(e.headers AS BLOB), e.body, e.sha256, e.body_is, e.label, e.track
"""
LOAD: Final = f"SELECT {EVENT} FROM event e WHERE e.id IN (SELECT value FROM json_each(?))"
# Only in a transaction that stores no event and no attempt: those already carry its time.
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
DELIVERIES_BY_SEQ: Final = f"""
SELECT {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.seq IN (SELECT value FROM json_each(?)) ORDER BY d.seq
"""
DELIVERY_BY_ID: Final = f"""
SELECT CAST(json_array({DELIVERY}) AS BLOB) FROM delivery d JOIN event e ON e.seq = d.event_seq WHERE d.id = ?
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
# True of events whose body is no longer needed.
_AT_REST: Final = """
NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_seq = e.seq AND d.state IN ('pending', 'dead'))
"""
SURVEY: Final = f"SELECT e.seq, {EVENT} FROM event e WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?"
OLD_BODIES: Final = f"""
SELECT max(seq), json_group_array(seq) FILTER (WHERE body_is <> 'removed' AND {_AT_REST})
FROM (SELECT seq, stored_at, body_is FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2) e WHERE e.stored_at <= ?3
"""
EMPTY_BODIES: Final = """
UPDATE event SET body = x'', body_is = 'removed', redact = 0, track = key_of(track) WHERE seq IN (SELECT value FROM json_each(?))
"""
TO_REDACT: Final = f"""
SELECT e.seq, {_AT_REST} FROM event e INDEXED BY event_redact WHERE redact = 1 AND e.seq > ? ORDER BY e.seq LIMIT ?
"""
REDACT: Final = f"""
UPDATE event AS e SET body = ?, sha256 = ?, body_is = 'redacted', redact = 0, track = key_of(track)
WHERE id = ? AND redact = 1 AND {_AT_REST} RETURNING seq
"""
PRUNE_ONCE: Final = """
DELETE FROM once WHERE (name, key) IN (SELECT name, key FROM once WHERE expires <= ? ORDER BY expires LIMIT ?)
"""
FORGET_WORDS: Final = "DELETE FROM word WHERE rowid IN (SELECT value FROM json_each(?))"
PRUNE_EVENTS: Final = (
    """
    DELETE FROM notice WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    """
    DELETE FROM attempt WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    """
    DELETE FROM timing WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    """
    DELETE FROM memory_wait WHERE delivery_seq IN
        (SELECT seq FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?)))
    """,
    "DELETE FROM delivery WHERE event_seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM held_back WHERE event_seq IN (SELECT value FROM json_each(?))",
    FORGET_WORDS,
    "DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))",
)

# --- reading ---

EVENT_ROWS: Final = """
SELECT seq, id, source, type, received_at, length(body), body_is FROM event
WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq DESC
"""
DELIVERIES_OF: Final = f"""
SELECT d.event_seq, d.seq, {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.event_seq IN (SELECT value FROM json_each(?)) ORDER BY d.seq
"""
EVENTS_BY_ID: Final = "SELECT seq FROM event WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq DESC"
WAITING: Final = """
SELECT route, destination, count(*) FROM delivery WHERE state = 'pending' GROUP BY destination, route
"""
EVENT_BY_SEQ: Final = f"SELECT {EVENT} FROM event e WHERE e.seq = ?"
EVENT_SEQ: Final = """
SELECT seq FROM event WHERE id = ?1 UNION ALL SELECT event_seq FROM delivery WHERE id = ?1 LIMIT 1
"""

# --- lanes: only the first of those pending may be due ---

_FIRST: Final = """
(SELECT d.seq FROM delivery d INDEXED BY delivery_lane
    WHERE d.state = 'pending' AND d.destination = k.value ->> 0 AND d.lane = k.value ->> 1 ORDER BY d.turn LIMIT 1)
"""
BUSY_LANES: Final = f"SELECT k.value ->> 0, k.value ->> 1 FROM json_each(?) k WHERE {_FIRST} IS NOT NULL"
NEXT_IN_LANES: Final = f"""
UPDATE delivery SET due = max(?2, coalesce((SELECT t.due FROM timing t WHERE t.delivery_seq = seq), 0)) WHERE due = {BEHIND} AND seq IN (SELECT {_FIRST} FROM json_each(?1) k) RETURNING destination, due
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

FIRED: Final = "SELECT expires FROM once WHERE name = ? AND key = ?"
FIRE: Final = "INSERT OR REPLACE INTO once (name, key, event_id, fired_at, expires) VALUES (?, ?, ?, ?, ?)"
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

# --- holds ---

_HOLD: Final = "destination, rev, pause, mute, failures, denied, next_probe, probe_interval_s, waits_until"
SET_HOLD: Final = f"""
INSERT INTO hold ({_HOLD}) SELECT ?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9
WHERE ?2 = coalesce((SELECT rev FROM hold WHERE destination = ?1), 0)
ON CONFLICT DO UPDATE SET rev = excluded.rev, pause = excluded.pause, mute = excluded.mute, failures = excluded.failures,
    denied = excluded.denied, next_probe = excluded.next_probe, probe_interval_s = excluded.probe_interval_s, waits_until = excluded.waits_until
"""
HOLDS: Final = f"SELECT {_HOLD} FROM hold ORDER BY destination"

# --- searching: each gives the seqs of events at or before one, the newest first ---

ALL_EVENTS: Final = "SELECT seq FROM event WHERE seq <= ? ORDER BY seq DESC LIMIT ?"
EVENTS_OF_TYPE: Final = """
SELECT seq FROM event INDEXED BY event_by WHERE source = ? AND type = ? AND seq <= ? ORDER BY seq DESC LIMIT ?
"""
EVENTS_OF_DELIVERIES: Final = """
SELECT event_seq FROM delivery INDEXED BY delivery_by
WHERE destination = ? AND state = ? AND cause = ? AND event_seq <= ? ORDER BY event_seq DESC LIMIT ?
"""
# Walked from one to the next: one look-up for each type of each source.
NEXT_TYPE: Final = """
SELECT source, type FROM event INDEXED BY event_by WHERE source = ? AND type > ? ORDER BY type LIMIT 1
"""
NEXT_SOURCE: Final = "SELECT source, type FROM event INDEXED BY event_by WHERE source > ? ORDER BY source, type LIMIT 1"
LAST_EVENT: Final = "SELECT coalesce(max(seq), 0) FROM event"
STORED_AT: Final = "SELECT seq, stored_at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1"
TYPE_OF: Final = "SELECT type FROM event WHERE seq = ?"
RECEIVED_AT: Final = "SELECT received_at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1"


# --- numbers ---

PENDING: Final = "SELECT coalesce(sum(deliveries), 0) FROM tally WHERE state = 'pending'"
TALLY: Final = "SELECT destination, state, cause, deliveries FROM tally WHERE deliveries > 0"
CAME: Final = "SELECT minute, source, events FROM came WHERE minute > ?"
WENT: Final = "SELECT minute, destination, outcome, sum(attempts) FROM went WHERE minute > ? GROUP BY 1, 2, 3"
DURATIONS: Final = "SELECT destination, bucket, sum(attempts) FROM went WHERE minute > ? GROUP BY 1, 2 ORDER BY 1, 2"
FORGET_NUMBERS: Final = (
    "DELETE FROM came WHERE minute < ?1",
    "DELETE FROM went WHERE minute < ?1",
    "DELETE FROM tally WHERE deliveries = 0",
)

WRONG_TALLY: Final = """
SELECT destination, state, sum(counted), sum(there) FROM (
    SELECT destination, state, deliveries AS counted, 0 AS there FROM tally
    UNION ALL SELECT destination, state, 0, count(*) FROM delivery GROUP BY destination, state
) GROUP BY destination, state HAVING sum(counted) <> sum(there)
"""
WRONG_MEMORIES: Final = """
SELECT name, sum(counted), sum(there) FROM (
    SELECT name, keys AS counted, 0 AS there FROM memories UNION ALL SELECT name, 0, count(*) FROM memory GROUP BY name
) GROUP BY name HAVING sum(counted) <> sum(there)
"""
BODIES: Final = f"SELECT e.seq, {EVENT} FROM event e ORDER BY e.seq"

# --- requests that were refused ---

REJECT: Final = "INSERT INTO rejected (at, source, path, status, reason, client, count) VALUES {rows}"
FORGET_REJECTED: Final = """
DELETE FROM rejected WHERE source = ?1 AND seq <= (
    SELECT seq FROM rejected WHERE source = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2
)
"""
REJECTED: Final = "SELECT at, source, path, status, reason, client, count FROM rejected ORDER BY seq DESC LIMIT ?"

# --- activities, and the tasks among them ---

ADD_ACTIVITY: Final = """
INSERT INTO activity (id, at, by, verb, subject, reason, key, which, total, moved, began, position, ends, interval_s,
    next_due, as_new, finished, asked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING seq
"""
FORGET_ACTIVITIES: Final = """
DELETE FROM activity WHERE finished IS NOT 0 AND seq <= (SELECT max(seq) FROM activity) - ?
"""
ACTIVITIES: Final = """
SELECT id, at, by, verb, subject, reason, total, moved, finished, stopped_by,
    CASE WHEN finished IS NULL THEN '[]' ELSE (SELECT json_group_array(json_array(state, json(iif(is_untried, 'true', 'false')), n)) FROM (
        SELECT state, attempts = attempts_before_replay AND attempts > 0 AS is_untried, count(*) AS n
        FROM delivery INDEXED BY delivery_task WHERE task = activity.seq GROUP BY 1, 2
    )) END
FROM activity WHERE {which}
"""
ACTIVITY_OF_KEY: Final = "SELECT id, asked FROM activity WHERE key = ?"
TASK: Final = """
SELECT seq, verb, by, which, began, position, ends, interval_s, next_due, as_new, reason
FROM activity
WHERE finished = 0 AND verb <> 'forget' AND (owner IN ('', ?1) OR leased_until <= ?2) ORDER BY seq LIMIT 1
"""
UNFINISHED: Final = "SELECT id, verb, which, began, position, ends FROM activity WHERE finished = 0 AND verb NOT IN ('discard', 'forget')"
# Only if it is where the slice was planned, and free.
TAKE_TASK: Final = """
UPDATE activity SET owner = ?3, leased_until = ?5
WHERE seq = ?1 AND position = ?2 AND finished = 0 AND (owner IN ('', ?3) OR leased_until <= ?4) RETURNING seq
"""
FREE_TASKS: Final = "UPDATE activity SET owner = '' WHERE finished = 0 AND owner <> ''"
TASK_ID: Final = "SELECT id FROM activity WHERE id = ? AND finished IS NOT NULL"
TASK_WENT_ON: Final = """
UPDATE activity SET moved = moved + ?, position = ?, next_due = ?, finished = ? WHERE seq = ?
"""
STOP_TASK: Final = """
UPDATE activity SET finished = verb <> 'forget', position = ends, which = iif(verb = 'forget', NULL, which), stopped_by = ?
WHERE id = ? AND finished IS NOT NULL AND stopped_by = '' RETURNING seq
"""
_IN_GROUP: Final = """
d.destination = ?1 AND d.state = ?2 AND d.cause = ?3 AND d.event_seq > ?4 AND d.event_seq <= ?5 AND (?6 = '' OR d.route = ?6)
"""
_IF_EVENT: Final = """
(?7 OR e.body_is = 'kept') AND (?8 = '' OR e.source = ?8) AND (?9 IS NULL OR e.type IN (SELECT value FROM json_each(?9)))
"""
# In the order of their events; a delivery that died again meanwhile is behind the position already.
TASK_SLICE: Final = f"""
SELECT d.event_seq, d.seq FROM delivery d INDEXED BY delivery_by CROSS JOIN event e ON e.seq = d.event_seq
WHERE {_IN_GROUP} AND {_IF_EVENT} AND d.changed_at <= ?10 ORDER BY d.event_seq LIMIT ?11
"""
COUNT: Final = f"SELECT count(*) FROM delivery d INDEXED BY delivery_by WHERE {_IN_GROUP}"
COUNT_IF_EVENT: Final = f"""
SELECT count(*) FROM delivery d INDEXED BY delivery_by CROSS JOIN event e ON e.seq = d.event_seq
WHERE {_IN_GROUP} AND {_IF_EVENT}
"""
NAMED: Final = """
SELECT d.seq, d.state, e.body_is, e.id, d.destination, d.cause, d.route, e.source, e.type, d.event_seq, d.changed_at
FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.seq IN (
    SELECT seq FROM delivery WHERE id IN (SELECT value FROM json_each(?1))
    UNION ALL
    SELECT seq FROM delivery WHERE event_seq IN (SELECT seq FROM event WHERE id IN (SELECT value FROM json_each(?1)))
)
"""
NOT_THERE: Final = """
SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM event WHERE id = value)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE id = value) LIMIT 1
"""
_MAY_BE_REPLAYED: Final = ", ".join(f"'{state}'" for state in MAY_BE_REPLAYED)
# {"seq of a delivery": due}
REPLAY: Final = f"""
UPDATE delivery SET state = 'pending', due = k.value, attempts_before_replay = attempts, spent_s = 0, crashes = 0,
    changed_at = ?2, cause = '', task = ?3
FROM json_each(?1) k WHERE delivery.seq = CAST(k.key AS INTEGER) AND state IN ({_MAY_BE_REPLAYED})
RETURNING seq, destination, due
"""
TO_COPY: Final = """
SELECT seq, event_seq, route, destination, lane FROM delivery
WHERE seq IN (SELECT value FROM json_each(?)) AND seq NOT IN (SELECT delivery_seq FROM notice) ORDER BY event_seq, seq
"""
OF_TASK: Final = "UPDATE delivery SET task = ? WHERE seq IN (SELECT value FROM json_each(?))"
_MAY_BE_DISCARDED: Final = ", ".join(f"'{state}'" for state in MAY_BE_DISCARDED)
DISCARD: Final = f"""
UPDATE delivery SET state = 'discarded', due = NULL, cause = '', changed_at = ?2, reason = ?3, task = ?4
WHERE seq IN (SELECT value FROM json_each(?1)) AND state IN ({_MAY_BE_DISCARDED})
RETURNING seq, destination, lane
"""
# Deliveries that wait for their first attempt return to their state before. Those of a digest have no attempts of their own.
TAKE_BACK: Final = """
UPDATE delivery SET due = NULL, changed_at = ?2, state = state_before(last.outcome),
    cause = CASE state_before(last.outcome) WHEN 'dead' THEN cause_of(reason) ELSE '' END
FROM (
    SELECT d.seq, (
        SELECT outcome FROM attempt WHERE delivery_seq = coalesce(h.seq, d.seq) ORDER BY number DESC LIMIT 1
    ) AS outcome
    FROM delivery d INDEXED BY delivery_task
    LEFT JOIN timing t ON t.delivery_seq = d.seq LEFT JOIN delivery h ON h.id = t.head
    WHERE d.task = ?1 AND d.state = 'pending' AND d.attempts = d.attempts_before_replay
        AND (d.attempts > 0 OR d.reason <> '' OR h.attempts > 0)
        AND d.seq NOT IN (SELECT value FROM json_each(?3))
) last WHERE delivery.seq = last.seq
RETURNING delivery.destination, delivery.lane
"""
DROP_COPIES: Final = """
UPDATE delivery SET state = 'discarded', due = NULL, changed_at = ?2, reason = ?4
WHERE task = ?1 AND state = 'pending' AND attempts = 0 AND reason = '' AND seq NOT IN (SELECT value FROM json_each(?3))
RETURNING destination, lane
"""
