"""A scripted HTTP destination on a real socket, for every test whose promise is about a destination.

::

    with Sink(answer(503), answer(200)) as sink:      # the last behaviour of a script repeats
        sink.at("/crm", hang())                       # another script for a path prefix
        ...  # send to sink.url + "/crm/contacts"
        requests = sink.wait_for(2)

The server runs in its own thread. A behaviour handles one request. With ``early=True`` it acts after the header and
before the body is read; ``Sink(on_connect=...)`` acts before the first byte.
"""

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.ending import end

RST_ON_CLOSE = struct.pack("ii", 1, 0)
#: Deadlines only turn a hang into a failure: far longer than a busy machine needs.
DEADLINE_S = 90.0
#: Between two looks at what has come, seconds.
LOOK_S = 0.02


@dataclass(frozen=True)
class Received:
    """One request; ``at`` is on the monotonic clock, ``connection`` counts from 1.

    ``earliest``: it may have come as early as that: until ``at`` this process did not get round to looking.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int
    earliest: float


@dataclass(frozen=True)
class Behaviour:
    """How one request is handled. ``run`` returns whether the connection may serve another one."""

    run: Callable[["Wire"], Awaitable[bool]]
    early: bool = False


@dataclass
class Wire:
    """One connection, as a behaviour sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Of the request being answered, unless its behaviour is early.
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        self.writer.transport.abort()


# --- behaviours ---


