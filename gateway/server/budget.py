"""The bytes of bodies that a listener holds: how many, whose, and which have to go when there are too many."""

from collections.abc import Callable, Hashable
from typing import Final, Protocol

from msgspec import Struct

from gateway.routing.peers import Senders
from gateway.server import refusals
from gateway.server.limits import Limits
from gateway.server.refusals import Refusal

#: Seconds within which a body should be complete. After them it makes room for others if room is needed; for senders
#: that were not verified before, the body of one that was does not.
_PATIENCE_S: Final = 1.0
_PATIENCE_WITH_VERIFIED_S: Final = 10.0


class Receiver(Protocol):
    """A connection that reads a body, and what is known of its request."""

    #: Whoever shares a part of the budget with the client; empty: no share applies.
    client_party: str

    @property
    def sender(self) -> tuple[str, bytes]:
        """The client's address, and the path."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer that request with a refusal."""


class Body(Struct, eq=False):
    """What is held of one request."""

    receiver: Receiver
    #: Of the receiver when it began.
    party: str
    #: When its first byte came.
    since: float
    size: int = 0
    #: Whether its sender was verified before; None: nobody has asked yet.
    is_verified: bool | None = None


class Budget:
    """Counts bodies from their first byte until their requests are answered. Requests are the keys."""

    def __init__(self, limits: Limits, senders: Senders, clock: Callable[[], float]) -> None:
        self._most = limits.body_bytes
        self._share = limits.share_of(limits.body_bytes)
        self._senders = senders
        self._clock = clock
        self.held = 0
        #: The most that was held since ``has_ebbed`` was last true.
        self._peak = 0
        self._bodies: dict[Hashable, Body] = {}
        #: Those that are not complete, the oldest first.
        self._unfinished: dict[Hashable, Body] = {}
        self._parties: dict[str, int] = {}

    def add(self, request: Hashable, size: int, receiver: Receiver) -> Refusal | None:
        """Hold ``size`` more bytes of a request; the refusal if there is no room for them."""
        body = self._bodies.get(request)
        if body is None:
            body = Body(receiver, receiver.client_party, self._clock())
            self._bodies[request] = self._unfinished[request] = body
        self.held += size
        body.size += size
        if body.party:
            self._parties[body.party] = self._parties.get(body.party, 0) + size
        self._peak = max(self._peak, self.held)
        # Within a share, there is room for anybody.
        return None if self.held <= self._share else self._refusal(body)

    def hold(self, request: Hashable, receiver: Receiver, size: int) -> bool:
        """Hold more bytes for a body that is whole and is decompressed; false if there is no room for them."""
        return self.add(request, size, receiver) is None

    def complete(self, request: Hashable) -> None:
        """The body is whole: it stays until its request is answered."""
        self._unfinished.pop(request, None)

    def release(self, request: Hashable) -> None:
        """Nothing of it is held any more; releasing twice is harmless."""
        body = self._bodies.pop(request, None)
        if body is None:
            return
        self._unfinished.pop(request, None)
        self.held -= body.size
        if body.party:
            self._parties[body.party] -= body.size
            if not self._parties[body.party]:
                del self._parties[body.party]

    def has_ebbed(self) -> bool:
        """Whether a good part of the budget was held, and none of it is any more; true once."""
        if self.held or self._peak <= self._most // 8:
            return False
        self._peak = 0
        return True

    def _refusal(self, body: Body) -> Refusal | None:
        if body.party and self._has_no_room(body, body.party):
            return refusals.BODY_SHARE
        return refusals.BODY_BUDGET if self._has_no_room(body, "") else None

    def _excess(self, newcomer: Body, party: str) -> int:
        """Bytes that its party has beyond its share; with an empty name, all of them beyond what there is."""
        if not party:
            return self.held - self._most
        beyond = self._parties[party] - self._share
        # A sender that signs may have almost all, so that a burst of its events gets in, but leaves others a share.
        is_favoured = beyond > 0 and self._is_verified(newcomer)
        return beyond - (self._most - 2 * self._share) if is_favoured else beyond

    def _has_no_room(self, newcomer: Body, party: str) -> bool:
        """Whether a body does not fit, even after others of its party (empty: of all) gave way."""
        held = self._parties[party] if party else self.held
        # A body that is alone is limited by its source only.
        if newcomer.size == held or self._excess(newcomer, party) <= 0:
            return False
        is_verified, now = self._is_verified(newcomer), self._clock()
        for request, body in tuple(self._unfinished.items()):
            age_s = now - body.since
            if not is_verified and age_s <= _PATIENCE_S:
                # The others are younger.
                break
            is_of_party = not party or body.party == party
            if body is newcomer or not is_of_party or not self._gives_way(body, age_s, is_verified=is_verified):
                continue
            self.release(request)
            body.receiver.refuse(refusals.BODY_SLOW)
            if self._excess(newcomer, party) <= 0:
                return False
        return True

    def _gives_way(self, body: Body, age_s: float, *, is_verified: bool) -> bool:
        """Whether an unfinished body makes room for that of a sender who ``is_verified``."""
        if self._is_verified(body):
            return is_verified and age_s > _PATIENCE_WITH_VERIFIED_S
        return is_verified or age_s > _PATIENCE_S

    def _is_verified(self, body: Body) -> bool:
        if body.is_verified is None:
            body.is_verified = self._senders.has_verified(*body.receiver.sender)
        return body.is_verified
