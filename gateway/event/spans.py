"""The steps of an event's way as spans of its trace: received, stored, each look-up, and each attempt to deliver it; and
each access token, in a trace of its own.

The sender's span is the parent of ``receive``, and that of ``store`` and of every look-up and attempt, however late. Its
id is made from what is stored with the event, so that whoever makes an attempt knows it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from gateway import telemetry
from gateway.event import traces
from gateway.event.traces import Trace
from gateway.model import Attempt, Delivery, Event, HttpRequest, Lookup, OutboundRequest

# Ids are not secrets.
_noise: Final = Random().getrandbits  # noqa: S311


class Known(Protocol):
    """What a store says of an event."""

    @property
    def event_id(self) -> str: ...
    @property
    def duplicate(self) -> bool: ...
    @property
    def stale(self) -> bool: ...


K = TypeVar("K", bound=Known)


class Spans(Struct, frozen=True, kw_only=True):
    """Tells what happens to events as spans."""

    #: Never blocks and never raises.
    put: Callable[[telemetry.Span], None]
    clock: Callable[[], float]

    def appending(self, events: Sequence[Event], appending: "asyncio.Future[Sequence[K]]") -> None:
        """The events of one request are given to the store."""
        appending.add_done_callback(partial(self._appended, events, self.clock()))

    def attempted(
        self, delivery: Delivery, event: Event, attempt: Attempt, word: str, request: OutboundRequest | None
    ) -> None:
        """An attempt was made: its span is the one that the request to the destination names as its parent."""
        trace = traces.of(event.headers)
        if trace is None:
            return
        attributes: dict[str, str | int | float] = {
            **_about(event),
            **_of(delivery, delivery.destination),
            **_answered(request, attempt.status),
            "gateway.attempt": attempt.number,
            "gateway.outcome": attempt.outcome,
            "gateway.reason": word,
        }
        failed = attempt.outcome in {"retry", "dead"}
        self._put(
            trace,
            name=f"attempt {delivery.destination}",
            kind="CLIENT",
            span_id=_named_in(request, trace) or _noise(64) or 1,
            parent_id=receive_id(trace, event.received_at),
            began=attempt.started_at,
            ended=attempt.started_at + attempt.duration_s,
            attributes=attributes,
            error=attempt.reason if failed else None,
        )

    def looked_up(
        self, delivery: Delivery, event: Event, lookup: Lookup, request: OutboundRequest, error: str | None
    ) -> None:
        """A look-up was answered just now, or failed: its span is the one that its request names as its parent."""
        trace, now = traces.of(event.headers), self.clock()
        if trace is None:
            return
        self._put(
            trace,
            name=f"fetch {lookup.destination}",
            kind="CLIENT",
            span_id=_named_in(request, trace) or _noise(64) or 1,
            parent_id=receive_id(trace, event.received_at),
            began=now - lookup.duration_s,
            ended=now,
            attributes={
                **_about(event),
                **_of(delivery, lookup.destination),
                **_answered(request, lookup.status),
                "gateway.fetch": lookup.name,
            },
            error=error,
        )

    def token_asked(self, host: str, took_s: float, error: str | None) -> None:
        """An access token was had just now, or not. It serves many deliveries, so its span is a trace of its own."""
        now, trace = self.clock(), Trace(f"{_noise(128) or 1:032x}", "", is_sampled=True, began_here=True)
        self._put(
            trace,
            name=f"token {host}",
            kind="CLIENT",
            span_id=_noise(64) or 1,
            parent_id=None,
            began=now - took_s,
            ended=now,
            attributes={"server.address": host},
            error=error,
        )

    def _appended(self, events: Sequence[Event], asked: float, appending: "asyncio.Future[Sequence[K]]") -> None:
        event, now = events[0], self.clock()
        trace = traces.of(event.headers)
        if trace is None or appending.cancelled():
            return
        error = appending.exception()
        appended = () if error else appending.result()
        if any(known.stale for known in appended):
            # Its events are planned again, and then stored.
            return
        attributes: dict[str, str | int | float] = {**_about(event), "gateway.events": len(events)}
        if appended:
            attributes["gateway.event.id"] = appended[0].event_id
            attributes["gateway.duplicates"] = sum(known.duplicate for known in appended)
        received, said = receive_id(trace, event.received_at), None if error is None else str(error)
        self._put(
            trace,
            name=f"receive {event.source}",
            kind="SERVER",
            span_id=received,
            parent_id=None if trace.began_here else int(trace.parent_id, 16),
            began=event.received_at,
            ended=now,
            attributes=attributes,
            error=said,
        )
        self._put(
            trace,
            name="store",
            kind="INTERNAL",
            span_id=_noise(64) or 1,
            parent_id=received,
            began=asked,
            ended=now,
            attributes={"gateway.events": len(events)},
            error=said,
        )

    def _put(
        self,
        trace: Trace,
        *,
        name: str,
        kind: str,
        span_id: int,
        parent_id: int | None,
        began: float,
        ended: float,
        attributes: dict[str, str | int | float],
        error: str | None,
    ) -> None:
        self.put(
            telemetry.Span(
                name=name,
                kind=kind,
                trace_id=int(trace.trace_id, 16),
                span_id=span_id,
                parent_id=parent_id,
                sender_id=None if trace.began_here else int(trace.parent_id, 16),
                is_sampled=trace.is_sampled,
                began=began,
                ended=ended,
                attributes=attributes,
                error=error,
            )
        )


def receive_id(trace: Trace, received_at: float) -> int:
    """The id of the span in which an event was received: one for all events of a request, and another for each request."""
    if trace.began_here:
        return int(trace.parent_id, 16)
    made_of = f"{trace.trace_id}{trace.parent_id}{received_at!r}".encode()
    return int.from_bytes(hashlib.blake2b(made_of, digest_size=8).digest()) or 1


def _named_in(request: OutboundRequest | None, trace: Trace) -> int | None:
    """The span that a request names as the parent of what its destination records; None: it names none of this trace."""
    onward = traces.of(dict(request.headers)) if isinstance(request, HttpRequest) else None
    return int(onward.parent_id, 16) if onward and onward.trace_id == trace.trace_id else None


def _of(delivery: Delivery, asked: str) -> dict[str, str]:
    """The delivery for which a destination is asked."""
    return {"gateway.delivery.id": delivery.id, "gateway.route": delivery.route, "gateway.destination": asked}


def _answered(request: OutboundRequest | None, status: int | None) -> dict[str, str | int]:
    return {
        **({"http.request.method": request.method} if isinstance(request, HttpRequest) else {}),
        **({} if status is None else {"http.response.status_code": status}),
    }


def _about(event: Event) -> dict[str, str]:
    return {"gateway.event.id": event.id, "gateway.event.type": event.type, "gateway.source": event.source}
