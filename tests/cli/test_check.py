"""``gateway check``: what it prints in each format, and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import check
from gateway.config import load
from tests.cli import command

HEAD = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret-of-xobito}}\n"
GOOD = HEAD + (
    "destinations: {crm: {url: 'https://crm.example.com'}}\nroutes: [{name: all, match: contact.created, to: crm}]\n"
)
#: The destination is never used.
WARNED = HEAD + "destinations: {crm: {url: 'https://crm.example.com'}}\n"
BROKEN = GOOD.replace("match:", "mtch:")
FORMATS = ["text", "json", "github"]


def run(folder, routes, *arguments, **environ):
    (folder / "routes.yaml").write_text(routes)
    return command.run("check", *arguments, cwd=folder, environ=environ)


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(
    ("routes", "lenient", "strict"), [(GOOD, 0, 0), (WARNED, 0, 1), (BROKEN, 1, 1)], ids=["good", "warned", "broken"]
)
def test_strict_counts_warnings_and_every_format_exits_alike(tmp_path, routes, lenient, strict, output):
    assert run(tmp_path, routes, "--format", output).returncode == lenient
    done = run(tmp_path, routes, "--format", output, "--strict")
    assert (done.returncode, done.stderr) == (strict, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "b.yaml"], "Got unexpected extra argument (b.yaml): write --config b.yaml"),
        (
            ["explain", "contact.created", "a", "b.yml"],
            "Got unexpected extra arguments (a b.yml): write --config b.yml",
        ),
        (["check", "b"], "Got unexpected extra argument (b) "),
        (["schema", "b.yaml"], "Got unexpected extra argument (b.yaml) "),
        (["check", "--format", "b.yaml"], "'b.yaml' is not one of 'text', 'json', 'github'. "),
    ],
    ids=["a file", "one of several", "no file", "a verb without a file", "another mistake"],
)
def test_a_file_that_is_written_as_an_argument_belongs_after_config(tmp_path, arguments, said):
    done = command.run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", "").split()) + " "


def test_text_shows_the_place_the_line_and_the_remedy_on_standard_output(tmp_path):
    done = run(tmp_path, BROKEN)
    assert 'routes.yaml:4:22: unknown key "mtch"' in done.stdout
    assert 'did you mean "match"?' in done.stdout
    assert done.stdout.endswith("1 problem\n")


def test_warnings_beside_a_problem_are_counted_too(tmp_path):
    text = GOOD.replace("to: crm", "to: crm, mathc: x, headers: {x-a: $A, x-b: $B}")
    assert run(tmp_path, text).stdout.endswith("\n1 problem, 2 warnings\n")
    assert run(tmp_path, text.replace(", x-b: $B", "")).stdout.endswith("\n1 problem, 1 warning\n")


def test_text_says_why_a_file_that_can_be_loaded_is_refused(tmp_path):
    assert run(tmp_path, WARNED).stdout.endswith("routes.yaml: ok, 1 source, 0 routes, 1 destination, 1 warning\n")
    assert run(tmp_path, WARNED, "--strict").stdout.endswith("routes.yaml: 1 warning, which --strict does not allow\n")


def test_entries_of_always_are_counted_as_routes(tmp_path):
    text = "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
    text += "destinations: {archive: {type: file, path: events.ndjson}}\nalways: [{to: archive}]\n"
    assert "routes.yaml: ok, 1 source, 1 route, 1 destination" in run(tmp_path, text).stdout


def test_json_is_one_array_of_findings(tmp_path):
    assert json.loads(run(tmp_path, GOOD, "--format", "json").stdout) == []
    [found] = json.loads(run(tmp_path, BROKEN, "--format", "json").stdout)
    assert found.pop("text").startswith("routes.yaml:4:22: ")
    assert found == {
        "file": "routes.yaml",
        "line": 4,
        "column": 22,
        "severity": "error",
        "message": 'unknown key "mtch" in route "all"',
        "hint": 'did you mean "match"?',
    }


def test_github_gets_an_annotation_at_the_line_of_the_file_as_the_repository_knows_it(tmp_path):
    (tmp_path / "deploy,eu").mkdir()
    (tmp_path / "deploy,eu" / "routes.yaml").write_text(BROKEN)
    done = run(tmp_path, GOOD, "--format", "github", "-c", "deploy,eu/routes.yaml")
    assert done.stdout == (
        "::error file=deploy%2Ceu/routes.yaml,line=4,col=22,title=gateway check::"
        'unknown key "mtch" in route "all"  (did you mean "match"?)\n'
    )
    assert run(tmp_path, WARNED, "--format", "github").stdout.startswith("::warning file=routes.yaml,line=3,")


@pytest.mark.parametrize("output", FORMATS)
def test_a_file_that_is_not_there_is_a_finding(tmp_path, output):
    done = run(tmp_path, GOOD, "--format", output, "-c", "nowhere.yaml")
    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot read nowhere.yaml" in done.stdout


@given(st.text())
def test_what_github_is_told_stays_one_command_and_reads_as_it_was_written(text):
    escaped = check._property(text)
    assert not set(escaped) & set("\r\n:,")
    assert unquote(escaped, errors="surrogatepass") == unquote(text.replace("%", "%25"), errors="surrogatepass")
    assert not set(check._data(text)) & set("\r\n")


UNSET = GOOD.replace("'https://crm.example.com'", '"${CRM_URL}"')


@pytest.mark.parametrize("output", FORMATS)
def test_without_an_environment_what_is_not_set_is_made_up(tmp_path, output):
    refused = run(tmp_path, UNSET, "--format", output)
    assert refused.returncode == 1
    assert "CRM_URL" in refused.stdout
    done = run(tmp_path, UNSET, "--format", output, "--no-env", "--strict")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("output", FORMATS)
def test_a_line_of_the_env_file_that_cannot_be_read_is_a_finding_like_any_other(tmp_path, output):
    (tmp_path / ".env").write_text("CRM_TOKEN='hush-hush\n")
    done = run(tmp_path, GOOD, "--format", output)
    assert (done.returncode, done.stderr) == (1, "")
    assert ".env" in done.stdout
    assert "hush-hush" not in done.stdout


def test_a_line_of_the_env_file_that_means_something_else_is_a_warning(tmp_path):
    (tmp_path / ".env").write_text("A=1\nA=hush\nB=${A}\n")
    (tmp_path / ".env").chmod(0o600)
    done = run(tmp_path, GOOD)
    assert done.returncode == 0
    assert "hush" not in done.stdout
    assert [line.partition(" ")[0] for line in done.stdout.splitlines() if "warning: " in line] == [
        ".env:2:",
        ".env:3:",
    ]
    assert run(tmp_path, GOOD, "--strict").returncode == 1


LITERAL = """\
version: 1
sources:
  hub: {preset: github, secret: [own-hush-of-tests, "${OLD:-x}"]}
