"""What people do to a running gateway: a real store, a real destination, a clock that is moved by hand."""

import asyncio
import contextlib
import json

import pytest

from gateway.config import load
from gateway.errors import BadRequest, BodyGone, UnknownName
from gateway.model import DeliveryState
from gateway.operate import operations
from gateway.operate.operations import Move
from gateway.operate.selection import Filter
from gateway.store import rules
from gateway.store.activities import Task
from gateway.store.nouns import Retention
from gateway.store.queries import DeliveryQuery
from tests.sink import Sink, answer
from tests.world import BODY, World, numbered, story, to_crm


def a_contact(number: int, note: str = "", type: str = "created") -> bytes:
    payload = json.loads(BODY)
    payload["event"] = type
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    payload["data"]["attributes"]["lastname"] = note
    return json.dumps(payload).encode()


def replay(*ids: str, **options) -> Move:
    return Move(verb="replay", by="ann", ids=ids, **options)


def reroute(*ids: str, **options) -> Move:
    return Move(verb="reroute", by="ann", ids=ids, **options)


def discard(*ids: str, **options) -> Move:
    return Move(verb="discard", by="ann", ids=ids, **options)


async def dead(world: World, count: int, sink: Sink, status: int = 422) -> list[str]:
    """Events whose deliveries have died."""
    sink.at("/", answer(status))
    ids = [(await world.receive(numbered(number))).event_id for number in range(count)]
    await world.turn()
    sink.at("/", answer(200))
    return ids


async def states(world: World) -> dict[str, int]:
    numbers = (await world.store.stats()).destinations["crm"]
    return {name: getattr(numbers, name) for name in DeliveryState if getattr(numbers, name)}


async def verbs(world: World) -> list[tuple[str, str, str]]:
    return [(each.verb, each.subject, each.by) for each in (await world.store.activities()).rows]


