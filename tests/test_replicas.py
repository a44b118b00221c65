"""What several replicas know of the same destinations."""

import asyncio
import json
import threading

import pytest
from msgspec.structs import replace

from gateway import dispatcher
from gateway.destinations.gates import Learned
from gateway.dispatcher import attempts
from gateway.errors import StoreUnavailable
from gateway.holds import Holds
from gateway.model import Delivery, DeliveryState
from gateway.store.holds import Assigned, Assignment
from tests.oauth import given as with_tokens
from tests.oauth_server import AuthorizationServer
from tests.sink import Sink, answer, once
from tests.waiting import until
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
    told = threading.Event()
    with Sink(once(told, answer(200))) as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            shares = {"crm": Assignment(until_s=30.0, epoch=1, share=0.25)}

            async def assigned(_replica, names):
                return Assigned({name: each for name, each in shares.items() if name in names})

            monkeypatch.setattr(world.store, "assigned", assigned)
            await world.dispatcher.holds.refresh()
            for number in range(6):
                await world.receive(numbered(number))
            assert world.dispatcher.holds.in_flight == {"crm": 2}
            told.set()
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


@story
async def test_what_waits_is_for_the_holder_unless_one_process_grants_all_leases(tmp_path, monkeypatch):
    told = threading.Event()
    with Sink(once(told, answer(200))) as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            share = Assignment(until_s=3600.0, epoch=1, share=0.25, is_holder=False, may_claim=False)

            async def assigned(_replica, names):
                return Assigned(dict.fromkeys(names, share))

            monkeypatch.setattr(world.store, "assigned", assigned)
            holds = world.dispatcher.holds
            await holds.refresh()
            for number in range(6):
                await world.receive(numbered(number))
            told.set()
            await world.dispatcher.idle()
            await world.turn()
            assert len(sink.requests) == 2, "the others are claimed by the holder"
            share = replace(share, may_claim=True)
            await holds.refresh()
            delivery = Delivery(id="dlv_1", event_id="evt_1", route="all", destination="crm")
            for _ in range(5):
                await holds.learn(delivery, Learned(outcome="failed"))
            world.dispatcher.reconfigured()
            await world.turn()
            world.clock.now += 60
            await world.turn()
            assert len(sink.requests) == 2, "the holder probes a destination whose circuit is open"
            await holds.try_now("crm", by="ann")
            await holds.learn(delivery, Learned(outcome="accepted"))
            await world.turn()
            assert len(sink.requests) == 6


@story
async def test_what_waited_during_a_pause_is_sent_by_others_than_the_holder_too(tmp_path, monkeypatch):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            share = Assignment(until_s=3600.0, epoch=1, share=0.5, is_holder=False)

            async def assigned(_replica, names):
                return Assigned(dict.fromkeys(names, share))

            monkeypatch.setattr(world.store, "assigned", assigned)
            holds = world.dispatcher.holds
            await holds.refresh()
            await holds.pause("crm", by="ann", reason="their migration")
            running = asyncio.create_task(world.dispatcher.run())
            for number in range(3):
                await world.receive(numbered(number))
            await until(lambda: "crm" in world.dispatcher._due._held)
            assert sink.requests == []
            await holds.resume("crm", by="ann")
            await asyncio.to_thread(sink.wait_for, 3)
            world.dispatcher.stop()
            await running
            await world.dispatcher.idle()


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
        return Assigned({"crm": Assignment(until_s=3600.0, epoch=1, share=shares["crm"])})

    monkeypatch.setattr(world.store, "assigned", assigned)
    return asked, shares


def need(terms):
    return terms.used, terms.is_short


@story
async def test_a_replica_says_how_many_slots_it_has_used_and_whether_it_needs_more(tmp_path, monkeypatch):
    told = threading.Event()
    with Sink(once(told, answer(200))) as sink:
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
            told.set()
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


@story
async def test_a_replica_asks_again_at_the_moment_when_another_one_is_taken_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher, "REFRESH_INTERVAL_S", 3600.0)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            nothing, all_of_it = Assigned({}, more_in_s=0.02), Assigned({"crm": Assignment(until_s=3600.0, epoch=1)})
            answers = [nothing, nothing, all_of_it]

            async def assigned(_replica, _wanted):
                return answers.pop(0)

            monkeypatch.setattr(world.store, "assigned", assigned)
            await world.dispatcher.holds.refresh()
            event_id = (await world.receive()).event_id
            assert not world.dispatcher.holds.may_claim_now("crm")
            running = asyncio.create_task(world.dispatcher.run())
            await until(lambda: world.dispatcher.holds.may_claim_now("crm"))
            await asyncio.to_thread(sink.wait_for, 1)
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
            world.dispatcher.stop()
            await running


