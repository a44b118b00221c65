"""What the replicas of a store tell each other through it, and ``Alone``, for a store that has only one."""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

#: Seconds between two beats of a replica, and after how many without one it is taken for dead.
BEAT_S: Final = 3.0
LAPSED_S: Final = 10.0
#: The oldest session ends when there are more.
MOST_SESSIONS: Final = 1000


class Replica(Struct, frozen=True, kw_only=True):
    """A process that receives and delivers, as the others see it."""

    #: As ``Cluster.me``.
    id: str
    #: Where it runs: the name of the machine and the number of the process.
    host: str
    #: Of the gateway.
    version: str
    #: Revision of the configuration in force.
    config: str
    #: Wall clock, seconds since the epoch.
    started_at: float
    #: Seconds since its last beat.
    seen_s: float = 0.0


class Roll(Struct, frozen=True):
    """What a replica learns when it says that it runs."""

    #: Those that run, the one that started first first.
    replicas: tuple[Replica, ...]
    #: How often all of them were asked to reload so far.
    reloads: int


class Session(Struct, frozen=True):
    """A login to the console."""

    role: str
    #: Seconds until it ends by itself.
    left_s: float


class Cluster(Protocol):
    """Every method raises StoreUnavailable when the disk or the server refuses."""

    @property
    def me(self) -> str:
        """The id of this replica: another one at each start, if there can be several."""

    async def beat(self, me: Replica) -> Roll:
        """Let the others know that this replica runs."""

    async def ask_to_reload(self) -> None:
        """Have every replica read its files again at its next beat."""

    async def begin_session(self, key: bytes, role: str, for_s: float) -> None:
        """Keep a session; ``key``: the hash of its cookie. The oldest of more than MOST_SESSIONS ends."""

    async def session(self, key: bytes) -> Session | None:
        """A session that has begun and not ended."""

    async def end_session(self, key: bytes) -> None:
        """End a session; one that is unknown is none."""


class Alone:
    """The cluster of a store that one process has open: in memory, so a restart ends every session."""

    me: Final = "main"

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: monotonic, seconds."""
        self._clock = clock
        self._reloads = 0
        #: By key: the role, and when it ends.
        self._sessions: dict[bytes, tuple[str, float]] = {}

    async def beat(self, me: Replica) -> Roll:
        return Roll((me,), self._reloads)

    async def ask_to_reload(self) -> None:
        self._reloads += 1

    async def begin_session(self, key: bytes, role: str, for_s: float) -> None:
        now = self._clock()
        self._sessions = {known: each for known, each in self._sessions.items() if each[1] > now}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[key] = role, now + for_s

    async def session(self, key: bytes) -> Session | None:
        role, until = self._sessions.get(key, ("", 0.0))
        left_s = until - self._clock()
        return Session(role, left_s) if left_s > 0 else None

    async def end_session(self, key: bytes) -> None:
        self._sessions.pop(key, None)


class Together(Alone):
    """The cluster of a store that one process has open and others reach through it: in memory, as ``Alone``."""

    def __init__(self, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        """``changed`` is called when there is something that the others should hear of at once."""
        super().__init__(clock)
        self._changed = changed
        #: By replica: when its last beat was, and what it said.
        self._seen: dict[str, tuple[float, Replica]] = {}

    async def beat(self, me: Replica) -> Roll:
        now = self._clock()
        self._seen[me.id] = now, me
        living = [replace(each, seen_s=now - at) for at, each in self._seen.values() if now - at < LAPSED_S]
        return Roll(tuple(sorted(living, key=lambda each: (each.started_at, each.id))), self._reloads)

    async def ask_to_reload(self) -> None:
        await super().ask_to_reload()
        self._changed()

    def leave(self, replica: str) -> None:
        """It runs no more."""
        self._seen.pop(replica, None)
