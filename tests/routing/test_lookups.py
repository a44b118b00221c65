"""Whatever a look-up is answered is data, or a reason that says what to do."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import BuildError, NothingChosen
from gateway.model import Dead, Delivered, Delivery, Event, Reply, Retry
from gateway.routing.lookups import LONGEST_ANSWER, about, judged, value_of

FILE = """version: 1
sources: {hook: {verify: {token: {header: x-token}}, secret: a-long-enough-secret, type: "{payload.a}"}}
destinations: {crm: {url: "https://crm.example"}}
routes:
  - name: person
    to: crm
    fetch: {person: {from: crm, path: /search}}
    choose:
      - {if: "person.items and person.items[0].id > 5", method: PUT, path: "/{{ person.items[0].id }}", body: {all: "{{ person }}"}}
      - {if: person.name, path: /named, text: "{{ person.name }}"}
      - {if: "not person", path: /none, body: ""}
"""
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["items", "id", "name", "a"]), inner),
    max_leaves=9,
)
ANY_BODY = st.binary(max_size=60) | ANY_JSON.map(json.dumps).map(str.encode)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "routes.yaml"
    path.write_text(FILE)
    return load(path, environ={})


@given(status=st.integers(100, 599), body=ANY_BODY)
def test_any_answer_is_data_or_a_verdict_with_a_reason(config, status, body):
    crm, reply = config.destinations["crm"], Reply(status=status, body=body)
    verdict = about("person", "crm", judged(crm, reply, 0.0))
    if not isinstance(verdict, Delivered):
        assert verdict.reason.startswith("fetch person: crm ")
        assert isinstance(verdict, Dead if 300 <= status < 500 and status not in (408, 425, 429) else Retry)
        return
    value = value_of(crm, reply)
    assert status == 404 or 200 <= status < 300
    assert value is None or value == msgspec.json.decode(body)


@given(value=ANY_JSON)
def test_whatever_was_found_one_request_is_made_or_a_reason_is_given(config, value):
    event = Event(id="evt_1", source="hook", type="a", received_at=0.0, headers={}, body=b"{}", sha256=b"")
    delivery = Delivery(id="dlv_1", event_id="evt_1", route="person", destination="crm")
    try:
        built = config.built(delivery, event, {}, looked_up={"person": value})
    except (BuildError, NothingChosen) as error:
        assert str(error)
    else:
        assert built.choice in (1, 2, 3)


@pytest.mark.parametrize(
    ("status", "body", "value"),
    [
        (200, b'{"a": 1}', {"a": 1}),
        (200, b"[]", []),
        (200, b"null", None),
        (200, b"", None),
        (200, b" \n", None),
        (204, b"", None),
        (404, b'{"error": "no such person"}', None),
        (200, b"7", 7),
    ],
)
def test_what_is_found(config, status, body, value):
    crm, reply = config.destinations["crm"], Reply(status=status, body=body)
    assert judged(crm, reply, 0.0) == Delivered()
    assert value_of(crm, reply) == value


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=200, body=b"<html>"), "answered 200, but not with JSON"),
        (Reply(status=200, body=b'{"a": '), "answered 200, but not with JSON"),
        (Reply(status=200, body=b"[" * 100_000), "answered 200, but not with JSON"),
        (
            Reply(status=200, body=b" " * (LONGEST_ANSWER + 1)),
            "answered more than 1.0 MiB: ask for less, by query or path",
        ),
        (Reply(status=302, headers={"location": "/login"}), "redirects are not followed: answered 302"),
    ],
    ids=["HTML", "cut off", "too deep", "too long", "a redirect"],
)
def test_what_cannot_be_used(config, reply, reason):
    verdict = judged(config.destinations["crm"], reply, 0.0)
    assert not isinstance(verdict, Delivered)
    assert verdict.reason.startswith(reason)
