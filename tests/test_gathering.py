"""Digests and what is debounced, from the request that comes in to the one that goes out."""

import asyncio
import json

import pytest

from gateway.model import DeliveryState
from tests.sink import Sink, answer, hang
from tests.world import HEAD, World, story

#: The world begins on Thursday, 1 January 1970, at 00:16:40 UTC.
TO_MONDAY = 4 * 86400.0 + 9 * 3600 - 1000


def contact(number, name="Ada", source=1, type_="contact.created"):
    attributes = {"id": number, "firstname": name, "source_id": source}
    body = {"event": type_, "model": "App\\Models\\Contact", "data": {"id": number, "attributes": attributes}}
    return json.dumps(body | {"timestamp": f"2026-04-16T12:34:{number % 60:02}+00:00"}).encode()


def sends(sink, *keys, more=""):
    return (
        f"destinations: {{crm: {{url: {sink.url}, retry: {{for: 1h, first: 60s, jitter: 0%}}}}}}\n"
        f"routes:\n  - {{name: week, match: contact.*, to: crm, {', '.join(keys)}}}\n{more}"
    )


NAMES = (
    'text: "{{ count }} by {{ by }}: {% for each in events %}{{ each.attrs.firstname }} {% endfor %}'
    '{{ first.attrs.id }}-{{ last.attrs.id }}"'
)


async def received(world, *bodies):
    return [(await world.receive(body)).event_id for body in bodies]


async def states(world, events):
    return [(await world.delivery(each)).state.value for each in events]


@story
async def test_the_events_of_a_digest_arrive_as_one_message_of_all_of_them(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1, "Ada"), contact(2, "Bob"))
            await world.later(600.0)
            events += await received(world, contact(3, "Cid"))
            assert not sink.requests
            await world.later(301.0)
            [request] = sink.requests
            assert json.loads(request.body) == {"text": "3 by : Ada Bob Cid 1-3"}
            assert await states(world, events) == ["delivered"] * 3
            head = await world.delivery(events[0])
            assert request.headers["webhook-id"] == head.id
            assert {(await world.delivery(each)).digest for each in events} == {head.id}


@story
async def test_a_digest_at_a_moment_of_the_week_has_one_message_for_each_value(tmp_path):
    text = sends(sink := Sink(), "digest: {at: mon 09:00, by: attrs.source_id}", NAMES)
    with sink:
        text = sends(sink, "digest: {at: mon 09:00, by: attrs.source_id}", NAMES)
        async with World(tmp_path, text) as world:
            await received(world, contact(1, "Ada", 7), contact(2, "Bob", 8), contact(3, "Cid", 7))
            await world.later(TO_MONDAY - 1)
            assert not sink.requests
            await world.later(2.0)
            said = sorted(json.loads(request.body)["text"] for request in sink.requests)
            assert said == ["1 by 8: Bob 2-2", "2 by 7: Ada Cid 1-3"]


@story
async def test_a_digest_whose_template_fails_is_dead_for_every_event_and_replayed_whole_with_todays_file(tmp_path):
    with Sink() as sink:
        broken = sends(sink, "digest: {every: 15m}", 'text: "{{ first.attrs.nothing }}"')
        async with World(tmp_path, broken) as world:
            events = await received(world, contact(1), contact(2))
            await world.later(901.0)
            for event_id in events:
                one = await world.delivery(event_id)
                assert one.state is DeliveryState.DEAD
                assert "first.attrs.nothing" in one.reason
            world.reload(sends(sink, "digest: {every: 15m}", NAMES))
            await world.replay(events[1])
            await world.turn()
            [request] = sink.requests
            assert json.loads(request.body)["text"].startswith("2 by ")
            assert await states(world, events) == ["delivered"] * 2


@story
async def test_a_digest_that_is_retried_has_the_same_events_in_every_attempt(tmp_path):
    with Sink(answer(503), answer()) as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1), contact(2))
            await world.later(901.0)
            later = await received(world, contact(3))
            await world.later(61.0)
            first, second = (request.body for request in sink.requests)
            assert first == second
            assert await states(world, [*events, *later]) == ["delivered", "delivered", "pending"]


