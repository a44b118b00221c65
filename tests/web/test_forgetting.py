"""Erasing somebody's events through the API, and what the console shows of them."""

import asyncio
import json

import pytest

from tests.operate.test_forgetting import person
from tests.sink import Sink, answer
from tests.web.desk import READ_TOKEN, TOKEN, Desk, GuardedDesk
from tests.world import to_crm


async def until_finished(desk, activity):
    loop = asyncio.create_task(desk.operations.run())
    async with asyncio.timeout(20):
        while True:
            _, found = await desk.ask(f"/api/activity/{activity['id']}")
            if found["progress"]["finished"]:
                break
            await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.wait([loop])
    return found


def test_events_are_counted_and_then_erased_and_the_console_says_so(tmp_path):
    async def scenario(folder):
        with Sink(answer(500)) as sink:
            async with Desk(folder, to_crm(sink)) as desk:
                theirs = (await desk.receive(person(77))).event_id
                others = (await desk.receive(person(78))).event_id
                await desk.dispatcher.idle()
                asked = {"find": "data.id=77", "by": "ann", "reason": "they asked"}
                assert await desk.ask("/api/forget", {**asked, "dry_run": True}) == (
                    200,
                    {"count": 1, "looked_at": 2, "next": None},
                )
                status, begun = await desk.ask("/api/forget", asked, idempotency_key="k")
                assert (status, begun["activity"]["verb"]) == (200, "forget")
                assert await desk.ask("/api/forget", asked, idempotency_key="k") == (200, begun)
                done = await until_finished(desk, begun["activity"])
                assert (done["by"], done["reason"], done["subject"]) == ("ann", "they asked", "events with data.id=•••")
                assert (done["progress"]["moved"], done["progress"]["discarded"]) == (1, 1)
                _, shown = await desk.ask(f"/api/events/{theirs}")
                assert (shown["body_is"], shown["headers"]) == ("forgotten", {})
                assert shown["payload"]["forgotten"]["activity"] == done["id"]
                assert "was forgotten" in shown["why_not_explained"]
                assert (await desk.ask(f"/api/events/{others}"))[1]["body_is"] == "kept"
                status, refused = await desk.ask("/api/replay", {"ids": [theirs], "dry_run": True})
                assert (status, "it was forgotten, and its data is erased" in refused["error"]) == (409, True)
                _, page = await desk.ask(f"/events/{theirs}", accept="text/html")
                assert "This event was forgotten" in page
                assert ">Replay" not in page
                assert "john@example.com" not in page
                for path in ("/dead", f"/activity/{done['id']}"):
                    _, page = await desk.ask(path, accept="text/html")
                    assert "1 event forgotten" in page
                    assert "delivery discarded" in page
                    assert "77" not in json.dumps(done["subject"])

    asyncio.run(scenario(tmp_path))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"find": "data.id="}, "has no value"),
        ({"find": ""}, 'find: "" cannot be searched for'),
        ({"find": ".id=1"}, 'find: ".id" is not a path'),
        ({"find": "x", "after": "12"}, "after: only a dry_run"),
        ({"find": "x", "by": ""}, "by: say who you are"),
        ({"find": "x", "dry_run": True, "after": "nowhere"}, "is not a position"),
        ({"find": "x", "everyone": True}, "unknown field"),
        ({}, "missing required field"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_remedy(tmp_path, asked, said):
    async def scenario(folder):
        async with Desk(folder, "") as desk:
            status, refused = await desk.ask("/api/forget", asked)
            assert (status, said in refused["error"]) == (400, True), refused

    asyncio.run(scenario(tmp_path))


def test_whoever_may_only_read_erases_nothing(tmp_path):
    async def scenario(folder):
        async with GuardedDesk(folder, "") as desk:
            ask = {"find": "data.id=77", "dry_run": True}
            assert (await desk.ask("/api/forget", ask, authorization=f"Bearer {READ_TOKEN}"))[0] == 403
            assert (await desk.ask("/api/forget", ask, authorization=f"Bearer {TOKEN}"))[0] == 200

    asyncio.run(scenario(tmp_path))
