"""Refused requests are gathered and written off the request's path, with no secret and no flood in them."""

import asyncio

import pytest

from gateway.store.nouns import Rejected
from gateway.web import rejections
from gateway.web.rejections import MOST_KINDS, Rejections
from tests.world import World, story


@story
async def test_alike_ones_are_one_row_with_a_count(tmp_path):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        for _ in range(3):
            gathered.add("xobito", "/in/xobito", 401, "no x-webhook-signature header")
            world.clock.now += 1
        gathered.add("unknown", "/in/nobody", 404, "no source listens at /in/nobody")
        await gathered.flush()
        found = await world.store.rejected()
        await gathered.flush()
        assert await world.store.rejected() == found
    assert sorted(found, key=lambda each: each.source) == [
        Rejected(at=1003.0, source="unknown", path="/in/nobody", status=404, reason="no source listens at /in/nobody"),
        Rejected(at=1002.0, source="xobito", path="/in/xobito", status=401, reason="no x-webhook-signature header", count=3),
    ]  # fmt: skip


@story
async def test_of_a_flood_two_hundred_kinds_are_told_apart_and_the_others_are_counted(tmp_path):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        for number in range(10_000):
            gathered.add("unknown", f"/in/{number}", 404, f"no source listens at /in/{number}")
        await gathered.flush()
        found = await world.store.rejected(limit=1000)
    assert len(found) == MOST_KINDS + 1
    assert sum(each.count for each in found) == 10_000
    assert max(found, key=lambda each: each.count).reason == "others, too many to list"


@pytest.mark.parametrize("path", ["/in/xobito/the-secret", "/in/x/a/the-secret", "/" + "in/" * 2 + "the-secret"])
def test_a_secret_in_a_path_is_not_kept(tmp_path, path):
    @story
    async def scenario():
        async with World(tmp_path, "") as world:
            gathered = Rejections(world.store, world.clock)
            gathered.add("xobito", path, 404, "a wrong path secret")
            await gathered.flush()
            [found] = await world.store.rejected()
            assert "the-secret" not in repr(found)

    scenario()


@story
async def test_what_would_steer_a_terminal_is_kept_as_text(tmp_path):
    async with World(tmp_path, "") as world:
        gathered = Rejections(world.store, world.clock)
        gathered.add("unknown", "/in/\x1b[31m", 404, "x" * 1000 + "\x1b")
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
        gathered.add("xobito", "/in/xobito", 401, "why")
        async with asyncio.timeout(30):
            while not await world.store.rejected():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