@story
async def test_a_digest_survives_the_process_and_goes_out_once(tmp_path):
    with Sink() as sink:
        text = sends(sink, "digest: {every: 15m}", NAMES)
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1))
            world.clock.now += 100.0
        async with World(tmp_path, text) as world:
            events += await received(world, contact(2))
            await world.later(2000.0)
            assert len(sink.requests) == 1
            assert await states(world, events) == ["delivered"] * 2


@story
async def test_a_digest_that_is_no_longer_in_the_file_is_dead_with_the_remedy_and_nothing_of_it_is_lost(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1), contact(2))
            world.reload(sends(sink, 'text: "{{ attrs.firstname }}"'))
            await world.later(901.0)
            one = await world.delivery(events[1])
            assert (one.state, len(sink.requests)) == (DeliveryState.DEAD, 0)
            assert one.reason == (
                'the route "week" no longer has the digest of these 2 events: put it back and replay, or discard the delivery'
            )
            world.reload("destinations: {}\n")
            await world.replay(events[0])
            await world.turn()
            assert "no longer in routes.yaml" in (await world.delivery(events[1])).reason


@story
async def test_an_event_whose_body_is_damaged_keeps_its_digest_from_being_sent_and_is_named(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1), contact(2))
            load = world.store.load

            async def damaged(ids):
                from gateway.errors import CorruptEvent
                from gateway.store.rules import damaged as said

                return {
                    id_: CorruptEvent(said(id_)) if id_ == events[1] else each
                    for id_, each in (await load(ids)).items()
                }

            world.store.load = damaged
            await world.later(901.0)
            assert events[1] in (await world.delivery(events[0])).reason
            assert await states(world, events) == ["dead"] * 2


@story
async def test_a_redacted_value_of_any_event_of_a_digest_is_hidden_in_the_reason(tmp_path):
    redacting = HEAD.replace("s3cret}", "s3cret, redact: attrs.firstname}")
    with Sink(answer(400, b"Hush is not a name")) as sink:
        text = redacting + sends(sink, "digest: {every: 15m}", NAMES).partition("\n")[0] + "\n"
        text += "routes:\n" + sends(sink, "digest: {every: 15m}", NAMES).partition("routes:\n")[2]
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1, "Ada"), contact(2, "Hush"))
            await world.later(901.0)
            one = await world.delivery(events[0])
            assert one.state is DeliveryState.DEAD
            assert "Hush" not in one.reason + one.last_answer


@story
async def test_a_forgotten_event_leaves_its_digest_and_the_others_are_sent(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1, "Ada"), contact(2, "Bob"), contact(3, "Cid"))
            activity = await world.operations.forget("attrs.id=1", by="ann")
            await world.operations.finish(activity.id)
            await world.later(901.0)
            [request] = sink.requests
            assert json.loads(request.body)["text"] == "2 by : Bob Cid 2-3"
            assert await states(world, events) == ["discarded", "delivered", "delivered"]


@story
async def test_only_the_last_event_of_a_key_is_sent_and_the_others_say_which_replaced_them(tmp_path):
    with Sink() as sink:
        keys = ('debounce: {per: "{{ attrs.id }}", for: 2m, at_most: 5m}', 'text: "{{ attrs.firstname }}"')
        async with World(tmp_path, sends(sink, *keys)) as world:
            events = []
            for name in ("Ada", "Bob", "Cid"):
                events += await received(world, contact(1, name))
                await world.later(60.0)
            assert not sink.requests
            await world.later(61.0)
            assert [json.loads(request.body)["text"] for request in sink.requests] == ["Cid"]
            assert await states(world, events) == ["discarded", "discarded", "delivered"]
            last = await world.delivery(events[2])
            assert (await world.delivery(events[1])).reason.startswith(f"superseded by {last.id}")


@story
async def test_what_is_debounced_survives_the_process_between_its_last_event_and_its_delivery(tmp_path):
    with Sink() as sink:
        text = sends(sink, 'debounce: {per: "{{ attrs.id }}", for: 2m}', 'text: "{{ attrs.firstname }}"')
        async with World(tmp_path, text) as world:
            await received(world, contact(1, "Ada"), contact(1, "Bob"))
        async with World(tmp_path, text) as world:
            await world.later(121.0)
            assert [json.loads(request.body)["text"] for request in sink.requests] == ["Bob"]


