"""Whether a destination can be reached is found out by connecting, as an attempt would; whether HTTP is spoken there, by HEAD /."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.egress import Door
from gateway.egress.reach import ask, reach
from gateway.errors import AddressBlocked, AnswerBroken, ConnectFailed, EgressError, TimedOut
from tests.egress.certificates import Authority
from tests.egress.proxy import Proxy
from tests.egress.test_ways import UnixSink
from tests.sink import Sink, answer, hang, raw
from tests.smtp import MailServer

PLAIN = Door()


def reached(url: str, door: Door = PLAIN, timeout_s: float = 5.0) -> str:
    return asyncio.run(reach(url, door, timeout_s=timeout_s))


def test_an_open_port_is_reached_and_no_request_is_sent() -> None:
    with Sink() as sink:
        assert reached(f"{sink.url}/hooks/secret") == "127.0.0.1, without TLS"
        assert sink.requests == []


def test_a_name_is_looked_up() -> None:
    with Sink() as sink:
        assert reached(f"http://localhost:{sink.port}") == "127.0.0.1, without TLS"


def test_tls_is_shaken_hands_with_by_the_destinations_own_authority(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:
        with pytest.raises(EgressError, match=r"^TLS: "):
            reached(sink.url)
        assert reached(sink.url, Door(ca=authority.pem)) == "127.0.0.1, TLSv1.3"


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "smtp"])
def test_a_mail_server_is_reached_and_nothing_is_said_to_it(tmp_path: Path, implicit: bool) -> None:
    authority = Authority()
    with MailServer(tls=authority.server(tmp_path), implicit=implicit) as server:
        found = reached(server.url, Door(ca=authority.pem))
    assert found == ("127.0.0.1, TLSv1.3" if implicit else "127.0.0.1, without TLS")
    assert server.commands == []


def test_a_closed_port_is_told() -> None:
    with pytest.raises(EgressError, match="refused"):
        reached("http://127.0.0.1:1")


def test_a_server_that_never_shakes_hands_takes_no_longer_than_it_may() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimedOut):
        reached(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://[fd00:ec2::254]/"])
def test_an_address_that_no_destination_may_have_is_not_connected_to(url: str) -> None:
    with pytest.raises(AddressBlocked):
        reached(url)


def test_a_name_that_must_be_public_may_not_be_private(monkeypatch: pytest.MonkeyPatch) -> None:
    def private(*_: object, **__: object) -> list:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", private)
    with pytest.raises(AddressBlocked, match=r"10\.0\.0\.7"):
        reached("https://hooks.example/", Door(public=True))


# --- what answers there ---


def asked(url: str, door: Door = PLAIN, timeout_s: float = 5.0) -> int:
    return asyncio.run(ask(url, door, timeout_s=timeout_s))


@pytest.mark.parametrize("status", [200, 301, 401, 404, 405, 500])
def test_a_server_is_asked_for_nothing_but_its_root(status: int) -> None:
    with Sink(answer(status)) as sink:
        assert asked(f"{sink.url}/hooks/s3cret?key=s3cret") == status
        [request] = sink.requests
    assert (request.method, request.path, request.body) == ("HEAD", "/", b"")
    assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_server_behind_a_socket_or_a_proxy_is_asked_too(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "App.sock") as unix, Sink() as sink, Proxy(sink.port, login="ada:s3cret") as proxy:
        assert asked(f"{unix.url}/in/s3cret") == 200
        assert asked("http://hooks.test/s3cret", Door(proxy=f"http://ada:s3cret@127.0.0.1:{proxy.port}")) == 200
        assert [each.path for each in unix.requests + sink.requests] == ["/", "/"]
        with pytest.raises(ConnectFailed, match="the proxy answered 407"):
            asked("http://hooks.test/s3cret", Door(proxy=f"http://127.0.0.1:{proxy.port}"))


def test_what_answers_in_no_http_is_no_answer() -> None:
    with Sink(raw(b"220 mail.example ESMTP\r\n")) as sink, pytest.raises(AnswerBroken, match="not HTTP"):
        asked(sink.url)
    with Sink(hang()) as sink, pytest.raises(TimedOut):
        asked(sink.url, timeout_s=0.2)
