"""HTTP/1.1 for an open door: uvicorn's httptools protocol reads and writes; ``Connection`` adds what it lacks."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httptools
import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.server import refusals
from gateway.server.limits import Limits
from gateway.server.refusals import Refusal, Refused

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

#: The parser gets this much at a time: a read can bring 256 KiB, and a header that long must not be kept. Bytes.
_SLICE = 16 * 1024
#: Bytes of chunk sizes and line ends a sender may spend on one byte of body; one-byte chunks cost 5.
_FRAMING_PER_BYTE = 16
_ERROR_500 = b'{"error":"internal error"}'

# The phases of a connection. Plain integers: they are compared several times per request.
_FRESH = 0  # no byte of a request yet
_HEAD = 1
_BODY = 2
_IDLE = 3  # a whole request was read; its answer may not be complete
_REFUSED = 4  # nothing more is parsed; earlier answers go out first
_CLOSING = 5
_UNFINISHED = (_HEAD, _BODY)

_WATCHED = frozenset({b"host", b"expect", b"transfer-encoding"})
_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"})


class _GentleTransport:
    """The transport that uvicorn gets: ``close()`` lets a client that is still sending read its answer."""

    __slots__ = ("_connection", "close", "write")

    def __init__(self, connection: "Connection", transport: asyncio.Transport) -> None:
        self._connection = connection
        self.write = transport.write
        self.close = connection.close

    def is_closing(self) -> bool:
        return self._connection.phase == _CLOSING


class _BodyOnly:
    """Parser callbacks for the body of a request whose Upgrade was ignored. Whatever follows it is not read."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if self._connection.phase == _IDLE:
            # Another request: the answer to this one says that the connection closes (RFC 9112, 9.6).
            self._connection.phase = _REFUSED

    def on_body(self, body: bytes) -> None:
        if self._connection.phase == _BODY:
            self._connection.on_body(body)


class Shared(Struct, frozen=True, kw_only=True):
    """What the connections of one listener share."""

    config: uvicorn.Config
    state: ServerState
    loop: asyncio.AbstractEventLoop
    limits: Limits
    #: Counts a refused request by its reason.
    refused: Callable[[str], None]
    #: Gets whatever an app raised.
    failed: Callable[[Exception], None]


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, caps and strictness; deadlines are set here, ``sweep`` enforces them."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.config, shared.state, {}, shared.loop)
        self.phase = _FRESH
        self._shared = shared
        self._limits = shared.limits
        self._socket: asyncio.Transport
        #: When the current phase must have ended, and when a stalled answer must have made progress (loop time).
        self._deadline = shared.loop.time() + shared.limits.header_deadline_s
        self._stall_deadline = math.inf
        self._message = 0
        self._hosts = 0
        self._head_bytes = 0
        #: Bytes read since the message began, and their cap so far.
        self._read = 0
        self._allowed = 0
        self._unanswered = 0
        #: The request whose app was started last; ``cycle`` is the one being read.
        self._running: RequestResponseCycle | None = None
        self._keep_alive = True
        self._last = False
        self._upgrading = False
        self._postponed: Refusal | None = None
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
        # References back to the connection would keep it alive until the next garbage collection.
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
            self._refuse(verdict.refusal if isinstance(verdict, Refused) else refusals.MALFORMED)
        except Refused as verdict:
            self._refuse(verdict.refusal)

    def _check_unfinished(self, data: bytes, before: int) -> None:
        # The parser buffers an unfinished header value and does not report chunk extensions: count what goes in.
        # A message that began inside ``data`` is counted from the next slice on.
        if self._message == before:
            self._read += len(data)
            if self._read > self._allowed:
                raise Refused(refusals.FRAMING if self.phase == _BODY else refusals.HEADERS)
        if self.phase == _HEAD and data.endswith(b"\n") and self.parser.get_http_version() == "0.0":
            raise Refused(refusals.VERSION)  # HTTP/0.9: "GET /" and nothing more follows

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
            raise Refused(refusals.URI)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == _BODY:
            return  # a trailer; added to the headers it could pass for one
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._limits.header_bytes or len(self.headers) >= self._limits.header_fields:
            raise Refused(refusals.HEADERS)
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
            raise Refused(refusals.ENCODING)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(refusals.VERSION)
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise Refused(refusals.HOST)
        if len(self.pipeline) >= self._limits.pipelined:
            raise Refused(refusals.PIPELINED)
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
        # A server may ignore an Upgrade (RFC 9110, 7.8), but the parser stops at it and leaves the body unread; Java's
        # HttpClient asks for h2c with its first request. So a second parser gets the framing and reads the rest.
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
        except Exception as error:  # noqa: BLE001 - an app's failure costs only its own request
            self._shared.failed(error)
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
        self._shared.refused(refusals.OVERLOADED.reason)
        if len(self.connections) > self._limits.connections * 9 // 8:
            self._socket.write(refusals.OVERLOADED.render(self.server_state.default_headers))
            self.phase = _IDLE
            self.close()
        else:
            self._answer(refusals.OVERLOADED)

    def _refuse(self, refusal: Refusal) -> None:
        self._shared.refused(refusal.reason)
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
        """Take the unfinished request away from its app; false if its answer has begun."""
        if self.pipeline:
            self.pipeline.popleft()
        else:
            _disconnect(self.cycle)
        self._unanswered -= 1
        return not self.cycle.response_started

    def _answer(self, refusal: Refusal) -> None:
        self._socket.write(refusal.render(self.server_state.default_headers))
        self._linger()

    def close(self) -> None:
        """Close once everything is written; linger if the client may still be sending."""
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
        """Act on deadlines that have passed at ``now`` (loop time)."""
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
            # The app is slow, not the sender.
            self._deadline = now + self._limits.body_deadline_s
        else:
            self._refuse(refusals.HEADER_DEADLINE if self.phase == _HEAD else refusals.BODY_DEADLINE)

    def shutdown(self) -> None:
        """Close now if idle, else once the newest request is answered."""
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
