"""What a sender is answered, in the words of its source: from the event, and only after it is stored."""

import gzip
import json

import pytest

from gateway import telemetry
from gateway.errors import StoreUnavailable
from gateway.presets import load
from gateway.rehearsal.rehearse import request_of
from tests.web.test_door import AtTheDoor
from tests.world import story

FILE = """\
version: 1
sources:
  it: {verify: {token: {header: x-token}}, secret: t0ken-of-tests, type: "{payload.kind}"%s}
  slack: {preset: slack, secret: a-secret-of-tests}
  commands: {preset: slack, secret: a-secret-of-tests, reply: {json: {response_type: ephemeral, text: "{{ attrs.text }}?"}}}
  twilio: {preset: twilio, secret: a-secret-of-tests, public_url: https://hooks.example.com/in/twilio}
  calls:
    preset: twilio
    secret: a-secret-of-tests
    public_url: https://hooks.example.com/in/calls
    reply: {xml: "<Response><Say>{{ attrs.From }}</Say></Response>"}
"""
TOKEN = {"x-token": "t0ken-of-tests", "content-type": "application/json"}


def body(**fields) -> bytes:
    return json.dumps({"kind": "ring", **fields}).encode()


async def answered(tmp_path, reply, *pieces):
    async with AtTheDoor(tmp_path, FILE % (f", reply: {reply}" if reply else "")) as desk:
        return await desk.send(
            *(pieces or [body(name="<Ann>", odd="a\x01&\x0bb\tc\uffff")]), path="/in/it", headers=TOKEN
        )


@pytest.mark.parametrize(
    ("reply", "status", "type_", "said"),
    [
        ('{json: {hello: "{{ payload.name }}", n: 1}}', 202, "application/json", b'{"hello":"<Ann>","n":1}'),
        ('{status: 200, text: "hi {{ payload.name }}"}', 200, "text/plain; charset=utf-8", b"hi <Ann>"),
        ('{status: 201, xml: "<r>{{ payload.name }}</r>"}', 201, "text/xml; charset=utf-8", b"<r>&lt;Ann&gt;</r>"),
        ('{xml: "<r>{{ payload.odd }}</r>"}', 202, "text/xml; charset=utf-8", b"<r>a&amp;b\tc</r>"),
        ("{status: 204}", 204, None, b""),
        ('{status: 200, text: ""}', 200, None, b""),
    ],
    ids=[
        "json",
        "text",
        "xml escapes its values",
        "xml has none of the characters that it may not have",
        "204",
        "an empty text",
    ],
)
@story
async def test_an_answer_is_made_from_the_event(tmp_path, reply, status, type_, said):
    answer = await answered(tmp_path, reply)
    assert (answer.status, answer.headers.get("content-type"), answer.body) == (status, type_, said)
    assert ("content-length" in answer.headers) is (status != 204)
    if said:
        assert answer.headers["x-content-type-options"] == "nosniff"


@story
async def test_a_template_file_answers(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "alexa.json.j2").write_text('{"version": "1.0", "text": "{{ payload.name }}"}')
    answer = await answered(tmp_path, "{status: 200, template: alexa.json.j2}")
    assert (answer.status, answer.json) == (200, {"version": "1.0", "text": "<Ann>"})


@story
async def test_a_status_alone_keeps_the_usual_answer(tmp_path):
    answer = await answered(tmp_path, "{status: 200}")
    assert answer.status == 200
    assert answer.json["duplicate"] is False


@story
async def test_the_event_is_stored_before_it_is_answered_and_a_duplicate_gets_the_same_answer(tmp_path):
    async with AtTheDoor(tmp_path, FILE % ', reply: {json: {id: "{{ event.id }}"}}') as desk:
        first = await desk.send(body(), path="/in/it", headers=TOKEN)
        again = await desk.send(body(), path="/in/it", headers=TOKEN)
        [stored] = (await desk.store.events()).rows
    assert first.json == again.json == {"id": stored.id}


@story
async def test_an_event_that_cannot_be_stored_is_not_answered_as_if_it_were(tmp_path, monkeypatch):
    async with AtTheDoor(tmp_path, FILE % ", reply: {status: 200, text: ok}") as desk:

        def append(*_, **__):
            raise StoreUnavailable("the disk is gone")

        monkeypatch.setattr(desk.store, "append", append)
        answer = await desk.send(body(), path="/in/it", headers=TOKEN)
    assert answer.status == 503


@story
async def test_a_reply_that_fails_is_the_usual_answer_and_a_warning_without_secrets(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(telemetry, "log", lambda event, **fields: logged.append((event, fields)))
    answer = await answered(tmp_path, '{status: 200, json: {to: "{{ payload.nobody }}"}}')
    assert answer.status == 200
    assert answer.json["duplicate"] is False
    [warning] = [fields for event, fields in logged if event == "event.not_replied"]
    assert warning["source"] == "it"
    assert "payload.nobody" in warning["reason"]


@story
async def test_a_compressed_request_is_answered_from_what_it_holds(tmp_path):
    async with AtTheDoor(tmp_path, FILE % ", dedupe: none, reply: {text: '{{ payload.name }}'}") as desk:
        for _ in range(2):
            packed = gzip.compress(body(name="Ann"))
            answer = await desk.send(packed, path="/in/it", headers=TOKEN | {"content-encoding": "gzip"})
            assert (answer.status, answer.body) == (202, b"Ann")
        assert len((await desk.store.events()).rows) == 2


@story
async def test_a_split_request_is_answered_from_its_first_event(tmp_path):
    reply = '{text: "{{ payload.n }} of {{ envelope.batch }}"}, split: payload.events.*'
    whole = json.dumps({"batch": 7, "events": [{"kind": "a", "n": 1}, {"kind": "b", "n": 2}]}).encode()
    assert (await answered(tmp_path, reply, whole)).body == b"1 of 7"


async def ask(desk, name, sample):
    source = desk.config.sources[name]
    request = request_of(source, load(source.preset).samples[sample], sample, desk.clock())
    headers = {key.decode(): value.decode() for key, value in request.headers}
    return await desk.send(request.body, path=f"/in/{name}", headers=headers)


@pytest.mark.parametrize(
    ("source", "sample", "type_", "said"),
    [
        ("slack", "command.weather", None, b""),
        ("commands", "command.weather", "application/json", b'{"response_type":"ephemeral","text":"94070?"}'),
        ("twilio", "message.received", "text/xml; charset=utf-8", b"<Response/>"),
        ("calls", "message.received", "text/xml; charset=utf-8", b"<Response><Say>+15005550009</Say></Response>"),
    ],
)
@story
async def test_slack_and_twilio_are_answered_as_they_expect(tmp_path, source, sample, type_, said):
    async with AtTheDoor(tmp_path, FILE % "") as desk:
        answer = await ask(desk, source, sample)
        [stored] = (await desk.store.events()).rows
    assert (answer.status, answer.headers.get("content-type"), answer.body) == (200, type_, said)
    assert stored.type == sample
