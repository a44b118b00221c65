"""Answers to look-ups that may be used again for a while. In memory, bounded by number and bytes; one for each process."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.model import HttpRequest, OutboundRequest, Reply

#: The most answers, and bytes of their bodies; those not used for the longest time go first.
MOST: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024
#: Header fields that differ from delivery to delivery, although the same is asked.
_OF_A_DELIVERY: Final = frozenset({"webhook-id", "traceparent", "tracestate"})


def key_of(destination: str, request: OutboundRequest) -> bytes:
    """The same for all deliveries that ask a destination the same."""
    assert isinstance(request, HttpRequest)
    headers = sorted((name, value) for name, value in request.headers if name not in _OF_A_DELIVERY)
    asked = repr((destination, request.method, request.url, headers)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(asked + request.body, digest_size=16).digest()


class _Kept(NamedTuple):
    reply: Reply
    until: float
    #: As whom the destination was asked.
    identity: object


class KeptAnswers:
    """Answers by key. What was asked before something was written there is never kept."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._size = 0
        #: By destination: when a delivery that had looked there wrote there, last.
        self._wrote: dict[str, float] = {}

    def get(self, key: bytes, identity: object) -> Reply | None:
        """An answer that is still good; ``identity``: as ``Destination.identity``, for another login may see other things."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found.until <= self._monotonic() or found.identity != identity:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found.reply

    def keep(
        self, destination: str, key: bytes, reply: Reply, identity: object, *, for_s: float, asked_at: float
    ) -> None:
        """Keep an answer for ``for_s`` seconds. ``asked_at``: on the monotonic clock, when its request was made."""
        if asked_at <= self._wrote.get(destination, -1.0):
            return
        self._drop(key)
        self._kept[key] = _Kept(Reply(status=reply.status, body=reply.body), asked_at + for_s, identity)
        self._size += len(reply.body)
        while len(self._kept) > MOST or self._size > MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def wrote(self, destination: str, key: bytes) -> None:
        """What was found before a delivery wrote there is no longer how it is."""
        self._wrote[destination] = self._monotonic()
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        if (found := self._kept.pop(key, None)) is not None:
            self._size -= len(found.reply.body)

    def __len__(self) -> int:
        return len(self._kept)
