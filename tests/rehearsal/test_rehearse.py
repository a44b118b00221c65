"""An event played through a configuration: the same plan and the same requests as of a running gateway."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config import load
from gateway.dispatcher import Dispatcher
from gateway.egress import Egress
from gateway.errors import BodyTooLarge, RequestRefused, Unparsable
from gateway.model import FileAppend, HttpRequest
from gateway.pipeline import receive
from gateway.process import Gateway
from gateway.rehearsal.rehearse import EVENT_ID, Rehearsal, rehearse, sender_headers
from gateway.routing.cases import UnknownSample, sample
from gateway.signatures import Request
from gateway.store import open_store

ROOT = Path(__file__).parents[2]
NOW = 1_767_225_600.0
HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, max_body: 2KiB}}\n"
ROUTES = (
    HEAD
    + """
destinations:
  slack: {type: slack, url: "https://hooks.slack.example/services/T0/B0/hidden"}
  crm:
    url: https://crm.example/tenants/a-long-hidden-part/api?key=hidden&page=1
    auth: {bearer: hidden}
    headers: {x-api-key: hidden}
  archive: {type: file, path: a.ndjson}
always: [{to: archive}]
routes:
  - {name: quiet, match: message.*, to: []}
  - {name: failing, match: contact.created, to: slack, text: "{{ attrs.nowhere }}"}
  - name: to-crm
    match: contact.*
    to: crm
    path: /contacts/{{ attrs.id }}
    query: {page: "{{ attrs.id }}", at: "{{ event.received_at }}"}
    body: {id: "{{ event.id }}"}
