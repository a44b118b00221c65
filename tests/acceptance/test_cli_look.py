"""The verbs that look, as real commands: terminals, pipes and closed streams."""

import re
import subprocess
import sys

import pytest

from tests.acceptance.harness import GatewayProcess, distinct
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}/crm"}}, archive: {{url: "{url}/archive"}}}}
routes: [{{name: to-crm, match: contact.created, to: [crm, archive]}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with Sink(answer(200)) as sink:
        sink.at("/crm", answer(422))
        with GatewayProcess(tmp_path_factory.mktemp("look"), ROUTES.format(url=sink.url)) as gateway:
            gateway.settled(gateway.post(distinct(1))[1]["id"])
            yield gateway


def test_a_row_takes_one_line_of_a_real_terminal(gateway):
    with gateway.terminal("events", columns=60) as terminal:
        assert terminal.wait() == 0
    lines = re.sub("\x1b[^m]*m", "", terminal.said).replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 60
    assert "\x1b[31m" in terminal.said


@pytest.mark.parametrize("verb", ["events --json", "destinations", "--help", "events --help"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(gateway, verb):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gateway {verb} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=gateway.folder, env=gateway.cli_environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_clear_line(gateway, unbuffered):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gateway events --json > /dev/full"],
        cwd=gateway.folder, env=gateway.cli_environ | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


VERBS = [
    pytest.param(["events"], 0, id="events"),
    pytest.param(["check", "--no-env"], 0, id="check"),
    pytest.param(["backup", "closed.db", "--force"], 0, id="backup"),
    pytest.param(["show", "evt_none"], 1, id="an error"),
    pytest.param(["events", "--no-such-option"], 2, id="an option that is none"),
]


@pytest.mark.parametrize(("verb", "code"), VERBS)
@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_a_stream_that_is_closed_is_written_to_by_nobody_and_changes_nothing_else(gateway, verb, code, closed):
    """A cron job may be started like this."""
    shut = " ".join(f"{each}>&-" for each in closed.split())
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {shut}', "sh", sys.executable, "-m", "gateway", *verb],
        cwd=gateway.folder, env=gateway.cli_environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    usual = gateway.verb(*verb, check=False)
    assert (done.returncode, usual.returncode) == (code, code)
    said = (re.sub(r"[0-9.]+ s", "", done.stdout), done.stderr)
    expected = (re.sub(r"[0-9.]+ s", "", usual.stdout), usual.stderr)
    assert said == ("" if "1" in closed else expected[0], "" if "2" in closed else expected[1])
