"""Refused requests are gathered and written off the request's path, with no secret and no flood in them."""

import asyncio

import pytest

from gateway import telemetry
from gateway.errors import BodyTooLarge, SignatureRefused, StoreUnavailable, UnknownSource
from gateway.store.queries import Rejected
from gateway.web import rejections
from gateway.web.rejections import MOST_KINDS, MOST_LOGGED, OTHERS, QUIET_S, Rejections
from tests.web.desk import Desk
from tests.world import World, story

HERE = "203.0.113.7"


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: lines.append(fields))
    return lines


@story
async def test_alike_ones_are_one_row_with_a_count(tmp_path):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        for _ in range(3):
            gathered.refuse("xobito", "/in/xobito", SignatureRefused("no x-webhook-signature header"), HERE)
            world.clock.now += 1
        gathered.refuse("unknown", "/in/nobody", UnknownSource("no source listens at /in/nobody"), HERE)
        await gathered.flush()
        found = await world.store.rejected()
        await gathered.flush()
        assert await world.store.rejected() == found
    assert sorted(found, key=lambda each: each.source) == [
        Rejected(at=1003.0, source="unknown", path="/in/nobody", status=404, reason="no source listens at /in/nobody", client=HERE),
        Rejected(at=1002.0, source="xobito", path="/in/xobito", status=401, reason="no x-webhook-signature header", client=HERE, count=3),
    ]  # fmt: skip


@story
async def test_of_a_flood_a_hundred_kinds_are_told_apart_and_those_of_other_sources_stay(tmp_path, logged):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        for number in range(10_000):
            refusal = UnknownSource(f"no source listens at /in/{number}")
            gathered.refuse("unknown", f"/in/{number}", refusal, f"203.0.113.{number % 256}")
        gathered.refuse("xobito", "/in/xobito", SignatureRefused("no x-webhook-signature header"), HERE)
        await gathered.flush()
        found = await world.store.rejected(limit=1000)
        flood = [each for each in found if each.source == "unknown"]
        assert len(flood) == MOST_KINDS + 1
        assert sum(each.count for each in flood) == 10_000
        assert max(flood, key=lambda each: each.count).reason == OTHERS
        assert [each.client for each in found if each.source == "xobito"] == [HERE]
        assert len(logged) == MOST_LOGGED + 2, "of the others there is one line, and one of the other source"
        await gathered.flush(is_last=True)
        assert sum(line["count"] for line in logged) == 10_001


@story
async def test_the_log_has_the_first_of_each_cause_and_then_a_line_a_minute_with_their_number(tmp_path, logged):
    def refuse(times, reason, client=HERE):
        for _ in range(times):
            gathered.refuse("xobito", "/in/xobito", SignatureRefused(reason), client)

    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        refuse(5, "no x-webhook-signature header")
        refuse(2, "x-webhook-signature does not match the body and the secret")
        refuse(1, "no x-webhook-signature header", "203.0.113.9")
        gathered.refuse("xobito", "/in/xobito", BodyTooLarge("over 1048576 bytes"), HERE)
        await gathered.flush()
        firsts = [(line["reason"], line["client"], line["count"]) for line in logged]
        logged.clear()
        world.clock.now += QUIET_S
        await gathered.flush()
        counts = [(line["reason"], line["client"], line["count"]) for line in logged]
        logged.clear()
        world.clock.now += QUIET_S
        await gathered.flush()
        refuse(1, "no x-webhook-signature header")
    assert firsts == [
        ("no x-webhook-signature header", HERE, 1),
        ("no x-webhook-signature header", "203.0.113.9", 1),
        ("over 1048576 bytes", HERE, 1),
    ]
    assert counts == [("x-webhook-signature does not match the body and the secret", HERE, 6)]
    assert [line["count"] for line in logged] == [1], "after a quiet minute the next one is a first one again"


@pytest.mark.parametrize("path", ["/in/xobito/the-secret", "/in/x/a/the-secret", "/" + "in/" * 2 + "the-secret"])
def test_a_secret_in_a_path_is_not_kept(tmp_path, path):
    @story
    async def scenario():
        async with World(tmp_path, "") as world:
            gathered = Rejections(world.store, world.clock)
            gathered.refuse("xobito", path, UnknownSource("a wrong path secret"), HERE)
            await gathered.flush()
            [found] = await world.store.rejected()
            assert "the-secret" not in repr(found)

    scenario()


@story
async def test_what_would_steer_a_terminal_is_kept_as_text(tmp_path):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        gathered.refuse("unknown", "/in/\x1b[31m", UnknownSource("\x1b" + "x" * 1000), HERE)
        await gathered.flush()
        [found] = await world.store.rejected()
    assert "\x1b" not in found.path + found.reason
    assert len(found.reason) == 200


@story
async def test_the_loop_hands_them_on_about_once_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(rejections, "INTERVAL_S", 0.01)
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        task = asyncio.create_task(gathered.run())
        gathered.refuse("xobito", "/in/xobito", SignatureRefused("why"), HERE)
        async with asyncio.timeout(30):
            while not await world.store.rejected():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@story
@pytest.mark.parametrize("path", ["/api/rejected", "/refused", "/sources/xobito"])
async def test_a_request_that_was_just_refused_is_shown_at_once(tmp_path, path):
    async with Desk(tmp_path, "") as desk:
        desk.rejections.refuse("xobito", "/in/xobito", SignatureRefused("no x-webhook-signature header"), HERE)
        answer = await desk.client.get(path, headers={"accept": "application/json, text/html"})
    assert (answer.status_code, "no x-webhook-signature header" in answer.text) == (200, True)


@story
async def test_what_other_processes_have_just_refused_is_shown_at_once(tmp_path):
    async with World(tmp_path, "") as world:
        ours, theirs = Rejections(world.store, world.clock), Rejections(world.store, world.clock)
        ours.elsewhere = theirs.flush
        theirs.refuse("xobito", "/in/xobito", SignatureRefused("no x-webhook-signature header"), HERE)
        [found] = await ours.newest(limit=5)
        assert found.reason == "no x-webhook-signature header"


@story
async def test_a_store_that_cannot_write_still_shows_what_it_has(tmp_path, monkeypatch):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        gathered.refuse("xobito", "/in/xobito", SignatureRefused("no x-webhook-signature header"), HERE)
        [before] = await gathered.newest(limit=5)

        async def refuse(_rows):
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(world.store, "reject", refuse)
        gathered.refuse("xobito", "/in/xobito", SignatureRefused("does not match"), HERE)
        assert await gathered.newest(limit=5) == [before]
