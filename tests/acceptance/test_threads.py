"""The file of the tutorial about threads, run for real and killed on the way."""

import http.client
import json
import os
import random
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests import postgres
from tests.acceptance import stores
from tests.acceptance.cluster import Cluster
from tests.acceptance.crew import Crew, kill
from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess, eventually
from tests.vendor import Vendor

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-threads.md"
ENVIRON = {"XOBITO_WEBHOOK_SECRET": SECRET, "SLACK_TOKEN": "xoxb-token", "CRM_TOKEN": "crm-token"}
EACH_STORE = pytest.mark.usefixtures("each_store")
CHANNEL = "C0123456789"
#: More with `THREAD_KILLS=10 pytest tests/acceptance/test_threads.py`, for longer.
KILLS = int(os.environ.get("THREAD_KILLS", "3"))
SENDERS = 4
#: Of each sender, between two kills.
CONTACTS = 4


class Both(Vendor):
    """Slack and a CRM. Each gives ids of its own and minds no doubles; the CRM finds its records by their address."""

    def __init__(self) -> None:
        super().__init__()
        #: By ts, in the order that they were posted: the messages of the channel, and those in its threads.
        self.messages: dict[str, dict] = {}
        self.replies: dict[str, dict] = {}
        #: By id.
        self.records: dict[int, dict] = {}
        self.updates: dict[int, list[dict]] = defaultdict(list)
        #: Answers of the CRM to what it creates lack the id.
        self.says_no_id = False
        # So that a kill finds requests that took effect and were not answered.
        self.answers_after_s = 0.003

    def answer(self, call):
        system, _, path = call.path.strip("/").partition("/")
        return self._slack(path, call) if system == "api" else self._crm(f"{call.method} {path}", call)

    def _slack(self, method, call):
        if call.headers["authorization"] != "Bearer xoxb-token":
            return 200, {"ok": False, "error": "invalid_auth"}
        if method == "conversations.history":
            newest = [{"ts": ts, **each} for ts, each in reversed(self.messages.items())][: int(call.query["limit"])]
            return 200, {"ok": call.query["channel"] == CHANNEL, "messages": newest}
        if call.body["channel"] != CHANNEL:
            return 200, {"ok": False, "error": "channel_not_found"}
        if method == "chat.update":
            if call.body["ts"] not in self.messages:
                return 200, {"ok": False, "error": "message_not_found"}
            self.messages[call.body["ts"]].update(blocks=call.body["blocks"])
            return 200, {"ok": True, "ts": call.body["ts"]}
        ts = f"1700000000.{len(self.messages) + len(self.replies):06}"
        (self.replies if "thread_ts" in call.body else self.messages)[ts] = call.body
        return 200, {"ok": True, "ts": ts}

    def _crm(self, what, call):
        if call.headers["authorization"] != "Bearer crm-token":
            return 401, {"error": "who are you?"}
        if what == "GET contacts/search":
            address = call.query.get("email")
            return 200, {"items": [{"id": id_} for id_, each in self.records.items() if each.get("email") == address]}
        if what == "POST contacts":
            id_ = 7001 + len(self.records)
            self.records[id_] = dict(call.body)
            self.updates[id_].append(call.body)
            return 201, {} if self.says_no_id else {"id": id_}
        id_ = int(what.removeprefix("PATCH contacts/"))
        if id_ not in self.records:
            return 404, {"error": "no such contact"}
        self.records[id_].update(call.body)
        self.updates[id_].append(call.body)
        return 200, {"id": id_}

    # what has become of them

    def threads(self, number):
        """The ts of each message that opened the thread of a contact."""
        whose = {"event_type": "contact", "event_payload": {"contact": number}}
        return [ts for ts, each in self.messages.items() if each.get("metadata") == whose]

    def posted(self, number):
        """The threads that changes of a contact were posted into; None: a message of its own."""
        everywhere = [*self.messages.values(), *self.replies.values()]
        about = re.compile(rf"contact-{number}( \w+)? was changed")
        return [each.get("thread_ts") for each in everywhere if about.match(each.get("text", ""))]

    def of(self, number):
        """The ids of the records of a contact."""
        return [id_ for id_, each in self.records.items() if each["name"].split()[0] == f"contact-{number}"]


