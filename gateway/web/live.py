"""The live stream: follows the store for its listeners. Nothing on an event's path depends on it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway import telemetry
from gateway.errors import GatewayError, StoreError
from gateway.model import Delivery
from gateway.operate import search
from gateway.operate.search import Search
from gateway.store import Store
from gateway.store.activities import Activity
from gateway.store.queries import DeliveryQuery, EventPage, EventQuery, EventRow, Rejected, Stats

#: Seconds between two looks at the store, for each listener and for the statistics.
INTERVAL_S: Final = 0.4
STATS_INTERVAL_S: Final = 2.0
#: Seconds between two heartbeats: proxies close silent connections.
HEARTBEAT_S: Final = 10.0
#: Places for each token: those who have the read token cannot shut others out.
MOST_LISTENERS: Final = 8
#: Number of newest events followed: each is sent when it is new, and again when its deliveries change.
ROWS: Final = 50
#: Activities that are marked on charts.
MARKED: Final = 50
#: Skipped events are counted up to this.
MOST_SKIPPED: Final = 1000

#: What listed events are about, by id.
Summarize = Callable[[Sequence[EventRow]], Awaitable[Mapping[str, str]]]
NONE: Final[Mapping[str, str]] = MappingProxyType({})

#: The name of a server-sent event, and its data.
Message = tuple[str, bytes]


class TooManyListen(GatewayError):
    """All places of a token are taken (each listener costs queries), or the gateway is stopping."""


class Turn(Struct, frozen=True, kw_only=True):
    """What a listener gets at one time."""

    #: New events, newest first, and events sent before whose deliveries have changed.
    new: Sequence[EventRow] = ()
    changed: Sequence[EventRow] = ()
    #: Number of further new events that are not sent; at MOST_SKIPPED there may be more.
    skipped: int = 0
    #: None if unchanged.
    stats: Stats | None = None
    #: What the events are about, by id.
    summaries: Mapping[str, str] = NONE
    #: Requests refused since the last turn, newest first.
    refused: Sequence[Rejected] = ()


class Live:
    """Follows the store for at most MOST_LISTENERS of each role; ``end`` ends all streams and allows no new ones."""

    def __init__(self, store: Store, summarize: Summarize | None = None) -> None:
        self._store = store
        self._summarize = summarize
        #: By role.
        self._listeners: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self._stats: tuple[float, Stats] | None = None
        #: What people did lately, as of the last statistics.
        self.activities: Sequence[Activity] = ()
        self._refused: tuple[float, Sequence[Rejected]] | None = None

    def end(self) -> None:
        """End every stream: the gateway is stopping."""
        self._ended.set()

    def listen(self, wanted: Search, role: str, *, refused_of: str | None = None) -> "Listener":
        """Take one of the role's places; the first turn has the events already there. Raises TooManyListen.

        ``refused_of``: also send refused requests, of one source or of all ("").
        """
        if self._ended.is_set():
            raise TooManyListen("the gateway is stopping")
        if self._listeners[role] >= MOST_LISTENERS:
            raise TooManyListen(
                f"all {MOST_LISTENERS} places of this token on the live stream are taken: "
                "close a page that shows it, or poll /api/events"
            )
        self._listeners[role] += 1
        telemetry.LIVE_LISTENERS.inc()
        return Listener(self, wanted, role, refused_of)

    def leave(self, role: str) -> None:
        """Give a place back."""
        self._listeners[role] -= 1
        telemetry.LIVE_LISTENERS.dec()

    async def turns(self, wanted: Search, *, refused_of: str | None = None) -> AsyncIterator[Turn]:
        """Turns with what is new; an empty turn is a heartbeat. Ends when the gateway stops."""
        following = _Following(self._store, wanted)
        silent_since = time.monotonic()
        sent: Stats | None = None
        known: frozenset[Rejected] | None = None
        while not self._ended.is_set():
            turn = await following.look()
            stats = await self._numbers()
            if self._summarize is not None and (turn.new or turn.changed):
                turn = replace(turn, summaries=await self._summarize((*turn.new, *turn.changed)))
            if refused_of is not None:
                rows = await self._refusals()
                # The page was drawn with those that were there.
                new = [each for each in rows if each not in known] if known is not None else []
                known = frozenset(rows)
                turn = replace(turn, refused=[each for each in new if refused_of in ("", each.source)])
            is_silent = not turn.new and not turn.changed and not turn.refused and stats is sent
            if not is_silent or time.monotonic() - silent_since >= HEARTBEAT_S:
                yield replace(turn, stats=None if stats is sent else stats)
                silent_since, sent = time.monotonic(), stats
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(INTERVAL_S):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _refusals(self) -> Sequence[Rejected]:
        """The newest refused requests, shared by all listeners."""
        now = time.monotonic()
        if self._refused is None or now - self._refused[0] >= INTERVAL_S:
            self._refused = now, await self._store.rejected(limit=ROWS)
        return self._refused[1]

    async def _numbers(self) -> Stats:
        """Statistics, shared by all listeners."""
        now = time.monotonic()
        if self._stats is None or now - self._stats[0] >= STATS_INTERVAL_S:
            self.activities = (await self._store.activities(limit=MARKED)).rows
            self._stats = now, await self._store.stats()
        return self._stats[1]


class Listener:
    """A place on the stream, and its turns. The place is free again once this is closed or garbage-collected."""

    def __init__(self, live: Live, wanted: Search, role: str, refused_of: str | None = None) -> None:
        self._live: Live | None = live
        self._role = role
        self._turns = live.turns(wanted, refused_of=refused_of)

    def __aiter__(self) -> AsyncIterator[Turn]:
        return self._turns

    def close(self) -> None:
        """Give the place back; closing twice is harmless."""
        if self._live is not None:
            self._live.leave(self._role)
            self._live = None

    def __del__(self) -> None:
        self.close()


class _Following:
    """The newest events of a query, as last sent to a listener."""

    def __init__(self, store: Store, wanted: Search) -> None:
        self._store = store
        self._wanted = wanted
        #: The newest ROWS events as last sent, by id.
        self._sent: Mapping[str, EventRow] = {}
        #: Position of the newest event at the last look; None before the first look, empty if there was no event.
        self._seen: str | None = None

    async def look(self) -> Turn:
        """What is new or has changed since the last look."""
        before, self._seen = self._seen, await self._newest(self._seen or "")
        page = await self._page(before or "")
        new = [row for row in page.rows if row.id not in self._sent]
        changed = await self._changed()
        skipped = await self._count(before) - len(new) if before is not None and page.next and len(new) == ROWS else 0
        kept = {row.id: row for row in [*new, *self._sent.values()]} | {row.id: row for row in changed}
        self._sent = dict(islice(kept.items(), ROWS))
        return Turn(new=new, changed=changed, skipped=max(0, skipped))

    async def _newest(self, after: str) -> str:
        # Asked in the same way as the page: a store with replicas holds back what could still be overtaken.
        rows = (await self._store.events(EventQuery(limit=1, after=after))).rows
        return rows[0].position if rows else after

    async def _page(self, before: str) -> EventPage:
        # An older event can enter a state later; its payload never changes.
        may_grow = self._wanted.query.state is not None and self._wanted.matches is None
        return await self._events(ROWS, "" if may_grow else before)

    async def _count(self, before: str) -> int:
        return len((await self._events(MOST_SKIPPED, before)).rows)

    async def _events(self, limit: int, after: str) -> EventPage:
        query = replace(self._wanted.query, limit=limit, after=after)
        return await search.events(self._store, replace(self._wanted, query=query))

    async def _changed(self) -> Sequence[EventRow]:
        """Events sent before whose deliveries have changed since."""
        if not self._sent:
            return []
        try:
            page = await self._store.deliveries(DeliveryQuery(ids=tuple(self._sent)))
        except KeyError as error:
            # Retention has removed it.
            self._sent = {id_: row for id_, row in self._sent.items() if id_ != error.args[0]}
            return []
        now: dict[str, list[Delivery]] = {id_: [] for id_ in self._sent}
        for delivery in page.rows:
            now[delivery.event_id].append(delivery)
        rows = [replace(row, deliveries=tuple(now[row.id])) for row in self._sent.values()]
        return [row for row in rows if _fate(row) != _fate(self._sent[row.id])]


def _fate(row: EventRow) -> frozenset[tuple[object, ...]]:
    """What is shown of an event, except what changes with time alone."""
    return frozenset(_standing(each) for each in row.deliveries)


def _standing(delivery: Delivery) -> tuple[object, ...]:
    return delivery.id, delivery.state, delivery.attempts, delivery.reason, delivery.is_behind


# --- what is sent ---


async def server_sent(listener: Listener, encode: Callable[[Turn], Sequence[Message]]) -> AsyncIterator[bytes]:
    """Turns as server-sent events; ``encode`` makes the messages of each.

    Ends when the store is unavailable: clients reconnect by themselves.
    """
    try:
        yield b"retry: 2000\n\n"
        async for turn in listener:
            yield b"".join(_message(event, data) for event, data in encode(turn)) or b":\n\n"
    except StoreError as error:
        telemetry.log("store.unavailable", reason=str(error))
    finally:
        listener.close()


def _message(event: str, data: bytes) -> bytes:
    lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    return b"event: " + event.encode() + b"\n" + lines + b"\n"
