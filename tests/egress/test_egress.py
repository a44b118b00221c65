"""The door out, against real sockets: one bounded attempt whatever the other side does."""

import asyncio
import errno
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from gateway import egress as egress_module
from gateway.egress import LONGEST_ANSWER, Egress, Inbox
from gateway.egress.faults import FAULTS, of_exception
from gateway.egress.files import FileFailed
from gateway.errors import AnswerBroken, ConnectFailed, EgressError, TimedOut
from gateway.model import FileAppend, HttpRequest, OutboundRequest, Reply
from tests.egress.opening import opened
from tests.sink import (
    Behaviour,
    Sink,
    answer,
    chunk_garbage,
    continue_flood,
    drip,
    endless,
    hang,
    header_drip,
    header_flood,
    huge,
    raw,
    reset,
)

SECRET = "s3cr3t-s3cr3t-s3cr3t-s3cr3t"
LONG_S = 30.0


def post(url: str, body: bytes = b"{}", method: str = "POST", **headers: str) -> HttpRequest:
    fields = {"content-type": "application/json", "webhook-id": "dlv_1", "user-agent": "gateway/test"}
    return HttpRequest(method=method, url=url, headers=tuple((fields | headers).items()), body=body)


def sent(*requests: OutboundRequest, timeout_s: float = LONG_S) -> list[Reply | EgressError]:
    """What becomes of requests that one Egress sends one after the other."""

    async def attempt(egress: Egress, request: OutboundRequest) -> Reply | EgressError:
        try:
            return await egress.send(request, timeout_s=timeout_s)
        except EgressError as error:
            return error

    async def main(egress: Egress) -> list[Reply | EgressError]:
        return [await attempt(egress, request) for request in requests]

    return with_egress(main)


def with_egress(main, **options):
    """Run ``main(egress)`` on a loop of its own and close the egress behind it."""

    async def run():
        egress = Egress(**options)
        try:
            return await main(egress)
        finally:
            await egress.close()

    return asyncio.run(run())


# --- an ordinary exchange ---


def test_the_request_arrives_as_it_is_and_the_answer_comes_back() -> None:
    with Sink(answer(201, b"made", [("X-One", "a"), ("x-one", "b")])) as sink:
        request = post(f"{sink.url}/a%2Fb/../c?x=%20y&x=2", b'{"a": 1}', "PUT", authorization="Bearer x")
        [reply] = sent(request)
        [received] = sink.requests
    assert (reply.status, reply.body, reply.headers["x-one"]) == (201, b"made", "a")
    assert (received.method, received.body) == ("PUT", b'{"a": 1}')
    assert dict(request.headers).items() <= received.headers.items()
    assert received.headers["content-length"] == "8"
    assert "accept-encoding" not in received.headers


def test_percent_encoded_paths_and_queries_are_sent_as_they_were_written() -> None:
    path = "/a%2Fb/%E2%82%AC%20~x/%2B14155551234?q=%2B1%26x&e="
    with Sink() as sink:
        sent(post(sink.url + path))
        assert sink.requests[0].path == path


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_request_without_a_body_has_no_content_type_of_its_own(method: str) -> None:
    with Sink(answer(200, b"")) as sink:
        request = HttpRequest(method=method, url=sink.url + "/x", headers=(("webhook-id", "dlv_1"),))
        assert sent(request)[0].status == 200
        assert "content-type" not in sink.requests[0].headers
        assert sink.requests[0].body == b""


def test_connections_are_kept_and_used_again() -> None:
    with Sink() as sink:
        sent(*[post(sink.url)] * 5)
        assert (len(sink.requests), sink.connections) == (5, 1)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with Sink(answer(302, b"", [("location", "/elsewhere")])) as sink:
        assert sent(post(sink.url))[0].status == 302
        assert len(sink.requests) == 1


def test_no_cookie_is_kept_and_no_environment_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Sink(answer(200, b"ok", [("set-cookie", "a=b; Path=/")])) as sink:
        sent(post(sink.url), post(sink.url))
        assert "cookie" not in sink.requests[1].headers


