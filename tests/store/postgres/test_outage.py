"""The database goes away, and comes back: nothing acknowledged is lost, nothing is stored twice."""

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.store import migrate, open_store
from gateway.store.postgres import connections
from gateway.store.postgres import statements as sql
from gateway.store.queries import EventQuery
from tests import postgres
from tests.store.database import database, loop_of_its_own
from tests.store.given import delivered, leased, new_event, wants
from tests.waiting import until


@pytest.fixture(scope="module")
def server():
    """One that may be stopped."""
    server = postgres.start_server()
    loop_of_its_own(migrate(server.url))
    return server


def test_while_it_is_away_calls_are_refused_and_afterwards_everything_goes_on(server):
    async def scenario():
        store = await open_store(server.url)
        await store.append([new_event("slack", key=b"before")])
        [lease] = await store.claim("a", wants("slack"))
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable, match=r": (look at|check) the (database|server)"):
            await store.append([new_event("slack", key=b"meanwhile")])
        await until(lambda: not store.healthy)
        assert store.trouble.startswith("postgresql://gateway@")
        for ask in (store.settle([delivered(lease)]), store.claim("a", wants("slack")), store.load(["evt_1"])):
            with pytest.raises(StoreUnavailable):
                await ask
        await asyncio.to_thread(server.start)
        await until(lambda: store.healthy)
        assert store.trouble == ""
        assert await store.settle([delivered(lease)]) == {lease.delivery.id}, "its outcome was kept by the caller"
        [again] = await store.append([new_event("slack", key=b"before")])
        assert again.duplicate
        [appended] = await store.append([new_event("slack", key=b"meanwhile")])
        assert not appended.duplicate
        await store.close()

    asyncio.run(scenario())


def test_an_outcome_is_recorded_although_the_database_was_away_a_moment_ago(server):
    """Whatever is not recorded before its lease runs out is sent again."""

    async def scenario():
        store = await open_store(server.url)
        [lease] = await leased(store, "briefly")
        store._presence.is_away(StoreUnavailable("it was away when something else was asked"))
        with pytest.raises(StoreUnavailable):
            await store.claim("a", wants("briefly"))
        assert await store.settle([delivered(lease)]) == {lease.delivery.id}
        await store.close()

    asyncio.run(scenario())


def test_an_outcome_that_was_recorded_after_its_caller_was_sent_away_is_no_lost_lease(server):
    async def scenario():
        store, other = await open_store(server.url), await asyncpg.connect(server.url)
        [lease] = await leased(store, "slowly")
        async with other.transaction():
            await other.execute("LOCK TABLE queue IN ACCESS EXCLUSIVE MODE")
            settling = store.settle([delivered(lease)])
            await until(lambda: store._writer._settles._running)
            store._writer.refuse(StoreUnavailable("no answer"))
            with pytest.raises(StoreUnavailable):
                await settling
        assert await store.settle([delivered(lease)]) == {lease.delivery.id}
        assert await store.settle([delivered(lease)]) == frozenset()
        await other.close()
        await store.close()

    asyncio.run(scenario())


def test_it_can_be_closed_while_the_database_is_away(server):
    async def scenario():
        store = await open_store(server.url)
        await asyncio.to_thread(server.stop)
        await store.close()
        await asyncio.to_thread(server.start)

    asyncio.run(scenario())


def test_connections_that_are_ended_all_the_time_lose_nothing(server):
    async def scenario():
        store = await open_store(server.url)
        news = [new_event("crm") for _ in range(60)]
        stored = []

        async def receive():
            for new in news:
                with contextlib.suppress(StoreUnavailable):
                    await store.append([new])
                    stored.append(new.event.id)

        async def cut():
            while True:
                postgres.run(
                    server.url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway'",
                )
                await asyncio.sleep(0.02)

        cutting = asyncio.create_task(cut())
        await receive()
        cutting.cancel()
        await until(lambda: store.healthy)
        found = await store.load([new.event.id for new in news])
        assert set(stored) <= set(found)
        again = [(await store.append([new]))[0] for new in news]
        assert {each.event_id for each in again} == {new.event.id for new in news}
        assert {each.event_id for each in again if not each.duplicate}.isdisjoint(stored)
        await store.close()

    asyncio.run(scenario())