unmatched: [{to: slack}]
"""
)


def load_text(folder: Path, text: str):
    path = folder / "routes.yaml"
    path.write_text(text, "utf-8")
    return load(path, environ={})


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return load_text(tmp_path_factory.mktemp("rehearsal"), ROUTES)


@pytest.fixture(scope="module")
def shipped():
    return load(ROOT / "routes.yaml", environ={}, no_env=True)


def play(config, event_type: str | bytes) -> Rehearsal:
    source = config.sources["xobito"]
    body = event_type if isinstance(event_type, bytes) else sample(source, event_type)
    return rehearse(config, source, body, sender_headers(source, body), NOW)


def planned(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    return [(each.route, each.destination) for each in rehearsal.deliveries]


def request_to(rehearsal: Rehearsal, destination: str):
    [found] = [each.request for each in rehearsal.deliveries if each.destination == destination]
    return found


# --- what becomes of an event ---


def test_every_delivery_is_planned_and_built(config):
    rehearsal = play(config, "contact.updated")
    assert planned(rehearsal) == [("always/archive", "archive"), ("to-crm", "crm")]
    assert isinstance(request_to(rehearsal, "archive"), FileAppend)
    request = request_to(rehearsal, "crm")
    assert request.url.endswith("/contacts/451?key=hidden&page=451&at=2026-01-01T00%3A00%3A00.000Z")


def test_a_delivery_that_cannot_be_built_says_why_and_the_others_go_on(config):
    rehearsal = play(config, "contact.created")
    [failing] = [each for each in rehearsal.deliveries if each.error]
    assert (failing.route, failing.request) == ("failing", None)
    assert "the event has no field attrs.nowhere" in failing.error
    assert request_to(rehearsal, "crm") is not None


def test_every_entry_is_there_with_its_reason(config):
    considered = {each.entry.name: each.taken for each in play(config, "contact.updated").considered}
    assert considered == {
        "always/archive": True, "quiet": False, "failing": False, "to-crm": True, "unmatched/slack": False
    }  # fmt: skip


def test_ignored_is_what_an_empty_to_took_and_nobody_else(config):
    assert play(config, "message.read").is_ignored
    assert not play(config, "contact.updated").is_ignored
    assert not play(config, "status.created").is_ignored


def test_a_rehearsal_is_the_same_every_time(config):
    assert play(config, "contact.updated") == play(config, "contact.updated")
    assert json.loads(request_to(play(config, "contact.updated"), "crm").body) == {"id": EVENT_ID}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b'{"a":', Unparsable, id="not JSON"),
        pytest.param(b"[" * 1000 + b"]" * 1000, Unparsable, id="too deep"),
        pytest.param(b'"' + b"x" * 3000 + b'"', BodyTooLarge, id="too large"),
    ],
)
def test_what_the_source_refuses_is_refused(config, body, error):
    with pytest.raises(error):
        play(config, body)


def test_an_unknown_sample_is_named_with_the_known_ones(config):
    with pytest.raises(UnknownSample, match=r"unknown sample contact\.made of xobito \(known: contact\.created"):
        sample(config.sources["xobito"], "contact.made")


def test_a_source_without_samples_says_so(config):
    with pytest.raises(UnknownSample, match=r"it has none: name a folder under samples"):
        sample(replace(config.sources["xobito"], samples={}), "contact.made")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    payload=st.fixed_dictionaries(
        {"event": st.sampled_from(["created", "updated", "message.read"]) | VALUES, "data": VALUES},
        optional={"model": st.just("App\\Models\\Tenant\\Contact") | VALUES},
    )
)
def test_any_payload_is_played_to_the_end(shipped, payload):
    try:
        rehearsal = play(shipped, json.dumps(payload).encode())
    except RequestRefused:
        return
    assert planned(rehearsal)[0] == ("always/archive", "archive")
    assert all((each.request is None) == bool(each.error) for each in rehearsal.deliveries)


@given(st.binary(max_size=200))
def test_any_bytes_are_played_or_refused(shipped, body):
    try:
        play(shipped, body)
    except RequestRefused as error:
        assert str(error)


@pytest.mark.parametrize("event_type", ["contact.created", "contact.deleted", "message.read", "status.updated"])
def test_a_gateway_plans_the_same_deliveries_of_the_same_event(config, tmp_path, event_type):
    source = config.sources["xobito"]
    body = sample(source, event_type)
    headers = sender_headers(source, body)

    async def received():
        store = await open_store(f"sqlite:///{tmp_path}/gateway.db")
        gateway = Gateway(config=config, store=store, egress=Egress(), clock=lambda: NOW)
        dispatcher = Dispatcher(gateway)
        dispatcher.stop()
        try:
            request = Request(headers=headers, body=body)
            [appended] = (await receive(gateway, dispatcher, config, source, request)).appended
            return await store.event(appended.event_id)
        finally:
            await gateway.egress.close()
            await store.close()

    history = asyncio.run(received())
    rehearsal = rehearse(config, source, body, headers, NOW)
    assert sorted((each.route, each.destination) for each in history.deliveries) == sorted(planned(rehearsal))
    kept = history.event
    # A trace begins when an event is received.
    headers = {name: value for name, value in kept.headers.items() if name != "traceparent"}
    assert (kept.type, headers, kept.body, kept.sha256, kept.received_at) == (
        rehearsal.event.type, rehearsal.event.headers, body, rehearsal.event.sha256, NOW
    )  # fmt: skip


# --- without secrets ---


def test_a_request_is_shown_without_what_the_destination_keeps_secret(config):
    request = request_to(play(config, "contact.updated"), "crm")
    seen = config.destinations["crm"].masked(request)
    assert isinstance(seen, HttpRequest)
    assert seen.url == (
        "https://crm.example/tenants/***/api/contacts/451?key=***&page=451&at=2026-01-01T00%3A00%3A00.000Z"
    )
    assert dict(seen.headers)["authorization"] == dict(seen.headers)["x-api-key"] == "***"
    assert dict(seen.headers)["content-type"] == "application/json"
    assert "hidden" not in f"{seen.url} {seen.headers}"


def test_the_whole_path_of_a_chat_is_a_secret(config):
    request = request_to(play(config, "status.created"), "slack")
    assert config.destinations["slack"].masked(request).url == "https://hooks.slack.example/***"


def test_a_line_of_a_file_is_shown_as_it_is(config):
    line = request_to(play(config, "contact.updated"), "archive")
    assert config.destinations["archive"].masked(line) == line
