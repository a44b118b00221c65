"""Silent sources, and what should have followed an event: raised once, across restarts and replicas."""

import asyncio
import json

import pytest

from gateway import presets
from gateway.operate.vigil import GRACE_S, Standing, Vigil
from gateway.store.queries import EventQuery
from tests.sink import Sink, answer
from tests.web.desk import HOST, Desk
from tests.world import BODY, HEAD, World, numbered, story

HOUR = 3600.0
#: 2026-11-30 is a Monday; 08:00 in Berlin.
MONDAY = 1_796_022_000.0


def file(sink: Sink, rules: str) -> str:
    return (
        HEAD.replace("secret: s3cret}", f"secret: s3cret, {rules}}}")
        + f'destinations: {{ops: {{url: "{sink.url}/ops"}}}}\n'
        + "routes:\n  - {source: gateway, match: gateway.source.*, to: ops, body: {said: '{{ payload.message }}'}}\n"
        + "  - {name: all, to: []}\n"
    )


SILENCE = "silence: {after: 1h, match: contact.*}"
FOLLOW = 'follow_up: [{after: contact.created, want: contact.updated, per: "{payload.data.id}", within: 2h}]'
UPDATED = BODY.replace(b"contact.created", b"contact.updated").replace(b'"created"', b'"updated"')


def watching(world: World) -> Vigil:
    return Vigil(world.gateway, world.dispatcher, lambda: True)


async def own(world: World) -> list[dict]:
    """The gateway's own events, the oldest first."""
    page = await world.store.candidates(EventQuery(source="gateway"))
    return [json.loads(each.event.body) for each in reversed(page.rows)]


async def types(world: World) -> list[str]:
    return [each["type"].removeprefix("gateway.source.") for each in await own(world)]


async def passed(world: World, vigil: Vigil, seconds: float) -> list[str]:
    """What has been raised once so much time has passed, looked at now and then."""
    for _ in range(20):
        world.clock.now += seconds / 20
        await vigil.look()
    return await types(world)


def has_fields_of_samples(raised: list[dict]) -> bool:
    samples = [json.loads(body) for body in presets.load("gateway").samples.values()]
    fields = {each["type"]: set(each) for each in samples}
    return all(set(each) == fields[each["type"]] for each in raised)


# --- silence ---


@story
async def test_a_silent_source_is_reported_once_and_so_is_that_it_is_heard_again(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, SILENCE)) as world:
            vigil = watching(world)
            last = await world.receive()
            assert await passed(world, vigil, HOUR - 60) == []
            assert await passed(world, vigil, 120) == ["silent"]
            [said] = await own(world)
            assert said["event_id"] == last.event_id
            assert said["message"].startswith(
                "xobito has sent no contact.* for 1h: the last one came at 1970-01-01T00:16:40"
            )
            assert await passed(world, vigil, 24 * HOUR) == ["silent"]
            heard = await world.receive(numbered(7))
            assert await passed(world, vigil, 10) == ["silent", "heard"]
            assert (await own(world))[1]["event_id"] == heard.event_id
            assert has_fields_of_samples(await own(world))
            # And all over again.
            assert await passed(world, vigil, HOUR - 60) == ["silent", "heard"]
            assert await passed(world, vigil, HOUR) == ["silent", "heard", "silent"]
            await world.turn()
            assert [json.loads(each.body)["said"][:10] for each in sink.requests] == [
                "xobito has",
                "xobito is ",
                "xobito has",
            ]


@story
async def test_only_events_that_match_count(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, SILENCE.replace("contact.*", "[status.*, source.*]"))) as world:
            vigil = watching(world)
            await vigil.look()
            for number in range(4):
                await world.receive(numbered(number))
                await passed(world, vigil, HOUR / 2)
            assert await types(world) == ["silent"]
            assert "status.* or source.*" in (await own(world))[0]["message"]


@story
async def test_a_source_that_has_never_sent_anything_is_silent_since_it_is_watched(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, "silence: {after: 1h}")) as world:
            vigil = watching(world)
            await vigil.look()
            assert await passed(world, vigil, HOUR - 60) == []
            assert await passed(world, vigil, 120) == ["silent"]
            assert (await own(world))[0]["message"] == "xobito has sent no event for 1h: none has come yet"
            await world.receive()
            assert await passed(world, vigil, 10) == ["silent", "heard"]


@story
async def test_a_restart_neither_repeats_nor_forgets(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, SILENCE)) as world:
            await world.receive()
            await passed(world, watching(world), HOUR / 2)
        for expected in (["silent"], ["silent"]):
            async with World(tmp_path, file(sink, SILENCE)) as world:
                world.clock.now = 1_000.0 + 2 * HOUR
                vigil = watching(world)
                # Senders have a minute for what they could not deliver.
                await vigil.look()
                before = await types(world)
                world.clock.now += GRACE_S
                await vigil.look()
                assert await types(world) == expected
                assert before in ([], ["silent"])
        async with World(tmp_path, file(sink, SILENCE)) as world:
            world.clock.now = 1_000.0 + 3 * HOUR
            await world.receive(numbered(9))
            await watching(world).look()
            assert await types(world) == ["silent", "heard"]


@story
async def test_after_a_crash_between_the_alarm_and_the_note_of_it_there_is_still_one(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, SILENCE)) as world:
            await world.receive()
            vigil = watching(world)
            add, world.store.expectations.add = world.store.expectations.add, crashing
            with pytest.raises(OSError, match="killed"):
                await passed(world, vigil, 2 * HOUR)
            world.store.expectations.add = add
            assert await passed(world, watching(world), 2 * HOUR) == ["silent"]


