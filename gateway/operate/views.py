"""Nouns as JSON: the same in the admin API, with ``--json`` and in the console."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Problem, Unparsable
from gateway.event import tracks
from gateway.event.payload import parse, payload_of
from gateway.hiding.masks import Masks
from gateway.hiding.redaction import MASK, NOTHING, Redaction
from gateway.model import Attempt, Delivery, DeliveryState, Lookup
from gateway.operate import figures
from gateway.operate.conditions import condition, lately
from gateway.operate.waiting import why_waiting
from gateway.store.activities import Activity, ActivityPage
from gateway.store.holds import Pause
from gateway.store.queries import (
    DeliveryPage,
    DestinationStats,
    EventHistory,
    EventPage,
    EventRow,
    LastError,
    Rejected,
)
from gateway.wording import iso_time

if TYPE_CHECKING:
    from gateway.egress import InboxEntry
    from gateway.holds.standing import Standing
    from gateway.operate.operations import Preview
    from gateway.routing import Config, Destination
    from gateway.routing.entries import Entry
    from gateway.store.cluster import Replica

NO_SUMMARIES: Final[Mapping[str, str]] = MappingProxyType({})
_NOT_HELD: Final[Mapping[str, Any]] = MappingProxyType({"held": "", "last_error": None})


def event_row(row: EventRow, summary: str = "") -> dict[str, Any]:
    """An event in a list, without its body; ``summary`` says what it is about, and may be empty."""
    return {
        "id": row.id,
        "summary": summary,
        "source": row.source,
        "type": row.type,
        "received_at": iso_time(row.received_at),
        "size": row.size,
        "deliveries": [delivery(each) for each in row.deliveries],
        "position": row.position,
    }


def event_page(page: EventPage, summaries: Mapping[str, str] = NO_SUMMARIES) -> dict[str, Any]:
    """A page of events; ``searched_to`` is null unless the search ended early."""
    return {"events": [event_row(row, summaries.get(row.id, "")) for row in page.rows], **_end(page)}


def delivery_page(page: DeliveryPage, summaries: Mapping[str, str] = NO_SUMMARIES) -> dict[str, Any]:
    """A page of deliveries, like one of events; the summary is the event's."""
    found = [{**delivery(each), "summary": summaries.get(each.event_id, "")} for each in page.rows]
    return {"deliveries": found, **_end(page)}


def _end(page: EventPage | DeliveryPage) -> dict[str, Any]:
    return {"next": page.next or None, "searched_to": _iso(page.searched_to)}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)


def event_history(
    history: EventHistory,
    redaction: Redaction = NOTHING,
    digests: Mapping[str, float] = MappingProxyType({}),
    holds: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """One event with its payload, deliveries and attempts, redacted; ``tracked`` has ``before``, ``changes`` and ``record``.

    ``digests``: seconds until the digests are due that its deliveries wait in; ``holds``: the ``hold`` of each destination
    for which one waits.
    """
    event = history.event
    # Without the whole body it is unknown which values its source redacts.
    hide = redaction.key_mask_of(event) if history.body_is == "kept" or not redaction.paths else lambda _: MASK
    payload = _payload(history)
    # Only of an event that is about a record that its source remembers.
    tracked = {"tracked": tracks.facts_of(redaction.masked_track(event.track), {})} if event.track else {}
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "received_at": iso_time(event.received_at),
        "size": len(event.body),
        "sha256": event.sha256.hex(),
        "intact": history.intact,
        "body_is": history.body_is,
        "label": hide(event.label) if event.label else "",
        "invalid": None if event.invalid is None else {"path": event.invalid.path, "reason": event.invalid.reason},
        "headers": dict(redaction.masked_headers(event.headers)),
        "query": dict(redaction.masked_query(event.query)),
        # Of a forgotten event it says who did it.
        "payload": payload if history.body_is == "forgotten" else redaction.masked(payload),
        **tracked,
        "deliveries": [
            {
                **delivery(each, digests.get(each.digest)),
                **(holds.get(each.destination, _NOT_HELD) if each.state is DeliveryState.PENDING else _NOT_HELD),
                "waits_for": [f"{name} of {hide(key)}" for name, key in history.waits_for.get(each.id, ())],
                "attempts_made": [attempt(one) for one in history.attempts.get(each.id, ())],
            }
            for each in history.deliveries
        ],
        "held_back": [
            {"route": each.name, "key": hide(each.key), "event_id": each.event_id, "fired_at": iso_time(each.fired_at)}
            for each in history.held_back
        ],
    }