def example(url, wait="10m"):
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = text.partition("\ntests:\n")[0].replace("https://slack.com/api", f"{url}/api")
    text = text.replace("https://crm.example.com/api/v1", f"{url}/crm").replace("rate: 1/s", "rate: 200/s")
    text = text.replace("wait: 10m", f"wait: {wait}")
    # Until one that was interrupted at a replica is sent again, 200 times as many others go out as by the rate of the page.
    text = text.replace('limit: "200"', 'limit: "5000"')
    # What a replica was sending to when it was killed is sent to again once a timeout and a little more are over.
    return text.replace("    type: slack\n", "    type: slack\n    rate: 200/s\n") + "\ndefaults: {timeout: 3s}\n"


def event(what, number, word="", **fields):
    """Of a contact; ``word`` makes one of several."""
    payload = json.loads(SAMPLES[f"contact.{what}"])
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    names = {"firstname": f"contact-{number} {word}".strip(), "email": f"contact-{number}@example.com"}
    payload["data"]["attributes"].update(names | fields)
    return json.dumps(payload).encode()


def killed(gateway):
    gateway.kill()
    gateway.start()


# --- one after the other ---


@EACH_STORE
def test_a_change_goes_into_the_thread_and_to_the_record_of_its_contact_whenever_it_is_killed(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url), environ=ENVIRON) as gateway:
        gateway.settled(gateway.post(event("created", 1))[1]["id"])
        killed(gateway)
        gateway.settled(gateway.post(event("updated", 1, email="new@example.com"))[1]["id"])
        assert vendor.posted(1) == vendor.threads(1) != []
        assert [vendor.records[id_]["email"] for id_ in vendor.of(1)] == ["new@example.com"]

        # Its change comes first.
        changed = gateway.post(event("updated", 2))[1]["id"]
        eventually(
            lambda: {each["state"] for each in gateway.deliveries(changed)} == {"delivered", "pending"}, "one waits"
        )
        [waiting] = [each for each in gateway.deliveries(changed) if each["state"] == "pending"]
        assert waiting["waits_for"] == ["slack-thread of 2"]
        assert "waits for slack-thread of 2, at most" in gateway.verb("show", changed).stdout
        eventually(
            lambda: (
                {(each["destination"], *each["waits_for"]) for each in gateway.log_lines("delivery.waits")}
                == {("slack", "slack-thread")}
            ),
            "a line of the log says so",
        )
        killed(gateway)
        created = gateway.post(event("created", 2))[1]["id"]
        gateway.settled(created)
        assert [each["attempts"] for each in gateway.settled(changed)] == [1, 1]
        assert vendor.posted(2) == vendor.threads(2) != []
        [record] = vendor.of(2)
        assert f"known: crm-id of 2: id {record}" in gateway.verb("show", created).stdout


@EACH_STORE
def test_a_contact_that_the_crm_had_before_is_found_and_not_doubled_whatever_its_address_is_later(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url, wait="1s"), environ=ENVIRON) as gateway:
        vendor.records = {12: {"name": "contact-3", "email": "contact-3@example.com"}}
        gateway.settled(gateway.post(event("updated", 3, "first"))[1]["id"])
        killed(gateway)
        gateway.settled(gateway.post(event("updated", 3, "second", email="new@example.com"))[1]["id"])
        assert vendor.records == {12: {"name": "contact-3 second", "email": "new@example.com"}}
        # Nobody has opened a thread for it: what waited in vain is a message of its own.
        assert vendor.posted(3) == [None, None]


# --- whatever the answers are, and whatever is done to it later ---


