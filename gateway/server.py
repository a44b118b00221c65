"""Two HTTP listeners in one event loop: protocol deadlines and caps, signals, and a drain that loses nothing.

uvicorn's httptools protocol does the reading and writing; ``_Connection`` adds what an open door needs.
The ASGI apps come in as arguments: nothing here knows what a source or a delivery is.
"""

import asyncio
import contextlib
import json
import logging
import math
import os
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol, cast

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.errors import GatewayError

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

_BACKLOG = 2048
#: systemd passes sockets from this descriptor on (sd_listen_fds(3)).
_FIRST_INHERITED_FD = 3
#: What the parser is fed at a time: a read can be 256 KiB, and so much of one header must not be kept.
_SLICE = 16 * 1024
#: Of a connection to the admin listener; a client that does not read is noticed once it is full. Bytes.
_DESK_SEND_BUFFER = 64 * 1024
#: Chunk sizes and line ends a sender may spend on one byte of body; one-byte chunks cost 5.
_FRAMING_PER_BYTE = 16


class BindFailed(GatewayError):
    """A listener's address cannot be had; nothing was started."""


def _connection_cap() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if hard == resource.RLIM_INFINITY else max(16, min(1024, (hard - 64) // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may cost. Sizes in bytes, times in seconds."""

    #: Request line and headers together, as received; also the request line alone (414), and the trailers.
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    #: From the connection, later from a request's first byte, to the end of its headers.
    header_deadline_s: float = 10.0
    #: From the end of the headers to the end of the body; stands still while the app does not read.
    body_deadline_s: float = 30.0
    #: Requests a client may send ahead of their answers: each costs some 2 KB, and one read brings thousands.
    pipelined: int = 64
    #: Between an answer and the next request.
    keep_alive_s: float = 60.0
    #: A client that takes none of its answer for so long is cut off.
    send_deadline_s: float = 30.0
    #: Open connections of the ingest listener; the admin listener gets an eighth on top, so that a flood blinds no probe.
    connections: int = field(default_factory=_connection_cap)
    #: After a refusal, input is thrown away for so long or so much: closing with unread input would be a TCP
    #: reset (RFC 9112, 9.6), and the client would not see its answer.
    linger_s: float = 1.0
    linger_bytes: int = 16 * 1024 * 1024


class Hooks(Protocol):
    """What the caller does at the turning points of the server's life, in this order."""

    async def started(self, ingest_address: str, admin_address: str) -> None:
        """Both listeners accept; the addresses are URLs such as ``http://127.0.0.1:8080``."""

    def draining(self) -> None:
        """SIGTERM or SIGINT came: be not ready, start no delivery. Called inside the event loop, at once."""

    async def drained(self) -> None:
        """Return when the attempts in flight have ended; cancelled after ``drain_s``."""

    async def stopped(self) -> None:
        """No event can come any more: checkpoint and close the store. Probes are still answered."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer of the protocol itself; ``reason`` is its counter's label."""

    status: HTTPStatus
    reason: str
    error: str

    def render(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        body = json.dumps({"error": self.error}, separators=(",", ":")).encode()
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}".encode(),
            *(name + b": " + value for name, value in default_headers),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            head.append(b"retry-after: 1")
        return b"\r\n".join([*head, b"", body])


_MALFORMED = _Refusal(HTTPStatus.BAD_REQUEST, "malformed", "malformed HTTP request")
_VERSION = _Refusal(HTTPStatus.BAD_REQUEST, "version", "HTTP/1.1 or HTTP/1.0 is required")
_HOST = _Refusal(HTTPStatus.BAD_REQUEST, "host", "exactly one Host header is required")
_ENCODING = _Refusal(HTTPStatus.BAD_REQUEST, "transfer_encoding", "the only transfer encoding is chunked, in HTTP/1.1")
_FRAMING = _Refusal(HTTPStatus.BAD_REQUEST, "framing", "too many bytes between the chunks of the body")
_PIPELINED = _Refusal(HTTPStatus.BAD_REQUEST, "pipelined", "too many requests sent ahead of their answers")
_URI = _Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "request line too long")
_HEADERS = _Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "headers too large")
_HEADER_DEADLINE = _Refusal(HTTPStatus.REQUEST_TIMEOUT, "header_deadline", "the headers took too long")
_BODY_DEADLINE = _Refusal(HTTPStatus.REQUEST_TIMEOUT, "body_deadline", "the body took too long")
_OVERLOADED = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many connections")