async def crashing(expectation):
    if expectation.name == "silent":
        raise OSError("killed")
    return True


@story
async def test_of_two_replicas_that_both_look_one_raises_it(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, f"{SILENCE}, {FOLLOW}")) as world:
            await world.receive()
            one, other = watching(world), watching(world)
            for _ in range(6):
                world.clock.now += HOUR
                await asyncio.gather(one.look(), other.look())
            assert sorted(await types(world)) == ["missing", "silent"]
            await world.receive(numbered(3))
            await asyncio.gather(one.look(), other.look())
            assert sorted(await types(world)) == ["heard", "missing", "silent"]


@story
async def test_outside_of_the_hours_silence_does_not_count(tmp_path):
    hours = "hours: {days: mon-fri, from: 09:00, to: 18:00, zone: Europe/Berlin}"
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, f"silence: {{after: 1h, {hours}}}")) as world:
            world.clock.now = MONDAY - 15 * HOUR
            vigil = watching(world)
            await world.receive()  # Sunday, 17:00
            # Monday, 09:50: fifty minutes of the hours.
            assert await passed(world, vigil, MONDAY + 1.83 * HOUR - world.clock.now) == []
            assert await passed(world, vigil, 0.25 * HOUR) == ["silent"]
            assert "for 1h of the hours that count" in (await own(world))[0]["message"]


@story
async def test_a_rule_that_is_removed_and_put_back_starts_anew(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, SILENCE)) as world:
            vigil = watching(world)
            await world.receive()
            assert await passed(world, vigil, 2 * HOUR) == ["silent"]
            world.reload(file(sink, "max_body: 1MiB"))
            await vigil.look()
            assert await world.store.expectations.lasting() == []
            world.reload(file(sink, SILENCE))
            await world.receive(numbered(5))
            # Nobody was told that it is silent now, so nobody is told that it is heard.
            assert await passed(world, vigil, 60) == ["silent"]
            assert await passed(world, vigil, 2 * HOUR) == ["silent", "silent"]


# --- what should have followed ---


@story
async def test_what_does_not_follow_is_reported_once_with_the_event_it_should_follow(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, FOLLOW)) as world:
            vigil = watching(world)
            created = await world.receive()
            assert await passed(world, vigil, 2 * HOUR - 60) == []
            assert await passed(world, vigil, 120) == ["missing"]
            [said] = await own(world)
            assert said["event_id"] == created.event_id
            assert said["message"] == "xobito sent contact.created, and no contact.updated within 2h"
            assert said["link"].endswith(f"/events/{created.event_id}")
            assert has_fields_of_samples([said])
            assert await passed(world, vigil, 24 * HOUR) == ["missing"]


@story
async def test_what_follows_in_time_is_no_news_and_one_about_something_else_does_not_help(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, FOLLOW)) as world:
            vigil = watching(world)
            await world.receive()
            await world.receive(UPDATED)
            assert await passed(world, vigil, 3 * HOUR) == []
            await world.receive(BODY.replace(b"451", b"452"))
            await world.receive(UPDATED.replace(b"John", b"Jane"))
            assert await passed(world, vigil, 3 * HOUR) == ["missing"]


@story
async def test_open_expectations_survive_a_restart_and_a_crash_between_the_alarm_and_its_end(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, FOLLOW)) as world:
            await world.receive()
        async with World(tmp_path, file(sink, FOLLOW)) as world:
            world.clock.now += 3 * HOUR
            remove, world.store.expectations.remove = world.store.expectations.remove, killed
            with pytest.raises(OSError, match="killed"):
                await watching(world).look()
            world.store.expectations.remove = remove
            await watching(world).look()
            assert await types(world) == ["missing"]
            assert await world.store.expectations.open() == {}


async def killed(gone):
    if gone:
        raise OSError("killed")


@story
async def test_what_a_removed_rule_awaits_is_dropped_in_silence(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, FOLLOW)) as world:
            await world.receive()
            world.reload(file(sink, FOLLOW.replace("contact.updated", "contact.deleted")))
            assert await passed(world, watching(world), 3 * HOUR) == []
            assert await world.store.expectations.open() == {}


# --- where people see it ---


@story
async def test_the_page_of_a_source_shows_that_it_is_silent_and_what_is_awaited(tmp_path):
    with Sink(answer(200)) as sink:
        async with Desk(tmp_path, file(sink, f"{SILENCE}, {FOLLOW}")) as desk:
            await desk.receive()
            html = {"accept": "text/html", "host": HOST}
            page = (await desk.client.get("/sources/xobito", headers=html)).text
            assert "<dt>Awaited</dt><dd>1 event</dd>" in page
            assert "<dt>Silent</dt>" not in page
            desk.vigil = watching(desk)
            await passed(desk, desk.vigil, 1.5 * HOUR)
            page = (await desk.client.get("/sources/xobito", headers=html)).text
            assert "<dt>Silent</dt><dd>reported" in page


@story
async def test_a_file_without_such_rules_asks_the_store_for_nothing(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, "max_body: 1MiB")) as world:
            vigil = watching(world)
            await vigil.look()
            del world.store.expectations
            await vigil.look()
            assert await vigil.standing(world.config.sources["xobito"]) == Standing(silent_s=None, awaited=0)
            await world.receive()
