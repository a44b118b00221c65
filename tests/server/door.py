"""A real server in a thread, raw sockets against it, and connections without a network."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import uvloop
from msgspec.structs import replace

from gateway import telemetry
from gateway.event.codings import HOLD
from gateway.routing.peers import Peers, Senders
from gateway.server import Limits, serve
from gateway.server.listeners import Listener
from gateway.server.protocol import Connection

PATIENCE_S = 20.0
HEAD = b"POST /in HTTP/1.1\r\nHost: a\r\n"


class Door:
    """A server in its own thread: its addresses, and what it reported to its caller."""

    def __init__(self, limits, peers=None):
        self.limits = limits
        self.senders = Senders(lambda: peers or Peers())
        self.refused, self.failed, self.seen, self.clients = [], [], [], []
        self.held, self.holding = threading.Event(), 0
        self.address = self.admin = None

    @property
    def connections(self):
        """Connections of the ingest listener at the last sweep."""
        return telemetry.LISTENER_CONNECTIONS.labels("ingest")._value.get()

    @property
    def body_bytes(self):
        return telemetry.LISTENER_BODY_BYTES.labels("ingest")._value.get()

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
            self.holding += 1
            await self.go.wait()
        if path == "/unpack":
            hold = scope["extensions"][HOLD]
            await answer(send, 200, json.dumps([hold(200), hold(500), hold(1)]).encode())
            return
        if path == "/client":
            await answer(send, 200, scope["client"][0].encode())
            return
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
            senders=self.senders,
            probes=["/healthz"],
            refused=self.note_refused,
            failed=self.failed.append,
        )

    def note_refused(self, listener, reason, client):
        self.refused.append(reason)
        self.clients.append((listener, client))

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


def connect(address, host=""):
    """A connection; ``host`` is the address it comes from: another one of 127.0.0.0/8."""
    return socket.create_connection(address, timeout=PATIENCE_S, source_address=(host, 0) if host else None)


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


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
    """The running loop with a clock that only moves when it is moved."""

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
        listener = Listener(
            "ingest",
            app=door.app,
            sock=sock,
            limits=door.limits,
            senders=door.senders,
            refused=door.note_refused,
            failed=door.failed.append,
        )
        clock, transport = MovedClock(), Conversation()
        connection = Connection(replace(listener.shared, loop=clock))
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
