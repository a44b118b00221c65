"""What a new user does: make run in a fresh clone, paste the curl, look into the inbox, make a mistake, stop, start."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.harness import GatewayProcess, eventually

ROOT = Path(__file__).parents[2]


def tracked_files(folder: Path) -> None:
    """What a clone would hold, with the changes of the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def bare_path(folder: Path) -> str:
    """A PATH without uv, so that make has python3 and pip only."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("python3", "make", "sh", "env", "echo", "touch", "rm", "test", "curl"):
        if found := shutil.which(name):
            target = sys.executable if name == "python3" else found
            target = getattr(sys, "_base_executable", target) if name == "python3" else target
            (tools / name).symlink_to(target)
    return str(tools)


class MakeRun:
    """``make run`` on free ports, and what it printed."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["make", "run"], cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.lstrip().startswith("curl "):
                break
        else:
            raise AssertionError(f"make run ended with {self.process.wait()}: {self.said}")
        self.admin = re.search(r"admin=http://(\S+)", self.said)[1]
        self.curl = self.said.splitlines()[-1].strip()

    def inbox(self) -> list[dict]:
        connection = http.client.HTTPConnection(self.admin, timeout=10)
        try:
            connection.request("GET", "/inbox")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def stop(self) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_make_run_in_a_fresh_clone_with_only_python_and_make(tmp_path):
    clone = tmp_path / "clone"
    clone.mkdir()
    tracked_files(clone)
    kept = ("HOME", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CERT", "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")  # fmt: skip
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    environ |= {"PATH": bare_path(tmp_path), "GATEWAY_BIND": "127.0.0.1:0", "GATEWAY_ADMIN_BIND": "127.0.0.1:0"}
    running = MakeRun(clone, environ)
    try:
        for expected in (
            f"Console   http://{running.admin}/\n",
            "inbox",
            "gateway.db",
            "Ctrl-C",
            ".venv/bin/gateway",
            "/in/xobito",
        ):
            assert expected in running.said
        pasted = subprocess.run(["sh", "-c", running.curl], capture_output=True, text=True, timeout=30)
        assert json.loads(pasted.stdout)["duplicate"] is False
        eventually(lambda: any("John" in entry["body"] for entry in running.inbox()), "the message is in the inbox", 5)
        again = subprocess.run(["sh", "-c", running.curl], capture_output=True, text=True, timeout=30)
        assert json.loads(again.stdout)["duplicate"] is True
    finally:
        running.stop()
    running = MakeRun(clone, environ)
    try:
        again = subprocess.run(["sh", "-c", running.curl], capture_output=True, text=True, timeout=30)
        assert json.loads(again.stdout)["duplicate"] is False, "a curl that is printed again is a new event"
    finally:
        running.stop()


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dev")
    shutil.copytree(ROOT / "templates", folder / "templates")
    command = (sys.executable, "-m", "gateway", "dev")
    with GatewayProcess(folder, (ROOT / "routes.yaml").read_text(), command=command) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "sample", ["contact.created", "contact.updated", "contact.deleted", "status.created", "source.deleted"]
)
def test_a_sample_sent_to_dev_is_in_the_inbox(dev, sample):
    before = len(dev.api("/inbox")[1])
    done = dev.cli("send", sample, "--to", f"http://{dev.ingest}/in/xobito")
    event_id = re.search(r"evt_\S+", done.stdout)[0]
    assert {each["state"] for each in dev.settled(event_id)} == {"delivered"}
    assert len(dev.api("/inbox")[1]) > before


def test_the_inbox_is_a_page_too_and_shows_a_payload_as_text(dev):
    dev.verb(
        "send",
        "contact.created",
        "--to",
        f"http://{dev.ingest}/in/xobito",
        "--set",
        "attrs.firstname=<script>x</script>",
    )
    eventually(lambda: "script" in json.dumps(dev.api("/inbox")[1]), "the message is in the inbox")
    status, page = dev.api("/inbox", headers={"accept": "text/html"})
    assert status == 200
    assert "<script>" not in page


def test_the_command_line_follows_an_event(dev):
    sent = json.loads(dev.verb("send", "contact.created", "--to", f"http://{dev.ingest}/in/xobito", "--json").stdout)
    dev.settled(sent["id"])
    assert sent["id"] in dev.verb("events").stdout
    shown = json.loads(dev.verb("show", sent["id"], "--json").stdout)
    assert shown["type"] == "contact.created"
    assert shown["payload"]["data"]["id"] == 451
    assert all(each["attempts_made"] for each in shown["deliveries"])
    delivery = shown["deliveries"][0]
    assert "delivered" in dev.verb("show", delivery["id"]).stdout
    assert dev.verb("dead").stdout == "No dead letters.\n"
    done = json.loads(dev.verb("replay", delivery["id"], "--json").stdout)
    assert (done["subject"], done["progress"]["delivered"]) == (delivery["id"], 1)
    missing = dev.verb("show", "evt_nothing", check=False)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "evt_nothing" in missing.stderr


