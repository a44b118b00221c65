"""Shadows: what a route or a file would have sent for the events that come in, while none of it is sent."""

import asyncio

import pytest

from gateway.config import load
from gateway.errors import ConfigError
from gateway.operate import shadows
from gateway.operate.shadows import KEPT, ROUTES, ShadowFile, Shadows
from gateway.web import pages
from tests.sink import Sink, answer
from tests.web.desk import HOST, Desk
from tests.world import BODY, HEAD, World, numbered, story

HTML = {"accept": "text/html", "host": HOST}


def file(sink: Sink, more: str = "") -> str:
    return (
        f'destinations: {{crm: {{url: "{sink.url}/crm"}}, next: {{url: "{sink.url}/next"}}}}\n'
        "routes:\n  - {name: real, to: crm, body: {id: '{{ attrs.id }}'}}\n" + more
    )


TRIED = (
    "  - {name: tried, to: next, shadow: true, once: {per: '{{ attrs.id }}'}, body: {name: '{{ attrs.firstname }}'}}\n"
)


async def looked(found: Shadows) -> dict:
    await found.look(found.current)
    return found.document()


@story
async def test_a_shadow_route_is_rendered_for_each_event_and_sends_nothing(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, TRIED)) as world:
            found = Shadows(world.gateway)
            await found.look(found.current)
            first, second = await world.receive(), await world.receive(numbered(7))
            await world.turn()
            document = await looked(found)
            assert {each.path for each in sink.requests} == {"/crm"}
            assert [each["event_id"] for each in document["results"]] == [second.event_id, first.event_id]
            [difference] = document["results"][1]["differences"]
            assert (difference["kind"], difference["route"], difference["destination"]) == ("added", "tried", "next")
            assert '+   "name": "John"' in difference["lines"]
            # It stored nothing either: no delivery, and no key of its once.
            assert [each.route for each in (await world.store.event(first.event_id)).deliveries] == ["real"]
            assert (document["compared"], document["same"], document["skipped"]) == (2, 0, 0)


@story
async def test_a_whole_file_is_compared_with_the_one_in_force_and_read_again_on_a_reload(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink)) as world:
            new = tmp_path / "new.yaml"
            new.write_text(HEAD + file(sink).replace("{{ attrs.id }}", "x{{ attrs.id }}"))
            read = lambda: load(new, environ={})  # noqa: E731
            found = Shadows(world.gateway, ShadowFile(name="new.yaml", config=read(), read=read))
            await found.look(found.current)
            await world.receive()
            document = await looked(found)
            assert [each["kind"] for each in document["counts"]] == ["changed"]
            assert document["results"][0]["shadow"] == "new.yaml"
            # A file with problems leaves the shadow as it was, and says so.
            new.write_text("version: 2\n")
            with pytest.raises(ConfigError):
                read()
            world.reload(file(sink))
            await found._reread()
            assert "version" in found.document()["problem"]
            # Once it is in order and another configuration is in force, it counts.
            new.write_text(HEAD + file(sink))
            world.reload(file(sink))
            await found._reread()
            await world.receive(numbered(8))
            document = await looked(found)
            assert (document["problem"], document["same"], document["compared"]) == ("", 1, 2)


@story
async def test_events_that_come_too_fast_are_skipped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(shadows, "MOST", 3)
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, TRIED)) as world:
            found = Shadows(world.gateway)
            await found.look(found.current)
            for number in range(8):
                await world.receive(numbered(number))
            document = await looked(found)
            assert (document["compared"], document["skipped"]) == (3, 5)
            assert (await looked(found))["compared"] == 3


@story
async def test_memory_is_bounded_whatever_the_events_are(tmp_path):
    with Sink(answer(200)) as sink:
        long = TRIED.replace(
            "{name: '{{ attrs.firstname }}'}", "{text: '{{ attrs.firstname }}', all: ['{{ attrs.items }}']}"
        )
        async with World(tmp_path, file(sink, long)) as world:
            found = Shadows(world.gateway)
            await found.look(found.current)
            await world.receive(BODY.replace(b'"firstname": "John"', b'"firstname": "' + b"y" * 500_000 + b'"'))
            document = await looked(found)
            assert len(str(document["results"])) < 60 * 320
            assert found._found.maxlen == KEPT


@story
async def test_without_a_shadow_nothing_is_read(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink)) as world:
            found = Shadows(world.gateway)
            world.store.events = None  # would fail
            step = asyncio.ensure_future(found.step())
            await asyncio.sleep(0.01)
            assert not step.done()
            step.cancel()
            assert found.document()["shadows"] == []


@story
async def test_the_console_and_the_api_show_it(tmp_path):
    with Sink(answer(200)) as sink:
        async with Desk(tmp_path, file(sink, TRIED)) as desk:
            await desk.shadows.look(desk.shadows.current)
            await desk.receive(BODY.replace(b"John", b"<b>\xe2\x80\xae"))
            await desk.shadows.look(desk.shadows.current)
            status, document = await desk.ask("/api/shadow")
            assert (status, document["shadows"], len(document["results"])) == (200, [ROUTES], 1)
            page = (await desk.client.get("/shadow", headers=HTML)).text
            assert "tried" in page
            assert "<b>" not in page.partition("<main")[2].partition("None of it is sent")[2]
            assert 'href="/shadow"' in (await desk.client.get("/routes", headers=HTML)).text
            assert (await desk.client.get("/routes/tried", headers=HTML)).status_code == 200


@story
async def test_an_event_counts_once_however_many_shadows_it_is_compared_with(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, TRIED)) as world:
            new = tmp_path / "new.yaml"
            new.write_text(HEAD + file(sink))
            read = lambda: load(new, environ={})  # noqa: E731
            found = Shadows(world.gateway, ShadowFile(name="new.yaml", config=read(), read=read))
            await found.look(found.current)
            await world.receive()
            document = await looked(found)
            # The file sends what the one in force sends; only the route is a difference.
            assert (document["compared"], document["same"]) == (1, 0)
            assert [(each["shadow"], each["route"]) for each in document["counts"]] == [(ROUTES, "tried")]
            # Without the route both are the same, which is one event again.
            world.reload(file(sink))
            await found._reread()
            await world.receive(numbered(9))
            document = await looked(found)
            assert (document["compared"], document["same"]) == (2, 1)


@story
async def test_only_the_newest_results_are_shown_and_the_others_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "SHADOWED", 2)
    with Sink(answer(200)) as sink:
        async with Desk(tmp_path, file(sink, TRIED)) as desk:
            await desk.shadows.look(desk.shadows.current)
            ids = [(await desk.receive(numbered(number))).event_id for number in range(5)]
            await desk.shadows.look(desk.shadows.current)
            page = (await desk.client.get("/shadow", headers=HTML)).text
            assert [each for each in ids if f"/events/{each}" in page] == ids[-2:]
            assert "and 3 more" in page
            _, document = await desk.ask("/api/shadow?limit=3")
            assert [each["event_id"] for each in document["results"]] == ids[:1:-1]
            assert (document["kept"], document["compared"]) == (5, 5)
            assert len((await desk.ask("/api/shadow"))[1]["results"]) == 5
            for limit in (0, 1001):
                status, refused = await desk.ask(f"/api/shadow?limit={limit}")
                assert (status, f"limit: {limit}" in refused["error"]) == (400, True)