@EACH_STORE
def test_a_record_whose_answer_lacks_the_id_is_found_by_its_address_the_next_time(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url), environ=ENVIRON) as gateway:
        vendor.says_no_id = True
        created = gateway.post(event("created", 4))[1]["id"]
        gateway.settled(created)
        assert "nothing is remembered as crm-id of 4: the answer has no json.id" in gateway.verb("show", created).stdout
        changed = gateway.post(event("updated", 4))[1]["id"]
        gateway.settled(changed)
        [record] = vendor.of(4)
        assert f"remembered as crm-id of 4 for 365d: id {record}" in gateway.verb("show", changed).stdout


@EACH_STORE
def test_a_replay_of_an_old_event_opens_no_thread_and_makes_no_record(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url), environ=ENVIRON) as gateway:
        created = gateway.post(event("created", 5))[1]["id"]
        gateway.settled(created)
        gateway.settled(gateway.post(event("updated", 5, email="new@example.com"))[1]["id"])
        # Neither the channel nor the address shows it any more.
        for message in vendor.messages.values():
            message["metadata"] = {}
        [thread], [record] = vendor.messages, vendor.records
        made = len(vendor.calls)
        gateway.verb("replay", created, "--yes")
        eventually(lambda: len(vendor.calls) >= made + 4, "both are sent again")
        gateway.settled(created)
        gateway.settled(gateway.post(event("updated", 5, "again"))[1]["id"])
        assert [*vendor.messages] == [thread]
        assert [*vendor.records] == [record]
        assert vendor.posted(5) == [thread, thread]


@EACH_STORE
def test_forgetting_a_person_forgets_what_was_remembered_and_spares_the_others(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url, wait="1s"), environ=ENVIRON) as gateway:
        for number in (6, 7):
            gateway.settled(gateway.post(event("created", number))[1]["id"])
        gateway.verb("forget", "--find", "data.id=6", "--yes")
        vendor.records[vendor.of(6)[0]]["email"] = "nobody@example.com"
        changed = [gateway.post(event("updated", number, "later"))[1]["id"] for number in (6, 7)]
        for id_ in changed:
            gateway.settled(id_)
        assert "nothing is remembered as slack-thread of 6" in gateway.verb("show", changed[0]).stdout
        assert (vendor.posted(6), vendor.posted(7)) == ([None], vendor.threads(7))
        # As if it came for the first time.
        assert (len(vendor.of(6)), len(vendor.of(7))) == (2, 1)


@EACH_STORE
def test_two_changes_at_once_of_a_contact_that_nobody_knows_make_one_record(tmp_path):
    with Both() as vendor, GatewayProcess(tmp_path, example(vendor.url, wait="1s"), environ=ENVIRON) as gateway:
        ids = []
        posting = [
            threading.Thread(target=lambda word=word: ids.append(gateway.post(event("updated", 8, word))[1]["id"]))
            for word in "abcdefgh"
        ]
        for each in posting:
            each.start()
        for each in posting:
            each.join()
        assert {each["state"] for id_ in ids for each in gateway.settled(id_)} == {"delivered"}
        [record] = vendor.of(8)
        assert len(vendor.updates[record]) == 8
        assert vendor.posted(8) == [None] * 8


# --- killed again and again ---


class One:
    """A gateway of one process."""

    def __init__(self, folder, file):
        self.gateway = GatewayProcess(folder, file, environ=ENVIRON)

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *_):
        self.gateway.__exit__()

    alive, pending, drain = Crew.alive, Crew.pending, Crew.drain

    def harm(self, chance):
        killed(self.gateway)


class Workers(Crew):
    """A gateway with two workers, of which one is killed, or the process that has the store."""

    def __init__(self, folder, file):
        super().__init__(folder, file, environ=ENVIRON)

    def harm(self, chance):
        kill(chance.choice([*self.workers(), self.owner]))
        self.ready()


class Replicas(Cluster):
    """Two replicas, of which one is killed and started again."""

    def __init__(self, folder, file):
        self._url = postgres.fresh()
        super().__init__(folder, self._url, file, replicas=2, environ=ENVIRON)

    def __exit__(self, *_):
        super().__exit__()
        postgres.drop(self._url)

    def harm(self, chance):
        killed(chance.choice(self.gateways))


