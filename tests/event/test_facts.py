"""What rules and templates see of an event, and that no byte of a sender's can break it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import presets
from gateway.errors import Unparsable
from gateway.event.naming import UNKNOWN_TYPE
from gateway.event.paths import MISSING, assign, lookup, split_path, unassign
from gateway.event.payload import parse, parse_body
from gateway.model import Event
from gateway.wording import iso_time

XOBITO = presets.load("xobito")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"NaN",
        b'{"a": NaN}',
        b"[Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'{"a": "\\ud800x"}',
        b'"\xff"',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 200 + b"]" * 200,
        b'{"a":' * 129 + b"1" + b"}" * 129,
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 01}',
        b'"\x00"',
        b"<xml/>",
        b"a=b&c=d",
    ],
    ids=lambda body: repr(body[:12]) + f"x{len(body)}",
)
def test_what_is_not_json_is_unparsable_and_nothing_else(body):
    with pytest.raises(Unparsable):
        parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_unparsable(body):
    try:
        parse(body)
    except Unparsable as refusal:
        assert refusal.status == 400


@given(json_values)
def test_what_is_json_is_parsed_as_it_is(value):
    assert parse(json.dumps(value).encode()) == value


def test_a_depth_of_128_is_accepted():
    assert parse(b"[" * 128 + b"]" * 128)


def test_a_wide_payload_is_not_a_deep_one():
    assert len(parse(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000


@given(json_values, st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_a_lookup_is_total(payload, path):
    lookup(payload, path)


def test_a_path_goes_through_maps_and_lists():
    facts = {"payload": {"items": [{"sku": "a"}, {"sku": None}]}}
    assert lookup(facts, split_path("payload.items.0.sku")) == "a"
    assert lookup(facts, split_path("payload.items.1.sku")) is None
    assert lookup(facts, split_path("payload.items.2.sku")) is MISSING
    assert lookup(facts, split_path("payload.items.-1.sku")) is MISSING
    assert lookup(facts, split_path("payload.items.\u0662")) is MISSING


@pytest.mark.parametrize(
    "path", ["attrs.phone", "payload.data.id", "attrs.group_id.0", "payload.original", "payload.data"]
)
def test_a_field_is_removed_where_it_stands_and_nothing_else_is(path):
    payload = parse(XOBITO.samples["contact.created"])
    place = XOBITO.naming.payload_path(path, payload)
    whole, was = json.dumps(payload), lookup(payload, place)
    unassign(payload, place)
    if place[-1] == "0":
        lookup(payload, place[:-1]).insert(0, was)
    else:
        assert lookup(payload, place) is MISSING
        assign(payload, place, was)
    assert json.loads(whole) == payload


@given(json_values, st.lists(st.text(max_size=5) | st.sampled_from(["0", "1", "a"]), min_size=1, max_size=4))
def test_what_is_not_there_cannot_be_removed(payload, path):
    if lookup(payload, path) is MISSING:
        with pytest.raises(ValueError, match="to unset"):
            unassign(payload, path)
    else:
        unassign(payload, path)


def test_a_field_is_assigned_through_the_shortcut_to_where_it_stands():
    payload = {"data": {"id": 1, "attributes": {"email": "a@b.c"}}}
    assign(payload, XOBITO.naming.payload_path("attrs.email", payload), "new")
    assign(payload, XOBITO.naming.payload_path("payload.data.extra.deep", payload), 1)
    assign(payload, XOBITO.naming.payload_path("original", payload), {})
    assert payload == {
        "data": {"id": 1, "attributes": {"email": "new"}, "extra": {"deep": 1}},
        "original": {},
    }
    with pytest.raises(ValueError, match=r"data\.id\.x"):
        assign(payload, ["data", "id", "x"], 1)


def test_times_are_shown_in_utc():
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"


# --- forms in parts ---

PARTS = (
    b'--edge\r\nContent-Disposition: form-data; name="from"\r\n\r\nAn\xc3\xa4\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello\r\n--edge--\r\n"
)
IN_PARTS = "multipart/form-data; boundary=edge"


def test_of_a_multipart_body_fields_are_texts_and_a_file_is_told_by_its_size():
    assert parse_body(PARTS, IN_PARTS) == {
        "from": "Anä",
        "file": {"filename": "a.txt", "content_type": "text/plain", "size": 5},
    }


def test_the_json_in_a_field_called_payload_is_the_payload():
    body = b'--edge\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{"a": 1}\r\n--edge--\r\n'
    assert parse_body(body, IN_PARTS) == {"a": 1}


@given(
    body=st.lists(st.sampled_from([PARTS[:60], PARTS[60:], b"\xff", b"--edge\r\n", b"--edge--", b"\r\n\r\n"])).map(
        b"".join
    )
    | st.binary(max_size=200),
    boundary=st.sampled_from(
        ["; boundary=edge", "; boundary=", "", '; boundary="', "; boundary=é", "; boundary=" + "x" * 300]
    ),
)
def test_a_multipart_body_is_read_or_refused_whatever_it_holds(body, boundary):
    try:
        parse_body(body, "multipart/form-data" + boundary)
    except Unparsable as error:
        assert "no multipart form" in str(error)
