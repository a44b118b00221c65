"""``gateway tail`` shows what happens as it happens, across a restart, too, and ends when it should."""

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from gateway.model import Event, new_id
from gateway.store import open_store
from gateway.store.nouns import NewDelivery, NewEvent
from tests.acceptance.harness import GatewayProcess, distinct, eventually
from tests.sink import Sink, answer

ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}/crm"}}}}
routes: [{{name: to-crm, match: contact.created, to: crm}}]
"""


class Tail:
    """A running ``gateway tail``, read through a pipe."""

    def __init__(self, gateway, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "tail", *arguments], cwd=gateway.folder, env=gateway.cli_environ,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines, self.notes = [], []
        self._threads = [
            threading.Thread(target=self._collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.notes))
        ]
        for thread in self._threads:
            thread.start()

    def _collect(self, stream, lines):
        lines += iter(stream.readline, "")  # one by one, as they come

    def until(self, count, what):
        return eventually(lambda: len(self.lines) >= count and self.lines, f"{what}: {self.lines} {self.notes}")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for thread in self._threads:
            thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def sink():
    with Sink(answer(200)) as sink:
        yield sink


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_events_and_what_becomes_of_them_are_told_as_they_happen(tmp_path, sink):
    sink.at("/crm", answer(200, after_s=1.5))
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        old = gateway.post(distinct(1))[1]["id"]
        gateway.settled(old)
        with Tail(gateway, "--json") as tail:
            tail.until(1, "what was there before")
            new = gateway.post(distinct(2))[1]["id"]
            first, second, third = map(json.loads, tail.until(3, "an event and its fate"))
            code = tail.interrupt()
    assert [(each["what"], each["id"]) for each in (first, second, third)] == [
        ("event", old), ("event", new), ("fate", new)
    ]  # fmt: skip
    assert [each["deliveries"][0]["state"] for each in (second, third)] == ["pending", "delivered"]
    assert (code, tail.notes) == (130, [])


def test_only_what_fits_the_filters_is_told(tmp_path, sink):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        with Tail(gateway, "--find", "data.id=3", "--json") as tail:
            ids = [gateway.post(distinct(number))[1]["id"] for number in (2, 3, 4)]
            [line] = tail.until(1, "the one that fits")[:1]
    assert json.loads(line)["id"] == ids[1]
    assert {json.loads(each)["id"] for each in tail.lines} == {ids[1]}


@pytest.mark.parametrize("arguments", ["", "--json"])
def test_the_first_line_is_enough_for_head(tmp_path, sink, arguments):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        gateway.settled(gateway.post(distinct(1))[1]["id"])
        # Nothing more happens: it has to notice by itself that nobody reads any more.
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m gateway tail {arguments} | head -1; exit ${{PIPESTATUS[0]}}"],
            cwd=gateway.folder, env=gateway.cli_environ, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "contact.created" in done.stdout
    assert done.stdout.count("\n") == 1


def test_it_goes_on_with_the_gateway_that_comes_after_and_misses_nothing(tmp_path, sink):
    options = ("--admin-bind", f"127.0.0.1:{free_port()}")
    gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url), options=options).start()
    try:
        before = gateway.post(distinct(1))[1]["id"]
        with Tail(gateway, "--json") as tail:
            tail.until(1, "the first event")
            gateway.kill()
            eventually(lambda: any("has gone" in each for each in tail.notes), "it says that the gateway has gone")
            gateway.start()
            after = gateway.post(distinct(2))[1]["id"]
            eventually(lambda: any(after in each for each in tail.lines), "what came after the restart")
            eventually(lambda: any("is back" in each for each in tail.notes), "it says that the gateway is back")
        told = [json.loads(each)["id"] for each in tail.lines if json.loads(each)["what"] == "event"]
        assert told == [before, after]
    finally:
        gateway.kill()


def test_without_a_gateway_the_store_is_followed(tmp_path, sink):
    gateway = GatewayProcess(tmp_path, ROUTES.format(url=sink.url))
    with gateway:
        gateway.settled(gateway.post(distinct(1))[1]["id"])
        gateway.terminate()

    async def append():
        store = await open_store(f"sqlite:///{tmp_path}/gateway.db")
        try:
            now, body = time.time(), distinct(2)
            event = Event(
                id=new_id("evt", now), source="xobito", type="contact.created", received_at=now, headers={}, body=body,
                sha256=hashlib.sha256(body).digest(),
            )  # fmt: skip
            delivery = NewDelivery(id=new_id("dlv", now), route="to-crm", destination="crm")
            await store.append([NewEvent(event=event, key=b"2", window_s=60, deliveries=[delivery])])
        finally:
            await store.close()
        return event.id

    with Tail(gateway) as tail:
        tail.until(1, "what was there before")
        event_id = asyncio.run(append())
        assert event_id in tail.until(2, "what another program has stored")[1]
        assert "crm pending" in tail.lines[1]
        assert tail.interrupt() == 130
    assert tail.notes == ["no gateway is running here: following its store\n"]


def test_a_line_fits_the_terminal_and_ctrl_c_is_no_error(tmp_path, sink):
    with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
        gateway.settled(gateway.post(distinct(1))[1]["id"])
        with gateway.terminal("tail", columns=44, environ={"NO_COLOR": "1"}) as terminal:
            terminal.until("crm delivered").type("\x03")
            assert terminal.wait() == 130
    assert "Traceback" not in terminal.said
    assert max(map(len, terminal.said.replace("\r\n", "\n").splitlines())) <= 44
