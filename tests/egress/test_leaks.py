"""No secret of any kind of destination comes back: not in an error, an attempt or a log line, whatever the other side does."""

import asyncio
import json
import socket
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote

import pytest

from gateway import telemetry
from gateway.config import load
from gateway.destinations import KINDS
from gateway.egress import Egress
from gateway.model import Attempt, Delivery, Event
from gateway.pipeline import Gateway, deliver
from gateway.presets import load as load_preset
from gateway.telemetry import logs
from tests.destinations import examples
from tests.egress.certificates import Authority
from tests.sink import Behaviour, Sink, Wire, answer, chunk_garbage, continue_flood, hang, header_flood, raw, reset

BODY = load_preset("xobito").samples["contact.created"]
EVENT = Event(id="evt_1", source="xobito", type="contact.created", received_at=0.0, headers={}, body=BODY, sha256=b"")
DELIVERY = Delivery(id="dlv_1", event_id="evt_1", route="all", destination="there")

SECRET = "s3cr3t-Sentinel+of/twenty"
#: As it may stand in a path or a query.
QUOTED = "s3cr3t-Sentinel%2Bof%2Ftwenty"
SENTINEL = "Sentinel"

KIND = pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.has_url])


def attempted(folder: Path, kind: str, url: str) -> Attempt:
    keys = examples.written(KINDS[kind], SECRET, secret_in_url=QUOTED, host=url)
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
        f"destinations: {{there: {{timeout: 200ms, {keys}}}}}\n"
        "routes: [{name: all, to: there, text: hi}]\n"
    )
    config = load(folder / "routes.yaml", environ={})

    async def run() -> Attempt:
        egress = Egress()
        await egress.warm({each.door for each in config.destinations.values()})
        gateway = Gateway(config=config, store=None, egress=egress, clock=lambda: 1_000.0, noise=lambda: 0.5)
        try:
            attempt = (await deliver(DELIVERY, EVENT, gateway)).attempt
        finally:
            await egress.close()
        return attempt

    telemetry.configure_log("json", "debug")
    attempt = asyncio.run(run())
    telemetry.flush_log()
    return attempt


@pytest.fixture(autouse=True)
def _silent_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged here stays here."""
    monkeypatch.setattr(logs, "_write", logs._write)


def parrot(status: int) -> Behaviour:
    """Answers with all that it was sent: as it came, unquoted, and inside JSON."""

    async def run(wire: Wire) -> bool:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        said = (head + unquote(head) + json.dumps(head)).encode()
        await wire.send(f"HTTP/1.1 {status} No\r\ncontent-length: {len(said)}\r\n\r\n".encode() + said)
        return False

    return Behaviour(run)


def check_nothing_leaks(attempt: Attempt, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = capfd.readouterr()
    assert SENTINEL not in f"{out}{err}{attempt!r}{asdict(attempt)}"


@KIND
@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        pytest.param(reset(), None, id="reset"),
        pytest.param(raw(b""), None, id="closed"),
        pytest.param(raw(b"nonsense\r\n\r\n"), None, id="no HTTP"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"), None, id="broken off"),
        pytest.param(chunk_garbage(), None, id="garbage between chunks"),
        pytest.param(header_flood(), None, id="endless headers"),
        pytest.param(continue_flood(), None, id="1xx flood"),
        pytest.param(hang(), None, id="timeout"),
        pytest.param(answer(302, headers=[("location", f"https://x/{QUOTED}")]), 302, id="redirect"),
        pytest.param(answer(401, b"no"), 401, id="401"),
    ],
)
def test_no_failure_tells_a_secret(tmp_path, capfd, kind: str, behaviour: Behaviour, status: int | None) -> None:
    with Sink(behaviour) as sink:
        attempt = attempted(tmp_path, kind, sink.url)
    assert attempt.status == status
    assert attempt.reason
    check_nothing_leaks(attempt, capfd)


@KIND
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_an_answer_that_repeats_the_request_goes_on_record_without_its_secrets(
    tmp_path, capfd, kind: str, status: int
) -> None:
    with Sink(on_connect=parrot(status)) as sink:
        attempt = attempted(tmp_path, kind, sink.url)
    assert attempt.status == status
    assert "***" in attempt.answer
    check_nothing_leaks(attempt, capfd)


@KIND
def test_no_failed_connection_tells_a_secret(tmp_path, capfd, kind: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        attempt = attempted(tmp_path, kind, f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert attempt.reason == "connection refused"
    check_nothing_leaks(attempt, capfd)


@KIND
def test_no_failure_of_tls_tells_a_secret(tmp_path, capfd, kind: str) -> None:
    with Sink(tls=Authority().server(tmp_path)) as sink:
        attempt = attempted(tmp_path, kind, sink.url)
    assert attempt.reason.startswith("TLS: ")
    check_nothing_leaks(attempt, capfd)


@KIND
@pytest.mark.parametrize("answers", [["169.254.169.254"], []], ids=["blocked", "not found"])
def test_no_name_that_leads_nowhere_tells_a_secret(tmp_path, capfd, monkeypatch, kind: str, answers: list[str]) -> None:
    def getaddrinfo(host: str, port: int, *_, **__) -> list:
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} not known")
        return [(socket.AF_INET, 1, 6, "", (each, port)) for each in answers]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    attempt = attempted(tmp_path, kind, "https://hooks.test")
    assert attempt.reason.startswith("blocked address: hooks.test is " if answers else "name not found")
    check_nothing_leaks(attempt, capfd)
