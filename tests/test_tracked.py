"""What a source remembers of its records, from the request to the delivery, a replay, and what people see."""

import json

import pytest

from gateway.config import load
from gateway.event import tracks
from gateway.hiding.redaction import MASK
from gateway.operate import views
from gateway.rehearsal.expectations import failures
from gateway.rehearsal.explained import explained_history
from gateway.signatures import Request
from tests.sink import Sink, answer
from tests.world import World, story

ROUTES = """version: 1
sources:
  xobito:
    preset: xobito
    secret: s3cret
    track: 180d
    {more}
destinations:
  crm: {{url: "{url}", retry: none}}
routes:
  - name: qualified
    match: contact.*
    where: {{attrs.status_id: {{changed: {{to: 3}}}}}}
    to: crm
    body: {{was: "{{{{ before.status_id }}}}", email: "{{{{ record.email }}}}", names: "{{{{ changes | map(attribute='name') | list }}}}"}}
"""


def routes(sink, more=""):
    return ROUTES.format(url=sink.url, more=more)


def contact(**attributes):
    said = {
        "event": "updated",
        "model": "App\\Models\\Tenant\\Contact",
        "data": {"id": 451, "attributes": {"id": 451, **attributes}},
        "original": None,
    }
    return json.dumps(said).encode()


async def qualified(world):
    """A contact that has become qualified; the event."""
    await world.receive(contact(status_id=1, email="ada@example.com", firstname="Ada"))
    await world.turn()
    event = await world.receive(contact(status_id=3))
    await world.turn()
    return event.event_id


def document(world, history):
    """What people see of a stored event."""
    shown = views.event_history(history, world.config.redaction(history.event))
    return {**shown, **explained_history(world.config, history)}


@story
async def test_an_event_is_delivered_with_what_it_changed_and_a_replay_says_the_same(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, routes(sink)) as world:
            event_id = await qualified(world)
            await world.receive(contact(status_id=1, email="new@example.com"))
            await world.replay(event_id)
            await world.turn()
            first, again = [json.loads(each.body) for each in sink.requests]
    assert first == {"was": 1, "email": "ada@example.com", "names": ["status_id"]}
    assert again == first


@story
async def test_a_retry_says_what_the_first_attempt_said_whatever_has_come_since(tmp_path):
    with Sink(answer(503), answer(200)) as sink:
        async with World(tmp_path, routes(sink).replace("retry: none", "retry: {first: 10s}")) as world:
            await qualified(world)
            await world.receive(contact(status_id=4, email="new@example.com"))
            await world.later(20.0)
            first, again = [json.loads(each.body) for each in sink.requests]
    assert again == first


@story
async def test_the_answer_to_the_sender_may_say_what_is_known(tmp_path):
    with Sink() as sink:
        more = 'reply: {text: "{{ before.status_id | default(0) }} {{ record.email }}"}'
        async with World(tmp_path, routes(sink, more)) as world:
            await qualified(world)
            source = world.config.sources["xobito"]
            [(name, value)] = source.verifier.sign(_request(contact(status_id=5)), 0, "").headers
            request = _request(contact(status_id=5), (name.encode(), value.encode()))
            accepted = await world.received(source, request)
    assert accepted.answer.body == b"3 ada@example.com"


def _request(body, *headers):
    return Request(headers=[(b"content-type", b"application/json"), *headers], body=body)


@story
async def test_explain_shows_what_was_known_and_what_changed(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, routes(sink)) as world:
            history = await world.store.event(await qualified(world))
            shown = document(world, history)
    assert shown["tracked"]["before"] == {"id": 451, "status_id": 1, "email": "ada@example.com", "firstname": "Ada"}
    assert shown["tracked"]["changes"] == [{"name": "status_id", "before": 1, "after": 3}]
    [entry] = shown["entries"]
    assert entry["clauses"][-1]["seen"] == {"before": 1, "now": 3}
    assert shown["requests"][0]["request"]["body"]["email"] == "ada@example.com"
    assert '"status_id": 1' in shown["test"], "before: of a test"


@story
async def test_a_stored_event_as_a_test_passes(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, routes(sink)) as world:
            history = await world.store.event(await qualified(world))
            test = document(world, history)["test"]
            text = f"{routes(sink)}tests:\n{test}\n"
    path = tmp_path / "tested.yaml"
    path.write_text(text)
    config = load(path, environ={})
    assert failures(config, config.tests[0], tmp_path) == []


@story
async def test_what_is_redacted_is_hidden_in_what_is_remembered_too(tmp_path):
    with Sink() as sink:
        text = routes(sink, "redact: [attrs.email, attrs.status_id]")
        async with World(tmp_path, text) as world:
            history = await world.store.event(await qualified(world))
            shown = document(world, history)
            sent = json.loads(sink.requests[0].body)
    assert sent["email"] == "ada@example.com"
    assert "ada@example.com" not in str(shown)
    assert shown["tracked"]["before"]["email"] == MASK
    assert shown["tracked"]["changes"] == [{"name": "status_id", "before": MASK, "after": MASK}]
    assert shown["entries"][0]["clauses"][-1]["seen"] == MASK


@story
async def test_an_error_that_quotes_what_is_remembered_hides_it(tmp_path):
    with Sink(answer(422, b'{"error": "ada@example.com is taken"}')) as sink:
        async with World(tmp_path, routes(sink, "redact: [attrs.email]")) as world:
            event_id = await qualified(world)
            delivery = await world.delivery(event_id)
    assert "ada@example.com" not in delivery.reason + delivery.last_answer
    assert MASK in delivery.last_answer


@story
async def test_what_must_leave_the_store_is_not_remembered(tmp_path):
    with Sink() as sink:
        text = routes(sink, "redact: {paths: [attrs.email], store: true}").replace(
            'email: "{{ record.email }}"', 'email: "{{ record.email | default(none) }}"'
        )
        async with World(tmp_path, text) as world:
            await qualified(world)
            [record] = (await world.store.records("xobito", ["contact:451"])).values()
            sent = json.loads(sink.requests[0].body)
    assert b"ada@example.com" not in record.track
    assert sent == {"was": 1, "email": None, "names": ["status_id"]}


@pytest.mark.parametrize("find", ["attrs.email=ada@example.com", "email=ada@example.com", "Ada@Example"])
@story
async def test_whoever_is_forgotten_is_forgotten_where_only_the_record_had_the_value(tmp_path, find):
    with Sink() as sink:
        async with World(tmp_path, routes(sink)) as world:
            event_id = await qualified(world)
            activity = await world.operations.forget(find, by="ann")
            await world.operations.finish(activity.id)
            history = await world.store.event(event_id)
            records = await world.store.records("xobito", ["contact:451"])
    assert (history.body_is, history.event.track) == ("forgotten", b"")
    assert records == {}


@story
async def test_events_from_before_track_have_nothing_known_before_them(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n") as world:
            old = await world.receive(contact(status_id=1))
            world.reload(routes(sink))
            history = await world.store.event(old.event_id)
            assert "tracked" not in document(world, history)
            await world.receive(contact(status_id=3))
            await world.turn()
            assert sink.requests == [], "it is the first that is remembered"


@story
async def test_events_of_a_file_without_track_are_stored_without_one(tmp_path):
    async with World(tmp_path, "") as world:
        appended = await world.receive(contact(status_id=1))
        event = (await world.store.event(appended.event_id)).event
        assert event.track == b""
        assert await world.store.remembered() == {}
        assert tracks.ROOTS.isdisjoint(world.config.sources["xobito"].naming.facts(event, {}))
