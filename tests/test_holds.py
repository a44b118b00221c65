"""What keeps a destination from being sent to, and what ends that."""

import asyncio
import json

import pytest

from gateway import telemetry
from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState
from gateway.operate.operations import Move
from gateway.store.queries import DeliveryQuery
from tests.sink import Sink, answer, firewall, together
from tests.world import (
    World,
    contact,
    notes,
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
            assert "circuit open after 5 consecutive failures, next probe in 1.0 s" in world.dispatcher.holds.health(
                "crm"
            )
            for wait, attempts in ((0.9, 5), (0.2, 6), (1.8, 6), (0.4, 7)):
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
            assert "next delivery in" in world.dispatcher.holds.health("crm")
            await world.later(1)
            assert len(sink.requests) == 2, "what has gathered does not go out at once"
            await world.later(1)
            assert len(sink.requests) == 3


@story
async def test_a_destination_that_answers_429_is_throttled_until_it_accepts_something_and_its_last_error_is_known(
    tmp_path,
):
    with Sink(answer(429, b'{"message": "slow down"}')) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            assert world.dispatcher.holds.standing("crm").throttled
            error = world.dispatcher.holds.last_error("crm")
            assert (error.event_id, error.at) == (event_id, world.clock.wall())
            assert error.reason.startswith("answered 429: slow down (")
            sink.at("/", answer(200))
            await world.later(2)
            assert not world.dispatcher.holds.standing("crm").throttled


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
            world.dispatcher._due.look_at(["crm"])
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
            await world.later(1.1)
            assert "circuit open" in world.dispatcher.holds.health("crm")
            assert len(sink.requests) == 9
            sink.at("/", answer(200))
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


# --- a short outage ---


@pytest.mark.parametrize("before_s", [0.0, 0.7, 1.9])
@story
async def test_after_an_outage_of_ten_seconds_all_that_waited_arrives_within_as_many(tmp_path, before_s):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            ends = world.clock.now + before_s + 10.0
            await world.later(before_s)
            sink.at("/", answer(503))
            for number in range(20):
                await world.receive(numbered(number))
                await world.later(0.5)
            assert world.dispatcher.holds.standing("crm").circuit == "open"
            sink.at("/", answer(200))
            while "circuit open" in world.dispatcher.holds.health("crm"):
                await world.later(0.1)
            waited = world.clock.now - ends
            rows = (await world.store.events()).rows
    assert {each.state for row in rows for each in row.deliveries if row.source == "xobito"} == {
        DeliveryState.DELIVERED
    }
    assert waited <= 8.0


# --- denials ---

SCRIPT = b"<script>"


def named(number: int, name: str = "John") -> bytes:
    return contact(number).replace(b'"John"', f'"{name}"'.encode())


def by_name(sink: Sink, **options: object) -> str:
    destination = json.dumps({"url": sink.url, **options})
    body = "{note: '{{ attrs.note }}', name: '{{ attrs.firstname }}'}"
    return f"destinations: {{crm: {destination}}}\nroutes: [{{name: all, to: crm, body: {body}}}]\n"


async def opened(world: World) -> list[dict]:
    """What the gateway said of circuits that opened, oldest first."""
    rows = [row for row in (await world.store.events()).rows if row.type == "gateway.circuit.opened"]
    events = await world.store.load({row.id for row in rows})
    return [json.loads(events[row.id].body) for row in reversed(rows)]


@story
async def test_one_event_that_a_firewall_denies_holds_no_other_up_and_is_dead_at_the_end_of_its_schedule(tmp_path):
    with Sink(firewall(SCRIPT)) as sink:
        async with World(tmp_path, by_name(sink, retry={"for": "1m"})) as world:
            denied = await world.receive(named(0, "<script>"))
            for number in range(1, 60):
                appended = await world.receive(named(number))
                await world.later(2.0)
                assert (await world.delivery(appended.event_id)).state is DeliveryState.DELIVERED
                assert world.dispatcher.holds.health("crm") == ""
            delivery = await world.delivery(denied.event_id)
            assert (delivery.state, delivery.last_status) == (DeliveryState.DEAD, 403)
            assert (delivery.attempts, delivery.spent_s) == (6, 31.0)
            assert await opened(world) == []


@story
async def test_two_such_events_and_no_other_hold_nothing(tmp_path):
    with Sink(firewall(SCRIPT)) as sink:
        async with World(tmp_path, by_name(sink, retry={"for": "1m"})) as world:
            for number in range(2):
                await world.receive(named(number, "<script>"))
            for _ in range(100):
                await world.later(1.0)
                assert world.dispatcher.holds.health("crm") == ""


@story
async def test_three_different_events_denied_hold_the_destination_and_the_first_success_frees_it(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, by_name(sink)) as world:
            ids = []
            for number, status in enumerate((401, 403, 200, 401, 401, 403)):
                assert world.dispatcher.holds.health("crm") == ""
                sink.at("/", answer(status))
                ids.append((await world.receive(named(number))).event_id)
                await world.dispatcher.idle()
            await world.receive(named(6))
            assert world.dispatcher.holds.health("crm") == "3 different events denied, next probe in 1.0 s"
            assert world.dispatcher.holds.standing("crm").denied == tuple(ids[3:])
            assert len(sink.requests) == 6, "the last one waits"
            [said] = await opened(world)
            assert said["denied"] == ids[3:]
            assert said["message"].startswith("crm denied 3 different events: answered 40")
            assert "Nothing succeeded between them" in said["message"]
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()
            sink.at("/", answer(200))
            await world.later(1.1)
            assert notes(sink)[6:] == [6, 0, 1, 3, 4, 5], "the probe is another event, and its success frees the others"
            states = {each.state for row in (await world.store.events()).rows for each in row.deliveries}
    assert states == {DeliveryState.DELIVERED}


@story
async def test_each_probe_is_another_event_than_the_last_and_none_is_tried_before_its_time(tmp_path):
    with Sink(answer(403)) as sink:
        async with World(tmp_path, by_name(sink)) as world:
            for number in range(5):
                await world.receive(named(number))
                await world.dispatcher.idle()
            assert notes(sink) == [0, 1, 2]
            for wait in (1, 2, 4, 8, 16, 32, 64, 128):
                await world.later(wait - 0.1)
                before = len(sink.requests)
                await world.later(0.1)
                assert len(sink.requests) == before + 1
            assert notes(sink) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]


