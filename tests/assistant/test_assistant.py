"""``gateway mcp``, asked by the official client over standard input and output."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import api, assistant
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.cli.command import run
from tests.sink import Sink, answer
from tests.web.desk import READ_TOKEN, TOKEN

#: The Python that has the extra: `make assistant` says so.
PYTHON = os.environ.get("GATEWAY_TEST_MCP", sys.executable if importlib.util.find_spec("mcp") else "")
needs_extra = pytest.mark.skipif(not PYTHON, reason="THE EXTRA mcp IS MISSING: make assistant")
ROOT = Path(__file__).parents[2]

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret, redact: [attrs.email]}}}}
destinations: {{crm: {{url: "{url}/crm", auth: {{bearer: a-long-hidden-token}}}}}}
routes: [{{name: to-crm, match: contact.created, to: crm, body: {{id: "{{{{ attrs.id }}}}"}}}}]
tests: [{{name: a contact goes to the CRM, event: contact.created, expect: [crm]}}]
"""
WRITES = {
    "replay",
    "discard",
    "pause_destination",
    "resume_destination",
    "mute_destination",
    "unmute_destination",
    "reload",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    tokens = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_READ_TOKEN": READ_TOKEN}
    with Sink(answer(422)) as sink:
        folder = tmp_path_factory.mktemp("mcp")
        with GatewayProcess(folder, ROUTES.format(url=sink.url), environ=tokens) as gateway:
            gateway.event_id = gateway.post(distinct(1))[1]["id"]
            headers = {"authorization": f"Bearer {TOKEN}"}
            eventually(lambda: gateway.api("/api/dead", headers=headers)[1]["groups"], "the delivery is dead")
            yield gateway


def asked(gateway, *calls, token=READ_TOKEN, options=()):
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("client.py")), "--url", f"http://{gateway.admin}", "-c", "routes.yaml", *options],
        input=json.dumps(calls), capture_output=True, text=True, timeout=120, cwd=gateway.folder, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GATEWAY_MCP_TOKEN": token},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@needs_extra
def test_an_assistant_reads_and_tries_out_but_is_offered_no_change(gateway):
    found = asked(
        gateway,
        ["list_events", {"find": "data.id=1"}],
        ["show_event", {"event_id": gateway.event_id}],
        ["count_dead", {}],
        ["list_deliveries", {"state": "dead", "limit": 1000}],
        ["list_destinations", {}],
        ["list_refused", {}],
        ["list_activity", {}],
        ["show_statistics", {}],
        ["show_configuration", {}],
        ["show_shadow", {}],
        ["explain", {"event": "contact.created", "changes": ["attrs.id=7"]}],
        ["explain", {"event": gateway.event_id}],
        ["check", {}],
        ["run_tests", {}],
    )
    assert not WRITES & set(found["tools"])
    assert all(each["reads"] and each["about"] for each in found["tools"].values())
    assert [each["text"] for each in found["answers"] if each["error"]] == []
    answers = [json.loads(each["text"]) for each in found["answers"]]
    events, event, dead, deliveries, destinations, *_, explained, stored, check, tests = answers
    assert [each["id"] for each in events["events"]] == [gateway.event_id]
    assert event["deliveries"][0]["state"] == "dead"
    assert dead["groups"][0]["cause"] == "answered 422"
    assert deliveries["deliveries"][0]["destination"] == "crm"
    assert destinations[0]["name"] == "crm"
    assert explained["deliveries"][0]["request"]["body"] == {"id": 7}
    assert stored["event"]["id"] == gateway.event_id
    assert isinstance(check, list)
    assert (tests["tests"], tests["failed"]) == (1, 0)
    everything = json.dumps(found)
    assert "hidden-token" not in everything
    assert "acceptance-secret" not in everything
    email = json.loads(distinct(1))["data"]["attributes"].get("email")
    assert email is None or email not in json.dumps(answers[:10])


@needs_extra
def test_a_mistake_is_answered_as_an_error_with_the_remedy(gateway):
    found = asked(
        gateway,
        ["show_event", {"event_id": "evt_unknown"}],
        ["list_events", {"state": "lost"}],
        ["list_events", {"limit": -5}],
        ["explain", {"event": "no-such-sample"}],
        ["replay", {"reason": "because"}],
    )
    assert all(each["error"] for each in found["answers"])
    texts = [each["text"] for each in found["answers"]]
    assert "evt_unknown" in texts[0]
    assert "lost" in texts[1]
    assert "no-such-sample" in texts[3]


@needs_extra
def test_with_the_read_token_the_gateway_itself_refuses_every_change(gateway):
    found = asked(
        gateway,
        ["pause_destination", {"name": "crm", "reason": "because"}],
        ["replay", {"reason": "because", "destination": "crm", "dry_run": False}],
        options=["--allow-writes"],
    )
    assert set(found["tools"]) >= WRITES
    assert not any(found["tools"][each]["reads"] for each in WRITES)
    assert all(each["error"] and "403" in each["text"] for each in found["answers"])


@needs_extra
def test_what_an_assistant_changes_is_in_the_activity(gateway):
    found = asked(
        gateway,
        ["replay", {"reason": "the CRM is repaired", "destination": "crm"}],
        ["pause_destination", {"name": "crm", "reason": "their migration", "for_s": 60}],
        ["mute_destination", {"name": "crm", "reason": "noisy"}],
        ["unmute_destination", {"name": "crm"}],
        ["replay", {"reason": "the CRM is repaired", "ids": [gateway.event_id], "dry_run": False}],
        ["reload", {}],
        ["resume_destination", {"name": "crm"}],
        ["list_activity", {}],
        token=TOKEN,
        options=["--allow-writes"],
    )
    assert not any(each["error"] for each in found["answers"]), found["answers"]
    activity = json.loads(found["answers"][-1]["text"])["activity"]
    verbs = [each["verb"] for each in activity]
    assert {"replay", "pause", "mute", "unmute", "reload", "resume"} <= set(verbs)
    # Without its dry run, which is no activity.
    assert verbs.count("replay") == 1
    assert all(each["by"].startswith("mcp:") for each in activity)


def test_without_the_extra_the_verb_says_what_to_install(tmp_path):
    if importlib.util.find_spec("mcp"):
        pytest.skip("the extra is installed")
    done = run("mcp", cwd=tmp_path)
    assert done.returncode == 2
    assert "install hookkeeper[mcp]" in done.stderr


@pytest.mark.parametrize(
    ("asked", "rest"),
    [
        ({"limit": 20, "before": ""}, "ask for fewer rows with limit, and for the next ones with before"),
        ({"limit": 20}, "ask for fewer rows with limit"),
        ({}, "all of it is in the API: GET /api/thing"),
    ],
)
def test_an_answer_that_is_cut_says_how_to_see_the_rest(monkeypatch, asked, rest):
    monkeypatch.setattr(assistant, "LONGEST", 40)
    monkeypatch.setattr(api, "ask", lambda *_, **__: {"rows": ["x" * 100]})
    shown = assistant._Gateway(url="", config=Path("routes.yaml"), token="").look("/api/thing", **asked)
    assert len(shown.partition("\n")[0]) == 40
    assert "… cut: these are 40 of 113 characters; " + rest in shown


def test_what_a_verb_prints_is_in_a_terminal_too(monkeypatch, tmp_path):
    monkeypatch.setattr(assistant, "LONGEST", 40)
    monkeypatch.chdir(tmp_path)
    shown = assistant._Gateway(url="", config=Path("routes.yaml"), token="").verb("sources", "--", "github")
    assert shown.endswith("all of it is in a terminal: gateway sources --json -- github")