def delivery(each: Delivery, digest_s: float | None = None) -> dict[str, Any]:
    """A delivery; ``due_in_s`` is null unless it is pending, and while it waits for another one of its lane.

    ``waits_until`` is when it is first due, while that is still to come: an ISO time, else null. ``digest`` is the id of the
    delivery that sends its event together with others, its own if it is the one, which has ``gathered`` so many; null: none.
    With another one, ``waits_until`` is when that is due, in ``digest_s`` seconds, where that is known.
    """
    waits_s = digest_s if each.is_member else each.due_in_s if each.waits else None
    return {
        "id": each.id,
        "event_id": each.event_id,
        "route": each.route,
        "destination": each.destination,
        "state": each.state.value,
        "attempts": each.attempts,
        "due_in_s": None if each.due_in_s is None else round(each.due_in_s, 3),
        "waits_until": _iso(time.time() + waits_s) if waits_s is not None and waits_s > 0 else None,
        "reason": each.reason,
        "status": each.last_status,
        "answer": each.last_answer,
        "behind": each.is_behind,
        "digest": each.digest or None,
        "gathered": each.gathered,
        "cause": each.cause,
        "replayed_by": each.replayed_by or None,
        "tells_of": each.notice and {"delivery_id": each.notice.id, "count": each.notice.count},
    }


def attempt(one: Attempt) -> dict[str, Any]:
    """One attempt; of what was sent only size and SHA-256 are stored."""
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
        "memory": one.memory.splitlines(),
        "lookups": [lookup(each, one.reason) for each in one.lookups],
        "choice": one.choice or None,
    }


def lookup(one: Lookup, reason: str) -> dict[str, Any]:
    """One look-up of an attempt: what came of it. What was asked is not stored. ``reason``: that of the attempt."""
    return {
        "name": one.name,
        "destination": one.destination,
        "method": one.method,
        "status": one.status,
        "duration_ms": round(one.duration_s * 1000, 1),
        "size": one.size,
        "found": one.found,
        "cached": one.cached,
        # One that fails ends its attempt, with a reason that begins with it.
        "failed": reason.startswith(f"fetch {one.name}: "),
    }


# --- configuration ---


def destination(
    name: str, config: "Config", standing: "Standing", numbers: DestinationStats, error: LastError | None = None
) -> dict[str, Any]:
    """One destination; ``in_file`` is false if it is no longer in routes.yaml but still has deliveries.

    ``error`` is the last one, if it is known.
    """
    from gateway.destinations import gates

    known = config.destinations.get(name)
    found = {
        "name": name,
        "type": known.kind.name if known else "",
        "in_file": known is not None,
        "held": standing.held,
        "waits": why_waiting(name, config, standing, numbers),
        "paused": standing.paused and pause(standing.paused),
        "muted": standing.muted and pause(standing.muted),
        "circuit": standing.circuit,
        "throttled": standing.throttled,
        "failures": standing.failures,
        "denied": list(standing.denied),
        "in_flight": standing.in_flight,
        "concurrency": known.concurrency if known else 0,
        "rate": gates.rate(known.gate.interval_s) if known else "",
        "address": _address(known, config) if known else "",
        "signed": config.masks.text(known.signed_as) if known else "",
        # Who looks at all of them fills it in: it takes a look into the store.
        "login": None,
        "last_error": error and _last_error(error),
        **figures.destination_stats(numbers),
    }
    found["condition"] = condition(found)
    return {**found, "lately": lately(found)}


def hold(standing: "Standing", error: LastError | None) -> dict[str, Any]:
    """What holds a destination, in words, and its last error as long as something holds it or its attempts fail."""
    is_troubled = bool(standing.held or standing.failures)
    return {"held": standing.held, "last_error": error and _last_error(error) if is_troubled else None}


def _last_error(error: LastError) -> dict[str, Any]:
    return {"at": iso_time(error.at), "reason": error.reason, "event_id": error.event_id}


def _address(known: "Destination", config: "Config") -> str:
    """The address, without secrets."""
    return config.masks.url(known.masked_url(known.target.url)) if known.target.url else known.target.path


