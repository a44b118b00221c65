"""One request and its answer: what an application's ``receive`` and ``send`` do on a connection.

Like uvicorn's ``RequestResponseCycle``, in a third of its time: head and body of an answer are one write, and a request
whose body is there already waits for nothing.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

from msgspec import Struct
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.event.codings import HOLD

Fields = Sequence[tuple[bytes, bytes]]
Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

#: What the names, and the values, of an answer's fields cannot have: either could begin another field.
_NOT_IN_NAME: Final = re.compile(rb'[\x00-\x1f\x7f()<>@,;:\[\]={} \t\\"]')
_NOT_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
#: A character that both may have.
_BETWEEN: Final = b"-"
#: Answers that have no body whatever their app says (RFC 9110, 6.4.1).
_BODILESS: Final = frozenset({204, 304})
#: Answers with as many fields are remembered: those to senders. A page has more, and perhaps somebody's cookie.
_FEW: Final = 4
_ERROR_500: Final = b'{"error":"internal error"}'


class Answering(Protocol):
    """The connection of an exchange."""

    flow: FlowControl
    transport: Any

    def default_headers(self) -> Fields:
        """Fields that every answer has."""

    def on_response_complete(self) -> None:
        """The whole answer was handed to the transport."""

    def hold(self, exchange: "Exchange", size: int) -> bool:
        """Hold more bytes for a body that is decompressed; false if there is no room for them."""

    def release(self, exchange: "Exchange") -> None:
        """Its app has ended: nothing of the request is held any more."""

    def abort(self) -> None:
        """Cut it off."""


class _Head(Struct, frozen=True):
    """The head of an answer, as far as it is the same for every connection."""

    line: bytes
    #: The app's fields, as they are sent.
    fields: bytes
    #: Whether one of them says that the connection closes.
    says_close: bool
    is_chunked: bool
    #: Bytes of the body that they announce.
    length: int


@lru_cache(maxsize=128)
def _head_of(status: int, fields: tuple[tuple[bytes, bytes], ...], *, may_have_body: bool) -> _Head:
    """Most answers are like one before. Raises RuntimeError for a field that would begin another one."""
    if _NOT_IN_NAME.search(_BETWEEN.join([name for name, _ in fields])):
        raise RuntimeError("the name of a header field has a character that it cannot have")
    if _NOT_IN_VALUE.search(_BETWEEN.join([value for _, value in fields])):
        raise RuntimeError("the value of a header field has a character that it cannot have")
    named = [(name.lower(), value) for name, value in fields]
    lengths = [int(value) for name, value in named if name == b"content-length"]
    tokens = [token.strip().lower() for name, value in named if name == b"connection" for token in value.split(b",")]
    is_chunked = any(name == b"transfer-encoding" and value.lower() == b"chunked" for name, value in named)
    lines = [name + b": " + value for name, value in named]
    if not is_chunked and not lengths and may_have_body and status not in _BODILESS:
        is_chunked = True
        lines.append(b"transfer-encoding: chunked")
    return _Head(
        line=STATUS_LINE[status][:-2],
        fields=b"\r\n".join(lines),
        says_close=b"close" in tokens,
        is_chunked=is_chunked,
        length=0 if is_chunked or not lengths else lengths[-1],
    )


class Exchange:
    """One request and its answer. ``receive`` and ``send`` are those of ASGI."""

    __slots__ = (
        "_body",
        "_connection",
        "_has_news",
        "_head",
        "_is_chunked",
        "_is_waiting_for_100",
        "_left",
        "_news",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(self, connection: Answering, scope: Any, *, keep_alive: bool, is_waiting_for_100: bool) -> None:
        self.scope = scope
        scope["extensions"] = {HOLD: self.hold}
        #: Runs the app; None: it has not begun.
        self.task: asyncio.Task[None] | None = None
        #: Whether the connection stays open after the answer.
        self.keep_alive = keep_alive
        #: Nobody waits for the answer any more.
        self.disconnected = False
        #: Whether more of the request's body is to come.
        self.more_body = True
        self.response_started = self.response_complete = False
        self._connection = connection
        self._is_waiting_for_100 = is_waiting_for_100
        #: What has arrived and was not received yet.
        self._body: bytes | bytearray = b""
        #: Whether there is something to receive; the event exists once somebody had to wait for that.
        self._has_news = False
        self._news: asyncio.Event | None = None
        #: The answer's head, until its body is known.
        self._head = b""
        self._is_chunked = False
        #: Bytes of the answer's body that are still missing.
        self._left = 0

    # --- the connection's side ---

    def arrived(self, body: bytes) -> None:
        """A piece of the request's body; reading is paused where more is kept than an app should have to take at once."""
        if self.response_complete:
            return
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if len(self._body) > HIGH_WATER_LIMIT:
            self._connection.flow.pause_reading()
        self._wake()

    def complete(self) -> None:
        """The whole request has arrived."""
        if not self.response_complete:
            self.more_body = False
            self._wake()

    def disconnect(self) -> None:
        """Take the request away from its app."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        self._has_news = True
        if self._news is not None:
            self._news.set()

    def hold(self, size: int) -> bool:
        """Hold more bytes for its body, which is whole and is decompressed; false if there is no room for them."""
        return self._connection.hold(self, size)

    async def run(self, app: App, failed: Callable[[Exception], None]) -> None:
        """Have an app answer; ``failed`` gets what it raises."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._connection.abort()
            raise
        except Exception as error:  # noqa: BLE001 - an app's failure costs only its own request
            failed(error)
        finally:
            self._connection.release(self)
            # It refers back to the exchange: each request would be kept until the next garbage collection.
            self.scope["extensions"] = {}
        if self.response_complete or self.disconnected:
            return
        if self.response_started:
            self._flush(b"")
            self._connection.abort()
        else:
            await self._send_500()

    async def _send_500(self) -> None:
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ERROR_500))]
        await self.send({"type": "http.response.start", "status": 500, "headers": fields})
        await self.send({"type": "http.response.body", "body": _ERROR_500})

    # --- the app's side ---

    async def receive(self) -> Message:
        """What has arrived since the last call, or the end of the connection or of the answer."""
        if not self.disconnected and not self.response_complete:
            if self._is_waiting_for_100 and not self._connection.transport.is_closing():
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._is_waiting_for_100 = False
            if self._head:
                self._flush(b"")
            self._connection.flow.resume_reading()
            if not self._has_news:
                self._news = self._news or asyncio.Event()
                await self._news.wait()
            self._has_news = False
            if self._news is not None:
                self._news.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        return {
            "type": "http.request",
            "body": body if isinstance(body, bytes) else bytes(body),
            "more_body": self.more_body,
        }

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started and kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif self.response_started and not self.response_complete and kind == "http.response.body":
            self._write(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f'an application sent "{kind}" when that has no meaning')

    def _start(self, status: int, fields: Fields) -> None:
        self.response_started = True
        self._is_waiting_for_100 = False
        made = _head_of if len(fields) <= _FEW else _head_of.__wrapped__
        head = made(status, tuple(map(tuple, fields)), may_have_body=self.scope["method"] != "HEAD")
        self._is_chunked, self._left = head.is_chunked, head.length
        begin = [head.line, *[name + b": " + value for name, value in self._connection.default_headers()], head.fields]
        if head.says_close:
            self.keep_alive = False
        elif not self.keep_alive:
            begin.append(b"connection: close")
        # Fields may be none.
        self._head = b"\r\n".join(filter(None, begin)) + b"\r\n\r\n"
        if self._is_chunked:
            # The body may take its time.
            self._flush(b"")

    def _write(self, body: bytes, *, is_last: bool) -> None:
        if self.scope["method"] == "HEAD":
            self._left, body = 0, b""
        elif self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = piece + b"0\r\n\r\n" if is_last else piece
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body of an answer is longer than its Content-Length")
        self._flush(body)
        if is_last:
            self._end()

    def _flush(self, body: bytes) -> None:
        data, self._head = self._head + body, b""
        if data:
            self._connection.transport.write(data)

    def _end(self) -> None:
        if self._left:
            raise RuntimeError("the body of an answer is shorter than its Content-Length")
        self.response_complete = True
        self._wake()
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()
