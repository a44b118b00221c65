"""What a delivery recalls of earlier answers, and what is remembered of its own."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable
from gateway.model import DeliveryState, Reply
from gateway.presets import load as load_preset
from gateway.routing.memory import Remember, Remembering
from tests.sink import Sink, answer
from tests.world import World, story

CREATED, UPDATED = (load_preset("xobito").samples[f"contact.{what}"] for what in ("created", "updated"))
CRM = ("crm-id", "451")


def file(
    sink, *, wait="", values="{id: json.id}", more="", crm="", path="/contacts/{{ contact.id | default('none') }}"
):
    wait = f", wait: {wait}" if wait else ""
    per = 'per: "{{ attrs.id }}"'
    return (
        f"destinations:\n  crm: {{url: {sink.url}{crm}}}\n"
        "routes:\n"
        "  - name: create\n    match: contact.created\n    to: crm\n    path: /contacts\n"
        f"    remember: {{as: crm-id, {per}, values: {values}, for: 90d}}\n"
        f'  - name: change\n    match: contact.updated\n    to: crm\n    method: PUT\n    path: "{path}"\n'
        f"    recall: {{contact: {{from: crm-id, {per}{wait}}}}}\n{more}"
    )


def made(sink):
    return [f"{each.method} {each.path}" for each in sink.requests]


def creating(sink, body=b'{"id": 77}', status=201, **more):
    """The CRM answers what is created with an id."""
    return sink.at("/contacts", answer(status, body, **more))


async def known(world):
    recalled = await world.store.recall("", [CRM])
    return {subject: each.value for subject, each in recalled.known.items()}


async def attempts(world, event_id):
    history = await world.store.event(event_id)
    return [made for each in history.deliveries for made in history.attempts.get(each.id, ())]


@story
async def test_the_next_change_goes_to_the_record_by_the_id_that_its_creation_was_answered(tmp_path):
    with Sink(answer(200)) as sink:
        creating(sink)
        async with World(tmp_path, file(sink)) as world:
            created = await world.receive(CREATED)
            await world.turn()
            updated = await world.receive(UPDATED)
            await world.turn()
            assert made(sink) == ["POST /contacts", "PUT /contacts/77"]
            [one], [two] = await attempts(world, created.event_id), await attempts(world, updated.event_id)
            assert one.memory == "remembered as crm-id of 451 for 90d: id 77"
            assert two.memory == "contact: crm-id of 451: id 77"


@story
async def test_without_a_wait_it_is_sent_at_once_with_nothing(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink)) as world:
            event = await world.receive(UPDATED)
            await world.turn()
            assert made(sink) == ["PUT /contacts/none"]
            [attempt] = await attempts(world, event.event_id)
            assert attempt.memory == "contact: nothing is remembered as crm-id of 451"


@story
async def test_it_waits_without_a_slot_an_attempt_or_a_turn_and_goes_as_soon_as_the_value_is_there(tmp_path):
    with Sink(answer(200)) as sink:
        creating(sink)
        text = file(sink, wait="10m", crm=", concurrency: 1, rate: 1/h")
        async with World(tmp_path, text) as world:
            updated = await world.receive(UPDATED)
            # A rate lets nothing start in the first hour after the start.
            await world.later(3601.0)
            delivery = await world.delivery(updated.event_id)
            assert (delivery.state, delivery.attempts, delivery.spent_s) == (DeliveryState.PENDING, 0, 0.0)
            assert (await world.store.event(delivery.id)).waits_for == {delivery.id: (CRM,)}
            assert world.dispatcher.holds.in_flight == {}
            await world.receive(CREATED)
            await world.turn()
            assert made(sink) == ["POST /contacts"], "the one that waits took no turn of the rate"
            await world.later(3601.0)
            assert made(sink) == ["POST /contacts", "PUT /contacts/77"]


@story
async def test_once_its_wait_is_over_it_is_sent_without_and_a_retry_waits_no_more(tmp_path):
    with Sink(answer(503), answer(200)) as sink:
        async with World(tmp_path, file(sink, wait="10m")) as world:
            updated = await world.receive(UPDATED)
            await world.turn()
            await world.later(599.0)
            assert made(sink) == []
            await world.later(2.0)
            assert made(sink) == ["PUT /contacts/none"]
            await world.later(5.0)
            assert made(sink) == ["PUT /contacts/none"] * 2
            assert (await world.delivery(updated.event_id)).state is DeliveryState.DELIVERED


@story
async def test_a_replay_recalls_what_is_known_by_then(tmp_path):
    with Sink(answer(200)) as sink:
        creating(sink)
        async with World(tmp_path, file(sink, path="/contacts/{{ contact.id }}")) as world:
            updated = await world.receive(UPDATED)
            await world.turn()
            dead = await world.delivery(updated.event_id)
            assert (dead.state, "contact.id" in dead.reason) == (DeliveryState.DEAD, True)
            await world.receive(CREATED)
            await world.turn()
            await world.replay(updated.event_id)
            await world.turn()
            assert made(sink) == ["POST /contacts", "PUT /contacts/77"]


@story
async def test_a_replay_of_what_remembers_learns_anew(tmp_path):
    with Sink(answer(200)) as sink:
        sink.at("/contacts", answer(201, b'{"id": 77}'), answer(200, b'{"id": 78}'))
        async with World(tmp_path, file(sink)) as world:
            created = await world.receive(CREATED)
            await world.turn()
            await world.replay(created.event_id)
            await world.turn()
            assert await known(world) == {CRM: {"id": 78}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the answer has no json.id"),
        (b"<html>", "the answer has no json.id"),
        (b"[1, 2]", "the answer has no json.id"),
        (b'{"id": null}', "the answer has no json.id"),
        (b'{"ID": 7}', "the answer has no json.id"),
        (b"\xff\xfe", "the answer has no json.id"),
        (b"[" * 10_000, "the answer has no json.id"),
        (b'{"id": "' + b"x" * 300_000 + b'"}', "the answer has no json.id"),
    ],
    ids=["empty", "html", "list", "null", "other name", "no text", "deep", "300 kB"],
)
def test_an_answer_without_the_value_is_accepted_and_changes_nothing(tmp_path, body, said):
    @story
    async def scenario():
        with Sink(answer(200)) as sink:
            sink.at("/contacts", answer(201, b'{"id": 77}'), answer(200, body))
            async with World(tmp_path, file(sink)) as world:
                first = await world.receive(CREATED)
                await world.turn()
                await world.replay(first.event_id)
                await world.turn()
                assert (await world.delivery(first.event_id)).state is DeliveryState.DELIVERED
                assert await known(world) == {CRM: {"id": 77}}
                assert (await attempts(world, first.event_id))[-1].memory == (
                    f"nothing is remembered as crm-id of 451: {said}"
                )

    scenario()


@story
async def test_all_values_of_an_answer_are_kept_or_none(tmp_path):
    values = "{id: json.data.id, tags: 'json.data[\"tag.s\"]', etag: headers.etag, whole: text}"
    body = b'{"data": {"id": 12345678901234567890123, "tag.s": ["a", {"b": 1}]}}'
    with Sink(answer(200)) as sink:
        sink.at("/contacts", answer(200, body), answer(200, body, headers=[("etag", "v1")]))
        async with World(tmp_path, file(sink, values=values)) as world:
            first = await world.receive(CREATED)
            await world.turn()
            assert await known(world) == {}
            await world.replay(first.event_id)
            await world.turn()
            found = (await known(world))[CRM]
    assert (found["tags"], found["etag"], found["whole"]) == (["a", {"b": 1}], "v1", body.decode())
    assert float(found["id"]) == pytest.approx(12345678901234567890123)


@story
async def test_an_answer_that_is_not_accepted_is_not_remembered(tmp_path):
    with Sink(answer(200)) as sink:
        sink.at("/contacts", answer(200, b'{"ok": false, "id": 1}'), answer(200, b'{"ok": true, "id": 2}'))
        async with World(tmp_path, file(sink, crm=", success: {json: {ok: true}}")) as world:
            await world.receive(CREATED)
            await world.turn()
            assert await known(world) == {}
            await world.later(5.0)
            assert await known(world) == {CRM: {"id": 2}}


@story
async def test_a_key_of_a_megabyte_is_as_good_as_any(tmp_path):
    payload = json.loads(CREATED)
    changed = json.loads(UPDATED)
    for each in (payload, changed):
        each["data"]["attributes"]["id"] = "x" * 900_000
    with Sink(answer(200)) as sink:
        creating(sink)
        async with World(tmp_path, file(sink)) as world:
            await world.receive(json.dumps(payload).encode())
            await world.turn()
            await world.receive(json.dumps(changed).encode())
            await world.turn()
            assert made(sink) == ["POST /contacts", "PUT /contacts/77"]


@story
async def test_an_event_without_a_key_neither_waits_nor_is_remembered(tmp_path):
    payload = json.loads(UPDATED)
    payload["data"]["attributes"]["id"] = ""
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink, wait="10m")) as world:
            event = await world.receive(json.dumps(payload).encode())
            await world.turn()
            assert made(sink) == ["PUT /contacts/none"]
            [attempt] = await attempts(world, event.event_id)
            assert attempt.memory == "contact: nothing, since the event has no key for crm-id"


@story
async def test_a_key_that_cannot_be_rendered_ends_the_delivery_before_it_is_sent(tmp_path):
    payload = json.loads(CREATED)
    changed = json.loads(UPDATED)
    for each in (payload, changed):
        del each["data"]["attributes"]["id"], each["data"]["id"]
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink)) as world:
            events = [await world.receive(json.dumps(each).encode()) for each in (payload, changed)]
            await world.turn()
            dead = [await world.delivery(each.event_id) for each in events]
    assert made(sink) == []
    assert [each.state for each in dead] == [DeliveryState.DEAD] * 2
    assert all("the event has no field attrs.id" in each.reason for each in dead)


@story
async def test_a_crash_between_the_answer_and_its_record_has_it_learnt_again(tmp_path):
    with Sink(answer(200)) as sink:
        sink.at("/contacts", answer(201, b'{"id": 77}'), answer(201, b'{"id": 78}'))
        async with World(tmp_path, file(sink)) as world:
            world.dispatcher._settling._store = _Refusing(world.store)
            await world.receive(CREATED)
            while not world.dispatcher._settling._store.asked:
                await _moment()
            assert made(sink) == ["POST /contacts"]
        async with World(tmp_path, file(sink)) as world:
            assert await known(world) == {}
            await world.turn()
            assert made(sink) == ["POST /contacts"] * 2
            assert await known(world) == {CRM: {"id": 78}}


class _Refusing:
    """Its process is gone before it has recorded anything."""

    asked = False

    def __init__(self, store):
        self._store = store

    def settle(self, _outcomes):
        self.asked = True
        return asyncio.get_running_loop().create_future()

    def __getattr__(self, name):
        return getattr(self._store, name)


async def _moment():
    await asyncio.sleep(0.01)


@story
async def test_a_store_that_refuses_to_recall_costs_no_attempt(tmp_path):
    with Sink(answer(200)) as sink:
        async with World(tmp_path, file(sink)) as world:
            recall = world.store.recall

            async def refuse(*_):
                raise StoreUnavailable("the disk is away")

            world.store.recall = refuse
            event = await world.receive(UPDATED)
            await world.dispatcher.idle()
            delivery = await world.delivery(event.event_id)
            assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 0)
            world.store.recall = recall
            await world.turn()
            assert made(sink) == ["PUT /contacts/none"]


@story
async def test_values_of_the_event_that_its_source_redacts_are_not_shown_with_its_attempts(tmp_path):
    with Sink(answer(200)) as sink:
        head = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, redact: [attrs.email]}}\n"
        async with World(tmp_path, head + file(sink)) as world:
            email = json.loads(CREATED)["data"]["attributes"]["email"]
            sink.at("/contacts", answer(201, json.dumps({"id": email}).encode()))
            event = await world.receive(CREATED)
            await world.turn()
            [attempt] = await attempts(world, event.event_id)
    assert email not in attempt.memory
    assert attempt.memory.startswith("remembered as crm-id of 451")


@given(body=st.binary(max_size=300) | st.text(max_size=100).map(str.encode) | st.just(b'{"id": 1e999}'))
def test_no_answer_breaks_what_reads_it(body):
    kept = Remember(name="x", per=None, values={"id": ("json", "id"), "a": ("text",)}, for_s=1.0)
    remembered, said = Remembering(kept, CRM).of(Reply(status=200, body=body))
    assert said
    assert remembered is None or json.loads(remembered.values)


@story
async def test_each_element_of_send_remembers_and_recalls_for_itself(tmp_path):
    per = 'per: "{{ attrs.id }}"'
    with Sink(answer(200)) as sink:
        sink.at("/a", answer(200, b'{"id": 1}')).at("/b", answer(200, b'{"id": 2}'))
        text = (
            f"destinations: {{a: {{url: {sink.url}/a}}, b: {{url: {sink.url}/b}}, c: {{url: {sink.url}/c}}}}\n"
            "routes:\n  - match: contact.created\n    name: both\n    send:\n"
            f"      - {{to: a, remember: {{as: a, {per}, values: {{id: json.id}}}}}}\n"
            f"      - {{to: b, remember: {{as: b, {per}, values: {{id: json.id}}}}}}\n"
            f"      - {{to: c, recall: {{one: {{from: a, {per}, wait: 1h}}, two: {{from: b, {per}, wait: 1h}}}}, "
            'body: ["{{ one.id }}", "{{ two.id }}"]}\n'
        )
        async with World(tmp_path, text) as world:
            await world.receive(CREATED)
            await world.turn()
    assert [json.loads(each.body) for each in sink.requests if each.path == "/c"] == [[1, 2]]


@story
async def test_a_message_about_a_dead_delivery_may_recall_as_well(tmp_path):
    per = 'per: "{{ attrs.id }}"'
    more = (
        f"failed:\n  - to: alerts\n    recall: {{contact: {{from: crm-id, {per}}}}}\n"
        '    text: "{{ contact.id }}: {{ delivery.reason }}"\n'
    )
    with Sink(answer(422)) as sink:
        creating(sink.at("/alerts", answer(200)))
        text = file(sink, more=more).replace(
            "destinations:\n", f"destinations:\n  alerts: {{url: {sink.url}/alerts}}\n"
        )
        text = text.replace('path: "/contacts/', 'path: "/gone/')
        async with World(tmp_path, text) as world:
            await world.receive(CREATED)
            await world.turn()
            await world.receive(UPDATED)
            await world.turn()
    [alert] = [json.loads(each.body)["text"] for each in sink.requests if each.path == "/alerts"]
    assert alert.startswith("77: answered 422")


@pytest.mark.parametrize("id_", ["../../admin", "a/b?c=d#e", "7\r\nx: y", ["a"], {"a": 1}, True], ids=repr)
def test_a_value_of_an_answer_cannot_leave_its_place_in_an_address(tmp_path, id_):
    @story
    async def scenario():
        with Sink(answer(200)) as sink:
            creating(sink, json.dumps({"id": id_}).encode())
            async with World(tmp_path, file(sink, path="/contacts/{{ contact.id }}/notes")) as world:
                await world.receive(CREATED)
                await world.turn()
                await world.receive(UPDATED)
                await world.turn()
            changes = [each.path for each in sink.requests if each.method == "PUT"]
        assert all(
            path.startswith("/contacts/") and path.endswith("/notes") and path.count("/") == 3 for path in changes
        )
        assert not any(set("?#\r\n") & set(path) for path in changes)

    scenario()
