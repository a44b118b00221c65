"""Other ways to a destination: through a proxy, over a Unix socket, with a client certificate, with TLS 1.3 only."""

import asyncio
import os
import re
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.egress import Door, Egress
from gateway.errors import AddressBlocked, AnswerBroken, ConnectFailed, EgressError, TLSFailed
from gateway.model import HttpRequest, Reply
from tests.egress.certificates import Authority
from tests.egress.proxy import Proxy
from tests.sink import Behaviour, Sink, answer, raw, reset

LONG_S = 30.0


def sent(url: str, door: Door = Door(), *, times: int = 1, avoid: str = "") -> Reply | EgressError:  # noqa: B008
    async def main() -> Reply | EgressError:
        egress = Egress()
        if avoid:
            egress.avoid(avoid)
        request = HttpRequest(method="POST", url=url, headers=(("webhook-id", "dlv_1"),), body=b'{"id": 1}')
        try:
            for _ in range(times):
                reply = await egress.send(request, timeout_s=LONG_S, door=door)
        except EgressError as error:
            return error
        else:
            return reply
        finally:
            await egress.close()

    return asyncio.run(main())


# --- a proxy ---


@pytest.fixture
def no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(host: str, *_: object, **__: object) -> list:
        raise AssertionError(f"{host} was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


def test_a_proxy_is_asked_for_the_name_and_nobody_else_is(no_lookups: None) -> None:
    with Sink() as sink, Proxy(sink.port) as proxy:
        door = Door(proxy=f"http://127.0.0.1:{proxy.port}")
        assert sent("http://hooks.example/a?b=c", door).status == 200
        assert proxy.asked == ["POST http://hooks.example/a?b=c"]
        assert [(each.path, each.body) for each in sink.requests] == [("/a?b=c", b'{"id": 1}')]


def test_tls_goes_through_a_tunnel_and_is_verified(no_lookups: None, tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path, host="hooks.example")) as sink, Proxy(sink.port) as proxy:
        door = Door(ca=authority.pem, proxy=f"http://127.0.0.1:{proxy.port}")
        reply = sent("https://hooks.example/a", door, times=2)
        assert reply.status == 200
        assert "x-proxy" not in reply.headers
        assert proxy.asked == ["CONNECT hooks.example:443"]
        assert sink.connections == 1
        other = sent("https://other.example/a", door)
        assert str(other) == "TLS: the certificate is for another host"


def test_socks_looks_names_up_at_the_proxy(no_lookups: None) -> None:
    with Sink() as sink, Proxy(sink.port) as proxy:
        assert sent("http://hooks.example:81/", Door(proxy=f"socks5h://127.0.0.1:{proxy.port}")).status == 200
        assert proxy.asked == ["SOCKS hooks.example:81"]


def test_a_proxy_may_want_a_login(no_lookups: None) -> None:
    with Sink() as sink, Proxy(sink.port, login="ada:s3cret") as proxy:
        assert sent("http://hooks.example/", Door(proxy=f"http://ada:s3cret@127.0.0.1:{proxy.port}")).status == 200


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, ""),
        (403, ": it does not allow this destination: allow it there"),
        (407, ": it needs a user and a password: write them into proxy, as http://user:password@host:port"),
        (502, ": it could not connect to the destination"),
        (504, ": the destination did not answer it in time"),
    ],
)
def test_a_proxy_that_refuses_a_tunnel_says_so_and_what_helps(status: int, meaning: str) -> None:
    with Proxy(1, refuses=status) as proxy:
        refused = sent("https://hooks.example/", Door(proxy=f"http://127.0.0.1:{proxy.port}"))
    assert isinstance(refused, ConnectFailed)
    assert str(refused) == f"the proxy answered {status}{meaning}"


