"""Signals and the drain, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import gateway
from tests.server.door import PATIENCE_S, connect, parse_head, read_all, read_answer, split, wait_until

SCRIPT = """
import asyncio, resource, sys
from gateway.server import run, serve

released, finish = asyncio.Event(), asyncio.Event()
hold = asyncio.Event()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))

def say(*words):
    print(*words, flush=True)

async def app(scope, receive, send):
    {"/release": released, "/finish": finish, "/go": hold}.get(scope["path"], asyncio.Event()).set()
    if scope["path"] == "/hold":
        say("held")
        await hold.wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

class Hooks:
    async def started(self, ingest_address, admin_address):
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
        say("started", ingest_address, admin_address, raised)
        if "slow-start" in sys.argv:
            await released.wait()
            say("start ended")
    def draining(self):
        say("draining")
        if "slow-start" in sys.argv:
            released.set()
    async def drained(self):
        if "raise" in sys.argv:
            raise RuntimeError("cannot drain")
        await released.wait()
    async def stopped(self):
        say("stopped")
        if "wait" in sys.argv:
            await finish.wait()

sys.exit(run(serve(ingest=app, admin=app, ingest_bind="127.0.0.1:0", admin_bind="127.0.0.1:0", hooks=Hooks(),
                   drain_s=float(sys.argv[1]), finish_s=float(sys.argv[2]))))
"""


class Process:
    def __init__(self, tmp_path, *arguments, wrapper=(), **options):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        root = str(Path(gateway.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, *wrapper, str(script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
            **options,
        )
        _, ingest, admin, self.raised = self.line().split()
        self.ingest, self.admin = split(ingest), split(admin)

    def line(self):
        return self.process.stdout.readline().strip()

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def get(address, path):
    with connect(address) as client:
        return ask(client, path)


def ask(client, path):
    client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    return read_answer(client)[0]


def refuses(address):
    try:
        with connect(address):
            return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_drains_and_the_admin_listener_closes_last(tmp_path, number):
    with Process(tmp_path, 60, 60, "wait") as gate, connect(gate.ingest) as idle, connect(gate.ingest) as held:
        assert gate.raised == "True"
        assert ask(idle, "/") == 200
        held.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gate.line() == "held"
        gate.signal(number)
        assert gate.line() == "draining"
        assert get(gate.ingest, "/still") == 200  # events are taken while attempts end
        assert ask(idle, "/still") == 200
        assert get(gate.admin, "/release") == 200
        assert read_all(idle) == b""  # the door is shut, idle connections at once
        wait_until(lambda: refuses(gate.ingest))
        assert get(gate.admin, "/go") == 200  # the open request may end
        status, headers = parse_head(read_all(held))
        assert (status, headers["connection"]) == (200, "close")
        assert gate.line() == "stopped"
        assert get(gate.admin, "/finish") == 200  # probes are answered to the end
        assert gate.wait() == 0
        assert gate.line() == ""


def test_a_second_signal_exits_at_once(tmp_path):
    with Process(tmp_path, 60, 60) as gate:
        gate.signal()
        assert gate.line() == "draining"
        gate.signal(signal.SIGINT)
        assert gate.wait() == 1


def test_attempts_that_do_not_end_are_waited_for_no_longer_than_the_drain_time(tmp_path):
    with Process(tmp_path, 0.1, 60) as gate:
        gate.signal()
        assert gate.wait() == 0


def test_a_request_that_does_not_end_is_cut_off(tmp_path):
    with Process(tmp_path, 0.1, 0.1) as gate, connect(gate.ingest) as held:
        held.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gate.line() == "held"
        gate.signal()
        assert gate.wait() == 0
        assert [gate.line(), gate.line()] == ["draining", "stopped"]


def test_a_drain_that_fails_still_closes_the_store(tmp_path):
    with Process(tmp_path, 60, 60, "raise", stderr=subprocess.DEVNULL) as gate:
        gate.signal()
        assert gate.wait() == 0
        assert [gate.line(), gate.line()] == ["draining", "stopped"]


def test_a_signal_while_starting_is_not_lost(tmp_path):
    with Process(tmp_path, 60, 60, "slow-start") as gate:
        gate.signal()
        assert gate.wait() == 0
        assert [gate.line() for _ in range(3)] == ["draining", "start ended", "stopped"]


HAND_OVER = """
import os, sys
for target, source in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(source, target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(target - 2))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def test_sockets_of_systemd_are_used_and_outlive_the_process(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as ingest, socket.create_server(("127.0.0.1", 0)) as admin:
        # Numbers far above 3, so that handing over one does not overwrite the other.
        high = [os.dup(sock.fileno()) for sock in [ingest, admin] * 8][-2:]
        handed = ",".join(map(str, high))
        with Process(tmp_path, 0, 1, wrapper=("-c", HAND_OVER, handed), pass_fds=high) as gate:
            assert (gate.ingest, gate.admin) == (ingest.getsockname(), admin.getsockname())
            assert get(gate.ingest, "/") == 200
            assert get(gate.admin, "/") == 200
            gate.signal()
            assert gate.wait() == 0
        assert not refuses(ingest.getsockname())
