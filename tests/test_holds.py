"""What keeps a destination from being sent to, and what ends that."""

import asyncio

import pytest

from gateway import telemetry
from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.store.nouns import DeliveryQuery
from tests.sink import Sink, answer
from tests.world import (
    World,
    numbered,
    story,
    to_crm,
)


@story
async def test_five_failures_in_a_row_leave_only_probes_and_an_answer_lets_all_of_them_go(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(8):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            await world.turn()
            assert len(sink.requests) == 5
            assert "circuit open after 5 failures in a row, next probe in 30 s" in world.dispatcher.holds.health("crm")
            for wait, attempts in ((29.9, 5), (0.2, 6), (59.8, 6), (0.4, 7)):
                await world.later(wait)
                assert len(sink.requests) == attempts, "one probe for each interval, and the interval doubles"
            sink.at("/", answer(200))
            await world.later(121)
            rows = (await world.store.events()).rows
    assert {each.state for row in rows for each in row.deliveries} == {DeliveryState.DELIVERED}
    own = [row.type for row in rows if row.source == "gateway"]
    assert own == ["gateway.circuit.closed", "gateway.circuit.opened"]
    assert world.dispatcher.holds.health("crm") == ""


@story
async def test_an_answer_that_is_no_trouble_of_its_own_resets_the_count(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(12):
                sink.at("/", answer(404 if number % 4 == 3 else 503))
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert len(sink.requests) == 12
            assert world.dispatcher.holds.health("crm") == ""


@story
async def test_a_429_moves_the_next_start_of_all_and_opens_nothing(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "60")])) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive(numbered(0))
            await world.dispatcher.idle()
            sink.at("/", answer(200))
            await world.receive(numbered(1))
            await world.later(59)
            assert len(sink.requests) == 1
            assert "next start in" in world.dispatcher.holds.health("crm")
            await world.later(2)
            assert len(sink.requests) == 3


@story
async def test_a_paused_destination_holds_its_deliveries_and_their_budget(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, paused=True)) as world:
            event_id = (await world.receive()).event_id
            await world.later(90 * 86400)
            assert (sink.requests, world.dispatcher.holds.health("crm")) == ([], "paused in routes.yaml")
            world.reload(to_crm(sink))
            world.dispatcher.reconfigured()
            await world.turn()
            delivery = await world.delivery(event_id)
    assert (delivery.state, delivery.spent_s) == (DeliveryState.DELIVERED, 0)


@story
async def test_a_destination_that_somebody_pauses_is_sent_nothing_new_and_nothing_that_waits(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive()
            await world.dispatcher.idle()
            await world.dispatcher.holds.pause("crm", by="ann", reason="their migration")
            running = asyncio.create_task(world.dispatcher.run())
            event_id = (await world.receive(numbered(1))).event_id
            world.clock.now += 90 * 86400
            world.dispatcher._look_at(["crm"])
            await asyncio.sleep(0.1)
            await world.dispatcher.idle()
            assert len(sink.requests) == 1, "what was sent before the pause"
            sink.at("/", answer(200))
            await world.dispatcher.holds.resume("crm", by="ann")
            while len(sink.requests) < 3:
                await asyncio.sleep(0.01)
            world.dispatcher.stop()
            await running
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_another_rate_in_the_file_counts_at_once(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, rate="1/h")) as world:
            for number in range(2):
                await world.receive(numbered(number))
            await world.later(3600)
            assert len(sink.requests) == 1
            world.reload(to_crm(sink, rate="1/s"))
            await world.later(1)
            assert len(sink.requests) == 2


@story
async def test_resuming_tries_at_once_what_an_open_circuit_or_a_429_holds(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "99999999999")])) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive()
            await world.dispatcher.idle()
            sink.at("/", answer(503))
            for number in range(1, 8):
                await world.receive(numbered(number))
            await world.later(3600)
            assert len(sink.requests) == 1, "it asked for the day that is the most"
            assert not await world.dispatcher.holds.resume("crm", by="ann")
            await world.turn()
            sink.at("/", answer(200))
            await world.later(2)
            assert "circuit open" in world.dispatcher.holds.health("crm")
            assert len(sink.requests) == 8
            await world.dispatcher.holds.resume("crm", by="ann")
            await world.turn()
            assert len(sink.requests) == 15, "the probe, and with its answer the others"


@story
async def test_starts_are_spaced_by_the_rate_also_behind_an_outage(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, rate="20/s")) as world:
            for number in range(12):
                await world.receive(numbered(number))
            await world.turn()
            assert sink.requests == [], "the process before this one may have started something just now"
            arrived = []
            while len(sink.requests) < 12:
                before = len(sink.requests)
                await world.later(0.1)
                arrived.append(len(sink.requests) - before)
    assert arrived == [2, 2, 2, 2, 2, 2], "20/s is two in a tenth of a second"


