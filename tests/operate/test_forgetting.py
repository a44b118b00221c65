"""Whom an operator means by `--find`, and what becomes of all of their events."""

import asyncio
import json

import pytest

from gateway.errors import BadRequest, BodyGone
from gateway.operate.operations import Move
from gateway.store.queries import EventQuery
from tests.sink import Sink, answer
from tests.world import BODY, REDACTING, World, story, to_crm


def person(id_):
    """An event about the record with this id."""
    payload = json.loads(BODY)
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = id_
    return json.dumps(payload).encode()


async def counted(world, find):
    """What a dry run says, part by part."""
    count, after = 0, None
    while after != "":
        found = await world.operations.look(find, after=after or "")
        count, after = count + found.count, found.next
    return count


async def erased(world, find):
    activity = await world.operations.forget(find, by="ann")
    return await world.operations.finish(activity.id)


async def bodies(world):
    rows = (await world.store.events(EventQuery(limit=1000))).rows
    return {row.id: (await world.store.event(row.id)).body_is for row in rows}


@story
async def test_every_event_of_a_person_is_forgotten_and_no_other(tmp_path):
    async with World(tmp_path, "") as world:
        theirs = [(await world.receive(person(number))).event_id for number in (451, 7)]
        others = [(await world.receive(person(number))).event_id for number in range(1000, 1040)]
        assert await counted(world, "data.id=451") == 1
        done = await erased(world, "data.id=451")
        assert (done.progress.moved, done.progress.is_finished) == (1, True)
        assert "451" not in done.subject
        assert await bodies(world) == {theirs[0]: "forgotten", **dict.fromkeys([theirs[1], *others], "kept")}
        assert await counted(world, "data.id=451") == 0


@pytest.mark.parametrize(
    ("find", "found"),
    [
        ("attrs.id=7", True),
        ("payload.data.id=7", True),
        ("data.attributes.email=john@example.com", True),
        ("attrs.email=john@example.com", True),
        ("headers.content-type=application/json", True),
        ('payload["data"].attributes["email"]=john@example.com', True),
        ('payload["data.attributes"].email=john@example.com', False),
        ("john@example.com", True),
        ('"Doe"', True),
        ("attrs.email=john@example.co", False),
        ("attrs.id=77", False),
        ("headers.content-type=application", False),
        ("nobody at all", False),
    ],
)
def test_what_a_source_redacts_is_found_too(tmp_path, find, found):
    @story
    async def scenario(folder):
        async with World(folder, REDACTING) as world:
            id_ = (await world.receive(person(7))).event_id
            assert await counted(world, find) == found
            await erased(world, find)
            assert (await world.store.event(id_)).body_is == ("forgotten" if found else "kept")

    scenario(folder=tmp_path)


@pytest.mark.parametrize("find", ["", "  ", "data.id=", "x" * 501, "a..b=1", "a[0]b=1"])
def test_whoever_is_not_named_is_not_forgotten(tmp_path, find):
    @story
    async def scenario(folder):
        async with World(folder, "") as world:
            for ask in (world.operations.look(find), world.operations.forget(find, by="ann")):
                with pytest.raises(BadRequest):
                    await ask

    scenario(folder=tmp_path)


@story
async def test_a_body_that_cannot_be_read_is_theirs_if_it_has_the_value(tmp_path):
    async with World(tmp_path, "") as world:
        id_ = (await world.receive(person(7))).event_id
        world.store._database.file.db.execute("UPDATE event SET body = CAST('{broken 451' AS BLOB)")
        assert await counted(world, "data.id=452") == 0
        assert await counted(world, "data.id=451") == 1
        await erased(world, "data.id=451")
        assert (await world.store.event(id_)).body_is == "forgotten"


@story
async def test_the_loop_finishes_what_another_process_began(tmp_path):
    with Sink(answer(500)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            ids = [(await world.receive(person(number))).event_id for number in range(3)]
            await world.operations.forget("Doe", by="ann")
        async with World(tmp_path, to_crm(sink)) as world:
            loop = asyncio.create_task(world.operations.run())
            async with asyncio.timeout(20):
                while not (await world.store.activities()).rows[0].progress.is_finished:
                    await asyncio.sleep(0.01)
            loop.cancel()
            await asyncio.wait([loop])
            assert await bodies(world) == dict.fromkeys(ids, "forgotten")
            assert world.store.room.pending == 0


@story
async def test_a_replay_of_a_forgotten_event_says_why_it_is_refused(tmp_path):
    with Sink(answer()) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            delivered = (await world.receive(person(1))).event_id
            await world.turn()
            await erased(world, "Doe")
            [delivery] = (await world.store.event(delivered)).deliveries
            for id_ in (delivered, delivery.id):
                move = Move(verb="replay", by="ann", ids=(id_,))
                for refused in (world.operations.preview(move), world.operations.carry_out(move)):
                    with pytest.raises(BodyGone, match=f"event {delivered} cannot be sent again: it was forgotten"):
                        await refused
            rerouted = await world.operations.preview(Move(verb="reroute", by="ann", ids=(delivered,)))
            assert [each.fate for each in rerouted.diff] == ["its body is no longer kept: left as it is"]
            assert json.loads((await world.store.event(delivered)).event.body)["forgotten"]["by"] == "ann"
