"""What ``gateway send`` says of an answer."""

import json
import re

import pytest

from gateway.cli import given, samples, send, surroundings
from gateway.config import load
from gateway.config.schema.reading import DEMO_SECRET
from gateway.presets import load as load_preset
from gateway.signatures import Request
from tests.world import BODY


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (202, '{"id": "evt_1", "duplicate": false}', "push accepted as evt_1 (type push)"),
        (200, '{"id": "evt_1", "duplicate": true}', "push is a duplicate of evt_1"),
        (200, "", "push accepted (type push), answered 200"),
        (200, "<Response/>", "push accepted (type push), answered 200: <Response/>"),
        (201, '{"ok": true}', 'push accepted (type push), answered 201: {"ok": true}'),
        (401, "no", "refused with 401: no: the secret here differs from the gateway's"),
    ],
)
def test_an_answer_in_words(status, answer, said):
    assert send._sentence(status, answer, "push", ["push"]) == said


def test_several_types_are_listed_and_many_are_counted():
    answer = '{"id": "evt_1", "duplicate": false}'
    assert send._sentence(202, answer, "it", ["a", "b"]) == "it accepted as evt_1 (types a, b)"
    assert send._sentence(202, answer, "it", ["a", "b", "c", "d"]) == "it accepted as evt_1 (types a, b, c and 1 more)"


def test_a_request_that_was_split_has_several_events():
    answer = '{"id": "evt_1", "ids": ["evt_1", "evt_2"], "duplicate": false}'
    assert send._sentence(202, answer, "it", ["a", "b"]) == "it accepted as 2 events, evt_1, evt_2 (types a, b)"


SOURCES = """version: 1
sources:
  meta: {preset: meta, secret: s3cret-of-sixteen-characters}
  slack: {preset: slack, secret: s3cret-of-sixteen-characters}
  woocommerce: {preset: woocommerce, secret: s3cret-of-sixteen-characters, ping: accept}
  mine: {secret: s3cret-of-sixteen-characters, preset: xobito, type: "{query.kind}"}
destinations: {log: {type: file, path: log.ndjson}}
routes: [{name: all, to: log}]
"""
JSON = [(b"content-type", b"application/json")]
FORM = [(b"content-type", b"application/x-www-form-urlencoded")]
CHALLENGE = {"type": "url_verification", "challenge": "c", "token": "t"}


@pytest.mark.parametrize(
    ("source", "request_", "types"),
    [
        (
            "meta",
            Request(headers=JSON, body=load_preset("meta").samples["messages.text"]),
            ["messages.text", "statuses.delivered"],
        ),
        ("slack", Request(headers=JSON, body=load_preset("slack").samples["app_mention"]), ["app_mention"]),
        ("slack", Request(headers=JSON, body=json.dumps(CHALLENGE).encode()), []),
        ("woocommerce", Request(headers=FORM, body=b"webhook_id=1"), []),
        ("mine", Request(headers=JSON, body=BODY, query=b"kind=lead"), ["lead"]),
        ("mine", Request(headers=JSON, body=b"{"), []),
    ],
    ids=["split", "an event", "a handshake", "a ping", "named by the query", "what cannot be parsed"],
)
def test_the_types_of_a_request_are_those_under_which_it_is_stored(tmp_path, source, request_, types):
    (tmp_path / "routes.yaml").write_text(SOURCES)
    config = load(tmp_path / "routes.yaml", environ={})
    assert [*send._types(config.sources[source], request_)] == types


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("messages.txt", 'messages.txt is neither a sample of a source nor a file  (did you mean "messages.text"?)'),
        ("nothing/like.json", "nothing/like.json is neither a sample of a source nor a file  (samples: "),
        ("routes.yaml", "routes.yaml does not say which source sends it: add --source (known: meta, slack, "),
        ("", "several sources have samples: name one, or add --source"),
    ],
)
def test_an_event_that_no_source_has_is_said_to_be_unknown(tmp_path, monkeypatch, event, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(SOURCES)
    config = load(tmp_path / "routes.yaml", environ={})
    with pytest.raises(samples.SourceUnclear, match=re.escape(said)):
        samples.sender_of(config, "", event)
    again = load(tmp_path / "routes.yaml", environ={}).sources["mine"]
    assert samples.sender_of(config, "mine", event).name == again.name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "attrs.fristname=Ada",
            ['the event has no attrs.fristname, which --set adds: did you mean "attrs.firstname"?'],
        ),
        ("payload.dta.id=1", ['the event has no payload.dta.id, which --set adds: did you mean "payload.data.id"?']),
        ("attrs.firstname=Ada", []),
        ("attrs.vat_id=DE1", []),
    ],
)
def test_a_field_that_set_adds_and_that_is_like_another_one_is_noted(tmp_path, change, said):
    (tmp_path / "routes.yaml").write_text(SOURCES)
    source = load(tmp_path / "routes.yaml", environ={}).sources["mine"]
    asked = given.given(source, "contact.created", [change])
    assert [note for note in given.notes(source, asked) if "--set" in note] == said


UNSET = """version: 1
sources: {crm: {preset: xobito, secret: "${SECRET}"}}
destinations: {api: {url: "http://127.0.0.1:9", headers: {X-Api-Key: "${API_KEY}"}, auth: {bearer: "${API_TOKEN}"}}}
routes: [{name: all, to: api}]
"""


def test_what_a_destination_lacks_keeps_no_sender_from_signing_with_its_secret(tmp_path, monkeypatch):
    (tmp_path / "routes.yaml").write_text(UNSET)
    monkeypatch.setenv("SECRET", "a-secret-of-ours")
    config = surroundings.loaded_for_senders(tmp_path / "routes.yaml")
    assert [each.reveal() for each in config.sources["crm"].secrets] == ["a-secret-of-ours"]
    monkeypatch.delenv("SECRET")
    config = surroundings.loaded_for_senders(tmp_path / "routes.yaml")
    assert [each.reveal() for each in config.sources["crm"].secrets] == [DEMO_SECRET], "as `gateway dev` has it"
