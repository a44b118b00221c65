"""The life of an event with a real store and a real destination, and a clock that is moved by hand."""

import asyncio
import hashlib
import json
from collections import Counter

import pytest

from gateway import pipeline, telemetry
from gateway.egress import Egress
from gateway.errors import SignatureRefused, StoreError, StoreUnavailable, UnknownSource, Unparsable
from gateway.model import Dead, DeliveryState
from gateway.pipeline import Dispatcher, deliver, receive
from gateway.presets import load as load_preset
from gateway.signatures import Request
from gateway.store.nouns import DeliveryQuery, NewDelivery, NewEvent
from tests.sink import Sink, answer, hang
from tests.world import (
    BODY,
    HEAD,
    World,
    alerts,
    contact,
    in_order,
    notes,
    numbered,
    stored,
    story,
    to_crm,
    with_alerts,
)


@story
async def test_an_event_is_kept_with_its_deliveries_and_delivered_straight_from_memory(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            appended = await world.receive()
            await world.dispatcher.idle()
            history = await world.store.event(appended.event_id)
    assert history.event.body == BODY
    assert history.event.type == "contact.created"
    assert "cookie" not in history.event.headers
    [delivery] = history.deliveries
    assert delivery.state is DeliveryState.DELIVERED
    [attempt] = history.attempts[delivery.id]
    assert attempt.config_revision == world.config.revision
    assert attempt.sent_sha256 == hashlib.sha256(sink.requests[0].body).digest()


@story
async def test_retries_follow_the_schedule_on_a_moved_clock(tmp_path):
    retry = {"for": "1h", "first": "1s", "max": "1m", "statuses": "409"}
    with Sink(answer(409)) as sink:
        async with World(tmp_path, to_crm(sink, retry=retry)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            for wait in (1, 2, 4, 8, 16, 32, 60, 60):
                made = len(sink.requests)
                await world.later(wait - 0.01)
                assert len(sink.requests) == made, "not before its time"
                await world.later(0.02)
                assert len(sink.requests) == made + 1
            delivery = await world.delivery(event_id)
    assert delivery.state is DeliveryState.PENDING
    assert delivery.attempts == 9


@story
async def test_the_budget_ends_a_delivery_and_a_replay_starts_it_anew(tmp_path):
    with Sink(answer(500, b"oh no")) as sink:
        async with World(tmp_path, to_crm(sink, retry={"for": "10s", "first": "1s", "max": "1m"})) as world:
            event_id = (await world.receive()).event_id
            for _ in range(10):
                await world.later(3600)
            dead = await world.delivery(event_id)
            assert (dead.state, dead.last_status, dead.last_answer) == (DeliveryState.DEAD, 500, "oh no")
            assert dead.attempts == 4, "after 1 + 2 + 4 s the next 8 s would exceed the 10 s: downtime does not count"
            sink.at("/", answer(200))
            await world.replay(event_id)
            assert (await world.delivery(event_id)).spent_s == 0
            await world.turn()
            delivered = await world.delivery(event_id)
    assert (delivered.state, delivered.attempts) == (DeliveryState.DELIVERED, 5)


@story
async def test_each_attempt_uses_the_file_of_its_moment(tmp_path):
    with Sink(answer(503)) as old, Sink() as new:
        async with World(tmp_path, to_crm(old)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            world.reload(to_crm(new).replace("id:", "number:"))
            await world.later(60)
            history = await world.store.event(event_id)
            assert [json.loads(request.body) for request in new.requests] == [{"number": 451}]
    revisions = [attempt.config_revision for attempt in history.attempts[history.deliveries[0].id]]
    assert len(set(revisions)) == 2


@story
async def test_what_is_refused_is_not_stored_and_takes_no_slot(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            with pytest.raises(UnknownSource):
                await world.receive(path="/in/nobody")
            with pytest.raises(Unparsable):
                await world.receive(b"{")
            with pytest.raises(SignatureRefused):
                config = world.gateway.config
                await receive(
                    world.gateway, world.dispatcher, config, config.sources["xobito"], Request(headers=[], body=BODY)
                )
            assert (await world.store.events()).rows == ()
            appended = await world.receive()
            await world.dispatcher.idle()
            assert (await world.receive()).duplicate
            await world.dispatcher.idle()
            assert not world.dispatcher._taken, "every slot was given back"
            assert (await world.delivery(appended.event_id)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == 1


@story
async def test_a_cancelled_request_orphans_neither_its_event_nor_its_slot(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            request = asyncio.create_task(world.receive())
            await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            await world.receive(BODY + b" ")
            await world.turn()
            rows = (await world.store.events()).rows
            states = {delivery.state for row in rows for delivery in row.deliveries}
    assert states == {DeliveryState.DELIVERED}
    assert len(rows) == len(sink.requests) == 2
    assert not world.dispatcher._taken


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
async def test_a_store_that_refuses_is_an_error_and_no_leak(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            await world.store.close()
            with pytest.raises(StoreUnavailable):
                await world.receive()
            assert not world.dispatcher._taken


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
async def test_a_defect_in_building_a_request_is_a_dead_letter_and_not_an_end(tmp_path):
    class Defect(dict):
        def get(self, name, default=None):
            raise RuntimeError("boom")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            history = await stored(world)
            object.__setattr__(world.config, "entries", Defect())
            tried = await deliver(history.deliveries[0], history.event, world.gateway, world.store.working_on)
    assert isinstance(tried.result, Dead)
    assert "RuntimeError" in tried.attempt.reason
    assert tried.word == "defect"


@story
async def test_a_defect_in_upkeep_ends_neither_retries_nor_the_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "STORE_PAUSE_S", 0.001)

    async def defect(*_, **__):
        raise StoreError("a prune that cannot work")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.store.prune = defect
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
            with pytest.raises(StoreUnavailable):
                await world.dispatcher._round()
            assert not world.dispatcher._taken
            await world.turn()
            assert (await world.delivery(history.event.id)).state is DeliveryState.DELIVERED


@story
async def test_an_outcome_that_cannot_be_recorded_gives_its_slot_back_and_is_logged(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(pipeline.telemetry, "log", lambda name, **_: said.append(name))

    async def defect(_outcomes):
        raise StoreError("cannot hold it")

    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            world.store.settle = defect
            await world.receive()
            await world.dispatcher.idle()
            assert not world.dispatcher._taken
    assert said == ["event.received", "internal.error"]


@story
async def test_while_outcomes_cannot_be_recorded_nothing_is_sent_again(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "STORE_PAUSE_S", 0.001)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            settle_for_real, tried, given_in = world.store.settle, 0, asyncio.Event()

            async def refuse(outcomes):
                nonlocal tried
                tried += 1
                if not given_in.is_set():
                    raise StoreUnavailable("the disk is full")
                return await settle_for_real(outcomes)

            world.store.settle = refuse
            event_id = (await world.receive()).event_id
            running = asyncio.create_task(world.dispatcher.run())
            while not tried:
                await asyncio.sleep(0)
            world.clock.now += 3600
            world.dispatcher._wake.set()
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
    monkeypatch.setattr(pipeline, "STORE_PAUSE_S", 0.001)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            settle_for_real, refusals = world.store.settle, [StoreError("it cannot be held"), StoreUnavailable("full")]

            async def refuse(outcomes):
                if refusals:
                    raise refusals.pop()
                return await settle_for_real(outcomes)

            world.store.settle = refuse
            await world.receive()
            await world.dispatcher.idle()
            assert world.dispatcher.recording
            event_id = (await world.receive(BODY + b" ")).event_id
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_corrupt_event_is_dead_logged_and_never_sent(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(pipeline.telemetry, "log", lambda name, **fields: said.append((name, fields.get("reason"))))
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
async def test_a_new_event_takes_no_slot_from_those_that_wait(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, concurrency=1)) as world:
            await stored(world)
            await world.receive(BODY + b" ")
            assert not world.dispatcher._taken, "its turn comes after the one that waits"
            await world.turn()
    assert len(sink.requests) == 2


@story
async def test_a_backlog_that_drains_does_not_starve_the_writer(tmp_path):
    """While 50,000 wait, an event is accepted for every few hundred deliveries that end, not for every thousands."""

    class Taken:
        async def handle_async_request(self, request):
            import httpx

            self.count += 1
            return httpx.Response(200, content=b"ok")

        count = 0

        async def aclose(self):
            pass

    text = "destinations: {crm: {url: 'http://127.0.0.1:9', concurrency: 64}}\nroutes: [{name: all, to: crm}]\n"
    async with World(tmp_path, text) as world:
        template = (await stored(world)).event
        for start in range(0, 50_000, 1000):
            await world.store.append([_waiting(template, number) for number in range(start, start + 1000)])
        taken = Taken()
        world.gateway.egress = Egress(transport=taken)
        running = asyncio.create_task(world.dispatcher.run())
        accepted = 0
        while taken.count < 20_000:
            before = taken.count
            await world.receive(BODY + b" " * (accepted + 1))
            accepted += 1
            assert taken.count - before < 2_000, "one event waited while thousands of deliveries ended"
        world.dispatcher.stop()
        await running
        await world.dispatcher.idle()
    assert accepted >= 100


def _waiting(template, number: int) -> NewEvent:
    from dataclasses import replace

    event = replace(template, id=f"evt_{number:032d}")
    delivery = NewDelivery(id=f"dlv_{number:032d}", route="all", destination="crm")
    return NewEvent(event=event, key=b"%d" % number, window_s=1e6, deliveries=[delivery])


# --- when a destination may be sent to ---


@story
async def test_five_failures_in_a_row_leave_only_probes_and_an_answer_lets_all_of_them_go(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(8):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            await world.turn()
            assert len(sink.requests) == 5
            assert "circuit open after 5 failures in a row, next probe in 30 s" in world.dispatcher.health("crm")
            for wait, attempts in ((29.9, 5), (0.2, 6), (59.8, 6), (0.4, 7)):
                await world.later(wait)
                assert len(sink.requests) == attempts, "one probe for each interval, and the interval doubles"
            sink.at("/", answer(200))
            await world.later(121)
            rows = (await world.store.events()).rows
    assert {each.state for row in rows for each in row.deliveries} == {DeliveryState.DELIVERED}
    own = [row.type for row in rows if row.source == "gateway"]
    assert own == ["gateway.circuit.closed", "gateway.circuit.opened"]
    assert world.dispatcher.health("crm") == ""


@story
async def test_an_answer_that_is_no_trouble_of_its_own_resets_the_count(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(12):
                sink.at("/", answer(404 if number % 4 == 3 else 503))
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert len(sink.requests) == 12
            assert world.dispatcher.health("crm") == ""


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
            assert "next start in" in world.dispatcher.health("crm")
            await world.later(2)
            assert len(sink.requests) == 3


@story
async def test_a_paused_destination_holds_its_deliveries_and_their_budget(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, paused=True)) as world:
            event_id = (await world.receive()).event_id
            await world.later(90 * 86400)
            assert (sink.requests, world.dispatcher.health("crm")) == ([], "paused in routes.yaml")
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
            await world.dispatcher.pause("crm", by="ann", reason="their migration")
            running = asyncio.create_task(world.dispatcher.run())
            event_id = (await world.receive(numbered(1))).event_id
            world.clock.now += 90 * 86400
            world.dispatcher._look_again()
            await asyncio.sleep(0.1)
            await world.dispatcher.idle()
            assert len(sink.requests) == 1, "what was sent before the pause"
            sink.at("/", answer(200))
            await world.dispatcher.resume("crm", by="ann")
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
            assert not await world.dispatcher.resume("crm", by="ann")
            await world.turn()
            sink.at("/", answer(200))
            await world.later(2)
            assert "circuit open" in world.dispatcher.health("crm")
            assert len(sink.requests) == 8
            await world.dispatcher.resume("crm", by="ann")
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
    async def refuse(_pause):
        raise StoreUnavailable("the disk is full")

    with Sink(answer(410)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            monkeypatch.setattr(world.store, "pause", refuse)
            with pytest.raises(StoreUnavailable):
                await world.dispatcher.pause("crm", by="ann", reason="their migration")
            assert world.dispatcher.health("crm") == ""
            await world.receive()
            await world.dispatcher.idle()
            assert "410" in world.dispatcher.health("crm")


@story
async def test_a_410_pauses_the_destination_and_what_got_it_stays_pending_with_its_budget(tmp_path):
    with Sink(answer(410)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            await world.receive(numbered(1))
            await world.later(90 * 86400)
            assert len(sink.requests) == 1
            assert "paused by the gateway: it answered 410" in world.dispatcher.health("crm")
            waiting = await world.delivery(event_id)
            assert (waiting.state, waiting.spent_s, waiting.attempts) == (DeliveryState.PENDING, 0, 1)
            sink.at("/", answer(200))
            assert await world.dispatcher.resume("crm", by="test")
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED
    assert len(sink.requests) == 3


@story
async def test_a_login_denied_three_times_in_a_row_pauses_and_an_answer_between_starts_the_count_anew(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number, status in enumerate((401, 403, 200, 401, 401, 403)):
                assert world.dispatcher.health("crm") == ""
                sink.at("/", answer(status))
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert "it denied the login 3 times in a row" in world.dispatcher.health("crm")
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()
            sink.at("/", answer(200))
            await world.dispatcher.resume("crm", by="test")
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
            assert "it denied the login 3 times in a row" in world.dispatcher.health("slack")
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (answer(200, b'{"ok":false,"error":"token_revoked"}'), "4xx"),
        (answer(200, b'{"ok":false,"error":"ratelimited"}'), "429"),
        (answer(200, b"<html>"), "not_taken"),
        (answer(200, b'{"ok":true}'), "2xx"),
        (answer(502), "5xx"),
    ],
)
@story
async def test_an_answer_is_counted_as_what_it_stands_for(tmp_path, said, word):
    text = (
        "destinations: {slack: {type: slack, url: '%s/api/chat.postMessage', auth: {bearer: xoxb-1}, channel: c, rate: none}}\n"
        "routes: [{name: all, to: slack, text: hi}]\n"
    )
    with Sink(said) as sink:
        async with World(tmp_path, text % sink.url) as world:
            event = (await world.store.event((await world.receive()).event_id)).event
            await world.dispatcher.idle()
            [delivery] = (await world.store.deliveries(DeliveryQuery())).rows
            assert (await deliver(delivery, event, world.gateway, world.store.working_on)).word == word


@story
async def test_many_that_are_denied_at_once_pause_it_once_and_none_of_them_is_given_up(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(pipeline.telemetry, "log", lambda name, **_: said.append(name))
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
            await world.dispatcher.pause("crm", by="ann", reason="their migration", for_s=60)
            await world.receive()
            await world.later(61)
            assert len(sink.requests) == 1
            assert "it answered 410" in world.dispatcher.health("crm")


@story
async def test_retry_never_makes_a_401_final(tmp_path):
    with Sink(answer(401)) as sink:
        async with World(tmp_path, to_crm(sink, retry={"never": 401})) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert (await world.delivery(event_id)).state is DeliveryState.DEAD


@story
async def test_a_pause_survives_a_restart_and_ends_by_itself(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.dispatcher.pause("crm", by="ann", reason="their migration", for_s=3600)
            event_id = (await world.receive()).event_id
        later = world.clock.now + 10
        async with World(tmp_path, to_crm(sink)) as world:
            world.clock.now = later
            await world.dispatcher.recall()
            await world.turn()
            assert world.dispatcher.health("crm").startswith("paused by ann until ")
            assert world.dispatcher.health("crm").endswith("Z: their migration")
            assert sink.requests == []
            await world.later(3600)
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_destination_that_is_held_is_asked_once_and_not_at_every_turn_of_the_others(tmp_path, monkeypatch):
    asked = []
    permit = pipeline.gates.permit
    monkeypatch.setattr(pipeline.gates, "permit", lambda *each: asked.append(each) or permit(*each))
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
    assert all(asked[name] <= 1 for name in hanging), asked


# --- order ---


@story
async def test_events_of_one_key_go_one_after_the_other_and_other_keys_do_not_wait_for_them(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, in_order(sink)) as world:
            for number in range(4):
                await world.receive(contact(number))
            await world.dispatcher.idle()
            assert notes(sink) == [0], "the others wait for the first one"
            sink.at("/", answer(200))
            await world.receive(contact(9, contact_id=2))
            await world.turn()
            assert notes(sink) == [0, 9]
            await world.later(1)
    assert notes(sink) == [0, 9, 0, 1, 2, 3]


@story
async def test_a_dead_head_lets_the_next_one_go_and_comes_last_when_it_is_replayed(tmp_path):
    with Sink(answer(400), answer(503)) as sink:
        async with World(tmp_path, in_order(sink)) as world:
            first = (await world.receive(contact(0))).event_id
            await world.receive(contact(1))
            await world.receive(contact(2))
            await world.turn()
            assert notes(sink) == [0, 1]
            await world.replay(first)
            sink.at("/", answer(200))
            await world.later(1)
    assert notes(sink) == [0, 1, 1, 2, 0]


@story
async def test_an_event_without_the_key_has_no_order(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, in_order(sink).replace('attrs.id"', 'attrs.company_id"')) as world:
            for number in range(3):
                await world.receive(contact(number))
            await world.dispatcher.idle()
    assert sorted(notes(sink)) == [0, 1, 2]


# --- once ---


@story
async def test_a_route_with_once_fires_for_the_first_event_of_a_key_and_says_of_the_others_why_not(tmp_path):
    with Sink() as sink:
        text = in_order(sink).replace("name: all,", "name: welcome, once: {per: 'contact {{ attrs.id }}', for: 90d},")
        async with World(tmp_path, text) as world:
            first = (await world.receive(contact(0))).event_id
            second = await world.receive(contact(1))
            await world.receive(contact(2, contact_id=2))
            await world.turn()
            history = await world.store.event(second.event_id)
            assert second.held_back == {"welcome"}
            assert history.deliveries == ()
            [held_back] = history.held_back
            assert (held_back.name, held_back.key, held_back.event_id) == ("welcome", "contact 1", first)
            world.clock.now += 90 * 86400
            await world.receive(contact(3))
            await world.turn()
            assert await world.delivery(first)
    assert notes(sink) == [0, 2, 3]


@story
async def test_a_key_that_cannot_be_made_holds_nothing_back(tmp_path):
    with Sink() as sink:
        text = in_order(sink).replace("name: all,", "name: welcome, once: {per: '{{ attrs.nothing }}'},")
        async with World(tmp_path, text) as world:
            for number in range(2):
                await world.receive(contact(number))
            await world.turn()
    assert notes(sink) == [0, 1]


# --- who is told ---


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


@story
async def test_a_delivery_that_the_process_died_over_three_times_is_dead_and_told_of(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.dispatcher.pause("crm", by="test", reason="first the crashes")
            event_id = (await world.receive()).event_id
            id_ = (await world.delivery(event_id)).id
            (tmp_path / "poison").write_bytes((tmp_path / "gateway.db.now").read_bytes())
        for _ in range(3):
            async with World(tmp_path, with_alerts(sink)) as world:
                with world.store.working_on(id_):
                    left = (tmp_path / "gateway.db.now").read_bytes()
            (tmp_path / "gateway.db.now").write_bytes(left)
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.turn()
            history = await world.store.event(event_id)
    assert [each.state for each in history.deliveries] == [DeliveryState.DEAD, DeliveryState.DELIVERED]
    assert "the gateway's process died 3 times while it worked on this delivery" in history.deliveries[0].reason
    assert not [request for request in sink.requests if request.path == "/crm"]
    [text] = alerts(sink)
    assert "died 3 times" in text


# --- the gateway's own events ---


@story
async def test_what_happens_to_the_gateway_is_an_event_that_only_an_entry_of_its_own_takes(tmp_path):
    own = "routes:\n- {to: crm, body: {}}\n- {source: gateway, match: gateway.destination.*, to: alerts, text: '{{ payload.message }}'}\n"
    with Sink() as sink:
        text = with_alerts(sink).replace("routes: [{name: all, to: crm, body: {id: '{{ attrs.id }}'}}]\n", own)
        async with World(tmp_path, text) as world:
            await world.dispatcher.pause("crm", by="ann", reason="their migration", for_s=3600)
            await world.turn()
            await world.dispatcher.resume("crm", by="bob")
            await world.turn()
            rows = (await world.store.events()).rows
    assert [row.type for row in rows] == ["gateway.destination.resumed", "gateway.destination.paused"]
    assert {each.destination for row in rows for each in row.deliveries} == {"alerts"}
    assert alerts(sink) == [
        "crm is paused by ann until 1970-01-01T01:16:40.000Z: their migration. Nothing is lost; it goes on once it is resumed.",
        "crm is resumed by bob. What has waited for it goes out now.",
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
            await world.dispatcher.pause("crm", by="ann", reason="why")
            await world.dispatcher.resume("crm", by="ann")
            await world.dispatcher._say_damaged(await world.delivery((await world.receive(BODY)).event_id), "damaged")
            await world.dispatcher.announce("reload.rejected", "no", {"problems": ["no"], "in_force": "9f"}, page="")
            rows = [row for row in (await world.store.events()).rows if row.source == "gateway"]
            made = {row.type: json.loads((await world.store.event(row.id)).event.body) for row in rows}
    samples = {name: json.loads(body) for name, body in load_preset("gateway").samples.items()}
    assert {name: set(body) for name, body in made.items()} == {name: set(body) for name, body in samples.items()}
    assert all(name == body["type"] for name, body in samples.items())


# --- upkeep ---

DAY = 86400.0


@story
async def test_an_event_goes_once_the_file_of_that_moment_says_so(tmp_path):
    with Sink(answer(), answer(500)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            delivered = (await world.receive(numbered(1))).event_id
            await world.turn()
            waiting = (await world.receive(numbered(2))).event_id
            await world.dispatcher.idle()
            world.clock.now += 8 * DAY
            young = (await world.receive(numbered(3))).event_id
            await world.dispatcher._prune()
            assert await world.store.event(delivered)
            world.reload(to_crm(sink) + "retention: {events: 7d}\n")
            await world.dispatcher._prune()
            assert await world.store.event(delivered) is None
            assert await world.store.event(waiting), "it is still to be delivered"
            assert await world.store.event(young)


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: lines.append((name, fields)))
    return lines


REDACTING = HEAD.replace("s3cret}", "s3cret, redact: {paths: [attrs.email, attrs.phone], store: true}}")


@story
async def test_what_is_redacted_is_delivered_and_then_goes_out_of_the_stored_body(tmp_path):
    with Sink(answer(500), answer()) as sink:
        verbatim = f"destinations: {{crm: {{url: '{sink.url}'}}}}\nroutes: [{{name: all, to: crm}}]\n"
        async with World(tmp_path, REDACTING + verbatim) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            await world.dispatcher._prune()
            assert (await world.store.event(event_id)).event.body == BODY, "it waits for its next attempt"
            await world.later(10)
            await world.dispatcher._prune()
            history = await world.store.event(event_id)
    assert [request.body for request in sink.requests] == [BODY, BODY]
    assert (history.body_is, history.intact) == ("redacted", True)
    whole, left = (json.loads(body)["data"]["attributes"] for body in (BODY, history.event.body))
    assert {*whole} - {*left} == {"email", "phone"}
    assert b"john@example.com" in BODY
    assert b"john@example.com" not in history.event.body


@story
async def test_what_is_only_masked_stays_in_the_store(tmp_path):
    with Sink() as sink:
        masking = REDACTING.replace("{paths: [attrs.email, attrs.phone], store: true}", "[attrs.email]")
        async with World(tmp_path, masking + to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            await world.dispatcher._prune()
            history = await world.store.event(event_id)
    assert (history.body_is, history.event.body) == ("kept", BODY)


@story
async def test_an_answer_that_repeats_what_is_redacted_is_kept_and_logged_without_it(tmp_path, logged):
    with Sink(answer(422, b'{"email": ["john@example.com is taken"]}')) as sink:
        async with World(tmp_path, REDACTING + to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            history = await world.store.event(event_id)
    [delivery] = history.deliveries
    [attempt] = history.attempts[delivery.id]
    assert delivery.state is DeliveryState.DEAD
    assert (attempt.answer, delivery.last_answer) == ('{"email": ["••• is taken"]}',) * 2
    assert "••• is taken" in delivery.reason
    assert delivery.reason == attempt.reason
    assert "john@example.com" not in delivery.reason
    [said] = [fields["reason"] for name, fields in logged if name == "delivery.dead"]
    assert said == delivery.reason


@story
async def test_the_fields_of_the_moment_go_and_all_of_a_body_whose_source_is_gone(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, REDACTING + to_crm(sink)) as world:
            first = (await world.receive(numbered(1))).event_id
            await world.turn()
            world.reload(REDACTING.replace("attrs.phone", "attrs.company") + to_crm(sink))
            await world.dispatcher._prune()
            second = (await world.receive(numbered(2))).event_id
            await world.turn()
            world.reload(HEAD.replace("xobito:", "renamed:") + to_crm(sink))
            await world.dispatcher._prune()
            bodies = [(await world.store.event(each)).event.body for each in (first, second)]
    left = json.loads(bodies[0])["data"]["attributes"]
    assert "phone" in left
    assert not {"email", "company"} & {*left}
    assert bodies[1] == b"{}"


@story
async def test_a_key_that_cannot_be_made_of_what_is_redacted_is_logged_without_it(tmp_path, logged):
    once = "routes: [{name: all, to: crm, once: {per: \"{{ attrs.email | date('%Y') }}\"}}]"
    with Sink() as sink:
        async with World(tmp_path, REDACTING + to_crm(sink).partition("routes:")[0] + once) as world:
            await world.receive()
            await world.turn()
    [said] = [fields["reason"] for name, fields in logged if name == "delivery.unkeyed"]
    assert "•••" in said
    assert "john@example.com" not in said