@story
async def test_the_last_one_that_waits_is_a_probe_although_it_was_the_last_one_denied(tmp_path):
    with Sink(answer(401)) as sink:
        async with World(tmp_path, by_name(sink, retry={"for": "5m"})) as world:
            ids = []
            for number in range(3):
                ids.append((await world.receive(named(number))).event_id)
                await world.dispatcher.idle()
            rows = (await world.store.deliveries(DeliveryQuery())).rows
            given_up = [each.id for each in rows if each.event_id in ids[:2]]
            await world.operations.carry_out(Move(verb="discard", by="test", ids=given_up, reason="enough"))
            await world.later(1.1)
            assert notes(sink) == [0, 1, 2, 2]
            for _ in range(20):
                await world.later(300)
            delivery = await world.delivery(ids[2])
    assert (delivery.state, delivery.last_status) == (DeliveryState.DEAD, 401)


@story
async def test_a_destination_that_denies_everything_is_held_after_a_restart_and_probed_with_another_event(tmp_path):
    with Sink(answer(403)) as sink:
        async with World(tmp_path, by_name(sink)) as world:
            for number in range(4):
                await world.receive(named(number))
                await world.dispatcher.idle()
            denied = world.dispatcher.holds.standing("crm").denied
        later = world.clock.now + 0.9
        async with World(tmp_path, by_name(sink)) as world:
            world.clock.now = later
            await world.turn()
            standing = world.dispatcher.holds.standing("crm")
            assert (standing.held, standing.denied) == ("3 different events denied, next probe in 0.1 s", denied)
            await world.later(0.2)
            assert notes(sink) == [0, 1, 2, 3]
            assert len(await opened(world)) == 1, "it was said before"
            sink.at("/", answer(200))
            await world.later(2.1)
            assert world.dispatcher.holds.health("crm") == ""
            assert sorted(notes(sink)[4:]) == [0, 1, 2, 3]
        async with World(tmp_path, by_name(sink)) as world:
            assert world.dispatcher.holds.standing("crm").circuit == "closed"


