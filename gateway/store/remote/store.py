"""The Store of a worker: every call is asked of the process that has the file, over a socket."""

import asyncio
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Self

from gateway.errors import CorruptEvent
from gateway.model import Attempt, Delivery, Event, Secret
from gateway.store.activities import Activity, ActivityPage, Erasure, OpenErasure, Task
from gateway.store.awaiting import Expectation
from gateway.store.cluster import Replica, Roll, Session
from gateway.store.holds import Assigned, Hold, Terms
from gateway.store.logins import Login
from gateway.store.memory import Recalled, Subject
from gateway.store.nouns import Appended, Lease, NewEvent, Outcome, Record, Retention, Room, Want
from gateway.store.queries import (
    CandidatePage,
    DeliveryPage,
    DeliveryQuery,
    EventHistory,
    EventPage,
    EventQuery,
    LastError,
    Rejected,
    Stats,
    Survey,
    Unredacted,
)
from gateway.store.remote.asking import Asking

#: Events whose bodies are asked for at one time, so that no answer is longer than a frame.
TOGETHER: Final = 4
_EVERYTHING: Final = EventQuery()
_ALL_DELIVERIES: Final = DeliveryQuery()


class RemoteStore:
    """One replica of a store that another process has. Methods belong to the event loop."""

    def __init__(self, asking: Asking, me: str, name: str) -> None:
        self.name = name
        self.asking = asking
        self.cluster = _Cluster(asking, me)
        self.secrets = _Secrets(asking)
        self.expectations = _Expectations(asking)
        self._ask = asking.call

    @classmethod
    async def open(cls, sock: socket.socket) -> Self:
        """Reach the store over a socket that leads to the process that has it. Raises StoreUnavailable."""
        asking = Asking()
        me, name = await asking.begin(sock)
        return cls(asking, me, name)

    # events come in, deliveries go out

    def append(self, events: Sequence[NewEvent], *, replica: str = "") -> "asyncio.Future[Sequence[Appended]]":
        return self.asking.begin_call("append", events, replica)

    async def claim(self, replica: str, wants: Mapping[str, Want]) -> Sequence[Lease]:
        return await self._ask("claim", replica, wants)  # type: ignore[no-any-return]

    async def load(self, event_ids: Collection[str]) -> Mapping[str, Event | CorruptEvent]:
        ids = list(event_ids)
        parts = [ids[at : at + TOGETHER] for at in range(0, len(ids), TOGETHER)]
        found: dict[str, Event | CorruptEvent] = {}
        for loaded in await asyncio.gather(*(self._ask("load", part) for part in parts)):
            found |= _with_damaged(loaded)
        return found

    async def gathered(self, delivery_id: str) -> Sequence[str]:
        return await self._ask("gathered", delivery_id)  # type: ignore[no-any-return]

    async def recall(self, delivery_id: str, subjects: Collection[Subject]) -> Recalled:
        return await self._ask("recall", delivery_id, list(subjects))  # type: ignore[no-any-return]

    def settle(self, outcomes: Sequence[Outcome]) -> "asyncio.Future[frozenset[str]]":
        return self.asking.begin_call("settle", outcomes)

    async def wake(self) -> Collection[str]:
        return await self._ask("wake")  # type: ignore[no-any-return]

    async def breathe(self) -> None:
        """The store does its work in another process."""

    async def crashed(self, delivery_id: str) -> Delivery | None:
        return await self._ask("crashed", delivery_id)  # type: ignore[no-any-return]

    async def hasten(self, delivery_ids: Collection[str]) -> int:
        return await self._ask("hasten", list(delivery_ids))  # type: ignore[no-any-return]

    # what replicas share

    async def assigned(self, replica: str, wanted: Mapping[str, Terms]) -> Assigned:
        return await self._ask("assigned", replica, wanted)  # type: ignore[no-any-return]

    async def release(self, replica: str, destinations: Collection[str]) -> None:
        await self._ask("release", replica, list(destinations))

    async def set_hold(self, hold: Hold) -> bool:
        return await self._ask("set_hold", hold)  # type: ignore[no-any-return]

    async def set_login(self, login: Login) -> bool:
        return await self._ask("set_login", login)  # type: ignore[no-any-return]

    async def holds_changed(self) -> None:
        # The process that has the store reports it, with everything else that replicas share.
        await asyncio.Event().wait()

    # what people do

    async def begin(self, task: Task) -> Activity:
        return await self._ask("begin", task)  # type: ignore[no-any-return]

    async def go_on(self, replica: str) -> bool:
        return await self._ask("go_on", replica)  # type: ignore[no-any-return]

    async def stop(self, activity_id: str, *, by: str) -> Activity:
        return await self._ask("stop", activity_id, by)  # type: ignore[no-any-return]

    async def begin_erasure(self, erasure: Erasure) -> Activity:
        return await self._ask("begin_erasure", erasure)  # type: ignore[no-any-return]

    async def open_erasure(self, replica: str) -> OpenErasure | None:
        return await self._ask("open_erasure", replica)  # type: ignore[no-any-return]

    async def forget(self, erasure: OpenErasure, event_ids: Collection[str], *, to: str, replica: str) -> None:
        await self._ask("forget", erasure, list(event_ids), to, replica)

    async def note(self, activity: Activity) -> None:
        await self._ask("note", activity)

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        await self._ask("reject", rejected)

    # upkeep

    async def prune(self, retention: Retention, *, limit: int = 500) -> int:
        return await self._ask("prune", retention, limit)  # type: ignore[no-any-return]

    async def unredacted(self, *, after: str = "", limit: int = 50) -> Unredacted:
        events, following = await self._ask("unredacted", after, limit)
        return Unredacted(events=_with_damaged(events), next=following)

    async def redact(self, bodies: Mapping[str, bytes]) -> int:
        redacted = 0
        for id_, body in bodies.items():
            redacted += await self._ask("redact", {id_: body})
        return redacted

    async def inspect(self) -> bool:
        return await self._ask("inspect")  # type: ignore[no-any-return]

    async def cleanse(self, headers: Mapping[str, Collection[str]], *, limit: int = 250) -> bool:
        named = {source: list(names) for source, names in headers.items()}
        return await self._ask("cleanse", named, limit)  # type: ignore[no-any-return]

    async def wipe(self) -> bool:
        return await self._ask("wipe")  # type: ignore[no-any-return]

    async def index(self, *, limit: int = 250) -> bool:
        return await self._ask("index", limit)  # type: ignore[no-any-return]

    # questions

    async def events(self, query: EventQuery = _EVERYTHING) -> EventPage:
        return await self._ask("events", query)  # type: ignore[no-any-return]

    async def candidates(self, query: EventQuery) -> CandidatePage:
        return await self._ask("candidates", query)  # type: ignore[no-any-return]

    async def survey(self, *, after: str = "", until: str = "") -> Survey:
        return await self._ask("survey", after, until)  # type: ignore[no-any-return]

    async def event(self, event_id: str) -> EventHistory | None:
        return await self._ask("event", event_id)  # type: ignore[no-any-return]

    async def deliveries(self, query: DeliveryQuery = _ALL_DELIVERIES) -> DeliveryPage:
        return await self._ask("deliveries", query)  # type: ignore[no-any-return]

    async def last_attempts(self, delivery_ids: Collection[str]) -> Mapping[str, Attempt]:
        return await self._ask("last_attempts", list(delivery_ids))  # type: ignore[no-any-return]

    async def last_errors(self, destinations: Collection[str]) -> Mapping[str, LastError]:
        return await self._ask("last_errors", list(destinations))  # type: ignore[no-any-return]

    async def count(self, which: DeliveryQuery) -> int:
        return await self._ask("count", which)  # type: ignore[no-any-return]

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        return await self._ask("waiting")  # type: ignore[no-any-return]

    async def memories(self) -> Mapping[str, int]:
        return await self._ask("memories")  # type: ignore[no-any-return]

    async def stats(self) -> Stats:
        return await self._ask("stats")  # type: ignore[no-any-return]

    async def rejected(self, *, limit: int = 50) -> Sequence[Rejected]:
        return await self._ask("rejected", limit)  # type: ignore[no-any-return]

    async def activities(self, *, limit: int = 50, before: str = "") -> ActivityPage:
        return await self._ask("activities", limit, before)  # type: ignore[no-any-return]

    async def activity(self, activity_id: str) -> Activity | None:
        return await self._ask("activity", activity_id)  # type: ignore[no-any-return]

    async def holds(self) -> Sequence[Hold]:
        return await self._ask("holds")  # type: ignore[no-any-return]

    async def records(self, source: str, keys: Collection[str]) -> Mapping[str, Record]:
        return await self._ask("records", source, list(keys))  # type: ignore[no-any-return]

    async def remembered(self) -> Mapping[str, int]:
        return await self._ask("remembered")  # type: ignore[no-any-return]

    async def logins(self) -> Sequence[Login]:
        return await self._ask("logins")  # type: ignore[no-any-return]

    async def stored_time(self) -> float:
        return await self._ask("stored_time")  # type: ignore[no-any-return]

    async def backup(self, path: str, *, replaces: bool = False) -> int:
        return await self._ask("backup", path, replaces)  # type: ignore[no-any-return]

    async def check(self) -> Sequence[str]:
        return await self._ask("check")  # type: ignore[no-any-return]

    @property
    def progress(self) -> tuple[int, int]:
        return self.asking.state.progress

    # its state

    @property
    def healthy(self) -> bool:
        return self.asking.state.healthy and self.asking.refusal is None

    @property
    def trouble(self) -> str:
        if self.asking.ended.done() and (refusal := self.asking.refusal) is not None:
            return str(refusal)
        return self.asking.state.trouble

    @property
    def room(self) -> Room:
        return Room(*self.asking.state.room)

    @property
    def checked(self) -> float:
        return self.asking.state.checked

    async def close(self) -> None:
        await self.asking.close()


