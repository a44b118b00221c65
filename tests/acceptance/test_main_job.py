"""The main job through the real process: signed by openssl, received over HTTP, delivered to a real server."""

import json
import subprocess

import pytest

from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess, eventually
from tests.needs import needs
from tests.sink import Sink

ROUTES = """
version: 1
sources:
  xobito: {{preset: xobito, secret: acceptance-secret}}
destinations:
  slack: {{type: slack, url: "{url}/services/T0/B0/secret"}}
  crm: {{url: "{url}/crm", auth: {{bearer: crm-token}}}}
  archive: {{url: "{url}/archive"}}
always:
  - to: archive
routes:
  - name: new-lead
    match: contact.created
    to: slack
    text: |
      New {{{{ attrs.type | default("contact") }}}} *{{{{ attrs.firstname }}}} {{{{ attrs.lastname | default("") }}}}*
      {{{{ attrs.email | default("no e-mail") }}}} · {{{{ attrs.phone | default("no phone") }}}}
  - name: contact-to-crm
    match: [contact.created, contact.updated]
    to: crm
    method: PUT
    path: /contacts/{{{{ attrs.id }}}}
    query: {{via: "{{{{ event.type }}}}"}}
    body:
      external_id: "{{{{ attrs.id }}}}"
      name: "{{{{ attrs.firstname }}}} {{{{ attrs.lastname }}}}"
      phone: "{{{{ attrs.phone | default(omit) }}}}"
      groups: "{{{{ attrs.group_id | default(omit) }}}}"
  - name: contact-deleted
    match: contact.deleted
    to: crm
    method: DELETE
    path: /contacts/{{{{ attrs.id }}}}
  - name: lookups
    match: ["status.*", "source.*"]
    to: slack
    text: "{{{{ event.type }}}}: {{{{ attrs.name }}}}"
"""


def openssl_signature(body: bytes) -> str:
    """By somebody else's code."""
    command = ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-r"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout.split()[0].decode()


@pytest.fixture(scope="module")
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sink, each_store):
    with GatewayProcess(tmp_path_factory.mktemp("main-job"), ROUTES.format(url=sink.url)) as gateway:
        yield gateway


@pytest.fixture
def post(gateway, sink):
    """Post one event and return what the destinations got for it, by path prefix."""
    needs("openssl")

    def post(body: bytes):
        before = len(sink.requests)
        headers = {"content-type": "application/json", "x-webhook-signature": openssl_signature(body)}
        status, answer = gateway.post(body, headers=headers)
        assert (status, answer["duplicate"]) == (202, False)
        deliveries = gateway.settled(answer["id"])
        assert {each["state"] for each in deliveries} == {"delivered"}
        return answer["id"], {request.path.split("/")[1]: request for request in sink.requests[before:]}

    return post


EXPECTED_SLACK = {
    "contact.created": "New lead *John Doe*\njohn@example.com · +14155551234",
    "status.created": "status.created: Qualified",
    "status.updated": "status.updated: Qualified Lead",
    "status.deleted": "status.deleted: Qualified Lead",
    "source.created": "source.created: Website Form",
    "source.updated": "source.updated: Marketing Site",
    "source.deleted": "source.deleted: Marketing Site",
}

EXPECTED_CRM = {
    "contact.created": (
        "PUT",
        "/crm/contacts/451?via=contact.created",
        {"external_id": 451, "name": "John Doe", "phone": "+14155551234", "groups": [1, 2]},
    ),
    "contact.updated": (
        "PUT",
        "/crm/contacts/451?via=contact.updated",
        {"external_id": 451, "name": "John Doe", "phone": "+14155551234"},
    ),
    "contact.deleted": ("DELETE", "/crm/contacts/451", None),
}