def test_send_makes_each_event_a_new_one_unless_told_otherwise(dev):
    to = f"http://{dev.ingest}/in/xobito"
    many = dev.verb("send", "message.read", "--to", to, "--count", "20")
    assert many.stdout.startswith("20 of 20 accepted")
    dev.verb("send", "message.read", "--to", to, "--same")
    assert "a duplicate of" in dev.verb("send", "message.read", "--to", to, "--same").stdout
    assert dev.verb("send", "nothing.known", "--to", to, check=False).returncode == 2
    assert dev.verb("send", "message.read", "--to", "http://127.0.0.1:1/in/xobito", check=False).returncode == 3


def test_the_store_answers_when_no_gateway_runs(tmp_path):
    routes = "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
    routes += "destinations: {crm: {url: 'http://127.0.0.1:9'}}\nalways: [{to: crm, text: '{{ attrs.nowhere }}'}]\n"
    gateway = GatewayProcess(tmp_path, routes)
    with gateway:
        to = f"http://{gateway.ingest}/in/xobito"
        event_id = re.search(r"evt_\S+", gateway.verb("send", "contact.created", "--to", to).stdout)[0]
        [dead] = gateway.settled(event_id)
        gateway.terminate()
    assert event_id in gateway.verb("events").stdout
    assert "attrs.nowhere" in gateway.verb("dead").stdout
    assert "attrs.nowhere" in gateway.verb("show", event_id).stdout
    assert "next start" in gateway.verb("replay", dead["id"]).stdout
    assert json.loads(gateway.verb("dead", "--json").stdout) == []


def test_a_broken_file_is_refused_with_every_problem_at_its_place(tmp_path):
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
        "destinations: {crm: {url: 'http://127.0.0.1:9'}}\n"
        "routes:\n  - name: a\n    match: contact.created\n    whre: {attrs.type: lead}\n    to: crmm\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert 'routes.yaml:7:5: unknown key "whre"' in done.stderr
    assert 'did you mean "where"?' in done.stderr
    assert "routes.yaml:8:9" in done.stderr
    assert not (tmp_path / "gateway.db").exists()


def test_the_command_line_finds_a_gateway_that_was_started_from_the_same_environment(dev):
    environ = {**os.environ, "GATEWAY_BIND": dev.ingest, "GATEWAY_ADMIN_BIND": dev.admin}
    environ.pop("GATEWAY_URL", None)

    def run(*arguments):
        command = [sys.executable, "-m", "gateway", *arguments]
        return subprocess.run(command, cwd=dev.folder, env=environ, capture_output=True, text=True, timeout=60)

    sent = json.loads(run("send", "contact.created", "--json").stdout)
    assert sent["id"] in run("events").stdout
    nobody = run("events", "--url", "http://127.0.0.1:1")
    assert (nobody.returncode, nobody.stdout) == (3, "")
    assert "--url" in nobody.stderr
    assert "http://" in run("events", "--url", "127.0.0.1:8081").stderr


def test_dev_says_where_a_pasted_event_goes_for_real(tmp_path):
    routes = (
        "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
        "destinations: {crm: {url: 'http://127.0.0.1:9'}}\nroutes: [{to: crm, name: all}]\n"
    )
    command = (sys.executable, "-m", "gateway", "dev")
    with GatewayProcess(tmp_path, routes, command=command) as gateway:
        banner = ""
        while "curl " not in banner:
            banner += gateway.process.stdout.readline()
    assert "sent FOR REAL to crm" in banner
    assert "inbox" not in banner
    assert banner.split("\n", 2)[1] == f"  Console   http://{gateway.admin}/"


@pytest.mark.parametrize("to", ["http://127.0.0.1:99999/x", "127.0.0.1:8080", "ftp://127.0.0.1/", "http://[::1"])
def test_an_address_that_cannot_be_posted_to_is_refused_in_one_line(dev, to):
    done = dev.verb("send", "contact.created", "--to", to, check=False)
    assert done.returncode == 2
    assert "--to" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_without_a_path_means_the_path_of_the_source(dev):
    assert "evt_" in dev.verb("send", "contact.created", "--to", f"http://{dev.ingest}").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--bind", "127.0.0.1:99999"], "99999"),
        (["serve", "--store", "mysql://x"], "sqlite:///"),
        (["serve", "--bind", "127.0.0.1:0", "--admin-bind", "0.0.0.0:0"], "GATEWAY_ADMIN_TOKEN"),
        (["serve", "--store", "sqlite:////nonexistent/folder/gateway.db"], "/nonexistent/folder"),
        (["serve", "-c", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_start_that_cannot_work_says_why_in_one_line_and_exits_1(tmp_path, arguments, said):
    (tmp_path / "routes.yaml").write_text("version: 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