class _Cluster:
    """What the replicas tell each other, through the process that has the store."""

    def __init__(self, asking: Asking, me: str) -> None:
        self.me = me
        self._ask = asking.call

    async def beat(self, me: Replica) -> Roll:
        return await self._ask("cluster.beat", me)  # type: ignore[no-any-return]

    async def ask_to_reload(self) -> None:
        await self._ask("cluster.ask_to_reload")

    async def begin_session(self, key: bytes, role: str, for_s: float) -> None:
        await self._ask("cluster.begin_session", key, role, for_s)

    async def session(self, key: bytes) -> Session | None:
        return await self._ask("cluster.session", key)  # type: ignore[no-any-return]

    async def end_session(self, key: bytes) -> None:
        await self._ask("cluster.end_session", key)


class _Secrets:
    """What senders chose, as the process that has the store keeps it."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking.call

    async def of(self, source: str) -> tuple[Secret, ...]:
        return await self._ask("secrets.of", source)  # type: ignore[no-any-return]

    async def add(self, source: str, secret: Secret) -> None:
        await self._ask("secrets.add", source, secret)


class _Expectations:
    """What sources are expected to send, as the process that has the store keeps it."""

    def __init__(self, asking: Asking) -> None:
        self._ask = asking.call

    async def overdue(self, *, limit: int = 100) -> Sequence[Expectation]:
        return await self._ask("expectations.overdue", limit)  # type: ignore[no-any-return]

    async def lasting(self) -> Sequence[Expectation]:
        return await self._ask("expectations.lasting")  # type: ignore[no-any-return]

    async def open(self) -> Mapping[str, int]:
        return await self._ask("expectations.open")  # type: ignore[no-any-return]

    async def add(self, expectation: Expectation) -> bool:
        return await self._ask("expectations.add", expectation)  # type: ignore[no-any-return]

    async def remove(self, gone: Sequence[Expectation]) -> None:
        await self._ask("expectations.remove", list(gone))


def _with_damaged(loaded: Mapping[str, Any]) -> dict[str, Event | CorruptEvent]:
    """Bodies that are damaged have crossed as the text of their error."""
    return {id_: CorruptEvent(each) if isinstance(each, str) else each for id_, each in loaded.items()}
