"""The templates that come with the product, over the samples of the sender they are for."""

import copy
import json
import re
from pathlib import Path

import pytest

from gateway.destinations.escapes import no_escape
from gateway.destinations.slack import escape
from gateway.errors import Place
from gateway.render import Templates

ROOT = Path(__file__).parents[2]
SAMPLES = {file.stem: json.loads(file.read_text()) for file in (ROOT / "gateway" / "presets" / "xobito").glob("*.json")}

#: Which template is for which events.
SLACK = {
    "contact.created": "slack/contact-created.json.j2",
    "contact.updated": "slack/contact-updated.json.j2",
    "contact.deleted": "slack/contact-deleted.json.j2",
    **{f"status.{action}": "slack/status.json.j2" for action in ("created", "updated", "deleted")},
    **{f"source.{action}": "slack/source.json.j2" for action in ("created", "updated", "deleted")},
}
CRM = {type: "crm/contact.json.j2" for type in SLACK if type.startswith("contact.")}

HOSTILE = {
    "quotes": 'O\'Neill "Bob" \\',
    "lines": "a\nb\r\nc",
    "a mention": "<!channel>",
    "a link": "<https://evil.test|bank>",
    "emoji": "👩‍👩‍👧 🎉",
    "long": "x" * 10_000,
    "direction": "\u202etxt.exe\u2066",
    "template": "{{ 1 / 0 }}{% for %}",
    "phone": "+14155551234",
    "zero": 0,
    "half a pair": "\ud83d",
}


@pytest.fixture(scope="module")
def templates():
    return Templates(ROOT / "templates", roots={"event", "payload", "headers", "attrs"})


def facts_of(type, payload):
    resource, action = type.split(".")
    event = {"id": "evt_1", "type": type, "source": "xobito", "resource": resource, "action": action}
    return {"event": event, "payload": payload, "headers": {}, "attrs": payload["data"]["attributes"]}


@pytest.fixture(scope="module")
def slack(templates):
    def render(type, payload):
        return templates.file(SLACK[type], Place("routes.yaml", 1), escape)(facts_of(type, payload)).value

    return render


@pytest.fixture(scope="module")
def crm(templates):
    def render(type, payload):
        return templates.file(CRM[type], Place("routes.yaml", 1), no_escape)(facts_of(type, payload)).value

    return render


def with_attribute(type, name, *value):
    payload = copy.deepcopy(SAMPLES[type])
    del payload["data"]["attributes"][name]
    if value:
        payload["data"]["attributes"][name] = value[0]
    return payload


def attributes(types):
    return [(type, name) for type in sorted(types) for name in SAMPLES[type]["data"]["attributes"]]


def texts_of(message):
    """Every text that Slack shows, after checking that the message is as Block Kit has it."""
    assert set(message) == {"text", "blocks"}
    assert message["text"].strip()
    yield message["text"]
    for block in message["blocks"]:
        parts = block["elements"] if block["type"] == "context" else [block["text"]]
        assert block["type"] in {"header", "section", "context"}
        for part in parts:
            assert part["type"] == ("plain_text" if block["type"] == "header" else "mrkdwn")
            assert part["text"].strip()
            yield part["text"]


@pytest.mark.parametrize(
    ("type", "lines"),
    [
        (
            "contact.created",
            [
                "New lead: John Doe",
                "New lead: John Doe",
                ":email: john@example.com\n:telephone_receiver: +14155551234\n:office: Demo Co",
                "Contact 451",
            ],
        ),
        (
            "contact.updated",
            [
                "Contact changed: John Doe",
                "Contact changed: John Doe",
                "*Type* customer\n*E-mail* john+new@example.com\n*Phone* +14155551234\n*Status* 3\n*Source* 2",
                "Contact 451",
            ],
        ),
        ("contact.deleted", ["Contact deleted: John Doe", "Contact deleted: John Doe", "Contact 451 · +14155551234"]),
        ("status.created", ["Status created: Qualified", "Status created: *Qualified*", "Status 12 · #22C55E"]),
        (
            "status.updated",
            ["Status updated: Qualified Lead", "Status updated: *Qualified Lead*", "Status 12 · #16A34A"],
        ),
        ("status.deleted", ["Status deleted: Qualified Lead", "Status deleted: *Qualified Lead*", "Status 12"]),
        ("source.created", ["Source created: Website Form", "Source created: *Website Form*", "Source 7"]),
        ("source.updated", ["Source updated: Marketing Site", "Source updated: *Marketing Site*", "Source 7"]),
        ("source.deleted", ["Source deleted: Marketing Site", "Source deleted: *Marketing Site*", "Source 7"]),
    ],
)
def test_a_sample_reads_well_in_slack(slack, type, lines):
    assert list(texts_of(slack(type, SAMPLES[type]))) == lines


def test_a_contact_goes_to_a_crm_with_its_types(crm):
    assert crm("contact.created", SAMPLES["contact.created"]) == {
        "external_id": 451,
        "name": "John Doe",
        "email": "john@example.com",
        "phone": "+14155551234",
        "company": "Demo Co",
        "type": "lead",
        "status_id": 1,
        "source_id": 2,
        "groups": [1, 2],
    }


def test_a_partial_update_sends_on_only_what_came(crm):
    assert crm("contact.updated", SAMPLES["contact.updated"]) == {
        "external_id": 451,
        "name": "John Doe",
        "email": "john+new@example.com",
        "phone": "+14155551234",
        "type": "customer",
        "status_id": 3,
        "source_id": 2,
    }
    assert "name" not in crm("contact.updated", with_attribute("contact.updated", "firstname"))
    assert crm("contact.updated", with_attribute("contact.updated", "email", None))["email"] is None


@pytest.mark.parametrize(("type", "name"), attributes(SLACK))
@pytest.mark.parametrize("value", [(), (None,), ("",)], ids=["missing", "null", "empty"])
def test_a_slack_message_does_without_any_field(slack, type, name, value):
    assert len(list(texts_of(slack(type, with_attribute(type, name, *value))))) >= 3


@pytest.mark.parametrize("type", sorted(SLACK))
def test_a_slack_message_does_without_all_fields(slack, type):
    payload = copy.deepcopy(SAMPLES[type])
    payload["data"]["attributes"] = {}
    assert len(list(texts_of(slack(type, payload)))) >= 3


@pytest.mark.parametrize(("type", "name"), attributes(CRM))
@pytest.mark.parametrize("value", [(), (None,)], ids=["missing", "null"])
def test_a_contact_does_without_any_field_but_its_id(crm, type, name, value):
    if name != "id":
        assert crm(type, with_attribute(type, name, *value))["external_id"] == 451


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize(("type", "name"), attributes(SLACK))
def test_no_field_breaks_or_takes_over_a_slack_message(slack, type, name, value):
    for text in texts_of(slack(type, with_attribute(type, name, value))):
        assert not set(text) & set("<>\r\u202e\u2066")
        assert not re.search("[\ud800-\udfff]", text)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize(("type", "name"), attributes(CRM))
def test_a_field_arrives_at_the_crm_unharmed(crm, type, name, value):
    body = crm(type, with_attribute(type, name, value))
    arrived = {"id": "external_id", "group_id": "groups"}.get(name, name)
    if arrived in body:
        assert body[arrived] == ("\ufffd" if value == "\ud83d" else value)
    if name == "firstname":
        assert body["name"] == f"{value} Doe".replace("\ud83d", "\ufffd").strip()
