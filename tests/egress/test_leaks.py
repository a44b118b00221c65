"""No secret comes back: not in an error, an attempt, a log line, the store, the API or a backup, whatever the other side does."""

import asyncio
import base64
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from msgspec.structs import asdict, replace

from gateway import telemetry
from gateway.config import load
from gateway.destinations import KINDS
from gateway.egress import Egress
from gateway.hiding.finder import Needle
from gateway.model import Attempt, Delivery, Event, HttpRequest, Reply
from gateway.pipeline import deliver
from gateway.presets import load as load_preset
from gateway.process import Gateway
from gateway.telemetry import logs
from tests.destinations import examples
from tests.egress.certificates import Authority
from tests.egress.opening import opened
from tests.sink import Behaviour, Sink, Wire, answer, chunk_garbage, continue_flood, hang, header_flood, raw, reset
from tests.web.desk import Desk
from tests.world import numbered, story

BODY = load_preset("xobito").samples["contact.created"]
EVENT = Event(id="evt_1", source="xobito", type="contact.created", received_at=0.0, headers={}, body=BODY, sha256=b"")
DELIVERY = Delivery(id="dlv_1", event_id="evt_1", route="all", destination="there")

SECRET = "s3cr3t-Sentinel+of/twenty"
#: As it may stand in a path or a query.
QUOTED = "s3cr3t-Sentinel%2Bof%2Ftwenty"
SENTINEL = "Sentinel"

KIND = pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.has_url and not kind.is_mail])


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
        await opened(egress, {each.door for each in config.destinations.values()})
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


# --- every kind of secret, in every spelling, everywhere ---

KEY = "-----BEGIN KEY-----\n" + "\n".join(f"MIIEvQ{number}{'Ab0+' * 14}" for number in range(9)) + "\n-----END KEY-----"
#: From outside, as files next to routes.yaml.
FILES = {
    "bearer": "tok-Bearer+01/x",
    "password": "correct horse_9",
    "header": "k-Header~77",
    "pin": "7Kp2",
    # None of them looks like a part of an id.
    "five": "zq-12",
    "hook": "http://127.0.0.1:1/hooks/x1y2z3",
    "key": KEY,
}
SETTINGS = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret-of-source}}
vars: {pin: "${file:pin}", five: "${file:five}", key: "${file:key}"}
destinations:
  crm: {url: "SINK/crm?key=Q1w2e3", auth: {bearer: "${file:bearer}"}, headers: {x-one: literal-One1}}
  basic: {url: "SINK/basic", auth: {basic: {user: ann, password: "${file:password}"}}}
  other: {url: "SINK/other", auth: {header: {name: x-key, value: "${file:header}"}}}
  chat: {type: slack, url: "SINK/services/T01AB/B02CD/w3x4y5", public: false, rate: none}
  hook: {url: "${file:hook}"}
routes:
  - {name: all, to: crm, headers: {x-two: literal-Two2}, body: {a: "{{ vars.pin }}", b: "{{ vars.five }}", c: "{{ vars.key }}"}}
  - {name: rest, to: [basic, other], body: {a: b}}
  - {name: chat, to: chat, text: hi}
