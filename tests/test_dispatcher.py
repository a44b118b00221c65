"""The loop that keeps deliveries going: slots, backlogs, a store that refuses, upkeep."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from gateway import dispatcher, pipeline, telemetry
from gateway.destinations import gates
from gateway.dispatcher import Dispatcher, attempts, settling, steps
from gateway.egress import Egress
from gateway.errors import StoreError, StoreUnavailable
from gateway.model import DeliveryState, Reply
from gateway.store.nouns import NewDelivery, NewEvent
from tests.sink import Sink, hang
from tests.world import (
    BODY,
    World,
    numbered,
    stored,
    story,
    to_crm,
)

DAY = 86400.0


@story
async def test_slots_bound_what_is_in_flight_and_the_rest_waits_its_turn(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=2)) as world:
            await asyncio.gather(*(world.receive(BODY + b" " * n) for n in range(20)))
            await world.turn()
            rows = (await world.store.events()).rows
    assert {row.deliveries[0].state for row in rows} == {DeliveryState.DELIVERED}
    assert sink.connections <= 2


@story
async def test_while_draining_nothing_starts_and_everything_is_kept(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.dispatcher.stop()
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.PENDING
        assert not sink.requests


@story
async def test_a_defect_beside_deliveries_ends_neither_retries_nor_the_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "STORE_PAUSE_S", 0.001)

    async def defect(*_, **__):
        raise ValueError("a pause that cannot end")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.dispatcher.holds.end_overdue = defect
            history = await stored(world)
            running = asyncio.create_task(world.dispatcher.run())
            await asyncio.to_thread(sink.wait_for, 1)
            await world.dispatcher.idle()
            world.dispatcher.stop()
            await running
            assert (await world.delivery(history.event.id)).state is DeliveryState.DELIVERED


@story
async def test_a_claim_that_cannot_be_loaded_is_released_and_goes_out_later(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            history = await stored(world)
            load_for_real = world.store.load

            async def refuse(_ids):
                world.store.load = load_for_real
                raise StoreUnavailable("the disk is away")

            world.store.load = refuse
            world.dispatcher._due.look_at(["crm"])
            with pytest.raises(StoreUnavailable):
                await world.dispatcher._round()
            await world.dispatcher.idle()
            assert not world.dispatcher.holds.in_flight
            await world.turn()
            assert (await world.delivery(history.event.id)).state is DeliveryState.DELIVERED


@story
async def test_an_outcome_that_cannot_be_recorded_gives_its_slot_back_and_is_logged(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **_: said.append(name))

    async def defect(_outcomes):
        raise StoreError("cannot hold it")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.store.settle = lambda outcomes: asyncio.ensure_future(defect(outcomes))
            await world.receive()
            await world.dispatcher.idle()
            assert not world.dispatcher.holds.in_flight
    assert said == ["event.received", "internal.error"]


@story
async def test_while_outcomes_cannot_be_recorded_nothing_is_sent_again(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "STORE_PAUSE_S", 0.001)
    monkeypatch.setattr(steps, "STORE_PAUSE_S", 0.001)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            settle_for_real, tried, given_in = world.store.settle, 0, asyncio.Event()

            async def refuse(outcomes):
                nonlocal tried
                tried += 1
                if not given_in.is_set():
                    raise StoreUnavailable("the disk is full")
                return await settle_for_real(outcomes)

            world.store.settle = lambda outcomes: asyncio.ensure_future(refuse(outcomes))
            event_id = (await world.receive()).event_id
            running = asyncio.create_task(world.dispatcher.run())
            while not tried:
                await asyncio.sleep(0)
            world.clock.now += 3600
            world.dispatcher._due.wake.set()
            while tried < 50:
                await asyncio.sleep(0)
            assert len(sink.requests) == 1, "its lease has run out, but its outcome is known"
            given_in.set()
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
            world.dispatcher.stop()
            await running
    assert len(sink.requests) == 1


@story
async def test_an_outcome_that_is_refused_and_then_given_up_does_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(settling, "STORE_PAUSE_S", 0.001)
    monkeypatch.setattr(steps, "STORE_PAUSE_S", 0.001)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            settle_for_real, refusals = world.store.settle, [StoreError("it cannot be held"), StoreUnavailable("full")]

            async def refuse(outcomes):
                if refusals:
                    raise refusals.pop()
                return await settle_for_real(outcomes)

            world.store.settle = lambda outcomes: asyncio.ensure_future(refuse(outcomes))
            await world.receive()
            await world.dispatcher.idle()
            assert world.dispatcher.recording
            event_id = (await world.receive(BODY + b" ")).event_id
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_what_was_leased_as_the_gateway_stopped_is_not_called_abandoned(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **_: said.append(name))
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.store.settle = lambda _outcomes: asyncio.get_running_loop().create_future()
            receiving = asyncio.create_task(world.receive())
            while not world.dispatcher.holds.in_flight:
                await asyncio.sleep(0)
            world.dispatcher.stop()
            await receiving
            assert world.dispatcher._settling.unrecorded
            await world.dispatcher.abandon()
    assert not sink.requests
    assert said == ["event.received"]


@story
async def test_a_gateway_that_stops_does_not_wait_for_a_store_that_refuses_the_last_outcomes(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **_: said.append(name))
    monkeypatch.setattr(settling, "PATIENCE_S", 3600.0)

    def refuse(_outcomes):
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(StoreUnavailable("the disk is full"))
        return refused

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            while not (waiting := world.dispatcher._settling.unrecorded):
                await asyncio.sleep(0.001)
            settle_for_real, world.store.settle = world.store.settle, refuse
            await asyncio.wait_for(world.dispatcher.abandon(), 30.0)
            assert said == ["event.received", "delivery.abandoned", "store.unavailable"]
            assert not world.dispatcher._settling.unrecorded
            assert await settle_for_real([each.outcome for each in waiting])
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_corrupt_event_is_dead_logged_and_never_sent(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: said.append((name, fields.get("reason"))))
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            history = await stored(world)
        database = tmp_path / "gateway.db"
        database.write_bytes(database.read_bytes().replace(b'"firstname": "John"', b'"firstname": "Jane"'))
        async with world:
            await world.turn()
            delivery = await world.delivery(history.event.id)
    assert delivery.state is DeliveryState.DEAD
    assert "checksum" in delivery.reason
    assert said[-1] == ("delivery.dead", delivery.reason)
    assert not sink.requests


@story
async def test_what_was_leased_just_before_its_destination_was_held_is_not_sent_and_keeps_no_slot(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            holds = world.dispatcher.holds
            # The pause holds at once, and before the append is over.
            appended, _ = await asyncio.gather(world.receive(), holds.pause("crm", by="ann", reason="their migration"))
            await world.dispatcher.idle()
            delivery = await world.delivery(appended.event_id)
            assert (delivery.state, delivery.attempts, dict(holds.in_flight)) == (DeliveryState.PENDING, 0, {})
            assert not sink.requests
            await holds.resume("crm", by="ann")
            await world.turn()
            assert (await world.delivery(appended.event_id)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == 1


def stands_still(world, begun=None):
    """Longer than an attempt may be begun after its lease was asked for."""
    world.clock.now += dispatcher.LEASE_MARGIN_S - attempts.RECORDING_S + 1.0
    return begun


@story
@pytest.mark.parametrize("is_claimed", [False, True], ids=["from memory", "claimed"])
async def test_what_was_leased_before_the_process_stood_still_is_given_back_and_not_sent(
    tmp_path, is_claimed, monkeypatch
):
    """Its lease may be another replica's by now, which may have sent it and what comes after it."""
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=4)) as world:
            if is_claimed:
                world.dispatcher._stop.set()
            else:
                append = world.store.append
                monkeypatch.setattr(world.store, "append", lambda *a, **k: stands_still(world, append(*a, **k)))
            events = await asyncio.gather(*(world.receive(BODY + b" " * n) for n in range(4)))
            if is_claimed:
                world.dispatcher._stop.clear()
                assert await world._claimed()
                stands_still(world)
            await world.dispatcher.idle()
            assert not sink.requests
            assert not world.dispatcher.holds.in_flight
            monkeypatch.undo()
            await world.turn()
            assert len(sink.wait_for(4)) == 4
            for each in events:
                delivery = await world.delivery(each.event_id)
                assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)


