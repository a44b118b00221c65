"""``gateway test`` and the pytest plugin, as a user runs them, and what they print."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli import command

ROOT = Path(__file__).parents[2]
ROUTES = """\
version: 1
sources:
  xobito: {preset: xobito, secret: "${XOBITO_WEBHOOK_SECRET}"}
destinations:
  slack-leads: {type: slack, url: "${SLACK_LEADS_URL}"}
  crm: {url: "${CRM_URL}", auth: {bearer: "${file:token}"}}
  archive: {type: file, path: archive.ndjson}
  unmatched-log: {type: file, path: unmatched.ndjson}
always:
  - to: archive
routes:
  - name: new-lead
    match: contact.created
    to: slack-leads
    text: New lead {{ attrs.firstname }}, ${file:note}
  - name: to-crm
    match: contact.updated
    to: crm
    method: PUT
    path: /contacts/{{ attrs.id }}
    body: {name: "{{ attrs.firstname }}"}
unmatched:
  - to: unmatched-log
"""
PASSING = """\
tests:
  - name: a new lead goes to Slack and the archive
    event: contact.created
    set: {attrs.firstname: "<!channel> Bob"}
    expect:
      archive: verbatim
      slack-leads: {contains: "&lt;!channel&gt; Bob"}
  - name: an update is put into the CRM
    event: contact.updated
    expect:
      archive: verbatim
      crm: {method: PUT, url: https://crm.example/contacts/451, json: {name: John}}
"""
FAILING = """\
  - name: other tenants do not reach the CRM
    event: contact.updated
    expect: [archive, unmatched-log]
  - name: a lead is called by its first name
    event: contact.created
    expect:
      archive: verbatim
      slack-leads: {contains: Jane}
"""
TOKEN, NOTE = "a-token-that-nobody-may-see", "a-note-that-nobody-may-see"
#: Ends the process that looks a name up or opens a connection.
WITHOUT_NETWORK = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        print("NETWORK", event, arguments, flush=True)
        os._exit(99)
sys.addaudithook(refuse)
sys.argv = ["gateway", "test"]
from gateway.cli import main
main()
"""


def run(*command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = ("CRM_", "SLACK_", "XOBITO_", "GATEWAY_", "PYTEST_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env={**clean, **environ}, capture_output=True, text=True, timeout=60
    )


def gateway_test(folder: Path, *options: str, **environ: str) -> command.Done:
    return command.run("test", *options, cwd=folder, environ=environ)


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    plugins = ("-p", "gateway.pytest_plugin", "-p", "no:cacheprovider")
    # Other plugins take most of the time.
    return run("-m", "pytest", *plugins, *options, cwd=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "note").write_text(NOTE)
    (tmp_path / "routes.yaml").write_text(ROUTES + PASSING)
    return tmp_path


@pytest.fixture
def failing(folder):
    (folder / "routes.yaml").write_text(ROUTES + PASSING + FAILING)
    return folder


# --- the command ---


def test_tests_that_pass_are_listed_in_their_own_words(folder):
    done = gateway_test(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ok    a new lead goes to Slack and the archive",
        "ok    an update is put into the CRM",
        "2 tests, none failed",
    ]


def test_a_test_that_fails_says_where_it_stands_what_was_expected_and_what_came(failing):
    done = gateway_test(failing)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "ok    a new lead goes to Slack and the archive",
        "ok    an update is put into the CRM",
        "FAIL  other tenants do not reach the CRM (routes.yaml:36)",
        "      expected deliveries to archive, unmatched-log",
        "      but it goes to archive (by always/archive), crm (by to-crm)",
        "      missing: unmatched-log",
        "        unmatched/unmatched-log (routes.yaml:23): not checked: an earlier entry matched",
        "      not expected: crm (by to-crm)",
        "      see why: gateway explain contact.updated",
        "FAIL  a lead is called by its first name (routes.yaml:39)",
        "      slack-leads (by new-lead) is not as expected in routes.yaml:43:",
        '        it does not contain "Jane"',
        "        sent:",
        "          {",
        '            "text": "New lead John, ***",',
        '            "unfurl_links": false',
        "          }",
        "      see why: gateway explain contact.created",
        "4 tests, 2 failed",
    ]


def test_the_result_is_there_for_programs(failing):
    done = gateway_test(failing, "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["tests"], answer["failed"]) == (4, 2)
    assert answer["results"][0] == {
        "name": "a new lead goes to Slack and the archive", "file": "routes.yaml", "line": 25, "ok": True, "failures": []
    }  # fmt: skip
    assert answer["results"][2]["failures"][0] == "expected deliveries to archive, unmatched-log"
    assert "nobody-may-see" not in done.stdout


def test_results_do_not_depend_on_the_environment(folder):
    (folder / ".env").write_text("CRM_URL=https://env-file.example\n")
    done = gateway_test(folder, CRM_URL="https://real.example", SLACK_LEADS_URL="nonsense", XOBITO_WEBHOOK_SECRET="s")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_sent_and_nothing_is_written(failing):
    before = sorted(failing.rglob("*"))
    done = run("-c", WITHOUT_NETWORK, cwd=failing)
    assert (done.returncode, done.stderr) == (1, "")
    assert "4 tests, 2 failed" in done.stdout
    assert sorted(failing.rglob("*")) == before


def test_a_file_in_another_folder_finds_what_lies_beside_it(folder, tmp_path_factory):
    (folder / "event.json").write_text('{"event": "anything"}')
    (folder / "routes.yaml").write_text(
        ROUTES + "tests: [{name: t, file: event.json, expect: {archive: verbatim, unmatched-log: verbatim}}]\n"
    )
    done = gateway_test(tmp_path_factory.mktemp("elsewhere"), "--config", str(folder / "routes.yaml"))
    assert done.stdout.splitlines()[-1] == "1 test, none failed"


def test_a_file_that_does_not_load_says_its_problems_and_fails(folder):
    (folder / "routes.yaml").write_text(ROUTES.replace("to: crm", "to: crmm") + PASSING)
    done = gateway_test(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'routes.yaml:18:9: unknown destination "crmm"' in done.stderr
    assert done.stderr.splitlines()[-1] == "1 problem"


def test_a_file_without_tests_has_tested_nothing(folder):
    (folder / "routes.yaml").write_text(ROUTES)
    done = gateway_test(folder)
    assert (done.returncode, done.stdout) == (1, "")
    said = 'gateway: routes.yaml has no tests: write some under tests: (the page "Write a test" of the documentation shows how)'
    assert done.stderr == f"{said}\n"


# --- the shipped file ---


def test_the_shipped_file_passes_its_tests(tmp_path):
    done = gateway_test(tmp_path, "--config", str(ROOT / "routes.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\d+ tests, none failed$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("was", "becomes", "failing"),
    [
        ("    to: slack-leads\n    text: |", "    to: slack-ops\n    text: |", "a new lead goes to Slack"),
        ("      attrs.tenant_id: 13 ", "      attrs.tenant_id: [13, 14] ", "other tenants do not reach the CRM"),
        ("  - to: archive ", "  - to: archive\n    text: '{{ event.type }}' ", "a deletion goes to two places"),
        ("    match: contact.deleted\n    to: slack-ops", "    match: contact.gone\n    to: slack-ops", "a deletion goes to"),
        ("  - to: unmatched-log", "  - {to: unmatched-log, match: x.y}", "an event that no route matches is caught"),
    ],
    ids=["Slack on create", "CRM for one tenant", "archived byte for byte", "deletions to two", "unmatched caught"],
)  # fmt: skip
def test_each_of_its_jobs_is_held_by_a_test(folder, was, becomes, failing):
    shipped = (ROOT / "routes.yaml").read_text("utf-8")
    assert shipped.count(was) == 1
    (folder / "templates").symlink_to(ROOT / "templates")
    (folder / "routes.yaml").write_text(shipped.replace(was, becomes))
    done = gateway_test(folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"FAIL  {failing}" in done.stdout


# --- pytest ---


def test_pytest_runs_the_same_tests_as_items(folder):
    (folder / "test_own.py").write_text("def test_something():\n    pass\n")
    done = pytest_in(folder, "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "routes.yaml::a new lead goes to Slack and the archive PASSED" in done.stdout
    assert "3 passed" in done.stdout


def test_pytest_says_of_a_failure_what_the_command_says(failing):
    done = pytest_in(failing)
    assert done.returncode == 1
    assert "2 failed, 2 passed" in done.stdout
    assert (
        "routes.yaml:36: other tenants do not reach the CRM\nexpected deliveries to archive, unmatched-log"
        in done.stdout
    )
    assert '"text": "New lead John, ***",' in done.stdout
    assert "nobody-may-see" not in done.stdout
    assert "Traceback" not in done.stdout


def test_pytest_selects_by_name(failing):
    assert "2 passed, 2 deselected" in pytest_in(failing, "-k", "archive or update").stdout


def test_pytest_takes_a_file_of_another_name_with_routes(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "routes.yaml").rename(folder / "other.yaml")
    (elsewhere / "test_own.py").write_text("def test_something():\n    pass\n")
    done = pytest_in(elsewhere, "--routes", str(folder / "other.yaml"))
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_does_not_run_a_named_file_twice(folder):
    assert "2 passed" in pytest_in(folder, "--routes", "routes.yaml").stdout


def test_a_file_that_does_not_load_is_an_error_of_collection(folder):
    (folder / "routes.yaml").write_text(ROUTES.replace("to: crm", "to: crmm") + PASSING)
    done = pytest_in(folder)
    assert done.returncode == 2
    assert 'routes.yaml:18:9: unknown destination "crmm"' in done.stdout
    assert "Traceback" not in done.stdout


def test_tests_in_included_files_are_found_where_they_stand(folder):
    (folder / "routes.yaml").write_text("\ufeff" + ROUTES + "include: parts/*.yaml\n")
    (folder / "parts").mkdir()
    (folder / "parts" / "tests.yaml").write_text("tests:\n" + FAILING)
    assert "FAIL  other tenants do not reach the CRM (parts/tests.yaml:2)" in gateway_test(folder).stdout
    assert (
        "parts/tests.yaml:2: other tenants do not reach the CRM\nexpected deliveries to archive, unmatched-log"
        in pytest_in(folder).stdout
    )


def test_a_plugin_that_is_installed_and_named_too_is_one_plugin(folder, tmp_path_factory):
    installed = tmp_path_factory.mktemp("site") / "anything-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: anything\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[pytest11]\ngateway.pytest_plugin = gateway.pytest_plugin\n")
    for options in ((), ("-p", "gateway.pytest_plugin")):
        done = run("-m", "pytest", *options, "-p", "no:cacheprovider", cwd=folder, PYTHONPATH=str(installed.parent))
        assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff\xfe", b"version: 1\n", b"routes:\n  - tests: 1\n", b"paths: [/a, /b]\ntests: [1]\n"],
    ids=["none", "empty", "not UTF-8", "without tests", "nested", "of another program"],
)
def test_pytest_leaves_other_files_alone(tmp_path, content):
    if content is not None:
        (tmp_path / "routes.yaml").write_bytes(content)
    (tmp_path / "test_own.py").write_text("def test_something():\n    pass\n")
    done = pytest_in(tmp_path)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_a_pytest_run_without_such_a_file_loads_nothing_of_the_gateway(tmp_path):
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_nothing_is_loaded():\n"
        "    ours = {name for name in sys.modules if name.startswith('gateway')}\n"
        "    assert ours <= {'gateway', 'gateway.pytest_plugin'}\n"
        "    assert not {'yaml', 'jinja2', 'msgspec', 'click'} & set(sys.modules)\n"
    )
    # Other plugins load what they like.
    done = run(
        "-m", "pytest", "-p", "gateway.pytest_plugin", "-p", "no:cacheprovider", cwd=tmp_path,
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_an_installed_package_brings_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # Named as its module: `-p gateway.pytest_plugin` and the entry point are then one plugin, never two.
    assert project["entry-points"]["pytest11"] == {"gateway.pytest_plugin": "gateway.pytest_plugin"}
