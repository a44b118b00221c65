"""Every metric of the gateway."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from prometheus_client import Counter, Gauge
from prometheus_client.exposition import generate_latest

from gateway.telemetry.families import METRICS, OTHER, REGISTRY, Count, Family, Level, Spread, declare

__all__ = [
    "ATTEMPTS",
    "ATTEMPT_SECONDS",
    "BUILD_INFO",
    "CIRCUIT_STATE",
    "COMMIT_SECONDS",
    "CONFIG_SUCCESSFUL",
    "CONFIG_SUCCESS_TIME",
    "DEAD",
    "DISK_FREE_BYTES",
    "EVENTS_INVALID",
    "EVENTS_RECEIVED",
    "EVENTS_UNMATCHED",
    "INGEST_SECONDS",
    "LATENCY_SECONDS",
    "LISTENER_BODY_BYTES",
    "LISTENER_BODY_BYTES_LIMIT",
    "LISTENER_CONNECTIONS",
    "LISTENER_CONNECTIONS_LIMIT",
    "LISTENER_REFUSED",
    "LIVE_LISTENERS",
    "LOG_LINES_DROPPED",
    "LOOP_LAG_SECONDS",
    "MAX_PENDING_RATIO",
    "METRICS",
    "MUTED",
    "OF_DESTINATIONS",
    "OLDEST_DUE_SECONDS",
    "OPEN",
    "OTHER",
    "OTLP_DROPPED",
    "PAUSED",
    "READY",
    "REGISTRY",
    "RENDER_ERRORS",
    "REPLICAS",
    "ROUTE_LAST_MATCH",
    "ROUTE_MATCHES",
    "STORE_BYTES",
    "STORE_CHECKED_RATIO",
    "STORE_DAMAGED",
    "in_force",
    "scrape",
]

# From a millisecond to the longest that a sender waits.
_ANSWER_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Few buckets: every destination has a series for each.
_ATTEMPT_S: Final = (0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_DELIVERY_S: Final = (0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0)

EVENTS_RECEIVED: Final = Family(
    Count,
    "gateway_events_received_total",
    "Events by outcome: accepted or duplicate; requests refused (rejected, with the reason) or not stored "
    "(unavailable: store, full, keys, overload or defect).",
    ("source", "outcome", "reason"),
    begins=[("accepted", ""), ("duplicate", ""), ("rejected", "signature"), ("unavailable", "store")],
)
INGEST_SECONDS: Final = Family(
    Spread,
    "gateway_ingest_duration_seconds",
    "Seconds from a request's headers to its answer, including the time its body took to arrive.",
    buckets=_ANSWER_S,
)
ROUTE_MATCHES: Final = Family(
    Count,
    "gateway_route_matches_total",
    "Events matched by an entry of always, routes or unmatched; starts at 0 when the configuration is loaded.",
    ("route",),
    begins=[()],
)
ROUTE_LAST_MATCH: Final = Family(
    Level,
    "gateway_route_last_match_timestamp_seconds",
    "Time of an entry's last match, in seconds since the epoch; absent until the first.",
    ("route",),
)
EVENTS_INVALID: Final = Family(
    Count,
    "gateway_events_invalid_total",
    "Events that did not fit the schema of their source.",
    ("source",),
    begins=[()],
)
EVENTS_UNMATCHED: Final = Family(
    Count,
    "gateway_events_unmatched_total",
    "Events that matched no entry of routes, even if always or unmatched sent them.",
    ("source",),
    begins=[()],
)
RENDER_ERRORS: Final = Family(
    Count,
    "gateway_render_errors_total",
    "Deliveries whose template or condition failed on the event.",
    ("route",),
    begins=[()],
)
ATTEMPTS: Final = Family(
    Count,
    "gateway_delivery_attempts_total",
    "Attempts by outcome (delivered, retry, dead, discarded) and reason.",
    ("destination", "outcome", "reason"),
    begins=[("delivered", "2xx")],
)
ATTEMPT_SECONDS: Final = Family(
    Spread,
    "gateway_delivery_attempt_duration_seconds",
    "Duration of attempts that sent a request, in seconds.",
    ("destination",),
    buckets=_ATTEMPT_S,
    begins=[()],
)
LATENCY_SECONDS: Final = Family(
    Spread,
    "gateway_delivery_latency_seconds",
    "Seconds from receiving an event to delivering it, including all waiting; replays excluded.",
    ("destination",),
    buckets=_DELIVERY_S,
    begins=[()],
)
OPEN: Final = declare(
    Gauge,
    "gateway_deliveries_open",
    "Pending deliveries by state: in_flight, held (destination paused, outside its hours, or circuit open) or waiting.",
    ("destination", "state"),
)
OLDEST_DUE_SECONDS: Final = declare(
    Gauge,
    "gateway_deliveries_oldest_due_seconds",
    "Seconds by which the most overdue delivery is late; 0 if none.",
    ("destination",),
)
DEAD: Final = declare(
    Gauge,
    "gateway_dead_letters",
    "Dead deliveries: given up, and neither replayed nor discarded.",
    ("destination",),
)
CIRCUIT_STATE: Final = declare(
    Gauge,
    "gateway_circuit_state",
    "0 if the circuit is closed, 1 if it is open and only probes are sent.",
    ("destination",),
)
PAUSED: Final = declare(
    Gauge,
    "gateway_destination_paused",
    "1 if the destination is paused, by routes.yaml, a person or the gateway itself, or outside its hours.",
    ("destination",),
)
MUTED: Final = declare(
    Gauge, "gateway_destination_muted", "1 if the destination's notifications are muted.", ("destination",)
)
MAX_PENDING_RATIO: Final = declare(
    Gauge,
    "gateway_max_pending_ratio",
    "Pending deliveries of all destinations as a fraction of limits.max_pending, under the destination that has the "
    "most of them; absent below 0.5. At 1, new events are refused.",
    ("destination",),
)
COMMIT_SECONDS: Final = Family(
    Spread,
    "gateway_store_commit_seconds",
    "Seconds a transaction took, from its lock to the disk; one transaction carries all waiting writes.",
    buckets=_ANSWER_S,
)
STORE_BYTES: Final = declare(Gauge, "gateway_store_bytes", "Size of the store on disk in bytes, including its log.")
STORE_CHECKED_RATIO: Final = declare(
    Gauge, "gateway_store_checked_ratio", "Fraction of the store that was checked for damage since the start."
)
STORE_DAMAGED: Final = declare(
    Gauge, "gateway_store_damaged", "1 if the store was found to be damaged, and new events are refused."
)
DISK_FREE_BYTES: Final = declare(
    Gauge, "gateway_disk_free_bytes", "Free bytes on the store's disk; NaN if that is another machine's."
)
READY: Final = declare(Gauge, "gateway_ready", "1 if /readyz answers 200, else 0.")
LISTENER_CONNECTIONS: Final = declare(Gauge, "gateway_listener_connections", "Open connections.", ("listener",))
LISTENER_CONNECTIONS_LIMIT: Final = declare(
    Gauge, "gateway_listener_connections_limit", "Connections that may be open at one time.", ("listener",)
)
LISTENER_BODY_BYTES: Final = declare(
    Gauge,
    "gateway_listener_body_bytes",
    "Bytes of request bodies in memory, from their first byte until they are answered.",
    ("listener",),
)
LISTENER_BODY_BYTES_LIMIT: Final = declare(
    Gauge,
    "gateway_listener_body_bytes_limit",
    "Bytes of request bodies that may be in memory at one time; it follows the memory limit of the process.",
    ("listener",),
)
LISTENER_REFUSED: Final = declare(
    Counter,
    "gateway_listener_refused_total",
    "Requests refused, and connections closed, by the listener itself, by reason.",
    ("listener", "reason"),
)
LOOP_LAG_SECONDS: Final = Family(
    Spread,
    "gateway_loop_lag_seconds",
    "Seconds by which the event loop was late, measured ten times a second; everything waits meanwhile.",
    buckets=(0.005, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
LIVE_LISTENERS: Final = declare(Gauge, "gateway_live_listeners", "Clients connected to the live stream.")
REPLICAS: Final = declare(
    Gauge, "gateway_replicas", "Replicas of this gateway that share its store, this one included."
)
CONFIG_SUCCESSFUL: Final = declare(
    Gauge,
    "gateway_config_last_reload_successful",
    "1 if the configuration on disk is in force, 0 if it was rejected and an older one is still in force.",
)
CONFIG_SUCCESS_TIME: Final = declare(
    Gauge,
    "gateway_config_last_reload_success_timestamp_seconds",
    "Time the configuration in force was loaded (at start or by a reload), in seconds since the epoch.",
)
BUILD_INFO: Final = declare(Gauge, "gateway_build_info", "Always 1; the version is a label.", ("version",))
LOG_LINES_DROPPED: Final = declare(
    Counter, "gateway_log_lines_dropped_total", "Log lines dropped because output was too slow."
)
OTLP_DROPPED: Final = declare(
    Counter,
    "gateway_otlp_dropped_total",
    "Spans, and exports of all metrics, that the OpenTelemetry collector did not get, by signal (traces or metrics).",
    ("signal",),
)

#: Set again for each scrape.
OF_DESTINATIONS: Final = (OPEN, OLDEST_DUE_SECONDS, DEAD, CIRCUIT_STATE, PAUSED, MUTED, MAX_PENDING_RATIO)


def in_force(
    *, sources: Collection[str], routes: Collection[str], entries: Collection[str], destinations: Collection[str]
) -> None:
    """Let labels follow the configuration: ``routes`` are the entries that match events, ``entries`` all that send."""
    names: Mapping[Family[Any], Collection[str]] = {
        EVENTS_RECEIVED: sources,
        EVENTS_INVALID: sources,
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


def scrape() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
