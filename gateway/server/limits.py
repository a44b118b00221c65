"""Caps on what one connection may cost."""

import resource

from msgspec import Struct, field


def _connection_cap() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if hard == resource.RLIM_INFINITY else max(16, min(1024, (hard - 64) // 2))


class Limits(Struct, frozen=True, kw_only=True):
    """Caps and deadlines of one connection. Sizes in bytes, times in seconds."""

    #: Request line and headers together, as received; also the request line alone (414), and the trailers.
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    #: Until the headers are complete: from the connection at first, later from the first byte of a request.
    header_deadline_s: float = 10.0
    #: From the end of the headers to the end of the body; does not run while the app is not reading.
    body_deadline_s: float = 30.0
    #: Requests a client may send before their answers: each costs about 2 KB, and one read can bring thousands.
    pipelined: int = 64
    #: Between an answer and the next request.
    keep_alive_s: float = 60.0
    #: A client that reads nothing of its answer for this long is cut off.
    send_deadline_s: float = 30.0
    #: Open connections of the ingest listener; the admin listener gets another eighth, so a flood does not block probes.
    connections: int = field(default_factory=_connection_cap)
    #: After a refusal, input is discarded up to this time and size: closing with unread input would cause a TCP
    #: reset (RFC 9112, 9.6), and the client would not see its answer.
    linger_s: float = 1.0
    linger_bytes: int = 16 * 1024 * 1024
