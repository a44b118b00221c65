"""A contact that becomes Qualified is announced once, with what it was before, whatever dies in between."""

import http.client
import itertools
import json
import random
import threading
import time

import pytest

from tests.acceptance.crew import Crew, kill
from tests.acceptance.harness import SECRET, GatewayProcess, eventually, signature
from tests.sink import Sink, answer

KILLS = 4
CONTACTS = 12
#: What becomes of each contact, one update after the other: a whole record first, then only what is new.
STORY = (
    {"status_id": 1, "firstname": "Ada", "email": "ada@example.com", "phone": "1"},
    {"phone": "2"},
    {"status_id": 3},
    {"phone": "3", "status_id": 3},
    {"email": "new@example.com"},
    {"status_id": 1},
)

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}, track: 180d}}}}
destinations:
  sales: {{url: "{url}", concurrency: 8, timeout: 5s, retry: {{for: 1h, first: 1s, max: 1s}}}}
routes:
  - name: qualified
    match: contact.updated
    where: {{attrs.status_id: {{changed: {{from: 1, to: 3}}}}}}
    to: sales
    path: /qualified
    body: {{id: "{{{{ attrs.id }}}}", was: "{{{{ before.status_id }}}}", now: "{{{{ record.status_id }}}}", email: "{{{{ record.email }}}}"}}
  - name: phone
    match: contact.updated
    where: {{attrs.phone: {{changed: true}}}}
    to: sales
    path: /phone
    body: {{id: "{{{{ attrs.id }}}}", was: "{{{{ before.phone }}}}", now: "{{{{ attrs.phone }}}}"}}
"""


def file(sink):
    return ROUTES.format(secret=SECRET, url=sink.url)


def update(contact, step, fields):
    said = {
        "event": "updated" if step else "created",
        "model": "App\\Models\\Tenant\\Contact",
        "data": {"id": contact, "attributes": {"id": contact, "tenant_id": 13, **fields, "updated_at": step}},
        "original": None,
    }
    return json.dumps(said).encode()


class Xobito:
    """Posts each contact's story, one update after the other, each again until it is accepted."""

    def __init__(self, ports):
        self._ports = ports
        self._threads = [threading.Thread(target=self._tell, args=(contact,)) for contact in range(1, CONTACTS + 1)]
        self.refused = 0
        for thread in self._threads:
            thread.start()

    @property
    def is_done(self):
        return not any(thread.is_alive() for thread in self._threads)

    def _tell(self, contact):
        for step, fields in enumerate(STORY):
            body = update(contact, step, fields)
            while not self._is_accepted(body):
                self.refused += 1
                time.sleep(0.1)
            time.sleep(0.15)

    def _is_accepted(self, body):
        for port in self._ports():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
                return connection.getresponse().status == 202
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()
        return False


def check_what_was_sent(sink):
    """Each contact became Qualified once and had two new phones, each told with what was there before."""
    sent = {}
    for request in sink.requests:
        sent.setdefault(request.path, {}).setdefault(request.headers["webhook-id"], json.loads(request.body))
    contacts = range(1, CONTACTS + 1)
    qualified = sorted(sent["/qualified"].values(), key=lambda each: each["id"])
    assert qualified == [{"id": each, "was": 1, "now": 3, "email": "ada@example.com"} for each in contacts]
    phones = sorted(sent["/phone"].values(), key=lambda each: (each["id"], each["now"]))
    assert phones == [
        {"id": each, "was": was, "now": now} for each in contacts for was, now in itertools.pairwise(["1", "2", "3"])
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_contact_that_becomes_qualified_is_announced_once_over_many_kills(tmp_path, each_store):
    chance = random.Random(11)
    with Sink(answer(after_s=0.02)) as sink, GatewayProcess(tmp_path, file(sink)) as gateway:
        ports = [gateway.port]
        sender = Xobito(lambda: ports)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.5))
            gateway.kill()
            ports[:] = [gateway.start().port]
        eventually(lambda: sender.is_done, "every update was accepted", 120)
        eventually(
            lambda: not gateway.api("/api/deliveries?state=pending")[1]["deliveries"], "everything is delivered", 60
        )
        check_what_was_sent(sink)
        found = gateway.api("/api/events?q=data.id=1&type=contact.updated&limit=50")[1]["events"]
        qualified = next(each["id"] for each in found if any(one["route"] == "qualified" for one in each["deliveries"]))
        shown = gateway.api(f"/api/events/{qualified}")[1]["tracked"]
        assert shown["before"]["status_id"] == 1
        assert shown["record"]["email"] == "ada@example.com"
        assert {each["name"]: (each["before"], each["after"]) for each in shown["changes"]}["status_id"] == (1, 3)
        assert "status_id: 1 -> 3" in gateway.verb("show", qualified).stdout
        assert "What it changed" in gateway.api(f"/events/{qualified}")[1]
        assert gateway.terminate() == 0
        said = gateway.verb("doctor", check=False).stdout
        assert f"xobito remembers {CONTACTS} records of at most 1,000,000" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_that_are_killed_agree_on_what_a_contact_was_before(tmp_path):
    chance = random.Random(5)
    with Sink(answer(after_s=0.02)) as sink, Crew(tmp_path, file(sink)) as crew:
        sender = Xobito(lambda: [crew.gateway.port])
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.4))
            kill(chance.choice(crew.workers() or [crew.owner()]))
            crew.ready()
        eventually(lambda: sender.is_done, "every update was accepted", 120)
        crew.drain()
        check_what_was_sent(sink)
