"""The file of the tutorial about threads, run for real and killed on the way."""

import itertools
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess, eventually
from tests.test_recipes import Vendor

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-threads.md"
ENVIRON = {"XOBITO_WEBHOOK_SECRET": SECRET, "SLACK_TOKEN": "xoxb-token", "CRM_TOKEN": "crm-token"}
EACH_STORE = pytest.mark.usefixtures("each_store")


class Both(Vendor):
    """Slack and a CRM: each answers with an id of its own, and the CRM knows only its own ids."""

    def __init__(self):
        self._numbers = itertools.count(1)
        #: By contact: the threads and records that were made, and those that its changes went to.
        self.opened, self.posted, self.made, self.changed = (defaultdict(list) for _ in range(4))

    def answer(self, path, headers, body):
        number = next(self._numbers)
        if path == "/slack":
            name = re.search(r"contact-\d+", body["text"])[0]
            ts = f"1700000000.{number:06}"
            self.posted[name].append(body["thread_ts"]) if "thread_ts" in body else self.opened[name].append(ts)
            return 200, {"ok": True, "channel": body["channel"], "ts": ts}
        if path == "/crm/contacts":
            self.made[body["name"]].append(str(number))
            return 201, {"id": number}
        if any(path == f"/crm/contacts/{id_}" for id_ in self.made[body["name"]]):
            self.changed[body["name"]].append(path.rpartition("/")[2])
            return 200, {}
        return 404, {"error": "no such contact"}


def example(url):
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = text.replace("https://slack.com/api/chat.postMessage", f"{url}/slack\n    public: false\n    rate: 200/s")
    return text.replace("https://crm.example.com/api/v1", f"{url}/crm")


def event(what, number, note=0):
    payload = json.loads(SAMPLES[f"contact.{what}"])
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    payload["data"]["attributes"].update(firstname=f"contact-{number}", lastname="", note=note)
    return json.dumps(payload).encode()


def killed(gateway):
    gateway.kill()
    gateway.start()


@EACH_STORE
def test_a_change_goes_into_the_thread_and_to_the_record_of_its_contact_whenever_it_is_killed(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url), environ=ENVIRON) as gateway:
        gateway.settled(gateway.post(event("created", 1))[1]["id"])
        killed(gateway)
        gateway.settled(gateway.post(event("updated", 1))[1]["id"])
        assert vendor.posted["contact-1"] == vendor.opened["contact-1"] != []
        assert vendor.changed["contact-1"] == vendor.made["contact-1"] != []

        # Its change comes first.
        changed = gateway.post(event("updated", 2))[1]["id"]
        waits = [["slack-thread of 2"], ["crm-id of 2"]]
        eventually(lambda: [each["waits_for"] for each in gateway.deliveries(changed)] == waits, "both of them wait")
        assert "waits for slack-thread of 2, at most" in gateway.verb("show", changed).stdout
        lines = gateway.log_lines("delivery.waits")
        assert {(each["destination"], *each["waits_for"]) for each in lines} == {
            ("slack", "slack-thread"),
            ("crm", "crm-id"),
        }
        killed(gateway)
        assert [each["attempts"] for each in gateway.deliveries(changed)] == [0, 0]
        gateway.settled(gateway.post(event("created", 2))[1]["id"])
        gateway.settled(changed)
        assert vendor.posted["contact-2"] == vendor.opened["contact-2"] != []
        assert vendor.changed["contact-2"] == vendor.made["contact-2"] != []
        assert f"contact: crm-id of 2: id {vendor.made['contact-2'][0]}" in gateway.verb("show", changed).stdout


@EACH_STORE
def test_kills_in_the_middle_of_many_mix_up_no_contacts(tmp_path):
    contacts = range(10, 30)
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url), environ=ENVIRON) as gateway:
        ids = []
        for number in contacts:
            ids += [gateway.post(event(what, number))[1]["id"] for what in ("updated", "created")]
            if number in (15, 25):
                killed(gateway)
            ids.append(gateway.post(event("updated", number, note=1))[1]["id"])
        states = {each["state"] for id_ in ids for each in gateway.settled(id_)}
        assert states == {"delivered"}
        for name in (f"contact-{number}" for number in contacts):
            # A kill may have had a creation sent twice; nothing went to another contact's.
            assert set(vendor.posted[name]) <= set(vendor.opened[name])
            assert set(vendor.changed[name]) <= set(vendor.made[name])
            assert len(vendor.posted[name]) >= 2
            assert len(vendor.changed[name]) >= 2
