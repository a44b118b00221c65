"""What goes out of the store in the background, and when."""

import asyncio
import json

from gateway.dispatcher import steps
from gateway.errors import StoreError
from tests.sink import Sink, answer
from tests.world import BODY, HEAD, REDACTING, World, numbered, story, to_crm

DAY = 86400.0


@story
async def test_an_event_goes_once_the_file_of_that_moment_says_so(tmp_path):
    with Sink(answer(), answer(500)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            delivered = (await world.receive(numbered(1))).event_id
            await world.turn()
            waiting = (await world.receive(numbered(2))).event_id
            await world.dispatcher.idle()
            world.clock.now += 8 * DAY
            young = (await world.receive(numbered(3))).event_id
            await world.upkeep.tidy()
            assert await world.store.event(delivered)
            world.reload(to_crm(sink) + "retention: {events: 7d}\n")
            await world.upkeep.tidy()
            assert await world.store.event(delivered) is None
            assert await world.store.event(waiting), "it is still to be delivered"
            assert await world.store.event(young)


@story
async def test_what_is_redacted_is_delivered_and_then_goes_out_of_the_stored_body(tmp_path):
    with Sink(answer(500), answer()) as sink:
        verbatim = f"destinations: {{crm: {{url: '{sink.url}'}}}}\nroutes: [{{name: all, to: crm}}]\n"
        async with World(tmp_path, REDACTING + verbatim) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            await world.upkeep.tidy()
            assert (await world.store.event(event_id)).event.body == BODY, "it waits for its next attempt"
            await world.later(10)
            await world.upkeep.tidy()
            history = await world.store.event(event_id)
    assert [request.body for request in sink.requests] == [BODY, BODY]
    assert (history.body_is, history.intact) == ("redacted", True)
    whole, left = (json.loads(body)["data"]["attributes"] for body in (BODY, history.event.body))
    assert {*whole} - {*left} == {"email", "phone"}
    assert b"john@example.com" in BODY
    assert b"john@example.com" not in history.event.body


@story
async def test_what_is_only_masked_stays_in_the_store(tmp_path):
    with Sink() as sink:
        masking = REDACTING.replace("{paths: [attrs.email, attrs.phone], store: true}", "[attrs.email]")
        async with World(tmp_path, masking + to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            await world.upkeep.tidy()
            history = await world.store.event(event_id)
    assert (history.body_is, history.event.body) == ("kept", BODY)


@story
async def test_the_fields_of_the_moment_go_and_all_of_a_body_whose_source_is_gone(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, REDACTING + to_crm(sink)) as world:
            first = (await world.receive(numbered(1))).event_id
            await world.turn()
            world.reload(REDACTING.replace("attrs.phone", "attrs.company") + to_crm(sink))
            await world.upkeep.tidy()
            second = (await world.receive(numbered(2))).event_id
            await world.turn()
            world.reload(HEAD.replace("xobito:", "renamed:") + to_crm(sink))
            await world.upkeep.tidy()
            bodies = [(await world.store.event(each)).event.body for each in (first, second)]
    left = json.loads(bodies[0])["data"]["attributes"]
    assert "phone" in left
    assert not {"email", "company"} & {*left}
    assert bodies[1] == b"{}"


@story
async def test_the_loop_keeps_the_index_up_to_date(tmp_path):
    async with World(tmp_path, "") as world:
        for number in range(300):
            await world.receive(numbered(number))
        task = asyncio.create_task(world.upkeep.run())
        async with asyncio.timeout(20):
            while world.store._database.is_index_behind:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])


@story
async def test_a_defect_in_pruning_ends_neither_its_rounds_nor_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "STORE_PAUSE_S", 0.001)
    rounds = []

    async def defect(*_, **__):
        rounds.append("a round")
        raise StoreError("a prune that cannot work")

    async with World(tmp_path, "") as world:
        await world.receive()
        world.store.prune = defect
        task = asyncio.create_task(world.upkeep.run())
        async with asyncio.timeout(20):
            while world.store._database.is_index_behind or len(rounds) < 3:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
