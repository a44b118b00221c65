"""Deliveries that are claimed before there is a slot for them."""

import asyncio

from gateway.dispatcher import ahead
from gateway.model import DeliveryState
from tests.sink import Sink, hang
from tests.store.given import wants
from tests.world import World, numbered, story, to_crm


async def claimed(world: World) -> None:
    """One round: what waits takes the free slots, and the places ahead of them."""
    world.dispatcher._due.look_at(["crm"])
    await world.dispatcher._claim(world.dispatcher._wants())


async def waits(world: World, number: int) -> None:
    """An event comes whose delivery waits in the store."""
    world.dispatcher._due.look_at(["crm"])
    await world.receive(numbered(number))


async def states(world: World) -> list[DeliveryState]:
    rows = (await world.store.events()).rows
    return [delivery.state for row in reversed(rows) for delivery in row.deliveries]


def withheld(world):
    """No outcome is recorded before the event is set."""
    settle, go = world.store.settle, asyncio.Event()

    async def settled(outcomes):
        await go.wait()
        return await settle(outcomes)

    world.store.settle = lambda outcomes: asyncio.ensure_future(settled(outcomes))
    return go


@story
async def test_the_next_one_starts_without_another_claim(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=4)) as world:
            claims, claim = [], world.store.claim
            world.store.claim = lambda replica, wants: claims.append(wants) or claim(replica, wants)
            for number in range(8):
                await waits(world, number)
            await claimed(world)
            await world.dispatcher.idle()
            assert await states(world) == [DeliveryState.DELIVERED] * 8
            assert len(claims) == 1
            assert not world.dispatcher.holds.in_flight
    assert sink.connections <= 4


@story
async def test_what_was_claimed_ahead_is_released_by_a_stop(tmp_path):
    with Sink(hang()) as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            for number in range(3):
                await world.receive(numbered(number))
            await claimed(world)
            assert world.dispatcher._ahead.count("crm") == 1
            world.dispatcher.stop()
            while world.dispatcher._settling.unrecorded:
                await asyncio.sleep(0.001)
            waiting = await world.store.claim("another", wants("crm"))
            assert len(waiting) == 2
    assert len(sink.requests) <= 1


@story
async def test_what_has_waited_too_long_for_its_slot_is_released_and_claimed_again(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            go = withheld(world)
            for number in range(2):
                await world.receive(numbered(number))
            await claimed(world)
            assert world.dispatcher._ahead.count("crm") == 1
            world.clock.now += ahead.PATIENCE_S
            go.set()
            await world.dispatcher.idle()
            assert await states(world) == [DeliveryState.DELIVERED, DeliveryState.PENDING]
            await world.turn()
            assert await states(world) == [DeliveryState.DELIVERED] * 2
    assert len(sink.requests) == 2


@story
async def test_nothing_that_was_claimed_ahead_is_sent_to_a_destination_that_is_paused_meanwhile(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            go = withheld(world)
            for number in range(2):
                await world.receive(numbered(number))
            await claimed(world)
            await world.dispatcher.holds.pause("crm", by="ann", reason="a test")
            go.set()
            await world.dispatcher.idle()
            await world.turn()
            assert await states(world) == [DeliveryState.DELIVERED, DeliveryState.PENDING]
            assert not world.dispatcher.holds.in_flight
            await world.dispatcher.holds.resume("crm", by="ann")
            await world.turn()
            assert await states(world) == [DeliveryState.DELIVERED] * 2
    assert len(sink.requests) == 2
