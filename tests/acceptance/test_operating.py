"""Looking after the real process: tokens and cookies, replays that survive kill -9, listeners that hold up nothing."""

import asyncio
import http.client
import json
import time
import urllib.parse

import pytest
from msgspec.structs import replace

from gateway.model import Attempt, Dead, new_id
from gateway.store import open_store
from gateway.store.nouns import NewDelivery, Outcome, Want
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.acceptance.test_admin import start
from tests.sink import Sink, answer
from tests.store.given import Looking, new_event

EACH_STORE = pytest.mark.usefixtures("each_store")

ROUTES = """version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}", concurrency: 16}}}}
routes: [{{name: all, to: [crm]}}]
"""
TOKEN, READ_TOKEN = "5f0c8a7be1d94263a7c41b0e92d86f35", "c83ad1f6075e49b2e6b0947a2d1f5c8e"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def form(gateway, path, fields, **headers):
    """What a browser's form posts; status and headers of the answer."""
    connection = http.client.HTTPConnection(gateway.admin, timeout=30)
    try:
        body = urllib.parse.urlencode(fields)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, {"content-type": "application/x-www-form-urlencoded", **named})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()


# --- who may ---


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    environ = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_READ_TOKEN": READ_TOKEN}
    routes = ROUTES.format(url="http://127.0.0.1:9")
    with GatewayProcess(tmp_path_factory.mktemp("guarded"), routes, environ=environ) as gateway:
        yield gateway


def test_the_reading_token_reads_and_changes_nothing(guarded):
    reader = {"authorization": f"Bearer {READ_TOKEN}"}
    assert guarded.api("/api/destinations", headers=reader)[0] == 200
    status, said = guarded.api("/api/destinations/crm/pause", {"reason": "why"}, headers=reader)
    assert (status, said["error"]) == (403, "GATEWAY_READ_TOKEN is read-only: use GATEWAY_ADMIN_TOKEN")


def test_a_login_gives_a_cookie_that_stands_for_the_token(guarded):
    status, headers = form(guarded, "/login", {"token": TOKEN}, origin=f"http://{guarded.admin}")
    cookie = {"cookie": headers["set-cookie"].partition(";")[0]}
    assert (status, headers["location"]) == (303, "/")
    assert guarded.api("/api/destinations", headers=cookie)[0] == 200
    assert guarded.api("/api/reload", {}, headers=cookie)[0] == 200
    changed = {"cookie": cookie["cookie"][:-1] + ("0" if cookie["cookie"][-1] != "0" else "1")}
    assert guarded.api("/api/destinations", headers=changed)[0] == 401
    foreign = {**cookie, "origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert guarded.api("/api/reload", {}, headers=foreign)[0] == 403
    assert guarded.api("/api/destinations", headers={**cookie, "host": "evil.example"})[0] == 403


def test_a_wrong_login_is_refused_and_logged_without_what_was_typed(guarded):
    assert form(guarded, "/login", {"token": "hunter2-hunter2"})[0] == 401
    eventually(lambda: guarded.log_lines("admin.denied"), "the log names it")
    assert "hunter2" not in guarded.log_text()
    assert TOKEN not in guarded.log_text()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ("GATEWAY_READ_TOKEN=short", "GATEWAY_READ_TOKEN has at most 25 bits of entropy"),
        (f"GATEWAY_ADMIN_TOKEN={TOKEN}\nGATEWAY_READ_TOKEN={TOKEN}", "GATEWAY_READ_TOKEN equals GATEWAY_ADMIN_TOKEN"),
    ],
)
def test_a_reading_token_that_protects_nothing_does_not_start(tmp_path, environ, said):
    (tmp_path / "env").write_text(environ)
    done = start(tmp_path, "--env-file", "env")
    assert done.returncode == 1
    assert said in done.stderr
    assert TOKEN not in done.stderr


# --- refused requests ---


@EACH_STORE
def test_a_refused_request_is_shown_within_seconds_and_after_a_restart(tmp_path):
    routes = ROUTES.format(url="http://127.0.0.1:9")
    with GatewayProcess(tmp_path, routes) as gateway:
        for _ in range(3):
            assert gateway.post(distinct(1), headers={})[0] == 401
        assert gateway.request("POST", "/in/xobito/a-secret")[0] == 404
        shown = eventually(lambda: gateway.api("/api/rejected")[1], "the refused ones are shown", 5)
        assert gateway.post(b"x", headers={"x-webhook-signature": "0" * 64})[0] == 401
        assert gateway.terminate() == 0
    assert {(each["source"], each["status"], each["count"]) for each in shown} == {
        ("xobito", 401, 3),
        ("unknown", 404, 1),
    }
    assert "a-secret" not in json.dumps(shown)
    with GatewayProcess(tmp_path, routes) as gateway:
        rejected = gateway.api("/api/rejected")[1]
    assert sum(each["count"] for each in rejected) == 5, "those of the last second are kept, too"


# --- replays ---


@EACH_STORE
def test_two_clicks_on_replay_are_one(tmp_path):
    with Sink(answer(422)) as sink, GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        event_id = gateway.post(distinct(1))[1]["id"]
        assert gateway.settled(event_id)[0]["state"] == "dead"
        sink.at("/", answer(200))
        asked = {"ids": [event_id], "key": "3f2a"}
        first, second = (gateway.api("/api/replay", asked)[1] for _ in range(2))
        assert first["activity"]["id"] == second["activity"]["id"]
        assert gateway.settled(event_id)[0]["state"] == "delivered"
        third = gateway.api("/api/replay", asked)[1]
        time.sleep(0.3)
    assert third["activity"]["id"] == first["activity"]["id"]
    assert len(sink.requests) == 2


