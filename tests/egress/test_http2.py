"""HTTP/2, where a destination asks for it: one attempt within its deadline, whatever frames come back."""

import asyncio
import resource
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.egress import Door, Egress
from gateway.errors import EgressError, TimedOut
from gateway.model import HttpRequest, Reply
from tests.egress.certificates import Authority
from tests.sink import Sink

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
#: ``:status: 200`` in HPACK's static table.
STATUS_200 = b"\x88"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


OK = frame(HEADERS, END_HEADERS, 1, STATUS_200) + frame(DATA, END_STREAM, 1, b"ok")


def endless(piece: bytes) -> Callable[[ssl.SSLSocket], None]:
    def send(connection: ssl.SSLSocket) -> None:
        for _ in range(100_000):
            connection.sendall(piece)

    return send


@contextmanager
def server(folder: Path, answer: bytes | Callable[[ssl.SSLSocket], None]) -> Iterator[tuple[str, Door, list[int]]]:
    """Answers each connection with these frames once a request has come; how many streams each connection saw."""
    authority = Authority()
    context = authority.server(folder)
    context.set_alpn_protocols(["h2"])
    streams: list[int] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError, EOFError), context.wrap_socket(connection, server_side=True) as tls:
            tls.settimeout(30)
            tls.sendall(frame(SETTINGS, 0, 0))
            read(tls, len(PREFACE))
            while True:
                kind, flags, stream, _ = read_frame(tls)
                if kind == SETTINGS and not flags:
                    tls.sendall(frame(SETTINGS, 1, 0))
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    streams.append(stream)
                    if callable(answer):
                        answer(tls)
                    else:
                        tls.sendall(answer.replace(struct.pack(">I", 1), struct.pack(">I", stream)))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        yield url, Door(ca=authority.pem, http2=True), streams
        listener.shutdown(socket.SHUT_RDWR)


def read(tls: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = tls.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_frame(tls: ssl.SSLSocket) -> tuple[int, int, int, bytes]:
    head = read(tls, 9)
    length = int.from_bytes(head[:3])
    return head[3], head[4], int.from_bytes(head[5:]), read(tls, length)


def sent(url: str, door: Door, *, times: int = 1, timeout_s: float = 30.0) -> list[Reply | EgressError]:
    async def attempt(egress: Egress) -> Reply | EgressError:
        request = HttpRequest(method="POST", url=url, headers=(("webhook-id", "dlv_1"),), body=b'{"id": 1}')
        try:
            return await egress.send(request, timeout_s=timeout_s, door=door)
        except EgressError as error:
            return error

    async def main() -> list[Reply | EgressError]:
        egress = Egress()
        try:
            return [await attempt(egress) for _ in range(times)]
        finally:
            await egress.close()

    return asyncio.run(main())


def test_requests_share_a_connection(tmp_path: Path) -> None:
    with server(tmp_path, OK) as (url, door, streams):
        replies = sent(url, door, times=3)
        assert [(each.status, each.body) for each in replies] == [(200, b"ok")] * 3
        assert streams == [1, 3, 5]


def test_a_destination_that_speaks_only_http_1_is_spoken_to_in_it(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:
        replies = sent(sink.url, Door(ca=authority.pem, http2=True), times=2)
        assert [each.status for each in replies] == [200, 200]
        assert sink.connections == 1


#: HPACK: a field of 4,000 bytes into the dynamic table, then 12,000 references to it.
BOMB = STATUS_200 + b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4_000 + b"\xbe" * 12_000


def goaway(last: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, 0))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(goaway(0), id="goaway"),
        pytest.param(frame(RESET, 0, 1, struct.pack(">I", 7)), id="refused stream"),
        pytest.param(frame(RESET, 0, 1, struct.pack(">I", 2)), id="reset stream"),
        pytest.param(frame(HEADERS, 0, 1, STATUS_200) + frame(DATA, END_STREAM, 1, b"ok"), id="headers without end"),
        pytest.param(frame(DATA, END_STREAM, 1, b"ok"), id="a body without headers"),
        pytest.param(frame(HEADERS, END_HEADERS, 1, b"\xff" * 200), id="headers that cannot be read"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", id="HTTP/1.1"),
        pytest.param(endless(frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b" * 100)), id="continuation flood alone"),
        pytest.param(
            lambda tls: (
                tls.sendall(frame(HEADERS, 0, 1, STATUS_200)),
                endless(frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b" * 100))(tls),
            ),
            id="continuation flood",
        ),
        pytest.param(endless(frame(RESET, 0, 1, struct.pack(">I", 8)) * 50), id="reset flood"),
        pytest.param(endless(frame(SETTINGS, 0, 0) * 50), id="settings flood"),
        pytest.param(endless(goaway(0) * 50), id="goaway flood, none taken"),
        pytest.param(endless(goaway(2**31 - 1) * 50), id="goaway flood, all taken"),
        pytest.param(endless(frame(HEADERS, END_HEADERS, 1, b"\x48\x03100") * 50), id="interim answers flood"),
        pytest.param(frame(HEADERS, END_HEADERS, 1, BOMB), id="fields that unpack to 48 MB"),
        pytest.param(endless(frame(PING, 0, 0, b"01234567") * 50), id="ping flood"),
    ],
)
def test_hostile_frames_are_one_failed_attempt_within_its_deadline(tmp_path: Path, answer) -> None:
    with server(tmp_path, answer) as (url, door, streams):
        [result] = sent(url, door, timeout_s=2.0)
        assert isinstance(result, EgressError)
        assert 5 < len(str(result)) < 200
        # What was refused is not sent again by the client itself.
        assert len(streams) <= 1


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(goaway(2**31 - 1) * 50, id="goaway"),
        pytest.param(frame(RESET, 0, 1, struct.pack(">I", 8)) * 50, id="reset"),
        pytest.param(frame(PING, 0, 0, b"01234567") * 50, id="ping"),
        pytest.param(frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b" * 100), id="continuation"),
    ],
)
def test_a_flood_of_frames_takes_no_memory(tmp_path: Path, piece: bytes) -> None:
    with server(tmp_path, OK) as (url, door, _):
        sent(url, door)
    with server(tmp_path, endless(piece)) as (url, door, _):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        [result] = sent(url, door, timeout_s=2.0)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert isinstance(result, EgressError)
    # libcurl's own memory, which Python does not see; the server's threads in it.
    assert grown_kib < 16 * 1024


def test_an_answer_to_a_request_that_was_given_up_answers_no_later_one(tmp_path: Path) -> None:
    late = frame(HEADERS, END_HEADERS, 1, STATUS_200) + frame(DATA, END_STREAM, 1, b"late")

    def answer(tls: ssl.SSLSocket) -> None:
        if len(streams) > 1:
            stream = struct.pack(">I", streams[-1])
            tls.sendall(late + OK.replace(struct.pack(">I", 1), stream) if streams[-1] != 1 else OK)

    with server(tmp_path, answer) as (url, door, streams):
        given_up, then = sent(url, door, times=2, timeout_s=1.0)
        assert isinstance(given_up, TimedOut)
        assert (then.status, then.body) == (200, b"ok")
        assert len(streams) == 2


def test_an_answer_that_never_comes_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with server(tmp_path, b"") as (url, door, _):
        [result] = sent(url, door, timeout_s=0.3)
        assert isinstance(result, TimedOut)
