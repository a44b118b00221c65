"""How stored nouns look as JSON: the same in the admin API and behind ``--json``."""

from typing import Any

from gateway.config import format_problem
from gateway.egress import InboxEntry
from gateway.errors import Problem, Unparsable
from gateway.facts import iso_time, payload_of
from gateway.model import Attempt, Delivery, Event, EventHistory, EventRow


def event_row(row: EventRow) -> dict[str, Any]:
    """An event in a list: no body."""
    return {
        "id": row.id,
        "source": row.source,
        "type": row.type,
        "received_at": iso_time(row.received_at),
        "size": row.size,
        "deliveries": [delivery(each) for each in row.deliveries],
    }


def event_history(history: EventHistory) -> dict[str, Any]:
    """One event with its payload, its deliveries and their attempts."""
    event = history.event
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "received_at": iso_time(event.received_at),
        "size": len(event.body),
        "sha256": event.sha256.hex(),
        "intact": history.intact,
        "headers": dict(event.headers),
        "payload": _payload(event),
        "deliveries": [
            {**delivery(each), "attempts_made": [attempt(one) for one in history.attempts.get(each.id, ())]}
            for each in history.deliveries
        ],
        "held_back": [
            {"route": each.name, "key": each.key, "event_id": each.event_id, "fired_at": iso_time(each.fired_at)}
            for each in history.held_back
        ],
    }


def delivery(each: Delivery) -> dict[str, Any]:
    """A delivery and where it stands; ``due_in_s`` while it is pending, null of one behind another of its lane."""
    return {
        "id": each.id,
        "event_id": each.event_id,
        "route": each.route,
        "destination": each.destination,
        "state": each.state.value,
        "attempts": each.attempts,
        "due_in_s": None if each.due_in_s is None else round(each.due_in_s, 3),
        "reason": each.reason,
        "status": each.last_status,
        "answer": each.last_answer,
        "behind": each.is_behind,
        "tells_of": each.notice and {"delivery_id": each.notice.id, "count": each.notice.count},
    }


def attempt(one: Attempt) -> dict[str, Any]:
    """One attempt; bodies are not stored, their size and SHA-256 are."""
    return {
        "number": one.number,
        "started_at": iso_time(one.started_at),
        "duration_ms": round(one.duration_s * 1000, 1),
        "outcome": one.outcome,
        "status": one.status,
        "reason": one.reason,
        "answer": one.answer,
        "config": one.config_revision,
        "sent_bytes": one.sent_bytes,
        "sent_sha256": one.sent_sha256.hex(),
        "next_s": None if one.next_s is None else round(one.next_s, 3),
    }


def problem(each: Problem) -> dict[str, Any]:
    """A finding about routes.yaml, in parts and as ``gateway check`` prints it; line and column 0: the whole file."""
    return {
        "file": each.place.file,
        "line": each.place.line,
        "column": each.place.column,
        "severity": each.severity,
        "message": each.message,
        "hint": each.hint,
        "text": format_problem(each),
    }


def inbox_entry(entry: InboxEntry) -> dict[str, Any]:
    """A request that ``gateway dev`` recorded in place of sending it."""
    return {
        "received_at": iso_time(entry.received_at),
        "destination": entry.destination,
        "method": entry.method,
        "path": entry.path,
        "headers": dict(entry.headers),
        "body": entry.body,
    }


def _payload(event: Event) -> Any:
    try:
        return payload_of(event)
    except Unparsable:
        return event.body.decode("utf-8", "replace")
