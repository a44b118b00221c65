"""Who may connect to a listener, and who has to go when it is full: never one that is being served, the idlest first."""

from collections import Counter
from typing import Protocol

from gateway.server import refusals
from gateway.server.limits import Limits
from gateway.server.refusals import Refusal


class Guest(Protocol):
    """A connection."""

    #: Whoever shares a part of the connections with it; empty: no share applies.
    party: str

    def evict(self) -> None:
        """Make room for another one at once."""


class Crowd:
    """The open connections of one listener."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._guests: set[Guest] = set()
        self._parties: Counter[str] = Counter()
        #: Those that have their last answer, and only drain what their client is still sending.
        self._leaving: dict[Guest, None] = {}
        #: Those that owe a request, or the rest of one; who does so for the longest is first.
        self._waiting: dict[Guest, None] = {}

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def is_pressed(self) -> bool:
        """Whether so many are here that idle ones should not stay for long."""
        return len(self._guests) * 2 > self._limits.connections

    def enter(self, guest: Guest) -> Refusal | None:
        """Let a connection in, if necessary by evicting an idle one; the refusal if there is no room."""
        is_shared = self._parties[guest.party] >= self._limits.share_of(self._limits.connections)
        if guest.party and is_shared and not self._evict_one(guest.party):
            return refusals.CONNECTION_SHARE
        if len(self._guests) >= self._limits.connections and not self._evict_one():
            return refusals.OVERLOADED
        self._guests.add(guest)
        self._parties[guest.party] += 1
        self._waiting[guest] = None
        return None

    def leave(self, guest: Guest) -> None:
        """It is gone, or as good as gone; leaving twice is harmless."""
        if guest not in self._guests:
            return
        self._guests.remove(guest)
        self._waiting.pop(guest, None)
        self._leaving.pop(guest, None)
        self._parties[guest.party] -= 1
        if not self._parties[guest.party]:
            del self._parties[guest.party]

    def serve(self, guest: Guest) -> None:
        """Its request is complete: it stays until that is answered."""
        self._waiting.pop(guest, None)

    def wait(self, guest: Guest) -> None:
        """From now on it owes a request, or the rest of one."""
        if guest in self._guests:
            self._waiting.pop(guest, None)
            self._waiting[guest] = None

    def linger(self, guest: Guest) -> None:
        """It has its last answer."""
        if guest in self._guests:
            self._waiting.pop(guest, None)
            self._leaving[guest] = None

    def _evict_one(self, party: str | None = None) -> bool:
        for guests in (self._leaving, self._waiting):
            for guest in guests:
                if party is None or guest.party == party:
                    self.leave(guest)
                    guest.evict()
                    return True
        return False
