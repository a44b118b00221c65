"""What was tried: the attempts of an event, and the last ones of many deliveries or destinations in one statement."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Collection, Mapping
from typing import Final

from gateway.model import Attempt
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.rows import attempt_of, name_of, unpacked
from gateway.store.postgres.tables import belongs
from gateway.store.queries import LastError
from gateway.store.searching import NEWEST_WAITING

#: What ``rows.attempt_of`` needs besides the delivery's id.
_ATTEMPT: Final = """
a.number, a.started_at, a.duration_s, a.outcome, a.status, a.reason, a.answer, a.config_revision, a.sent_bytes, a.sent_sha256,
a.next_s, a.memory, a.looked_up
"""
OF_EVENT: Final = f"""
SELECT d.id, {_ATTEMPT} FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq
WHERE {belongs("d.seq", "$1::bigint")} AND {belongs("a.delivery_seq", "$1::bigint")} ORDER BY d.seq, a.number
"""
LAST: Final = f"""
SELECT d.id, {_ATTEMPT} FROM (
    SELECT id, seq FROM queue WHERE id = ANY ($1::text[]) UNION ALL SELECT id, seq FROM done WHERE id = ANY ($1::text[])
) d CROSS JOIN LATERAL (SELECT * FROM attempt WHERE delivery_seq = d.seq ORDER BY number DESC LIMIT 1) a
"""
# Of the newest that wait and have failed, or else of the newest that is dead: by cause, as the index has them.
LAST_ERRORS: Final = f"""
SELECT k.destination, a.started_at, a.reason, f.event_id
FROM unnest($1::text[]) AS k (destination) CROSS JOIN LATERAL (
    (SELECT 1 AS rank, q.seq, q.event_id FROM (
        SELECT seq, event_seq, event_id, attempts, reason FROM queue WHERE seq > 0 AND destination = k.destination
        ORDER BY event_seq DESC LIMIT {NEWEST_WAITING}
    ) q WHERE q.attempts > 0 AND q.reason <> '' ORDER BY q.event_seq DESC, q.seq LIMIT 1)
    UNION ALL
    (SELECT 2, d.seq, d.event_id FROM (
        SELECT cause FROM tally WHERE destination = k.destination AND state = 'dead' GROUP BY cause HAVING sum(deliveries) > 0
    ) t CROSS JOIN LATERAL (
        SELECT seq, event_seq, event_id FROM done WHERE destination = k.destination AND state = 'dead' AND cause = t.cause
        ORDER BY event_seq DESC LIMIT 1
    ) d ORDER BY d.event_seq DESC LIMIT 1)
    ORDER BY rank LIMIT 1
) f CROSS JOIN LATERAL (
    SELECT started_at, reason FROM attempt WHERE delivery_seq = f.seq ORDER BY number DESC LIMIT 1
) a WHERE a.reason <> ''
"""


async def of_event(connection: Connection, event_seq: int) -> Mapping[str, tuple[Attempt, ...]]:
    """By delivery of an event, in order."""
    attempts: dict[str, tuple[Attempt, ...]] = {}
    for row in await connection.fetch(OF_EVENT, event_seq):
        attempts[row[0]] = (*attempts.get(row[0], ()), attempt_of(row))
    return attempts


async def last(connection: Connection, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
    """By delivery."""
    rows = await connection.fetch(LAST, [name_of(each) for each in delivery_ids])
    return {row[0]: attempt_of(row) for row in rows}


async def last_errors(connection: Connection, destinations: Collection[str]) -> Mapping[str, LastError]:
    """By destination."""
    rows = await connection.fetch(LAST_ERRORS, [name_of(each) for each in destinations])
    return {name: LastError(at=at, reason=unpacked(reason), event_id=event_id) for name, at, reason, event_id in rows}
