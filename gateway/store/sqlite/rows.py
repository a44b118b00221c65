"""Rows to values and back; pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gateway.model import Attempt, Dead, Delivery, DeliveryState, Event, Notice, Retry
from gateway.store.nouns import Activity, BodyIs, Outcome
from gateway.store.rules import Standing, cause_of, progress
from gateway.store.sqlite.tables import BEHIND


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def storable(text: str) -> str:
    """A text that SQLite accepts: an unpaired surrogate becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# --- rows to values ---


def delivery_of(row: Sequence[Any], now: float) -> Delivery:
    due = row[9]
    return Delivery(
        id=row[0],
        event_id=row[1],
        route=row[2],
        destination=row[3],
        state=DeliveryState(row[4]),
        attempts=row[5],
        attempts_before_replay=row[6],
        spent_s=row[7],
        crashes=row[8],
        due_in_s=None if due is None or due >= BEHIND else due - now,
        reason=row[10],
        last_status=row[11],
        last_answer=row[12],
        lane=row[13],
        notice=row[14] and _notice(row[14]),
        cause=row[15],
        replayed_by=row[16] or "",
    )


def _notice(text: str) -> Notice:
    count, _, dead = text.partition(" ")
    try:
        return replace(msgspec.json.decode(dead, type=Notice), count=int(count))
    except (msgspec.MsgspecError, ValueError):
        return Notice(id="", destination="", route="", attempts=0, reason="the disk has damaged this notice")


def event_of(row: Sequence[Any]) -> tuple[Event, bool, BodyIs]:
    """The event, whether it is what was stored, and whether that is what was received."""
    id_, source, type_, received_at, headers, body, sha256, body_is = row
    intact = body_is == "removed" or hashlib.sha256(body).digest() == sha256
    try:
        fields = msgspec.json.decode(headers, type=dict[str, str])
    except msgspec.MsgspecError:
        fields, intact = {}, False
    event = Event(
        id=id_.decode("utf-8", "replace"),
        source=source.decode("utf-8", "replace"),
        type=type_.decode("utf-8", "replace"),
        received_at=received_at,
        headers=fields,
        body=body,
        sha256=sha256,
    )
    return event, intact, body_is


def activity_of(row: Sequence[Any]) -> Activity:
    """From the columns of ACTIVITIES; ``standing`` counts the deliveries that a task has moved."""
    id_, at, by, verb, subject, reason, total, moved, finished, stopped_by, standing = row
    done = None
    if finished is not None:
        counts = msgspec.json.decode(standing, type=list[Standing])
        done = progress(total, moved, counts, is_finished=bool(finished), stopped_by=stopped_by)
    return Activity(id=id_, at=at, by=by, verb=verb, subject=subject, reason=reason, progress=done)


def attempt_of(row: Sequence[Any]) -> Attempt:
    return Attempt(
        number=row[1],
        started_at=row[2],
        duration_s=row[3],
        outcome=row[4],
        status=row[5],
        reason=row[6],
        answer=row[7],
        config_revision=row[8],
        sent_bytes=row[9],
        sent_sha256=row[10],
        next_s=row[11],
    )


def attempt_row(seq: int, attempt: Attempt, now: float) -> tuple[Any, ...]:
    return (
        seq,
        attempt.number,
        now,
        attempt.started_at,
        attempt.duration_s,
        attempt.outcome,
        attempt.status,
        storable(attempt.reason),
        storable(attempt.answer),
        attempt.config_revision,
        attempt.sent_bytes,
        attempt.sent_sha256,
        attempt.next_s,
    )


def move_row(seq: int, outcome: Outcome, before: Delivery, due: float | None, now: float) -> tuple[Any, ...]:
    """The columns of a delivery as its outcome leaves them."""
    result, attempt = outcome.result, outcome.attempt
    state, reason, spent_s = DeliveryState.DELIVERED, "", before.spent_s
    if isinstance(result, Retry):
        state, reason, spent_s = before.state, storable(result.reason), spent_s + result.spent_s
    elif isinstance(result, Dead):
        state, reason = DeliveryState.DEAD, storable(result.reason)
    if attempt is None:
        last = (before.attempts, before.last_status, before.last_answer)
    else:
        last = (attempt.number, attempt.status, storable(attempt.answer))
    attempts, last_status, last_answer = last
    cause = cause_of(reason) if state is DeliveryState.DEAD else ""
    return (seq, state, due, attempts, spent_s, reason, last_status, last_answer, now, cause)
