"""Statements of appending, leasing and settling on the PostgreSQL store; no I/O. Each is given arrays: of rows, or one value a row."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from typing import Final

from gateway.store.postgres.tables import DAY_BITS, DAY_S, GRANT_BITS, PLACE_BITS, PLACES, belongs

# --- appends ---

# Others that append with these lanes or for these tellers wait; in one order, so that nobody waits in a circle.
LOCK: Final = "SELECT pg_advisory_xact_lock(k) FROM (SELECT k FROM unnest($1::bigint[]) k ORDER BY k) k"
# The clock takes a microsecond: it is read once, and not for each row.
_NOW: Final = "(SELECT gateway_now())"
_FREE: Final = f"(q.leased_until IS NULL OR q.leased_until <= {_NOW})"
_TAKEN: Final = f"""
taken AS (
    INSERT INTO dedupe AS d (source, key, event_id, expires)
    SELECT source, key, event_id, {_NOW} + window_s FROM unnest($1::new_key[])
    ON CONFLICT (key, source) DO UPDATE SET event_id = excluded.event_id, expires = excluded.expires
    WHERE d.expires <= {_NOW}
    RETURNING event_id
)
"""
# The time of the transaction, as many numbers as it needs, the events whose keys are new (null: all), and destinations with something due.
# The numbers come after the keys: by then the transaction is known as one that may yet store them.
# OFFSET 0: the queue is looked into for each of these, and never joined with them.
_START: Final = f"""
SELECT {_NOW} AS now, (SELECT count(*) FROM taken) = cardinality($1) AS are_new,
    ARRAY(SELECT nextval('number') FROM generate_series(1, $2::integer + 0 * (SELECT count(*) FROM taken)::integer)) AS numbers,
    ARRAY(SELECT name FROM unnest($3::text[], $4::float8[]) AS k (name, since) WHERE EXISTS (
        SELECT 1 FROM queue q
        WHERE q.destination = k.name AND q.due >= k.since AND q.due <= {_NOW} AND {_FREE} OFFSET 0
    )) AS due
