"""Every metric and every log event, declared here and nowhere else.

A label is a name of the configuration in force, ``other``, or one of few fixed words. Log lines leave through one
daemon thread and a bounded queue: a full or closed pipe drops lines, counted, and stops nothing. Bodies, secrets and
URL queries are never fields.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

from gateway.wording import printable

# --- metrics ---

#: The label of a name that the configuration in force does not have.
OTHER: Final = "other"

M = TypeVar("M", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the reference says of a metric."""

    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    about: str


#: By name, as it is scraped.
METRICS: Final[dict[str, Declared]] = {}
REGISTRY: Final = CollectorRegistry(auto_describe=True)
# The time at which each series was made would be a second series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)


def _declared(kind: type[M], name: str, about: str, labels: tuple[str, ...] = (), **options: Any) -> M:
    METRICS[name] = Declared(type=kind._type, labels=labels, about=about)  # type: ignore[arg-type]  # noqa: SLF001
    return kind(name, about, labels, registry=REGISTRY, **options)


class Family(Generic[M]):
    """A metric whose first label is the name of a source, route or destination.

    Each child is looked up once: the library's ``labels()`` takes longer than all that is done with what it finds.
    """

    def __init__(self, kind: type[M], name: str, about: str, labels: tuple[str, ...], **options: Any) -> None:
        #: The labels behind its name of what stands at 0 before anything has happened: a first one would not be seen.
        self._begins: Collection[tuple[str, ...]] = options.pop("begins", ())
        self._metric: M = _declared(kind, name, about, labels, **options)
        self._names: Collection[str] = ()
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        """The child with these labels; of a name that is not in force it is that of ``other``."""
        return self._children.get(labels) or self._made(*labels)

    def _made(self, name: str, *more: str) -> M:
        labels = (name if name in self._names else OTHER, *more)
        if labels not in self._children:
            self._children[labels] = self._metric.labels(*labels)
        return self._children[labels]

    def follow(self, names: Collection[str]) -> None:
        """Let every name begin at 0, and drop what is of none of them."""
        self._names = names
        for labels in [each for each in self._children if each[0] not in names and each[0] != OTHER]:
            self._metric.remove(*labels)
            del self._children[labels]
        for name in names:
            for labels in self._begins:
                self.of(name, *labels)


