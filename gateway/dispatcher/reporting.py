"""What attempts came to, as log lines and metrics."""

from gateway import telemetry
from gateway.errors import CorruptEvent, RenderError
from gateway.event import traces
from gateway.model import Dead, Delivered, Delivery, Event, Release, Waits
from gateway.pipeline import OUTCOMES
from gateway.store.nouns import Outcome


def log_outcome(delivery: Delivery, event: Event | CorruptEvent | None, outcome: Outcome) -> None:
    attempt, named = outcome.attempt, event if isinstance(event, Event) else None
    telemetry.log(
        "delivery.dead" if isinstance(outcome.result, Dead) else "delivery.attempted",
        event_id=delivery.event_id,
        delivery_id=delivery.id,
        source=named.source if named else None,
        type=named.type if named else None,
        route=delivery.route,
        destination=delivery.destination,
        outcome=OUTCOMES[type(outcome.result)],
        reason="" if isinstance(outcome.result, Delivered | Release | Waits) else outcome.result.reason,
        attempt=attempt.number if attempt else None,
        status=attempt.status if attempt else None,
        duration_ms=round(attempt.duration_s * 1000, 1) if attempt else None,
        next_s=attempt.next_s if attempt else None,
        trace_id=traces.trace_id(named.headers) if named else None,
    )


def count_outcome(outcome: Outcome, event: Event | CorruptEvent | None, word: str, now: float) -> None:
    delivery, attempt = outcome.lease.delivery, outcome.attempt
    telemetry.ATTEMPTS.inc(delivery.destination, OUTCOMES[type(outcome.result)], word)
    if word == RenderError.reason:
        telemetry.RENDER_ERRORS.inc(delivery.route)
    if attempt is not None and attempt.sent_sha256:
        telemetry.ATTEMPT_SECONDS.observe(attempt.duration_s, delivery.destination)
    is_first = not delivery.attempts_before_replay
    if isinstance(outcome.result, Delivered) and isinstance(event, Event) and is_first:
        telemetry.LATENCY_SECONDS.observe(max(0.0, now - event.received_at), delivery.destination)
