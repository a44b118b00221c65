"""The names of events, and the roots and shortcuts that rules and templates see."""

import pytest
from hypothesis import given

from gateway import presets
from gateway.event.braces import template_problem
from gateway.event.naming import EVENT_FIELDS, UNKNOWN_TYPE
from gateway.event.payload import parse
from gateway.model import Event
from tests.event.given import json_values

XOBITO = presets.load("xobito")


def an_event(body: bytes, type: str = "contact.created") -> Event:
    return Event(id="evt_1", source="xobito", type=type, received_at=0.0, headers={}, body=body, sha256=b"")


@pytest.mark.parametrize("type", XOBITO.samples)
def test_every_documented_event_is_named_as_its_sample_is(type):
    assert XOBITO.naming.type_of(parse(XOBITO.samples[type]), {}) == type


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"event": {"id": "e1", "type": "contact.created", "timestamp": 1}, "data": {}}, "contact.created"),
        ({"event": "paid", "model": "App\\Models\\Tenant\\Invoice"}, "invoice.paid"),
        ({"event": "message.received", "model": "WhatsAppMessage"}, "message.received"),
        ({"event": "paid"}, "paid"),
        ({"model": "App\\Models\\Tenant\\Invoice"}, "invoice"),
        ({"event": None, "model": 7}, "7"),
        ({"event": "", "model": ""}, UNKNOWN_TYPE),
        ({"event": ["created"], "model": {"a": 1}}, UNKNOWN_TYPE),
        ([], UNKNOWN_TYPE),
        (None, UNKNOWN_TYPE),
        ("contact.created", UNKNOWN_TYPE),
        ({"event": "a b\nc\u202e.d"}, "a_b_c_.d"),
        ({"event": "x" * 500}, "x" * 200),
    ],
    ids=repr,
)
def test_an_unknown_event_is_named_from_what_is_there(payload, named):
    assert XOBITO.naming.type_of(payload, {}) == named


@given(json_values)
def test_naming_and_facts_are_total(payload):
    type = XOBITO.naming.type_of(payload, {})
    assert 0 < len(type) <= 200
    assert " " not in type
    facts = XOBITO.naming.facts(an_event(b"", type), payload)
    assert isinstance(facts["attrs"], dict)


def test_the_record_is_found_in_each_envelope():
    older = {"data": {"id": 1, "attributes": {"email": "a@b.c"}}}
    newer = {"data": {"resource": {"type": "contact", "id": 2, "attributes": {"email": "d@e.f"}}}}
    message = {"event": "message.sent", "data": {"message_id": "w", "status": "sent"}}
    php_empty_map = {"data": {"id": 3, "attributes": []}}
    attrs = [XOBITO.naming.facts(an_event(b""), payload)["attrs"] for payload in (older, newer, message, php_empty_map)]
    assert attrs == [
        {"email": "a@b.c", "id": 1},
        {"email": "d@e.f", "id": 2},
        {"message_id": "w", "status": "sent"},
        {"id": 3},
    ]


def test_resource_and_action_come_from_the_type():
    event = XOBITO.naming.facts(an_event(b"", "contact.created"), {})["event"]
    assert (event["resource"], event["action"]) == ("contact", "created")
    event = XOBITO.naming.facts(an_event(b"", "ping"), {})["event"]
    assert (event["resource"], event["action"]) == ("ping", "")


def test_the_fields_of_event_are_those_that_check_knows():
    assert set(EVENT_FIELDS) == set(XOBITO.naming.facts(an_event(b""), {})["event"])


@pytest.mark.parametrize(
    ("source", "single"),
    [
        ("{{ payload.id }}", "{payload.id}"),
        ("{{payload.kind}}.{{ payload.action | lower }}", "{payload.kind}.{payload.action}"),
        ("{{ payload['id'] }}", "{payload.type}"),
        ("{{", "{payload.type}"),
    ],
)
def test_two_braces_are_refused_with_the_same_field_in_one(source, single):
    assert template_problem(source) == ("one brace on each side is enough", f'write "{single}"')
