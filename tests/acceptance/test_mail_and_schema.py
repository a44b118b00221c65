"""A running gateway that sends e-mail through what servers do, and keeps apart what does not fit a schema."""

import json
import time

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.sink import Sink
from tests.smtp import MailServer, headers

EACH_STORE = pytest.mark.usefixtures("each_store")

MAIL = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations:
  mail:
    type: email
    url: {url}
    insecure: true
    retry: {{for: 1h, first: 200ms}}
    from: Gateway <gw@example.com>
    recipients: [sales@example.com]
    subject: "Lead {{{{ attrs.firstname }}}}"
routes:
  - {{name: lead, match: contact.*, to: mail, text: "hi {{{{ attrs.firstname }}}}"}}
"""


@EACH_STORE
def test_a_greylisted_message_arrives_once_with_one_id_even_if_the_gateway_is_killed(tmp_path):
    with MailServer() as server:
        server.says(b"RCPT", b"450 4.2.0 greylisted, come back")
        with GatewayProcess(tmp_path, MAIL.format(url=server.url)) as gateway:
            _, accepted = gateway.post(distinct(1))
            eventually(lambda: b"RCPT TO:<sales@example.com>" in server.commands, "a first attempt")
            gateway.kill()
            server.says(b"RCPT", b"250 ok")
            gateway.start()
            [delivery] = gateway.settled(accepted["id"])
            assert delivery["state"] == "delivered"
        [mail] = server.mails
    found = headers(mail.message)
    assert found["message-id"] == f"<{delivery['id']}@example.com>"
    assert (found["subject"], found["from"]) == ("Lead John", "Gateway <gw@example.com>")
    assert b"hi John" in mail.message


def test_a_mailbox_that_does_not_exist_is_a_dead_delivery_with_the_servers_words(tmp_path):
    with MailServer() as server:
        server.says(b"RCPT", b"550 5.1.1 no such user here")
        with GatewayProcess(tmp_path, MAIL.format(url=server.url)) as gateway:
            [delivery] = gateway.settled(gateway.post(distinct(1))[1]["id"])
    assert delivery["state"] == "dead"
    assert delivery["reason"].startswith("answered 550 5.1.1 no such user here (the mailbox does not exist")
    assert delivery["attempts_made"][0]["status"] == 550
    assert server.mails == []


SCHEMA = {"type": "object", "properties": {"data": {"properties": {"id": {"type": "integer", "maximum": 10}}}}}
FILE = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret, schema: schema.json}}}}
destinations:
  archive: {{url: {url}/archive}}
  crm: {{url: {url}/crm}}
  ops: {{url: {url}/ops}}
always: [{{to: archive}}]
routes: [{{name: contacts, match: contact.*, to: crm}}]
invalid: [{{name: odd, to: ops, body: {{why: "{{{{ invalid.path }}}} {{{{ invalid.reason }}}}"}}}}]
"""


@EACH_STORE
def test_an_event_that_does_not_fit_stays_marked_over_a_restart_and_another_schema(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    with Sink() as sink, GatewayProcess(tmp_path, FILE.format(url=sink.url)) as gateway:
        good, bad = gateway.post(distinct(7)), gateway.post(distinct(11))
        assert (good[0], bad[0]) == (202, 202)
        assert {each["destination"] for each in gateway.settled(good[1]["id"])} == {"archive", "crm"}
        assert {each["destination"] for each in gateway.settled(bad[1]["id"])} == {"archive", "ops"}
        (tmp_path / "schema.json").write_text("{}")
        gateway.terminate()
        gateway.kill()
        gateway.start()
        _, history = gateway.api(f"/api/events/{bad[1]['id']}")
        assert history["invalid"] == {"path": "payload.data.id", "reason": "is above 10"}
        status, _ = gateway.api("/api/replay", {"ids": [bad[1]["id"]]})
        assert status in (200, 202)
        eventually(lambda: sum(request.path == "/ops" for request in sink.requests) == 2, "a replay")
        time.sleep(0.1)
    said = [request.body for request in sink.requests if request.path == "/ops"]
    assert said == [b'{"why":"payload.data.id is above 10"}'] * 2
    assert sum(request.path == "/crm" for request in sink.requests) == 1
