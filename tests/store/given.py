"""What the store's tests are given: a clock that is moved by hand, small nouns, and every kind of store there is."""

import asyncio
import hashlib
import itertools
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from gateway.event import tracks
from gateway.model import Attempt, Dead, Delivered, Event, Notice, Retry
from gateway.store import open_reads, open_store
from gateway.store.activities import Task
from gateway.store.holds import Terms
from gateway.store.nouns import Firing, Gather, NewDelivery, NewEvent, NewRecord, Outcome, Told, Want
from gateway.store.queries import DeliveryQuery
from tests.store.database import PostgresKind

_numbers = itertools.count(1)


@asynccontextmanager
async def two(opened):
    """Two instances of a store, each made by ``await opened()``; they are closed at the end."""
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(await opened())
            stack.push_async_callback(stores[-1].close)
        yield stores


class Clock:
    """Time stands still until it is moved."""

    def __init__(self, wall=1_800_000_000.0):
        self.wall_s = wall
        self.monotonic_s = 1000.0
        self._followers = []

    def move(self, seconds):
        self.wall_s += seconds
        self.monotonic_s += seconds
        for each in self._followers:
            each(self)

    def follow(self, move):
        """Have another clock moved as well, by a function that is given this one."""
        if move not in self._followers:
            self._followers.append(move)
        move(self)

    def wall(self):
        return self.wall_s

    def monotonic(self):
        return self.monotonic_s


def new_event(
    *destinations, key=None, body=None, lease_s=None, source="crm", window_s=86400.0, lanes=(), firings=(), record=None
):
    number = next(_numbers)
    body = body if body is not None else f'{{"number": {number}}}'.encode()
    event = Event(
        id=f"evt_{number:06}",
        source=source,
        type="contact.created",
        received_at=1_800_000_000.0 + number,
        headers={"content-type": "application/json", "x-note": "grüße, \x00 and 😀"},
        body=body,
        sha256=hashlib.sha256(body).digest(),
        query="a=1&b=%20",
        track=tracks.encoded(tracks.merged(record.key, {}, {"number": number})) if record else b"",
    )
    deliveries = [
        NewDelivery(id=f"dlv_{number:06}_{i}", route=f"to-{name}", destination=name, lease_s=lease_s, lane=lane)
        for i, (name, lane) in enumerate(itertools.zip_longest(destinations, lanes[: len(destinations)]))
    ]
    return NewEvent(
        event=event, key=key or event.sha256, window_s=window_s, deliveries=deliveries, firings=firings, record=record
    )


def once(key, window_s=100.0):
    """What is sent to slack is sent once for this key."""
    return Firing(name="welcome", key=key, window_s=window_s, routes=frozenset({"to-slack"}))


def digest(*destinations, key="", wait_s=900.0, most=50, **more):
    """An event that is sent with others of this key."""
    gather = Gather(what="digest", key=key, most=most, is_sent_full=more.pop("is_sent_full", True))
    return gathering(gather, wait_s, *destinations, **more)


def debounced(*destinations, key="", quiet_s=120.0, at_most_s=1800.0, **more):
    """An event that is sent unless another one of this key comes."""
    return gathering(Gather(what="debounce", key=key, at_most_s=at_most_s), quiet_s, *destinations, **more)


def gathering(gather, wait_s, *destinations, **more):
    new = new_event(*destinations, **more)
    return replace(new, deliveries=[replace(each, gather=gather, wait_s=wait_s) for each in new.deliveries])


def of(key, after="", keeps_s=100.0):
    """The record that an event is about; ``after``: the event that it was planned on."""
    return NewRecord(key=key, after=after, keeps_s=keeps_s)


def told(lease, *, to="ops"):
    """Somebody is told that this delivery is dead."""
    dead = lease.delivery
    notice = Notice(id=dead.id, destination=dead.destination, route=dead.route, attempts=1, reason="HTTP 400")
    return Told(notice, [(f"failed/{to}", to)])


def attempt(lease, outcome="delivered", **more):
    number = lease.delivery.attempts + 1
    return Attempt(number=number, started_at=1_800_000_000.0, duration_s=0.25, outcome=outcome, **more)


def delivered(lease):
    return Outcome(lease, Delivered(), attempt(lease, status=200, answer="ok"))


def retry(lease, after_s=60.0, spent_s=60.0):
    made = attempt(lease, "retry", status=503, reason="HTTP 503", answer="busy", next_s=after_s)
    return Outcome(lease, Retry("HTTP 503", after_s=after_s, spent_s=spent_s), made)


def dead(lease):
    return Outcome(lease, Dead("HTTP 400"), attempt(lease, "dead", status=400, reason="HTTP 400", answer="no"))


async def leased(store, *destinations, **more):
    [appended] = await store.append([new_event(*destinations, lease_s=30.0, **more)])
    return appended.leases


def terms(*names, **more):
    return {name: Terms(slots=10, timeout_s=10.0, **more) for name in names}


def wants(*names, slots=10, lease_s=30.0):
    return {name: Want(slots, lease_s) for name in names}


class SQLiteKind:
    """How the tests open a store in a folder, and what is left of it when its process dies."""

    id = "sqlite"
    #: Sequences of steps that a state machine tries.
    examples = 60
    #: Whether what a process had leased stays leased for its time when it dies: others cannot know that it has.
    leases_outlive_a_kill = False

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "gateway.db"
        self.url = f"sqlite:///{self.path}"

    async def open(self, clock):
        return await open_store(self.url, clock=clock.monotonic, wall=clock.wall)

    def after_kill(self, number):
        """The files as kill -9 would leave them at this moment, in a folder of their own."""
        folder = self.folder.parent / f"{self.folder.name}-{number}"
        folder.mkdir()
        for name in ("gateway.db", "gateway.db-wal", "gateway.db.lock", "gateway.db.now"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, folder / name)
        return SQLiteKind(folder)


KINDS = [SQLiteKind, PostgresKind]


class Looking:
    """A store that is opened for each question, by a test that runs no event loop."""

    def __init__(self, url, **more):
        self._url, self._more = url, more

    def __getattr__(self, question):
        async def ask(*args, **named):
            async with open_reads(self._url, **self._more) as reads:
                return await getattr(reads, question)(*args, **named)

        return lambda *args, **named: asyncio.run(ask(*args, **named))


async def replay(store, *ids):
    """Send again what these ids name; the deliveries that moved."""
    which = DeliveryQuery(ids=ids)
    activity = await store.begin(Task(verb="replay", by="ann", which=which, subject="a test"))
    return [each for each in (await store.deliveries(which)).rows if each.replayed_by == activity.id]


async def prune_all(store, retention, limit=500):
    removed = 0
    while slice_ := await store.prune(retention, limit=limit):
        assert slice_ <= limit
        removed += slice_
    return removed