@story
async def test_a_destination_that_denies_everything_is_tried_at_once_when_somebody_resumes_it(tmp_path):
    with Sink(answer(403)) as sink:
        async with World(tmp_path, by_name(sink)) as world:
            for number in range(4):
                await world.receive(named(number))
                await world.dispatcher.idle()
            sink.at("/", answer(200))
            await world.dispatcher.holds.resume("crm", by="ann")
            await world.turn()
            assert notes(sink)[3:] == [3]
            assert world.dispatcher.holds.health("crm") == ""


@story
async def test_a_403_that_the_file_makes_final_holds_nothing(tmp_path):
    with Sink(answer(403)) as sink:
        async with World(tmp_path, by_name(sink, retry={"never": [403]})) as world:
            for number in range(5):
                await world.receive(named(number))
            await world.turn()
            assert world.dispatcher.holds.health("crm") == ""
            assert len((await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows) == 5


@story
async def test_a_token_that_slack_refuses_inside_a_200_holds_it_as_a_401_does(tmp_path):
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
            assert "3 different events denied" in world.dispatcher.holds.health("slack")
            assert (await world.store.deliveries(DeliveryQuery(state=DeliveryState.DEAD))).rows == ()


@story
async def test_many_that_are_denied_at_once_hold_it_once_and_each_keeps_its_schedule(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **_: said.append(name))
    with Sink(together(10, answer(403))) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(10):
                await world.receive(numbered(number))
            await world.turn()
            assert len(sink.requests) == 10
            rows = (await world.store.deliveries(DeliveryQuery(state=DeliveryState.PENDING))).rows
            assert [each.spent_s for each in rows] == [1.0] * 10
    assert said.count("circuit.opened") == 1


# --- a 410 ---


@pytest.mark.parametrize(
    ("asks", "dies"),
    [
        ("path: '/contacts/{{ attrs.id }}'", True),
        ("query: {id: '{{ attrs.id }}'}", True),
        ("path: /contacts, query: {limit: 10}", False),
    ],
)
@story
async def test_a_410_is_about_the_record_where_path_or_query_is_made_from_the_event(tmp_path, asks, dies):
    text = "destinations: {crm: {url: '%s'}}\nroutes: [{name: all, to: crm, %s}]\n"
    with Sink(answer(410)) as sink:
        async with World(tmp_path, text % (sink.url, asks)) as world:
            event_id = (await world.receive()).event_id
            await world.dispatcher.idle()
            delivery, health = await world.delivery(event_id), world.dispatcher.holds.health("crm")
    if dies:
        assert (delivery.state, health) == (DeliveryState.DEAD, "")
        assert delivery.reason.endswith("path or query is made from the event, so only this delivery is given up")
    else:
        assert delivery.state is DeliveryState.PENDING
        assert "it answered 410, gone for good: put its new address into url, then resume it" in health


# --- after a restart ---


@story
async def test_an_open_circuit_is_still_open_after_a_restart_and_its_probe_is_due_when_it_was(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for number in range(6):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert len(sink.requests) == 5
        later = world.clock.now + 0.9
        async with World(tmp_path, to_crm(sink)) as world:
            world.clock.now = later
            await world.turn()
            assert world.dispatcher.holds.standing("crm").circuit == "open"
            assert world.dispatcher.holds.standing("crm").failures == 5
            assert len(sink.requests) == 5
            await world.later(0.2)
            assert len(sink.requests) == 6, "one probe"
            assert "next probe in 2.0 s" in world.dispatcher.holds.health("crm")
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
            await world.later(1)
            assert len(sink.requests) == 3


@story
async def test_a_burst_of_answers_with_429_writes_its_wait_once(tmp_path, monkeypatch):
    with Sink(together(10, answer(429, headers=[("Retry-After", "600")]))) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            stored, set_hold = [], world.store.set_hold
            monkeypatch.setattr(world.store, "set_hold", lambda hold: stored.append(hold) or set_hold(hold))
            for number in range(10):
                await world.receive(numbered(number))
            await world.dispatcher.idle()
    assert len(sink.requests) == 10
    assert len(stored) == 1
