"""The cluster of the toy store: what its instances tell each other, in memory."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.store.cluster import LAPSED_S, MOST_SESSIONS, Roll, Session


@dataclass(slots=True)
class Members:
    """What the instances share."""

    clock: object
    #: By replica: when its last beat was, and what it said.
    seen: dict[str, tuple[float, object]] = field(default_factory=dict)
    reloads: int = 0
    sessions: dict[bytes, tuple[str, float]] = field(default_factory=dict)
    instances: int = 0
    secrets: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def join(self) -> "Member":
        self.instances += 1
        return Member(self, f"rep_{self.instances}")


class Member:
    """One of them."""

    def __init__(self, members: Members, me: str) -> None:
        self._members = members
        self.me = me

    async def beat(self, me) -> Roll:
        now, seen = self._members.clock.monotonic(), self._members.seen
        seen[me.id] = now, me
        living = [replace(each, seen_s=now - at) for at, each in seen.values() if now - at < LAPSED_S]
        living.sort(key=lambda each: (each.started_at, each.id))
        return Roll(tuple(living), self._members.reloads)

    async def ask_to_reload(self) -> None:
        self._members.reloads += 1

    async def begin_session(self, key, role, for_s) -> None:
        sessions = self._members.sessions
        sessions[key] = role, self._members.clock.monotonic() + for_s
        while len(sessions) > MOST_SESSIONS:
            del sessions[next(iter(sessions))]

    async def session(self, key):
        role, until = self._members.sessions.get(key, ("", 0.0))
        left_s = until - self._members.clock.monotonic()
        return Session(role, left_s) if left_s > 0 else None

    async def end_session(self, key) -> None:
        self._members.sessions.pop(key, None)


class Secrets:
    """The secrets that senders chose, as every instance has them."""

    def __init__(self, members: Members) -> None:
        self._found = members.secrets

    async def of(self, source):
        return self._found.get(source, ())

    async def add(self, source, secret) -> None:
        if secret not in self._found.get(source, ()):
            self._found[source] = (secret, *self._found.get(source, ()))
