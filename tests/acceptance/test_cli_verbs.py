"""Every verb as a real command, once: it starts, prints what it is for and exits. The rest is tested in tests/cli."""

import re

import pytest

from gateway.cli import cli
from tests.acceptance.harness import GatewayProcess, distinct
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources:
  xobito: {{preset: xobito, secret: acceptance-secret}}
  asana:
    verify: {{signature: {{header: x-hook-signature}}}}
    type: "{{payload.type}}"
    handshake:
      - header_echo:
          {{method: POST, challenge: x-hook-secret, answer: none, headers: {{x-hook-secret: "{{challenge}}"}}, becomes: secret}}
destinations: {{crm: {{url: "{url}/crm"}}, archive: {{url: "{url}/archive"}}}}
routes: [{{name: to-crm, source: xobito, match: contact.created, to: [crm, archive]}}]
tests: [{{name: a contact goes to both, source: xobito, event: contact.created, expect: [crm, archive]}}]
"""
#: What is printed to standard output when the command succeeds.
SAID = {
    "init new": "gateway serve --env-file .env",
    "schema": '"$schema"',
    "diff other.yaml": "1 event compared, none with a difference",
    "check": "routes.yaml: ok, 2 sources, 1 route, 2 destinations",
    "test": "1 test, none failed",
    "explain contact.created": "2 deliveries",
    "render name.txt.j2 --source xobito": "Hello John",
    "send contact.created --to INGEST": "accepted as evt_",
    "sources": "xobito",
    "verify --source xobito --request request.json": "verified",
    "sign body.json --source xobito": "curl ",
    "events": "EVENT",
    "show EVENT": "to-crm > crm  dead",
    "dead": "answered 422",
    "destinations": "archive",
    "destinations pause archive --reason maintenance": "archive is paused by",
    "destinations resume archive": "archive is resumed",
    "destinations mute archive --reason noisy": "archive is muted: noisy",
    "destinations unmute archive": "notifications for archive are back on",
    "activity": "mute",
    "shadow": "There is no shadow",
    "refused": "No request was refused.",
    "replicas": "(this one)",
    "reload": "Reloaded: nothing",
    "replay EVENT --dry-run": "2 deliveries would be replayed",
    "discard EVENT --dry-run": "1 delivery would be discarded",
    "forget --find data.id=1 --dry-run": "1 event would be forgotten; nothing was changed",
    "capture xobito --last": "saved as sample samples/xobito/contact.created.request.json",
    "handshake asana": "asana accepts a secret from its sender until",
    "backup copy.db": "copy.db: ",
    "migrate": "nothing to do",
    "doctor": "gateway.db is sound",
    "completion bash": "_gateway_completion",
}
#: They run until they are stopped: test_main_job.py, test_first_minutes.py, test_cli_tail.py, tests/assistant.
ENDLESS = {"serve", "dev", "tail", "mcp"}
#: It is refused while a gateway uses its store: tests/cli/test_database.py.
ALONE = {"copy"}
#: Somebody has to go to a page: test_login.py.
BY_A_PERSON = {"login"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "templates").mkdir()
    (folder / "templates" / "name.txt.j2").write_text("Hello {{ attrs.firstname }}")
    (folder / "body.json").write_bytes(distinct(1))
    with Sink(answer(200)) as sink:
        sink.at("/crm", answer(422))
        (folder / "other.yaml").write_text(ROUTES.format(url=sink.url))
        with GatewayProcess(folder, ROUTES.format(url=sink.url)) as gateway:
            gateway.event_id = gateway.post(distinct(1))[1]["id"]
            gateway.settled(gateway.event_id)
            signed = gateway.verb("sign", "body.json", "--source", "xobito", "--json").stdout
            (folder / "request.json").write_text(signed)
            yield gateway


@pytest.mark.parametrize("line", SAID)
def test_each_verb_does_what_it_is_for(gateway, line):
    meant = {"EVENT": gateway.event_id, "INGEST": f"http://{gateway.ingest}"}
    done = gateway.cli(*(meant.get(word, word) for word in line.split()))
    assert meant.get(SAID[line], SAID[line]) in done.stdout
    assert "Traceback" not in done.stderr


def test_no_verb_is_missing_here():
    assert {line.split()[0] for line in SAID} | ENDLESS | ALONE | BY_A_PERSON == set(cli.commands)
    assert {re.match(r"destinations (\w+)", line)[1] for line in SAID if line.startswith("destinations ")} == set(
        cli.commands["destinations"].commands
    )