"""
_STARTED: Final = (
    "SELECT now, numbers, CASE WHEN NOT are_new THEN ARRAY(SELECT event_id FROM taken) END, due FROM start"
)
TAKE_KEYS: Final = f"WITH {_TAKEN}, start AS MATERIALIZED ({_START}) {_STARTED}"
KEY_OWNERS: Final = """
SELECT d.source, d.key, d.event_id
FROM unnest($1::text[], $2::bytea[]) AS k (source, key) JOIN dedupe d ON d.source = k.source AND d.key = k.key
"""
BUSY_LANES: Final = """
SELECT k.destination, k.lane FROM unnest($1::text[], $2::bytea[]) AS k (destination, lane)
WHERE EXISTS (SELECT 1 FROM queue q WHERE q.destination = k.destination AND q.lane = k.lane OFFSET 0)
"""
FIRE: Final = """
INSERT INTO once AS o (name, key, event_id, fired_at, expires)
SELECT name, key, event_id, $5, $5 + window_s
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::float8[]) AS k (name, key, event_id, window_s) ORDER BY name, key
ON CONFLICT (name, key) DO UPDATE
SET event_id = excluded.event_id, fired_at = excluded.fired_at, expires = excluded.expires WHERE o.expires <= $5
RETURNING name, key
"""
HOLD_BACK: Final = """
INSERT INTO held_back (event_seq, name, key, event_id, fired_at)
SELECT k.event_seq, o.name, o.key, o.event_id, o.fired_at
FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS k (event_seq, name, key)
JOIN once o ON o.name = k.name AND o.key = k.key
"""
# $3 is the number of this process. What all rows have in common is not given for each: it is due now, and so on.
_ADD: Final = """
WITH events AS (
    INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body, redact, label{track})
    SELECT seq, id, source, type, received_at, $1::float8, headers, sha256, body, redact, label{track} FROM unnest($2::{type}[])
), arrivals AS (
    INSERT INTO came (minute, source, events)
    SELECT floor($1 / 60)::bigint, source, events FROM unnest($5::text[], $6::bigint[]) AS c (source, events)
), deliveries AS (
    INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, leased_until, owner, grants, lane, turn, changed_at)
    SELECT seq, id, event_seq, event_id, route, destination, coalesce(due, $1), leased_until,
        CASE WHEN leased_until IS NOT NULL THEN $3::integer END, (leased_until IS NOT NULL)::integer, lane, turn, $1
    FROM unnest($4::new_delivery[])
)
INSERT INTO tally (destination, state, deliveries)
SELECT destination, 'pending', deliveries FROM unnest($7::text[], $8::bigint[]) AS c (destination, deliveries)
"""
ADD: Final = _ADD.format(type="new_event", track="")
#: The same for tracked_event.
ADD_TRACKED: Final = _ADD.format(type="tracked_event", track=", track")
ARE_STORED: Final = "SELECT count(*) FROM event WHERE id = ANY($1::text[])"
# All of it at once, where no order has to be kept: each event has the place of its number among those that are taken, each
# delivery its own place, and leased_until says for how long. What belongs to a key that is taken already is left out; the numbers of rows by source and
# by destination, $8 to $11, hold if there is none.
_DAY: Final = f"(SELECT floor(now / {DAY_S})::bigint << {DAY_BITS} FROM start)"
_NUMBERS: Final = "(SELECT numbers FROM start)"
_IS_NEW: Final = "((SELECT are_new FROM start) OR ({} IN (SELECT event_id FROM taken)) IS TRUE)"
_SOME_ARE: Final = "NOT (SELECT are_new FROM start) AND ({} IN (SELECT event_id FROM taken)) IS TRUE"
_LEASED: Final = "leased_until IS NOT NULL AND destination <> ALL ((SELECT due FROM start)::text[])"
APPEND: Final = f"""
WITH {_TAKEN}, start AS MATERIALIZED ({_START}), events AS (
    INSERT INTO event (seq, id, source, type, received_at, stored_at, headers, sha256, body, redact, label)
    SELECT {_DAY} | ({_NUMBERS}[seq::integer] << {PLACE_BITS}), id, source, type, received_at, {_NOW}, headers, sha256, body, redact, label
    FROM unnest($5::new_event[]) WHERE {_IS_NEW.format("id")}
), arrivals AS (
    INSERT INTO came (minute, source, events)
    SELECT floor({_NOW} / 60)::bigint, source, events FROM unnest($8::text[], $9::bigint[]) AS c (source, events)
    WHERE (SELECT are_new FROM start)
    UNION ALL SELECT floor({_NOW} / 60)::bigint, source, count(*) FROM unnest($5::new_event[])
    WHERE {_SOME_ARE.format("id")} GROUP BY source
), deliveries AS (
    INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, leased_until, owner, grants, changed_at)
    SELECT {_DAY} | ({_NUMBERS}[event_seq::integer] << {PLACE_BITS}) | seq, id, {_DAY} | ({_NUMBERS}[event_seq::integer] << {PLACE_BITS}), event_id, route, destination, {_NOW},
        CASE WHEN {_LEASED} THEN {_NOW} + leased_until END, CASE WHEN {_LEASED} THEN $7::integer END, ({_LEASED})::integer, {_NOW}
    FROM unnest($6::new_delivery[]) WHERE {_IS_NEW.format("event_id")}
), pending AS (
    INSERT INTO tally (destination, state, deliveries)
    SELECT destination, 'pending', deliveries FROM unnest($10::text[], $11::bigint[]) AS c (destination, deliveries)
    WHERE (SELECT are_new FROM start)
    UNION ALL SELECT destination, 'pending', count(*) FROM unnest($6::new_delivery[])
    WHERE {_SOME_ARE.format("event_id")} GROUP BY destination
)
{_STARTED}
"""
# What has come of an append whose answer was lost.
STORED: Final = "SELECT id, seq, stored_at FROM event WHERE id = ANY($1::text[])"
STORED_LEASED: Final = "SELECT id FROM queue WHERE id = ANY($1::text[]) AND owner = $2 AND leased_until IS NOT NULL"

# --- claims ---

_DELIVERY: Final = """
q.seq, q.id, q.event_id, q.route, q.destination, q.attempts, q.attempts_before_replay, q.spent_s, q.crashes, q.due,
q.reason, q.last_status, q.last_answer, q.lane
"""
_NOTICE: Final = """
(SELECT n.dead FROM notice n WHERE n.delivery_seq = q.seq) AS dead, (SELECT n.count FROM notice n WHERE n.delivery_seq = q.seq) AS dead_count,
(SELECT t.head FROM timing t WHERE t.delivery_seq = q.seq) AS digest, (SELECT t.count FROM timing t WHERE t.delivery_seq = q.seq) AS gathered
"""
_REPLAYED_BY: Final = "(SELECT a.id FROM activity a WHERE a.seq = q.task) AS replayed_by"
_LEASE_S: Final = "(SELECT w.lease_s FROM unnest($1::text[], $3::float8[]) AS w (destination, lease_s) WHERE w.destination = q.destination)"
# Not for a destination that another replica decides for.
# Here and below, rows of the queue are looked for by their numbers and never joined: the planner may believe that the queue
# is empty, as it was at the last vacuum, and would read all of it, once for each row.
CLAIM: Final = f"""
WITH picked AS MATERIALIZED (
    SELECT c.seq
    FROM unnest($1::text[], $2::integer[], $3::float8[], $6::float8[]) AS w (destination, slots, lease_s, since)
    CROSS JOIN LATERAL (
        SELECT q.seq FROM queue q
        WHERE q.destination = w.destination AND q.due >= w.since AND q.due <= {_NOW} AND {_FREE}
            AND q.event_id <> ALL ($5::text[])
        ORDER BY q.due LIMIT w.slots FOR UPDATE SKIP LOCKED
    ) c
    WHERE NOT EXISTS (
        SELECT 1 FROM holder h WHERE h.destination = w.destination AND h.replica <> $4 AND h.until > gateway_now()
    )
)
UPDATE queue q SET leased_until = gateway_now() + {_LEASE_S}, owner = $4, grants = (q.grants + 1) % {1 << GRANT_BITS}
WHERE q.seq = ANY(ARRAY(SELECT seq FROM picked))
RETURNING {_DELIVERY}, {_NOTICE}, {_REPLAYED_BY}, q.grants, {_LEASE_S} AS lease_s, gateway_now() AS now
"""

# --- outcomes ---

_MADE: Final = """
o.number, o.started_at, o.duration_s, o.outcome, o.status, o.why, o.answer, o.config_revision, o.sent_bytes, o.sent_sha256, o.next_s, o.bucket
"""
_SETTLE: Final = f"""
WITH held AS MATERIALIZED (
    SELECT q.seq, q.id, q.event_seq, q.event_id, q.route, q.destination, o.state, q.grants, o.attempts,
        q.attempts_before_replay, o.spent_s, q.crashes, o.reason AS last_reason, o.last_status, o.last_answer, q.lane,
        o.cause, q.task, o.after_s, {_MADE}
    FROM unnest($1::outcome[]) o CROSS JOIN LATERAL (
        SELECT * FROM queue q WHERE q.seq = o.seq AND q.grants = o.grants AND q.leased_until IS NOT NULL FOR UPDATE OFFSET 0
    ) q
), gone AS (
    DELETE FROM queue q WHERE q.seq = ANY(ARRAY(SELECT seq FROM held WHERE state <> 'pending'))
), moved AS (
    INSERT INTO done (seq, id, event_seq, event_id, route, destination, state, grants, attempts, attempts_before_replay,
        spent_s, crashes, reason, last_status, last_answer, lane, cause, task, changed_at)
    SELECT seq, id, event_seq, event_id, route, destination, state, grants, attempts, attempts_before_replay,
        spent_s, crashes, last_reason, last_status, last_answer, lane, cause, task, {_NOW}
    FROM held WHERE state <> 'pending'
), kept AS (
    UPDATE queue q SET leased_until = NULL, owner = NULL,
        (due, attempts, spent_s, reason, last_status, last_answer, changed_at) = (
            SELECT coalesce({_NOW} + o.after_s, q.due), o.attempts, o.spent_s, o.last_reason, o.last_status,
                o.last_answer, CASE WHEN o.after_s IS NULL THEN q.changed_at ELSE {_NOW} END
            FROM held o WHERE o.seq = q.seq
        )
    WHERE q.seq = ANY(ARRAY(SELECT seq FROM held WHERE state = 'pending'))
    RETURNING q.seq, q.destination, q.due
), counted AS (
    INSERT INTO tally (destination, state, cause, deliveries)
    SELECT c.destination, c.state, c.cause, c.deliveries
    FROM (SELECT destination, state, cause, count(*) FROM held WHERE state <> 'pending' GROUP BY 1, 2, 3) AS ended
    CROSS JOIN LATERAL (
        VALUES (destination, 'pending', ''::bytea, -count), (destination, state, cause, count)
    ) AS c (destination, state, cause, deliveries)
), tried AS (
    INSERT INTO attempt (delivery_seq, number, recorded_at, started_at, duration_s, outcome, status, reason, answer,
        config_revision, sent_bytes, sent_sha256, next_s)
    SELECT seq, number, {_NOW}, started_at, duration_s, outcome, status, why, answer, config_revision, sent_bytes,
        sent_sha256, next_s FROM held WHERE number IS NOT NULL {{over}}
), traffic AS (
    INSERT INTO went (minute, destination, outcome, bucket, attempts)
    SELECT floor({_NOW} / 60)::bigint, destination, outcome, bucket, count(*)
    FROM held WHERE number IS NOT NULL GROUP BY 2, 3, 4
)
SELECT ARRAY(SELECT seq FROM held WHERE state <> 'pending') AS seqs, NULL AS destination, NULL::float8 AS due
UNION ALL SELECT ARRAY[seq], destination, due FROM kept
"""
_OVER: Final = """
    ON CONFLICT (delivery_seq, number) DO UPDATE SET recorded_at = excluded.recorded_at, started_at = excluded.started_at,
        duration_s = excluded.duration_s, outcome = excluded.outcome, status = excluded.status, reason = excluded.reason,
        answer = excluded.answer, config_revision = excluded.config_revision, sent_bytes = excluded.sent_bytes,
        sent_sha256 = excluded.sent_sha256, next_s = excluded.next_s
