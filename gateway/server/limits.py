"""Caps on what one connection may cost, and all together."""

import resource
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.machine.memory import MIB, body_budget, memory_limit

_LEAST_ADMIN_BYTES: Final = 2 * MIB


def _connection_cap() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if hard == resource.RLIM_INFINITY else max(16, min(1024, (hard - 64) // 2))


class Limits(Struct, frozen=True, kw_only=True):
    """Caps and deadlines of connections. Sizes in bytes, times in seconds."""

    #: Request line and headers together, as received; also the request line alone (414), and the trailers.
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    #: Until the headers are complete: from the connection at first, later from the first byte of a request.
    header_deadline_s: float = 10.0
    #: From the end of the headers to the end of the body; does not run while the app is not reading.
    body_deadline_s: float = 30.0
    #: So much of an unfinished body has to arrive, in bytes per second, over each time of this length.
    body_rate: int = 1024
    body_rate_over_s: float = 10.0
    #: Requests a client may send before their answers: each costs about 2 KB, and one read can bring thousands.
    pipelined: int = 64
    #: Between an answer and the next request; the second one while more than half of the connections are taken.
    keep_alive_s: float = 60.0
    keep_alive_pressed_s: float = 5.0
    #: A client that reads nothing of its answer for this long is cut off.
    send_deadline_s: float = 30.0
    #: Open connections of the ingest listener; the admin listener gets another eighth, so a flood does not block probes.
    connections: int = field(default_factory=_connection_cap)
    #: Bytes of bodies held at one time by the ingest listener, from their first byte until the answer; the admin
    #: listener gets another quarter.
    body_bytes: int = field(default_factory=lambda: body_budget(memory_limit()))
    #: One address, or one /64, may have this part of the connections and of the bytes.
    shares: int = 4
    #: Paths for which a few connections are kept, even when no more are accepted.
    kept_paths: frozenset[bytes] = frozenset()
    #: After a refusal, input is discarded up to this time and size: closing with unread input would cause a TCP
    #: reset (RFC 9112, 9.6), and the client would not see its answer.
    linger_s: float = 1.0
    linger_bytes: int = 16 * 1024 * 1024

    def share_of(self, whole: int) -> int:
        """What one address may have of it."""
        return max(1, whole // self.shares)

    def of_admin(self, kept_paths: frozenset[bytes]) -> "Limits":
        """Those of the admin listener: a part of their own, so that a flood of events leaves probes alone."""
        return replace(
            self,
            connections=max(8, self.connections // 8),
            body_bytes=max(_LEAST_ADMIN_BYTES, self.body_bytes // 4),
            kept_paths=kept_paths,
        )
