"""Rows to values; pure. Texts that somebody has written are UTF-8 in bytea: PostgreSQL's text takes no U+0000."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.model import Attempt, Delivery, DeliveryState, Event, Notice
from gateway.store.activities import Activity
from gateway.store.holds import Circuit, Hold, Pause
from gateway.store.nouns import BodyIs
from gateway.store.rules import Standing, progress

#: Columns of a delivery, for ``delivery_of``; ``d`` is a row of ``delivery``, ``queue`` or ``done`` with the column state.
DELIVERY: Final = """
d.id, d.event_id, d.route, d.destination, d.state, d.attempts, d.attempts_before_replay, d.spent_s, d.crashes, d.due,
d.reason, d.last_status, d.last_answer, d.lane, d.cause,
(SELECT n.dead FROM notice n WHERE n.delivery_seq = d.seq), (SELECT n.count FROM notice n WHERE n.delivery_seq = d.seq),
(SELECT a.id FROM activity a WHERE a.seq = d.task)
"""
#: Columns of an event, for ``event_of``.
EVENT: Final = "e.id, e.source, e.type, e.received_at, e.headers, e.body, e.sha256, e.body_is, e.label"


def text(data: bytes) -> str:
    """A text that was stored as bytes."""
    return data.decode("utf-8", "replace")


def data(value: str) -> bytes:
    """A text as it is stored: an unpaired surrogate becomes a question mark."""
    return value.encode("utf-8", "replace")


def delivery_of(row: Sequence[Any], now: float) -> Delivery:
    due, dead, count = row[9], row[15], row[16]
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
        due_in_s=None if due is None or due == math.inf else due - now,
        reason=text(row[10]),
        last_status=row[11],
        last_answer=text(row[12]),
        lane=None if row[13] is None else text(row[13]),
        cause=text(row[14]),
        notice=None if dead is None else replace(msgspec.json.decode(dead, type=Notice), count=count),
        replayed_by=row[17] or "",
    )


def event_of(row: Sequence[Any]) -> tuple[Event, bool, BodyIs]:
    """The event, whether it is what was stored, and whether that is what was received."""
    id_, source, type_, received_at, headers, body, sha256, body_is, label = row
    intact = body_is == "removed" or hashlib.sha256(body).digest() == sha256
    try:
        fields = msgspec.json.decode(headers, type=dict[str, str])
    except msgspec.MsgspecError:
        fields, intact = {}, False
    event = Event(
        id=id_,
        source=source,
        type=text(type_),
        received_at=received_at,
        headers=fields,
        body=body,
        sha256=sha256,
        label=text(label),
    )
    return event, intact, body_is


def attempt_of(row: Sequence[Any]) -> Attempt:
    """From the columns of attempt, the delivery's id before them."""
    return Attempt(
        number=row[1],
        started_at=row[2],
        duration_s=row[3],
        outcome=row[4],
        status=row[5],
        reason=text(row[6]),
        answer=text(row[7]),
        config_revision=row[8],
        sent_bytes=row[9],
        sent_sha256=row[10],
        next_s=row[11],
    )


def activity_of(row: Sequence[Any], standing: Sequence[Standing]) -> Activity:
    """``standing``: the deliveries that a task has moved."""
    _, id_, at, by, verb, subject, reason, total, moved, finished, stopped_by = row
    done = None
    if finished is not None:
        done = progress(total, moved, standing, is_finished=finished, stopped_by=text(stopped_by))
    return Activity(id=id_, at=at, by=text(by), verb=verb, subject=text(subject), reason=text(reason), progress=done)


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
