"""What single senders do that no other one does."""

import json

import pytest

from gateway import presets
from gateway.presets import load
from gateway.signatures import Request
from tests.presets.test_identity import keys
from tests.test_presets import source_of
from tests.web.test_door import AtTheDoor
from tests.world import story

FORM = {"content-type": "application/x-www-form-urlencoded"}
NEWER = {
    "event": {"id": "evt_1", "type": "contact.created", "timestamp": "2026-11-29T10:00:00Z"},
    "data": {"resource": {"type": "contact", "id": 451, "attributes": {"firstname": "Ada"}}},
}


def identity(payload):
    return keys(source_of("xobito"), Request(headers=[], body=json.dumps(payload).encode()))[0]


def test_xobitos_newer_envelope_is_identified_by_its_id_and_an_older_one_by_its_bytes():
    again = {**NEWER, "event": {**NEWER["event"], "timestamp": "2026-11-29T10:00:02Z"}}
    other = {**NEWER, "event": {**NEWER["event"], "id": "evt_2"}}
    assert identity(NEWER) == identity(again) != identity(other)
    older = json.loads(load("xobito").samples["contact.created"])
    assert identity(older) != identity({**older, "timestamp": "2026-11-29T10:00:02Z"})


def test_a_newer_event_of_xobito_has_its_type_and_its_record():
    source = source_of("xobito")
    [found] = source.received([(b"content-type", b"application/json")], json.dumps(NEWER).encode(), now=0.0)
    assert found.event.type == "contact.created"
    assert source.naming.facts(found.event, found.payload)["attrs"] == {"firstname": "Ada", "id": 451}


SHOP = "version: 1\nsources: {shop: {preset: woocommerce, secret: a-secret-of-tests%s}}\ndestinations: {}\n"


@story
async def test_woocommerces_unsigned_ping_is_answered_where_the_source_accepts_it_and_nothing_is_stored(tmp_path):
    async with AtTheDoor(tmp_path, SHOP % ", ping: accept") as desk:
        answer = await desk.send(b"webhook_id=3", path="/in/shop", headers=FORM)
        assert (answer.status, answer.body) == (200, b"")
        assert (await desk.store.events()).rows == ()


@story
async def test_it_is_refused_where_the_source_does_not_say_so(tmp_path):
    async with AtTheDoor(tmp_path, SHOP % "") as desk:
        assert (await desk.send(b"webhook_id=3", path="/in/shop", headers=FORM)).status == 401


@pytest.mark.parametrize("body", [b"webhook_id=3&a=b", b"webhook_id=", b" webhook_id=3", b"webhook_id=3\n", b"", b"{}"])
def test_what_only_looks_like_a_ping_needs_a_signature(tmp_path, body):
    @story
    async def refused():
        async with AtTheDoor(tmp_path, SHOP % ", ping: accept") as desk:
            assert (await desk.send(body, path="/in/shop", headers=FORM)).status == 401

    refused()


@story
async def test_a_push_that_is_too_large_is_told_what_github_sends(tmp_path):
    file = "version: 1\nsources: {hub: {preset: github, secret: a-secret-of-tests}}\ndestinations: {}\n"
    async with AtTheDoor(tmp_path, file) as desk:
        answer = await desk.send(b" " * (1024 * 1024 + 1), path="/in/hub", headers={})
    assert answer.status == 413
    assert "GitHub sends up to 25MiB" in answer.json["error"]


def test_githubs_cap_is_on_its_page():
    assert "25 MB" in presets.load("github").notes


@pytest.mark.parametrize("typed", [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=xYzZY"])
def test_a_message_that_mailgun_forwards_is_one_event_by_its_token_in_either_form(typed):
    form = presets.load("mailgun-routes").samples["message.received"]
    multipart = (
        b'--xYzZY\r\nContent-Disposition: form-data; name="token"\r\n\r\n'
        b"2b90a03befc0b98ae2b641b0080850cada918a2d2f670e0141\r\n--xYzZY--\r\n"
    )
    body = multipart if b"multipart" in typed else form
    source = source_of("mailgun-routes")
    [found] = source.received([(b"content-type", typed)], body, now=0.0)
    [plain] = source.received([(b"content-type", b"application/x-www-form-urlencoded")], form, now=0.0)
    assert found.event.type == "message.received"
    assert found.key == plain.key


EVENT_STREAM = [
    {"specversion": "1.0", "type": "com.twilio.messaging.message.sent", "data": {"messageSid": "SM1"}},
    {"specversion": "1.0", "type": "com.twilio.error-logs.error.logged", "data": {"error": 1}},
]


def test_twilios_json_has_types_and_attrs():
    source = source_of("twilio")
    found = source.received([(b"content-type", b"application/json")], json.dumps(EVENT_STREAM).encode(), now=0.0)
    assert [each.event.type for each in found] == [each["type"] for each in EVENT_STREAM]
    assert source.naming.facts(found[0].event, found[0].payload)["attrs"] == {"messageSid": "SM1"}
