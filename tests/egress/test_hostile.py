"""A destination that means harm, from the file to the attempt on record: each does what it can, once, inside its deadline."""

import asyncio
import gzip
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import load
from gateway.egress import Egress
from gateway.model import Attempt, Dead, Delivered, Delivery, Event, Retry
from gateway.pipeline import deliver
from gateway.presets import load as load_preset
from gateway.process import Gateway
from gateway.routing import Config
from tests.egress.certificates import Authority
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

BODY = load_preset("xobito").samples["contact.created"]
EVENT = Event(id="evt_1", source="xobito", type="contact.created", received_at=0.0, headers={}, body=BODY, sha256=b"")
DELIVERY = Delivery(id="dlv_1", event_id="evt_1", route="all", destination="there")
#: What a hostile answer may make the process hold, bytes; the sink's own share included.
MOST_MEMORY = 12 * 1024 * 1024


def written(folder: Path, destination: str) -> Config:
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
        f"destinations: {{there: {{{destination}}}}}\nroutes: [{{name: all, to: there, text: hi}}]\n"
    )
    return load(folder / "routes.yaml", environ={})


def attempted(folder: Path, destination: str, prepare: Callable[[Egress], None] = lambda _: None):
    """The outcome and the record of one attempt at a destination, as routes.yaml has it."""
    config = written(folder, destination)

    async def run() -> tuple[Delivered | Retry | Dead, Attempt]:
        egress = Egress()
        prepare(egress)
        await opened(egress, {each.door for each in config.destinations.values()})
        gateway = Gateway(config=config, store=None, egress=egress, clock=lambda: 1_000.0, noise=lambda: 0.5)
        try:
            tried = await deliver(DELIVERY, EVENT, gateway)
            return tried.result, tried.attempt
        finally:
            await egress.close()

    return asyncio.run(run())


SHORT = "timeout: 300ms"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

HOSTILE = [
    pytest.param(continue_flood(), Retry, "more than 20 interim answers", id="1xx flood"),
    pytest.param(header_flood(), Retry, "its header is too large", id="endless headers"),
    pytest.param(header_drip(), Retry, "no answer within 0.3 s", id="headers that drip"),
    pytest.param(chunk_garbage(), Retry, "cut off|not HTTP", id="chunked garbage"),
    pytest.param(raw(CHUNKED + b"f" * 40), Retry, "cut off|not HTTP|closed", id="a chunk of a size beyond belief"),
    pytest.param(
        raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 12\r\n\r\n\x1f\x8b\x08" + b"\0" * 9),
        Delivered,
        "",
        id="gzip that nobody unpacks",
    ),
    pytest.param(huge(), Delivered, "", id="300 MB"),
    pytest.param(drip(0.05), Retry, "no answer within 0.3 s", id="a byte now and then"),
    pytest.param(hang(), Retry, "no answer within 0.3 s", id="nothing"),
    pytest.param(endless(b"0" * 100, start=CHUNKED), Retry, "", id="a chunk size without end"),
    pytest.param(reset(early=True), Retry, "reset|closed", id="reset after the header"),
    pytest.param(reset(), Retry, "reset|closed", id="reset after the request"),
    pytest.param(reset(b"HTTP/1.1 200 OK\r\nx: y"), Retry, "reset|closed", id="reset inside the header"),
    pytest.param(
        reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), Retry, "reset|cut off", id="reset inside the body"
    ),
    pytest.param(answer(200, early=True), Delivered, "", id="an answer before the request was read"),
    pytest.param(answer(503, headers=[("retry-after", "-1")]), Retry, "503", id="Retry-After: -1"),
    pytest.param(answer(503, headers=[("retry-after", "99999999999")]), Retry, "503", id="Retry-After: 99999999999"),
    pytest.param(answer(503, headers=[("retry-after", "banana")]), Retry, "503", id="Retry-After: banana"),
    pytest.param(
        answer(302, headers=[("location", "http://169.254.169.254/latest/meta-data")]),
        Dead,
        "redirects are not followed",
        id="a redirect to a metadata address",
    ),
    pytest.param(
        answer(307, headers=[("location", "http://[fd00:ec2::254]/")]), Dead, "redirects are not", id="and by IPv6"
    ),
    pytest.param(
        raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + bytes(100)),
        Retry,
        r"switched to another protocol \(101\), which nobody asked for",
        id="an upgrade nobody asked for",
    ),
    pytest.param(
        endless((b"x-filler: " + b"y" * 8_000 + b"\r\n") * 10),
        Retry,
        "its header is too large",
        id="long headers, 100 MB and more",
    ),
    pytest.param(raw(b"HTTP/0.9\r\n\r\n"), Retry, "not HTTP|closed", id="no HTTP"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"), Retry, "not HTTP", id="a negative length"),
    pytest.param(
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk"), None, "", id="two lengths"
    ),
]


@pytest.mark.parametrize(("behaviour", "outcome", "reason"), HOSTILE)
def test_a_hostile_destination_gets_one_attempt_and_a_reason(
    tmp_path: Path, behaviour: Behaviour, outcome: type | None, reason: str
) -> None:
    with Sink(behaviour) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}", {SHORT}')
        assert sink.connections == 1
        assert len(sink.requests) <= 1
    assert outcome is None or isinstance(result, outcome)
    assert re.search(reason, attempt.reason)
    assert (attempt.reason == "") == isinstance(result, Delivered)
    assert len(attempt.answer) <= 1024
    assert attempt.number == 1