class Wire:
    """Between the store and the server; it can be cut when something is sent, before that or after it was answered."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._url, self._socket = url, parse_qs(parts.query).get("host", [""])[0]
        self._server = parts
        #: What has to be in the next message for the wire to be cut, and when.
        self.cut_at, self.when = None, ""

    async def open(self):
        self._listening = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port = self._listening.sockets[0].getsockname()[1]
        return f"postgresql://{self._server.username}@127.0.0.1:{port}{self._server.path}"

    def cut(self, text, when):
        self.cut_at, self.when = text, when

    async def _connect(self):
        if self._socket:
            return await asyncio.open_unix_connection(f"{self._socket}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._server.hostname, self._server.port)

    async def _join(self, reader, writer):
        there, to_server = await self._connect()
        back = asyncio.create_task(self._copy(there, writer))
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                if self.cut_at is not None and self.cut_at in chunk:
                    self.cut_at = None
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    if self.when == "answered":
                        to_server.write(chunk)
                        await there.read(1 << 16)
                    break
                to_server.write(chunk)
        writer.transport.abort()
        to_server.transport.abort()
        back.cancel()

    async def _copy(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)

    def close(self):
        self._listening.close()


@pytest.fixture(autouse=True)
def _as_outside_of_tests(monkeypatch):
    """What is cut off is given up as soon as it is by a gateway."""
    monkeypatch.setattr(connections, "CONNECT_S", 1.0)


@pytest.fixture
def on_a_wire():
    def run(scenario):
        async def whole():
            found = database()
            found.begin()
            wire = Wire(found.url)
            store = await open_store(await wire.open())
            try:
                await scenario(store, wire)
            finally:
                await store.close()
                wire.close()

        asyncio.run(whole())

    return run


@pytest.mark.parametrize("when", ["sent", "answered"])
@pytest.mark.parametrize(("lanes", "cut_at"), [((), b"to-slack"), (("451",), b"COMMIT")], ids=["alone", "in a lane"])
def test_a_connection_that_is_lost_in_a_commit_stores_the_event_once(on_a_wire, lanes, cut_at, when):
    async def scenario(store, wire):
        await store.append([new_event("crm", lanes=lanes)])
        wire.cut(cut_at, when)
        [lease] = await leased(store, "slack", lanes=lanes)
        assert [row.deliveries[0].destination for row in (await store.events(EventQuery())).rows] == ["slack", "crm"]
        assert await store.settle([delivered(lease)]) == {lease.delivery.id}

    on_a_wire(scenario)


@pytest.mark.parametrize("when", ["sent", "answered"])
def test_an_outcome_whose_recording_was_not_answered_is_recorded_once(on_a_wire, when):
    async def scenario(store, wire):
        [first] = await leased(store, "slack")
        await store.settle([delivered(first)])
        [lease] = await leased(store, "slack")
        wire.cut(b"delivered", when)
        assert await store.settle([delivered(lease)]) == {lease.delivery.id}
        history = await store.event(lease.delivery.id)
        assert history.deliveries[0].state is DeliveryState.DELIVERED
        assert len(history.attempts[lease.delivery.id]) == 1
        assert (await store.stats()).destinations["slack"].delivered == 2

    on_a_wire(scenario)


def test_what_comes_while_a_silent_server_is_asked_has_its_answer_with_the_others(server):
    """It does not wait for the next look at the server: that would be longer than a second."""

    async def scenario():
        store = await open_store(server.url)
        asked, silence = asyncio.Event(), asyncio.Event()

        async def ask(statement, _within_s):
            if statement != sql.NOW:
                return 0
            if asked.is_set():
                await asyncio.Event().wait()
            asked.set()
            await silence.wait()
            raise StoreUnavailable("no answer")

        other = await asyncpg.connect(server.url)
        async with other.transaction():
            await other.execute("LOCK TABLE dedupe IN ACCESS EXCLUSIVE MODE")
            first = store.append([new_event("slack")])
            store._presence._ask = ask
            await asked.wait()
            second = store.append([new_event("slack")])
            silence.set()
            async with asyncio.timeout(30.0):
                results = await asyncio.gather(first, second, return_exceptions=True)
            assert [str(each) for each in results] == ["no answer"] * 2
        await other.close()
        await store.close()

    asyncio.run(scenario())


def test_a_server_that_does_not_answer_is_told_of_soon(on_a_wire):
    async def scenario(store, wire):
        await store.append([new_event("slack")])
        beside = database().beside
        beside.execute("BEGIN; LOCK TABLE dedupe, tally IN ACCESS EXCLUSIVE MODE")
        try:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await store.append([new_event("slack")])
        finally:
            beside.execute("COMMIT")
        await until(lambda: store.healthy)

    on_a_wire(scenario)