@story
async def test_a_pause_that_cannot_be_stored_is_none_unless_the_gateway_itself_needs_it(tmp_path, monkeypatch):
    async def refuse(_hold):
        raise StoreUnavailable("the disk is full")

    with Sink(answer(410)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            monkeypatch.setattr(world.store, "set_hold", refuse)
            with pytest.raises(StoreUnavailable):
                await world.dispatcher.holds.pause("crm", by="ann", reason="their migration")
            assert world.dispatcher.holds.health("crm") == ""
            await world.receive()
            await world.dispatcher.idle()
            assert "410" in world.dispatcher.holds.health("crm")


@story
async def test_a_410_pauses_the_destination_and_what_got_it_stays_pending_with_its_budget(tmp_path):
    with Sink(answer(410)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            await world.receive(numbered(1))
            await world.later(90 * 86400)
            assert len(sink.requests) == 1
            assert "paused by the gateway: it answered 410" in world.dispatcher.holds.health("crm")
            waiting = await world.delivery(event_id)
            assert (waiting.state, waiting.spent_s, waiting.attempts) == (DeliveryState.PENDING, 0, 1)
            sink.at("/", answer(200))
            assert await world.dispatcher.holds.resume("crm", by="test")
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == 3


@story
async def test_a_login_denied_three_times_in_a_row_pauses_and_an_answer_between_starts_the_count_anew(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number, status in enumerate((401, 403, 200, 401, 401, 403)):
                assert world.dispatcher.holds.health("crm") == ""
                sink.at("/", answer(status))
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert "it refused the login 3 times in a row" in world.dispatcher.holds.health("crm")
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()
            sink.at("/", answer(200))
            await world.dispatcher.holds.resume("crm", by="test")
            await world.later(60)
            states = {each.state for row in (await world.store.events()).rows for each in row.deliveries}
    assert states == {DeliveryState.DELIVERED}


@story
async def test_a_token_that_slack_refuses_inside_a_200_pauses_as_a_401_does(tmp_path):
    text = (
        "destinations: {slack: {type: slack, url: '%s/api/chat.postMessage', auth: {bearer: xoxb-1}, channel: c, rate: none}}\n"
        "routes: [{name: all, to: slack, text: hi}]\n"
    )
    with Sink(answer(200, b'{"ok":false,"error":"token_revoked"}')) as sink:
        async with World(tmp_path, text % sink.url) as world:
            for number in range(5):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert len(sink.requests) == 3
            assert "it refused the login 3 times in a row" in world.dispatcher.holds.health("slack")
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()


@story
async def test_many_that_are_denied_at_once_pause_it_once_and_none_of_them_is_given_up(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **_: said.append(name))
    with Sink(answer(403, after_s=0.2)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(10):
                await world.receive(numbered(number))
            await world.turn()
            assert len(sink.requests) == 10
            assert len((await world.store.deliveries(DeliveryQuery(state=DeliveryState.PENDING))).rows) == 10
    assert said.count("destination.paused") == 1


@story
async def test_a_pause_that_has_run_out_does_not_stand_in_for_the_next_one(tmp_path):
    with Sink(answer(410)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.dispatcher.holds.pause("crm", by="ann", reason="their migration", for_s=60)
            await world.receive()
            await world.later(61)
            assert len(sink.requests) == 1
            assert "it answered 410" in world.dispatcher.holds.health("crm")


@story
async def test_a_pause_survives_a_restart_and_ends_by_itself(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.dispatcher.holds.pause("crm", by="ann", reason="their migration", for_s=3600)
            event_id = (await world.receive()).event_id
        later = world.clock.now + 10
        async with World(tmp_path, to_crm(sink)) as world:
            world.clock.now = later
            await world.dispatcher.recall()
            await world.turn()
            assert world.dispatcher.holds.health("crm").startswith("paused by ann until ")
            assert world.dispatcher.holds.health("crm").endswith("Z: their migration")
            assert sink.requests == []
            await world.later(3600)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


# --- after a restart ---


@story
async def test_an_open_circuit_is_still_open_after_a_restart_and_its_probe_is_due_when_it_was(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(6):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert len(sink.requests) == 5
        later = world.clock.now + 20
        async with World(tmp_path, to_crm(sink)) as world:
            world.clock.now = later
            await world.turn()
            assert world.dispatcher.holds.standing("crm").circuit == "open"
            assert world.dispatcher.holds.standing("crm").failures == 5
            assert len(sink.requests) == 5
            await world.later(11)
            assert len(sink.requests) == 6, "one probe"
            assert "next probe in 60 s" in world.dispatcher.holds.health("crm")
            sink.at("/", answer(200))
            await world.later(61)
        async with World(tmp_path, to_crm(sink)) as world:
            assert world.dispatcher.holds.standing("crm").circuit == "closed"


@story
async def test_what_a_429_asked_for_holds_after_a_restart(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "600")])) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive()
            await world.dispatcher.idle()
        async with World(tmp_path, to_crm(sink)) as world:
            sink.at("/", answer(200))
            await world.receive(numbered(1))
            await world.later(590)
            assert len(sink.requests) == 1
            await world.later(11)
            assert len(sink.requests) == 3


@story
async def test_a_burst_of_answers_with_429_writes_its_wait_once(tmp_path, monkeypatch):
    with Sink(answer(429, after_s=0.1, headers=[("Retry-After", "600")])) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            stored, set_hold = [], world.store.set_hold
            monkeypatch.setattr(world.store, "set_hold", lambda hold: stored.append(hold) or set_hold(hold))
            for number in range(10):
                await world.receive(numbered(number))
            await world.dispatcher.idle()
    assert len(sink.requests) == 10
    assert len(stored) == 1
