"""What ``gateway send`` says of an answer."""

import json

import pytest

from gateway.cli import send
from gateway.config import load
from gateway.presets import load as load_preset
from gateway.signatures import Request
from tests.world import BODY


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (202, '{"id": "evt_1", "duplicate": false}', "push accepted as evt_1, type push"),
        (200, '{"id": "evt_1", "duplicate": true}', "push a duplicate of evt_1"),
        (200, "", "push accepted, type push, answered 200"),
        (200, "<Response/>", "push accepted, type push, answered 200: <Response/>"),
        (201, '{"ok": true}', 'push accepted, type push, answered 201: {"ok": true}'),
        (401, "no", "refused with 401: no: the secret here differs from the gateway's"),
    ],
)
def test_an_answer_in_words(status, answer, said):
    assert send._sentence(status, answer, "push", ["push"]) == said


def test_several_types_are_listed_and_many_are_counted():
    answer = '{"id": "evt_1", "duplicate": false}'
    assert send._sentence(202, answer, "it", ["a", "b"]) == "it accepted as evt_1, types a, b"
    assert send._sentence(202, answer, "it", ["a", "b", "c", "d"]) == "it accepted as evt_1, types a, b, c and 1 more"


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