def pause(each: Pause) -> dict[str, Any]:
    """A pause or a mute: who, why, since when and until when."""
    return {"by": each.by, "reason": each.reason, "since": iso_time(each.since), "until": _iso(each.until)}


def replica(each: "Replica", me: "Replica") -> dict[str, Any]:
    """A replica, as the replica ``me`` sees it."""
    return {
        "id": each.id,
        "host": each.host,
        "version": each.version,
        "config": each.config,
        "started_at": iso_time(each.started_at),
        "seen_s": round(each.seen_s, 1),
        "is_this": each.id == me.id,
        "has_this_config": each.config == me.config,
    }


def configuration(config: "Config", problems: Sequence[Problem], since: float | None) -> dict[str, Any]:
    """The configuration in force; ``problems``, ``since``: why and since when the file on disk is not."""
    return {
        "revision": config.revision,
        "files": sorted(config.files),
        "sources": [{"name": each.name, "preset": each.preset, "path": each.path} for each in config.sources.values()],
        "routes": [_entry(each) for each in config.entries.values()],
        "destinations": [
            {"name": each.name, "type": each.kind.name, "address": _address(each, config)}
            for each in config.destinations.values()
        ],
        "warnings": [problem(each) for each in config.warnings],
        "rejection": None
        if since is None
        else {"since": iso_time(since), "problems": [problem(each) for each in problems]},
    }


def _entry(each: "Entry") -> dict[str, Any]:
    return {
        "name": each.name,
        "section": each.section,
        "place": str(each.place),
        "to": [{"route": route, "destination": destination} for route, destination in each.deliveries],
    }


# --- activities and refused requests ---


def activity(each: Activity) -> dict[str, Any]:
    """Something that somebody did; ``progress`` is null unless it is a task."""
    done = each.progress
    return {
        "id": each.id,
        "at": iso_time(each.at),
        "by": each.by,
        "verb": each.verb,
        "subject": each.subject,
        "reason": each.reason,
        "progress": done
        and {
            "total": done.total,
            "moved": done.moved,
            "pending": done.pending,
            "delivered": done.delivered,
            "dead": done.dead,
            "not_sent": done.not_sent,
            "discarded": done.discarded,
            "finished": done.is_finished,
            "over": done.is_over,
            "stopped_by": done.stopped_by or None,
        },
    }


def activity_page(page: ActivityPage) -> dict[str, Any]:
    """A page of what people did."""
    return {"activity": [activity(each) for each in page.rows], "next": page.next or None}


def preview(each: "Preview") -> dict[str, Any]:
    """What a move would do; ``diff`` is only for a reroute, a row for each route and destination of each event."""
    return {
        "count": each.count,
        "sample": [delivery(one) for one in each.sample],
        "warnings": list(each.warnings),
        "diff": [
            {"event_id": row.event_id, "route": row.route, "destination": row.destination, "fate": row.fate}
            for row in each.diff
        ],
    }


def rejected(each: Rejected) -> dict[str, Any]:
    """A refused request, and how many were like it."""
    return {
        "at": iso_time(each.at),
        "source": each.source,
        "path": each.path,
        "status": each.status,
        "reason": each.reason,
        "client": each.client,
        "count": each.count,
    }


def problem(each: Problem) -> dict[str, Any]:
    """A problem in routes.yaml, in parts and as ``gateway check`` prints it; line and column are 0 for the whole file."""
    from gateway.config import format_problem

    return {
        "file": each.place.file,
        "line": each.place.line,
        "column": each.place.column,
        "severity": each.severity,
        "message": each.message,
        "hint": each.hint,
        "text": format_problem(each),
    }


def inbox_entry(entry: "InboxEntry", masks: Masks) -> dict[str, Any]:
    """A request that ``gateway dev`` recorded instead of sending it, without the secrets of the file."""
    return {
        "received_at": iso_time(entry.received_at),
        "destination": entry.destination,
        "method": entry.method,
        "path": masks.text(entry.path),
        "headers": dict(entry.headers),
        "body": masks.text(entry.body),
    }


def _payload(history: EventHistory) -> Any:
    event = history.event
    if history.body_is in ("redacted", "forgotten"):
        # JSON, whatever was received.
        return parse(event.body)
    try:
        return payload_of(event)
    except Unparsable:
        return event.body.decode("utf-8", "replace")
