"""P3, P4: a disk that fails at any call. No 2xx for what is not on it, 503 until it works again, and nothing is lost.

The same 50 events are posted while the kernel refuses the N-th of one kind of call to the store's files; a sender that
gets 503 posts again. `FAULTS=40 pytest tests/acceptance/test_faults.py` tries each N up to 40; otherwise one process
meets many of them.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import time

import pytest

from tests import disk
from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.acceptance.test_kill import CONCURRENCY, ROUTES
from tests.needs import needs
from tests.sink import Sink, answer
from tests.store.given import Looking

EVENTS = 50
#: A sender that is refused tries again so soon, seconds.
AGAIN_S = 0.05
#: Within so many seconds of the last fault the store was opened again and checked.
PROMISED_S = 30

#: Which faults a start meets, and a gateway that runs; for each of them, the N of a short run, or none.
AT_START = {
    "fdatasync:error=EIO": [],
    "pwrite64:error=ENOSPC": [],
    "pwrite64:error=EIO": ["40"],
    "ftruncate:error=EIO": [],
}
RUNNING = {
    "fdatasync:error=EIO": ["5+40"],
    "pwrite64:error=ENOSPC": ["20+297"],
    "pwrite64:error=EIO": ["9+697"],
    "ftruncate:error=EIO": ["1"],
    "fallocate:error=ENOSPC": [],
    "fsync:error=EIO": [],
}
TABLE = [str(n) for n in range(1, int(os.environ.get("FAULTS", "0")) + 1)]


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """What measures coverage writes a database of its own, and would meet the faults, too."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def table(short):
    return [(fault, n) for fault, few in short.items() for n in TABLE or few]


class Sender:
    """Posts the events in their order, each until it is acknowledged; remembers whatever else it was answered."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.acked = []
        self.refused = []

    def post_all(self):
        for number in range(EVENTS):
            eventually(lambda number=number: self._post(number), f"event {number} is taken", PROMISED_S)

    def _post(self, number):
        body = distinct(number)
        connection = http.client.HTTPConnection(self.gateway.ingest, timeout=60)
        try:
            connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
            response = connection.getresponse()
            said = json.loads(response.read())
        finally:
            connection.close()
        if response.status == 202:
            self.acked.append(said["id"])
            return True
        self.refused.append((response.status, response.headers.get("retry-after")))
        time.sleep(AGAIN_S)
        return False


def failing(fault, when):
    """Of every thread of the gateway, these calls fail."""
    call = fault.partition(":")[0]
    return ("strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={fault}:when={when}")


def survive(gateway, sink):
    """Post the events, see all of them delivered, and end the gateway; what the sender was answered."""
    sender = Sender(gateway)
    sender.post_all()
    numbers = set(range(EVENTS))
    eventually(lambda: {int(each.path.rpartition("/")[2]) for each in sink.requests} == numbers, "all are delivered")
    # Not to strace, which would keep it to itself.
    os.kill(int(re.match(r"pid (\d+)", (gateway.folder / "gateway.db.lock").read_text())[1]), signal.SIGTERM)
    assert gateway.process.wait(60) == 0
    reads = Looking(f"sqlite:///{gateway.folder}/gateway.db")
    assert reads.check() == []
    assert [id_ for id_ in sender.acked if reads.event(id_) is None] == []
    assert set(sender.refused) <= {(503, "5")}
    return sender


@pytest.fixture
def sink():
    with Sink(answer()) as sink:
        yield sink


@pytest.fixture(scope="module")
def strace():
    needs("strace")
    # A sandbox may not let a program be traced.
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    needs("ptrace", "strace (and the right to trace)", is_there=done.returncode == 0)


@pytest.fixture
def attached(strace):
    """Have calls of a running gateway fail from now on."""
    tracers = []

    def attach(gateway, fault, when):
        command = [*failing(fault, when), "-p", str(gateway.process.pid)]
        tracers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        assert "attached" in tracers[-1].stderr.readline()

    yield attach
    for tracer in tracers:
        tracer.kill()
        tracer.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "when"), table(RUNNING))
def test_a_call_that_fails_is_never_answered_with_success(tmp_path, sink, attached, fault, when):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url, concurrency=CONCURRENCY)) as gateway:
        attached(gateway, fault, when)
        survive(gateway, sink)


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(("fault", "when"), table(AT_START))
def test_a_start_that_meets_a_failing_call_says_so_in_one_line_or_goes_on(tmp_path, sink, fault, when):
    routes = ROUTES.format(url=sink.url, concurrency=CONCURRENCY)
    gateway = GatewayProcess(tmp_path, routes, wrapper=failing(fault, when))
    try:
        gateway.start()
    except AssertionError:
        gateway.kill()
        [line] = re.findall(r"^gateway: .*", gateway.log_text(), re.MULTILINE)
        assert "check its permissions and the disk" in line
        assert "Traceback" not in gateway.log_text()
        gateway = GatewayProcess(tmp_path).start()
    try:
        survive(gateway, sink)
    finally:
        gateway.kill()


@pytest.mark.slow
def test_writes_that_are_cut_short_are_finished(tmp_path, sink):
    needs("cc", "gcc libc6-dev")
    routes = ROUTES.format(url=sink.url, concurrency=CONCURRENCY)
    with GatewayProcess(tmp_path, routes, environ=disk.short_writes(every=3)) as gateway:
        assert survive(gateway, sink).refused == []
