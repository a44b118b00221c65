"""Who is logged in to the console, and who guesses too often. Kept in memory: a restart ends every session."""

import hashlib
import secrets
from typing import Final, Literal

from gateway.routing.peers import party_of

Role = Literal["full", "read"]

#: Seconds a login lasts.
SESSION_S: Final = 12 * 3600
#: The oldest session ends when there are more.
MOST_SESSIONS: Final = 1000

#: Wrong tokens that an address may try in a row before it has to wait, and how long, seconds; the wait doubles.
FREE_TRIES: Final = 5
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
#: An address that has tried nothing for this long is forgotten, seconds.
FORGOTTEN_S: Final = 3600.0
MOST_ADDRESSES: Final = 1000


class Sessions:
    """The sessions that have begun and not ended, by the hash of their cookie."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Role, float]] = {}

    def begin(self, role: Role, now: float) -> str:
        """The value of a cookie that grants ``role`` for SESSION_S seconds."""
        self._known = {key: each for key, each in self._known.items() if each[1] > now}
        while len(self._known) >= MOST_SESSIONS:
            del self._known[next(iter(self._known))]
        value = secrets.token_urlsafe(32)
        self._known[_key(value)] = role, now + SESSION_S
        return value

    def role(self, value: str, now: float) -> Role | None:
        """The role of a cookie; None if its session is over, or never was."""
        role, until = self._known.get(_key(value), (None, 0.0))
        return role if now < until else None

    def end(self, value: str) -> None:
        self._known.pop(_key(value), None)


def _key(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()


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