_ERROR_500 = b'{"error":"internal error"}'


class _Refused(Exception):
    """A verdict that crosses the parser; never seen outside."""

    def __init__(self, refusal: _Refusal) -> None:
        self.refusal = refusal


# What a connection is reading. Plain integers: they are compared several times per request.
_FRESH = 0  # not a byte of a request yet
_HEAD = 1
_BODY = 2
_IDLE = 3  # a whole request was read; its answer may be under way
_REFUSED = 4  # nothing more is parsed; earlier answers go out first
_CLOSING = 5
_UNFINISHED = (_HEAD, _BODY)

_WATCHED = frozenset({b"host", b"expect", b"transfer-encoding"})
_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"})


class _GentleTransport:
    """What uvicorn sees as the transport: ``close()`` lets a client that is still sending read its answer."""

    __slots__ = ("_connection", "close", "write")

    def __init__(self, connection: "_Connection", transport: asyncio.Transport) -> None:
        self._connection = connection
        self.write = transport.write
        self.close = connection.close

    def is_closing(self) -> bool:
        return self._connection.phase == _CLOSING


class _BodyOnly:
    """Parser callbacks for the body of a request whose Upgrade was ignored."""

    def __init__(self, connection: "_Connection") -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete


class _Connection(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, caps and strictness; deadlines are kept here and enforced by ``_tick``."""

    def __init__(self, listener: "_Listener") -> None:
        super().__init__(listener.config, listener.state, {}, listener.loop)
        self.phase = _FRESH
        self._listener = listener
        self._limits = listener.limits
        self._socket: asyncio.Transport
        #: When the current phase must have ended, and when a stalled answer must have moved on (loop time).
        self._deadline = listener.loop.time() + listener.limits.header_deadline_s
        self._stall_deadline = math.inf
        self._message = 0
        self._hosts = 0
        self._head_bytes = 0
        #: Bytes read since the message began, and how many of those may be other than body.
        self._read = 0
        self._allowed = 0
        self._unanswered = 0
        #: The request whose app was started last; ``cycle`` is the one that is being read.
        self._running: RequestResponseCycle | None = None
        self._keep_alive = True
        self._last = False
        self._upgrading = False
        self._postponed: _Refusal | None = None
        self._discarded = 0

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket = transport
        self.transport = cast("asyncio.Transport", _GentleTransport(self, transport))
        if len(self.connections) > self._limits.connections:
            self._shed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = _CLOSING
        self.pipeline.clear()
        if self._running is not None:
            _disconnect(self._running)
        super().connection_lost(exc)
        # What refers back to the connection would keep it until the next garbage collection.
        self._running = self.cycle = self.transport = None  # type: ignore[assignment]

    def eof_received(self) -> bool | None:  # type: ignore[override]
        # A client may close its sending side and still wait for the answer (printf | nc).
        if self.phase != _IDLE or not self._unanswered:
            return False
        self.shutdown()
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_deadline = self.loop.time() + self._limits.send_deadline_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall_deadline = math.inf

    def data_received(self, data: bytes) -> None:
        if len(data) <= _SLICE:
            self._feed(data)
            return
        for start in range(0, len(data), _SLICE):
            self._feed(data[start : start + _SLICE])

    def _feed(self, data: bytes) -> None:
        if self.phase >= _REFUSED:
            self._discard(len(data))
            return
        before = self._message if self.phase in _UNFINISHED else 0
        try:
            self.parser.feed_data(data)
            if self.phase in _UNFINISHED:
                self._check_unfinished(data, before)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            verdict = error.__context__
            self._refuse(verdict.refusal if isinstance(verdict, _Refused) else _MALFORMED)
        except _Refused as verdict:
            self._refuse(verdict.refusal)

    def _check_unfinished(self, data: bytes, before: int) -> None:
        # The parser keeps an unfinished header value and says nothing of chunk extensions: count what goes in.
        # A message that began inside ``data`` is counted from the next slice on.
        if self._message == before:
            self._read += len(data)
            if self._read > self._allowed:
                raise _Refused(_FRAMING if self.phase == _BODY else _HEADERS)
        if self.phase == _HEAD and data.endswith(b"\n") and self.parser.get_http_version() == "0.0":
            raise _Refused(_VERSION)  # HTTP/0.9: "GET /" and no more to come

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.phase != _FRESH:
            self._deadline = self.loop.time() + self._limits.header_deadline_s
        self.phase = _HEAD
        self._message += 1
        self._hosts = self._head_bytes = self._read = 0
        self._allowed = self._limits.header_bytes

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > self._limits.header_bytes:
            raise _Refused(_URI)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == _BODY:
            return  # a trailer; appended to the headers it could pose as one
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._limits.header_bytes or len(self.headers) >= self._limits.header_fields:
            raise _Refused(_HEADERS)
        name = name.lower()
        if name in _WATCHED:
            self._watch(name, value)
        self.headers.append((name, value))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif value.strip().lower() != b"chunked" or self.parser.get_http_version() == "1.0":
            raise _Refused(_ENCODING)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Refused(_VERSION)
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise _Refused(_HOST)
        if len(self.pipeline) >= self._limits.pipelined:
            raise _Refused(_PIPELINED)
        super().on_headers_complete()
        self._upgrading = self.parser.should_upgrade()
        self._unanswered += 1
        # Only a request that was read to its end leaves the connection usable; see on_message_complete.
        self._keep_alive = self.cycle.keep_alive and not self._last and not self._upgrading
        self.cycle.keep_alive = False
        self.phase = _BODY
        self._deadline = self.loop.time() + self._limits.body_deadline_s
        self._allowed += self._limits.header_bytes

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._allowed += len(body) * (1 + _FRAMING_PER_BYTE)

    def on_message_complete(self) -> None:
        if self._upgrading or self.phase != _BODY:
            return
        self.cycle.keep_alive = self._keep_alive
        self.phase = _IDLE
        self._deadline = math.inf
        super().on_message_complete()

    def _ignore_upgrade(self, rest: bytes) -> None:
        # A server may ignore an Upgrade (RFC 9110, 7.8), but the parser gives up at one, body unread; Java's
        # HttpClient asks for h2c with every first request. So a second parser is told the framing and reads on.
        self._upgrading = False
        framing = [name + b": " + value for name, value in self.headers if name in _FRAMING_FIELDS]
        self.parser = httptools.HttpRequestParser(_BodyOnly(self))
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", b""]))
        if rest:
            self._feed(rest)

    # --- the app's side ---

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._running = cycle
        task = self.loop.create_task(self._run(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _run(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        try:
            await app(cycle.scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            self._socket.abort()
            raise
        except Exception as error:  # noqa: BLE001 - whatever an app raises costs its request only
            self._listener.failed(error)
        if cycle.response_complete or cycle.disconnected:
            return
        if cycle.response_started:
            self._socket.abort()
        else:
            await _send_500(cycle)

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        if self.phase == _CLOSING:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._postponed is not None:
            self._answer(self._postponed)
        else:
            self.flow.resume_reading()
            if self.phase == _IDLE:
                self._deadline = self.loop.time() + self._limits.keep_alive_s

    # --- refusing and closing ---

    def _shed(self) -> None:
        self._listener.refused(_OVERLOADED.reason)
        if len(self.connections) > self._limits.connections * 9 // 8:
            self._socket.write(_OVERLOADED.render(self.server_state.default_headers))
            self.phase = _IDLE
            self.close()
        else:
            self._answer(_OVERLOADED)

    def _refuse(self, refusal: _Refusal) -> None:
        self._listener.refused(refusal.reason)
        if self.phase == _BODY and not self._withdraw():
            self._socket.abort()
            return
        self.phase = _REFUSED
        self._deadline = math.inf
        if self._unanswered:
            self._postponed = refusal
            self.flow.pause_reading()
        else:
            self._answer(refusal)

    def _withdraw(self) -> bool:
        """Take the unfinished request away from its app; false when its answer has begun."""
        if self.pipeline:
            self.pipeline.popleft()
        else:
            _disconnect(self.cycle)
        self._unanswered -= 1
        return not self.cycle.response_started

    def _answer(self, refusal: _Refusal) -> None:
        self._socket.write(refusal.render(self.server_state.default_headers))
        self._linger()

    def close(self) -> None:
        """Close after what was written; linger when the client may still be sending."""
        if self.phase == _CLOSING:
            return
        if self.phase in (_HEAD, _BODY, _REFUSED):
            self._linger()
            return
        self.phase = _CLOSING
        self._deadline = self.loop.time() + self._limits.send_deadline_s
        self._socket.close()

    def _linger(self) -> None:
        self.phase = _CLOSING
        if self._socket.is_closing():
            return
        unsent = self._socket.get_write_buffer_size() > 64 * 1024
        self._deadline = self.loop.time() + (self._limits.send_deadline_s if unsent else self._limits.linger_s)
        self.flow.resume_reading()
        self._socket.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.linger_bytes:
            self._socket.abort()

    def expire(self, now: float) -> None:
        """End what has outlived its deadline at ``now`` (loop time)."""
        if self._stall_deadline <= now:
            self._socket.abort()
        elif self._deadline <= now:
            self._expire_phase(now)

    def _expire_phase(self, now: float) -> None:
        if self.phase == _CLOSING:
            self._socket.abort()
        elif self.phase not in _UNFINISHED:
            self.close()
        elif self.flow.read_paused:
            # It is the app that is slow, not the sender.
            self._deadline = now + self._limits.body_deadline_s
        else:
            self._refuse(_HEADER_DEADLINE if self.phase == _HEAD else _BODY_DEADLINE)

    def shutdown(self) -> None:
        """Close now when idle, else after the newest request has its answer."""
        self._last = True
        if self.phase == _IDLE and not self._unanswered:
            self.close()
        elif self._unanswered:
            self._keep_alive = False
            self.cycle.keep_alive = False

    def abort(self) -> None:
        self._socket.abort()


def _disconnect(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.message_event.set()


async def _send_500(cycle: RequestResponseCycle) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ERROR_500))]
    await cycle.send({"type": "http.response.start", "status": 500, "headers": headers, "trailers": False})
    await cycle.send({"type": "http.response.body", "body": _ERROR_500, "more_body": False})


class _Listener:
    """One listening socket, its app and its open connections."""

    def __init__(
        self,
        *,
        app: ASGIApp,
        sock: socket.socket,
        limits: Limits,
        refused: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.limits, self.refused, self.failed = limits, refused, failed
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        self.config = uvicorn.Config(
            app, interface="asgi3", lifespan="off", ws="none", log_config=None, proxy_headers=False, server_header=False
        )
        self.config.load()
        self._socket = sock
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def connections(self) -> set[_Connection]:
        return cast("set[_Connection]", self.state.connections)

    async def start(self) -> None:
        self._server = await self.loop.create_server(lambda: _Connection(self), sock=self._socket, backlog=_BACKLOG)

    async def close(self, finish_s: float) -> None:
        """Accept no more, end the open requests within ``finish_s`` seconds, cut off the rest."""
        self._stop_accepting()
        for connection in tuple(self.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(finish_s):
                while self.connections or self.state.tasks:
                    await asyncio.sleep(0.01)
        await self.abort()

    async def abort(self) -> None:
        self._stop_accepting()
        for connection in tuple(self.connections):
            connection.abort()
        tasks = tuple(self.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
        self._socket.close()


async def serve(
    *,
    ingest: ASGIApp,
    admin: ASGIApp,
    ingest_bind: str,
    admin_bind: str,
    hooks: Hooks,
    limits: Limits | None = None,
    drain_s: float = 25.0,
    finish_s: float = 2.0,
    may_serve_admin_at: Callable[[str], None] = lambda _host: None,
    refused: Callable[[str], None] = lambda _reason: None,
    failed: Callable[[Exception], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Serve both apps until SIGTERM or SIGINT, drain, and return the exit code; a second signal exits 1 at once.

    Binds are ``host:port`` or ``[::1]:port``; port 0 picks a free one; systemd's sockets (LISTEN_FDS: ingest,
    then admin, or by LISTEN_FDNAMES) come before them. ``may_serve_admin_at`` may raise over the address that
    the admin socket really has. ``refused`` counts what the protocol turned away, by reason; ``failed`` gets what an app or ``hooks.drained`` raised. Raises BindFailed. Cancelling it cuts
    everything off.
    """
    _raise_open_files()
    limits = limits or Limits()
    failed = failed or _log_failure
    stop = asyncio.Event()
    with _listening(ingest_bind, admin_bind, environ) as (ingest_socket, admin_socket), _signals(stop, hooks.draining):
        door = _Listener(app=ingest, sock=ingest_socket, limits=limits, refused=refused, failed=failed)
        admin_limits = replace(limits, connections=max(8, limits.connections // 8))
        desk = _Listener(app=admin, sock=admin_socket, limits=admin_limits, refused=refused, failed=failed)
        may_serve_admin_at(admin_socket.getsockname()[0])
        # Its connections have it from the listener: the system alone would keep megabytes for a stream that nobody reads.
        admin_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DESK_SEND_BUFFER)
        ticking = asyncio.create_task(_tick(door, desk, _tick_s(limits)))
        try:
            await door.start()
            await desk.start()
            await hooks.started(door.address, desk.address)
            await stop.wait()
            await _wait_drained(hooks, drain_s, failed)
            await door.close(finish_s)
            await hooks.stopped()
            await desk.close(finish_s)
            return 0
        finally:
            ticking.cancel()
            await door.abort()
            await desk.abort()


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run ``main`` (around ``serve``) on uvloop and return its exit code."""
    return uvloop.run(main)


async def _wait_drained(hooks: Hooks, drain_s: float, failed: Callable[[Exception], None]) -> None:
    try:
        async with asyncio.timeout(drain_s):
            await hooks.drained()
    except TimeoutError:
        return
    except Exception as error:  # noqa: BLE001 - the store must still be closed properly
        failed(error)


def _log_failure(error: Exception) -> None:
    logging.getLogger(__name__).error("a request failed", exc_info=error)


@contextlib.contextmanager
def _signals(stop: asyncio.Event, draining: Callable[[], None]) -> Iterator[None]:
    """Set ``stop`` at the first SIGTERM or SIGINT; signals reach a process's main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)  # at once, whatever hangs; what was acknowledged is on disk
        stop.set()
        draining()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _tick_s(limits: Limits) -> float:
    shortest = min(limits.header_deadline_s, limits.body_deadline_s, limits.keep_alive_s, limits.linger_s)
    return min(0.25, max(0.01, shortest / 4))


async def _tick(door: _Listener, desk: _Listener, every_s: float) -> None:
    """Enforce the deadlines and keep the Date header; one sweep instead of timers for every request."""
    loop = asyncio.get_running_loop()
    while True:
        date = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        for listener in (door, desk):
            listener.state.default_headers = date
            for connection in tuple(listener.connections):
                connection.expire(loop.time())
        await asyncio.sleep(every_s)


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- sockets ---


@contextlib.contextmanager
def _listening(ingest_bind: str, admin_bind: str, environ: Mapping[str, str]) -> Iterator[Sequence[socket.socket]]:
    """Both sockets, listening; closed at the end, and when the second cannot be had."""
    with contextlib.ExitStack() as stack:
        inherited = _inherited(environ)
        sockets = []
        for name, bind in (("ingest", ingest_bind), ("admin", admin_bind)):
            sock = _adopt(name, inherited[name]) if name in inherited else _bind(name, bind)
            sockets.append(stack.enter_context(sock))
        yield sockets


def _inherited(environ: Mapping[str, str]) -> Mapping[str, int]:
    """Descriptors that systemd passed to this very process, by listener."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        raise BindFailed(f'LISTEN_FDS is "{count}", not a number; leave it to systemd or unset LISTEN_PID')
    fds = range(_FIRST_INHERITED_FD, _FIRST_INHERITED_FD + int(count))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    named = {name: fd for fd, name in zip(fds, names, strict=False) if name in ("ingest", "admin")}
    return named or dict(zip(("ingest", "admin"), fds, strict=False))


def _adopt(name: str, fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BindFailed(
            f"descriptor {fd} for the {name} listener: {error.strerror}; check the .socket unit"
        ) from error
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.close()
        raise BindFailed(
            f"descriptor {fd} for the {name} listener is no listening TCP socket; use ListenStream=host:port"
        )
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _bind(name: str, bind: str) -> socket.socket:
    host, port = _host_and_port(name, bind)
    sock: socket.socket | None = None
    try:
        family, address = _resolve(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host no name server could know
        if sock is not None:
            sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BindFailed(
            f"cannot listen on {bind} for {name}: {reason}; "
            f"choose another address with {_FLAGS[name]}, or stop what uses it"
        ) from error
    return sock


_FLAGS = {"ingest": "--bind", "admin": "--admin-bind"}


def _host_and_port(name: str, bind: str) -> tuple[str, int]:
    written = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]]+)):([0-9]{1,5})", bind)
    if written is None or int(written[3]) > 65535:
        raise BindFailed(f'"{bind}" for {name} is no address; write {_FLAGS[name]} host:port, as in 127.0.0.1:8080')
    return written[1] or written[2], int(written[3])


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first: that is where people look for "localhost".
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address
