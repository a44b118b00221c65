"""``delivered`` means that the whole request was written on a connection whose answer follows it, and written once."""

import asyncio
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from gateway.egress import Door, Egress
from gateway.egress.transfer import Transfer
from gateway.errors import AnswerBroken, EgressError
from gateway.model import HttpRequest, Reply
from tests.egress.certificates import Authority
from tests.sink import Behaviour, Sink, Wire, answer

LONG_S = 30.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def request(url: str, body: bytes = b'{"id": 1}', method: str = "POST") -> HttpRequest:
    return HttpRequest(method=method, url=url, headers=(("webhook-id", "dlv_1"),), body=body)


def sent(*requests: HttpRequest, door: Door = Door(), pause_s: float = 0.0) -> list[Reply | EgressError]:  # noqa: B008
    async def attempt(egress: Egress, each: HttpRequest) -> Reply | EgressError:
        try:
            return await egress.send(each, timeout_s=LONG_S, door=door)
        except EgressError as error:
            return error
        finally:
            await asyncio.sleep(pause_s)

    async def main() -> list[Reply | EgressError]:
        egress = Egress()
        try:
            return [await attempt(egress, each) for each in requests]
        finally:
            await egress.close()

    return asyncio.run(main())


def kept_open(data: bytes) -> Behaviour:
    """These bytes, and the connection stays open for another request."""

    async def run(wire: Wire) -> bool:
        await wire.send(data)
        return True

    return Behaviour(run)


