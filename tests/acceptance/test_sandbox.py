"""The gateway does nothing that deploy/ forbids it, seen from outside by strace."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.needs import needs, needs_root
from tests.sink import Sink
from tests.test_deploy import UNIT, service

ROUTES = """\
version: 1
sources: {xobito: {preset: xobito, secret: acceptance-secret}}
destinations:
  crm: {url: SINK}
  local: {url: "http+unix://%2Fnowhere%2Fapp.sock/hook", retry: {attempts: 1}}
  archive: {type: file, path: archive.ndjson}
routes:
  - {name: all, to: crm, body: {id: "{{ attrs.id }}"}}
  - {name: unix, to: local}
  - {name: kept, to: archive}
"""
CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]")
OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]*)", ([A-Z_|]+)')


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a gateway that received, sent, reloaded, was asked and stopped; and its system calls."""
    needs("strace")
    folder = tmp_path_factory.mktemp("sandbox")
    written = folder.parent / "calls"
    strace = ("strace", "-f", "-qq", "-s", "200", "-o", str(written))
    # A measured process writes its figures elsewhere, and one without compiled modules writes those.
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    with pytest.MonkeyPatch.context() as patch, Sink() as sink:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        routes = ROUTES.replace("SINK", json.dumps(sink.url))
        with GatewayProcess(folder, routes, wrapper=strace, environ=environ) as gateway:
            ids = [gateway.post(distinct(number))[1]["id"] for number in range(3)]
            owner = int(re.match(r"pid (\d+)", (folder / "gateway.db.lock").read_text())[1])
            os.kill(owner, signal.SIGHUP)
            eventually(
                lambda: gateway.log_lines("config.loaded")[1:] or gateway.log_lines("config.reloaded"), "a reload"
            )
            for event in ids:
                gateway.settled(event)
            for page in ("/", "/metrics", "/readyz", "/api/events?q=data.id%3D1"):
                assert gateway.api(page)[0] == 200
            os.kill(owner, signal.SIGTERM)
            assert gateway.process.wait(60) == 0
        assert len(sink.requests) == 3
    return folder, written.read_text(errors="replace").splitlines()


def permitted() -> set[str]:
    """The system calls that the unit's SystemCallFilter= lines permit."""
    lines = re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    allowed = expanded("@default")
    for line in lines:
        named = set().union(*map(expanded, line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def expanded(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    within = [line.strip() for line in shown.stdout.splitlines()[1:]]
    return set().union(*(expanded(each) for each in within if each and not each.startswith("#")))


def test_it_makes_no_system_call_that_the_unit_forbids(calls):
    needs("systemd-analyze", "systemd")
    made = {found[1] for line in calls[1] if (found := CALL.match(line))}
    # SQLite keeps the owner of a file, if it runs as root: the unit's user is not.
    made -= {"fchown"} if os.geteuid() == 0 else set()
    assert {"fdatasync", "epoll_ctl", "connect"} <= made, "the calls were read"
    assert made - permitted() == set()


def test_it_opens_no_socket_of_a_family_that_it_can_do_without(calls):
    families = set(service()["RestrictAddressFamilies"].split())
    opened = {found[1]: found[2] for line in calls[1] if (found := re.search(r"socket\((\w+), .* = (-?\d+)", line))}
    assert "AF_INET" in opened
    # glibc asks for the addresses of this machine by netlink, and takes a refusal for `all of them`.
    assert set(opened) - families <= {"AF_NETLINK"}


def test_it_maps_no_memory_that_can_be_written_and_run(calls):
    assert service()["MemoryDenyWriteExecute"] == "yes"
    both = [line for line in calls[1] if re.search(r"mmap\(.*(PROT_WRITE\|PROT_EXEC|PROT_EXEC\|PROT_WRITE)", line)]
    later = [line for line in calls[1] if re.search(r"mprotect\(.*PROT_EXEC", line)]
    assert both + later == []


def test_it_writes_into_its_own_folder_only(calls):
    folder, lines = calls
    opened = [found.groups() for line in lines if (found := OPENED.search(line)) and " = -1" not in line]
    written = {path for path, flags in opened if re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", flags)}
    inside = {path for path in written if Path(folder, path).is_relative_to(folder)}
    assert any(path.endswith("gateway.db") for path in inside)
    assert {path for path in written - inside if not path.startswith("/dev/")} == set()


#: Everything is read-only but the first argument, and no process has a capability or can get one.
CONFINED = """\
mount --make-rprivate / && mount --bind "$0" "$0" || exit 8
for each in $(cut -d' ' -f5 /proc/self/mountinfo | grep -Ev '^/(proc|sys|dev)(/|$)' | grep -Fxv "$0"); do
    mount -o remount,bind,ro "$each" || exit 8
done
cd "$0" || exit 8
if touch "$0/../outside" 2>/dev/null; then exit 9; fi
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


def test_without_capabilities_and_with_all_else_read_only_it_serves_reloads_and_starts_again(tmp_path, monkeypatch):
    needs_root("to make the file system read-only")
    needs("unshare", "util-linux")
    # A measured process writes its figures elsewhere.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    folder = tmp_path / "state"
    folder.mkdir()
    wrapper = ("unshare", "--mount", "sh", "-c", CONFINED, str(folder))
    with Sink() as sink:
        routes = ROUTES.replace("SINK", json.dumps(sink.url))
        for start in range(2):
            with GatewayProcess(folder, routes, wrapper=wrapper) as gateway:
                status = Path(f"/proc/{gateway.process.pid}/status").read_text()
                assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
                assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
                given = gateway.post(distinct(start))[1]
                states = {each["destination"]: each["state"] for each in gateway.settled(given["id"])}
                assert states == {"crm": "delivered", "local": "dead", "archive": "delivered"}
                gateway.process.send_signal(signal.SIGHUP)
                eventually(
                    lambda: gateway.log_lines("config.loaded")[1:] or gateway.log_lines("config.reloaded"), "a reload"
                )
                assert gateway.api("/readyz")[0] == 200
                assert gateway.terminate() == 0
    assert len((folder / "archive.ndjson").read_text().splitlines()) == 2
