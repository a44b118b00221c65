"""HTTP/1.1 for an open door: uvicorn's httptools protocol with an ``Exchange`` of our own; ``Connection`` adds what it lacks."""

import asyncio
import math
from collections import deque
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.server import refusals
from gateway.server.adapters import BodyOnly, GentleTransport
from gateway.server.exchange import Exchange, Fields
from gateway.server.head import check_head, framing_of, scope_of
from gateway.server.pace import Pace
from gateway.server.refusals import Refusal, Refused
from gateway.server.shared import ASGIApp, Shared

#: The parser gets this much at a time: a read can bring 256 KiB, and a header that long must not be kept. Bytes.
_SLICE = 16 * 1024
#: Bytes of chunk sizes and line ends a sender may spend on one byte of body; one-byte chunks cost 5.
_FRAMING_PER_BYTE = 16

# The phases of a connection. Plain integers: they are compared several times per request.
_FRESH = 0  # no byte of a request yet
_HEAD = 1
_BODY = 2
_IDLE = 3  # a whole request was read; its answer may not be complete
_REFUSED = 4  # nothing more is parsed; earlier answers go out first
_CLOSING = 5
_UNFINISHED = (_HEAD, _BODY)


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
        self._message = self._head_bytes = 0
        #: Bytes read since the message began, and their cap so far.
        self._read = self._allowed = 0
        self._unanswered = 0
        #: The request that is being read, the one whose app was started last, and those that follow it.
        self._exchange: Exchange = None  # type: ignore[assignment]
        self._running: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._keep_alive, self._last = True, False
        #: Above the cap: only the paths that are kept are served.
        self._is_surplus = self._upgrading = False
        self._postponed: Refusal | None = None
        self._discarded = 0
        #: Whoever shares a part of the connections with it, and of the bodies with the client of the request that is
        #: being read; empty: no share applies.
        self.party = self.client_party = ""
        self._is_from_proxy = False
        #: The message and phase that the crowd knows it waits in: one that begins late is as old as its connection.
        self._waits_in = (1, _HEAD)
        self._pace = Pace(shared.limits)

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket = transport
        self.transport = cast("asyncio.Transport", GentleTransport(self, transport))
        peers = self._shared.senders.peers
        self._is_from_proxy, self.client_party = peers.is_trusted(self._host), peers.party(self._host)
        self.party = "" if self._is_from_proxy else self.client_party
        if refusal := self._shared.crowd.enter(self):
            self._shed(refusal)

    @property
    def is_closing(self) -> bool:
        return self.phase == _CLOSING

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        self.phase = _CLOSING
        self._shared.crowd.leave(self)
        for exchange in self._queue:
            self._shared.budget.release(exchange)
        self._queue.clear()
        for each in filter(None, (self._running, self._exchange)):
            self._shared.budget.complete(each)
            each.disconnect()
        super().connection_lost(exc)
        # References back to the connection would keep it alive until the next garbage collection.
        self._running = self._exchange = self.transport = None  # type: ignore[assignment]

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
            self.refuse(verdict.refusal if isinstance(verdict, Refused) else refusals.MALFORMED)
        except Refused as verdict:
            self.refuse(verdict.refusal)

    def _check_unfinished(self, data: bytes, before: int) -> None:
        # The parser buffers an unfinished header value and does not report chunk extensions: count what goes in.
        # A message that began inside ``data`` is counted from the next slice on.
        if self._message == before:
            self._read += len(data)
            if self._read > self._allowed:
                raise Refused(refusals.FRAMING if self.phase == _BODY else refusals.HEADERS)
        if self.phase == _HEAD and data.endswith(b"\n") and self.parser.get_http_version() == "0.0":
            raise Refused(refusals.VERSION)  # HTTP/0.9: "GET /" and nothing more follows
        if self._waits_in != (self._message, self.phase):
            self._waits_in = self._message, self.phase
            if self.phase == _BODY:
                self._deadline = self._pace.begin(self.loop.time())
            self._note_wait()

    def _note_wait(self) -> None:
        """From now on the client owes something, unless an earlier request of its own is not answered."""
        if self._unanswered == (self.phase == _BODY):
            self._shared.crowd.wait(self)

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        self.url, self.headers = b"", []
        if self.phase != _FRESH:
            self._deadline = self.loop.time() + self._limits.header_deadline_s
        self.phase = _HEAD
        self._message += 1
        self._head_bytes = self._read = 0
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
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, limits = self.parser, self._limits
        version = parser.get_http_version()
        is_waiting = check_head(self.headers, version)
        if len(self._queue) >= limits.pipelined:
            raise Refused(refusals.PIPELINED)
        if self._is_surplus and self.url.partition(b"?")[0] not in limits.kept_paths:
            raise Refused(refusals.OVERLOADED)
        client, scheme = self.client, str(self.scheme)
        if self._is_from_proxy:
            host, self.client_party, scheme = self._shared.senders.peers.seen(self._host, self.headers)
            client = (host, 0)
        self._upgrading = parser.should_upgrade()
        self._keep_alive = version != "1.0" and parser.should_keep_alive() and not self._last and not self._upgrading
        scope = scope_of(parser.get_method(), self.url, version, self.headers, self.server, client, scheme)
        # Only a request that was read to its end leaves the connection usable; see on_message_complete.
        exchange = self._exchange = Exchange(self, scope, keep_alive=False, is_waiting_for_100=is_waiting)
        if self._unanswered:
            self.flow.pause_reading()
            self._queue.append(exchange)
        else:
            self._begin(exchange)
        self._unanswered += 1
        self.phase = _BODY
        self._allowed += limits.header_bytes

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        exchange.arrived(body)
        self._allowed += len(body) * (1 + _FRAMING_PER_BYTE)
        self._pace.arrived(len(body))
        if not exchange.response_complete and (refusal := self._shared.budget.add(exchange, len(body), self)):
            raise Refused(refusal)

    @property
    def sender(self) -> tuple[str, bytes]:
        """The client of the request that is being read, and its path."""
        scope = self._exchange.scope
        return scope["client"][0] if scope["client"] else "", scope["raw_path"]

    def on_message_complete(self) -> None:
        if self._upgrading or self.phase != _BODY:
            return
        exchange = self._exchange
        self._shared.budget.complete(exchange)
        self._shared.crowd.serve(self)
        exchange.keep_alive = self._keep_alive
        self.phase = _IDLE
        self._deadline = math.inf
        exchange.complete()

    def _ignore_upgrade(self, rest: bytes) -> None:
        # A server may ignore an Upgrade (RFC 9110, 7.8), but the parser stops at it and leaves the body unread; Java's
        # HttpClient asks for h2c with its first request. So a second parser gets the framing and reads the rest.
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(BodyOnly(self.on_body, self.on_message_complete, self._on_another))
        self.parser.feed_data(framing_of(self.headers))
        if rest:
            self._feed(rest)

    def _on_another(self) -> None:
        # The answer to the request before it says that the connection closes (RFC 9112, 9.6).
        if self.phase == _IDLE:
            self.phase = _REFUSED

    # --- the app's side ---

    def default_headers(self) -> Fields:
        """Fields that every answer has."""
        return self.server_state.default_headers

    def hold(self, exchange: Exchange, size: int) -> bool:
        """Hold more bytes for a body that is decompressed; false if there is no room for them."""
        return self._shared.budget.hold(exchange, self, size)

    def _begin(self, exchange: Exchange) -> None:
        self._running = exchange
        task = exchange.task = self.loop.create_task(exchange.run(cast("ASGIApp", self.app), self._shared.failed))
        self.tasks.add(task)

    def release(self, exchange: Exchange) -> None:
        """Its app has ended: nothing of the request is held any more."""
        self._shared.budget.release(exchange)
        self.tasks.discard(exchange.task)

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        if self.phase == _CLOSING:
            return
        if self._queue:
            self._begin(self._queue.popleft())
        elif self._postponed is not None:
            self._answer(self._postponed)
            return
        else:
            self.flow.resume_reading()
            if self.phase == _IDLE:
                is_pressed = self._shared.crowd.is_pressed
                keep_alive_s = self._limits.keep_alive_pressed_s if is_pressed else self._limits.keep_alive_s
                self._deadline = self.loop.time() + keep_alive_s
        self._note_wait()

    # --- refusing and closing ---

    def _shed(self, refusal: Refusal) -> None:
        is_flood = len(self.connections) > self._limits.connections * 9 // 8
        if self._limits.kept_paths and refusal is refusals.OVERLOADED and not is_flood:
            self._is_surplus = self._last = True
            return
        self._shared.pressure.refused(refusal.reason, self._host)
        if is_flood:
            self._socket.write(refusal.render(self.server_state.default_headers))
            self.phase = _IDLE
            self.close()
        else:
            self._answer(refusal)

    def evict(self) -> None:
        """Make room for another connection: close at once."""
        self._shared.pressure.refused("evicted", self._host)
        if self.phase == _CLOSING or self._socket.get_write_buffer_size() or not self._withdrawn():
            self._socket.abort()
            return
        if self.phase in _UNFINISHED:
            self._socket.write(refusals.OVERLOADED.render(self.server_state.default_headers))
        self.phase = _IDLE
        self.close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being read with a refusal, and take nothing more."""
        if self.phase >= _REFUSED:
            return
        self._shared.pressure.refused(refusal.reason, self.sender[0] if self.phase == _BODY else self._host)
        if not self._withdrawn():
            self._socket.abort()
            return
        self.phase = _REFUSED
        self._deadline = math.inf
        if self._unanswered:
            self._postponed = refusal
            self.flow.pause_reading()
        else:
            self._answer(refusal)

    def _withdrawn(self) -> bool:
        """Take an unfinished request away from its app; false if its answer has begun."""
        if self.phase != _BODY:
            return True
        if self._queue:
            self._shared.budget.release(self._queue.pop())
        else:
            self._exchange.disconnect()
        self._unanswered -= 1
        return not self._exchange.response_started

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
        self._shared.crowd.linger(self)
        self._deadline = self.loop.time() + self._limits.send_deadline_s
        self._socket.close()

    def _linger(self) -> None:
        self.phase = _CLOSING
        self._shared.crowd.linger(self)
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
            self._deadline = self._pace.begin(now)
        elif self.phase == _HEAD:
            self.refuse(refusals.HEADER_DEADLINE)
        elif (again := self._pace.look(now)) is not None:
            self._deadline = again
        else:
            self.refuse(refusals.BODY_DEADLINE)

    def shutdown(self) -> None:
        """Close now if idle, else once the newest request is answered."""
        self._last = True
        if self.phase == _IDLE and not self._unanswered:
            self.close()
        elif self._unanswered:
            self._keep_alive = False
            self._exchange.keep_alive = False

    def abort(self) -> None:
        """Cut it off."""
        self._socket.abort()
