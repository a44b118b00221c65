"""Rows to values and back; pure."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.model import Attempt, Delivery, DeliveryState, Event, Notice
from gateway.store.activities import Activity
from gateway.store.contents import NO_HEAD, as_looked_up, looked_up, read_head
from gateway.store.holds import Circuit, Hold, Pause
from gateway.store.nouns import BodyIs, Outcome
from gateway.store.rules import Standing, progress, settled
from gateway.store.sqlite.tables import BEHIND


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def storable(text: str) -> str:
    """A text that SQLite accepts: an unpaired surrogate becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# --- rows to values ---


def delivery_of(row: Sequence[Any], now: float) -> Delivery:
    due = row[9]
    gathered, _, digest = (row[17] or "").partition(" ")
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
        digest=digest,
        gathered=int(gathered) if digest == row[0] else 0,
    )


def _notice(text: str) -> Notice:
    count, _, dead = text.partition(" ")
    try:
        return replace(msgspec.json.decode(dead, type=Notice), count=int(count))
    except (msgspec.MsgspecError, ValueError):
        return Notice(id="", destination="", route="", attempts=0, reason="the disk has damaged this notice")


def event_of(row: Sequence[Any]) -> tuple[Event, bool, BodyIs]:
    """The event, whether it is what was stored, and whether that is what was received."""
    id_, source, type_, received_at, headers, body, sha256, body_is, label, track = row
    intact = body_is == "removed" or hashlib.sha256(body).digest() == sha256
    found = read_head(headers)
    head = found or NO_HEAD
    event = Event(
        id=id_.decode("utf-8", "replace"),
        source=source.decode("utf-8", "replace"),
        type=type_.decode("utf-8", "replace"),
        received_at=received_at,
        headers=head.headers,
        query=head.query,
        invalid=head.invalid,
        body=body,
        sha256=sha256,
        label=label,
        track=track if track and body_is == "kept" else b"",
    )
    return event, intact and found is not None, body_is


def activity_of(row: Sequence[Any]) -> Activity:
    """From the columns of ACTIVITIES; ``standing`` counts the deliveries that a task has moved."""
    id_, at, by, verb, subject, reason, total, moved, finished, stopped_by, standing = row
    done = None
    if finished is not None:
        counts = msgspec.json.decode(standing, type=list[Standing])
        done = progress(total, moved, counts, is_finished=bool(finished), stopped_by=stopped_by)
    return Activity(id=id_, at=at, by=by, verb=verb, subject=subject, reason=reason, progress=done)


def attempt_of(row: Sequence[Any]) -> Attempt:
    lookups, choice = as_looked_up(row[13])
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
        memory=row[12] or "",
        lookups=lookups,
        choice=choice,
    )


def attempt_row(seq: int, attempt: Attempt, now: float) -> tuple[Any, ...]:
    found = looked_up(attempt)
    return (
        seq,
        attempt.number,
        now,
        attempt.started_at,
        attempt.duration_s,
        attempt.outcome,
        attempt.status,
        attempt.reason and storable(attempt.reason),
        attempt.answer and storable(attempt.answer),
        attempt.config_revision,
        attempt.sent_bytes,
        attempt.sent_sha256,
        attempt.next_s,
        storable(attempt.memory) if attempt.memory else None,
        found and found.decode(),
    )


def move_row(seq: int, outcome: Outcome, before: Delivery, due: float | None, now: float) -> tuple[Any, ...]:
    """The columns of a delivery as its outcome leaves them."""
    state, attempts, spent_s, reason, last_status, last_answer, cause = settled(before, outcome)
    # Mostly nothing was said.
    said = (reason and storable(reason), last_status, last_answer and storable(last_answer))
    return (seq, state, due, attempts, spent_s, *said, now, cause and storable(cause))


def hold_row(hold: Hold, now: float) -> tuple[Any, ...]:
    """The columns of a hold."""
    circuit = hold.circuit
    return (
        storable(hold.destination),
        hold.rev,
        _pause_row(hold.pause),
        _pause_row(hold.mute),
        circuit and circuit.failures,
        circuit and to_json(circuit.denied),
        circuit and now + circuit.next_probe_s,
        circuit and circuit.interval_s,
        now + hold.wait_s if hold.wait_s > 0 else None,
    )


def _pause_row(pause: Pause | None) -> str | None:
    if pause is None:
        return None
    return to_json(replace(pause, by=storable(pause.by), reason=storable(pause.reason)))


def hold_of(row: Sequence[Any], now: float) -> Hold:
    destination, rev, pause, mute, failures, denied, next_probe, interval_s, waits_until = row
    circuit = None
    if failures is not None:
        circuit = Circuit(
            failures=failures,
            denied=tuple(msgspec.json.decode(denied)),
            next_probe_s=next_probe - now,
            interval_s=interval_s,
        )
    return Hold(
        destination=destination,
        rev=rev,
        pause=pause and msgspec.json.decode(pause, type=Pause),
        mute=mute and msgspec.json.decode(mute, type=Pause),
        circuit=circuit,
        wait_s=max(0.0, waits_until - now) if waits_until is not None else 0.0,
    )