class Senders:
    """Each posts contacts of its own until it is told to stop: a creation and two changes, of which one may come first."""

    def __init__(self, fleet):
        self._fleet = fleet
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in range(SENDERS)]
        #: Contacts of which everything was acknowledged, and those of which anything may have been received.
        self.whole, self.begun = [], set()
        #: Events by contact.
        self.acked = defaultdict(list)

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for each in self._threads:
            each.join(60)

    def _run(self, sender):
        chance = random.Random(sender)
        number = 1000 * (sender + 1)
        while not self._stop.is_set():
            number += 1
            self.begun.add(number)
            events = [event("created", number), event("updated", number, "x"), event("updated", number, "y")]
            if chance.random() < 0.3:
                events[0], events[1] = events[1], events[0]
            for each in events:
                # Whoever has begun a contact goes on until all of it is acknowledged.
                eventually(partial(self._post, chance, number, each), "it is accepted")
            self.whole.append(number)
            self._stop.wait(0.05)

    def _post(self, chance, number, body):
        with suppress(OSError, http.client.HTTPException, ValueError, IndexError):
            status, known = chance.choice(self._fleet.alive()).post(body)
            if status == 202:
                self.acked[number].append(known["id"])
            return status == 202


@pytest.mark.slow
@pytest.mark.timeout(400 + 50 * KILLS)
@pytest.mark.parametrize(
    ("kind", "fleet"),
    [
        pytest.param("sqlite", One, id="sqlite"),
        pytest.param("postgres", One, id="postgres"),
        pytest.param("sqlite", Workers, id="workers"),
        pytest.param("postgres", Replicas, id="replicas"),
    ],
)
def test_kills_in_the_middle_of_many_double_no_contact_and_mix_up_none(tmp_path, kind, fleet):
    chance = random.Random(20)
    with Both() as vendor, stores.of_kind(kind), fleet(tmp_path, example(vendor.url)) as running:
        # Every third contact of a sender was in the CRM before.
        known = [
            number for sender in range(1, SENDERS + 1) for number in range(1000 * sender + 3, 1000 * sender + 999, 3)
        ]
        had = {
            id_: {"name": f"contact-{number}", "email": f"contact-{number}@example.com"}
            for id_, number in enumerate(known, 1)
        }
        vendor.records |= had
        with Senders(running) as senders:
            for _ in range(KILLS):
                begun = len(senders.whole)
                eventually(lambda begun=begun: len(senders.whole) >= begun + SENDERS * CONTACTS, "contacts come in")
                time.sleep(chance.uniform(0.0, 0.3))
                running.harm(chance)
        # What a replica was sending to when it was killed is sent to again once its share has run out.
        running.drain(240.0)
        assert sorted(senders.whole) == sorted(senders.begun)
        [gateway, *_] = running.alive()
        states = Counter(
            each["state"] for ids in senders.acked.values() for id_ in ids for each in gateway.deliveries(id_)
        )
        assert set(states) == {"delivered"}
        again = sum(len(vendor.posted(number)) - 2 for number in senders.whole)
        sys.stdout.write(f"{KILLS} kills: {len(senders.whole)} contacts, {states.total()} deliveries, {again} again\n")
        people = Counter(each["email"] for each in vendor.records.values())
        assert people.most_common(1)[0][1] == 1, "no contact has two records"
        for number in senders.whole:
            [thread] = vendor.threads(number)
            assert set(vendor.posted(number)) == {thread}
            assert len(vendor.posted(number)) >= 2, "nothing is lost"
            [record] = vendor.of(number)
            assert (record in had) == (number % 1000 % 3 == 0)
            assert {each["name"] for each in vendor.updates[record]} == {
                f"contact-{number}{word}" for word in ("", " x", " y")
            }
            assert vendor.records[record]["name"] == f"contact-{number} y", "the last change counts"
