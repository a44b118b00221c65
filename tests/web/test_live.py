"""Whoever listens hears of what is new and of what became of it, and nobody else waits for that."""

import asyncio
from contextlib import aclosing

import pytest

from gateway import telemetry
from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.operate.search import Search
from gateway.store.nouns import Retention
from gateway.store.queries import EventQuery
from gateway.web import live
from gateway.web.live import MOST_LISTENERS, ROWS, Live, TooManyListen, Turn, server_sent
from tests.operate.test_operations import a_contact, dead
from tests.sink import Sink, answer
from tests.world import World, numbered, story, to_crm


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "INTERVAL_S", 0.01)


async def told(turns):
    """The rows of the next turn with events, new or changed."""
    async with asyncio.timeout(30):
        while not (rows := [*(turn := await anext(turns)).new, *turn.changed]):
            pass
    return rows


async def counted(turns):
    """The next turn that has numbers."""
    async with asyncio.timeout(30):
        while (turn := await anext(turns)).stats is None:
            pass
    return turn


@story
async def test_the_first_turn_is_what_is_there_and_then_comes_what_is_new(tmp_path):
    async with World(tmp_path, "") as world:
        old = (await world.receive(numbered(0))).event_id
        async with aclosing(Live(world.store).turns(Search())) as turns:
            assert [row.id for row in await told(turns)] == [old]
            new = [(await world.receive(numbered(number))).event_id for number in (1, 2)]
            heard = []
            while len(heard) < 2:
                heard += [row.id for row in await told(turns)]
            assert sorted(heard) == sorted(new)


