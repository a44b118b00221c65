"""An exchange gives its app and its client what uvicorn's own cycle gives them."""

import asyncio
import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.exchange import Exchange
from tests.garbage import leaves_none

pytestmark = pytest.mark.anyio

DATE = [(b"date", b"Sun, 29 Nov 2026 12:00:00 GMT")]


class Wire:
    """A transport, and the connection around it."""

    def __init__(self):
        self.written, self.closed, self.is_reading, self.done, self.aborted = b"", False, True, 0, False
        self.transport, self.flow = self, FlowControl(self)
        self.released = []

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True

    def default_headers(self):
        return DATE

    def on_response_complete(self):
        self.done += 1

    def hold(self, exchange, size):
        return size < 10

    def release(self, exchange):
        self.released.append(exchange)

    def abort(self):
        self.aborted = True


def ours(wire, method="POST", *, keep_alive=True, expects=False):
    return Exchange(wire, {"method": method}, keep_alive=keep_alive, is_waiting_for_100=expects)


def uvicorns(wire, method, *, keep_alive):
    log = logging.getLogger(__name__)
    return RequestResponseCycle(
        {"method": method}, wire, wire.flow, log, log, False, DATE, asyncio.Event(), False, keep_alive, wire.on_response_complete
    )  # fmt: skip


async def answered(exchange, wire, messages):
    """What an answer came to; the fields of its head in any order."""
    try:
        for message in messages:
            await exchange.send(message)
    except RuntimeError:
        return "refused"
    head, _, body = wire.written.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, sorted(fields), body, wire.closed, wire.done, exchange.response_complete


names = st.sampled_from([b"content-type", b"x-a", b"X-A", b"set-cookie", b"bad name", b"bad\r\nname"])
values = st.sampled_from([b"", b"text/plain", b"a\tb", b"\xff", b"a\r\nx-evil: 1", b"\x00"])
others = st.sampled_from(
    [(b"connection", b"Close"), (b"connection", b"x, keep-alive"), (b"transfer-encoding", b"chunked")]
)
lengths = st.integers(0, 12).map(lambda length: [(b"content-length", b"%d" % length)])
pieces = st.lists(st.sampled_from([b"", b"a", b"hello", b"\r\n\r\n"]), min_size=1, max_size=4)


def messages_of(status, fields, bodies):
    parts = [
        {"type": "http.response.body", "body": body, "more_body": at < len(bodies)} for at, body in enumerate(bodies, 1)
    ]
    return [{"type": "http.response.start", "status": status, "headers": fields}, *parts]


@given(
    status=st.sampled_from([200, 202, 204, 304, 404, 503]),
    fields=st.tuples(lengths | st.just([]), st.lists(st.tuples(names, values) | others, max_size=5)).map(
        lambda pair: [*pair[0], *pair[1]]
    ),
    bodies=pieces,
    method=st.sampled_from(["POST", "GET", "HEAD"]),
    keep_alive=st.booleans(),
)
@example(
    status=202,
    fields=[(b"content-length", b"2"), (b"content-type", b"application/json")],
    bodies=[b"{}"],
    method="POST",
    keep_alive=True,
)
def test_an_answer_is_the_one_that_uvicorn_would_send(status, fields, bodies, method, keep_alive):
    async def both():
        mine, theirs = Wire(), Wire()
        messages = messages_of(status, fields, bodies)
        return (
            await answered(ours(mine, method, keep_alive=keep_alive), mine, messages),
            await answered(uvicorns(theirs, method, keep_alive=keep_alive), theirs, messages),
        )

    mine, theirs = asyncio.run(both())
    assert mine == theirs


async def test_an_answer_of_known_length_is_one_write():
    wire = Wire()
    writes = []
    wire.write = writes.append
    exchange = ours(wire)
    for message in messages_of(202, [(b"content-length", b"2")], [b"{}"]):
        await exchange.send(message)
    assert [each.count(b"HTTP/1.1") for each in writes] == [1]
    assert writes[0].endswith(b"\r\n\r\n{}")


async def test_a_body_arrives_in_the_pieces_that_the_app_asks_for():
    wire = Wire()
    exchange = ours(wire)
    exchange.arrived(b"a" * 40_000)
    exchange.arrived(b"b" * 40_000)
    assert not wire.is_reading
    first = await exchange.receive()
    assert (len(first["body"]), first["more_body"], wire.is_reading) == (80_000, True, True)
    waiting = asyncio.create_task(exchange.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    exchange.arrived(b"c")
    exchange.complete()
    assert await waiting == {"type": "http.request", "body": b"c", "more_body": False}


@pytest.mark.parametrize("end", ["the client leaves", "the answer is complete"])
async def test_an_app_that_listens_on_is_told_of_the_end(end):
    wire = Wire()
    exchange = ours(wire)
    exchange.complete()
    await exchange.receive()
    listening = [asyncio.create_task(exchange.receive()) for _ in range(2)]
    await asyncio.sleep(0)
    if end == "the client leaves":
        exchange.disconnect()
    else:
        for message in messages_of(204, [], [b""]):
            await exchange.send(message)
    assert [await each for each in listening] == [{"type": "http.disconnect"}] * 2
    assert await exchange.receive() == {"type": "http.disconnect"}
    if end == "the client leaves":
        await exchange.send({"type": "http.response.start", "status": 200, "headers": []})
        assert wire.written == b""


async def test_a_request_that_is_answered_is_forgotten_at_once():
    async def app(_scope, receive, send):
        await receive()
        for message in messages_of(202, [(b"content-length", b"2")], [b"{}"]):
            await send(message)

    async def one(wire):
        exchange = ours(wire)
        exchange.complete()
        await exchange.run(app, lambda error: pytest.fail(str(error)))

    wire = Wire()
    with leaves_none():
        await one(wire)
    assert wire.done == 1


async def test_continue_is_granted_once_when_the_body_is_read():
    wire = Wire()
    exchange = ours(wire, expects=True)
    exchange.complete()
    await exchange.receive()
    assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    exchange.disconnect()
    await exchange.receive()
    assert wire.written.count(b"100 Continue") == 1


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b""}],
        [{"type": "http.response.start", "status": 200, "headers": []}] * 2,
        [*messages_of(204, [], [b""]), {"type": "http.response.body", "body": b""}],
    ],
    ids=["a body without a head", "two heads", "a body after the end"],
)
async def test_messages_out_of_order_are_an_error_of_the_app(messages):
    exchange = ours(Wire())
    with pytest.raises(RuntimeError, match="when that has no meaning"):
        for message in messages:
            await exchange.send(message)