def answer(
    status: int = 200,
    body: bytes = b"ok",
    headers: Iterable[tuple[str, str]] = (),
    *,
    early: bool = False,
    after_s: float = 0.0,
) -> Behaviour:
    """A complete answer after ``after_s`` seconds."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-length: {len(body)}", *(f"{n}: {v}" for n, v in headers)]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def run(wire: Wire) -> bool:
        await asyncio.sleep(after_s)
        await wire.send(data)
        return not early

    return Behaviour(run, early=early)


def once(told: threading.Event, then: Behaviour) -> Behaviour:
    """Handles a request as soon as the test says so."""

    async def run(wire: Wire) -> bool:
        while not told.is_set():
            await asyncio.sleep(0.005)
        return await then.run(wire)

    return Behaviour(run)


def together(count: int, then: Behaviour) -> Behaviour:
    """Handles ``count`` requests at the same time: as soon as all of them have come."""
    come, all_come = 0, asyncio.Event()

    async def run(wire: Wire) -> bool:
        nonlocal come
        come += 1
        if come >= count:
            all_come.set()
        await all_come.wait()
        return await then.run(wire)

    return Behaviour(run)


def firewall(*words: bytes, status: int = 403) -> Behaviour:
    """Refuses a body with one of these words in it and accepts any other."""

    async def run(wire: Wire) -> bool:
        refuses = any(word in wire.body for word in words)
        return await answer(status if refuses else 200).run(wire)

    return Behaviour(run)


def raw(data: bytes, *, early: bool = False) -> Behaviour:
    """These bytes, then the end of the connection."""

    async def run(wire: Wire) -> bool:
        await wire.send(data)
        return False

    return Behaviour(run, early=early)


def hang(*, early: bool = False) -> Behaviour:
    """No answer, ever."""

    async def run(wire: Wire) -> bool:
        await asyncio.Event().wait()
        return False

    return Behaviour(run, early=early)


def reset(after: bytes = b"", *, early: bool = False) -> Behaviour:
    """A TCP reset, after these bytes of an answer."""

    async def run(wire: Wire) -> bool:
        await wire.send(after)
        if after:
            await asyncio.sleep(0.05)  # a reset discards what the other side has not read yet
        wire.reset()
        return False

    return Behaviour(run, early=early)


def endless(piece: bytes, *, start: bytes = b"HTTP/1.1 200 OK\r\n", pause_s: float = 0.0) -> Behaviour:
    """``start``, then ``piece`` for ever: the base of all that drips or floods."""

    async def run(wire: Wire) -> bool:
        await wire.send(start)
        while True:
            await wire.send(piece)
            await asyncio.sleep(pause_s)

    return Behaviour(run)


def drip(pause_s: float = 0.02) -> Behaviour:
    """A body that arrives a byte at a time and never ends."""
    return endless(b"x", start=b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", pause_s=pause_s)


def header_drip(pause_s: float = 0.02) -> Behaviour:
    """A header that arrives a few bytes at a time and never ends."""
    return endless(b"x-a: b\r\n", pause_s=pause_s)


def header_flood() -> Behaviour:
    """Endless header fields, as fast as they are read."""
    return endless(b"x-filler: 0123456789\r\n" * 500)


def continue_flood() -> Behaviour:
    """Endless ``100 Continue`` answers, as fast as they are read."""
    return endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, start=b"")


def huge(total: int = 300 * 1024 * 1024) -> Behaviour:
    """An answer of ``total`` bytes, as fast as they are read."""

    async def run(wire: Wire) -> bool:
        await wire.send(f"HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n".encode())
        piece = b"x" * 65_536
        for _ in range(total // len(piece)):
            await wire.send(piece)
        return False

    return Behaviour(run)


def chunk_garbage() -> Behaviour:
    """A chunked answer whose second chunk has no size."""
    return raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\nwhat\r\n")


# --- the server ---


class Sink:
    """Records every complete request and answers as scripted; stops soon after leaving ``with``."""

    def __init__(
        self,
        *script: Behaviour,
        on_connect: Behaviour | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._host = host
        self._scripts = {"/": deque(script or (answer(),))}
        self._on_connect = on_connect
        self._tls = tls
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked = 0.0
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)
        #: Connections accepted so far.
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Received]:
        """The complete requests so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def at(self, prefix: str, *script: Behaviour) -> Self:
        """Script the paths that start with ``prefix``; the longest prefix wins."""
        with self._changed:
            self._scripts[prefix] = deque(script)
        return self

    def wait_for(self, count: int, timeout_s: float = DEADLINE_S) -> list[Received]:
        """The requests, once there are ``count`` of them; AssertionError if they do not come in time."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._requests) >= count, timeout_s)
            assert came, f"{len(self._requests)} of {count} requests arrived within {timeout_s:g} s"
            return list(self._requests)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        task = self._loop.create_task(self._look())
        self._tasks.add(task)

    async def _look(self) -> None:
        """Note when whatever had come by then has been read."""
        before = time.monotonic()
        while True:
            # Whoever is read from in one turn of the loop is served in the next ones: accepted, its head, its body.
            for _ in range(4):
                await asyncio.sleep(0)
            self._looked, before = before, time.monotonic()
            await asyncio.sleep(LOOK_S)

    async def _close(self) -> None:
        await end(self._server)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(Wire(reader, writer), self.connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A callback, because a task that is cancelled before its first step never reaches a `finally`.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, wire: Wire, connection: int) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._on_connect is None or await self._on_connect.run(wire):
                while await self._serve_one(wire, connection):
                    pass
            # Closing with unread data makes the kernel send a reset, which would discard the answer.
            if wire.writer.can_write_eof():
                wire.writer.write_eof()
            with suppress(TimeoutError):
                await asyncio.wait_for(_drained(wire.reader), 0.5)

    async def _serve_one(self, wire: Wire, connection: int) -> bool:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        behaviour = self._next(path)
        if behaviour.early:
            return await behaviour.run(wire)
        wire.headers = headers
        body = wire.body = await _body(wire.reader, headers)
        with self._changed:
            now = time.monotonic()
            self._requests.append(Received(method, path, headers, body, now, connection, min(now, self._looked)))
            self._changed.notify_all()
        return await behaviour.run(wire)

    def _next(self, path: str) -> Behaviour:
        with self._changed:
            script = self._scripts[max((p for p in self._scripts if path.startswith(p)), key=len)]
            return script.popleft() if len(script) > 1 else script[0]


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
