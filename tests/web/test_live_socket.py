"""Listeners on real sockets: one that stops reading is dropped, one that hangs up gives its place back."""

import asyncio
import contextlib
import socket

import pytest

from gateway.operate import figures
from gateway.server import Limits, serve
from gateway.web import live
from tests.web.desk import Desk
from tests.world import story

PATIENCE_S = 30


class Hooks:
    """A server for one test; nothing has to be drained."""

    def __init__(self) -> None:
        self.address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()

    async def started(self, ingest_address: str, admin_address: str) -> None:
        host, _, port = admin_address.removeprefix("http://").rpartition(":")
        self.address.set_result((host, int(port)))

    def draining(self) -> None: ...

    async def drained(self) -> None: ...

    async def stopped(self) -> None: ...


@contextlib.asynccontextmanager
async def served(desk: Desk):
    """The admin application at a real port; it gives up on a client after half a second."""
    hooks = Hooks()
    task = asyncio.create_task(
        serve(
            ingest=desk.app,
            admin=desk.app,
            ingest_bind="127.0.0.1:0",
            admin_bind="127.0.0.1:0",
            hooks=hooks,
            limits=Limits(send_deadline_s=0.5),
        )
    )
    try:
        yield await hooks.address
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def listening(address: tuple[str, int], *, rcvbuf: int | None = None) -> socket.socket:
    sock = socket.socket()
    if rcvbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return sock


async def come_to(live: live.Live, listeners: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while live._listeners.total() != listeners:
            await asyncio.sleep(0.01)


@pytest.fixture
def chatty(monkeypatch):
    """The numbers again and again, in a document that soon fills the buffers of a socket."""
    monkeypatch.setattr(live, "INTERVAL_S", 0.001)
    monkeypatch.setattr(live, "STATS_INTERVAL_S", 0.0)
    monkeypatch.setattr(figures, "stats", lambda _: {"many": "x" * 100_000})


@story
async def test_a_listener_hears_events_and_numbers_as_server_sent_events(tmp_path):
    async with Desk(tmp_path, "") as desk, served(desk) as address:
        event_id = (await desk.receive()).event_id
        with await listening(address) as sock:
            heard = b""
            async with asyncio.timeout(PATIENCE_S):
                while b"event: stats\ndata: {" not in heard:
                    heard += await asyncio.get_running_loop().sock_recv(sock, 65536)
    assert b"content-type: text/event-stream" in heard.lower()
    assert b'event: events\ndata: {"events":[{"id":"' + event_id.encode() in heard
    assert b'"skipped":0}\n\n' in heard


def test_one_that_stops_reading_is_dropped_and_not_buffered_for(tmp_path, chatty):
    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk, served(desk) as address:
            with await listening(address, rcvbuf=4096):
                await come_to(desk.live, 1)
                await come_to(desk.live, 0)

    scenario()


def test_one_that_never_reads_is_noticed_before_the_system_has_kept_much_for_it(tmp_path, chatty, monkeypatch):
    told = []
    monkeypatch.setattr(figures, "stats", lambda _: told.append(1) or {"many": "x" * 10_000})

    @story
    async def scenario():
        async with Desk(tmp_path, "") as desk, served(desk) as address:
            with await listening(address, rcvbuf=4096):
                await come_to(desk.live, 1)
                await come_to(desk.live, 0)

    scenario()
    assert len(told) < 50, "some 300 KB; the system alone would take megabytes"


@story
async def test_one_that_hangs_up_gives_its_place_back(tmp_path):
    async with Desk(tmp_path, "") as desk, served(desk) as address:
        sockets = [await listening(address) for _ in range(live.MOST_LISTENERS)]
        await come_to(desk.live, live.MOST_LISTENERS)
        with await listening(address) as refused:
            async with asyncio.timeout(PATIENCE_S):
                answer = await asyncio.get_running_loop().sock_recv(refused, 65536)
            assert answer.startswith(b"HTTP/1.1 503 ")
        for sock in sockets:
            sock.close()
        await come_to(desk.live, 0)
