"""Rows to values and back; pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.model import Attempt, Delivery, DeliveryState, Event, Notice, Release, Retry, Waits
from gateway.store import rules
from gateway.store.activities import Activity
from gateway.store.contents import NO_HEAD, as_looked_up, head_of, read_head
from gateway.store.holds import Circuit, Hold, Pause
from gateway.store.nouns import BodyIs, Outcome
from gateway.store.numbers import bucket_of
from gateway.store.postgres.tables import DAY_BITS, DAY_S, GRANT_BITS, PLACE_BITS, PLACES
from gateway.store.rules import Standing, progress

_LOW: Final = (1 << DAY_BITS) - 1
_GRANTS: Final = (1 << GRANT_BITS) - 1
NO_ATTEMPT: Final[tuple[Any, ...]] = (None,) * 12

to_json = msgspec.json.encode


def packed(text: str) -> bytes:
    """A text as it is stored; an unpaired surrogate becomes a question mark."""
    return text.encode("utf-8", "replace")


def unpacked(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def name_of(text: str) -> str:
    """A text that a parameter of type text can be; nothing stored has what is replaced."""
    return unpacked(packed(text)).replace("\x00", "\ufffd")


def columns(rows: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Rows as the arrays that a statement is given; ``unnest`` fills up one without a value, which costs nothing then."""
    if not rows:
        return [()] * width
    return [() if column.count(None) == len(rows) else column for column in zip(*rows, strict=True)]


def affected(status: str) -> int:
    """The number of rows, from what the server says of a statement: ``DELETE 5``."""
    return int(status.rpartition(" ")[2])


# --- numbers ---