@pytest.mark.parametrize("login", ["", "ada:wr0ng@"])
def test_a_proxy_that_wants_another_login_is_a_failed_connection_with_and_without_tls(login: str) -> None:
    with Sink() as sink, Proxy(sink.port, login="ada:s3cret") as proxy:
        for scheme in ("http", "https"):
            refused = sent(f"{scheme}://hooks.example/", Door(proxy=f"http://{login}127.0.0.1:{proxy.port}"))
            assert isinstance(refused, ConnectFailed)
            assert str(refused).startswith("the proxy answered 407: it needs a user and a password")
            assert "wr0ng" not in str(refused)
        assert sink.requests == []
        assert [each.split()[0] for each in proxy.asked] == ["POST", "CONNECT"]


def test_a_407_of_the_destination_is_its_answer(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(answer(407)) as sink:
        assert sent(sink.url).status == 407
    with Sink(answer(407), tls=authority.server(tmp_path)) as sink, Proxy(sink.port) as proxy:
        assert sent(sink.url, Door(ca=authority.pem, proxy=f"http://127.0.0.1:{proxy.port}")).status == 407
    with Sink(answer(407)) as sink, Proxy(sink.port) as proxy:
        assert sent("http://hooks.example/", Door(proxy=f"socks5h://127.0.0.1:{proxy.port}")).status == 407


@pytest.mark.parametrize("refuses", [b"\x05\xff", b"\x05\x02"], ids=["no method", "a login"])
def test_a_socks_proxy_that_wants_a_login_says_so(refuses: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(refuses)
            if connection.recv(100):
                connection.sendall(b"\x01\x01")
                connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        refused = sent("http://hooks.example/", Door(proxy=f"socks5h://ada:wr0ng@127.0.0.1:{port}"))
        thread.join(30)
    assert isinstance(refused, ConnectFailed)
    assert str(refused) == "the proxy refused the login: write it into proxy, as socks5h://user:password@host:port"


def test_a_proxy_that_is_down_is_a_failed_connection() -> None:
    assert isinstance(sent("http://hooks.example/", Door(proxy="http://127.0.0.1:1")), ConnectFailed)


@pytest.mark.parametrize("public", [False, True])
def test_the_policy_holds_for_the_address_of_a_proxy(public: bool) -> None:
    door = Door(public=public, proxy="http://169.254.169.254:80")
    assert isinstance(sent("http://hooks.example/", door), AddressBlocked)
    itself = sent("http://hooks.example/", Door(proxy="http://127.0.0.1:8080"), avoid="http://127.0.0.1:8080")
    assert isinstance(itself, AddressBlocked)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "hooks.example")
    with Sink() as sink:
        assert sent(sink.url).status == 200
    with Sink() as sink, Proxy(sink.port) as proxy:
        assert sent("http://hooks.example/", Door(proxy=f"http://127.0.0.1:{proxy.port}")).status == 200


# --- a Unix socket ---


class UnixSink(Sink):
    """A sink at the path of a Unix socket."""

    def __init__(self, path: Path, behaviour: Behaviour = answer(200, b"here")) -> None:  # noqa: B008  a frozen value
        super().__init__(behaviour)
        self.path = path

    async def _open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    @property
    def url(self) -> str:
        return "http+unix://" + str(self.path).replace("/", "%2F")


def test_a_unix_socket_is_a_destination(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "app.sock") as sink:
        reply = sent(f"{sink.url}/hook?a=b", times=2)
        assert (reply.status, reply.body) == (200, b"here")
        assert [each.path for each in sink.requests] == ["/hook?a=b"] * 2


def test_a_unix_socket_that_has_gone_is_a_failed_connection(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "app.sock") as sink:
        url = sink.url
        assert sent(f"{url}/hook").status == 200
    # Whoever listened there has ended: its file stays, or goes too.
    with suppress(FileNotFoundError):
        left = sent(f"{url}/hook")
        (tmp_path / "app.sock").unlink()
        assert isinstance(left, ConnectFailed)
        assert str(left) == "nothing listens on the socket: start what should"
    gone = sent(f"{url}/hook")
    assert isinstance(gone, ConnectFailed)
    assert str(gone) == "the socket does not exist: start what listens there, or correct url"


def test_a_unix_socket_that_goes_away_between_two_attempts_fails_the_second(tmp_path: Path) -> None:
    async def main() -> list[Reply | EgressError]:
        egress = Egress()
        results: list[Reply | EgressError] = []
        try:
            for _ in range(2):
                try:
                    request = HttpRequest(method="POST", url=sink.url, headers=(), body=b"{}")
                    results.append(await egress.send(request, timeout_s=LONG_S))
                except EgressError as error:
                    results.append(error)
                sink.path.unlink(missing_ok=True)
        finally:
            await egress.close()
        return results

    with UnixSink(tmp_path / "app.sock") as sink:
        first, second = asyncio.run(main())
        assert len(sink.requests) == 1
    assert first.status == 200
    assert isinstance(second, ConnectFailed)
    assert str(second).startswith("the socket does not exist: ")


@pytest.mark.parametrize("behaviour", [reset(), raw(b""), reset(early=True)], ids=["reset", "closed", "early"])
def test_a_unix_socket_that_goes_away_during_an_attempt_fails_it(tmp_path: Path, behaviour: Behaviour) -> None:
    with UnixSink(tmp_path / "app.sock", behaviour) as sink:
        result = sent(f"{sink.url}/hook")
        assert sink.connections == 1
    assert isinstance(result, AnswerBroken)
    assert re.search("closed|reset", str(result))


@pytest.mark.parametrize("url", ["http+unix://app.sock/x", "http+unix:///x", "http+unix://%00/x"])
def test_a_url_that_names_no_socket_says_how_to(url: str) -> None:
    assert "write http+unix://%2Frun%2Fapp.sock/path" in str(sent(url))


# --- TLS of one's own ---


def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority()
    server = authority.server(tmp_path)
    server.load_verify_locations(cadata=authority.pem)
    server.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "client").mkdir()
    authority.server(tmp_path / "client")
    client = str(tmp_path / "client" / "server.pem")
    with Sink(tls=server) as sink:
        assert sent(sink.url, Door(ca=authority.pem, cert=client)).status == 200
        assert isinstance(sent(sink.url, Door(ca=authority.pem)), EgressError)


