"""The door: what it refuses, what it lets through, and how it closes. Raw sockets against a real server."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway
from gateway import server
from gateway.server import BindFailed, Limits, serve

PATIENCE_S = 20.0
HEAD = b"POST /in HTTP/1.1\r\nHost: a\r\n"


class Door:
    """A server in a thread of its own: its addresses, and what it told its caller."""

    def __init__(self, limits):
        self.limits = limits
        self.refused, self.failed, self.seen = [], [], []
        self.held = threading.Event()
        self.address = self.admin = None

    async def started(self, ingest_address, admin_address):
        self.address, self.admin = (split(address) for address in (ingest_address, admin_address))
        self.go = asyncio.Event()
        self._ready.set()

    def draining(self): ...
    async def drained(self): ...
    async def stopped(self): ...

    async def app(self, scope, receive, send):
        path = scope["path"]
        if path == "/boom":
            raise RuntimeError("an app failed")
        if path == "/silent":
            return
        if path == "/refuse":
            await answer(send, 413, b"{}")
            return
        if path == "/reads-late":
            self.held.set()
            await self.go.wait()
        if path == "/answers-first":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        size, more = 0, True
        while more:
            message = await receive()
            self.seen.append(message["type"])
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if path == "/listens":
            self.seen.append((await receive())["type"])
            return
        if path == "/hold":
            self.held.set()
            await self.go.wait()
        if path == "/big":
            with contextlib.suppress(asyncio.CancelledError):
                await answer(send, 200, b"x" * 64 * 1024, times=1024)
            self.seen.append("big ended")
            return
        if path == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            raise RuntimeError("failed half way")
        names = sorted(name.decode() for name, _ in scope["headers"])
        echo = {"method": scope["method"], "path": path, "size": size, "headers": names}
        await answer(send, 200, json.dumps(echo).encode())

    def __enter__(self):
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def _serve(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self.loop = runner.get_loop()
            with contextlib.suppress(asyncio.CancelledError):
                runner.run(self._main())

    async def _main(self):
        self.task = asyncio.current_task()
        await serve(
            ingest=self.app,
            admin=self.app,
            ingest_bind="127.0.0.1:0",
            admin_bind="127.0.0.1:0",
            hooks=self,
            limits=self.limits,
            refused=self.refused.append,
            failed=self.failed.append,
        )

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.task.cancel)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


async def answer(send, status, body, times=1):
    length = b"%d" % (len(body) * times)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
    for left in range(times - 1, -1, -1):
        await send({"type": "http.response.body", "body": body, "more_body": left > 0})


def split(address):
    host, _, port = address.removeprefix("http://").rpartition(":")
    return host, int(port)


def connect(address):
    return socket.create_connection(address, timeout=PATIENCE_S)


def read_all(client):
    """All bytes up to the end; a reset raises, so that every use asserts a clean close."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def read_answer(client):
    """(status, headers, body) of one answer with a Content-Length, leaving the connection open."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(1)
        assert piece, f"closed after {received!r}"
        received += piece
    status, headers = parse_head(received)
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        body += client.recv(int(headers["content-length"]) - len(body))
    return status, headers, body


def parse_head(raw):
    lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])


def refusal_in(raw):
    """The status of a refusal, after checking that it is small JSON on a connection that closes."""
    status, headers = parse_head(raw)
    body = raw.partition(b"\r\n\r\n")[2]
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body) < 200
    assert list(json.loads(body)) == ["error"]
    return status


def send_to_the_end(client, data):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(data)


@pytest.fixture(scope="module")
def door():
    with Door(Limits(linger_s=60.0)) as running:
        yield running


@pytest.fixture(scope="module")
def hasty():
    """A door that waits for headers but a moment."""
    with Door(Limits(header_deadline_s=0.3)) as running:
        yield running


@pytest.fixture(scope="module")
def brisk():
    """A door that waits but a moment for all that comes after the headers."""
    with Door(Limits(body_deadline_s=0.3, keep_alive_s=0.2, linger_s=0.2, send_deadline_s=0.3)) as running:
        yield running


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSALS = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "malformed"),
    "text that is not HTTP": (b"hello there\r\n\r\n", 400, "malformed"),
    "unknown method": (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "endless method": (b"A" * 70_000, 400, "malformed"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, "version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, "malformed"),
    "HTTP/0.9": (b"GET /\r\n", 400, "version"),
    "HTTP/0.9 with an empty line": (b"GET /\r\n\r\n", 400, "version"),
    "HTTP/0.9 with headers": (b"GET /\r\nHost: a\r\n\r\n", 400, "version"),
    "missing Host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "host"),
    "double Host": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    "equal double Host": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host"),
    "double Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    "two Content-Lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "malformed"),
    "two equal Content-Lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "malformed"),
    "a list of Content-Lengths": (HEAD + b"Content-Length: 1, 1\r\n\r\na", 400, "malformed"),
    "negative Content-Length": (HEAD + b"Content-Length: -1\r\n\r\na", 400, "malformed"),
    "signed Content-Length": (HEAD + b"Content-Length: +1\r\n\r\na", 400, "malformed"),
    "huge Content-Length": (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, "malformed"),
    "empty Content-Length": (HEAD + b"Content-Length:\r\n\r\n", 400, "malformed"),
    "length, then chunked": (
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "malformed",
    ),
    "chunked, then length": (
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "malformed",
    ),
    "gzip": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400, "transfer_encoding"),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "gzip and chunked apart": (
        HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    "empty Transfer-Encoding": (HEAD + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, "malformed"),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed"),
    "bare LF after a header": (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "malformed"),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "malformed"),
    "bare CR in a header": (HEAD + b"X: a\rY: b\r\n\r\n", 400, "malformed"),
    "folded header": (HEAD + b"X: a\r\n b\r\n\r\n", 400, "malformed"),
    "NUL in a header": (HEAD + b"X: a\0b\r\n\r\n", 400, "malformed"),
    "NUL in a name": (HEAD + b"X\0: b\r\n\r\n", 400, "malformed"),
    "NUL in the path": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "non-ASCII path": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "space in the path": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "space before the colon": (HEAD + b"X : a\r\n\r\n", 400, "malformed"),
    "no colon": (HEAD + b"Xa\r\n\r\n", 400, "malformed"),
    "empty name": (HEAD + b": a\r\n\r\n", 400, "malformed"),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "URL without a path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed"),
    "long request line": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
    "endless request line": (b"GET /" + b"a" * 5_000_000, 414, "uri_too_long"),
    "101 headers": (HEAD + b"X: y\r\n" * 100 + b"\r\n", 431, "headers_too_large"),
    "long header": (HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "endless header": (HEAD + b"X: " + b"a" * 5_000_000, 431, "headers_too_large"),
    "endless header name": (HEAD + b"X" * 5_000_000, 431, "headers_too_large"),
    "many headers too large together": (HEAD + (b"X: " + b"a" * 2000 + b"\r\n") * 20, 431, "headers_too_large"),
    "negative chunk": (CHUNKED + b"-1\r\na", 400, "malformed"),
    "chunk size that is not hex": (CHUNKED + b"zz\r\na", 400, "malformed"),
    "chunk size overflow": (CHUNKED + b"f" * 17 + b"\r\na", 400, "malformed"),
    "chunk longer than its size": (CHUNKED + b"1\r\nabc\r\n0\r\n\r\n", 400, "malformed"),
    "bare LF in chunks": (CHUNKED + b"1\na\n0\n\n", 400, "malformed"),
    "endless chunk extension": (CHUNKED + b"1;" + b"a" * 5_000_000, 400, "framing"),
    "endless trailers": (CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 500_000, 400, "framing"),
    "endless trailer": (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 5_000_000, 400, "framing"),
    "a size line for every byte, all extensions": (
        CHUNKED + (b"1;" + b"e" * 60 + b"\r\na\r\n") * 50_000,
        400,
        "framing",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_hostile_request_is_refused_in_json_and_the_connection_ends_cleanly(door, name):
    payload, status, reason = REFUSALS[name]
    door.refused.clear()
    with connect(door.address) as client:
        client.sendall(payload)
        assert refusal_in(read_all(client)) == status
    assert door.refused == [reason]


@pytest.mark.parametrize("name", [name for name, (payload, *_) in REFUSALS.items() if len(payload) < 300])
def test_a_hostile_request_is_refused_the_same_byte_by_byte(name):
    payload, status, _ = REFUSALS[name]
    if name.startswith("HTTP/0.9"):
        payload = b"GET /\r\n"
    conversation = converse([payload[i : i + 1] for i in range(len(payload))])
    assert refusal_in(conversation.written) == status


def test_ten_megabytes_of_headers_leave_memory_flat_and_are_told_so(door):
    piece = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 900) for number in range(60))
    with connect(door.address) as client:
        client.sendall(HEAD)
        tracemalloc.start()
        try:
            for _ in range(10_000_000 // len(piece)):
                client.sendall(piece)
            raw = read_all(client)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert refusal_in(raw) == 431
    assert peak < 2_000_000


@pytest.mark.parametrize("before", [b"", b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "pipelined"])
def test_one_large_read_is_not_kept_as_an_unfinished_header(before):
    transport = converse([before + HEAD + b"X: " + b"a" * 200_000])
    good, _, refusal = transport.written.rpartition(b"HTTP/1.1 431")
    assert refusal
    assert good.count(b"HTTP/1.1 200") == bool(before)


def test_a_client_that_sends_without_end_after_its_refusal_is_cut_off():
    cut_off = pytest.raises((ConnectionResetError, BrokenPipeError))
    with Door(Limits(linger_s=60.0, linger_bytes=100_000)) as door, connect(door.address) as client, cut_off:
        while True:
            client.sendall(b"\0" * 65536)


# --- deadlines ---


def test_a_header_now_and_then_does_not_hold_the_door_open(hasty):
    with connect(hasty.address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n")
        client.settimeout(0.02)
        raw = b""
        while not raw:
            client.sendall(b"X: y\r\n")
            with contextlib.suppress(TimeoutError):
                raw = client.recv(65536)
    assert refusal_in(raw) == 408
    assert hasty.refused[-1] == "header_deadline"


def test_a_body_that_does_not_come_ends_in_408_and_the_app_is_told_at_once():
    with Door(Limits(body_deadline_s=0.2, linger_s=60.0)) as door, connect(door.address) as client:
        client.sendall(HEAD + b"Content-Length: 100\r\n\r\nabc")
        assert refusal_in(read_all(client)) == 408
        assert door.refused == ["body_deadline"]
        wait_until(lambda: door.seen[-1:] == ["http.disconnect"])


def test_a_body_that_drips_ends_in_408(brisk):
    with connect(brisk.address) as client:
        client.sendall(CHUNKED)
        client.settimeout(0.02)
        raw = b""
        while not raw:
            client.sendall(b"1\r\na\r\n")
            with contextlib.suppress(TimeoutError):
                raw = client.recv(65536)
    assert refusal_in(raw) == 408


def test_a_connection_without_a_request_is_closed_without_a_word(hasty):
    with connect(hasty.address) as client:
        assert read_all(client) == b""


def test_empty_lines_do_not_keep_a_connection_alive(hasty):
    with connect(hasty.address) as client:
        client.settimeout(0.02)
        ended = False
        while not ended:
            send_to_the_end(client, b"\r\n")
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                ended = client.recv(100) == b""
        assert ended


def test_an_idle_connection_is_closed_after_keep_alive(brisk):
    with connect(brisk.address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(client)[0] == 200
        assert read_all(client) == b""


def test_a_client_that_does_not_take_its_answer_is_cut_off(brisk):
    with connect(brisk.address) as client:
        client.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: "big ended" in brisk.seen)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1_000_000):
                received += len(piece)
        assert received < 64 * 1024 * 1024


def test_an_answer_that_takes_its_time_is_not_cut_by_any_deadline(brisk):
    brisk.held.clear()
    with connect(brisk.address) as client, connect(brisk.address) as marker:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert brisk.held.wait(PATIENCE_S)
        marker.sendall(HEAD + b"Content-Length: 1\r\n\r\n")
        assert refusal_in(read_all(marker)) == 408  # the deadlines have passed by now
        brisk.loop.call_soon_threadsafe(brisk.go.set)
        assert read_answer(client)[0] == 200


def test_an_app_that_reads_late_is_not_blamed_on_the_sender():
    with Door(Limits(body_deadline_s=0.2)) as door, connect(door.address) as client:
        client.sendall(b"POST /reads-late HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 2_000_000)
        assert door.held.wait(PATIENCE_S)
        for _ in range(2):
            with connect(door.address) as marker:
                marker.sendall(HEAD + b"Content-Length: 1\r\n\r\n")
                assert refusal_in(read_all(marker)) == 408  # the deadline has passed for who sends nothing
        door.loop.call_soon_threadsafe(door.go.set)
        client.sendall(b"x" * 3_000_000)
        assert json.loads(read_answer(client)[2])["size"] == 5_000_000


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- what must keep working ---


def test_keep_alive_serves_one_request_after_the_other(door):
    with connect(door.address) as client:
        for number in range(3):
            client.sendall(b"POST /in/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" % number)
            status, headers, body = read_answer(client)
            assert (status, json.loads(body)["path"], json.loads(body)["size"]) == (200, f"/in/{number}", 2)
            assert "connection" not in headers
            assert "server" not in headers
            assert "date" in headers


def test_pipelined_requests_are_answered_in_order(door):
    requests = [
        b"POST /in/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (n, n, b"x" * n) for n in range(20)
    ]
    with connect(door.address) as client:
        client.sendall(b"".join(requests))
        answers = [json.loads(read_answer(client)[2]) for _ in requests]
    assert [(one["path"], one["size"]) for one in answers] == [(f"/in/{n}", n) for n in range(20)]


def test_garbage_behind_a_good_request_does_not_cost_the_good_one_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"\0\0garbage")
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert refusal_in(read_all(client)) == 400


def test_a_broken_body_behind_a_good_request_is_refused_after_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" + CHUNKED + b"zz\r\n")
        assert json.loads(read_answer(client)[2])["path"] == "/good"
        assert refusal_in(read_all(client)) == 400


def test_a_flood_of_pipelined_requests_is_answered_up_to_the_cap_and_then_refused():
    with Door(Limits(pipelined=5)) as door, connect(door.address) as client:
        client.sendall(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n" * 5000)
        assert [read_answer(client)[0] for _ in range(6)] == [200] * 6
        assert refusal_in(read_all(client)) == 400
        assert door.refused == ["pipelined"]


def test_a_request_under_way_is_told_that_its_client_left_although_others_are_queued_behind_it(door):
    door.seen.clear()
    with connect(door.address) as client:
        client.sendall(b"GET /listens HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: door.seen == ["http.request"])
        # A reset: after a mere end of sending, a client may still want its answers.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: door.seen == ["http.request", "http.disconnect"])


def test_a_body_that_breaks_under_a_begun_answer_ends_the_connection(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED.replace(b"/in", b"/answers-first"))
        assert client.recv(12) == b"HTTP/1.1 200"
        client.sendall(b"zz\r\n")
        assert b"HTTP/1.1" not in read_all(client)


def test_an_app_is_told_when_its_client_leaves(door):
    door.held.clear()
    door.seen.clear()
    with connect(door.address) as client:
        client.sendall(HEAD.replace(b"/in", b"/gone") + b"Content-Length: 5\r\n\r\nab")
        wait_until(lambda: "http.request" in door.seen)
    wait_until(lambda: "http.disconnect" in door.seen)


def test_a_long_body_does_not_count_as_headers_of_the_request_behind_it():
    first = HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    written = converse([first + b"GET /next HTTP/1.1\r\nHo", b"st: a\r\n\r\n"]).written
    assert written.count(b"HTTP/1.1 200") == 2
    assert b'"path": "/next"' in written


def test_a_chunked_body_with_extensions_and_trailers_arrives_without_them(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED + b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nX-Signature: forged\r\nHost: b\r\n\r\n")
        status, _, body = read_answer(client)
    assert (status, json.loads(body)["size"]) == (200, 5)
    assert json.loads(body)["headers"] == ["host", "transfer-encoding"]


def test_one_byte_chunks_are_legal(door):
    with connect(door.address) as client:
        client.sendall(CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
        assert json.loads(read_answer(client)[2])["size"] == 100_000


def test_a_megabyte_arrives_whole(door):
    with connect(door.address) as client:
        client.sendall(HEAD + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1_048_576)
        assert json.loads(read_answer(client)[2])["size"] == 1_048_576


def test_head_is_answered_without_a_body(door):
    with connect(door.address) as client:
        client.sendall(b"HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = read_all(client)
    assert raw.startswith(b"HTTP/1.1 200")
    assert raw.endswith(b"\r\n\r\n")


def test_http_1_0_needs_no_host_and_closes(door):
    with connect(door.address) as client:
        client.sendall(b"GET /old HTTP/1.0\r\n\r\n")
        raw = read_all(client)
    assert parse_head(raw)[0] == 200
    assert parse_head(raw)[1]["connection"] == "close"


def test_100_headers_of_32_kib_together_are_let_in(door):
    filler = b"".join(b"X-%02d: %s\r\n" % (number, b"v" * 300) for number in range(99))
    with connect(door.address) as client:
        client.sendall(HEAD + filler + b"\r\n")
        assert read_answer(client)[0] == 200


def test_expect_100_continue_is_granted_when_the_app_reads(door):
    with connect(door.address) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert read_answer(client)[0] == 100
        client.sendall(b"abc")
        assert json.loads(read_answer(client)[2])["size"] == 3


def test_an_answer_before_the_body_reaches_a_client_that_sends_it_all_the_same(door):
    with connect(door.address) as client:
        client.sendall(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000)
        status, headers = parse_head(read_all(client))
    assert (status, headers["connection"]) == (413, "close")


def test_a_client_may_close_its_sending_side_and_still_gets_its_answer(door):
    with connect(door.address) as client:
        client.sendall(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert parse_head(read_all(client))[0] == 200


@pytest.mark.parametrize(
    ("framing", "body", "size"),
    [
        (b"Content-Length: 5\r\n", b"hello", 5),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", 5),
        (b"", b"", 0),
    ],
    ids=["length", "chunked", "no body"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["one packet", "body later"])
def test_an_upgrade_is_ignored_and_costs_no_body(door, framing, body, size, apart):
    head = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n" + framing + b"\r\n"
    with connect(door.address) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (head, body) if apart else (head + body,):
            client.sendall(piece)
        status, headers, answered = read_answer(client)
        assert (status, json.loads(answered)["size"]) == (200, size)
        assert headers["connection"] == "close"


def test_an_app_that_raises_costs_its_request_only(door):
    door.failed.clear()
    with connect(door.address) as client:
        for path in (b"/boom", b"/silent"):
            client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            status, headers, body = read_answer(client)
            assert (status, json.loads(body)) == (500, {"error": "internal error"})
            assert headers["content-type"] == "application/json"
        client.sendall(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(client)[0] == 200
    assert [str(error) for error in door.failed] == ["an app failed"]


def test_an_app_that_raises_half_way_ends_the_connection(door):
    with connect(door.address) as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_all(client).endswith(b"\r\n\r\n")


def test_above_the_connection_cap_a_newcomer_gets_503_and_the_others_stay():
    with Door(Limits(connections=8)) as door, contextlib.ExitStack() as stack:
        guests = [stack.enter_context(connect(door.address)) for _ in range(8)]
        for guest in guests:
            guest.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(guest)[0] == 200
        crowd = [stack.enter_context(connect(door.address)) for _ in range(20)]
        assert [refusal_in(read_all(one)) for one in crowd] == [503] * 20
        assert door.refused == ["overloaded"] * 20
        with connect(door.admin) as probe:
            probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(probe)[0] == 200
        guests[0].close()
        wait_until(lambda: welcome(door.address))


def welcome(address):
    with connect(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return read_answer(client)[0] == 200


# --- the protocol on every input, without a network ---


class Conversation:
    """A transport that keeps what was written."""

    def __init__(self):
        self.written, self.closed, self.paused = b"", False, False

    def write(self, data):
        self.written += data

    def write_eof(self): ...

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def get_extra_info(self, _name):
        return None

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


class MovedClock:
    """The running loop with a clock that stands still until it is moved."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self.now = 0.0

    def time(self):
        return self.now

    def __getattr__(self, name):
        return getattr(self._loop, name)