def test_a_few_interim_answers_before_the_answer_are_skipped() -> None:
    with Sink(raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as sink:
        assert sent(post(sink.url))[0].body == b"ok"


def test_a_compressed_answer_is_never_unpacked() -> None:
    bomb = b"\x1f\x8b" + bytes(5000)
    with Sink(answer(200, bomb, [("content-encoding", "gzip")])) as sink:
        assert sent(post(sink.url))[0].body == bomb


def test_nothing_is_imported_for_sending_before_something_is_sent() -> None:
    code = "import sys, gateway.egress; sys.exit(bool({'httpx', 'pycurl'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- an answer that never ends, breaks off or is none ---


def test_of_a_long_answer_16_kib_are_read_and_its_connection_is_not_used_again() -> None:
    with Sink(huge(), answer()) as sink:
        long, short = sent(post(sink.url), post(sink.url))
        assert (long.status, long.body) == (200, b"x" * LONGEST_ANSWER)
        assert (short.body, sink.connections) == (b"ok", 2)


def test_an_answer_of_300_mb_does_not_fill_the_memory() -> None:
    with Sink(huge()) as sink:
        sent(post(sink.url))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent(*[post(sink.url)] * 5)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(hang(), id="hang"),
        pytest.param(hang(early=True), id="hang before the body is read"),
        pytest.param(drip(), id="drip"),
        pytest.param(header_drip(), id="a header that drips"),
        pytest.param(
            endless(b"1\r\nx\r\n", start=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", pause_s=0.02),
            id="chunks that drip",
        ),
        pytest.param(endless(b"x", start=b"HTTP/1.1 2", pause_s=0.02), id="a status line that drips"),
    ],
)
def test_the_deadline_is_over_the_whole_attempt_and_the_connection_is_not_used_again(behaviour: Behaviour) -> None:
    with Sink(behaviour, answer()) as sink:
        # Opens the transport, so that the short deadline measures the attempt alone.
        sink.at("/first", answer())

        async def main(egress: Egress) -> tuple[EgressError, float, Reply]:
            await egress.send(post(sink.url + "/first"), timeout_s=LONG_S)
            began = time.monotonic()
            with pytest.raises(EgressError) as caught:
                await egress.send(post(sink.url), timeout_s=0.3)
            took = time.monotonic() - began
            return caught.value, took, await egress.send(post(sink.url), timeout_s=LONG_S)

        error, took, reply = with_egress(main)
        assert isinstance(error, TimedOut | AnswerBroken)
        assert str(error) == "no answer within 0.3 s" or isinstance(error, AnswerBroken)
        assert took < 5
        assert (reply.status, sink.connections) == (200, 2)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(reset(), "reset", id="reset before the answer"),
        pytest.param(reset(early=True), "reset", id="reset before the body is read"),
        pytest.param(reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), "", id="reset inside the body"),
        pytest.param(reset(b"HTTP/1.1 200 O"), "", id="reset inside the status line"),
        pytest.param(raw(b""), "closed before an answer", id="closed without an answer"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), "cut off", id="closed inside the body"),
        pytest.param(raw(b"\x00\xff garbage\r\n\r\n"), "not HTTP", id="garbage"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "", id="another protocol"),
        pytest.param(raw(b"HTTP/1.1 99999 No\r\n\r\n"), "not HTTP", id="a status of five digits"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-length: minus one\r\n\r\n"), "not HTTP", id="a bad length"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"), "header is too large", id="a long field"
        ),
        pytest.param(header_flood(), "header is too large", id="headers without end"),
        pytest.param(continue_flood(), "more than 20 interim answers", id="100 Continue without end"),
        pytest.param(chunk_garbage(), "", id="garbage between chunks"),
        pytest.param(
            raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + bytes(100)),
            None,
            id="an upgrade nobody asked for",
        ),
    ],
)
def test_what_is_no_whole_answer_fails_the_attempt_once(behaviour: Behaviour, reason: str | None) -> None:
    with Sink(behaviour, answer()) as sink:
        first, second = sent(post(f"{sink.url}/{SECRET}?k={SECRET}", method="PUT"), post(sink.url))
        assert isinstance(first, AnswerBroken) or reason is None
        assert reason is None or reason in str(first)
        assert SECRET not in f"{first} {first!r}"
        assert len(str(first)) < 200
        assert (second.status, sink.connections) == (200, 2)


