"""A span, as it waits to be sent."""

from collections.abc import Mapping

from msgspec import Struct


class Span(Struct, frozen=True, kw_only=True):
    """One step of an event's way. Ids are numbers; times are seconds since the epoch."""

    name: str
    kind: str
    trace_id: int
    span_id: int
    #: None: it begins the trace.
    parent_id: int | None
    #: The parent that the sender named, which decides with the flags whether the trace is recorded.
    sender_id: int | None
    is_sampled: bool
    began: float
    ended: float
    attributes: Mapping[str, str | int | float]
    #: What went wrong; None: nothing.
    error: str | None = None
