"""A backup of a gateway at work, and what the doctor says of it."""

import json
import os
import stat
import threading

import pytest

from gateway.store.sqlite.whole import FILES
from tests.acceptance.harness import GatewayProcess, distinct
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}/crm"}}}}
routes: [{{name: to-crm, match: contact.created, to: crm}}]
"""


@pytest.fixture(scope="module")
def sink():
    with Sink(answer(200)) as sink:
        yield sink


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sink):
    with GatewayProcess(tmp_path_factory.mktemp("backup"), ROUTES.format(url=sink.url)) as gateway:
        for number in range(20):
            gateway.post(distinct(number))
        yield gateway


class Load:
    """Posts events one after the other while inside; ``acked`` are the ids of those that were answered."""

    def __init__(self, gateway):
        self._gateway, self.acked, self._over = gateway, [], threading.Event()
        self._thread = threading.Thread(target=self._post)

    def _post(self):
        number = 1000
        while not self._over.is_set():
            self.acked.append(self._gateway.post(distinct(number))[1]["id"])
            number += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)


def verdicts(done):
    return {each["check"]: each["verdict"] for each in json.loads(done.stdout)["checks"]}


def test_a_backup_under_load_is_sound_and_has_all_that_was_acked_before(gateway):
    with Load(gateway) as load:
        while len(load.acked) < 20:
            pass
        acked = list(load.acked)
        told = json.loads(gateway.verb("backup", "copy.db", "--json").stdout)
        assert len(load.acked) > len(acked), "events are accepted meanwhile"
    copy = gateway.folder / "copy.db"
    assert told["bytes"] == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    done = gateway.verb("doctor", "--store", f"sqlite:///{copy}", "--json")
    assert verdicts(done)["store"] == "ok"
    # With an address where nobody listens it is the copy that answers.
    alone = {"GATEWAY_URL": "", "GATEWAY_ADMIN_BIND": "127.0.0.1:1"}
    listed = gateway.verb("events", "--store", f"sqlite:///{copy}", "--limit", "1000", "--json", environ=alone)
    assert set(acked) <= {each["id"] for each in json.loads(listed.stdout)}


def test_a_file_that_is_there_is_replaced_only_if_it_is_said(gateway):
    there = gateway.folder / "there.db"
    there.write_text("precious")
    refused = gateway.verb("backup", "there.db", check=False)
    assert (refused.returncode, there.read_text()) == (1, "precious")
    assert "--force" in refused.stderr
    gateway.verb("backup", "there.db", "--force")
    assert there.read_bytes().startswith(b"SQLite format 3")
    assert [each.name for each in gateway.folder.glob("there.db*")] == ["there.db"]


@pytest.mark.parametrize(
    "to", ["./gateway.db", "soft.db", "hard.db", "gateway.db.2.now", *(f"gateway.db{each}" for each in FILES)]
)
def test_a_backup_never_takes_the_place_of_the_store_that_is_copied(gateway, to):
    store = gateway.folder / "gateway.db"
    if to == "soft.db":
        (gateway.folder / to).symlink_to(store)
    elif to == "hard.db":
        os.link(store, gateway.folder / to)
    before = store.stat().st_ino
    refused = gateway.verb("backup", to, "--force", check=False)
    assert refused.returncode == 1
    assert f"{to.removeprefix('./')} belongs to the store being copied: name another file" in refused.stderr
    assert store.stat().st_ino == before
    assert gateway.post(distinct(7000))[0] == 202
    assert gateway.api("/readyz")[0] == 200
    for each in {"soft.db", "hard.db"} & {to}:
        (gateway.folder / each).unlink()


@pytest.mark.parametrize("ending", ["", "-wal", ".lock"])
def test_a_backup_never_takes_the_place_of_another_store_that_is_in_use(gateway, tmp_path, sink, ending):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as other:
        refused = gateway.verb("backup", str(tmp_path / f"gateway.db{ending}"), "--force", check=False)
        assert refused.returncode == 1
        assert f"in use by pid {other.process.pid}" in refused.stderr
        assert other.post(distinct(7001))[0] == 202
        other.terminate()
    # It is closed now, and a file like any other.
    gateway.verb("backup", str(tmp_path / "gateway.db"), "--force")


def test_a_backup_never_takes_the_place_of_a_store_whose_log_is_still_there(gateway, tmp_path):
    (tmp_path / "died.db").write_bytes(b"precious")
    (tmp_path / "died.db-wal").write_bytes(b"the newest events")
    refused = gateway.verb("backup", str(tmp_path / "died.db"), "--force", check=False)
    assert (refused.returncode, (tmp_path / "died.db").read_bytes()) == (1, b"precious")
    assert "died.db-wal is its log: name another file" in refused.stderr


@pytest.mark.parametrize(("to", "said"), [("nowhere/copy.db", "nowhere"), ("/proc/copy.db", "/proc")])
def test_a_backup_that_cannot_be_written_is_one_clear_line(gateway, to, said):
    done = gateway.verb("backup", to, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_damage(gateway):
    gateway.verb("backup", "damaged.db")
    path = gateway.folder / "damaged.db"
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data) - 4096, 4096):
        data[at : at + 16] = os.urandom(16)
    path.write_bytes(data)
    done = gateway.verb("doctor", "--store", f"sqlite:///{path}", check=False)
    assert done.returncode == 1
    assert "damaged" in done.stdout
    assert "restore a backup" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_a_running_gateway_well(gateway):
    done = gateway.verb("doctor", "--json")
    assert set(verdicts(done).values()) == {"ok"}
    assert json.loads(done.stdout)["ok"] is True


def test_the_doctor_knocks_at_each_destination_without_its_path_or_its_login(tmp_path):
    routes = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations:
  up: {{url: "{url}/secret-path", auth: {{bearer: secret-path-of-a-login}}}}
  down: {{url: "http://127.0.0.1:1/secret-path"}}
  metadata: {{url: "http://metadata.invalid/secret-path"}}
always: [{{name: all, to: [up, down, metadata]}}]
"""
    with Sink() as sink:
        (tmp_path / "routes.yaml").write_text(routes.format(url=sink.url))
        done = GatewayProcess(tmp_path).verb("doctor", "--online", check=False)
        [request] = sink.requests
    assert (request.method, request.path, request.body) == ("HEAD", "/", b"")
    assert "authorization" not in request.headers
    assert done.returncode == 1
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith(("ok", "fail", "warn"))}
    assert lines["up"].startswith("ok")
    assert lines["down"].startswith("fail")
    assert "refused" in lines["down"]
    assert lines["metadata"].startswith("fail")
    assert "secret-path" not in done.stdout + done.stderr


def test_the_doctor_of_an_empty_folder_says_what_is_missing(tmp_path):
    done = GatewayProcess(tmp_path).verb("doctor", check=False)
    assert done.returncode == 1
    assert "fail  config" in done.stdout
    assert "the first start creates it" in done.stdout


def test_the_doctor_names_a_gateway_that_died(tmp_path, sink):
    gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url))
    with gateway:
        pid = gateway.process.pid
        gateway.kill()
    done = gateway.verb("doctor")
    assert f"pid {pid}" in done.stdout
    assert "ended without closing it" in done.stdout
