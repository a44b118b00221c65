"""Deliveries that wait: for a delay, and for the hours of their entry or of their destination."""

import json

import pytest

from gateway.model import DeliveryState
from tests.sink import Sink, answer
from tests.world import World, story

#: The world begins on Thursday, 1 January 1970, at 00:16:40 UTC.
NINE = 9 * 3600.0
DAY = 86400.0
OFFICE = "hours: {days: mon-fri, from: 09:00, to: 18:00}"


def sends(sink, of_route="", of_destination=""):
    return (
        f"destinations: {{crm: {{url: {sink.url}, retry: {{for: 1h, first: 60s, jitter: 0%}}{of_destination}}}}}\n"
        f"routes: [{{name: lead, match: contact.created, to: crm{of_route}}}]\n"
    )


@story
async def test_a_delivery_is_sent_after_its_delay_whatever_is_done_to_the_clock_on_the_wall(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, ", delay: 10m")) as world:
            event_id = (await world.receive()).event_id
            await world.later(590.0)
            assert not sink.requests
            assert (await world.delivery(event_id)).due_in_s == pytest.approx(10.0)
            world.clock.jump = -7200.0
            await world.later(11.0)
            assert len(sink.requests) == 1
            await world.receive(b'{"event": "contact.created"}')
            world.clock.jump = 7200.0
            await world.later(590.0)
            assert len(sink.requests) == 1


@story
async def test_what_is_received_outside_the_hours_of_its_entry_waits_until_they_open(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, f", {OFFICE}")) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            waiting = await world.delivery(event_id)
            assert (waiting.state, waiting.attempts, waiting.waits) == (DeliveryState.PENDING, 0, True)
            await world.later(NINE - world.clock.now - 1)
            assert not sink.requests
            await world.later(2.0)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_retry_waits_for_the_hours_and_the_wait_spends_nothing(tmp_path):
    with Sink(answer(503), answer()) as sink:
        async with World(tmp_path, sends(sink, f", {OFFICE}")) as world:
            await world.later(NINE * 2 - 30 - world.clock.now)
            event_id = (await world.receive()).event_id
            await world.turn()
            failed = await world.delivery(event_id)
            assert failed.attempts == 1
            assert failed.due_in_s == pytest.approx(15 * 3600 + 30, abs=60), "on the next morning"
            assert failed.spent_s == pytest.approx(60.0)
            await world.later(15 * 3600.0 + 31)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_replay_waits_for_the_hours_too(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, f", {OFFICE}")) as world:
            await world.later(NINE - world.clock.now + 1)
            event_id = (await world.receive()).event_id
            await world.turn()
            await world.later(10 * 3600.0)
            await world.replay(event_id)
            await world.turn()
            await world.dispatcher.idle()
            again = await world.delivery(event_id)
            assert (len(sink.requests), again.state, again.waits) == (1, DeliveryState.PENDING, True)
            await world.later(15 * 3600.0)
            assert len(sink.requests) == 2


@story
async def test_what_is_received_outside_the_hours_is_skipped_if_the_file_says_so_and_fires_nothing(tmp_path):
    once = ', once: {per: "{{ attrs.id }}"}'
    skipping = OFFICE.replace("18:00}", "18:00, otherwise: skip}")
    with Sink() as sink:
        async with World(tmp_path, sends(sink, f", {skipping}{once}")) as world:
            event_id = (await world.receive()).event_id
            history = await world.store.event(event_id)
            assert (history.deliveries, history.held_back) == ((), ())
            await world.later(NINE - world.clock.now)
            await world.receive(b'{"event": "contact.created", "data": {"id": 1}}')
            await world.turn()
            assert len(sink.requests) == 1


@story
async def test_a_destination_outside_its_hours_is_held_without_a_slot_and_says_until_when(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, of_destination=f", {OFFICE}")) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            standing = world.dispatcher.holds.standing("crm")
            assert (standing.held, standing.in_flight) == ("waits until Thu 09:00 UTC", 0)
            assert not world.dispatcher.holds.is_paused("crm"), "a 410 that comes late still pauses it"
            assert not sink.requests
            await world.later(NINE - world.clock.now)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
            assert world.dispatcher.holds.standing("crm").held == ""


@story
async def test_hours_that_are_removed_from_the_file_hold_nothing_any_more(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, sends(sink, of_destination=f", {OFFICE}")) as world:
            await world.receive()
            await world.turn()
            world.reload(sends(sink))
            await world.turn()
            assert len(sink.requests) == 1


@story
async def test_what_waits_survives_the_process(tmp_path):
    with Sink() as sink:
        text = sends(sink, ", delay: 10m")
        async with World(tmp_path, text) as world:
            event_id = (await world.receive()).event_id
        async with World(tmp_path, text) as world:
            await world.turn()
            assert not sink.requests
            await world.later(601.0)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_what_reports_a_dead_delivery_waits_for_its_hours(tmp_path):
    with Sink(answer(422)) as crm, Sink() as ops:
        text = (
            f"destinations: {{crm: {{url: {crm.url}}}, ops: {{url: {ops.url}}}}}\n"
            "routes: [{name: lead, match: contact.created, to: crm}]\n"
            f'failed: [{{to: ops, {OFFICE}, text: "{{{{ delivery.reason }}}}"}}]\n'
        )
        async with World(tmp_path, text) as world:
            await world.receive()
            await world.turn()
            await world.dispatcher.idle()
            assert (len(crm.requests), len(ops.requests)) == (1, 0)
            await world.later(NINE - world.clock.now)
            assert len(ops.requests) == 1


@story
async def test_an_ordered_key_waits_with_its_head_and_stays_in_order(tmp_path):
    def contact(number, order):
        attributes = {"id": number, "firstname": str(order)}
        body = {
            "event": "contact.created",
            "model": "App\\Models\\Contact",
            "data": {"id": number, "attributes": attributes},
        }
        return json.dumps(body | {"timestamp": f"2026-04-16T12:34:{order:02}+00:00"}).encode()

    with Sink() as sink:
        text = sends(sink, f', {OFFICE}, text: "{{{{ attrs.firstname }}}}"', ", order_by: attrs.id")
        async with World(tmp_path, text) as world:
            events = [(await world.receive(contact(1, order))).event_id for order in range(4)]
            await world.turn()
            assert not sink.requests
            assert [(await world.delivery(each)).is_behind for each in events] == [False, True, True, True]
            await world.later(NINE - world.clock.now)
            for _ in events:
                await world.turn()
            assert [json.loads(request.body)["text"] for request in sink.requests] == ["0", "1", "2", "3"]