@pytest.fixture(params=["plain", "TLS"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., tuple[Sink, Door]]:
    """Makes a sink, with or without TLS, and the door to it."""

    def make(*script: Behaviour) -> tuple[Sink, Door]:
        if request.param == "plain":
            return Sink(*script), Door()
        authority = Authority()
        return Sink(*script, tls=authority.server(tmp_path)), Door(ca=authority.pem)

    return make


@pytest.mark.parametrize("more", [OK, OK * 3, b"HTTP/1.1 500 No\r\n\r\n", b"junk", b"\0"], ids=repr)
def test_an_answer_that_nobody_asked_for_answers_no_later_request(listening, more: bytes) -> None:
    sink, door = listening(kept_open(OK + more), answer(200, b"second"))
    with sink:
        first, second = sent(request(sink.url), request(sink.url, b'{"id": 2}'), door=door, pause_s=0.1)
        assert [first.body, second.body] == [b"ok", b"second"]
        assert [each.body for each in sink.requests] == [b'{"id": 1}', b'{"id": 2}']
        assert sink.connections == 2


@pytest.mark.parametrize("after_s", [0.02, 0.2, 1.2])
def test_an_answer_that_comes_on_an_idle_connection_answers_no_later_request(listening, after_s: float) -> None:
    came = threading.Event()

    async def run(wire: Wire) -> bool:
        await wire.send(OK)
        await asyncio.sleep(after_s)
        await wire.send(OK)
        came.set()
        return True

    async def main() -> list[Reply]:
        egress = Egress()
        try:
            first = await egress.send(request(sink.url), timeout_s=LONG_S, door=door)
            await asyncio.to_thread(came.wait, LONG_S)
            await asyncio.sleep(0.02)
            return [first, await egress.send(request(sink.url, b'{"id": 2}'), timeout_s=LONG_S, door=door)]
        finally:
            await egress.close()

    sink, door = listening(Behaviour(run), answer(200, b"second"))
    with sink:
        assert [each.body for each in asyncio.run(main())] == [b"ok", b"second"]
        assert [each.body for each in sink.requests] == [b'{"id": 1}', b'{"id": 2}']
        assert sink.connections == 2


# --- a connection that is idle ---


@contextmanager
def serving(context: ssl.SSLContext | None, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Handles one connection in a thread, which must have ended at the end."""

    def run() -> None:
        connection, _ = listener.accept()
        connection.settimeout(LONG_S)
        with context.wrap_socket(connection, server_side=True) if context else connection as wire:
            serve(wire)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield f"{'https' if context else 'http'}://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(LONG_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("more", [b"", OK, b"junk"], ids=["its end", "another answer", "junk"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_an_idle_connection_is_closed_when_anything_comes_on_it(tmp_path: Path, tls: bool, more: bytes, run) -> None:
    authority = Authority()
    ended: list[bytes] = []

    def serve(wire: socket.socket) -> None:
        while b'{"id": 1}' not in wire.recv(65_536):
            pass
        wire.sendall(OK)
        idle.wait(LONG_S)
        if more:
            wire.sendall(more)
        else:
            # The end in one direction only: the other one shows what the gateway does about it.
            socket.socket.shutdown(wire, socket.SHUT_WR)
        # Without another request.
        with suppress(ssl.SSLError):
            ended.append(wire.recv(65_536))
        done.set()

    async def main(url: str) -> None:
        egress = Egress()
        try:
            assert (await egress.send(request(url), timeout_s=LONG_S, door=door)).body == b"ok"
            idle.set()
            assert await asyncio.to_thread(done.wait, LONG_S)
        finally:
            await egress.close()

    idle, done = threading.Event(), threading.Event()
    door = Door(ca=authority.pem)
    with serving(authority.server(tmp_path) if tls else None, serve) as url:
        run(main(url))
    assert ended in ([b""], [])


def test_an_answer_before_the_request_is_a_failed_attempt_and_nothing_is_sent() -> None:
    received: list[bytes] = []

    def serve(wire: socket.socket) -> None:
        wire.sendall(OK)
        with suppress(ConnectionResetError):
            received.append(wire.recv(65_536))

    # The answer is there before the connection is used: the kernel has it while the gateway connects.
    with serving(None, serve) as url, pytest.MonkeyPatch.context() as patched:
        is_allowed = Transfer._is_allowed

        def is_allowed_later(transfer: Transfer, *ends: object) -> int:
            select.select([transfer._made[0]], [], [], LONG_S)
            return is_allowed(transfer, *ends)

        patched.setattr(Transfer, "_is_allowed", is_allowed_later)
        [result] = sent(request(url))
    assert isinstance(result, AnswerBroken)
    assert str(result) == "it answered before the request was sent, so it has not accepted it"
    assert b"".join(received) == b""


def test_over_tls_an_early_answer_counts_only_with_the_whole_request(tmp_path: Path) -> None:
    authority = Authority()
    received = bytearray()

    def serve(wire: socket.socket) -> None:
        wire.sendall(OK)
        with suppress(OSError):
            while more := wire.recv(65_536):
                received.extend(more)

    with serving(authority.server(tmp_path), serve) as url:
        [result] = sent(request(url), door=Door(ca=authority.pem))
    assert isinstance(result, EgressError) or received.endswith(b'\r\n\r\n{"id": 1}')


BIG = b"x" * 20_000_000


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_before_the_request_was_sent_is_a_failed_attempt(listening, status: int) -> None:
    sink, door = listening(answer(status, b"", [("connection", "close")], early=True))
    with sink:
        [result] = sent(request(sink.url, BIG), door=door)
    assert isinstance(result, EgressError)


@pytest.mark.parametrize("status", [400, 401, 413, 429, 500, 503])
def test_a_refusal_before_the_request_was_sent_is_the_answer(listening, status: int) -> None:
    sink, door = listening(answer(status, b"too much", [("connection", "close")], early=True))
    with sink:
        [result] = sent(request(sink.url, BIG), door=door)
    assert isinstance(result, Reply)
    assert (result.status, result.body) == (status, b"too much")


# --- once ---


def is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: ([0-9]+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def closing_what_is_kept(wait_for_request: bool) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers the first request of each connection, and closes on the second without a word."""
    received: list[bytes] = []

    def whole(connection: socket.socket) -> bytes:
        data = b""
        while not is_whole(data) and (more := connection.recv(65_536)):
            data += more
        return data

    def serve_one(connection: socket.socket) -> None:
        with connection:
            received.append(whole(connection))
            connection.sendall(OK)
            if wait_for_request:
                received.append(whole(connection))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_is_not_sent_again_when_a_kept_connection_dies_after_it(method: str) -> None:
    with closing_what_is_kept(wait_for_request=True) as (url, received):
        first, second = sent(request(url, b"1", method), request(url, b"2", method))
        assert first.status == 200
        assert isinstance(second, AnswerBroken)
        assert sum(each.endswith(b"2") for each in received) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_request_without_a_body_is_sent_once(method: str) -> None:
    with closing_what_is_kept(wait_for_request=True) as (url, received):
        results = sent(*[request(url, b"", method)] * 3)
        assert [each.status for each in results] == [200] * 3
        assert sum(each.startswith(method.encode()) for each in received) == 3


@pytest.mark.parametrize("pause_s", [0.05, 1.1])
def test_a_connection_that_was_closed_while_it_was_idle_is_not_used_again(pause_s: float) -> None:
    with closing_what_is_kept(wait_for_request=False) as (url, received):
        results = sent(*[request(url)] * 3, pause_s=pause_s)
        assert [each.status for each in results] == [200] * 3
        assert len(received) == 3


def test_an_idle_connection_is_kept_for_less_than_the_five_seconds_of_common_servers() -> None:
    from gateway.egress.transfer import KEEP_ALIVE_S

    assert KEEP_ALIVE_S < 5


def test_a_port_that_is_silent_takes_no_longer_than_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        async def main() -> float:
            egress = Egress()
            began = time.monotonic()
            with pytest.raises(EgressError, match=r"no answer within 0\.2 s"):
                await egress.send(request(url), timeout_s=0.2)
            await egress.close()
            return time.monotonic() - began

        assert asyncio.run(main()) < 10