"""
SETTLE: Final = _SETTLE.format(over="")
# Looking for an attempt of the same number costs as much as recording it, and there is none, unless somebody has put it there.
SETTLE_OVER: Final = _SETTLE.format(over=_OVER)
# What few attempts have, after a settle, in its transaction: one attempt of each delivery. Without a join, whatever the
# statistics say of attempts, only those of these deliveries are read.
_AT: Final = "array_position($1::bigint[], a.delivery_seq)"
NOTE: Final = f"""
UPDATE attempt a SET looked_up = ($3::bytea[])[{_AT}], memory = ($4::bytea[])[{_AT}]
WHERE a.delivery_seq = ANY ($1::bigint[]) AND a.number = ($2::integer[])[{_AT}]
"""
# Recorded by a settle whose answer was lost.
WAS_RECORDED: Final = """
SELECT o.seq FROM unnest($1::bigint[], $2::integer[], $3::float8[]) AS o (seq, number, started_at)
WHERE EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_seq = o.seq AND a.number = o.number AND a.started_at = o.started_at)
"""
# The first of those pending in each lane is due, if it was behind.
NEXT_IN_LANES: Final = """
UPDATE queue q SET due = greatest(gateway_now(), (SELECT t.due FROM timing t WHERE t.delivery_seq = q.seq))
WHERE q.due + 0 = 'infinity' AND q.seq = ANY(ARRAY(
    SELECT first.seq FROM unnest($1::text[], $2::bytea[]) AS k (destination, lane)
    CROSS JOIN LATERAL (
        SELECT l.seq FROM queue l WHERE l.destination = k.destination AND l.lane = k.lane ORDER BY l.turn LIMIT 1
    ) first
))
RETURNING q.destination, q.due, q.due <= gateway_now() AS is_due
"""
# $2: when; they wait in their lanes.
NOT_BEFORE: Final = """
INSERT INTO timing (delivery_seq, head, began, due, count, size)
SELECT k.seq, '', k.due, k.due, 1, 0 FROM unnest($1::bigint[], $2::float8[]) AS k (seq, due)
"""
# What is leased no longer, as if it had never been.
GIVE_BACK: Final = """
UPDATE queue SET leased_until = NULL, owner = NULL WHERE seq = ANY($1::bigint[]) AND owner = $2 RETURNING destination
"""

# --- more deliveries of an event that is stored ---

# The seq of the last delivery of each event, or of the event itself.
_LAST_PLACE: Final = f"""
SELECT k.seq AS event_seq, greatest(
    k.seq, (SELECT max(q.seq) FROM queue q WHERE {belongs("q.seq", "k.seq")}), (SELECT max(d.seq) FROM done d WHERE {belongs("d.seq", "k.seq")})
) AS last FROM ({{0}}) AS k (seq)
"""
LAST_PLACES: Final = _LAST_PLACE.format("SELECT unnest($1::bigint[])")

# --- notices of dead deliveries ---

LAST_NOTICE: Final = "SELECT delivery_seq, due FROM notice WHERE teller = $1 ORDER BY due DESC LIMIT 1"
ONE_MORE: Final = "UPDATE notice SET count = count + 1 WHERE delivery_seq = $1"
ADD_NOTICE: Final = "INSERT INTO notice (delivery_seq, teller, due, dead) VALUES ($1, $2, $3, $4)"
# Its event, $1, is known by one of its deliveries, $2, and nobody else adds to it now.
ADD_DELIVERY: Final = f"""
WITH new AS (
    INSERT INTO queue (seq, id, event_seq, event_id, route, destination, due, changed_at)
    SELECT last + 1, $3, d.event_seq, d.event_id, $4, $5, $6, gateway_now()
    FROM done d CROSS JOIN ({_LAST_PLACE.format("VALUES ($1::bigint)")}) AS l
    WHERE d.seq = $2 AND last < $1 + {PLACES} RETURNING seq, destination
), counted AS (
    INSERT INTO tally (destination, state, deliveries) SELECT destination, 'pending', 1 FROM new
)
SELECT seq FROM new
"""

# --- small things ---

NOW: Final = "SELECT gateway_now()"
PENDING: Final = "SELECT coalesce(sum(deliveries), 0)::bigint FROM tally WHERE state = 'pending'"
CRASHED: Final = f"""
UPDATE queue q SET crashes = crashes + 1 WHERE id = $1
RETURNING {_DELIVERY}, {_NOTICE}, {_REPLAYED_BY}, q.grants, gateway_now() AS now
"""
_HOLD: Final = "destination, rev, pause, mute, failures, denied, next_probe, probe_interval_s, waits_until"
# Waits after a first one, since two that store the first hold of a destination at once must not both succeed.
SET_HOLD: Final = f"""
INSERT INTO hold AS h ({_HOLD})
SELECT $1, $2::integer + 1, $3, $4, $5, $6, gateway_now() + $7::float8, $8, gateway_now() + $9::float8
WHERE $2 = 0 OR EXISTS (SELECT 1 FROM hold WHERE destination = $1 AND rev = $2)
ON CONFLICT (destination) DO UPDATE SET rev = excluded.rev, pause = excluded.pause, mute = excluded.mute,
    failures = excluded.failures, denied = excluded.denied, next_probe = excluded.next_probe,
    probe_interval_s = excluded.probe_interval_s, waits_until = excluded.waits_until
WHERE h.rev = $2
RETURNING rev
"""
REJECT: Final = """
INSERT INTO rejected (at, source, path, status, reason, client, count)
SELECT * FROM unnest($1::float8[], $2::bytea[], $3::bytea[], $4::integer[], $5::bytea[], $6::bytea[], $7::bigint[])
"""
FORGET_REJECTED: Final = """
DELETE FROM rejected WHERE source = $1 AND seq <= (
    SELECT seq FROM rejected WHERE source = $1 ORDER BY seq DESC OFFSET $2 LIMIT 1
)
"""
