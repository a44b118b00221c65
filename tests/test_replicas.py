"""What several replicas know of the same destinations."""

import asyncio

from msgspec.structs import replace

from gateway import dispatcher
from gateway.destinations.gates import Learned
from gateway.holds import Holds
from gateway.model import Delivery, DeliveryState
from gateway.store.holds import Assignment
from tests.sink import Sink, answer
from tests.world import (
    World,
    numbered,
    story,
    to_crm,
)


def another(world: World) -> Holds:
    """What a second replica of this gateway knows."""

    async def say(_what):
        pass

    return Holds(replace(world.gateway, replica="another"), announce=say, changed=lambda _name: None)


@story
async def test_a_pause_and_its_end_at_one_replica_are_noticed_by_the_others(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            other = another(world)
            await other.refresh()
            await other.pause("crm", by="ann", reason="their migration")
            await world.dispatcher.holds.refresh()
            event_id = (await world.receive()).event_id
            await world.turn()
            assert world.dispatcher.holds.health("crm") == "paused by ann: their migration"
            assert sink.requests == []
            assert await other.resume("crm", by="bob")
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_changes_that_two_replicas_make_at_the_same_time_are_both_kept(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            holds, other = world.dispatcher.holds, another(world)
            await other.refresh()
            await asyncio.gather(
                holds.pause("crm", by="ann", reason="their migration"), other.mute("crm", by="bob", reason="known")
            )
            for each in (holds, other):
                await each.refresh()
                standing = each.standing("crm")
                assert (standing.paused.by, standing.muted.by) == ("ann", "bob")


@story
async def test_a_pause_and_an_open_circuit_of_one_process_are_both_stored(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            holds, other = world.dispatcher.holds, another(world)
            delivery = Delivery(id="dlv_1", event_id="evt_1", route="all", destination="crm")
            for _ in range(4):
                await holds.learn(delivery, Learned(outcome="failed"))
            await asyncio.gather(
                holds.pause("crm", by="ann", reason="their migration"), holds.learn(delivery, Learned(outcome="failed"))
            )
            await other.refresh()
            standing = other.standing("crm")
            assert (standing.paused.by, standing.circuit, standing.failures) == ("ann", "open", 5)


@story
async def test_a_replica_uses_its_share_of_the_slots_and_none_of_what_another_decides_for(tmp_path, monkeypatch):
    with Sink(answer(200, after_s=0.1)) as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            shares = {"crm": Assignment(until_s=30.0, epoch=1, share=0.25)}

            async def assigned(_replica, names):
                return {name: each for name, each in shares.items() if name in names}

            monkeypatch.setattr(world.store, "assigned", assigned)
            await world.dispatcher.holds.refresh()
            for number in range(6):
                await world.receive(numbered(number))
            assert world.dispatcher.holds.in_flight == {"crm": 2}
            await world.dispatcher.idle()
            made = len(sink.requests)
            world.clock.now += 31
            shares.clear()
            await world.turn()
            assert len(sink.requests) == made, "its assignment is over"
            await world.receive(numbered(7))
            assert not world.dispatcher.holds.in_flight
            shares["crm"] = Assignment(until_s=30.0, epoch=2)
            await world.turn()
            assert len(sink.requests) == 7


async def until(found):
    """Wait until something holds; fails after a generous while."""
    async with asyncio.timeout(30.0):
        while not found():
            await asyncio.sleep(0.005)


@story
async def test_a_pause_at_another_replica_is_noticed_with_the_stores_hint(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher, "REFRESH_INTERVAL_S", 3600.0)
    hint = asyncio.Event()

    async def holds_changed():
        await hint.wait()
        hint.clear()

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            monkeypatch.setattr(world.store, "holds_changed", holds_changed)
            running = asyncio.create_task(world.dispatcher.run())
            other, holds = another(world), world.dispatcher.holds
            await other.refresh()
            await other.pause("crm", by="ann", reason="their migration")
            hint.set()
            await until(lambda: holds.is_paused("crm"))
            await other.resume("crm", by="bob")
            hint.set()
            await until(lambda: not holds.is_paused("crm"))
            world.dispatcher.stop()
            await running


def assigning(world: World, monkeypatch, share: float):
    """What the store is asked for, and the shares that it gives: both may be changed meanwhile."""
    asked, shares = {}, {"crm": share}

    async def assigned(_replica, wanted):
        asked.update(wanted)
        return {"crm": Assignment(until_s=3600.0, epoch=1, share=shares["crm"])}

    monkeypatch.setattr(world.store, "assigned", assigned)
    return asked, shares


def need(terms):
    return terms.used, terms.is_short


@story
async def test_a_replica_says_how_many_slots_it_has_used_and_whether_it_needs_more(tmp_path, monkeypatch):
    with Sink(answer(200, after_s=0.1)) as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            asked, _ = assigning(world, monkeypatch, 0.25)
            holds = world.dispatcher.holds
            await holds.refresh()
            assert need(asked["crm"]) == (0, False)
            await world.receive(numbered(1))
            await holds.refresh()
            assert need(asked["crm"]) == (1, False)
            for number in range(2, 5):
                await world.receive(numbered(number))
            await holds.refresh()
            assert need(asked["crm"]) == (2, True), "two are in flight and others wait"
            await world.turn()
            await holds.refresh()
            await holds.refresh()
            assert need(asked["crm"]) == (0, False), "nothing was sent since"


@story
async def test_what_waits_is_sent_as_soon_as_a_replica_is_granted_a_share(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher, "REFRESH_INTERVAL_S", 0.02)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            _, shares = assigning(world, monkeypatch, 0.0)
            await world.dispatcher.holds.refresh()
            running = asyncio.create_task(world.dispatcher.run())
            event_id = (await world.receive()).event_id
            await until(lambda: "crm" in world.dispatcher._due.full)
            assert sink.requests == []
            shares["crm"] = 1.0
            await asyncio.to_thread(sink.wait_for, 1)
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
            world.dispatcher.stop()
            await running