def one_for_crm(number):
    delivery = NewDelivery(id=new_id("dlv", time.time()), route="all", destination="crm")
    return replace(new_event(source="xobito", body=distinct(number)), deliveries=[delivery])


ATTEMPT = Attempt(number=1, started_at=1_800_000_000.0, duration_s=0.1, outcome="dead", status=422, reason="HTTP 422")


def dead_store(path, count):
    """A store with this many dead deliveries, all for crm."""

    async def fill():
        store = await open_store(f"sqlite:///{path}")
        for first in range(0, count, 1000):
            numbers = range(first, min(count, first + 1000))
            await store.append([one_for_crm(number) for number in numbers])
        while leases := await store.claim("a", {"crm": Want(slots=1000, lease_s=60)}):
            await store.settle([Outcome(lease, Dead("answered 422"), ATTEMPT) for lease in leases])
        await store.close()

    asyncio.run(fill())


@pytest.mark.slow
def test_a_replay_of_ten_thousand_goes_on_after_kill_9_and_each_is_delivered(tmp_path):
    count = 10_000
    dead_store(tmp_path / "gateway.db", count)
    with Sink() as sink:
        gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url)).start()
        _, answered = gateway.api("/api/replay", {"destination": "crm", "state": "dead", "by": "ann"})
        gateway.kill()
        activity = answered["activity"]
        assert activity["progress"]["total"] == count
        reader = Looking(f"sqlite:///{tmp_path}/gateway.db")
        at_the_kill = reader.activity(activity["id"]).progress
        assert 0 < at_the_kill.moved < count
        assert not at_the_kill.is_finished
        with gateway:

            def done():
                progress = gateway.api(f"/api/activity/{activity['id']}")[1]["progress"]
                return progress if progress["delivered"] == count else None

            progress = eventually(done, "all of them are delivered", 90)
            assert (progress["finished"], progress["moved"], progress["dead"], progress["pending"]) == (
                True,
                count,
                0,
                0,
            )
            assert gateway.terminate() == 0
        sent = [request.headers["webhook-id"] for request in sink.requests]
    assert len(set(sent)) == count
    assert len(sent) - count <= 16, "what was on its way when it died"


def test_a_replay_can_be_stopped(tmp_path):
    dead_store(tmp_path / "gateway.db", 50)
    with Sink() as sink, GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        activity = gateway.api("/api/replay", {"state": "dead", "rate": "1/min"})[1]["activity"]
        sink.wait_for(1)
        status, stopped = gateway.api(f"/api/activity/{activity['id']}/stop", {"by": "bob"})
        assert (status, stopped["progress"]["stopped_by"]) == (200, "bob")
        # The attempt in flight ends.
        eventually(lambda: gateway.api("/api/destinations")[1][0]["pending"] == 0, "nothing is pending")
        assert gateway.api("/api/destinations")[1][0]["dead"] >= 47
        assert [each["verb"] for each in gateway.api("/api/activity")[1]["activity"]] == ["stop", "replay"]


# --- live ---


@EACH_STORE
def test_an_open_stream_hears_of_an_event_and_a_drain_brings_it_to_its_proper_end(tmp_path):
    with Sink() as sink, GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        connection = http.client.HTTPConnection(gateway.admin, timeout=30)
        connection.request("GET", "/api/live?type=contact.*")
        stream = connection.getresponse()
        assert stream.headers["content-type"].startswith("text/event-stream")
        for number in range(3):
            event_id = gateway.post(distinct(number))[1]["id"]
            while event_id.encode() not in stream.readline():
                pass
        assert gateway.terminate() == 0
        stream.read()  # a stream that was cut off would raise IncompleteRead
        connection.close()


def test_a_mute_hides_a_destination_from_alerts_and_shows_who_did_it(tmp_path):
    with Sink() as sink:
        sink.at("/crm", answer(422))
        routes = (
            ROUTES.format(url=f"{sink.url}/crm")
            + """failed:
  - {name: told, to: alerts, body: {said: dead}}
"""
        )
        routes = routes.replace("destinations: {", f'destinations: {{alerts: {{url: "{sink.url}/alerts"}}, ')
        with GatewayProcess(tmp_path, routes) as gateway:
            status, crm = gateway.api("/api/destinations/crm/mute", {"reason": "known", "for_s": 3600, "by": "ann"})
            assert (status, crm["muted"]["by"], crm["muted"]["reason"]) == (200, "ann", "known")
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            gateway.kill()
            gateway.start()
            [muted] = [each["muted"] for each in gateway.api("/api/destinations")[1] if each["name"] == "crm"]
            assert muted["by"] == "ann"
            gateway.settled(gateway.post(distinct(2))[1]["id"])
            assert gateway.api("/api/destinations/crm/unmute", {})[1]["was_muted"]
            gateway.settled(gateway.post(distinct(3))[1]["id"])
            eventually(lambda: [each for each in sink.requests if each.path == "/alerts"], "the third one is told of")
    assert len([each for each in sink.requests if each.path == "/alerts"]) == 1
