"""Who is notified: of dead deliveries, and of what happens to the gateway itself."""

import json

from msgspec.structs import replace

from gateway import pipeline
from gateway.event.repeats import MANY
from gateway.model import Announcement, DeliveryState
from gateway.presets import load as load_preset
from gateway.store.nouns import Appended
from tests.sink import Sink, answer
from tests.world import BODY, World, alerts, numbered, story, to_crm, with_alerts

# --- of dead deliveries ---


@story
async def test_a_dead_delivery_is_told_at_once_and_those_of_the_next_minute_in_one_message(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        async with World(tmp_path, with_alerts(sink)) as world:
            first_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            ids = [(await world.receive(numbered(number))).event_id for number in range(1, 40)]
            await world.turn()
            assert len(alerts(sink)) == 1
            await world.later(59)
            assert len(alerts(sink)) == 1
            await world.later(2)
            await world.later(300)
    first, second = alerts(sink)
    assert first.startswith("crm answered 422")
    assert first.endswith(f"https://hooks.example.com/events/{first_id}")
    link, _, more = second.rpartition(" https://hooks.example.com/events/")[2].partition(" ")
    assert link in ids
    assert more == "(and 38 more like it within a minute)"


@story
async def test_what_tells_of_a_dead_delivery_and_dies_itself_causes_no_other(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        sink.at("/alerts", answer(404))
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.receive()
            await world.turn()
            await world.later(3600)
            rows = (await world.store.events()).rows
    assert [row.source for row in rows] == ["xobito"]
    assert sorted((each.destination, each.state) for row in rows for each in row.deliveries) == [
        ("alerts", DeliveryState.DEAD),
        ("crm", DeliveryState.DEAD),
    ]
    assert len(alerts(sink)) == 1


@story
async def test_failed_entries_ask_for_what_they_want_to_be_told(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        text = with_alerts(sink).replace("to: alerts, ", "to: alerts, where: {delivery.status: {gte: 500}}, ")
        async with World(tmp_path, text) as world:
            await world.receive()
            await world.turn()
            world.reload(text.replace("gte: 500", "gte: 400"))
            await world.receive(numbered(1))
            await world.turn()
    assert len(alerts(sink)) == 1


@story
async def test_a_notice_survives_a_crash_because_it_is_made_with_the_death_it_tells_of(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        sink.at("/alerts", answer(503))
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.receive()
            await world.turn()
        sink.at("/alerts", answer(200))
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.later(10)
    assert len(alerts(sink)) == 2, "the first time it was not taken"


# --- of what happens to the gateway ---


@story
async def test_what_happens_to_the_gateway_is_an_event_that_only_an_entry_of_its_own_takes(tmp_path):
    own = "routes:\n- {to: crm, body: {}}\n- {source: gateway, match: gateway.destination.*, to: alerts, text: '{{ payload.message }}'}\n"
    with Sink() as sink:
        text = with_alerts(sink).replace("routes: [{name: all, to: crm, body: {id: '{{ attrs.id }}'}}]\n", own)
        async with World(tmp_path, text) as world:
            await world.dispatcher.holds.pause("crm", by="ann", reason="their migration", for_s=3600)
            await world.turn()
            await world.dispatcher.holds.resume("crm", by="bob")
            await world.turn()
            rows = (await world.store.events()).rows
    assert [row.type for row in rows] == ["gateway.destination.resumed", "gateway.destination.paused"]
    assert {each.destination for row in rows for each in row.deliveries} == {"alerts"}
    assert alerts(sink) == [
        "crm is paused by ann until 1970-01-01T01:16:40Z: their migration. Nothing is lost; deliveries continue once it is resumed.",
        "crm is resumed by bob. Its deliveries go out now.",
    ]


@story
async def test_the_samples_of_the_gateways_own_events_have_the_fields_that_it_makes(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(5):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            sink.at("/", answer(200))
            await world.later(31)
            await world.dispatcher.holds.pause("crm", by="ann", reason="why")
            await world.dispatcher.holds.resume("crm", by="ann")
            await world.dispatcher.attempts.say_damaged(
                await world.delivery((await world.receive(BODY)).event_id), "damaged"
            )
            await world.dispatcher.announce(
                Announcement("reload.rejected", "no", {"problems": ["no"], "in_force": "9f"}, page="")
            )
            event = (await world.store.event((await world.receive(BODY)).event_id)).event
            for number in range(MANY):
                one = replace(event, sha256=bytes([number]) * 32)
                await pipeline._report_repeats(world.gateway, world.dispatcher, one, Appended(event.id, True))
            rows = [row for row in (await world.store.events()).rows if row.source == "gateway"]
            made = {row.type: json.loads((await world.store.event(row.id)).event.body) for row in rows}
    # Those about silent senders are compared where they are raised.
    samples = {
        name: json.loads(body)
        for name, body in load_preset("gateway").samples.items()
        if not name.endswith((".silent", ".heard", ".missing"))
    }
    assert {name: set(body) for name, body in made.items()} == {name: set(body) for name, body in samples.items()}
    assert all(name == body["type"] for name, body in samples.items())
