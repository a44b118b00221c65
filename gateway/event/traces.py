"""W3C Trace Context: a sender's trace continues through the gateway to every destination, and appears in log lines.

Levels 1 and 2 of https://www.w3.org/TR/trace-context/. An event keeps its trace as two of its header fields.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.model import Event, HttpRequest, OutboundRequest

#: The first bit of the flags: the trace is recorded; the second: its id is random. The others must be 0.
_FLAGS: Final = 0x03
_SAMPLED: Final = 0x01
#: Characters of a tracestate that must at least be passed on, and members it may have.
_STATE_LENGTH: Final = 512
_STATE_MEMBERS: Final = 32

# Version ff is invalid. Version 00 ends after the flags; later ones may continue. An id of zeros is invalid.
_PARENT: Final = re.compile(
    "(?!ff|00.{54})[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?:-.*)?"
)
#: Characters of a traceparent that say whether it is one, and all that is read of it: up to where a later version continues.
_LOOKED_AT: Final = 56
_MEMBER: Final = re.compile(
    r"[ \t]*(?:([a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])?[ \t]*"
)
#: All bits of a span's id.
_SPAN: Final = 0xFFFF_FFFF_FFFF_FFFF
_FIELDS: Final = (b"traceparent", b"tracestate")

# Ids are not secrets.
_noise = Random().getrandbits  # noqa: S311

RawHeaders = Sequence[tuple[bytes, bytes]]


class Trace(Struct, frozen=True):
    """Where an event stands in its trace; ids are hex digits."""

    trace_id: str
    #: The sender's span, or if the trace began here, the one in which the event was received.
    parent_id: str
    #: Whether whoever began it records it.
    is_sampled: bool
    #: Whether the request had none.
    began_here: bool


def taken_over(headers: RawHeaders) -> RawHeaders:
    """The header fields of a request, with lower-case names, and its trace; a new trace if it has no valid one.

    A new trace is marked as recorded: destinations that follow their caller would otherwise not record it.
    """
    sent = [field for field in headers if field[0] in _FIELDS]
    if sent:
        parents = [value for name, value in sent if name == b"traceparent"]
        if len(parents) == 1 and _PARENT.fullmatch(parents[0].decode("latin-1")):
            return headers
        headers = [field for field in headers if field[0] not in _FIELDS]
    trace = _noise(128) or 1
    begun = f"00-{trace:032x}-{_first_of(trace):016x}-{_SAMPLED:02x}".encode()
    return [*headers, (b"traceparent", begun)]


def of(headers: Mapping[str, str]) -> Trace | None:
    """The trace of an event; None for an event that was stored without one."""
    found = _parts(headers.get("traceparent", "")[:_LOOKED_AT])
    if found is None:
        return None
    trace, parent, flags = found
    return Trace(trace, parent, bool(flags & _SAMPLED), int(parent, 16) == _first_of(int(trace, 16)))


def trace_id(headers: Mapping[str, str]) -> str | None:
    """The 32 hex digits of an event's trace; None for an event that was stored without one."""
    found = _parts(headers.get("traceparent", "")[:_LOOKED_AT])
    return found[0] if found else None


def passed_on(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The trace's header fields for one attempt to deliver an event: the same trace with a new parent id."""
    found = _parts(headers.get("traceparent", "")[:_LOOKED_AT])
    if found is None:
        return ()
    trace, _, flags = found
    parent = f"00-{trace}-{_noise(64) or 1:016x}-{flags & _FLAGS:02x}"
    state = headers.get("tracestate", "")
    return (("traceparent", parent), *((("tracestate", state),) if state and _is_state(state) else ()))


def traced(request: OutboundRequest, event: Event) -> OutboundRequest:
    """The request with the event's trace, unless the file sets another one; a line in a file has none."""
    if not isinstance(request, HttpRequest) or "traceparent" in dict(request.headers):
        return request
    return replace(request, headers=request.headers + passed_on(event.headers))


@lru_cache(maxsize=1024)
def _parts(parent: str) -> tuple[str, str, int] | None:
    """Trace, span and flags of a traceparent, which are asked for three times in the life of an event; None for other texts."""
    found = _PARENT.fullmatch(parent)
    return (found["trace"], found["parent"], int(found["flags"], 16)) if found else None


def _first_of(trace: int) -> int:
    """The first span of a trace that begins here: made from its id, so that the event says by itself that it began here.

    Not one of its halves as they are: elsewhere the first span has the id of the trace.
    """
    first, low = ~(trace >> 64 ^ trace) & _SPAN, trace & _SPAN
    # Zero is not a valid id.
    return first or low ^ 1 or low ^ 2


def _is_state(text: str) -> bool:
    if len(text) > _STATE_LENGTH:
        return False
    members = [_MEMBER.fullmatch(each) for each in text.split(",")]
    keys = [each[1] for each in members if each and each[1]]
    return None not in members and len(keys) == len(set(keys)) <= _STATE_MEMBERS
