"""What the read side asks of the tables, as named text; no I/O. What a search asks is in ``search``."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from typing import Final

from gateway.store.postgres.tables import belongs

#: What ``rows.event_of`` needs.
EVENT: Final = "e.seq, e.id, e.source, e.type, e.received_at, e.headers, e.body, e.sha256, e.body_is, e.label, e.track"
#: What ``rows.delivery_of`` needs, and the state.
DELIVERY: Final = """
d.id, d.event_id, d.route, d.destination, d.state, d.attempts, d.attempts_before_replay, d.spent_s, d.crashes, d.due,
d.reason, d.last_status, d.last_answer, d.lane, d.cause,
(SELECT n.dead FROM notice n WHERE n.delivery_seq = d.seq) AS dead,
(SELECT n.count FROM notice n WHERE n.delivery_seq = d.seq) AS dead_count,
(SELECT t.head FROM timing t WHERE t.delivery_seq = d.seq) AS digest,
(SELECT t.count FROM timing t WHERE t.delivery_seq = d.seq) AS gathered,
(SELECT a.id FROM activity a WHERE a.seq = d.task) AS replayed_by
"""

# --- events ---

EVENTS_BY_ID: Final = "SELECT seq FROM event WHERE id = ANY ($1::text[]) ORDER BY seq DESC"
EVENT_ROWS: Final = """
SELECT seq, id, source, type, received_at, length(body), body_is FROM event WHERE seq = ANY ($1::bigint[]) ORDER BY seq DESC
"""
EVENTS_BY_SEQ: Final = f"SELECT {EVENT} FROM event e WHERE e.seq = ANY ($1::bigint[]) ORDER BY e.seq DESC"
EVENT_BY_SEQ: Final = f"SELECT {EVENT} FROM event e WHERE e.seq = $1"
EVENT_SEQ: Final = """
SELECT seq FROM event WHERE id = $1 UNION ALL SELECT event_seq FROM queue WHERE id = $1
UNION ALL SELECT event_seq FROM done WHERE id = $1 LIMIT 1
"""
LOAD: Final = """
SELECT id, source, type, received_at, headers, body, sha256, body_is, label, track FROM event WHERE id = ANY($1::text[])
"""
LAST_EVENT: Final = "SELECT coalesce((SELECT seq FROM event ORDER BY seq DESC LIMIT 1), 0)"
# Bodies end the page: the first row always has a place on it.
SURVEY: Final = f"""
SELECT {EVENT} FROM event e WHERE e.seq IN (
    SELECT seq FROM (
        SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM (
            SELECT seq, length(body) AS size FROM event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3
        ) s
    ) s WHERE before < $4
) ORDER BY e.seq
"""
HAS_EVENTS: Final = "SELECT EXISTS (SELECT 1 FROM event WHERE seq > $1 AND seq <= $2)"
TYPES_OF: Final = "SELECT seq, type FROM event WHERE seq = ANY ($1::bigint[])"
RECEIVED_AT: Final = "SELECT received_at FROM event WHERE seq >= $1 ORDER BY seq LIMIT 1"
HELD_BACK: Final = "SELECT name, key, event_id, fired_at FROM held_back WHERE event_seq = $1 ORDER BY name"
#: True of events whose body is no longer needed.
AT_REST: Final = f"""
NOT EXISTS (SELECT 1 FROM queue q WHERE {belongs("q.seq", "e.seq")})
AND NOT EXISTS (SELECT 1 FROM done d WHERE {belongs("d.seq", "e.seq")} AND d.state = 'dead')
"""
TO_REDACT: Final = f"SELECT e.seq, {AT_REST} FROM event e WHERE e.redact AND e.seq > $1 ORDER BY e.seq LIMIT $2"

# --- deliveries ---

#: Those of events whose seqs are $1: looked up for each.
OF_EVENTS: Final = f"""
unnest($1::bigint[]) AS k (seq) CROSS JOIN LATERAL (SELECT * FROM delivery WHERE {belongs("seq", "k.seq")} OFFSET 0) d
"""
DELIVERIES_OF: Final = f"""
SELECT d.event_seq, d.seq, {DELIVERY} FROM {OF_EVENTS} ORDER BY d.seq
"""
NOT_THERE: Final = """
SELECT id FROM unnest($1::text[]) AS k (id) WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.id = k.id)
    AND NOT EXISTS (SELECT 1 FROM queue d WHERE d.id = k.id) AND NOT EXISTS (SELECT 1 FROM done d WHERE d.id = k.id) LIMIT 1
"""
#: Deliveries by their ids, or by those of their events.
SEQS_NAMED: Final = f"""
SELECT seq FROM queue WHERE id = ANY ($1::text[]) UNION SELECT seq FROM done WHERE id = ANY ($1::text[])
UNION SELECT d.seq FROM event e CROSS JOIN LATERAL (SELECT seq FROM delivery WHERE {belongs("seq", "e.seq")} OFFSET 0) d
WHERE e.id = ANY ($1::text[])
"""
NAMED: Final = f"""
SELECT e.source, e.type, {DELIVERY} FROM delivery d JOIN event e ON e.seq = d.event_seq
WHERE d.seq = ANY (ARRAY({SEQS_NAMED})) ORDER BY d.seq
"""
WAITING: Final = "SELECT route, destination, count(*) FROM queue GROUP BY destination, route"

# --- numbers ---

# A loose scan: two look-ups in the index for each destination, however many deliveries wait.
BOUNDS: Final = """
WITH RECURSIVE waiting AS (
    (SELECT destination FROM queue ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT n.destination FROM waiting w CROSS JOIN LATERAL (
        SELECT destination FROM queue WHERE destination > w.destination ORDER BY destination LIMIT 1
    ) n
)
SELECT w.destination, d.due FROM waiting w CROSS JOIN LATERAL (
    SELECT due FROM queue WHERE destination = w.destination AND due < 'infinity' ORDER BY due LIMIT 1
) d
"""
CAME: Final = "SELECT minute, source, sum(events)::bigint FROM came WHERE minute > $1 GROUP BY 1, 2"
WENT: Final = """
SELECT minute, destination, outcome, sum(attempts)::bigint FROM went WHERE minute > $1 GROUP BY 1, 2, 3
"""
DURATIONS: Final = """
SELECT destination, bucket, sum(attempts)::bigint FROM went WHERE minute > $1 GROUP BY 1, 2 ORDER BY 1, 2
"""
SIZE: Final = "SELECT pg_database_size(current_database())"

# --- the door, holds, and what people did ---

REJECTED: Final = "SELECT at, source, path, status, reason, client, count FROM rejected ORDER BY seq DESC LIMIT $1"
HOLDS: Final = """
SELECT destination, rev, pause, mute, failures, denied, next_probe, probe_interval_s, waits_until
FROM hold ORDER BY destination
"""
_ACTIVITY: Final = """
SELECT seq, id, at, by, verb, subject, reason, total, moved, finished, stopped_by FROM activity
"""
ACTIVITIES: Final = f"""
{_ACTIVITY} WHERE $1 = '' OR seq < (SELECT seq FROM activity WHERE id = $1) ORDER BY seq DESC LIMIT $2
"""
ACTIVITY: Final = f"{_ACTIVITY} WHERE id = $1"
STANDING: Final = """
SELECT task, state, attempts = attempts_before_replay AND attempts > 0, count(*) FROM delivery
WHERE task = ANY ($1::bigint[]) GROUP BY 1, 2, 3
"""
