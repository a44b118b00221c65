"""Who is logged in to the console, and who guesses too often."""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Literal, cast

from gateway.errors import StoreUnavailable
from gateway.model import Secret
from gateway.routing.peers import party_of
from gateway.store.cluster import MOST_SESSIONS, Cluster

Role = Literal["full", "read"]

#: Seconds a login lasts.
SESSION_S: Final = 12 * 3600
#: Seconds after which the store is asked again whether a session has ended elsewhere.
TRUSTED_S: Final = 3.0

#: Wrong tokens that an address may try in a row before it has to wait, and how long, seconds; the wait doubles.
FREE_TRIES: Final = 5
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
#: An address that has tried nothing for this long is forgotten, seconds.
FORGOTTEN_S: Final = 3600.0
MOST_ADDRESSES: Final = 1000


class Sessions:
    """The sessions that have begun and not ended, by a hash of their cookie and of the tokens in force.

    The store has those of every replica. This process remembers what it has seen, so that the console can be read while
    the store is unavailable. A session that PostgreSQL keeps outlives a restart, but not the
    replacement of a token.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float], tokens: Mapping[Role, Secret]) -> None:
        """``clock``: monotonic, seconds."""
        self._cluster = cluster
        self._clock = clock
        self._tokens = hashlib.sha256(
            b"".join(hashlib.sha256(f"{role} {tokens[role].reveal()}".encode()).digest() for role in sorted(tokens))
        ).digest()
        #: The role, when it ends, and until when it need not be asked for again.
        self._seen: dict[bytes, tuple[Role, float, float]] = {}

    async def begin(self, role: Role) -> str:
        """The value of a cookie that grants ``role`` for SESSION_S seconds. Raises StoreUnavailable."""
        value = secrets.token_urlsafe(32)
        await self._cluster.begin_session(self._key(value), role, SESSION_S)
        self._remember(self._key(value), role, SESSION_S)
        return value

    async def look(self, value: str) -> None:
        """Ask the store about the session of a cookie, unless it was asked a moment ago."""
        key, now = self._key(value), self._clock()
        if now < self._seen.get(key, ("", 0.0, 0.0))[2]:
            return
        with suppress(StoreUnavailable):
            session = await self._cluster.session(key)
            if session is None:
                self._seen.pop(key, None)
            else:
                self._remember(key, cast("Role", session.role), session.left_s)

    def role(self, value: str) -> Role | None:
        """The role of a cookie that was looked for; None if its session is over, or never was."""
        role, until, _ = self._seen.get(self._key(value), (None, 0.0, 0.0))
        return role if self._clock() < until else None

    async def end(self, value: str) -> None:
        """End a session everywhere. Raises StoreUnavailable, and then it has only ended here."""
        self._seen.pop(self._key(value), None)
        await self._cluster.end_session(self._key(value))

    def _remember(self, key: bytes, role: Role, left_s: float) -> None:
        now = self._clock()
        self._seen = {known: each for known, each in self._seen.items() if each[1] > now}
        while len(self._seen) >= MOST_SESSIONS:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = role, now + left_s, now + TRUSTED_S

    def _key(self, value: str) -> bytes:
        return hashlib.sha256(self._tokens + value.encode("utf-8", "replace")).digest()


class Tries:
    """Wrong tokens in a row, by address; of IPv6 by network, since a client has a whole one."""

    def __init__(self) -> None:
        #: Their number, when the last one was, and until when the address has to wait.
        self._failed: dict[str, tuple[int, float, float]] = {}

    def wait_s(self, address: str, now: float) -> float:
        """For how long the address may not try again, seconds; 0: it may."""
        _, last, until = self._failed.get(party_of(address), (0, 0.0, 0.0))
        # A clock that was set back must not lock anybody out.
        return max(0.0, until - now) if now >= last else 0.0

    def failed(self, address: str, now: float) -> None:
        party = party_of(address)
        count, last, _ = self._failed.pop(party, (0, now, now))
        count = count + 1 if now - last < FORGOTTEN_S else 1
        over = count - FREE_TRIES
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(over, 10), LONGEST_WAIT_S) if over >= 0 else 0.0
        while len(self._failed) >= MOST_ADDRESSES:
            del self._failed[next(iter(self._failed))]
        self._failed[party] = count, now, now + wait_s

    def succeeded(self, address: str) -> None:
        self._failed.pop(party_of(address), None)
