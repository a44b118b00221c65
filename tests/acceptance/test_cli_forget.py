"""Erasing a person's events from the command line: counted, asked about, done to the end whatever happens."""

import asyncio
import hashlib
import json

import pytest

from gateway.model import Event, new_id
from gateway.store import open_store
from gateway.store.nouns import NewDelivery, NewEvent
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}"}}}}
routes: [{{name: contacts, match: contact.created, to: crm}}]
"""
EMAIL = "jo.meier@example.com"
#: Long enough to be in no id and no time by chance.
THEIR_ID = 4_510_451_045_104
EVENTS, THEIRS = 20_000, 200


@pytest.fixture
def gateway(tmp_path):
    with Sink(answer(503, b"busy")) as sink, GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        yield gateway


def left_in(folder):
    return [file.name for file in folder.glob("gateway.db*") if EMAIL.encode() in file.read_bytes()]


def test_it_counts_asks_and_erases(gateway):
    ids = [gateway.post(distinct(number))[1]["id"] for number in (THEIR_ID, 452)]
    found = f"data.id={THEIR_ID}"
    dry = gateway.verb("forget", "--find", found, "--dry-run")
    assert dry.stdout == "1 event would be forgotten; nothing was changed\n"
    unsure = gateway.verb("forget", "--find", found, check=False)
    assert (unsure.returncode, unsure.stdout) == (2, "")
    assert unsure.stderr == "gateway: 1 event would be forgotten: add --yes in scripts\n"
    done = gateway.verb("forget", "--find", found, "--yes", "--reason", "ticket 12")
    assert done.stdout.startswith("1 event forgotten, 1 delivery discarded (act_")
    shown = gateway.verb("show", ids[0]).stdout
    assert "This event was forgotten: its data is erased, and it cannot be sent again." in shown
    assert "John" not in shown
    assert '"deliveries_discarded": 1' in shown
    refused = gateway.verb("replay", ids[0], "--yes", check=False)
    assert refused.returncode == 1
    assert f"event {ids[0]} cannot be sent again: it was forgotten, and its data is erased" in refused.stderr
    assert "John" in gateway.verb("show", ids[1]).stdout
    listed = gateway.verb("activity").stdout
    assert "events with data.id=•••" in listed
    assert "1 event forgotten, 1 delivery discarded" in listed
    assert str(THEIR_ID) not in gateway.log_text()


@pytest.mark.parametrize(("typed", "code", "body_is"), [("n\n", 1, "kept"), ("y\n", 0, "forgotten")])
def test_in_a_terminal_a_person_is_asked_first(gateway, typed, code, body_is):
    event_id = gateway.post(distinct(451))[1]["id"]
    with gateway.terminal("forget", "--find", "data.id=451", columns=120) as terminal:
        terminal.until("1 event will be erased for good").type(typed)
        assert terminal.wait() == code
    assert gateway.api(f"/api/events/{event_id}")[1]["body_is"] == body_is


def test_without_a_gateway_the_store_itself_is_erased(gateway):
    event_id = gateway.post(distinct(451).replace(b"john@example.com", EMAIL.encode()))[1]["id"]
    gateway.terminate()
    assert left_in(gateway.folder)
    done = gateway.verb("forget", "--find", f"attrs.email={EMAIL}", "--yes")
    assert done.stdout.startswith("1 event forgotten")
    assert left_in(gateway.folder) == []
    assert "This event was forgotten" in gateway.verb("show", event_id).stdout


async def _fill(url):
    store = await open_store(url)
    body = distinct(1).replace(b"john@example.com", EMAIL.encode())
    for start in range(0, EVENTS, 500):
        await store.append([_event(number, body) for number in range(start, start + 500)])
    await store.close()


def _event(number, theirs):
    body = theirs if number % (EVENTS // THEIRS) == 0 else distinct(number)
    event = Event(
        id=new_id("evt", 1_800_000_000.0), source="xobito", type="contact.created", received_at=1_800_000_000.0,
        headers={"content-type": "application/json"}, body=body, sha256=hashlib.sha256(body).digest(),
    )  # fmt: skip
    # For a destination that is in no file: it waits.
    delivery = NewDelivery(id=new_id("dlv", 1_800_000_000.0), route="contacts", destination="crm")
    return NewEvent(event=event, key=b"%d" % number, window_s=1.0, deliveries=[delivery] if theirs is body else ())


@pytest.mark.slow
def test_a_gateway_that_is_killed_over_it_finishes_after_its_next_start(tmp_path):
    asyncio.run(_fill(f"sqlite:///{tmp_path}/gateway.db"))
    with Sink(answer(503)) as sink:
        text = ROUTES.format(url=sink.url).replace("crm: {", "crm: {paused: true, ")
        gateway = GatewayProcess(tmp_path, text)
        with gateway:
            begun = json.loads(
                gateway.verb("forget", "--find", f"attrs.email={EMAIL}", "--yes", "--detach", "--json").stdout
            )
            path = f"/api/activity/{begun['id']}"
            eventually(lambda: gateway.api(path)[1]["progress"]["moved"], "some are forgotten")
            gateway.kill()
        with gateway:
            early = gateway.api(path)[1]["progress"]
            done = eventually(lambda: (each := gateway.api(path)[1])["progress"]["finished"] and each, "it is finished")
            assert early["moved"] < THEIRS, "it was killed in the middle"
            assert (done["progress"]["moved"], done["progress"]["discarded"]) == (THEIRS, THEIRS)
            assert left_in(tmp_path) == []