def test_a_client_certificate_that_cannot_be_read_is_a_failed_attempt(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:
        failed = sent(sink.url, Door(ca=authority.pem, cert=str(tmp_path / "gone.pem")))
    assert isinstance(failed, ConnectFailed)
    assert str(failed).startswith("TLS: ")


def refusing(context: ssl.SSLContext, listener: socket.socket) -> None:
    """A server that refuses in the handshake, and lets its alert be read."""
    connection, _ = listener.accept()
    with connection, socket.socket(fileno=os.dup(connection.fileno())) as wire:
        with suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass
        while wire.recv(65_536):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("shown", [False, True], ids=["none", "another's"])
def test_a_server_that_refuses_the_client_certificate_says_what_it_wants(
    tmp_path: Path, version: ssl.TLSVersion, shown: bool
) -> None:
    authority = Authority()
    context = authority.server(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem)
    context.minimum_version = context.maximum_version = version
    cert = ""
    if shown:
        (tmp_path / "other").mkdir()
        Authority("Another").server(tmp_path / "other")
        cert = str(tmp_path / "other" / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refusing, args=(context, listener))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        refused = sent(url, Door(ca=authority.pem, cert=cert))
        thread.join(30)
    assert isinstance(refused, TLSFailed)
    wanted = "does not trust the authority of the client certificate" if shown else "require.* a client certificate"
    assert re.match(f"TLS: the server .*{wanted}", str(refused))


def test_a_destination_may_want_tls_1_3(tmp_path: Path) -> None:
    authority = Authority()
    server = authority.server(tmp_path)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with Sink(tls=server) as sink:
        assert sent(sink.url, Door(ca=authority.pem)).status == 200
        assert isinstance(sent(sink.url, Door(ca=authority.pem, least_tls="1.3")), ConnectFailed)
