"""WhatsApp, Messenger and Instagram in Meta's one envelope: what they are called, what is kept, and what is forwarded."""

import json

import pytest

from gateway.model import Delivery
from tests.test_presets import source_of
from tests.world import World

VALUE = {
    "messaging_product": "whatsapp",
    "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
}
CONTACTS = [{"profile": {"name": "Sheena Nelson"}, "wa_id": "16505551234"}]
SENT = {"sender": {"id": "1"}, "recipient": {"id": "2"}, "timestamp": 1772443800000}


def entry(place, *items, object_="page"):
    return {"object": object_, "entry": [{"id": "102290129340398", "time": 1772443800, place: list(items)}]}


def whatsapp(**more):
    return entry("changes", {"value": VALUE | more, "field": "messages"}, object_="whatsapp_business_account")


def received(payload, source="meta"):
    return source_of(source).received([(b"content-type", b"application/json")], json.dumps(payload).encode(), now=0.0)


CASES = {
    "messages.text": whatsapp(contacts=CONTACTS, messages=[{"type": "text", "text": {"body": "hi"}}]),
    "messages.image": whatsapp(contacts=CONTACTS, messages=[{"type": "image", "image": {"id": "1"}}]),
    "statuses.read": whatsapp(statuses=[{"id": "wamid.1", "status": "read"}]),
    "statuses.failed": whatsapp(statuses=[{"id": "wamid.1", "status": "failed", "errors": [{"code": 131026}]}]),
    "messages": whatsapp(errors=[{"code": 130429}]),
    "comments": entry("changes", {"field": "comments", "value": {"text": "hi"}}, object_="instagram"),
    "messaging.message": entry("messaging", {**SENT, "message": {"mid": "m", "text": "hello"}}),
    "messaging.postback": entry("messaging", {**SENT, "postback": {"title": "Start", "payload": "X"}}),
    "messaging.reaction": entry("messaging", {**SENT, "reaction": {"emoji": "❤"}}, object_="instagram"),
    "messaging.read": entry("messaging", {**SENT, "read": {"watermark": 1}}),
    "messaging.delivery": entry("messaging", {**SENT, "delivery": {"mids": ["m"]}}),
    "messaging.order": entry("messaging", {**SENT, "order": {"products": [{"id": 1}]}}),
    "messaging.payment": entry("messaging", {**SENT, "payment": {"payload": "X"}}),
    "messaging.pre_checkout": entry("messaging", {**SENT, "pre_checkout": {"payload": "X"}}),
    "messaging.checkout_update": entry("messaging", {**SENT, "checkout_update": {"payload": "X"}}),
    "messaging.branded_camera": entry("messaging", {**SENT, "branded_camera": {"event": "dismiss"}}),
    "messaging": entry("messaging", {**SENT, "something_new": {}}),
    "standby.message": entry("standby", {**SENT, "message": {"mid": "m", "text": "hello"}}),
    "standby": entry("standby", {**SENT, "something_new": {}}),
}


@pytest.mark.parametrize("wanted", CASES)
def test_an_event_is_called_by_what_happened_and_has_attrs(wanted):
    [found] = received(CASES[wanted])
    assert found.event.type == wanted
    facts = source_of("meta").naming.facts(found.event, found.payload)
    assert facts["attrs"] == found.payload.get("value", found.payload)


@pytest.mark.parametrize("wanted", ["messages.text", "statuses.read", "messages"])
def test_the_same_whatsapp_events_have_the_same_names_when_xobito_sends_them_again(wanted):
    [found] = received(CASES[wanted], "xobito-resend")
    assert found.event.type == wanted


def test_contacts_and_metadata_stay_with_a_message_and_the_envelope_stays_readable():
    [found] = received(CASES["messages.text"])
    facts = source_of("meta").naming.facts(found.event, found.payload)
    assert facts["attrs"]["contacts"] == CONTACTS
    assert facts["attrs"]["metadata"] == VALUE["metadata"]
    assert facts["envelope"] == {
        "object": "whatsapp_business_account",
        "entry": {"id": "102290129340398", "time": 1772443800, "changes": None},
    }


FILE = """\
version: 1
sources:
  meta: {preset: meta, secret: a-secret-of-tests%s}
destinations: {crm: {url: https://crm.example.com/hook}, slack: {url: https://slack.example.com}}
always:
  - {name: exact, to: crm}
routes:
  - {name: known, where: {envelope.object: whatsapp_business_account}, to: crm}
  - {name: said, where: {envelope.entry.id: {exists: true}}, to: slack, text: "{{ envelope.entry.id }} {{ event.type }}"}
"""


def requests(folder, split=""):
    config = World(folder, FILE % split).config
    source = config.sources["meta"]
    body = json.dumps(CASES["messages.text"]).encode()
    headers = [(b"content-type", b"application/json"), (b"x-hub-signature-256", b"sha256=00")]
    [found] = source.received(headers, body, now=0.0)
    facts = source.naming.facts(found.event, found.payload)
    planned = config.plan(source, facts)
    built = {
        route: config.built(
            Delivery(id="dlv_1", event_id=found.event.id, route=route, destination=to), found.event, found.payload
        ).request
        for route, to in planned
    }
    return body, built


def test_a_piece_is_matched_and_described_by_its_envelope_and_does_not_carry_the_signature_of_the_whole(tmp_path):
    _, built = requests(tmp_path)
    assert json.loads(built["said"].body) == {"text": "102290129340398 messages.text"}
    assert "known" in built
    assert built["exact"].body == json.dumps(CASES["messages.text"]["entry"][0]["changes"][0]).encode()
    assert "x-hub-signature-256" not in dict(built["exact"].headers)
    assert ":envelope" not in dict(built["exact"].headers)


def test_an_unsplit_request_is_forwarded_exactly_with_its_signature(tmp_path):
    body, built = requests(tmp_path, ', split: none, type: "{payload.object}"')
    assert list(built) == ["exact"]
    assert built["exact"].body == body
    assert dict(built["exact"].headers)["x-hub-signature-256"] == "sha256=00"
