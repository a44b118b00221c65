"""Attacks on both listeners of a real process, and what others notice of them."""

import contextlib
import http.client
import os
import re
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.cgroup import MIB, memory_cgroup
from tests.acceptance.harness import DEADLINE_S, SECRET, GatewayProcess, distinct, eventually, signature

ROUTES = f"""
version: 1
sources:
  xobito: {{preset: xobito, secret: {SECRET}, max_body: 2MiB}}
"""
SHARED = ROUTES + "limits: {share_private: true}\n"
ATTACKER, SENDER = "127.0.0.66", "127.0.0.7"
TOKEN = "7f3b19c2d0e84a65b1f7c93e28d05a46"

pytestmark = pytest.mark.slow


def post(gateway: GatewayProcess, body: bytes, host: str = SENDER) -> int:
    """Sign and post from an address; the status, or 0 if the connection broke."""
    connection = http.client.HTTPConnection(gateway.ingest, timeout=DEADLINE_S, source_address=(host, 0))
    try:
        connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def large(number: int, group: int = 0) -> bytes:
    """A body of a mebibyte that no compression makes small."""
    pad = os.urandom(MIB // 2 - 1000).hex().encode()
    return distinct(number)[:-1] + b', "group": %d, "pad": "%s"}' % (group, pad)


def resident(gateway: GatewayProcess) -> float:
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


@contextlib.contextmanager
def connections(address: str, host: str = ""):
    """A function that opens a connection and sends something on it; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def opened(data: bytes = b"") -> socket.socket:
            name, _, port = address.rpartition(":")
            sock = socket.create_connection((name, int(port)), DEADLINE_S, source_address=(host, 0) if host else None)
            stack.enter_context(sock)
            with contextlib.suppress(OSError):
                sock.sendall(data)
            return sock

        yield opened


class Posting(threading.Thread):
    """Posts a small event every 50 ms until the block ends; ``statuses`` are the answers."""

    def __init__(self, gateway: GatewayProcess, host: str = SENDER) -> None:
        super().__init__()
        self._gateway, self._host, self._ended = gateway, host, threading.Event()
        self.statuses: list[int] = []

    def run(self) -> None:
        number = hash(self._host) % 1000 * 1_000_000
        while not self._ended.wait(0.05):
            number += 1
            self.statuses.append(post(self._gateway, distinct(number), self._host))

    def __enter__(self) -> "Posting":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def test_three_bursts_of_64_bodies_of_a_mebibyte_do_not_kill_it_in_256_mib(tmp_path):
    with memory_cgroup(256 * MIB) as cgroup, GatewayProcess(tmp_path, ROUTES, wrapper=cgroup.wrapper) as gateway:
        before = resident(gateway)
        statuses: Counter[int] = Counter()
        with ThreadPoolExecutor(64) as pool:
            for burst in range(3):
                bodies = [large(1000 * burst + number) for number in range(64)]
                statuses.update(pool.map(lambda body: post(gateway, body), bodies))
        assert gateway.process.poll() is None
        assert cgroup.kills == 0
        assert set(statuses) <= {202, 503}
        # Whoever tries again gets in.
        assert post(gateway, large(9999)) == 202
        stored = gateway.api("/api/events?limit=1000")[1]["events"]
        assert len(stored) == statuses[202] + 1
        eventually(lambda: resident(gateway) < before + 120, "the memory of the bodies is given back", 15)


def test_ten_destinations_that_hang_over_large_events_do_not_kill_it_in_256_mib(tmp_path):
    with memory_cgroup(256 * MIB) as cgroup, socket.create_server(("127.0.0.1", 0), backlog=1024) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        destinations = "".join(f"  d{n}: {{url: {url}, timeout: 60s}}\n" for n in range(10))
        routes = "".join(f"  - {{where: {{payload.group: {n}}}, to: d{n}}}\n" for n in range(10))
        text = f"{ROUTES}destinations:\n{destinations}routes:\n{routes}"
        with GatewayProcess(tmp_path, text, wrapper=cgroup.wrapper) as gateway, ThreadPoolExecutor(8) as pool:
            accepted = [post(gateway, large(number, number % 10)) for number in range(4)]
            accepted += pool.map(lambda number: post(gateway, large(number, number % 10)), range(4, 150))
            assert gateway.process.poll() is None
            assert cgroup.kills == 0
            assert set(accepted) == {202}
            gateway.kill()
            # All of them are due again at once.
            gateway.start()
            assert post(gateway, large(999)) == 202
            time.sleep(3)
            assert gateway.process.poll() is None
            assert cgroup.kills == 0


def unfinished(size: int = MIB) -> bytes:
    head = f"POST /in/xobito HTTP/1.1\r\nHost: a\r\nX-Webhook-Signature: 0\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"x" * (size - 100)


def refused_at_first(statuses: list[int]) -> int:
    """How many were refused before the first was accepted, after which none is."""
    refused = statuses.index(202)
    assert statuses == [503] * refused + [202] * (len(statuses) - refused)
    return refused


@pytest.mark.parametrize("is_shared", [True, False], ids=["an address each", "one ingress for all"])
def test_bodies_that_never_end_do_not_close_the_door(tmp_path, is_shared):
    attacker, stranger = (ATTACKER, "127.0.0.8") if is_shared else (SENDER, SENDER)
    with GatewayProcess(tmp_path, SHARED if is_shared else ROUTES) as gateway:
        assert post(gateway, distinct(1)) == 202
        for _ in range(3):
            with connections(gateway.ingest, attacker) as opened, Posting(gateway) as sender:
                # Each kind fits into what the ones before it left.
                for size in (MIB, 64 * 1024, 4 * 1024, 500):
                    for _ in range(36):
                        opened(unfinished(size))
                with Posting(gateway, stranger) as newcomer:
                    time.sleep(3)
            # Nobody who is told apart from the attacker is refused. The others are for a second, in which a body that
            # does not end might still be an honest one.
            most = 0 if is_shared else 25
            assert set(sender.statuses) <= {202, 503}
            assert sender.statuses.count(503) <= most
            assert refused_at_first(newcomer.statuses) <= most


@pytest.mark.parametrize("data", [b"", b"POST /in/xobito HTTP/1.1\r\nHost:"], ids=["idle", "half open"])
def test_1100_connections_that_say_nothing_close_the_door_for_nobody(tmp_path, data):
    with GatewayProcess(tmp_path, ROUTES) as gateway, connections(gateway.ingest, ATTACKER) as opened:
        with Posting(gateway) as sender:
            for _ in range(1100):
                opened(data)
                time.sleep(0.002)
            began = time.monotonic()
            while time.monotonic() - began < 5:
                opened(data)
                time.sleep(0.005)
        assert set(sender.statuses) == {202}
        [line] = gateway.log_lines("listener.full")[:1]
        assert (line["listener"], line["client"]) == ("ingest", ATTACKER)
        assert "trusted_proxies" in line["reason"]


def test_the_admin_listener_survives_what_comes_without_a_token(tmp_path):
    with GatewayProcess(tmp_path, ROUTES, environ={"GATEWAY_ADMIN_TOKEN": TOKEN}) as gateway:
        before = resident(gateway)
        form = b"token=" + b"x" * 9_900_000
        head = b"POST /login HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        head = head % gateway.admin.encode() + b"Content-Length: %d\r\n\r\n" % (len(form) + 1)
        probes = []

        def probe() -> None:
            probes.append(gateway.api("/healthz")[0])

        with connections(gateway.admin, ATTACKER) as opened, ThreadPoolExecutor(16) as pool:
            for _ in pool.map(lambda _: opened(head + form), range(100)):
                probe()
            peak = resident(gateway)
            for _ in range(300):
                opened()
            for _ in range(20):
                probe()
                opened(b"GET / HTTP/1.1\r\nHost:")
        assert set(probes) == {200}
        assert peak < before + 40


def test_a_reader_cannot_shut_the_live_page_for_the_others(tmp_path):
    reader = "c41e8a07f95d3b62e8a17d04c6f29b3e"
    tokens = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_READ_TOKEN": reader}
    with GatewayProcess(tmp_path, ROUTES, environ=tokens) as gateway, connections(gateway.admin) as opened:

        def listening(token: str) -> bytes:
            head = f"GET /api/live HTTP/1.1\r\nHost: {gateway.admin}\r\nAuthorization: Bearer {token}\r\n\r\n"
            return opened(head.encode()).recv(12)

        assert [listening(reader) for _ in range(9)] == [b"HTTP/1.1 200"] * 8 + [b"HTTP/1.1 503"]
        assert listening(TOKEN) == b"HTTP/1.1 200"