@contextlib.contextmanager
def conversation(door):
    """(connection, transport, clock) of a connection without a network."""
    with socket.socket() as sock:
        listener = server._Listener(
            app=door.app, sock=sock, limits=door.limits, refused=door.refused.append, failed=door.failed.append
        )
        clock = listener.loop = MovedClock()
        connection, transport = server._Connection(listener), Conversation()
        connection.connection_made(transport)
        yield connection, transport, clock


def converse(pieces):
    async def main():
        door = Door(Limits())
        with conversation(door) as (connection, transport, _):
            for piece in pieces:
                if not transport.closed:
                    connection.data_received(piece)
                    await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            tasks = connection.tasks
            connection.connection_lost(None)
            if tasks:
                await asyncio.wait(tasks)
        assert door.failed == []
        return transport

    return asyncio.run(main())


def test_the_first_header_deadline_counts_from_the_connection_and_later_ones_from_the_first_byte():
    async def main():
        with conversation(Door(Limits(header_deadline_s=10, keep_alive_s=60))) as (connection, transport, clock):
            clock.now = 9.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(9.9)
            connection.data_received(b"Host: a\r\n\r\n")
            for _ in range(5):
                await asyncio.sleep(0)
            assert transport.written.startswith(b"HTTP/1.1 200")
            transport.written = b""
            clock.now = 60.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(69.9)
            assert transport.written == b""
            connection.expire(70.0)
            assert refusal_in(transport.written) == 408

    asyncio.run(main())


