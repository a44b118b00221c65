"""Every metric and every log event, declared here and nowhere else.

Log lines leave through one daemon thread and a bounded queue: a full or closed pipe drops lines, counted,
and stops nothing. Bodies, secrets and URL queries are never fields.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from gateway.errors import printable

Level = Literal["debug", "info", "warning", "error"]

#: name -> (level, when it is written).
LOG_EVENTS: Final[Mapping[str, tuple[Level, str]]] = {
    "gateway.started": ("info", "both listeners accept"),
    "gateway.draining": ("info", "a signal asked it to stop; attempts in flight end, events are still accepted"),
    "gateway.stopped": ("info", "everything is closed"),
    "config.warning": ("warning", "routes.yaml is in force, and something in it deserves a look"),
    "config.reloaded": ("info", "another routes.yaml is in force; attempts from now on use it"),
    "config.rejected": ("error", "the file on disk has problems; the one before stays in force, whole"),
    "config.orphans": (
        "warning",
        "deliveries wait for what is no longer in routes.yaml: they will be dead, replayable",
    ),
    "event.received": ("info", "an event is on disk, or was there already"),
    "event.rejected": ("warning", "a request was refused"),
    "source.handshake": ("info", "a sender asked whether this is its address, and was answered"),
    "event.not_stored": ("error", "a request could not be kept; its sender was told to come back"),
    "delivery.attempted": ("info", "a destination took it, or will be asked again"),
    "delivery.dead": ("error", "a delivery was given up; it can be replayed"),
    "delivery.unkeyed": (
        "warning",
        "the key of a route's once could not be made for an event: it was sent all the same",
    ),
    "delivery.poisonous": ("error", "the last process died while it worked on this delivery"),
    "delivery.abandoned": ("warning", "the process ended while it was on its way: it may arrive twice"),
    "delivery.lease_lost": ("warning", "an outcome came too late: its delivery may be sent twice"),
    "delivery.replayed": ("info", "a person made a delivery pending again"),
    "circuit.opened": ("warning", "a destination failed again and again: from now on only probes are sent"),
    "circuit.closed": ("info", "a destination answered: what waited for it goes out"),
    "destination.paused": ("warning", "its deliveries are held until somebody resumes it, or the pause ends"),
    "destination.resumed": ("info", "a paused destination goes on"),
    "store.unavailable": ("error", "the disk refuses; nothing is accepted until it was reopened and checked"),
    "store.pruned": ("info", "things past their retention were removed"),
    "internal.error": ("error", "a defect of the gateway itself; please report it with the traceback"),
}

REGISTRY: Final = CollectorRegistry(auto_describe=True)

EVENTS_RECEIVED: Final = Counter(
    "gateway_events_received_total",
    "Requests at the door by outcome: accepted, duplicate, rejected, unavailable.",
    ["source", "outcome", "reason"],
    registry=REGISTRY,
)
INGEST_SECONDS: Final = Histogram(
    "gateway_ingest_duration_seconds",
    "From the request's header to its answer, the time its body took to arrive included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=REGISTRY,
)
ATTEMPTS: Final = Counter(
    "gateway_delivery_attempts_total",
    "Attempts by what they came to: delivered, retry, dead.",
    ["destination", "outcome"],
    registry=REGISTRY,
)
CONFIG_SUCCESSFUL: Final = Gauge(
    "gateway_config_last_reload_successful",
    "1 when the file on disk is in force, 0 when it was refused and an older one is.",
    registry=REGISTRY,
)
CONFIG_SUCCESS_TIME: Final = Gauge(
    "gateway_config_last_reload_success_timestamp_seconds",
    "When the configuration in force was read, the start included.",
    registry=REGISTRY,
)
BUILD_INFO: Final = Gauge("gateway_build_info", "Always 1; the version is a label.", ["version"], registry=REGISTRY)
LOG_LINES_DROPPED: Final = Counter(
    "gateway_log_lines_dropped_total", "Log lines nobody read in time.", registry=REGISTRY
)


def metrics() -> bytes:
    """The text that Prometheus scrapes."""
    return generate_latest(REGISTRY)


# --- the log ---

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_STDERR: Final = 2
_QUEUE_LINES: Final = 10_000
#: Lines wait this long so that one write carries many: a thread that woke for each would take turns from the event loop.
_GATHER_S: Final = 0.02


class LinePump:
    """A daemon thread that writes lines to a file descriptor; whoever logs never waits for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes] = queue.Queue(_QUEUE_LINES)
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def put(self, line: bytes) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            LOG_LINES_DROPPED.inc()

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything put so far was written, or for so many seconds: the pipe may be full."""
        deadline = time.monotonic() + timeout_s
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _run(self) -> None:
        while True:
            lines = [self._lines.get()]
            time.sleep(_GATHER_S)
            while not self._lines.empty():
                lines.append(self._lines.get())
            self._write(b"\n".join(lines) + b"\n", len(lines))
            for _ in lines:
                self._lines.task_done()

    def _write(self, data: bytes, lines: int) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            LOG_LINES_DROPPED.inc(lines)


class _PumpLogger:
    """What structlog calls a logger: a method per level that takes the finished line."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = put


_pump: LinePump | None = None
_logger: Any = None


def configure_log(form: str = "auto", level: str = "info") -> None:
    """Choose ``console`` or ``json`` lines on stderr (``auto``: console on a terminal) and the least level."""
    global _pump, _logger  # noqa: PLW0603  the log is the one thing every part of a process shares
    if form == "auto":
        form = "console" if os.isatty(_STDERR) else "json"
    _pump = _pump or LinePump(_STDERR)
    _logger = structlog.wrap_logger(
        _PumpLogger(_pump.put),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            *(_json_line() if form == "json" else _console_line()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVELS.index(level) * 10 + 10),
        cache_logger_on_first_use=True,
    ).bind()


def _json_line() -> list[Any]:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return [
        structlog.processors.format_exc_info,
        lambda _, __, fields: encode({name: fields.pop(name) for name in ("time", "level", "event")} | fields),
    ]


def _console_line() -> list[Any]:
    colors = os.isatty(_STDERR) and not os.environ.get("NO_COLOR")
    render = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="time", pad_event_to=20, exception_formatter=structlog.dev.plain_traceback
    )
    return [
        _harmless,
        lambda logger, name, fields: render(logger, name, fields).encode("utf-8", "backslashreplace"),
    ]


def _harmless(_: Any, __: str, fields: Any) -> Any:
    """A reason can quote a sender's text; JSON spells control characters out, a terminal would obey them."""
    return {
        name: printable(value) if isinstance(value, str) and name != "exception" else value
        for name, value in fields.items()
    }


def log(name: str, **fields: Any) -> None:
    """Write one line of an event declared in LOG_EVENTS; before ``configure_log`` nothing is written."""
    if _logger is not None:
        getattr(_logger, LOG_EVENTS[name][0])(name, **fields)


def flush_log() -> None:
    """Give the last lines a second to leave before the process ends."""
    if _pump is not None:
        _pump.flush()