@pytest.mark.parametrize(("written", "least"), [("-1", 0), ("99999999999", 86_400), ("banana", 0), ("1e9", 0)])
def test_a_wait_that_makes_no_sense_neither_hastens_nor_parks_a_delivery(
    tmp_path: Path, written: str, least: float
) -> None:
    with Sink(answer(503, headers=[("retry-after", written)])) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}"')
    assert isinstance(result, Retry)
    assert max(least, 0.5) <= result.after_s <= max(least, 1.5)
    assert attempt.next_s == result.after_s


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(huge(), id="300 MB"),
        pytest.param(continue_flood(), id="1xx flood"),
        pytest.param(header_flood(), id="endless headers"),
        pytest.param(endless(b"4000\r\n" + b"x" * 0x4000 + b"\r\n", start=CHUNKED), id="endless chunks"),
        pytest.param(endless(b"x" * 65_536, start=b"HTTP/1.1 200 OK\r\nx: "), id="a field without end"),
        pytest.param(endless((b"x-filler: " + b"y" * 8_000 + b"\r\n") * 10), id="long fields without end"),
        pytest.param(endless(b"x" * 65_536, start=b"HTTP/1.1 200 OK\r\n\r\n"), id="a body without end"),
    ],
)
def test_a_hostile_answer_takes_no_memory(tmp_path: Path, behaviour: Behaviour) -> None:
    with Sink(answer()) as sink:
        attempted(tmp_path, f'url: "{sink.url}"')
    with Sink(behaviour) as sink:
        tracemalloc.start()
        try:
            attempted(tmp_path, f'url: "{sink.url}", timeout: 1s')
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < MOST_MEMORY


def test_a_gzip_bomb_stays_packed(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    with Sink(answer(200, bomb, [("content-encoding", "gzip")])) as sink:
        tracemalloc.start()
        try:
            result, _ = attempted(tmp_path, f'url: "{sink.url}"')
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(result, Delivered)
    assert peak < MOST_MEMORY


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(reset(), "reset|closed", id="reset after accept"),
        pytest.param(raw(b""), "closed", id="closed after accept"),
        pytest.param(raw(b"\x15\x03\x03\x00\x02\x02\x28"), "TLS: ", id="an alert"),
        pytest.param(raw(b"220 mail.example ESMTP\r\n"), "TLS: ", id="another protocol"),
        pytest.param(hang(), "no answer within 0.3 s", id="no handshake"),
    ],
)
def test_a_handshake_that_fails_is_one_attempt_with_a_reason(tmp_path: Path, behaviour: Behaviour, reason: str) -> None:
    with Sink(on_connect=behaviour) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url.replace("http:", "https:")}", {SHORT}')
        assert sink.connections == 1
    assert isinstance(result, Retry)
    assert re.search(reason, attempt.reason)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"host": "other.example"}, "TLS: the certificate is for another host", id="wrong name"),
        pytest.param({"expired": True}, "TLS: certificate has expired", id="expired"),
    ],
)
def test_a_certificate_that_does_not_hold_is_tried_again(tmp_path: Path, options, reason: str) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    with Sink(tls=authority.server(tmp_path, **options)) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem}}')
        assert sink.requests == []
    assert isinstance(result, Retry)
    assert attempt.reason.startswith(reason)


def test_a_certificate_that_expires_between_two_attempts_fails_the_second(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    context = authority.server(tmp_path)

    async def run() -> list[tuple[Delivered | Retry | Dead, Attempt]]:
        egress = Egress()
        gateway = Gateway(config=config, store=None, egress=egress, clock=lambda: 1_000.0, noise=lambda: 0.5)
        try:
            first = await deliver(DELIVERY, EVENT, gateway)
            # From now on the server shows one whose time is up.
            authority.server(tmp_path, expired=True)
            context.load_cert_chain(tmp_path / "server.pem")
            second = await deliver(DELIVERY, EVENT, gateway)
        finally:
            await egress.close()
        return [(each.result, each.attempt) for each in (first, second)]

    with Sink(answer(headers=[("connection", "close")]), tls=context) as sink:
        config = written(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem}}')
        (first, _), (second, attempt) = asyncio.run(run())
        assert len(sink.requests) == 1
    assert isinstance(first, Delivered)
    assert isinstance(second, Retry)
    assert attempt.reason.startswith("TLS: certificate has expired")


def test_a_certificate_signed_by_itself_is_tried_again(tmp_path: Path) -> None:
    with Sink(tls=Authority().itself(tmp_path)) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}"')
    assert isinstance(result, Retry)
    assert attempt.reason.startswith("TLS: ")


def test_a_blocked_address_is_final_and_says_what_to_do(tmp_path: Path) -> None:
    with Sink() as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}"', lambda egress: egress.avoid(sink.url))
        assert sink.connections == 0
    assert isinstance(result, Dead)
    assert attempt.reason.startswith("blocked address: 127.0.0.1, and port ")
    assert attempt.reason.endswith("write the receiver's address into url, then replay")
    assert attempt.status is None
