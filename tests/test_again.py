"""The same event again: for how long it is the same is the source's decision."""

import pytest

from gateway.presets import load
from gateway.signatures import Request
from tests.world import World, story

FILE = """\
version: 1
sources:
  bell: {verify: {token: {header: x-token}}, secret: t0ken-of-the-bell, type: ring, %s}
  alerts: {preset: alertmanager, secret: t0ken-of-alerts}
  many: {verify: {token: {header: x-token}}, secret: t0ken-of-many, type: "{payload.kind}", split: payload.*, dedupe: none}
destinations: {}
"""


async def ring(world: World, source: str = "bell", body: bytes = b'{"pressed": true}'):
    found = world.gateway.config.sources[source]
    headers = found.verifier.sign(Request(headers=[], body=body), 0, "").headers
    request = Request(
        headers=[(b"content-type", b"application/json"), *((n.encode(), v.encode()) for n, v in headers)], body=body
    )
    return (await world.received(found, request)).appended


@pytest.mark.parametrize(
    ("written", "waits", "is_another"),
    [
        ("id: '{payload.pressed}'", 29 * 86400, False),
        ("max_body: 1KiB", 31 * 86400, True),
        ("dedupe: 10m", 9 * 60, False),
        ("dedupe: 10m", 11 * 60, True),
        ("dedupe: none", 0, True),
    ],
    ids=["30 days if left out", "after them", "in the window", "after the window", "none"],
)
@story
async def test_an_event_that_comes_again_is_the_same_one_within_the_window(tmp_path, written, waits, is_another):
    async with World(tmp_path, FILE % written) as world:
        [first] = await ring(world)
        world.clock.now += waits
        [again] = await ring(world)
        assert again.duplicate is not is_another
        assert (again.event_id != first.event_id) is is_another


@story
async def test_a_doorbell_that_rings_three_times_at_once_is_three_events(tmp_path):
    async with World(tmp_path, FILE % "dedupe: none") as world:
        rings = [(await ring(world))[0] for _ in range(3)]
        assert len({each.event_id for each in rings}) == 3
        assert len((await world.store.events()).rows) == 3


@story
async def test_every_item_of_a_list_is_an_event_of_its_own_each_time(tmp_path):
    body = b'[{"kind": "a"}, {"kind": "a"}]'
    async with World(tmp_path, FILE % "dedupe: none") as world:
        found = [*await ring(world, "many", body), *await ring(world, "many", body)]
        assert len({each.event_id for each in found}) == 4
        assert not any(each.duplicate for each in found)


@story
async def test_a_reminder_of_alertmanager_is_a_new_event_and_its_retry_is_not(tmp_path):
    body = next(iter(load("alertmanager").samples.values()))
    async with World(tmp_path, FILE % "dedupe: none") as world:
        await ring(world, "alerts", body)
        world.clock.now += 5
        [retry] = await ring(world, "alerts", body)
        world.clock.now += 4 * 3600
        [reminder] = await ring(world, "alerts", body)
        assert (retry.duplicate, reminder.duplicate) == (True, False)


def test_alerts_are_repeated_on_purpose_and_what_others_send_again_is_a_retry():
    assert load("alertmanager").dedupe_s == load("grafana").dedupe_s == 30
    assert load("stripe").dedupe_s == 30 * 86400
