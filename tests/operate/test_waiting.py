"""Why deliveries to a destination wait: in the API, on its card and in the list of the command line."""

import asyncio

import pytest

from gateway.cli.destinations import condition
from gateway.cli.offline import Offline
from tests.sink import Sink, answer
from tests.web.desk import Desk
from tests.world import contact, numbered, story, to_crm

HTML = {"accept": "text/html"}
#: The clock of a world begins at 1970-01-01T00:16:40.
HOURS = {"from": "01:00", "to": "02:00", "zone": "UTC"}


async def told(desk: Desk) -> str:
    """What the API says of the only destination; its card and the list say the same."""
    _, [crm] = await desk.ask("/api/destinations")
    page = (await desk.client.get("/destinations", headers=HTML)).text
    assert crm["waits"] in page or crm["paused"]["reason"] in page
    assert crm["waits"] in condition(crm)[0]
    return crm["waits"]


@story
async def test_nothing_is_said_where_nothing_waits(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink, rate="60/min")) as desk:
            await desk.receive()
            await desk.later(1)
            assert await told(desk) == ""
            _, [crm] = await desk.ask("/api/destinations")
            assert condition(crm)[0] == "healthy"


@story
async def test_a_backlog_of_a_rate_names_the_rate_and_the_next_start(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink, rate="6/min")) as desk:
            for number in range(3):
                await desk.receive(numbered(number))
            await desk.later(10)
            assert await told(desk) == "rate 6/min, next delivery in 10 s"
            _, [crm] = await desk.ask("/api/destinations")
            assert condition(crm) == ("healthy; rate 6/min, next delivery in 10 s", "green")
            desk.clock.now += 10
            assert await told(desk) == "rate 6/min", "between two starts"


@story
async def test_after_too_many_requests_the_pace_is_named(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "60")])) as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            for number in range(5):
                await desk.receive(numbered(number))
            await desk.turn()
            assert (await told(desk)).startswith("it asked to wait (too many requests), next delivery in ")
            sink.at("/", answer(200))
            await desk.later(61)
            assert await told(desk) == "a growing pace after too many requests, next delivery in 1.0 s"


@pytest.mark.parametrize(
    ("route", "destination", "said"),
    [
        ({"delay": "10m"}, {}, "the next one is due in 10 min (delay or retry)"),
        ({"debounce": "{for: 5m, per: '{{ attrs.id }}'}"}, {}, "the next one is due in 5 min (debounce or retry)"),
        ({"digest": "{every: 15m}"}, {}, "the next one is due in 15 min (digest or retry)"),
        ({"hours": HOURS}, {}, "the next one is due in 43 min 20 s (hours or retry)"),
        ({"delay": "10m", "hours": HOURS}, {}, "the next one is due in 43 min 20 s (delay or hours or retry)"),
        ({}, {"hours": HOURS}, "waits until Thu 01:00 UTC"),
    ],
    ids=["delay", "debounce", "digest", "hours of the route", "several", "hours of the destination"],
)
@story
async def test_what_is_not_due_yet_names_the_key_that_says_so(tmp_path, route, destination, said):
    with Sink() as sink:
        text = to_crm(sink, **destination)
        content = ", ".join(f"{key}: {value}" for key, value in route.items())
        text = text.replace("to: crm,", f"to: crm, {content}," if content else "to: crm,")
        async with Desk(
            tmp_path, text.replace("attrs.id", "events[0].attrs.id") if "digest" in route else text
        ) as desk:
            await desk.receive()
            await desk.turn()
            assert not sink.requests
            assert await told(desk) == said


@story
async def test_what_is_tried_again_later_says_when(tmp_path):
    with Sink(answer(500), answer(200)) as sink:
        async with Desk(tmp_path, to_crm(sink, retry={"for": "1d", "first": "1m"})) as desk:
            await desk.receive()
            await desk.turn()
            waits = await told(desk)
    assert waits.startswith("the next one is due in ")
    assert waits.endswith(" (retry)")


@story
async def test_all_slots_and_an_order_are_named(tmp_path):
    with Sink().at("/", answer(200, after_s=60)) as sink:
        async with Desk(tmp_path, to_crm(sink, concurrency=1, order_by="attrs.id")) as desk:
            for number in range(3):
                await desk.receive(contact(number))
            assert await told(desk) == "concurrency 1, all in flight; order_by attrs.id, waiting for an earlier one"


@story
async def test_a_pause_is_said_once(tmp_path):
    with Sink() as sink:
        async with Desk(tmp_path, to_crm(sink)) as desk:
            await desk.dispatcher.holds.pause("crm", by="ann", reason="their migration")
            await desk.receive()
            await desk.turn()
            assert (await told(desk)).startswith("paused by ann")
            _, [crm] = await desk.ask("/api/destinations")
            assert condition(crm)[0] == "paused by ann: their migration"


def test_without_a_gateway_it_says_so(tmp_path):
    async def receive_two_events():
        with Sink() as sink:
            async with Desk(tmp_path, to_crm(sink, rate="6/min")) as desk:
                for number in range(2):
                    await desk.receive(numbered(number))
                return desk.config

    config = asyncio.run(receive_two_events())
    with Offline.opened(f"sqlite:///{tmp_path}/gateway.db", lambda: config, has_file=True) as offline:
        [crm] = offline.destinations()
    assert (crm["pending"], crm["waits"]) == (2, "no gateway is running")