@pytest.mark.parametrize("size", [100, 20_000_000], ids=["a small body", "a body larger than every buffer"])
def test_an_answer_before_the_request_was_read_counts(size: int) -> None:
    early = answer(413, b"too much", [("connection", "close")], early=True)
    with Sink(early, answer()) as sink:
        first, second = sent(post(sink.url, b"x" * size), post(sink.url))
        assert (first.status, first.body) == (413, b"too much")
        assert (second.status, sink.connections) == (200, 2)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_hundred_destinations_that_reset_leave_nothing_open() -> None:
    async def main(egress: Egress) -> int:
        await asyncio.gather(
            *(egress.send(post(sink.url), timeout_s=LONG_S) for _ in range(100)), return_exceptions=True
        )
        return open_files()

    with Sink(reset()) as sink:
        before = open_files()
        assert with_egress(main) < before + 20


def test_a_destination_that_never_reads_holds_no_connection_beyond_the_attempt() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(64)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"

        async def main(egress: Egress) -> tuple[int, int]:
            counts = []
            for _ in range(5):
                with pytest.raises(TimedOut):
                    await egress.send(post(url, b"x" * 20_000_000), timeout_s=0.1)
                await asyncio.sleep(0)
                counts.append(open_files())
            return counts[0], counts[-1]

        first, last = with_egress(main)
        assert last <= first


def test_a_cancelled_attempt_does_not_give_its_connection_back() -> None:
    with Sink(hang(), answer()) as sink:

        async def main(egress: Egress) -> Reply:
            attempt = asyncio.create_task(egress.send(post(sink.url), timeout_s=LONG_S))
            await asyncio.to_thread(sink.wait_for, 1)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            return await egress.send(post(sink.url), timeout_s=LONG_S)

        assert with_egress(main).status == 200
        assert sink.connections == 2


# --- no connection ---


def test_a_port_that_nobody_listens_on_is_a_refused_connection() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        [error] = sent(post(f"http://127.0.0.1:{bound.getsockname()[1]}/{SECRET}"))
    assert isinstance(error, ConnectFailed)
    assert str(error) == "connection refused"