def test_a_late_first_byte_gets_no_deadline_of_its_own():
    async def main():
        with conversation(Door(Limits(header_deadline_s=10))) as (connection, transport, clock):
            clock.now = 9.0
            connection.data_received(b"GET / HTTP/1.1\r\n")
            connection.expire(10.0)
            assert refusal_in(transport.written) == 408

    asyncio.run(main())


FRAGMENTS = st.sampled_from(
    [
        b"POST /in HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"X: " + b"y" * 20_000,
    ]
)


@settings(max_examples=200)
@given(st.lists(st.one_of(FRAGMENTS, FRAGMENTS, st.binary(max_size=20)), max_size=25))
def test_any_bytes_in_any_pieces_end_in_answers_and_never_in_an_exception(pieces):
    written = converse(pieces).written
    assert not written or written.startswith(b"HTTP/1.1 ")


@given(st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_of_requests_reads_the_same_wherever_it_is_cut(cuts):
    stream = (
        HEAD
        + b"Content-Length: 5\r\n\r\nhello"
        + CHUNKED
        + b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"
        + b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    written = converse([stream[a:b] for a, b in itertools.pairwise(edges) if a < b]).written
    assert written.count(b"HTTP/1.1 200") == 3
    assert [b'"size": 5' in written, b'"size": 3' in written, b'"path": "/end"' in written] == [True] * 3


# --- addresses ---


def test_a_taken_port_is_named_with_its_remedy_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindFailed, match=rf"cannot listen on {bind} for admin: .*--admin-bind"):
            asyncio.run(serve_nothing(ingest_bind="127.0.0.1:0", admin_bind=bind))


@pytest.mark.parametrize(
    "bind", ["", "8080", ":8080", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "::1:8080", "[]:1", "a:1 "]
)
def test_an_address_that_is_none_is_refused_with_an_example(bind):
    with pytest.raises(BindFailed, match=r"write --bind host:port, as in 127\.0\.0\.1:8080"):
        asyncio.run(serve_nothing(ingest_bind=bind, admin_bind="127.0.0.1:0"))


@pytest.mark.parametrize("host", ["256.0.0.1", "a..b", "x" * 300, "192.0.2.1"])
def test_a_host_that_is_not_ours_is_named(host):
    with pytest.raises(BindFailed, match=f"cannot listen on {host}:0 for ingest"):
        asyncio.run(serve_nothing(ingest_bind=f"{host}:0", admin_bind="127.0.0.1:0"))


def test_ipv6_addresses_stand_in_brackets():
    assert server._host_and_port("ingest", "[::1]:8080") == ("::1", 8080)


def test_localhost_is_found_where_people_look_for_it():
    assert server._resolve("localhost", 80)[1][0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, {}),
        ({"LISTEN_FDS": "1"}, {"ingest": 3}),
        ({"LISTEN_FDS": "2"}, {"ingest": 3, "admin": 4}),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:ingest"}, {"admin": 3, "ingest": 4}),
        ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"}, {"admin": 3}),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "gateway.socket:gateway.socket"}, {"ingest": 3, "admin": 4}),
    ],
)
def test_inherited_sockets_are_told_apart_by_name_or_order(variables, expected):
    environ = {"LISTEN_PID": str(os.getpid()), **variables} if variables else {}
    assert server._inherited(environ) == expected


def test_a_broken_listen_fds_is_named():
    with pytest.raises(BindFailed, match='LISTEN_FDS is "two"'):
        server._inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"})


def test_an_inherited_descriptor_that_does_not_listen_is_refused():
    with socket.socket() as idle, pytest.raises(BindFailed, match="no listening TCP socket"):
        server._adopt("ingest", os.dup(idle.fileno()))


async def serve_nothing(**binds):
    return await serve(ingest=None, admin=None, hooks=None, environ={}, **binds)


# --- signals, in a process of its own ---

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