"""
#: What an answer repeats, by the destination that gives it.
REPEATED = [
    ("crm", "tok-Bearer+01/x"),
    ("crm", "Q1w2e3"),
    ("crm", "literal-One1"),
    ("crm", "literal-Two2"),
    ("crm", "7Kp2"),
    ("crm", "zq-12"),
    ("crm", KEY.split("\n")[3]),
    ("crm", "s3cret-of-source"),
    ("basic", "correct horse_9"),
    ("basic", "ann:correct horse_9"),
    ("other", "k-Header~77"),
    ("chat", "T01AB/B02CD/w3x4y5"),
    ("chat", "w3x4y5"),
    ("crm", "/hooks/x1y2z3"),
    ("crm", "x1y2z3"),
]
SPELLINGS = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "JSON": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"said": text})),
    "HTML": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}


def everywhere(folder: Path, *more: str) -> bytes:
    """All that was kept on disk."""
    kept = b"".join(path.read_bytes() for path in folder.glob("*.db*"))
    return kept + "".join(more).encode()


@pytest.mark.parametrize("spell", [pytest.param(each, id=name) for name, each in SPELLINGS.items()])
def test_no_secret_is_kept_or_shown_however_an_answer_spells_it(tmp_path, capfd, spell) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    telemetry.configure_log("json", "debug")
    seen: list[str] = []

    @story
    async def scenario() -> None:
        async with Desk(tmp_path, SETTINGS.replace("SINK", sink.url)) as desk:
            for number, (destination, secret) in enumerate(REPEATED):
                path = "/services" if destination == "chat" else f"/{destination}"
                for each in ("/crm", "/basic", "/other", "/services"):
                    sink.at(each, answer(204))
                status = 422 if number % 2 else 200
                sink.at(path, answer(status, f"no such thing: {spell(secret)}, sorry".encode()))
                event_id = (await desk.receive(numbered(number))).event_id
                await desk.dispatcher.idle()
                _, shown = await desk.ask(f"/api/events/{event_id}")
                [said] = [each for each in shown["deliveries"] if each["destination"] == destination]
                assert "***" in said["answer"], secret
                seen.append(json.dumps(shown))
            await desk.store.backup(str(tmp_path / "backup.db"))

    with Sink() as sink:
        scenario()
    telemetry.flush_log()
    out, err = capfd.readouterr()
    kept = everywhere(tmp_path, out, err, *seen)
    assert b"no such thing" in kept
    for _, secret in REPEATED:
        assert secret.encode() not in kept
        assert spell(secret).encode() not in kept
        assert json.dumps(spell(secret))[1:-1].encode() not in kept


# --- what is cut ---


class Says:
    """Answers with a text, without a connection."""

    def __init__(self, status: int, body: bytes) -> None:
        self._reply = Reply(status=status, body=body)

    async def exchange(self, request: HttpRequest, most: int) -> Reply:
        return self._reply

    async def close(self) -> None:
        """Nothing is open."""


def said_by(folder: Path, kind: str, status: int, bodies: Sequence[bytes], event: Event = EVENT) -> list[Attempt]:
    """The attempts that these answers come to."""
    keys = examples.written(KINDS[kind], SECRET, secret_in_url=QUOTED)
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret, redact: {paths: [attrs.email]}}}\n"
        f"destinations: {{there: {{{keys}}}}}\nroutes: [{{name: all, to: there, text: hi}}]\n"
    )
    config = load(folder / "routes.yaml", environ={})

    async def run() -> list[Attempt]:
        gateways = [Gateway(config=config, store=None, egress=Egress(carrier=Says(status, body))) for body in bodies]
        return [(await deliver(DELIVERY, event, gateway)).attempt for gateway in gateways]

    return asyncio.run(run())


EMAIL = json.loads(BODY)["data"]["attributes"]["email"]


@KIND
@pytest.mark.parametrize("hidden", [SECRET, EMAIL], ids=["a secret", "a redacted value"])
def test_no_part_of_a_hidden_text_is_left_where_an_answer_is_cut(tmp_path, kind: str, hidden: str) -> None:
    ends = [*range(150, 205), *range(980, 1_025)]
    bodies = [f"{'x' * end} {hidden} and more".encode() for end in ends]
    bodies += [f"{' ' * end} {hidden} and more".encode() for end in ends]
    for attempt in said_by(tmp_path, kind, 500, bodies):
        assert attempt.reason.startswith("answered 500")
        assert hidden[:3] not in attempt.reason + attempt.answer


@KIND
def test_a_secret_that_is_hidden_does_not_change_what_an_answer_means(tmp_path, kind: str) -> None:
    bodies = [b'{"ok": true, "said": "%s"}' % SECRET.encode(), b'{"ok": false, "error": "x", "retry_after": 7}']
    plain, _ = said_by(tmp_path, kind, 200, bodies)
    assert SENTINEL not in plain.answer
    assert plain.outcome == said_by(tmp_path, kind, 200, [b'{"ok": true, "said": "nothing"}'])[0].outcome


# --- work ---


def test_a_payload_in_a_path_a_query_and_a_header_makes_no_answer_slower_to_hide(tmp_path, monkeypatch) -> None:
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
        "destinations: {there: {url: 'https://a.example/p', auth: {bearer: s3cr3t-token}}}\n"
        "routes: [{name: all, to: there, path: '{{ attrs.note }}', query: {q: '{{ attrs.note }}'}, "
        "headers: {x-note: '{{ attrs.note }}'}, body: {}}]\n"
    )
    config = load(tmp_path / "routes.yaml", environ={})
    config.masks.prepare()
    searched: list[int] = []
    found = Needle.found
    monkeypatch.setattr(Needle, "found", lambda self, layer: searched.append(len(layer.data)) or found(self, layer))

    async def run(note: str) -> int:
        payload = json.loads(BODY)
        payload["data"]["attributes"]["note"] = note
        event = replace(EVENT, body=json.dumps(payload).encode())
        gateway = Gateway(config=config, store=None, egress=Egress(carrier=Says(400, rb'%41 \u0041 "x"')))
        searched.clear()
        attempt = (await deliver(DELIVERY, event, gateway)).attempt
        assert attempt.status == 400
        return sum(searched)

    assert asyncio.run(run("n" * 7_000)) == asyncio.run(run("n"))


def test_a_defect_is_logged_without_secrets_and_redacted_values(tmp_path, capfd, monkeypatch) -> None:
    telemetry.configure_log("json", "debug")

    def burst(*_: object) -> None:
        raise ValueError(f"cannot read {SECRET} of {EMAIL}")

    monkeypatch.setattr("gateway.destinations.kind.Kind.judge", burst)
    [attempt] = said_by(tmp_path, "http", 200, [b"ok"])
    telemetry.flush_log()
    assert attempt.reason.startswith("a defect of the gateway: ValueError")
    _, err = capfd.readouterr()
    assert "cannot read *** of •••" in err
    assert SENTINEL not in err
    assert EMAIL not in err