def test_a_name_that_does_not_exist_is_said_to_be_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    [error] = sent(post(f"http://nobody.invalid/{SECRET}"))
    assert isinstance(error, ConnectFailed)
    assert str(error) == "name not found"


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A name server that says nothing of ``*.silent.test`` before the test ends; any other name is this machine."""
    asked: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list:
        asked.append(host)
        if host.endswith(".silent.test"):
            over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    over.set()


def lookups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lookup ")]


def run_by_uvloop(main):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@pytest.mark.parametrize("run", [asyncio.run, run_by_uvloop], ids=["asyncio", "uvloop"])
def test_names_without_an_answer_delay_neither_another_destination_nor_the_end(run, silence: list[str]) -> None:
    async def main(sink: Sink) -> int:
        egress = Egress()
        stuck = [
            asyncio.create_task(egress.send(post(f"http://{n}.silent.test/"), timeout_s=LONG_S)) for n in range(12)
        ]
        while len(silence) < 12:
            await asyncio.sleep(0)
            assert not any(task.done() for task in stuck)
        reply = await egress.send(post(f"http://works.test:{sink.port}/"), timeout_s=LONG_S)
        assert all(thread.daemon for thread in lookups())
        await egress.close()
        assert len(lookups()) >= 12
        await asyncio.gather(*stuck, return_exceptions=True)
        return reply.status

    with Sink() as sink:
        assert run(main(sink)) == 200


def test_a_name_without_an_answer_is_given_up_at_the_deadline_and_asked_for_once(silence: list[str]) -> None:
    async def main(egress: Egress) -> None:
        await opened(egress)
        for _ in range(3):
            with pytest.raises(TimedOut):
                await egress.send(post("http://one.silent.test/"), timeout_s=0.05)

    with_egress(main)
    assert silence == ["one.silent.test"]


def test_the_addresses_of_a_name_are_kept_for_a_while(silence: list[str]) -> None:
    with Sink(answer(headers=[("connection", "close")])) as sink:
        sent(*[post(f"http://works.test:{sink.port}/")] * 3)
        assert (len(sink.requests), sink.connections) == (3, 3)
    assert silence == ["works.test"]


def test_forty_names_without_an_answer_delay_none_of_five_healthy_ones(silence: list[str]) -> None:
    async def main(egress: Egress) -> list[int]:
        await opened(egress)
        stuck = [
            asyncio.create_task(egress.send(post(f"http://{n}.silent.test/"), timeout_s=LONG_S)) for n in range(40)
        ]
        while len(silence) < 40:
            await asyncio.sleep(0)
            assert not any(task.done() for task in stuck)
        healthy = [post(f"http://{n}.works.test:{sink.port}/") for n in range(5)]
        replies = await asyncio.gather(*(egress.send(each, timeout_s=LONG_S) for each in healthy))
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        return [reply.status for reply in replies]

    with Sink() as sink:
        assert with_egress(main) == [200] * 5
    assert len(silence) == 45


def test_an_address_in_digits_is_never_looked_up(silence: list[str]) -> None:
    with Sink() as sink:
        assert sent(post(sink.url))[0].status == 200
    assert silence == []


def test_a_host_that_takes_no_connection_is_given_up_at_the_deadline() -> None:
    with socket.socket() as full, socket.socket() as filler:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filler.connect(full.getsockname())
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        [error] = sent(post(f"http://127.0.0.1:{full.getsockname()[1]}/"), timeout_s=0.3)
        for other in others:
            other.close()
    assert isinstance(error, TimedOut)


def test_bytes_that_are_not_tls_are_a_failed_connection() -> None:
    with Sink(on_connect=raw(b"HTTP/1.1 400 Bad Request\r\n\r\nplain HTTP here")) as sink:
        [error] = sent(post(sink.url.replace("http:", "https:") + f"/{SECRET}"))
    assert isinstance(error, ConnectFailed)
    assert str(error).startswith("TLS: ")
    assert SECRET not in str(error)


def test_a_reset_inside_the_tls_handshake_is_a_failed_attempt() -> None:
    with Sink(on_connect=reset()) as sink:
        [error] = sent(post(sink.url.replace("http:", "https:")))
    assert isinstance(error, ConnectFailed | AnswerBroken)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*new, *names, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with Sink(tls=server_side(certificate)) as sink:
        [error] = sent(post(f"{sink.url}/{SECRET}"))
        assert isinstance(error, ConnectFailed)
        assert str(error) == "TLS: self-signed certificate"
        assert sink.requests == []


def test_a_certificate_that_the_system_trusts_is_accepted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    with Sink(tls=server_side(certificate)) as sink:
        assert [reply.status for reply in sent(post(sink.url), post(sink.url))] == [200, 200]
        assert sink.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "http:///x",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "nonsense",
        "http://[::1",
        "http://h:99999/",
    ],
)
def test_a_url_that_cannot_be_used_is_a_failed_connection_that_says_so(url: str) -> None:
    [error] = sent(post(url))
    assert isinstance(error, ConnectFailed)
    assert str(error).startswith("the url ")


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.test", "exa mple.com", "\x00"])
def test_a_host_that_can_be_no_name_is_a_failed_connection(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str, *_: object, **__: object) -> None:
        name.encode("idna")  # raises what the real one raises, and asks no name server
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    [error] = sent(post(f"http://{host}/"))
    assert isinstance(error, ConnectFailed)
    assert str(error) in ("name not found", "the url cannot be used")


# --- the first attempt ---


def test_the_first_attempt_keeps_its_deadline_and_the_next_finds_open_what_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, prepared = threading.Event(), []
    prepare = egress_module._load
    monkeypatch.setattr(egress_module, "_load", lambda ca: (go_on.wait(30), prepared.append(1), prepare(ca))[-1])

    async def main(egress: Egress) -> Reply:
        with pytest.raises(TimedOut):
            await egress.send(post(sink.url), timeout_s=0.05)
        go_on.set()
        return await egress.send(post(sink.url), timeout_s=LONG_S)

    with Sink() as sink:
        assert with_egress(main).status == 200
    assert prepared == [1]


def test_an_opening_that_fails_is_told_by_the_attempt_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ssl.SSLContext:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    async def main(egress: Egress) -> Reply:
        with monkeypatch.context() as patch:
            patch.setattr(egress_module, "_load", broken)
            await opened(egress)
            with pytest.raises(EgressError, match="no such file"):
                await egress.send(post(sink.url), timeout_s=LONG_S)
        return await egress.send(post(sink.url), timeout_s=LONG_S)

    with Sink() as sink:
        assert with_egress(main).status == 200


def test_closing_does_not_wait_for_an_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(egress_module, "_load", lambda _: go_on.wait(30))

    async def main() -> None:
        egress = Egress()
        opening = asyncio.create_task(opened(egress))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await egress.close()
        assert not go_on.is_set()
        go_on.set()
        await asyncio.wait([opening])

    asyncio.run(main())


# --- errors in words ---


#: Codes of libcurl that say that an answer broke, or that nobody here can meet; one in neither list fails a test.
BROKEN = {
    "AUTH_ERROR",
    "BAD_CALLING_ORDER",
    "BAD_DOWNLOAD_RESUME",
    "BAD_FUNCTION_ARGUMENT",
}


def test_a_fault_that_needs_no_row_has_none() -> None:
    assert AnswerBroken not in FAULTS.values()


def test_an_exception_that_nobody_knows_is_a_broken_answer_named_by_its_class() -> None:
    class Surprise(Exception):
        pass

    error = of_exception(Surprise(f"http://host/{SECRET}"))
    assert isinstance(error, AnswerBroken)
    assert str(error) == "Surprise"


class Scripted:
    """Carries requests for a test."""

    def __init__(self, exchange) -> None:
        self._exchange = exchange

    async def exchange(self, request: HttpRequest, most: int) -> Reply:
        return self._exchange(request)

    async def close(self) -> None:
        pass


def test_whatever_a_carrier_raises_comes_out_as_our_own_error_without_its_words() -> None:
    def broken(request: HttpRequest) -> Reply:
        raise ValueError(f"could not read {request.url}")

    async def main(egress: Egress) -> None:
        with pytest.raises(AnswerBroken, match=r"^ValueError$"):
            await egress.send(post(f"http://host/{SECRET}"), timeout_s=LONG_S)

    with_egress(main, carrier=Scripted(broken))


@given(st.binary(max_size=400))
def test_any_bytes_for_an_answer_are_a_reply_or_our_own_error(data: bytes) -> None:
    ANY_BYTES.at("/", raw(b"HTTP/1.1 200 OK\r\n" + data))
    [result] = sent(post(ANY_BYTES.url), timeout_s=LONG_S)
    assert isinstance(result, Reply | AnswerBroken)


ANY_BYTES = Sink()


@pytest.fixture(scope="module", autouse=True)
def any_bytes() -> Iterator[None]:
    with ANY_BYTES:
        yield


# --- files ---


def line(text: str) -> bytes:
    return msgspec.json.encode({"id": text})


def test_a_line_is_appended_with_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    assert [
        reply.status
        for reply in sent(FileAppend(path=str(path), line=line("a")), FileAppend(path=str(path), line=line("b")))
    ] == [200, 200]
    assert path.read_bytes() == b'{"id":"a"}\n{"id":"b"}\n'
    assert path.stat().st_mode & 0o077 == 0


def test_half_a_line_from_a_crash_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"id":"a"}\n{"id":')
    sent(FileAppend(path=str(path), line=line("b")))
    assert path.read_bytes().splitlines() == [b'{"id":"a"}', b'{"id":', b'{"id":"b"}']


def test_lines_that_wait_together_share_an_fsync_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (syncs.append(descriptor), real(descriptor)))
    path = tmp_path / "events.ndjson"

    async def main(egress: Egress) -> None:
        await asyncio.gather(
            *(egress.send(FileAppend(path=str(path), line=line(str(n))), timeout_s=LONG_S) for n in range(200))
        )

    with_egress(main)
    assert sorted(path.read_bytes().splitlines()) == sorted(line(str(n)) for n in range(200))
    assert len(syncs) <= 4


def test_a_reply_comes_only_after_the_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_it_finish = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: let_it_finish.wait(30))

    async def main(egress: Egress) -> None:
        with pytest.raises(TimedOut):
            await egress.send(FileAppend(path=str(tmp_path / "x"), line=b"1"), timeout_s=0.05)
        let_it_finish.set()

    with_egress(main)


def test_a_line_whose_caller_gave_up_before_it_was_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, let_it_finish = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fsync", lambda _: (writing.set(), let_it_finish.wait(30)))
    path = tmp_path / "events.ndjson"

    async def main(egress: Egress) -> None:
        first = asyncio.create_task(egress.send(FileAppend(path=str(path), line=b"first"), timeout_s=LONG_S))
        await asyncio.to_thread(writing.wait, 30)
        with pytest.raises(TimedOut):
            await egress.send(FileAppend(path=str(path), line=b"given up"), timeout_s=0.05)
        let_it_finish.set()
        await first
        await egress.send(FileAppend(path=str(path), line=b"last"), timeout_s=LONG_S)

    with_egress(main)
    assert path.read_bytes() == b"first\nlast\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param(
            "{tmp}/missing/x.ndjson", "its folder {tmp}/missing does not exist: mkdir -p {tmp}/missing", id="no folder"
        ),
        pytest.param("file://{tmp}/x.ndjson", "does not exist: write path: {tmp}/x.ndjson", id="an address"),
        pytest.param("{tmp}/fifo/x.ndjson", "its folder {tmp}/fifo is not a folder", id="a file instead of a folder"),
        pytest.param("{tmp}", "is a directory", id="a folder"),
        pytest.param("{tmp}/fifo", "not a regular file", id="a pipe"),
        pytest.param("{tmp}/a\0b", "embedded null byte", id="a null byte"),
    ],
)
def test_a_file_that_cannot_be_appended_to_names_itself_and_why(path: str, reason: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    [error] = sent(FileAppend(path=path.format(tmp=tmp_path), line=b"1"))
    assert isinstance(error, FileFailed)
    assert str(tmp_path) in str(error)
    assert reason.format(tmp=tmp_path) in str(error)


def test_a_full_disk_fails_the_lines_that_waited_and_the_next_ones_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.ndjson"
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main(egress: Egress) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(FileFailed, match="no space left on device"):
                await egress.send(FileAppend(path=str(path), line=b"first"), timeout_s=LONG_S)
        await egress.send(FileAppend(path=str(path), line=b"first"), timeout_s=LONG_S)

    with_egress(main)
    assert path.read_bytes() == b"fir\nfirst\n"


# --- the inbox ---


def test_an_inbox_records_instead_of_sending() -> None:
    inbox = Inbox(clock=lambda: 17.5)

    async def main(egress: Egress) -> Reply:
        await egress.send(post("inbox://slack-leads", b'{"text":"first"}'), timeout_s=LONG_S)
        secrets = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET, "x-team": SECRET}
        shown = {"x-webhook-event": "contact.created", "x-webhook-signature": "sha256=1"}
        request = post("inbox://crm_2/contacts/4%2F5?x=1", b"second", "PUT", **secrets, **shown)
        return await egress.send(request, timeout_s=LONG_S)

    assert with_egress(main, inbox=inbox) == Reply(status=200, headers={"content-length": "2"}, body=b"ok")
    newest, oldest = inbox.entries()
    assert (newest.destination, newest.method, newest.path) == ("crm_2", "PUT", "/contacts/4%2F5?x=1")
    assert (newest.body, newest.received_at) == ("second", 17.5)
    assert newest.headers == {
        "content-type": "application/json",
        "webhook-id": "dlv_1",
        "user-agent": "gateway/test",
        "x-webhook-event": "contact.created",
        "x-webhook-signature": "sha256=1",
        "authorization": "***",
        "x-api-key": "***",
        "x-team": "***",
    }
    assert (oldest.destination, oldest.body) == ("slack-leads", '{"text":"first"}')


def test_an_inbox_keeps_the_newest_200() -> None:
    inbox = Inbox(clock=time.time)

    async def main(egress: Egress) -> None:
        for n in range(205):
            await egress.send(post("inbox://crm", str(n).encode()), timeout_s=LONG_S)

    with_egress(main, inbox=inbox)
    assert [entry.body for entry in inbox.entries()] == [str(n) for n in range(204, 4, -1)]


def test_an_inbox_request_without_an_inbox_says_what_to_do() -> None:
    [error] = sent(post("inbox://crm/"))
    assert isinstance(error, ConnectFailed)
    assert "gateway dev" in str(error)