@story
async def test_a_new_event_takes_no_slot_from_those_that_wait(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            await stored(world)
            await world.receive(BODY + b" ")
            assert not world.dispatcher.holds.in_flight, "its turn comes after the one that waits"
            await world.turn()
    assert len(sink.requests) == 2


@story
async def test_a_backlog_that_drains_does_not_starve_the_writer(tmp_path):
    """While 50,000 wait, an event is accepted for every few hundred deliveries that end, not for every thousands."""

    class Taken:
        async def exchange(self, request, most):
            self.count += 1
            return Reply(status=200, body=b"ok")

        count = 0

        async def close(self):
            pass

    text = "destinations: {crm: {url: 'http://127.0.0.1:9', concurrency: 64}}\nroutes: [{name: all, to: crm}]\n"
    async with World(tmp_path, text) as world:
        template = (await stored(world)).event
        for start in range(0, 50_000, 1000):
            await world.store.append([_waiting(template, number) for number in range(start, start + 1000)])
        taken = Taken()
        world.gateway.egress = Egress(carrier=taken)
        running = asyncio.create_task(world.dispatcher.run())
        accepted = 0
        while taken.count < 8_000:
            before = taken.count
            await world.receive(BODY + b" " * (accepted + 1))
            accepted += 1
            assert taken.count - before < 2_000, "one event waited while thousands of deliveries ended"
        world.dispatcher.stop()
        await running
        await world.dispatcher.idle()
    assert accepted >= 40


def _waiting(template, number: int) -> NewEvent:

    event = replace(template, id=f"evt_{number:032d}")
    delivery = NewDelivery(id=f"dlv_{number:032d}", route="all", destination="crm")
    return NewEvent(event=event, key=b"%d" % number, window_s=1e6, deliveries=[delivery])


@story
async def test_a_destination_that_is_held_is_asked_once_and_not_at_every_turn_of_the_others(tmp_path, monkeypatch):
    asked = []
    permit = gates.permit
    monkeypatch.setattr(gates, "permit", lambda *each: asked.append(each) or permit(*each))
    text = "destinations:\n" + "".join(f"  d{n}: {{url: 'http://127.0.0.1:9/{n}', paused: true}}\n" for n in range(50))
    text += f"routes: [{{name: all, to: [{', '.join(f'd{n}' for n in range(50))}]}}]\n"
    async with World(tmp_path, text) as world:
        running = asyncio.create_task(world.dispatcher.run())
        for number in range(20):
            await world.receive(numbered(number))
            await asyncio.sleep(0.01)
        assert len(asked) == 50
        world.dispatcher.stop()
        await running


@story
async def test_a_destination_without_a_slot_is_asked_once_and_not_at_every_turn_of_the_others(tmp_path, monkeypatch):
    asked = Counter()
    want = Dispatcher._want
    monkeypatch.setattr(Dispatcher, "_want", lambda self, name: asked.update([name]) or want(self, name))
    hanging = [f"h{number}" for number in range(20)]
    with Sink() as sink:
        sink.at("/h", hang())
        text = "destinations:\n" + "".join(
            f"  {n}: {{url: '{sink.url}/{n}', concurrency: 1}}\n" for n in [*hanging, "quick"]
        )
        text += f"routes: [{{name: all, to: [{', '.join([*hanging, 'quick'])}]}}]\n"
        async with World(tmp_path, text) as world:
            for number in range(30):
                await world.receive(numbered(number))
            running = asyncio.create_task(world.dispatcher.run())
            while sum(request.path == "/quick" for request in sink.requests) < 30:
                await asyncio.sleep(0.01)
            world.dispatcher.stop()
            await running
            await world.dispatcher.abandon()
    assert asked["quick"] > 25
    # Once for what waits for the next slot.
    assert all(asked[name] <= 2 for name in hanging), asked


# --- turns ---


@story
async def test_the_answers_to_all_senders_of_a_transaction_go_out_before_its_deliveries_start(tmp_path, monkeypatch):
    order, deliver = [], pipeline.deliver

    async def delivered(*given):
        order.append("delivery")
        return await deliver(*given)

    monkeypatch.setattr(pipeline, "deliver", delivered)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            finish = world.store._writer._finish

            def together(calls, moment):
                # As if one transaction had carried all of them.
                waiting.extend(calls)
                if len(waiting) == 3:
                    finish(waiting, moment)

            waiting = []
            monkeypatch.setattr(world.store._writer, "_finish", together)

            async def sender(number):
                await world.receive(numbered(number))
                order.append("answer")

            await asyncio.gather(*map(sender, range(3)))
            monkeypatch.undo()
            await world.dispatcher.idle()
    assert order[:3] == ["answer"] * 3


@story
async def test_what_no_hint_names_is_found_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher, "LOOK_INTERVAL_S", 0.01)

    async def silent():
        await asyncio.Event().wait()

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            history = await stored(world)
            world.store.wake = silent
            running = asyncio.create_task(world.dispatcher.run())
            await asyncio.to_thread(sink.wait_for, 1)
            world.dispatcher.stop()
            await running
            await world.dispatcher.idle()
            assert (await world.delivery(history.event.id)).state is DeliveryState.DELIVERED


@story
async def test_a_hint_at_something_that_is_not_due_costs_nothing_later(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.dispatcher._due.look_at(["crm", "gone"])
            assert await world.dispatcher._claim(world.dispatcher._wants()) is None
            assert not world.dispatcher._due.names
            await world.receive()
            assert world.dispatcher.holds.in_flight == {"crm": 1}, "it starts straight from memory again"


@story
async def test_a_hint_is_not_lost_when_the_store_refuses_right_after_it(tmp_path, monkeypatch):
    async def hint():
        return {"crm", "gone"}

    async def refuse(_names=()):
        raise StoreUnavailable("the disk is full")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            monkeypatch.setattr(world.store, "wake", hint)
            monkeypatch.setattr(world.dispatcher.holds, "refresh", refuse)
            with pytest.raises(StoreUnavailable):
                await world.dispatcher._listen()
            assert "crm" in world.dispatcher._wants()
