"""What was tried: the attempts of an event, and the last ones of many deliveries or destinations in one statement."""
# ruff: noqa: S608  the only things put into these texts are our own constants

from collections.abc import Collection, Mapping
from typing import Final

import apsw

from gateway.model import Attempt
from gateway.store.queries import LastError
from gateway.store.searching import NEWEST_WAITING
from gateway.store.sqlite.rows import attempt_of, to_json

#: What ``rows.attempt_of`` needs besides the delivery's id.
_ATTEMPT: Final = """
a.number, a.started_at, a.duration_s, a.outcome, a.status, a.reason, a.answer, a.config_revision, a.sent_bytes, a.sent_sha256,
a.next_s, a.memory, a.looked_up
"""
OF_EVENT: Final = f"""
SELECT d.id, {_ATTEMPT} FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq WHERE d.event_seq = ?
ORDER BY d.seq, a.number
"""
_LAST: Final = "(SELECT max(number) FROM attempt WHERE delivery_seq = d.seq)"
LAST: Final = f"""
SELECT d.id, {_ATTEMPT} FROM delivery d JOIN attempt a ON a.delivery_seq = d.seq AND a.number = {_LAST}
WHERE d.id IN (SELECT value FROM json_each(?))
"""
# Of the newest that wait and have failed, or else of the newest that is dead: by cause, as the index has them.
LAST_ERRORS: Final = f"""
SELECT d.destination, a.started_at, a.reason, e.id
FROM json_each(?) k CROSS JOIN delivery d ON d.seq = coalesce((
    SELECT seq FROM (
        SELECT seq, event_seq, attempts, reason FROM delivery WHERE destination = k.value AND state = 'pending' AND cause = ''
        ORDER BY event_seq DESC LIMIT {NEWEST_WAITING}
    ) WHERE attempts > 0 AND reason <> '' ORDER BY event_seq DESC, seq LIMIT 1
), (
    SELECT n.seq FROM tally t CROSS JOIN delivery n ON n.seq = (
        SELECT seq FROM delivery WHERE destination = t.destination AND state = t.state AND cause = t.cause
        ORDER BY event_seq DESC LIMIT 1
    ) WHERE t.destination = k.value AND t.state = 'dead' ORDER BY n.event_seq DESC LIMIT 1
)) CROSS JOIN attempt a ON a.delivery_seq = d.seq AND a.number = {_LAST} CROSS JOIN event e ON e.seq = d.event_seq
WHERE a.reason <> ''
"""


def of_event(db: apsw.Connection, event_seq: int) -> Mapping[str, tuple[Attempt, ...]]:
    """By delivery of an event, in order."""
    attempts: dict[str, tuple[Attempt, ...]] = {}
    for row in db.execute(OF_EVENT, (event_seq,)):
        attempts[row[0]] = (*attempts.get(row[0], ()), attempt_of(row))
    return attempts


def last(db: apsw.Connection, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
    """By delivery."""
    return {row[0]: attempt_of(row) for row in db.execute(LAST, (to_json(list(delivery_ids)),))}


def last_errors(db: apsw.Connection, destinations: Collection[str]) -> Mapping[str, LastError]:
    """By destination."""
    rows = db.execute(LAST_ERRORS, (to_json(list(destinations)),))
    return {name: LastError(at=at, reason=reason, event_id=event_id) for name, at, reason, event_id in rows}