@pytest.mark.parametrize("type", SAMPLES)
def test_every_documented_event_arrives_exactly_as_routed(gateway, post, type):
    event_id, got = post(SAMPLES[type])
    assert gateway.api(f"/api/events/{event_id}")[1]["type"] == type

    archived = got.pop("archive")
    assert archived.body == SAMPLES[type]
    assert archived.headers["content-type"] == "application/json"
    assert archived.headers["x-webhook-signature"] == openssl_signature(SAMPLES[type])

    if type in EXPECTED_SLACK:
        message = json.loads(got.pop("services").body)
        assert message == {"text": EXPECTED_SLACK[type], "unfurl_links": False}
    if type in EXPECTED_CRM:
        request = got.pop("crm")
        method, path, body = EXPECTED_CRM[type]
        assert (request.method, request.path) == (method, path)
        assert (json.loads(request.body) if request.body else None) == body
        assert request.headers["authorization"] == "Bearer crm-token"
        assert request.headers["webhook-id"].startswith("dlv_")
        assert request.headers["user-agent"].startswith("gateway/")
    assert not got


HOSTILE = {
    "quotes": "Jo\"hn 'n' \\ Jane",
    "newlines": "John\r\nDoe\n\n<b>",
    "channel": "<!channel> <https://evil.example|click>",
    "emoji": "👩‍👩‍👧 Ünïcödé",
    "long": "x" * 10_000,
    "braces": "{{ attrs.email }} {% raw %}",
    "bidi": "abc\u202egpj.exe\u2066",
    "entities": "&amp; &lt;!here&gt;",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_arrives_unharmed_at_the_crm_and_harmless_at_slack(post, name):
    payload = json.loads(SAMPLES["contact.created"])
    payload["data"]["attributes"]["firstname"] = HOSTILE[name]
    _, got = post(json.dumps(payload).encode())
    assert json.loads(got["crm"].body)["name"] == f"{HOSTILE[name]} Doe"
    assert json.loads(got["crm"].body)["phone"] == "+14155551234"
    text = json.loads(got["services"].body)["text"]
    assert text.startswith("New lead *")
    assert text.endswith("Doe*\njohn@example.com · +14155551234")
    assert "<" not in text
    assert ">" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "envelope",
    [
        {
            "event": {"id": "ev_1", "type": "contact.created", "timestamp": "2026-04-16T12:34:56Z"},
            "data": {
                "resource": {
                    "type": "contact",
                    "id": 9,
                    "attributes": {"firstname": "A", "lastname": "B", "type": "lead", "email": "a@b.c", "phone": "+1"},
                }
            },
        }
    ],
    ids=["newer envelope"],
)
def test_the_newer_envelope_is_the_same_event(post, envelope):
    _, got = post(json.dumps(envelope).encode())
    assert got["crm"].path == "/crm/contacts/9?via=contact.created"
    assert json.loads(got["services"].body)["text"] == "New lead *A B*\na@b.c · +1"


def test_an_unknown_model_is_accepted_and_named(gateway, post):
    event_id, got = post(b'{"event": "paid", "model": "App\\\\Models\\\\Tenant\\\\Invoice", "data": {"id": 3}}')
    assert gateway.api(f"/api/events/{event_id}")[1]["type"] == "invoice.paid"
    assert set(got) == {"archive"}


def test_the_log_says_what_happened_and_no_secret(gateway, post):
    # With a space: the same sample may have been posted without one.
    event_id, _ = post(SAMPLES["contact.created"] + b" ")

    def logged(event: str, field: str) -> set[str]:
        return {line[field] for line in gateway.log_lines(event) if line["event_id"] == event_id}

    # It is written beside the work.
    eventually(lambda: logged("event.received", "type") == {"contact.created"}, "the event is logged")
    everywhere = {"slack", "crm", "archive"}
    eventually(lambda: logged("delivery.attempted", "destination") == everywhere, "every attempt is logged")
    for secret in (SECRET, "crm-token", "T0/B0/secret", "john@example.com"):
        assert secret not in gateway.log_text()
