"""Look up before you send, as the how-to has it: killed in the middle again and again, no person is there twice."""

import json
import random
import time
from collections import Counter

import pytest

from tests.acceptance.crew import Crew
from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess
from tests.sink import Sink, answer
from tests.test_docs import ROOT
from tests.vendor import Call, Vendor

EACH_STORE = pytest.mark.usefixtures("each_store")
PEOPLE = 30


class Crm(Vendor):
    """A CRM that gives its own ids and minds no doubles."""

    def __init__(self) -> None:
        super().__init__()
        #: By id: e-mail address and name.
        self.persons: dict[int, dict[str, str]] = {}
        self.slow_s = 0.0

    def answer(self, call: Call) -> tuple[int, object]:
        if call.headers["authorization"] != "Bearer crm-token":
            return 401, {"error": "who are you?"}
        if (call.method, call.path) == ("GET", "/api/v1/persons/search"):
            found = [{"id": id_, **each} for id_, each in self.persons.items() if each["email"] == call.query["term"]]
            return 200, {"items": found}
        if (call.method, call.path) == ("POST", "/api/v1/persons"):
            id_ = len(self.persons) + 1
            self.persons[id_] = call.body
            time.sleep(self.slow_s)
            return 201, {"id": id_}
        if call.method == "PUT" and call.path.startswith("/api/v1/persons/"):
            person = self.persons.get(int(call.path.rpartition("/")[2]))
            if person is None:
                return 404, {"error": "no such person"}
            person.update(call.body)
            return 200, person
        return 404, {"error": "no such path"}


def how_to(url: str) -> str:
    page = (ROOT / "docs/how-to/look-up-before-you-send.md").read_text("utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    text = example.replace("https://crm.example.com", url).replace("    rate: 10/s ", "    rate: 200/s ")
    assert url in text
    return text.partition("tests:\n")[0]


def event(number: int, firstname: str, type: str = "contact.created") -> bytes:
    payload = json.loads(SAMPLES[type])
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    payload["data"]["attributes"].update(email=f"person{number}@example.com", firstname=firstname)
    return json.dumps(payload).encode()


@EACH_STORE
def test_a_contact_that_the_crm_had_is_found_and_no_kill_doubles_another(tmp_path):
    chance = random.Random(5)
    environ = {"XOBITO_WEBHOOK_SECRET": "acceptance-secret", "CRM_TOKEN": "crm-token"}
    with Crm() as crm:
        crm.persons = {1: {"email": "person0@example.com", "name": "Old"}}
        crm.slow_s = 0.01
        gateway = GatewayProcess(tmp_path, how_to(crm.url), environ=environ)
        ids: list[str] = []
        for number in range(PEOPLE):
            if number % 6 == 0:
                if gateway.process is not None:
                    time.sleep(chance.uniform(0.0, 0.2))
                    gateway.kill()
                gateway.start()
            for name in ("New", "Newer"):
                status, known = gateway.post(event(number, name))
                assert status == 202
                ids.append(known["id"])
        time.sleep(chance.uniform(0.0, 0.2))
        gateway.kill()
        with gateway:
            made = [each for id_ in ids for each in gateway.settled(id_)]
            assert {each["state"] for each in made} == {"delivered"}
            names = Counter(each["email"] for each in crm.persons.values())
            assert names == {f"person{number}@example.com": 1 for number in range(PEOPLE)}
            assert {each["name"] for each in crm.persons.values()} == {"Newer"}
            assert crm.persons[1]["email"] == "person0@example.com"
            [lookup] = made[-1]["attempts_made"][-1]["lookups"]
            assert (lookup["name"], lookup["destination"], lookup["status"]) == ("person", "crm", 200)


def in_flight(sink: Sink, path: str, lasting_s: float) -> int:
    """The most requests to a path that were answered at the same time, each after so long."""
    begun = sorted(each.at for each in sink.requests if each.path.startswith(path))
    return max(sum(at <= other < at + lasting_s for other in begun) for at in begun)


@EACH_STORE
def test_with_workers_what_look_ups_join_is_sent_by_one_of_them_within_its_slots(tmp_path):
    text = f"""
version: 1
sources: {{xobito: {{preset: xobito, secret: {SECRET}}}}}
destinations:
  crm: {{url: "URL/crm", concurrency: 2}}
  chat: {{url: "URL/chat", concurrency: 8}}
routes:
  - name: note
    match: contact.created
    to: chat
    fetch: {{person: {{from: crm, path: "/{{{{ attrs.id }}}}"}}}}
    body: {{id: "{{{{ attrs.id }}}}", owner: "{{{{ person.owner }}}}"}}
"""
    with Sink() as sink:
        sink.at("/crm", answer(200, b'{"owner": "Ann"}', after_s=0.05))
        with Crew(tmp_path, text.replace("URL", sink.url)) as crew:
            assert len(crew.workers()) == 2
            gateway = crew.gateway
            ids = [gateway.post(event(number, "Ann"))[1]["id"] for number in range(40)]
            assert {each["state"] for id_ in ids for each in gateway.settled(id_)} == {"delivered"}
    said = [json.loads(each.body) for each in sink.requests if each.path == "/chat"]
    assert sorted(each["id"] for each in said) == list(range(40))
    assert {each["owner"] for each in said} == {"Ann"}
    assert in_flight(sink, "/crm", 0.05) <= 2