def seq_of(now: float, number: int) -> int:
    """The seq of an event that is stored now."""
    return int(now // DAY_S) << DAY_BITS | number << PLACE_BITS


def number_of(seq: int) -> int:
    """The number of the sequence that is in it."""
    return (seq & _LOW) >> PLACE_BITS


def turn_of(seq: int) -> int:
    """The place of a delivery in its lane, if it falls in when it is stored."""
    return seq & _LOW


def event_of_delivery(seq: int) -> int:
    """The seq of the event that a delivery belongs to."""
    return seq & ~PLACES


def token_of(seq: int, grants: int) -> int:
    return seq << GRANT_BITS | grants


def fence_of(token: int) -> tuple[int, int]:
    """The seq of a leased delivery, and its grants."""
    return token >> GRANT_BITS, token & _GRANTS


def lock_of(*names: str | bytes) -> int:
    """The number of an advisory lock for something that has these names."""
    given = b"\x00".join(name if isinstance(name, bytes) else packed(name) for name in names)
    return int.from_bytes(hashlib.blake2b(given, digest_size=8).digest(), "big", signed=True)


# --- rows to values ---


def delivery_of(row: Mapping[str, Any], now: float, state: DeliveryState = DeliveryState.PENDING) -> Delivery:
    """From a row with the columns of the view ``delivery``, ``dead``, ``dead_count`` and ``replayed_by``."""
    due, lane, dead = row["due"], row["lane"], row["dead"]
    return Delivery(
        id=row["id"],
        event_id=row["event_id"],
        route=row["route"],
        destination=row["destination"],
        state=state,
        attempts=row["attempts"],
        attempts_before_replay=row["attempts_before_replay"],
        spent_s=row["spent_s"],
        crashes=row["crashes"],
        due_in_s=None if due is None or due == float("inf") else due - now,
        reason=unpacked(row["reason"]),
        last_status=row["last_status"],
        last_answer=unpacked(row["last_answer"]),
        lane=None if lane is None else unpacked(lane),
        notice=None if dead is None else _notice(dead, row["dead_count"]),
        cause=unpacked(row.get("cause", b"")),
        replayed_by=row["replayed_by"] or "",
        digest=row["digest"] or "",
        gathered=row["gathered"] if row["digest"] == row["id"] else 0,
    )


def _notice(dead: bytes, count: int) -> Notice:
    try:
        return replace(msgspec.json.decode(dead, type=Notice), count=count)
    except msgspec.MsgspecError:
        return Notice(id="", destination="", route="", attempts=0, reason="this notice is damaged")


def event_of(row: Mapping[str, Any]) -> tuple[Event, bool, BodyIs]:
    """The event, whether it is what was stored, and whether that is what was received."""
    body, sha256, body_is = row["body"], row["sha256"], row["body_is"]
    intact = body_is == "removed" or hashlib.sha256(body).digest() == sha256
    found = read_head(row["headers"])
    head = found or NO_HEAD
    event = Event(
        id=row["id"],
        source=row["source"],
        type=unpacked(row["type"]),
        received_at=row["received_at"],
        headers=head.headers,
        query=head.query,
        invalid=head.invalid,
        body=body,
        sha256=sha256,
        label=unpacked(row["label"]),
        track=(row["track"] or b"") if body_is == "kept" else b"",
    )
    return event, intact and found is not None, body_is


def hold_of(row: Mapping[str, Any], now: float) -> Hold:
    circuit = None
    if row["failures"] is not None:
        circuit = Circuit(
            failures=row["failures"],
            denied=tuple(msgspec.json.decode(row["denied"])),
            next_probe_s=row["next_probe"] - now,
            interval_s=row["probe_interval_s"],
        )
    waits_until = row["waits_until"]
    return Hold(
        destination=row["destination"],
        rev=row["rev"],
        pause=_pause(row["pause"]),
        mute=_pause(row["mute"]),
        circuit=circuit,
        wait_s=0.0 if waits_until is None else max(0.0, waits_until - now),
    )


def _pause(stored: bytes | None) -> Pause | None:
    return None if stored is None else msgspec.json.decode(stored, type=Pause)


# --- values to rows ---


def event_row(seq: int, event: Event, *, redact: bool) -> tuple[Any, ...]:
    """A new_event of the schema."""
    named = (seq, event.id, event.source, packed(event.type), event.received_at)
    return (*named, head_of(event), event.sha256, event.body, redact, packed(event.label))


def tracked_row(row: tuple[Any, ...], event: Event) -> tuple[Any, ...]:
    """A tracked_event of the schema, from the event's new_event."""
    return (*row, event.track or None)


def outcome_row(outcome: Outcome) -> tuple[Any, ...]:
    """An outcome of the schema."""
    lease, result, attempt = outcome.lease, outcome.result, outcome.attempt
    seq, grants = fence_of(lease.token)
    made, answer = NO_ATTEMPT, None
    if attempt is not None:
        answer = packed(attempt.answer)
        made = _made_row(attempt, answer)
    if isinstance(result, Release):
        before = lease.delivery
        said = (before.attempts, before.spent_s, packed(before.reason), before.last_status, packed(before.last_answer))
        return (seq, grants, "pending", None, *said, b"", *made)
    state, attempts, spent_s, reason, last_status, last_answer, cause = rules.settled(lease.delivery, outcome)
    after_s = result.after_s if isinstance(result, Retry | Waits) else None
    # The last answer is that of the attempt, where there is one.
    said = (attempts, spent_s, packed(reason), last_status, packed(last_answer) if answer is None else answer)
    return (seq, grants, state, after_s, *said, packed(cause) if cause else b"", *made)


def _made_row(attempt: Attempt, answer: bytes) -> tuple[Any, ...]:
    """Its part about the attempt."""
    return (
        attempt.number,
        attempt.started_at,
        attempt.duration_s,
        attempt.outcome,
        attempt.status,
        packed(attempt.reason),
        answer,
        attempt.config_revision,
        attempt.sent_bytes,
        attempt.sent_sha256,
        attempt.next_s,
        bucket_of(attempt.duration_s),
    )


def hold_row(hold: Hold) -> tuple[Any, ...]:
    """What SET_HOLD is given; times are seconds from now."""
    circuit = hold.circuit
    return (
        name_of(hold.destination),
        hold.rev,
        _pause_row(hold.pause),
        _pause_row(hold.mute),
        circuit and circuit.failures,
        circuit and to_json(circuit.denied),
        circuit and circuit.next_probe_s,
        circuit and circuit.interval_s,
        hold.wait_s if hold.wait_s > 0 else None,
    )


def _pause_row(pause: Pause | None) -> bytes | None:
    if pause is None:
        return None
    return to_json(replace(pause, by=unpacked(packed(pause.by)), reason=unpacked(packed(pause.reason))))


def distinct(values: Iterable[str]) -> list[str]:
    """Each once, in one order for every replica."""
    return sorted(set(values))


def attempt_of(row: Sequence[Any]) -> Attempt:
    """From the columns of ATTEMPTS."""
    lookups, choice = as_looked_up(row[13])
    return Attempt(
        number=row[1],
        started_at=row[2],
        duration_s=row[3],
        outcome=row[4],
        status=row[5],
        reason=unpacked(row[6]),
        answer=unpacked(row[7]),
        config_revision=row[8],
        sent_bytes=row[9],
        sent_sha256=row[10],
        next_s=row[11],
        memory=unpacked(row[12] or b""),
        lookups=lookups,
        choice=choice,
    )


def activity_of(row: Mapping[str, Any], standing: Iterable[Standing]) -> Activity:
    """``standing``: the deliveries that a task has moved."""
    done = None
    if row["finished"] is not None:
        stopped_by = unpacked(row["stopped_by"])
        done = progress(row["total"], row["moved"], standing, is_finished=row["finished"], stopped_by=stopped_by)
    return Activity(
        id=row["id"],
        at=row["at"],
        by=unpacked(row["by"]),
        verb=row["verb"],
        subject=unpacked(row["subject"]),
        reason=unpacked(row["reason"]),
        progress=done,
    )
