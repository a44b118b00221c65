"""A gateway with something to look at: deliveries that went out, that wait, that were given up, and requests refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.harness import SAMPLES, GatewayProcess, eventually, signature
from tests.sink import Sink, answer

ROUTES = """\
version: 1
sources:
  xobito: {{preset: xobito, secret: "${{XOBITO_WEBHOOK_SECRET}}"}}
destinations:
  slack-leads: {{type: slack, url: "{sink}/leads", rate: 50/s}}
  slack-ops: {{type: slack, url: "{sink}/ops", rate: 50/s}}
  crm: {{url: "{sink}/crm/v1", auth: {{bearer: "${{CRM_TOKEN}}"}}, timeout: 5s, retry: {{first: 400ms, for: 24h}}}}
  invoices: {{url: "{sink}/invoices", rate: 50/s}}
  archive: {{type: file, path: archive.ndjson}}
conditions:
  customer: {{attrs.type: customer}}
always:
  - to: archive
routes:
  - name: whatsapp-traffic
    match: [message.sent, message.delivered, message.read]
    to: []
  - name: new-lead
    match: contact.created
    where: {{attrs.type: lead}}
    to: slack-leads
    text: |
      :wave: New lead *{{{{ attrs.firstname }}}} {{{{ attrs.lastname | default("") }}}}*
      {{{{ attrs.email | default("no e-mail") }}}} · {{{{ attrs.phone | default("no phone") }}}}
  - name: customer-won
    match: contact.updated
    where: {{is: customer, attrs.status_id: {{gte: 3}}}}
    to: slack-leads
    text: |
      :tada: *{{{{ attrs.firstname | default("") }}}}* is a customer now
  - name: contact-to-crm
    match: [contact.created, contact.updated]
    where: {{is: customer, attrs.tenant_id: 13}}
    to: crm
    method: PUT
    path: /contacts/{{{{ attrs.id }}}}
    body: {{external_id: "{{{{ attrs.id }}}}", name: "{{{{ attrs.firstname | default(omit) }}}}"}}
  - name: invoice
    match: contact.deleted
    to: invoices
    body: {{contact: "{{{{ attrs.id }}}}", close: true}}
  - name: status-changed
    match: status.*
    to: slack-ops
    text: |
      Status *{{{{ attrs.name }}}}* ({{{{ event.type }}}})
"""
ENVIRON = {"XOBITO_WEBHOOK_SECRET": "acceptance-secret", "CRM_TOKEN": "crm-token-of-the-tests"}


@dataclass(frozen=True)
class Story:
    """The running gateway, what it sends to, and events that one would look for."""

    gateway: GatewayProcess
    sink: Sink
    #: A contact whose delivery to the CRM is tried again and again.
    retried: str
    lead: str

    def post(self, event: str, number: int, **attributes: object) -> str:
        return post(self.gateway, event, number, **attributes)


def post(gateway: GatewayProcess, event: str, number: int, **attributes: object) -> str:
    """The id of a sample event with these attributes."""
    payload = json.loads(SAMPLES[event])
    payload["data"]["id"] = number
    payload["data"]["attributes"] = {**payload["data"]["attributes"], "id": number, **attributes}
    status, answered = gateway.post(json.dumps(payload).encode())
    assert status == 202, answered
    return answered["id"]


@contextmanager
def told(folder: Path, *, dead: int = 12) -> Iterator[Story]:
    """Begins with ``dead`` dead letters of one cause."""
    with Sink(answer(200)) as sink:
        sink.at("/invoices", answer(422, b'{"error": "the contact has open invoices"}'))
        sink.at("/crm", answer(503, b"upstream is down for maintenance"))
        with GatewayProcess(folder, ROUTES.format(sink=sink.url), environ=ENVIRON) as gateway:
            for number in range(dead):
                post(gateway, "contact.deleted", 600 + number)
            post(gateway, "status.created", 3, name="Qualified")
            lead = post(gateway, "contact.created", 451, type="lead", firstname="Ada", lastname="Lovelace")
            twice = json.dumps({"event": "message.delivered", "data": {"id": 9}}).encode()
            assert gateway.post(twice)[1]["duplicate"] is False
            assert gateway.post(twice)[1]["duplicate"] is True
            assert gateway.post(twice, headers={"x-webhook-signature": signature(twice, "another secret")})[0] == 401
            retried = post(gateway, "contact.updated", 452, status_id=1, type="customer")
            eventually(lambda: len(gateway.api("/api/deliveries?state=dead")[1]["deliveries"]) == dead, "all are dead")
            eventually(
                lambda: gateway.api(f"/api/events/{retried}")[1]["deliveries"][1]["attempts"] > 1, "it is retried"
            )
            eventually(lambda: len(gateway.api("/api/rejected")[1]) == 2, "the refused ones are written")
            yield Story(gateway=gateway, sink=sink, retried=retried, lead=lead)
