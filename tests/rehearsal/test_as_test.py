"""A stored event as a test: it runs as it is pasted, and holds."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.model import Event
from gateway.rehearsal.as_test import LONGEST, as_test
from gateway.rehearsal.expectations import failures

ROUTES = """version: 1
sources:
  github: {preset: github, secret: s3cret, redact: [payload.pusher.email, headers.x-person]}
  bell: {methods: [POST, GET], verify: none, type: "{query.button}"}
destinations:
  slack: {type: slack, url: "https://hooks.slack.example/services/T0/B0/hidden"}
  archive: {type: file, path: archive.ndjson}
always: [{to: archive}]
routes:
  - {name: push, match: push, to: slack, text: "{{ payload.ref }}"}
  - {name: broken, match: star.created, to: slack, text: "{{ payload.nowhere }}"}
  - {name: quiet, match: fork, to: []}
  - {name: rung, source: bell, match: front, to: slack, text: ring}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("as-test")
    (folder / "routes.yaml").write_text(ROUTES)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return load(folder / "routes.yaml", environ={})


def received(config, payload, source="github", headers=(), query=b""):
    """An event as the gateway keeps it."""
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    sent = {"content-type": "application/json", "user-agent": "GitHub-Hookshot", "x-forwarded-for": "203.0.113.7"}
    raw = [(name.encode(), value.encode()) for name, value in {**sent, **dict(headers)}.items()]
    return config.sources[source].received(raw, body, now=1_767_225_600.0, query=query)[0].event


def pasted(folder, text):
    """The tests of the file with a text below its last line."""
    (folder / "pasted.yaml").write_text(f"{ROUTES}tests:\n{text}\n", "utf-8")
    return load(folder / "pasted.yaml", environ={}, no_env=True)


def holds(folder, text):
    config = pasted(folder, text)
    [test] = config.tests
    assert failures(config, test, folder) == []
    return test


@pytest.mark.parametrize(
    ("event", "headers", "expected"),
    [
        ({"ref": "refs/heads/main"}, {"x-github-event": "push"}, "[archive, slack]"),
        ({"action": "created"}, {"x-github-event": "star"}, "{failed: the event has no field payload.nowhere"),
        ({}, {"x-github-event": "fork"}, "[archive]"),
        ({"action": "opened"}, {"x-github-event": "issues"}, "[archive]"),
    ],
    ids=["sent", "that cannot be built", "ignored", "matched by nothing"],
)
def test_it_expects_what_the_file_makes_of_the_event(folder, config, event, headers, expected):
    text = as_test(config, received(config, event, headers=headers))
    assert expected in text.replace('"', "")
    test = holds(folder, text)
    assert test.headers == headers


def test_it_is_indented_for_its_place_and_has_no_header_of_a_connection_or_of_a_proof(config):
    headers = {"x-github-event": "push", "x-hub-signature-256": "sha256=00", "x-hub-signature": "sha1=00"}
    text = as_test(config, received(config, {"ref": "a"}, headers=headers))
    assert text.startswith("  - name: ")
    assert all(line.startswith("    ") for line in text.splitlines()[1:])
    assert not any(word in text for word in ("signature", "user-agent", "forwarded", "content-type"))


def test_what_the_source_redacts_is_not_in_it(folder, config):
    event = received(
        config,
        {"ref": "a", "pusher": {"email": "ada@example.com"}},
        headers={"x-github-event": "push", "x-person": "Ada Lovelace"},
    )
    text = as_test(config, event)
    assert "ada@example.com" not in text
    assert "Lovelace" not in text
    holds(folder, text)


def test_a_query_that_names_the_event_is_in_it(folder, config):
    test = holds(folder, as_test(config, received(config, {}, source="bell", query=b"button=front&x=a%20b")))
    assert test.query == {"button": "front", "x": "a b"}
    assert [check.destination for check in test.checks] == ["archive", "slack"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=20)
    | st.sampled_from(
        ["${HOME}", "$${x}", "${", "{{ x }}", "- a: b", "#no", "yes", "013", "\U0001f44b", "a\u2028b\x85", "\x7f"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_any_payload_comes_back_as_it_was_or_there_is_no_test(folder, config, payload):
    text = as_test(config, received(config, payload, headers={"x-github-event": "push"}))
    if not text:
        # A merge key and an empty key cannot be written.
        assert any(word in json.dumps(payload) for word in ('"<<"', '""'))
        return
    test = pasted(folder, text).tests[0]
    assert test.payload is not None
    assert test.payload.value == payload


@pytest.mark.parametrize(
    "body",
    [b"<a/>", b'"text"', b"1", b'{"a": "' + b"x" * LONGEST + b'"}', b'{"a": ' * 60 + b"1" + b"}" * 60],
    ids=["XML", "a text", "a number", "too long", "too deep"],
)
def test_what_cannot_be_written_has_no_test(config, body):
    event = Event(
        id="evt_1", source="github", type="push", received_at=0.0, headers={"x-github-event": "push"}, body=body,
        sha256=b"",
    )  # fmt: skip
    assert as_test(config, event) == ""


def test_an_event_of_a_source_that_is_gone_has_no_test(config):
    event = received(config, {}, headers={"x-github-event": "push"})
    assert as_test(config, msgspec.structs.replace(event, source="gone")) == ""


def test_what_a_route_looks_up_is_in_the_test_to_be_filled_in(tmp_path):
    text = ROUTES.replace(
        "  - {name: push, match: push, to: slack,",
        "  - {name: push, match: push, to: slack, fetch: {owner: {from: api, path: /owner}},",
    ).replace("  archive:", "  api: {url: https://api.example}\n  archive:")
    (tmp_path / "routes.yaml").write_text(text)
    config = load(tmp_path / "routes.yaml", environ={})
    written = as_test(config, received(config, {"ref": "refs/heads/main"}, headers={"x-github-event": "push"}))
    assert '    fetched: {"owner": null}\n' in written
    (tmp_path / "pasted.yaml").write_text(f"{text}tests:\n{written}\n")
    again = load(tmp_path / "pasted.yaml", environ={}, no_env=True)
    assert failures(again, again.tests[0], tmp_path) == []