@story
async def test_an_event_without_the_key_is_sent_at_once(tmp_path):
    with Sink() as sink:
        keys = ("debounce: {per: \"{{ attrs.firstname | default('') }}\", for: 2m}", "text: hi")
        async with World(tmp_path, sends(sink, *keys)) as world:
            await received(world, contact(1, ""))
            await world.turn()
            assert len(sink.requests) == 1


@story
async def test_a_digest_waits_for_the_hours_of_its_entry_and_gathers_until_they_open(tmp_path):
    keys = ("digest: {every: 15m}", "hours: {from: 09:00, to: 18:00}", NAMES)
    with Sink() as sink:
        async with World(tmp_path, sends(sink, *keys)) as world:
            events = await received(world, contact(1))
            await world.later(3600.0)
            events += await received(world, contact(2))
            assert (await world.delivery(events[0])).due_in_s == pytest.approx(9 * 3600 - world.clock.now, abs=5)
            await world.later(9 * 3600.0)
            assert len(sink.requests) == 1
            assert await states(world, events) == ["delivered"] * 2


# --- several of these together ---


@story
async def test_a_digest_waits_for_the_hours_of_its_destination_and_gathers_until_they_open(tmp_path):
    with Sink() as sink:
        text = sends(sink, "digest: {every: 15m}", NAMES).replace("crm: {", "crm: {hours: {from: 09:00, to: 18:00}, ")
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1, "Ada"))
            await world.later(3600.0)
            events += await received(world, contact(2, "Bob"))
            await world.later(9 * 3600.0)
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["2 by : Ada Bob 1-2"]
            assert await states(world, events) == ["delivered"] * 2


@story
async def test_what_is_debounced_holds_up_no_event_of_its_key_in_order_and_is_held_up_by_none(tmp_path):
    keys = ('debounce: {per: "{{ attrs.id }}", for: 2m}', 'text: "last {{ attrs.firstname }}"')
    more = '  - {name: each, match: status.created, to: crm, text: "{{ attrs.firstname }}"}\n'
    with Sink(answer(503), answer()) as sink:
        text = sends(sink, *keys, more=more).replace("crm: {", "crm: {order_by: attrs.id, ")
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1, "Ada"), contact(1, "Bob"), contact(1, "Cid", 1, "status.created"))
            await world.turn()
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["Cid"]
            await world.later(121.0)
            assert sorted(json.loads(each.body)["text"] for each in sink.requests) == ["Cid", "Cid", "last Bob"]
            assert await states(world, events) == ["discarded", "delivered", "delivered"]


@story
async def test_each_event_of_a_digest_says_what_it_changed_also_in_a_replay(tmp_path):
    said = "{% for each in events %}{{ each.before.firstname }}>{{ each.record.firstname }} {{ each.changes | length }} {% endfor %}"
    with Sink() as sink:
        where = "where: {attrs.firstname: {changed: true}}"
        text = HEAD.replace("s3cret}", "s3cret, track: 180d}") + sends(
            sink, where, "digest: {every: 15m}", f'text: "{said}"'
        )
        async with World(tmp_path, text + "  - {name: rest, to: []}\n") as world:
            await received(world, contact(1, "Ada"))
            events = await received(world, contact(1, "Bob"), contact(1, "Cid"))
            await world.later(901.0)
            await received(world, contact(1, "Dan"))
            await world.replay(events[1])
            await world.turn()
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["Ada>Bob 1 Bob>Cid 1 "] * 2


@story
async def test_a_retry_after_a_delay_waits_only_for_its_time_and_the_wait_spends_none_of_its_budget(tmp_path):
    with Sink(answer(503), answer()) as sink:
        text = sends(sink, "delay: 30m", "text: hi").replace("for: 1h", "for: 10m")
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1))
            await world.later(1799.0)
            assert not sink.requests
            await world.later(2.0)
            assert len(sink.requests) == 1
            await world.later(61.0)
            assert (len(sink.requests), await states(world, events)) == (2, ["delivered"])


@story
async def test_events_that_come_after_a_reload_without_the_digest_are_sent_alone_and_the_digest_comes_back_whole(
    tmp_path,
):
    with Sink() as sink:
        gathering = sends(sink, "digest: {every: 15m}", NAMES)
        async with World(tmp_path, gathering) as world:
            events = await received(world, contact(1, "Ada"), contact(2, "Bob"))
            world.reload(sends(sink, 'text: "{{ attrs.firstname }}"'))
            alone = await received(world, contact(3, "Cid"))
            await world.later(901.0)
            assert await states(world, [*events, *alone]) == ["dead", "dead", "delivered"]
            world.reload(gathering)
            await world.replay(events[0])
            await world.turn()
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["Cid", "2 by : Ada Bob 1-2"]
            assert await states(world, events) == ["delivered"] * 2


