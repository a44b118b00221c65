"""Replay and discard from the command line: counted, asked about, followed, stopped; nothing goes out twice."""

import json
import re
import time

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}/crm"}}, archive: {{url: "{url}/archive"}}}}
routes: [{{name: to-crm, match: contact.created, to: crm}}]
"""
REROUTED = ROUTES + "always: [{{name: keep, to: archive}}]\n"


@pytest.fixture
def sink():
    with Sink(answer(200)) as sink:
        yield sink.at("/crm", answer(422))


@pytest.fixture
def gateway(tmp_path, sink):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        yield gateway


def given_dead(gateway, count):
    """So many dead letters; the ids of their events."""
    ids = [gateway.post(distinct(number))[1]["id"] for number in range(count)]
    dead = lambda: sum(each["count"] for each in gateway.api("/api/dead")[1]["groups"])  # noqa: E731
    eventually(lambda: dead() == count, f"{count} dead letters", 60)
    return ids


def arrived(sink):
    return [each for each in sink.requests if each.path.startswith("/crm")]


def test_a_thousand_dead_letters_are_sent_again_and_all_arrive_once(gateway, sink):
    given_dead(gateway, 1000)
    dry = gateway.verb("replay", "--dead", "--destination", "crm", "--dry-run")
    *listed, more, said = dry.stdout.splitlines()
    assert said == "1,000 deliveries would be replayed; nothing was changed"
    assert [line.split()[2:5] for line in listed[1:]] == [["crm", "dead", "answered"]] * 5
    assert more.startswith("... and 995 more; `gateway dead` counts dead letters by cause")
    before = len(arrived(sink))
    sink.at("/crm", answer(200))
    done = gateway.verb("replay", "--dead", "--destination", "crm", "--cause", "answered 422", "--yes")
    assert done.stdout == "replay of dead for crm, answered 422: 1,000 delivered\n"
    assert done.stderr == ""
    again = arrived(sink)[before:]
    assert len(again) == len({each.headers["webhook-id"] for each in again}) == 1000
    assert gateway.verb("dead").stdout == "No dead letters.\n"


def test_what_dies_again_is_told_and_is_an_exit_code(gateway):
    given_dead(gateway, 3)
    done = gateway.verb("replay", "--dead", "--yes", check=False)
    assert done.returncode == 1
    said, why = done.stdout.splitlines()
    assert said == "replay of dead: 3 dead"
    assert why.startswith("    3  crm  answered 422")
    [first, *_] = json.loads(gateway.verb("dead", "--list", "--json").stdout)
    again = gateway.verb("replay", first["event_id"], check=False)
    assert again.stdout.splitlines()[1].startswith("    1  crm  answered 422")


def test_a_cause_that_no_dead_letter_has_names_those_that_exist(gateway):
    given_dead(gateway, 1)
    done = gateway.verb("replay", "--dead", "--cause", "404", "--yes")
    assert done.stdout == "No dead letters to replay (404).\n"
    assert done.stderr == 'dead letters have other causes: "answered 422"\n'


def test_a_dead_letter_names_the_request_that_a_replay_sends(gateway, sink):
    [event_id] = given_dead(gateway, 1)
    shown = " ".join(gateway.verb("show", event_id).stdout.split())
    assert f"a replay sends POST {sink.url}/crm" in shown
    listed = gateway.verb("dead", "--list")
    [delivery] = json.loads(gateway.verb("dead", "--list", "--json").stdout)
    assert listed.stderr.startswith(f"method, URL and body of one: gateway explain {delivery['id']}")
    assert f"POST {sink.url}/crm" in gateway.verb("explain", delivery["id"]).stdout


@pytest.mark.parametrize("is_running", [True, False])
def test_a_destination_that_nobody_knows_is_no_replay_of_nothing(gateway, is_running):
    given_dead(gateway, 1)
    if not is_running:
        gateway.terminate()
    for more in ((), ("--dry-run",), ("--json",)):
        done = gateway.verb("replay", "--dead", "--destination", "crmm", *more, check=False)
        assert (done.returncode, done.stdout) == (2, ""), more
        assert 'no destination "crmm", neither in routes.yaml nor in the store  (did you mean "crm"?)' in done.stderr


def test_a_replay_of_nothing_says_what_there_is_none_of(gateway):
    said = gateway.verb("replay", "--dead", "--destination", "crm", "--cause", "answered 500").stdout
    assert said == "No dead letters to replay (for crm, answered 500).\n"
    assert gateway.verb("replay", "--dead", "--destination", "crm", "--json").stdout == "null\n"


def test_many_are_not_replayed_where_nobody_can_be_asked(gateway):
    given_dead(gateway, 2)
    done = gateway.verb("replay", "--dead", check=False)
    assert done.returncode == 2
    assert "2 deliveries would be replayed: add --yes" in done.stderr
    assert gateway.verb("dead", "--json").stdout.count("answered 422") == 1


def test_one_is_replayed_without_a_question(gateway, sink):
    [event_id] = given_dead(gateway, 1)
    sink.at("/crm", answer(200))
    told = json.loads(gateway.verb("replay", event_id, "--json", "--reason", "they fixed it").stdout)
    assert (told["verb"], told["reason"]) == ("replay", "they fixed it")
    assert (told["progress"]["delivered"], told["progress"]["finished"]) == (1, True)


def test_a_person_is_asked_and_may_say_no(gateway, sink):
    given_dead(gateway, 3)
    with gateway.terminal("replay", "--dead") as terminal:
        terminal.until("3 deliveries would be replayed. Continue? [y/N]").type("n\n")
        assert terminal.wait() == 1
    assert "nothing was changed" in terminal.said
    with gateway.terminal("replay", "--dead") as terminal:
        terminal.until("[y/N]").type("\x03")
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.said
    assert json.loads(gateway.verb("dead", "--json").stdout)[0]["count"] == 3
    sink.at("/crm", answer(200))
    with gateway.terminal("replay", "--dead") as terminal:
        terminal.until("[y/N]").type("y\n")
        assert terminal.wait() == 0
    assert "3 delivered" in terminal.said


def test_ctrl_c_leaves_it_going_on_and_says_how_to_stop_it(gateway, sink):
    given_dead(gateway, 30)
    sink.at("/crm", answer(200))
    with gateway.terminal("replay", "--dead", "--yes", "--rate", "1/s", columns=100) as terminal:
        terminal.until("delivered").type("\x03")
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.said
    [stop] = re.findall(r"gateway replay --stop (act_[0-9a-f-]+)", terminal.said.replace("\r\n", ""))
    before = len(arrived(sink))
    eventually(lambda: len(arrived(sink)) > before, "it goes on in the gateway")
    assert gateway.verb("replay", "--stop", stop).stdout.startswith("stopped: ")
    again = gateway.verb("replay", "--stop", stop).stdout
    left = json.loads(gateway.verb("dead", "--json").stdout)[0]["count"]
    assert again.startswith("already stopped: ")
    assert f"{left:,} not" in again
    assert "stopped by " in again
    assert 0 < left < 30
    time.sleep(1.5)
    assert json.loads(gateway.verb("dead", "--json").stdout)[0]["count"] == left


def test_nobody_waits_for_a_detached_one(gateway, sink):
    given_dead(gateway, 2)
    sink.at("/crm", answer(200, after_s=2))
    said = gateway.verb("replay", "--dead", "--yes", "--detach").stdout
    assert re.match(r"act_\S+ continues in the gateway; to stop it: gateway replay --stop act_", said)
    eventually(lambda: not gateway.api("/api/dead")[1]["groups"], "they are on their way")


def test_a_reroute_shows_what_changes_and_sends_only_that(gateway, sink):
    [event_id] = given_dead(gateway, 1)
    (gateway.folder / "routes.yaml").write_text(REROUTED.format(url=sink.url))
    assert gateway.api("/api/reload", {})[0] == 200
    sink.at("/crm", answer(200))
    shown = gateway.verb("replay", event_id, "--reroute", "--dry-run").stdout
    assert re.search(r"to-crm > crm  dead: replayed\n", shown)
    assert re.search(r"keep > archive  new\n", shown)
    assert "keep > archive  new\n" in gateway.verb("replay", event_id, "--reroute", "--yes").stdout
    assert {each["destination"]: each["state"] for each in gateway.settled(event_id)} == {
        "crm": "delivered",
        "archive": "delivered",
    }


def test_a_later_state_of_the_same_record_is_warned_of(gateway, sink):
    [event_id] = given_dead(gateway, 1)
    sink.at("/crm", answer(200))
    later = json.loads(distinct(0))
    later["data"]["attributes"]["firstname"] = "Ada"
    gateway.settled(gateway.post(json.dumps(later).encode())[1]["id"])
    warned = gateway.verb("replay", event_id, "--dry-run")
    assert "would send an older state of it" in warned.stderr
    with gateway.terminal("replay", event_id, columns=200) as terminal:
        terminal.until("would send an older state of it").until("[y/N]").type("n\n")
        assert terminal.wait() == 1
    assert "would send an older state of it" in gateway.verb("replay", event_id, "--yes").stderr


def test_what_is_discarded_stays_so_and_it_is_known_who_did_it_and_why(gateway):
    ids = given_dead(gateway, 3)
    gateway.verb("discard", "--dead", "--destination", "crm", "--reason", "test data", "--yes")
    assert gateway.verb("dead").stdout == "No dead letters.\n"
    assert "discarded" in gateway.verb("show", ids[0]).stdout
    [deed] = json.loads(gateway.verb("activity", "--json").stdout)
    assert (deed["verb"], deed["reason"], deed["progress"]["moved"]) == ("discard", "test data", 3)
    assert gateway.verb("replay", ids[0]).stdout == f"Nothing to do: there is no delivery to replay for {ids[0]}.\n"


def test_without_a_gateway_they_go_out_at_its_next_start(gateway, sink):
    given_dead(gateway, 1200)
    gateway.terminate()
    gateway.kill()
    assert "\n1,200 deliveries would be replayed" in gateway.verb("replay", "--dead", "--dry-run").stdout
    assert gateway.verb("replay", "--dead", check=False).returncode == 2
    done = gateway.verb("replay", "--dead", "--yes", "--reason", "fixed")
    assert "1,200 waiting" in done.stdout
    assert "No gateway is running" in done.stdout
    sink.at("/crm", answer(200))
    before = len(arrived(sink))
    gateway.start()
    eventually(
        lambda: gateway.api("/api/stats")[1]["destinations"]["crm"]["delivered"] == 1200, "all are delivered", 60
    )
    assert len({each.headers["webhook-id"] for each in arrived(sink)[before:]}) == 1200
