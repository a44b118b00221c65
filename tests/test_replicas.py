"""What several replicas know of the same destinations."""

import asyncio

from msgspec.structs import replace

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