@story
async def test_an_event_comes_again_when_something_has_become_of_it(tmp_path):
    with Sink(answer(503), answer(200)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            async with aclosing(Live(world.store).turns(Search())) as turns:
                await counted(turns)
                event_id = (await world.receive()).event_id
                seen = []
                while not seen or seen[-1] != "delivered":
                    await world.later(60)
                    [row] = await told(turns)
                    assert row.id == event_id
                    seen.append(row.deliveries[0].state)
    assert seen[-1] == "delivered"


@story
async def test_an_event_that_was_there_at_first_comes_again_when_it_is_replayed(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            [event_id] = await dead(world, 1, sink)
            async with aclosing(Live(world.store).turns(Search())) as turns:
                [row] = await told(turns)
                assert (row.id, row.deliveries[0].state) == (event_id, "dead")
                await world.replay(event_id)
                await world.turn()
                seen = ""
                while seen != "delivered":
                    [row] = await told(turns)
                    seen = row.deliveries[0].state


@story
async def test_who_listens_for_dead_letters_hears_of_one_when_it_dies(tmp_path):
    with Sink(answer(503), answer(422)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            older = (await world.receive(numbered(0))).event_id
            await world.turn()
            query = Search(query=EventQuery(destination="crm", state=DeliveryState.DEAD))
            async with aclosing(Live(world.store).turns(query)) as turns:
                await counted(turns)
                await world.later(60)
                assert [row.id for row in await told(turns)] == [older]


@story
async def test_what_retention_removes_meanwhile_ends_nothing(tmp_path):
    async with World(tmp_path, "") as world:
        await world.receive(numbered(0))
        async with aclosing(Live(world.store).turns(Search())) as turns:
            await told(turns)
            world.clock.now += 100
            while await world.store.prune(Retention(events_s=10, attempts_s=10)):
                pass
            new = (await world.receive(numbered(1))).event_id
            assert [row.id for row in await told(turns)] == [new]


@story
async def test_only_what_a_listener_asked_for_is_told(tmp_path):
    async with World(tmp_path, "") as world:
        await world.receive(a_contact(1))
        query = Search(query=EventQuery(type="contact.updated"))
        async with aclosing(Live(world.store).turns(query)) as turns:
            await counted(turns)
            await world.receive(a_contact(2))
            event_id = (await world.receive(a_contact(3, type="updated"))).event_id
            assert [row.id for row in await told(turns)] == [event_id]


@story
async def test_more_than_can_be_shown_are_counted(tmp_path):
    async with World(tmp_path, "") as world:
        await world.receive(a_contact(1))
        async with aclosing(Live(world.store).turns(Search())) as turns:
            await told(turns)
            for number in range(ROWS + 7):
                await world.receive(numbered(number))
            async with asyncio.timeout(30):
                while not (turn := await anext(turns)).new:
                    pass
            assert (len(turn.new), turn.skipped) == (ROWS, 7)


@story
async def test_of_nothing_new_comes_a_heartbeat(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(live, "STATS_INTERVAL_S", 1000)
    async with World(tmp_path, "") as world:
        async with aclosing(Live(world.store).turns(Search())) as turns:
            await counted(turns)
            turn = await anext(turns)
    assert turn == Turn(new=[], changed=[])


@story
async def test_the_numbers_are_asked_for_once_for_all_who_listen(tmp_path, monkeypatch):
    async with World(tmp_path, "") as world:
        asked = []
        stats = world.store.stats
        monkeypatch.setattr(world.store, "stats", lambda: asked.append(1) or stats())
        following = Live(world.store)
        for _ in range(4):
            async with aclosing(following.turns(Search())) as turns:
                await counted(turns)
    assert len(asked) == 1


@story
async def test_the_ninth_listener_is_refused_until_one_has_gone(tmp_path):
    async with World(tmp_path, "") as world:
        following = Live(world.store)
        listeners = [following.listen(Search(), "full") for _ in range(MOST_LISTENERS)]
        with pytest.raises(TooManyListen, match="all 8 places"):
            following.listen(Search(), "full")
        listeners.pop().close()
        listeners.append(following.listen(Search(), "full"))
        with pytest.raises(TooManyListen):
            following.listen(Search(), "full")
        # Forgotten, never begun: the client hung up before its answer was under way.
        listeners.pop()
        following.listen(Search(), "full").close()


@story
async def test_the_listeners_of_one_token_leave_the_places_of_the_other_alone(tmp_path):
    async with World(tmp_path, "") as world:
        following = Live(world.store)
        readers = [following.listen(Search(), "read") for _ in range(MOST_LISTENERS)]
        with pytest.raises(TooManyListen, match="of this token"):
            following.listen(Search(), "read")
        following.listen(Search(), "full").close()
        readers.pop().close()
        following.listen(Search(), "read").close()


@story
async def test_the_end_lets_all_go_at_once_and_nobody_in(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "INTERVAL_S", 60)
    async with World(tmp_path, "") as world:
        following = Live(world.store)
        listener = following.listen(Search(), "full")
        ended = asyncio.create_task(_to_the_end(listener))
        await asyncio.sleep(0.1)
        following.end()
        async with asyncio.timeout(30):
            await ended
        with pytest.raises(TooManyListen, match="the gateway is stopping"):
            following.listen(Search(), "full")


@story
async def test_a_store_that_refuses_ends_a_stream_and_is_no_defect(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: lines.append((name, fields)))
    async with World(tmp_path, "") as world:
        await world.receive(numbered(0))
        following = Live(world.store)
        listener = following.listen(Search(), "full")
        events, sent = world.store.events, []

        async def refuse(query):
            raise StoreUnavailable("the disk refuses")

        async with asyncio.timeout(30):
            async for message in server_sent(listener, lambda turn: [("rows", b"%d" % len(turn.new))]):
                sent.append(message)
                monkeypatch.setattr(world.store, "events", refuse if len(sent) > 1 else events)
    assert sent[1] == b"event: rows\ndata: 1\n\n"
    assert lines[-1] == ("store.unavailable", {"reason": "the disk refuses"})
    assert following._listeners.total() == 0


async def _to_the_end(listener) -> None:
    async for _ in listener:
        pass
    listener.close()