destinations:
  my-crm: {url: "https://crm.example.com/api", auth: {basic: {user: a, password: own-hush-of-tests}}}
  api: {url: "https://crm.example.com/api", auth: {bearer: own-hush-of-tests}, sign: {secret: own-hush-of-tests-own-hush}}
  people: {type: slack, url: "https://hooks.slack.com/services/T0/B0/own-hush-of-tests"}
  pager: {type: pagerduty, url: "https://events.pagerduty.com/v2/enqueue", routing_key: own-hush-of-tests}
  others: {type: slack, url: "${SLACK_URL}", auth: {bearer: "${TOKEN}"}, channel: a}
routes: [{name: all, match: push, to: [my-crm, api, people, pager, others], text: hi}]
"""


def test_a_secret_in_the_file_is_named_with_a_variable_for_it_and_is_no_warning(tmp_path):
    done = run(tmp_path, LITERAL, "--no-env")
    assert done.returncode == 0
    assert "hush" not in done.stdout
    named = [line for line in done.stdout.splitlines() if "is written in this file" in line]
    assert json.loads(run(tmp_path, LITERAL, "--no-env", "--strict", "--format", "json").stdout) == []
    assert [each.partition("(write ")[2] for each in named] == [
        '"${HUB_SECRET}", and put HUB_SECRET=... in .env)',
        '"${OLD}", and put OLD=... in .env)',
        '"${MY_CRM_PASSWORD}", and put MY_CRM_PASSWORD=... in .env)',
        '"${API_TOKEN}", and put API_TOKEN=... in .env)',
        '"${API_SECRET}", and put API_SECRET=... in .env)',
        '"${PEOPLE_URL}", and put PEOPLE_URL=... in .env)',
        '"${PAGER_ROUTING_KEY}", and put PAGER_ROUTING_KEY=... in .env)',
    ]


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(
    ("mode", "said", "remedy"),
    [
        (0o604, "open to every user of this machine (-rw----r--)", "chmod go-rwx"),
        (0o640, "open to its group (-rw-r-----)", "chmod g-rwx"),
    ],
    ids=["others", "group"],
)
def test_a_file_of_variables_that_others_can_read_is_a_warning(tmp_path, mode, said, remedy, output):
    (tmp_path / ".env").write_text("CRM_TOKEN=hush-hush\n")
    (tmp_path / ".env").chmod(mode)
    done = run(tmp_path, GOOD, "--format", output)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert f"{remedy} .env" in done.stdout
    assert run(tmp_path, GOOD, "--format", output, "--strict").returncode == 1
    assert said in run(tmp_path, BROKEN, "--format", output).stdout
    (tmp_path / ".env").chmod(0o600)
    assert run(tmp_path, GOOD, "--format", output, "--strict").returncode == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://10.0.0.5/api", "10.0.0.5 is a private address: fine if the gateway runs in the same network"),
        ("https://[fd00::7]:8443/x", "fd00::7 is a private address: fine if the gateway runs in the same network"),
        (
            "http://127.0.0.1:8000",
            "127.0.0.1 is the machine or container of the gateway: right if the destination runs there",
        ),
        (
            "http://localhost:3000",
            "localhost is the machine or container of the gateway: right if the destination runs there",
        ),
    ],
)
def test_a_private_address_is_named_and_is_no_warning(tmp_path, url, said):
    done = run(tmp_path, GOOD.replace("https://crm.example.com", url), "--strict")
    assert done.returncode == 0
    assert f"note: crm: {said}\n" in done.stdout


@pytest.mark.parametrize("host", ["8.8.8.8", "crm.example.com", "172.32.0.1", "[2606:4700::1111]", "10.example.com"])
def test_any_other_address_is_not_named(tmp_path, host):
    (tmp_path / "routes.yaml").write_text(GOOD.replace("crm.example.com", host))
    config = load(tmp_path / "routes.yaml", environ={})
    assert list(check._private_addresses(config)) == []


def test_a_name_without_a_dot_and_a_hosted_service_that_may_be_private_are_named(tmp_path):
    text = GOOD.replace("https://crm.example.com", "http://crm:8080")
    assert "crm: crm is a name in the local network\n" in run(tmp_path, text, "--strict").stdout
    hosted = "type: slack, public: false, url: 'https://hooks.example.com'"
    text = GOOD.replace("url: 'https://crm.example.com'", hosted).replace("to: crm", "to: crm, text: hi")
    assert "crm: hooks.example.com may resolve to a private address (public: false)\n" in run(tmp_path, text).stdout


def test_private_addresses_are_not_among_the_findings_of_programs(tmp_path):
    local = GOOD.replace("https://crm.example.com", "http://10.0.0.5")
    assert json.loads(run(tmp_path, local, "--format", "json").stdout) == []
    assert run(tmp_path, local, "--format", "github").stdout == ""


def test_a_terminal_in_another_encoding_shows_what_it_can(tmp_path):
    (tmp_path / "routes.yaml").write_text("version: 1\nroutes: “a” — é: x: y\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check"], cwd=tmp_path, capture_output=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert rb"\u201ca\u201d \u2014 \xe9" in done.stdout


FILED = HEAD + "destinations: {archive: {type: file, path: archive/events.ndjson}}\nalways: [{to: archive}]\n"


def test_a_file_whose_folder_does_not_exist_is_warned_of(tmp_path):
    warned = run(tmp_path, FILED)
    assert warned.returncode == 0
    assert (
        "archive/events.ndjson: its folder archive does not exist  (mkdir -p archive, in the working" in warned.stdout
    )
    line = FILED.splitlines().index(FILED.splitlines()[-2]) + 1
    place = (
        f"routes.yaml:{line}:{FILED.splitlines()[line - 1].index('archive/') + 1}: warning: destinations.archive.path"
    )
    assert place in warned.stdout
    assert "      | " in warned.stdout
    assert "its folder archive does not exist" in run(tmp_path, FILED, "--no-env").stdout
    for unknown in ("/srv/gateway/archive", "${FOLDER}"):
        assert "folder" not in run(tmp_path, FILED.replace("archive/", f"{unknown}/"), "--no-env").stdout
    (tmp_path / "archive").mkdir()
    assert "folder" not in run(tmp_path, FILED).stdout


def test_a_path_below_the_home_of_a_shell_is_warned_of(tmp_path):
    warned = run(tmp_path, FILED.replace("archive/events.ndjson", "~/logs/events.ndjson"))
    assert "(write the whole path: ~ is not expanded)" in warned.stdout


@pytest.mark.parametrize("path", ["file:///srv/a.ndjson", "file:/srv/a.ndjson", "file://localhost/srv/a.ndjson"])
def test_a_path_that_is_an_address_is_warned_of_with_the_path_in_it(tmp_path, path):
    warned = run(tmp_path, FILED.replace("archive/events.ndjson", f"'{path}'"))
    assert "(write path: /srv/a.ndjson)" in warned.stdout
    assert "mkdir" not in warned.stdout


def test_without_a_file_the_verb_that_writes_one_is_named(tmp_path):
    done = command.run("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "name the file with -c, or let `gateway init` write a first one" in done.stdout


@pytest.mark.parametrize(
    ("lines", "said"),
    [("", "set it in the environment, or in .env"), ("A_URL=\n", "A_URL is empty: give it a value")],
    ids=["not there", "empty"],
)
def test_a_variable_that_is_empty_is_told_from_one_that_is_not_there(tmp_path, lines, said):
    (tmp_path / ".env").write_text(lines)
    done = run(tmp_path, GOOD.replace("https://crm.example.com", "${A_URL}"))
    assert "not set: A_URL (line 3)" in done.stdout
    assert said in done.stdout


def test_a_variable_with_a_name_like_one_that_is_set_is_answered_with_it(tmp_path):
    (tmp_path / ".env").write_text("GITHUB_SECRT=x\nA_URL=\n")
    urls = "https://crm.example.com/${GITHUB_SECRET}/${A_URL}"
    done = run(tmp_path, GOOD.replace("https://crm.example.com", urls))
    assert "not set: GITHUB_SECRET (line 3), A_URL (line 3)" in done.stdout
    assert (
        "(GITHUB_SECRT is set: write ${GITHUB_SECRT} if that is what GITHUB_SECRET means; otherwise set it in the"
        in done.stdout
    )
    assert "; A_URL is empty: give it a value; gateway check --no-env checks the file without them)" in done.stdout