# --- a request begins only in a slot that is still assigned ---

LASTS_S = 10.0


def looking(sink: Sink, **options: object) -> str:
    """A route to a chat that looks in a CRM first, twice; ``options`` are those of both destinations."""
    chat, crm = (json.dumps({"url": f"{sink.url}/{name}", "timeout": "7s", **options}) for name in ("chat", "crm"))
    return f"""
destinations: {{chat: {chat}, crm: {crm}}}
routes:
  - name: note
    to: chat
    fetch: {{one: {{from: crm, path: /one}}, own: {{from: chat, path: /own}}}}
    body: {{text: hello}}
"""


class Lasting:
    """What the store assigns to this replica, for LASTS_S each time that it asks; None: nothing."""

    def __init__(self, world: World, monkeypatch) -> None:
        self.world, self.share, self.asked = world, 1.0, {}
        monkeypatch.setattr(world.store, "assigned", self)

    async def __call__(self, _replica, wanted):
        self.asked.update(wanted)
        each = Assignment(until_s=LASTS_S, epoch=1, share=self.share)
        return Assigned(dict.fromkeys(wanted, each) if self.share else {})


def paused(world: World, monkeypatch, at: int, then) -> None:
    """Have ``then`` happen while a delivery waits for its turn: of its look-ups, 0 and 1, or its own, 2."""
    turns = []

    async def pause(_seconds):
        turns.append(True)
        if len(turns) == at + 1:
            await then()

    monkeypatch.setattr(world.dispatcher._lookups.lines, "pause", pause)


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "too late"])
@pytest.mark.parametrize("at", range(3), ids=["for a look-up elsewhere", "for a look-up of its own", "for itself"])
@story
async def test_a_delivery_whose_share_lapses_while_it_waits_for_its_turn_sends_nothing_more(
    tmp_path, monkeypatch, at, is_late
):
    with Sink(answer(200, b"{}")) as sink:
        async with World(tmp_path, looking(sink)) as world:
            assigned = Lasting(world, monkeypatch)
            await world.dispatcher.holds.refresh()

            async def stands_still():
                world.clock.now += LASTS_S + (0.5 if is_late else -0.5)

            paused(world, monkeypatch, at, stands_still)
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert len(sink.requests) == (at if is_late else 3)
            assert not world.dispatcher.holds.in_flight
            delivery = await world.delivery(event_id)
            if is_late:
                assert (delivery.state, delivery.attempts, delivery.spent_s) == (DeliveryState.PENDING, 0, 0.0)
                await world.turn()
                delivery = await world.delivery(event_id)
            assert delivery.state is DeliveryState.DELIVERED
            assert set(assigned.asked) >= {"chat", "crm"}


@story
async def test_a_stop_does_not_send_what_waits_for_its_turn_before_it(tmp_path, monkeypatch):
    with Sink(answer(200, b"{}")) as sink:
        async with World(tmp_path, looking(sink)) as world:

            async def stops():
                world.dispatcher.stop()

            paused(world, monkeypatch, 1, stops)
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert [each.path for each in sink.requests] == ["/crm/one"]
            assert (await world.delivery(event_id)).attempts == 0


@story
async def test_a_probe_that_is_not_sent_because_its_lease_is_nearly_over_leaves_its_turn_to_the_next_one(
    tmp_path, monkeypatch
):
    with Sink(answer(200, b"{}")) as sink:
        async with World(tmp_path, looking(sink)) as world:
            holds = world.dispatcher.holds
            for number in range(5):
                delivery = Delivery(id=f"dlv_{number}", event_id="evt_1", route="note", destination="crm")
                await holds.learn(delivery, Learned(outcome="failed"))
            world.clock.now += 5.0

            async def stands_still():
                world.clock.now += 100.0

            paused(world, monkeypatch, 0, stands_still)
            await world.receive()
            await world.dispatcher.idle()
            assert sink.requests == []
            assert holds.standing("crm").circuit == "open"
            await world.turn()
            assert [each.path for each in sink.requests] == ["/crm/one", "/chat/own", "/chat"]
            assert holds.standing("crm").circuit == "closed"


