"""The cluster of the toy store: what its instances tell each other, in memory."""

from collections import Counter
from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.store.awaiting import Expectation
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


class Waiting:
    """What sources are expected to send, as every instance has it."""

    def __init__(self, server) -> None:
        self._server = server

    def _found(self):
        now = self._server.now()
        return [
            Expectation(
                source=source, name=name, key=key, event_id=event_id, age_s=now - since,
                due_s=None if due is None else due - now,
            )
            for (source, name, key), (event_id, since, due) in self._server.awaited.items()
        ]  # fmt: skip

    async def overdue(self, *, limit=100):
        late = [each for each in self._found() if each.due_s is not None and each.due_s <= 0.0]
        return sorted(late, key=lambda each: each.due_s)[:limit]

    async def lasting(self):
        return [each for each in self._found() if each.due_s is None]

    async def open(self):
        return dict(Counter(source for source, _, _ in self._server.awaited))

    async def add(self, expectation) -> bool:
        now, each = self._server.now(), expectation
        names = (each.source, each.name, each.key)
        row = (each.event_id, now - each.age_s, None if each.due_s is None else now + each.due_s)
        return self._server.awaited.setdefault(names, row) is row

    async def remove(self, gone) -> None:
        for each in gone:
            names = (each.source, each.name, each.key)
            if self._server.awaited.get(names, (None,))[0] == each.event_id:
                del self._server.awaited[names]
