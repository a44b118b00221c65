"""Every line that the gateway writes to its log, with its fields."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Level = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: Final[tuple[str, ...]] = ("debug", "info", "warning", "error")


class LogEvent(Struct, frozen=True):
    """A log line as the reference documents it."""

    level: Level
    #: When it is written.
    when: str
    #: Names from FIELDS, beyond ``time``, ``level`` and ``event``; a field without a value is null or left out.
    fields: tuple[str, ...] = ()


#: What each field holds.
FIELDS: Final[Mapping[str, str]] = {
    "time": "time of writing, UTC",
    "level": "debug, info, warning or error",
    "event": "name of the line",
    "event_id": "id of the event; for a duplicate, id of the first",
    "delivery_id": "id of the delivery; sent to destinations as webhook-id",
    "source": "name of the source; unknown if the path belongs to no source",
    "type": "type of the event",
    "route": "name of the entry the delivery is for",
    "destination": "name of the destination",
    "attempt": "number of the attempt, counted from 1 across replays",
    "outcome": "delivered, retry, dead or discarded",
    "status": "HTTP status: the destination's answer, or ours to a sender",
    "duration_ms": "duration of the attempt in milliseconds",
    "next_s": "seconds until the next attempt, probe or start",
    "waits_for": "names under which the awaited values are remembered, without the key",
    "trace_id": "id of the event's W3C trace",
    "reason": "reason, in words",
    "duplicate": "whether the event had been received before; then `gateway replay --dead <event_id>` sends its dead deliveries",
    "deliveries": "number of deliveries concerned",
    "path": "path of the request, with possible secrets masked",
    "failures": "consecutive failures",
    "denied": "ids of the events that the destination denied with no success between them; empty if it does not answer",
    "crashes": "number of times the process died while working on this delivery",
    "state": "state of the delivery now",
    "by": "who did it",
    "bodies": "how many different bodies came under one id",
    "for_s": "seconds until the pause or mute ends by itself; null if it does not",
    "activity": "id of the activity",
    "verb": "replay, reroute, discard or forget",
    "subject": "what is replayed, discarded or forgotten, in words; of what is forgotten without the value looked for",
    "host": "host that keys, a certificate or a token come from",
    "lasts_s": "seconds that an access token lasts; null if its server does not say",
    "ahead_s": "seconds that another clock is ahead of this machine's; negative: behind",
    "client": "IP address of the client; empty if there are several",
    "count": "number of requests that the line stands for",
    "pid": "number of the process",
    "exit": "its exit code; negative: the number of the signal that ended it",
    "ingest": "address of the ingest listener",
    "admin": "address of the admin listener",
    "config": "revision of the configuration in force",
    "in_force": "revision of the configuration that stays in force",
    "changed": "differences from the previous configuration",
    "files": "paths of the files, as written in routes.yaml",
    "problems": "first line of each problem",
    "place": "file:line:column",
    "message": "text of the message",
    "removed": "number of items removed",
    "listener": "ingest or admin",
    "refused": "number of requests refused and connections closed since the previous such line",
    "late_ms": "milliseconds by which the event loop was late",
    "cpu_ms": "milliseconds of CPU time that the process used meanwhile",
    "stack": "the functions that ran on the loop with their lines, the innermost first; empty if the whole process did not run",
    "more": "number of further late turns since the previous such line",
    "signal": "traces or metrics",
    "dropped": "number of spans, or of exports of all metrics, that were lost",
    "logger": "name of the library's logger",
    "exception": "traceback, its last 16,384 characters at most",
}

_ATTEMPTED: Final = (
    "event_id", "delivery_id", "source", "type", "route", "destination", "outcome", "reason", "attempt", "status",
    "duration_ms", "next_s", "trace_id",
)  # fmt: skip

LOG_EVENTS: Final[Mapping[str, LogEvent]] = {
    "gateway.started": LogEvent("info", "both listeners accept connections", ("ingest", "admin", "config")),
    "gateway.draining": LogEvent(
        "info", "a signal asked the gateway to stop: attempts in flight finish, events are still accepted"
    ),
    "gateway.stopped": LogEvent("info", "everything is closed"),
    "worker.ended": LogEvent(
        "error",
        "with --workers: a worker ended; another one takes its place, and what it had in flight is delivered by the others",
        ("pid", "exit", "next_s"),
    ),
    "owner.ended": LogEvent(
        "error",
        "with --workers: the process that has the store ended; all processes start again",
        ("pid", "exit", "next_s"),
    ),
    "otlp.off": LogEvent(
        "warning",
        "OpenTelemetry could not be set up as the environment asks: no traces and no metrics are sent",
        ("reason",),
    ),
    "otlp.failed": LogEvent(
        "warning",
        "traces or metrics could not be sent to the OpenTelemetry collector and are lost; logged once until sending works again",
        ("signal", "reason"),
    ),
    "otlp.recovered": LogEvent(
        "info", "traces or metrics reach the OpenTelemetry collector again", ("signal", "dropped")
    ),
    "config.warning": LogEvent("warning", "routes.yaml is in force but has a warning", ("place", "message")),
    "config.reloaded": LogEvent(
        "info", "a changed routes.yaml is in force and applies to all attempts from now on", ("changed", "config")
    ),
    "shadow.rejected": LogEvent(
        "warning",
        "the file of `serve --shadow` has problems; its last valid version is still compared",
        ("reason",),
    ),
    "config.rejected": LogEvent(
        "error",
        "the configuration on disk has problems; the previous one stays in force, unchanged; on a terminal only their number",
        ("in_force", "problems"),
    ),
    "config.orphans": LogEvent(
        "warning",
        "deliveries wait for a route or destination that routes.yaml no longer has: they will become dead letters and can be replayed",
        ("route", "destination", "deliveries"),
    ),
    "secret.reloaded": LogEvent(
        "info",
        "a file of a `${file:...}` or of `tls.ca` has changed: its content applies to all attempts from now on",
        ("files", "changed"),
    ),
    "secret.rejected": LogEvent(
        "error",
        "a file of a `${file:...}` or of `tls.ca` has changed and cannot be used: its previous content stays in force",
        ("problems",),
    ),
    "event.received": LogEvent(
        "info",
        "an event is on disk, or had been received before",
        ("event_id", "source", "type", "duplicate", "deliveries", "trace_id"),
    ),
    "source.silent": LogEvent("warning", "a source has sent nothing for too long (`silence`)", ("source", "reason")),
    "source.heard": LogEvent("info", "a source that was silent has sent something", ("source", "event_id")),
    "source.missing": LogEvent(
        "warning",
        "an event was not followed by the awaited one in time (`follow_up`)",
        ("source", "event_id", "reason"),
    ),
    "source.follow_ups_full": LogEvent(
        "warning",
        "the maximum number of events is awaited from a source; further ones are not (`follow_up`)",
        ("source", "count"),
    ),
    "event.id_repeated": LogEvent(
        "warning",
        "many different bodies arrived under one id, and all but the first were taken for duplicates",
        ("event_id", "source", "bodies"),
    ),
    "event.rejected": LogEvent(
        "warning",
        "a request was refused; further ones of the same source, kind of reason and client are counted, and the log has their number once a minute",
        ("source", "path", "status", "reason", "client", "count"),
    ),
    "event.not_replayed": LogEvent(
        "warning",
        "a sender sent an event again whose dead deliveries cannot be replayed",
        ("event_id", "source", "reason"),
    ),
    "source.handshake": LogEvent("info", "a sender's verification request was answered", ("source",)),
    "source.secret_learned": LogEvent(
        "warning",
        "a sender chose a secret in a handshake; requests signed with it are accepted from now on",
        ("source",),
    ),
    "source.keys_missing": LogEvent(
        "warning", "the keys or a certificate of a sender could not be fetched", ("host", "reason")
    ),
    "token.fetched": LogEvent("info", "an authorization server issued an access token", ("host", "lasts_s")),
    "token.failed": LogEvent(
        "warning", "no access token could be obtained; deliveries that need one wait", ("host", "reason")
    ),
    "token.clock": LogEvent(
        "warning",
        "an authorization server accepts assertions only by its own clock: correct this machine's",
        ("host", "ahead_s"),
    ),
    "event.not_replied": LogEvent(
        "warning",
        "the `reply` of a source could not be rendered; its sender got the usual answer",
        ("event_id", "source", "reason"),
    ),
    "event.not_stored": LogEvent(
        "error", "a request could not be stored; its sender was asked to retry", ("source", "reason")
    ),
    "delivery.attempted": LogEvent("info", "an attempt succeeded or will be retried", _ATTEMPTED),
    "delivery.dead": LogEvent("error", "a delivery was given up; it can be replayed", _ATTEMPTED),
    "delivery.waits": LogEvent(
        "info",
        "a delivery waits for a value that is not remembered yet; after next_s at the latest it is sent without it",
        ("event_id", "delivery_id", "route", "destination", "waits_for", "next_s"),
    ),
    "delivery.unkeyed": LogEvent(
        "warning",
        "the key of a route's `once` could not be rendered, so the event was sent anyway",
        ("event_id", "route", "reason"),
    ),
    "delivery.poisonous": LogEvent(
        "error",
        "the previous process died while working on this delivery",
        ("delivery_id", "destination", "crashes", "state"),
    ),
    "delivery.abandoned": LogEvent(
        "warning",
        "the process ended during an attempt: the delivery may arrive twice",
        ("delivery_id", "destination"),
    ),
    "delivery.lease_lost": LogEvent(
        "warning", "an outcome came after its lease had expired: the delivery may be sent twice", ("delivery_id",)
    ),
    "activity.begun": LogEvent(
        "info",
        "a person started to replay, reroute or discard deliveries or to forget events, or a sender that sent an event "
        "again started a replay",
        ("activity", "verb", "by", "subject"),
    ),
    "activity.stopped": LogEvent(
        "info", "a person stopped a replay, discard or erasure before its end", ("activity", "verb", "by")
    ),
    "circuit.opened": LogEvent(
        "warning",
        "a destination failed repeatedly, or denied three different events: only probes are sent from now on",
        ("destination", "failures", "denied", "next_s"),
    ),
    "circuit.closed": LogEvent(
        "info", "a destination answers or accepts again: its waiting deliveries are sent", ("destination", "failures")
    ),
    "destination.paused": LogEvent(
        "warning",
        "a destination's deliveries are held until somebody resumes it or the pause ends",
        ("destination", "by", "reason", "for_s"),
    ),
    "destination.tried": LogEvent("info", "a destination that is held tried at once", ("destination", "by")),
    "destination.resumed": LogEvent("info", "a paused destination resumed", ("destination", "by")),
    "destination.muted": LogEvent(
        "info",
        "notifications for a destination are off until somebody unmutes it or the mute ends",
        ("destination", "by", "reason", "for_s"),
    ),
    "destination.unmuted": LogEvent("info", "notifications for a destination are back on", ("destination", "by")),
    "admin.denied": LogEvent(
        "warning",
        "a request to the admin listener had a wrong token or cookie",
        ("client", "path", "reason"),
    ),
    "listener.full": LogEvent(
        "warning",
        "a listener refused requests or closed connections because it holds as many, or as many bytes, as it may; at most every 10 seconds, about the most frequent reason and client",
        ("listener", "refused", "client", "reason"),
    ),
    "loop.late": LogEvent(
        "warning",
        "one piece of work kept everything else waiting for 250 ms or more; at most one line in 10 seconds",
        ("late_ms", "cpu_ms", "stack", "delivery_id", "more"),
    ),
    "store.unavailable": LogEvent(
        "error", "a disk error: no events are accepted until the store is reopened and checked", ("reason",)
    ),
    "store.damaged": LogEvent(
        "error", "the store's file is damaged: new events are refused, and a backup has to be restored", ("reason",)
    ),
    "store.pruned": LogEvent("info", "items past their retention were removed", ("removed",)),
    "library.warning": LogEvent(
        "warning", "a library logged a warning or an error", ("logger", "message", "exception")
    ),
    "internal.error": LogEvent(
        "error",
        "a defect of the gateway itself; please report it with the traceback",
        ("source", "delivery_id", "path", "exception"),
    ),
}