@contextlib.asynccontextmanager
async def running(world: World):
    """The loops of the operations, in real time."""
    task = asyncio.create_task(world.operations.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- replay ---


@story
async def test_a_task_that_another_replica_left_is_found_without_being_told(tmp_path, monkeypatch):
    monkeypatch.setattr(operations, "ORPHANS_INTERVAL_S", 0.01)
    monkeypatch.setattr(rules, "SLICE", 2)
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world, running(world):
            await dead(world, 5, sink)
            which = DeliveryQuery(state=DeliveryState.DEAD)
            begun = await world.store.begin(Task(verb="replay", by="ann", which=which, subject="a test"))
            assert not begun.progress.is_finished
            while not (await world.store.activity(begun.id)).progress.is_finished:
                await asyncio.sleep(0.01)
            assert (await world.store.activity(begun.id)).progress.moved == 5


@story
async def test_a_replay_by_id_sends_again_and_says_who_did_it(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            [event_id] = await dead(world, 1, sink)
            activity = await world.operations.carry_out(replay(event_id, reason="mended"))
            [moved] = await world.operations.moved(activity, [event_id])
            assert (moved.event_id, moved.state) == (event_id, DeliveryState.PENDING)
            await world.turn()
            done = await world.store.activity(activity.id)
            assert await states(world) == {"delivered": 1}
    assert (done.by, done.verb, done.subject, done.reason) == ("ann", "replay", event_id, "mended")
    assert (done.progress.total, done.progress.delivered, done.progress.is_finished) == (1, 1, True)


@story
async def test_a_replay_of_a_selection_takes_the_dead_ones_and_of_delivered_ones_only_when_they_are_named(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 2, sink)
            await world.receive(numbered(7))
            await world.turn()
            of_crm = Filter(destination="crm")
            assert (await world.operations.preview(replay(filter=of_crm))).count == 2
            delivered = Filter(destination="crm", state="delivered")
            assert (await world.operations.preview(replay(filter=delivered))).count == 1
            await world.operations.carry_out(replay(filter=of_crm))
            await world.turn()
            assert await states(world) == {"delivered": 3}
    assert len(sink.requests) == 5


@story
async def test_a_preview_shows_five_and_does_nothing(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 7, sink)
            preview = await world.operations.preview(replay(filter=Filter(cause="answered 422")))
            assert (preview.count, len(preview.sample)) == (7, 5)
            assert {each.cause for each in preview.sample} == {"answered 422"}
            assert await states(world) == {"dead": 7}
            assert await verbs(world) == []


@story
async def test_the_same_key_is_the_same_replay(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            [event_id] = await dead(world, 1, sink)
            first = await world.operations.carry_out(replay(event_id, key="click-1"))
            await world.turn()
            second = await world.operations.carry_out(replay(event_id, key="click-1"))
            await world.turn()
    assert first.id == second.id
    assert len(sink.requests) == 2, "the one that died, and one replay"


@story
async def test_a_replay_goes_out_at_its_rate(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 5, sink)
            await world.operations.carry_out(replay(filter=Filter(state="dead"), rate="1/s"))
            sent = []
            for _ in range(5):
                await world.turn()
                sent.append(len(sink.requests) - 5)
                world.clock.now += 1
    assert sent == [1, 2, 3, 4, 5]


@story
async def test_as_new_makes_a_delivery_with_an_id_of_its_own(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive()
            await world.turn()
            await world.operations.carry_out(replay(filter=Filter(state="delivered"), as_new=True))
            await world.turn()
    first, second = [request.headers["webhook-id"] for request in sink.requests]
    assert first != second


@story
async def test_a_long_replay_is_carried_on_by_the_loop(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink, paused=True)) as world:
            for number in range(1200):
                await world.receive(numbered(number))
            # So that they are dead: the destination is gone for a moment.
            world.reload("")
            await world.turn()
            assert await states(world) == {"dead": 1200}
            activity = await world.operations.carry_out(replay(filter=Filter(state="dead")))
            assert activity.progress.moved < 1200
            async with running(world):
                while not (await world.store.activity(activity.id)).progress.is_finished:
                    await asyncio.sleep(0.01)
            assert await states(world) == {"pending": 1200}


@story
async def test_a_stopped_replay_leaves_what_it_had_not_reached(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 3, sink)
            activity = await world.operations.carry_out(replay(filter=Filter(state="dead"), rate="1/min"))
            await world.turn()
            stopped = await world.operations.stop(activity.id, by="bob")
            await world.later(3600)
            assert await states(world) == {"delivered": 1, "dead": 2}
            assert (await verbs(world))[0] == ("stop", activity.id, "bob")
            again = await world.operations.stop(activity.id, by="eve")
            assert [each[0] for each in await verbs(world)].count("stop") == 1
    assert again.progress.stopped_by == "bob"
    assert stopped.progress.stopped_by == "bob"


@story
async def test_a_replay_that_is_over_cannot_be_stopped(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 1, sink)
            activity = await world.operations.carry_out(replay(filter=Filter(state="dead")))
            await world.turn()
            stopped = await world.operations.stop(activity.id, by="bob")
            assert [each[0] for each in await verbs(world)] == ["replay"]
    assert (stopped.progress.delivered, stopped.progress.stopped_by) == (1, "")


@story
async def test_what_retention_has_taken_the_body_of_is_not_replayed(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            world.clock.now += 100
            while await world.store.prune(Retention(bodies_s=10)):
                pass
            with pytest.raises(BodyGone, match=r"retention\.bodies has removed its body"):
                await world.operations.carry_out(replay(event_id))


@pytest.mark.parametrize(
    ("move", "error", "said"),
    [
        (replay(), BadRequest, "nothing to replay is selected"),
        (discard(), BadRequest, "nothing to discard is selected"),
        (reroute(), BadRequest, "nothing to reroute is selected"),
        (replay("evt_nothing"), UnknownName, "no event or delivery evt_nothing"),
        (reroute("evt_nothing"), UnknownName, "no event or delivery evt_nothing"),
        (discard("dlv_nothing"), UnknownName, "no event or delivery dlv_nothing"),
        (
            replay(filter=Filter(state="pending")),
            BadRequest,
            "is for dead or delivered deliveries, not for pending ones",
        ),
        (
            discard(filter=Filter(state="delivered")),
            BadRequest,
            "is for dead or pending deliveries, not for delivered ones",
        ),
        (replay("x" * 501), BadRequest, "is not a valid id"),
        (replay(filter=Filter(state="dead"), rate="fast"), BadRequest, "is not a valid rate"),
        (replay(filter=Filter(state="dead"), key="k" * 201), BadRequest, "key: at most 200"),
        (replay(filter=Filter(state="dead"), reason="r" * 501), BadRequest, "reason: at most 500"),
        (Move(verb="replay", by="", filter=Filter(state="dead")), BadRequest, "by: say who you are"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused_in_a_preview_too(tmp_path, move, error, said):
    async def scenario():
        async with World(tmp_path, "") as world:
            for ask in (world.operations.preview, world.operations.carry_out):
                with pytest.raises(error) as refused:
                    await ask(move)
                assert said in str(refused.value)
            assert await verbs(world) == []

    asyncio.run(scenario())


# --- a later event of the same record ---


@story
async def test_a_preview_warns_when_a_later_event_of_the_same_record_was_delivered(tmp_path):
    with Sink(answer(422), answer(200)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            old = (await world.receive(a_contact(451))).event_id
            await world.turn()
            new = (await world.receive(a_contact(451, "Newer", "updated"))).event_id
            other = (await world.receive(a_contact(7))).event_id
            await world.turn()
            for indexed in (False, True):
                if indexed:
                    await world.store.index()
                [warning] = (await world.operations.preview(replay(old))).warnings
                assert warning.startswith(f"contact 451: {new} (contact.updated, ")
                assert f"was delivered to crm after {old}" in warning
                assert (await world.operations.preview(replay(new, other))).warnings == []


@story
async def test_each_of_several_is_compared_with_what_was_delivered_to_its_own_destination_since(tmp_path):
    with Sink() as sink:
        two = f"""
destinations: {{crm: {{url: {sink.url}/crm}}, erp: {{url: {sink.url}/erp}}}}
routes:
  - {{name: to-crm, to: crm, body: {{id: a}}}}
  - {{name: to-erp, to: erp, where: {{attrs.id: {{lt: 100}}}}, body: {{id: a}}}}
"""
        async with World(tmp_path, two) as world:
            received: dict[str, str] = {}

            async def receive(name: str, id_: float, first_name: str) -> None:
                received[name] = (await world.receive(a_contact(id_, first_name))).event_id
                await world.turn()

            sink.at("/", answer(422))
            # The index has no words for 2.5.
            for id_ in (1, 2, 2.5, 200):
                await receive(f"dead {id_}", id_, "Old")
            sink.at("/crm", answer(200))
            for id_ in (1, 2.5, 200):
                await receive(f"newer {id_}", id_, "Newer")
            sink.at("/crm", answer(422))
            await receive("dead again 1", 1, "Newest")
            warnings = (await world.operations.preview(replay(*received.values()))).warnings
            said = {(warning.split(":")[0], warning.partition(" delivered to ")[2].split()[0]) for warning in warnings}
            assert said == {("contact 1", "crm"), ("contact 2.5", "crm"), ("contact 200", "crm")}
            assert all(f"{received[f'newer {id_}']} (" in "".join(warnings) for id_ in (1, 2.5, 200))
            # The newest was not delivered, and nothing was after it.
            assert all(received["dead again 1"] not in warning for warning in warnings)


@story
async def test_a_warning_does_not_name_a_record_whose_id_is_redacted(tmp_path):
    with Sink(answer(422), answer(200)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            path = world.folder / "routes.yaml"
            path.write_text(path.read_text().replace("secret: s3cret", "secret: s3cret, redact: [attrs.id]"))
            world.gateway.config = load(path, environ={})
            old = (await world.receive(a_contact(451))).event_id
            await world.turn()
            await world.receive(a_contact(451, "Newer", "updated"))
            await world.turn()
            [warning] = (await world.operations.preview(replay(old))).warnings
    assert warning.startswith("contact •••: evt_")


@story
async def test_more_than_twenty_are_not_looked_at_one_by_one(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 21, sink)
            await world.receive(a_contact(451, "Newer"))
            await world.turn()
            preview = await world.operations.preview(replay(filter=Filter(state="dead")))
    assert (preview.count, preview.warnings) == (21, [])


# --- reroute ---

THREE = """
destinations:
  crm: {{url: "{url}/crm"}}
  chat: {{url: "{url}/chat"}}
  archive: {{url: "{url}/archive"}}
  new: {{url: "{url}/new"}}
routes:
  - {{name: all, to: [{to}]}}
"""


def fates(rows) -> dict[str, str]:
    return {row.destination: row.fate for row in rows}


@story
async def test_a_reroute_makes_what_is_new_replays_what_is_dead_and_leaves_the_rest_alone(tmp_path):
    with Sink() as sink:
        sink.at("/chat", answer(422))
        async with World(tmp_path, THREE.format(url=sink.url, to="crm, chat, archive")) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            world.reload(THREE.format(url=sink.url, to="crm, chat, new"))
            sink.at("/chat", answer(200))
            preview = await world.operations.preview(reroute(event_id))
            assert fates(preview.diff) == {
                "crm": "delivered: left alone",
                "chat": "dead: replayed",
                "new": "new",
                "archive": "no longer routed: left as it is",
            }
            assert preview.count == 2
            assert [each.destination for each in preview.sample] == ["chat"]
            before = len(sink.requests)
            activity = await world.operations.carry_out(reroute(event_id))
            await world.turn()
            done = await world.store.activity(activity.id)
            deliveries = (await world.store.event(event_id)).deliveries
            again = await world.operations.preview(reroute(event_id))
    assert sorted(request.path for request in sink.requests[before:]) == ["/chat", "/new"]
    assert (done.verb, done.progress.total, done.progress.delivered) == ("reroute", 2, 2)
    assert {each.state for each in deliveries} == {DeliveryState.DELIVERED}
    assert again.count == 0, "a second one has nothing to do"


@story
async def test_an_event_that_matched_nothing_is_rerouted_by_todays_file(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, "") as world:
            event_id = (await world.receive()).event_id
            world.reload(to_crm(sink))
            since = Filter(source="xobito", since="1h")
            assert fates((await world.operations.preview(reroute(filter=since))).diff) == {"crm": "new"}
            await world.operations.carry_out(reroute(filter=since))
            await world.turn()
            assert (await world.delivery(event_id)).state is DeliveryState.DELIVERED


@story
async def test_what_waits_is_left_alone_by_a_reroute(tmp_path):
    with Sink(answer(503)) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            preview = await world.operations.preview(reroute(filter=Filter(destination="crm")))
            assert fates(preview.diff) == {"crm": "pending: left alone"}
            await world.operations.carry_out(reroute(event_id))
            assert len((await world.store.event(event_id)).deliveries) == 1


@story
async def test_a_route_that_had_fired_for_its_key_is_not_fired_by_a_reroute(tmp_path):
    with Sink() as sink:
        text = to_crm(sink).replace("to: crm,", "to: crm, once: {per: '{{ attrs.id }}', for: 1h},")
        async with World(tmp_path, text) as world:
            await world.receive(numbered(0))
            held_back = (await world.receive(numbered(1))).event_id
            preview = await world.operations.preview(reroute(held_back))
    assert fates(preview.diff) == {"crm": "fired before for its key: left alone"}


@story
async def test_a_source_that_is_gone_cannot_be_matched_again(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            event_id = (await world.receive()).event_id
            await world.turn()
            path = world.folder / "routes.yaml"
            path.write_text(path.read_text().replace("sources: {xobito:", "sources: {other:"))
            world.gateway.config = load(path, environ={})
            preview = await world.operations.preview(reroute(event_id))
    assert fates(preview.diff) == {"crm": "its source is no longer in routes.yaml: left as it is"}


# --- discard ---


@story
async def test_a_discard_ends_what_is_dead_or_waits(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await dead(world, 2, sink)
            sink.at("/", answer(503))
            waiting = (await world.receive(numbered(9))).event_id
            await world.turn()
            assert (await world.operations.preview(discard(filter=Filter(destination="crm")))).count == 2
            await world.operations.carry_out(discard(filter=Filter(destination="crm")))
            await world.operations.carry_out(discard(waiting, reason="not needed"))
            assert await states(world) == {"discarded": 3}
            assert (await world.delivery(waiting)).reason == "discarded by ann: not needed"


# --- pause and mute ---


@story
async def test_a_pause_and_its_end_leave_a_trace(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.operations.pause("crm", by="ann", reason="their migration", for_s=60)
            assert world.dispatcher.holds.standing("crm").paused.by == "ann"
            assert await world.operations.resume("crm", by="bob") == "resumed"
            assert await world.operations.resume("crm", by="bob") == "nothing"
            assert await verbs(world) == [("resume", "crm", "bob"), ("pause", "crm", "ann")]
            assert (await world.store.activities()).rows[-1].reason.startswith("their migration (until ")


@story
async def test_what_is_held_otherwise_can_be_tried_at_once_and_it_is_said_what_that_did(tmp_path):
    with Sink(answer(500)) as sink:
        async with World(tmp_path, to_crm(sink, retry={"first": "1s", "max": "1s"})) as world:
            await world.receive()
            for _ in range(5):
                await world.later(1)
            standing = world.dispatcher.holds.standing("crm")
            assert standing.circuit == "open"
            for _ in range(20):
                await world.later(300)
            before = len(sink.requests)
            world.clock.now += 1
            sink.at("/", answer(200))
            await world.turn()
            assert len(sink.requests) == before, "the next probe is minutes away"
            assert await world.operations.try_now("crm", by="ann") == "probed"
            await world.turn()
            assert len(sink.requests) == before + 1
            assert await world.operations.try_now("crm", by="ann") == "nothing"
            assert await verbs(world) == [("try", "crm", "ann")]


@story
async def test_one_that_asked_to_wait_can_be_tried_at_once_and_a_pause_stays(tmp_path):
    with Sink(answer(429, headers=[("Retry-After", "600")])) as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.receive()
            await world.dispatcher.idle()
            sink.at("/", answer(200))
            assert await world.operations.try_now("crm", by="ann") == "unthrottled"
            await world.receive(numbered(1))
            await world.turn()
            assert len(sink.requests) == 2
            await world.operations.pause("crm", by="ann", reason="their migration")
            assert await world.operations.try_now("crm", by="ann") == "still_paused"
            assert world.dispatcher.holds.is_paused("crm")


TOLD = """
destinations:
  crm: {{url: "{url}/crm"}}
  alerts: {{url: "{url}/alerts"}}
routes:
  - {{name: all, match: contact.created, to: crm}}
  - {{name: own, source: gateway, to: alerts, body: {{said: "{{{{ payload.message }}}}"}}}}
failed:
  - {{name: told, to: alerts, body: {{said: "{{{{ delivery.reason }}}}"}}}}
"""


def alerts(sink: Sink) -> list[str]:
    return [json.loads(request.body)["said"] for request in sink.requests if request.path == "/alerts"]


@story
async def test_of_a_muted_destination_nobody_is_told_and_it_goes_on(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        async with World(tmp_path, TOLD.format(url=sink.url)) as world:
            await world.operations.mute("crm", by="ann", reason="known", for_s=600)
            await world.receive(numbered(0))
            await world.turn()
            sink.at("/crm", answer(503))
            for number in range(1, 7):
                await world.receive(numbered(number))
                await world.dispatcher.idle()
            assert world.dispatcher.holds.standing("crm").circuit == "open"
            await world.operations.pause("crm", by="ann", reason="why")
            await world.operations.resume("crm", by="ann")
            await world.turn()
            assert alerts(sink) == []
            await world.operations.unmute("crm", by="ann")
            await world.operations.pause("crm", by="ann", reason="why")
            await world.turn()
    assert alerts(sink) == ["crm is paused by ann: why. Nothing is lost; deliveries continue once it is resumed."]


@story
async def test_a_mute_survives_a_restart_and_ends_by_itself(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        text = TOLD.format(url=sink.url)
        async with World(tmp_path, text) as world:
            await world.operations.mute("crm", by="ann", reason="known", for_s=600)
        async with World(tmp_path, text) as world:
            await world.dispatcher.recall()
            assert world.dispatcher.holds.standing("crm").muted.reason == "known"
            assert world.dispatcher.holds.standing("crm").paused is None
            await world.receive(numbered(0))
            await world.turn()
            assert alerts(sink) == []
            await world.later(601)
            assert world.dispatcher.holds.standing("crm").muted is None
            await world.receive(numbered(1))
            await world.turn()
            assert len(alerts(sink)) == 1


@pytest.mark.parametrize("verb", ["pause", "mute"])
def test_a_pause_of_nothing_for_no_reason_or_for_ever_so_long_is_refused(tmp_path, verb):
    async def scenario():
        async with World(tmp_path, to_crm(sink)) as world:
            ask = getattr(world.operations, verb)
            with pytest.raises(UnknownName, match=r'no destination cmr in routes\.yaml \(did you mean "crm"\?\)'):
                await ask("cmr", by="ann", reason="why")
            with pytest.raises(BadRequest, match="reason: say why"):
                await ask("crm", by="ann", reason=" ")
            with pytest.raises(BadRequest, match="by: say who"):
                await ask("crm", by="a\nb", reason="why")
            for for_s in (0, -1, 1e9, float("nan")):
                with pytest.raises(BadRequest, match=r"for_s: .* is out of range"):
                    await ask("crm", by="ann", reason="why", for_s=for_s)
            assert await verbs(world) == []

    with Sink() as sink:
        asyncio.run(scenario())


@story
async def test_a_destination_that_left_the_file_can_still_be_resumed(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            await world.operations.pause("crm", by="ann", reason="why")
            world.reload("")
            assert await world.operations.resume("crm", by="ann")


# --- the index ---