# From a millisecond to the longest that anybody waits for it.
_ANSWER_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Few, for there is a series of each for every destination.
_ATTEMPT_S: Final = (0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_DELIVERY_S: Final = (0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0)

EVENTS_RECEIVED: Final = Family(
    Counter,
    "gateway_events_received_total",
    "Events at the door by outcome: accepted, duplicate; and requests that were rejected, with the reason, or for "
    "which nothing could be kept (unavailable: store, overload or defect).",
    ("source", "outcome", "reason"),
    begins=[("accepted", ""), ("duplicate", ""), ("rejected", "signature"), ("unavailable", "store")],
)
INGEST_SECONDS: Final = _declared(
    Histogram,
    "gateway_ingest_duration_seconds",
    "From a request's header to its answer, the time its body took to arrive included.",
    buckets=_ANSWER_S,
)
ROUTE_MATCHES: Final = Family(
    Counter,
    "gateway_route_matches_total",
    "Events that an entry of always, routes or unmatched took; 0 from the moment its file is in force.",
    ("route",),
    begins=[()],
)
ROUTE_LAST_MATCH: Final = Family(
    Gauge,
    "gateway_route_last_match_timestamp_seconds",
    "When an entry took an event last; absent until it does.",
    ("route",),
)
EVENTS_UNMATCHED: Final = Family(
    Counter,
    "gateway_events_unmatched_total",
    "Events that no entry of routes took, whatever always and unmatched did with them.",
    ("source",),
    begins=[()],
)
RENDER_ERRORS: Final = Family(
    Counter,
    "gateway_render_errors_total",
    "Deliveries whose template or condition failed on the event.",
    ("route",),
    begins=[()],
)
ATTEMPTS: Final = Family(
    Counter,
    "gateway_delivery_attempts_total",
    "Attempts by what they came to (delivered, retry, dead) and why.",
    ("destination", "outcome", "reason"),
    begins=[("delivered", "2xx")],
)
ATTEMPT_SECONDS: Final = Family(
    Histogram,
    "gateway_delivery_attempt_duration_seconds",
    "How long an attempt took that had a request to send.",
    ("destination",),
    buckets=_ATTEMPT_S,
    begins=[()],
)
LATENCY_SECONDS: Final = Family(
    Histogram,
    "gateway_delivery_latency_seconds",
    "From the receipt of an event to its delivery, all waiting included; without what somebody replayed.",
    ("destination",),
    buckets=_DELIVERY_S,
    begins=[()],
)
OPEN: Final = _declared(
    Gauge,
    "gateway_deliveries_open",
    "Pending deliveries: in_flight, held (their destination is paused or its circuit is open) or waiting.",
    ("destination", "state"),
)
OLDEST_DUE_SECONDS: Final = _declared(
    Gauge,
    "gateway_deliveries_oldest_due_seconds",
    "For how long the delivery that has been due longest has been; 0: none is due.",
    ("destination",),
)
DEAD: Final = _declared(
    Gauge,
    "gateway_dead_letters",
    "Deliveries that were given up and are neither replayed nor discarded.",
    ("destination",),
)
CIRCUIT_STATE: Final = _declared(
    Gauge, "gateway_circuit_state", "0: closed; 1: open, and only probes are sent.", ("destination",)
)
PAUSED: Final = _declared(
    Gauge, "gateway_destination_paused", "1: paused, by the file, somebody or the gateway itself.", ("destination",)
)
MUTED: Final = _declared(
    Gauge, "gateway_destination_muted", "1: nobody is to be told of its troubles.", ("destination",)
)
COMMIT_SECONDS: Final = _declared(
    Histogram,
    "gateway_store_commit_seconds",
    "How long a transaction took, from its lock to the disk; it carries all that waited.",
    buckets=_ANSWER_S,
)
STORE_BYTES: Final = _declared(Gauge, "gateway_store_bytes", "What the store takes on the disk, its log included.")
DISK_FREE_BYTES: Final = _declared(Gauge, "gateway_disk_free_bytes", "What is left on the disk of the store.")
READY: Final = _declared(Gauge, "gateway_ready", "1 when /readyz answers 200, else 0.")
LIVE_LISTENERS: Final = _declared(Gauge, "gateway_live_listeners", "Consoles and others on the live stream.")
CONFIG_SUCCESSFUL: Final = _declared(
    Gauge,
    "gateway_config_last_reload_successful",
    "1 when the file on disk is in force, 0 when it was refused and an older one is.",
)
CONFIG_SUCCESS_TIME: Final = _declared(
    Gauge,
    "gateway_config_last_reload_success_timestamp_seconds",
    "When the configuration in force was read, the start included.",
)
BUILD_INFO: Final = _declared(Gauge, "gateway_build_info", "Always 1; the version is a label.", ("version",))
LOG_LINES_DROPPED: Final = _declared(Counter, "gateway_log_lines_dropped_total", "Log lines nobody read in time.")

#: Set anew for each scrape.
OF_DESTINATIONS: Final = (OPEN, OLDEST_DUE_SECONDS, DEAD, CIRCUIT_STATE, PAUSED, MUTED)


def in_force(
    *, sources: Collection[str], routes: Collection[str], entries: Collection[str], destinations: Collection[str]
) -> None:
    """Labels follow the configuration: ``routes`` are the entries that take events, ``entries`` all that send."""
    names: Mapping[Family[Any], Collection[str]] = {
        EVENTS_RECEIVED: sources,
        EVENTS_UNMATCHED: sources,
        ROUTE_MATCHES: routes,
        ROUTE_LAST_MATCH: routes,
        RENDER_ERRORS: entries,
        ATTEMPTS: destinations,
        ATTEMPT_SECONDS: destinations,
        LATENCY_SECONDS: destinations,
    }
    for family, known in names.items():
        family.follow(frozenset(known))


def metrics() -> bytes:
    """The text that Prometheus scrapes."""
    return generate_latest(REGISTRY)


# --- the log ---

Level = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: Final[tuple[str, ...]] = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What the reference says of a line."""

    level: Level
    #: When it is written.
    when: str
    #: Of FIELDS, beside ``time``, ``level`` and ``event``; one that means nothing is null or left out.
    fields: tuple[str, ...] = ()


#: What a field of a line holds.
FIELDS: Final[Mapping[str, str]] = {
    "time": "when it was written, UTC",
    "level": "debug, info, warning or error",
    "event": "the name of the line",
    "event_id": "of the event; of a duplicate that of the first",
    "delivery_id": "of the delivery; its requests carry it as webhook-id",
    "source": "the source's name; unknown where no source listens",
    "type": "the event's type",
    "route": "the entry that the delivery is for",
    "destination": "the destination's name",
    "attempt": "the number of the attempt, from 1 over all replays",
    "outcome": "delivered, retry or dead",
    "status": "of HTTP: the destination's answer, or ours to a sender",
    "duration_ms": "how long the attempt took",
    "next_s": "seconds until the next attempt or probe",
    "trace_id": "of the W3C trace that the event belongs to",
    "reason": "why, in words",
    "duplicate": "whether the event was known already",
    "deliveries": "how many deliveries it is about",
    "path": "of the request, with what could be a secret masked",
    "failures": "in a row",
    "crashes": "how often the process died over this delivery",
    "state": "where the delivery stands now",
    "by": "who did it",
    "for_s": "seconds until the pause or the mute ends by itself; null: it does not",
    "activity": "the id of what somebody does",
    "verb": "replay, reroute or discard",
    "subject": "what is replayed or discarded, in words",
    "client": "the address of who asked",
    "ingest": "the address for senders",
    "admin": "the address for operators",
    "config": "the revision of the configuration in force",
    "in_force": "the revision that stays in force",
    "changed": "what differs from the configuration before",
    "problems": "the first line of each problem",
    "place": "file:line:column",
    "message": "what it says",
    "removed": "how many things are gone",
    "logger": "the library that says it",
    "exception": "the traceback",
}

_ATTEMPTED: Final = (
    "event_id", "delivery_id", "source", "type", "route", "destination", "outcome", "reason", "attempt", "status",
    "duration_ms", "next_s", "trace_id",
)  # fmt: skip

LOG_EVENTS: Final[Mapping[str, LogEvent]] = {
    "gateway.started": LogEvent("info", "both listeners accept", ("ingest", "admin", "config")),
    "gateway.draining": LogEvent(
        "info", "a signal asked it to stop; attempts in flight end, events are still accepted"
    ),
    "gateway.stopped": LogEvent("info", "everything is closed"),
    "config.warning": LogEvent(
        "warning", "routes.yaml is in force, and something in it deserves a look", ("place", "message")
    ),
    "config.reloaded": LogEvent(
        "info", "another routes.yaml is in force; attempts from now on use it", ("changed", "config")
    ),
    "config.rejected": LogEvent(
        "error", "the file on disk has problems; the one before stays in force, whole", ("in_force", "problems")
    ),
    "config.orphans": LogEvent(
        "warning",
        "deliveries wait for what is no longer in routes.yaml: they will be dead, replayable",
        ("route", "destination", "deliveries"),
    ),
    "event.received": LogEvent(
        "info",
        "an event is on disk, or was there already",
        ("event_id", "source", "type", "duplicate", "deliveries", "trace_id"),
    ),
    "event.rejected": LogEvent("warning", "a request was refused", ("source", "path", "status", "reason")),
    "source.handshake": LogEvent("info", "a sender asked whether this is its address, and was answered", ("source",)),
    "event.not_stored": LogEvent(
        "error", "a request could not be kept; its sender was told to come back", ("source", "reason")
    ),
    "delivery.attempted": LogEvent("info", "a destination took it, or will be asked again", _ATTEMPTED),
    "delivery.dead": LogEvent("error", "a delivery was given up; it can be replayed", _ATTEMPTED),
    "delivery.unkeyed": LogEvent(
        "warning",
        "the key of a route's once could not be made for an event: it was sent all the same",
        ("event_id", "route", "reason"),
    ),
    "delivery.poisonous": LogEvent(
        "error",
        "the last process died while it worked on this delivery",
        ("delivery_id", "destination", "crashes", "state"),
    ),
    "delivery.abandoned": LogEvent(
        "warning",
        "the process ended while it was on its way: it may arrive twice",
        ("delivery_id", "destination"),
    ),
    "delivery.lease_lost": LogEvent(
        "warning", "an outcome came too late: its delivery may be sent twice", ("delivery_id",)
    ),
    "activity.begun": LogEvent(
        "info", "a person replays, reroutes or discards deliveries", ("activity", "verb", "by", "subject")
    ),
    "activity.stopped": LogEvent(
        "info", "a person ended a replay before it had reached everything", ("activity", "verb", "by")
    ),
    "circuit.opened": LogEvent(
        "warning",
        "a destination failed again and again: from now on only probes are sent",
        ("destination", "failures", "next_s"),
    ),
    "circuit.closed": LogEvent(
        "info", "a destination answered: what waited for it goes out", ("destination", "failures")
    ),
    "destination.paused": LogEvent(
        "warning",
        "its deliveries are held until somebody resumes it, or the pause ends",
        ("destination", "by", "reason", "for_s"),
    ),
    "destination.resumed": LogEvent("info", "a paused destination goes on", ("destination", "by")),
    "destination.muted": LogEvent(
        "info",
        "nobody is told of its troubles until somebody unmutes it, or the mute ends",
        ("destination", "by", "reason", "for_s"),
    ),
    "destination.unmuted": LogEvent("info", "its troubles are told of again", ("destination", "by")),
    "admin.denied": LogEvent(
        "warning",
        "somebody came to the admin listener with a token or a cookie that is not right",
        ("client", "path", "reason"),
    ),
    "store.unavailable": LogEvent(
        "error", "the disk refuses; nothing is accepted until it was reopened and checked", ("reason",)
    ),
    "store.pruned": LogEvent("info", "things past their retention were removed", ("removed",)),
    "library.warning": LogEvent(
        "warning", "a library that the gateway is built on has something to say", ("logger", "message", "exception")
    ),
    "internal.error": LogEvent(
        "error",
        "a defect of the gateway itself; please report it with the traceback",
        ("source", "delivery_id", "path", "exception"),
    ),
}

_STDOUT: Final = 1
_STDERR: Final = 2
_QUEUE_LINES: Final = 10_000
#: Lines wait this long so that one write carries many: a thread that woke for each would take turns from the event loop.
_GATHER_S: Final = 0.02


class LinePump:
    """A daemon thread that writes lines to a file descriptor; whoever puts one in never waits for it."""

    def __init__(self, descriptor: int, *, gather_s: float = _GATHER_S) -> None:
        self._descriptor = descriptor
        self._gather_s = gather_s
        #: Lines, and what is to be set once all before it is written.
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="lines", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Let a line be written; it is dropped, and counted, when too many wait."""
        if self._lines.qsize() < _QUEUE_LINES:
            self._lines.put(line)
        else:
            LOG_LINES_DROPPED.inc()

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything put so far was written, or for so many seconds: the pipe may be full."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(timeout_s)

    def _run(self) -> None:
        while True:
            taken = [self._lines.get()]
            time.sleep(self._gather_s)
            taken += [self._lines.get() for _ in range(self._lines.qsize())]
            self._write([each for each in taken if isinstance(each, bytes)])
            for each in taken:
                if isinstance(each, threading.Event):
                    each.set()

    def _write(self, lines: Collection[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            LOG_LINES_DROPPED.inc(len(lines))


def say(text: str) -> None:
    """Tell whoever started the process something on stdout; without a reader it is given up after a second."""
    pump = LinePump(_STDOUT, gather_s=0.0)
    pump.put(text.encode("utf-8", "replace"))
    pump.flush()


#: Writes the fields of one line of this name and level.
_Write = Callable[[str, Level, MutableMapping[str, Any]], None]

_pump: LinePump | None = None
_write: _Write | None = None
#: Of the names that are written; none before ``configure_log``.
_levels: Mapping[str, Level] = {}


def configure_log(form: str = "auto", level: str = "info") -> None:
    """Choose ``console`` or ``json`` lines on stderr (``auto``: console on a terminal) and the least level."""
    global _pump, _write, _levels  # noqa: PLW0603  the log is the one thing every part of a process shares
    if form == "auto":
        form = "console" if os.isatty(_STDERR) else "json"
    _pump = _pump or LinePump(_STDERR)
    _write = _json_lines(_pump.put) if form == "json" else _console_lines(_pump.put)
    _levels = {
        name: declared.level
        for name, declared in LOG_EVENTS.items()
        if LOG_LEVELS.index(declared.level) >= LOG_LEVELS.index(level)
    }
    # What libraries say would be written to stderr by whoever says it, and wait for a pipe that is full.
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING)
    logging.captureWarnings(capture=True)


def _json_lines(put: Callable[[bytes], None]) -> _Write:
    # Not through structlog's processors: they take three times as long, and there are two lines for each event.
    encode = msgspec.json.Encoder(enc_hook=str).encode

    def write(name: str, level: Level, fields: MutableMapping[str, Any]) -> None:
        if "exc_info" in fields:
            fields = structlog.processors.format_exc_info(None, level, fields)
        line = {"time": datetime.now(UTC), "level": level, "event": name, **fields}
        try:
            put(encode(line))
        except UnicodeEncodeError:
            put(encode(_harmless(line)))

    return write


def _console_lines(put: Callable[[bytes], None]) -> _Write:
    colors = os.isatty(_STDERR) and not os.environ.get("NO_COLOR")
    render = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="time", pad_event_to=20, exception_formatter=structlog.dev.plain_traceback
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")

    def write(name: str, level: Level, fields: MutableMapping[str, Any]) -> None:
        line = stamp(None, level, {"event": name, "level": level, **_harmless(fields)})
        put(render(None, level, line).encode("utf-8", "backslashreplace"))

    return write


def _harmless(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A reason can quote a sender's text; JSON spells control characters out, a terminal would obey them."""
    return {
        name: printable(value) if isinstance(value, str) and name != "exception" else value
        for name, value in fields.items()
    }


def log(name: str, **fields: Any) -> None:
    """Write one line of an event declared in LOG_EVENTS; before ``configure_log`` nothing is written.

    ``exc_info`` is True for the exception that is being handled, or one: its traceback is the field ``exception``.
    """
    if _write is not None and (level := _levels.get(name)):
        _write(name, level, fields)


class _Libraries(logging.Handler):
    """Where the standard library's logging ends."""

    def emit(self, record: logging.LogRecord) -> None:
        log("library.warning", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def flush_log() -> None:
    """Give the last lines a second to leave before the process ends."""
    if _pump is not None:
        _pump.flush()