#: 01:00 in Berlin in the nights in which the clocks change, seconds since the epoch.
TO_SUMMER, TO_WINTER = 1_806_192_000.0, 1_824_937_200.0


@pytest.mark.parametrize(
    ("night", "digest_min", "hours_min"),
    [
        # 02:30 does not exist: at 03:00. Hours within what is left out open on the next day.
        pytest.param(TO_SUMMER, 60, 24 * 60 + 15, id="to-summer"),
        # 02:30 comes twice: at the first.
        pytest.param(TO_WINTER, 90, 75, id="to-winter"),
    ],
)
@story
async def test_a_night_in_which_the_clocks_change_sends_each_message_once(tmp_path, night, digest_min, hours_min):
    hours = "hours: {from: '02:15', to: '02:45', zone: Europe/Berlin}"
    more = f'  - {{name: hours, match: status.created, to: crm, {hours}, text: "hours"}}\n'
    with Sink() as sink:
        text = sends(sink, "digest: {at: '02:30', zone: Europe/Berlin}", 'text: "digest"', more=more)
        async with World(tmp_path, text) as world:
            world.clock.now = night
        async with World(tmp_path, text) as world:
            world.clock.now = night
            await received(world, contact(1), contact(1, type_="status.created"))
            sent = {}
            for _ in range(26 * 4):
                await world.later(900.0)
                for each in sink.requests[len(sent) :]:
                    sent[json.loads(each.body)["text"]] = (world.clock.now - night) / 60
            assert sent == {"digest": digest_min, "hours": hours_min}
            assert len(sink.requests) == 2


@story
async def test_what_is_debounced_and_waits_for_its_hours_is_superseded_all_night(tmp_path):
    keys = (
        'debounce: {per: "{{ attrs.id }}", for: 2m}',
        "hours: {from: 09:00, to: 18:00}",
        'text: "{{ attrs.firstname }}"',
    )
    with Sink() as sink:
        async with World(tmp_path, sends(sink, *keys)) as world:
            events = []
            for name in ("Ada", "Bob", "Cid"):
                events += await received(world, contact(1, name))
                await world.later(3600.0)
            await world.later(9 * 3600.0)
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["Cid"]
            assert await states(world, events) == ["discarded", "discarded", "delivered"]


@story
async def test_a_paused_destination_keeps_a_digest_gathering_until_it_is_resumed(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, "digest: {every: 15m}", NAMES)) as world:
            events = await received(world, contact(1, "Ada"))
            await world.operations.pause("crm", by="ann", reason="a test")
            await world.later(1000.0)
            events += await received(world, contact(2, "Bob"))
            assert not sink.requests
            await world.operations.resume("crm", by="ann")
            await world.turn()
            assert [json.loads(each.body)["text"] for each in sink.requests] == ["2 by : Ada Bob 1-2"]
            assert await states(world, events) == ["delivered"] * 2


@story
async def test_no_event_joins_a_digest_whose_attempt_a_crash_has_cut_short(tmp_path):
    with Sink(hang(), answer()) as sink:
        text = sends(sink, "digest: {every: 15m}", NAMES)
        async with World(tmp_path, text) as world:
            events = await received(world, contact(1, "Ada"), contact(2, "Bob"))
            world.clock.now += 901.0
            turn = asyncio.create_task(world.turn())
            while not sink.requests:
                await asyncio.sleep(0.01)
            events += await received(world, contact(3, "Cid"))
            turn.cancel()
        async with World(tmp_path, text) as world:
            world.clock.now += 902.0
            events += await received(world, contact(4, "Dan"))
            await world.later(200.0)
            await world.later(901.0)
            said = [json.loads(each.body)["text"] for each in sink.requests]
            # The digest that was cut short is sent again, before the next one or after it.
            assert sorted(said) == ["2 by : Ada Bob 1-2", "2 by : Ada Bob 1-2", "2 by : Cid Dan 3-4"]
            assert await states(world, events) == ["delivered"] * 4