@pytest.mark.parametrize("share", [0.25, 0.0], ids=["shrinks", "is lost"])
@story
async def test_what_was_leased_while_the_share_was_larger_waits_in_the_store(tmp_path, monkeypatch, share):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=8)) as world:
            assigned = Lasting(world, monkeypatch)
            holds = world.dispatcher.holds
            await holds.refresh()
            append = world.store.append

            async def slow(*arguments, **options):
                appended = await append(*arguments, **options)
                assigned.share = share
                await holds.refresh()
                return appended

            monkeypatch.setattr(world.store, "append", lambda *a, **o: asyncio.ensure_future(slow(*a, **o)))
            events = await asyncio.gather(*(world.receive(numbered(number)) for number in range(8)))
            await world.dispatcher.idle()
            assert (len(sink.requests), dict(holds.in_flight)) == (0, {})
            assigned.share = 1.0
            await world.turn()
            assert {(await world.delivery(each.event_id)).attempts for each in events} == {1}


@story
async def test_an_assignment_lasts_from_when_it_was_asked_for(tmp_path, monkeypatch):
    """The answer may have been on its way for any time: for the store it began before that."""
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            assigned, holds = Lasting(world, monkeypatch), world.dispatcher.holds

            async def slow(replica, wanted):
                answered = await assigned(replica, wanted)
                world.clock.now += LASTS_S - 1.0
                return answered

            monkeypatch.setattr(world.store, "assigned", slow)
            await holds.refresh()
            assert holds.slots("crm") == 32
            world.clock.now += 1.0
            assert holds.slots("crm") == 0


@story
async def test_a_replica_whose_question_was_not_answered_sends_nothing_until_it_is(tmp_path, monkeypatch):
    """The store may have assigned less to it, and more to others."""
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            assigned, holds = Lasting(world, monkeypatch), world.dispatcher.holds
            await holds.refresh()

            async def lost(_replica, _wanted):
                raise StoreUnavailable("the connection was lost")

            monkeypatch.setattr(world.store, "assigned", lost)
            with pytest.raises(StoreUnavailable):
                await holds.refresh()
            assert not holds.slots("crm")
            assert not holds.may_claim_now("crm")
            event_id = (await world.receive()).event_id
            assert sink.requests == []
            monkeypatch.setattr(world.store, "assigned", assigned)
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_the_store_is_told_how_long_one_request_takes_and_a_lease_covers_the_waiting_too(tmp_path, monkeypatch):
    with Sink() as sink, AuthorizationServer() as server:
        text = looking(sink)
        async with with_tokens.world(tmp_path, text) as world:
            assigned = Lasting(world, monkeypatch)
            await world.dispatcher.holds.refresh()
            assert {name: assigned.asked[name].timeout_s for name in ("chat", "crm")} == {"chat": 7.0, "crm": 7.0}
            assert world.dispatcher.reserve(world.config.destinations["chat"]) == 7 + (7 + 7 + 30) + 20
            world.dispatcher._give_back("chat")
            world.reload(with_tokens.to_crm(sink, server, timeout="7s"))
            await world.dispatcher.holds.refresh()
            # Two tokens, and a second request of half a second.
            assert assigned.asked["crm"].timeout_s == 7 + 2 * 8 + 0.5
            assert world.dispatcher.reserve(world.config.destinations["crm"]) == 7 + 16.5 + 20
            world.dispatcher._give_back("crm")


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "too late"])
@story
async def test_what_its_look_ups_take_too_long_for_is_not_sent_in_the_rest_of_its_lease(tmp_path, monkeypatch, is_late):
    with Sink(answer(200, b"{}")) as sink:
        async with World(tmp_path, looking(sink)) as world:
            send, lease_s = world.gateway.tokens.send, 7 + (7 + 7 + 30) + 20

            async def slow(request, to, **options):
                reply = await send(request, to, **options)
                if len(sink.requests) == 2:
                    world.clock.now += lease_s - 7 - attempts.RECORDING_S + (0.5 if is_late else -0.5)
                return reply

            monkeypatch.setattr(world.gateway.tokens, "send", slow)
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert len(sink.requests) == (2 if is_late else 3)
            delivery = await world.delivery(event_id)
            assert (delivery.attempts, not world.dispatcher.holds.in_flight) == (0 if is_late else 1, True)
