"""The ways to a destination, from routes.yaml to the attempt on record."""

import asyncio
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.config import load
from gateway.errors import ConfigError
from gateway.model import Dead, Delivered, Retry
from tests.egress.certificates import Authority
from tests.egress.proxy import Proxy
from tests.egress.test_hostile import attempted
from tests.egress.test_ways import UnixSink
from tests.sink import Sink, answer


def read(folder: Path, destination: str, *, defaults: str = "", dev: bool = False, **environ: str):
    (folder / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret-of-the-tests}}\n"
        f"defaults: {{{defaults}}}\ndestinations: {{there: {{{destination}}}}}\nalways: [{{to: there}}]\n"
    )
    return load(folder / "routes.yaml", environ=environ, dev=dev)


def problems(folder: Path, destination: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, destination)
    return "\n".join(each.message for each in caught.value.problems)


# --- a proxy ---


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_destination_is_reached_through_its_proxy(tmp_path: Path, scheme: str) -> None:
    with Sink() as sink, Proxy(sink.port) as proxy:
        keys = f'url: "http://hooks.test/in", proxy: "{scheme}://127.0.0.1:{proxy.port}"'
        result, _ = attempted(tmp_path, keys)
        assert isinstance(result, Delivered)
        assert [each.path for each in sink.requests] == ["/in"]
        asked = {"http": "POST http://hooks.test/in", "socks5h": "SOCKS hooks.test:80"}
        assert proxy.asked == [asked[scheme]]


def test_a_login_of_a_proxy_is_sent_to_it_alone_and_shown_nowhere(tmp_path: Path) -> None:
    with Sink() as sink, Proxy(sink.port, login="ada:s3cret-pass") as proxy:
        keys = f'url: "http://hooks.test/in", proxy: "http://ada:s3cret-pass@127.0.0.1:{proxy.port}"'
        result, _ = attempted(tmp_path, keys)
        assert isinstance(result, Delivered)
        shown = [CliRunner().invoke(cli, [*verb, "-c", str(tmp_path / "routes.yaml")]) for verb in VERBS]
    assert "s3cret-pass" not in "".join(each.output for each in shown)
    assert f"--proxy http://127.0.0.1:{proxy.port}" in shown[1].output
    config = load(tmp_path / "routes.yaml", environ={})
    assert "s3cret-pass" not in repr(config)
    assert "s3cret-pass" not in config.masks.text("a proxy said ada:s3cret-pass, or s3cret-pass")


VERBS = [["check"], ["explain", "contact.created", "--curl"], ["explain", "contact.created"]]


def test_what_a_proxy_refuses_is_tried_again_with_its_status(tmp_path: Path) -> None:
    with Proxy(1, refuses=407) as proxy:
        result, attempt = attempted(tmp_path, f'url: "https://hooks.test/in", proxy: "http://127.0.0.1:{proxy.port}"')
    assert isinstance(result, Retry)
    assert attempt.reason.startswith("the proxy answered 407: it needs a user and a password")


def test_the_default_proxy_is_for_those_that_have_none_of_their_own(tmp_path: Path) -> None:
    def proxy_of(destination: str) -> str:
        config = read(tmp_path, destination, defaults='proxy: "http://proxy.test:3128"')
        return config.destinations["there"].door.proxy

    assert proxy_of('url: "https://a.example"') == "http://proxy.test:3128"
    assert proxy_of('url: "https://a.example", proxy: "https://me:x@other.test:443/"') == "https://me:x@other.test:443"
    assert proxy_of('url: "https://a.example", proxy: none') == ""
    assert proxy_of('url: "http+unix://%2Frun%2Fapp.sock/"') == ""
    assert proxy_of("type: file, path: a.ndjson") == ""


def test_what_dev_records_needs_no_proxy_and_no_files(tmp_path: Path) -> None:
    config = read(tmp_path, 'url: "${NOT_SET}", proxy: "http://127.0.0.1:1", tls: {cert: gone.pem}', dev=True)
    assert config.destinations["there"].door.proxy == ""


# --- a Unix socket ---


def test_a_unix_socket_is_a_destination_with_a_host_of_its_own(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "app.sock") as sink:
        result, _ = attempted(tmp_path, f'url: "{sink.url}/hook?a=b", host: app.test, user_agent: Acme/1.0')
        [request] = sink.requests
    assert isinstance(result, Delivered)
    assert request.path == "/hook?a=b"
    assert (request.headers["host"], request.headers["user-agent"]) == ("app.test", "Acme/1.0")


def test_a_unix_socket_is_shown_as_what_it_is(tmp_path: Path) -> None:
    url = f"http+unix://{str(tmp_path / 'app.sock').replace('/', '%2F')}/in"
    read(tmp_path, f'url: "{url}?key=s3cret-value"')
    check, as_curl, explain = (CliRunner().invoke(cli, [*verb, "-c", str(tmp_path / "routes.yaml")]) for verb in VERBS)
    assert f"there: {tmp_path}/app.sock is a socket of this machine\n" in check.output
    assert f"--unix-socket {tmp_path}/app.sock" in as_curl.output
    assert "http://localhost/in?key=" in as_curl.output
    assert f"POST {url}?key=***" in explain.output


def test_a_socket_from_the_environment_is_masked(tmp_path: Path) -> None:
    read(tmp_path, 'url: "http+unix://${SOCKET}/in"', SOCKET="%2Frun%2Fs3cret.sock")
    for verb in VERBS:
        done = CliRunner().invoke(
            cli, [*verb, "-c", str(tmp_path / "routes.yaml")], env={"SOCKET": "%2Frun%2Fs3cret.sock"}
        )
        assert done.exit_code == 0
        assert "s3cret.sock" not in done.output
        assert "***" in done.output


def test_doctor_reaches_a_unix_socket_and_a_proxy(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "app.sock") as unix, Sink() as sink, Proxy(sink.port) as proxy:
        config = read(tmp_path, f'url: "{unix.url}/in"')
        assert asyncio.run(reached(config)) == f"{tmp_path}/app.sock, without TLS"
        config = read(tmp_path, f'url: "http://hooks.test", proxy: "http://127.0.0.1:{proxy.port}"')
        assert asyncio.run(reached(config)) == "127.0.0.1 (the proxy), without TLS"
        assert unix.requests == sink.requests == []


async def reached(config) -> str:
    from gateway.egress.reach import reach

    there = config.destinations["there"]
    return await reach(there.target.url, there.door, timeout_s=30)


# --- TLS ---


def test_a_tunnel_carries_everything_and_its_proxy_sees_nothing(
    tmp_path: Path, authority: Authority, monkeypatch
) -> None:
    system = Authority("the system's")
    (tmp_path / "system.pem").write_text(system.pem)
    (tmp_path / "proxy").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    server = authority.server(tmp_path / "server", host="hooks.test")
    with (
        Sink(tls=server) as sink,
        Proxy(sink.port, login="ada:pr0xy-pass", tls=system.server(tmp_path / "proxy")) as proxy,
    ):
        keys = (
            f'proxy: "https://ada:pr0xy-pass@127.0.0.1:{proxy.port}", auth: {{bearer: s3cret-token}}, host: other.test'
        )
        result, _ = attempted(tmp_path, f'url: "https://hooks.test/in", tls: {{ca: ca.pem}}, {keys}')
        assert isinstance(result, Delivered)
        [request] = sink.requests
        [head] = proxy.heads
    assert head.startswith("connect hooks.test:443 ")
    assert not any(each in head for each in ("s3cret-token", "other.test", "webhook-id"))
    assert request.headers["host"] == "other.test"
    assert "proxy-authorization" not in request.headers


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority, trusted as ca.pem, with a client's certificate in client.pem."""
    made = Authority()
    (tmp_path / "ca.pem").write_text(made.pem)
    for each in ("client", "server"):
        (tmp_path / each).mkdir()
    made.server(tmp_path / "client")
    return made


def test_a_client_certificate_is_shown_and_read_beside_the_file(tmp_path: Path, authority: Authority) -> None:
    server = authority.server(tmp_path / "server")
    server.load_verify_locations(cadata=authority.pem)
    server.verify_mode = ssl.CERT_REQUIRED
    with Sink(tls=server) as sink:
        result, _ = attempted(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem, cert: client/server.pem}}')
        assert isinstance(result, Delivered)
        both = "cert: client/server.pem, key: client/server.pem"
        result, _ = attempted(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem, {both}}}')
        assert isinstance(result, Delivered)
        result, _ = attempted(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem}}')
        assert isinstance(result, Retry)


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path, authority: Authority) -> None:
    authority.server(tmp_path / "server")
    tls = "tls: {cert: client/server.pem, key: server/server.pem}"
    assert "the key belongs to another certificate" in problems(tmp_path, f'url: "https://a.example", {tls}')


def test_the_least_version_of_tls_is_kept(tmp_path: Path, authority: Authority) -> None:
    server = authority.server(tmp_path / "server")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with Sink(tls=server) as sink:
        for least, outcome in (("1.2", Delivered), ('"1.3"', Retry)):
            result, _ = attempted(tmp_path, f'url: "{sink.url}", tls: {{ca: ca.pem, min: {least}}}')
            assert isinstance(result, outcome)


def test_the_host_that_is_named_is_not_the_one_that_is_verified(tmp_path: Path, authority: Authority) -> None:
    with Sink(tls=authority.server(tmp_path / "server")) as sink:
        result, _ = attempted(tmp_path, f'url: "{sink.url}", host: "other.test:8443", tls: {{ca: ca.pem}}')
        assert isinstance(result, Delivered)
        assert sink.requests[0].headers["host"] == "other.test:8443"


def test_http2_is_a_matter_of_the_door(tmp_path: Path) -> None:
    assert read(tmp_path, 'url: "https://a.example", http2: true').destinations["there"].door.http2
    assert not read(tmp_path, 'url: "https://a.example"').destinations["there"].door.http2


# --- names ---


@pytest.mark.parametrize(
    ("url", "ascii_url"),
    [
        ("https://müller.example:8443/in", "https://xn--mller-kva.example:8443/in"),
        ("https://STRAẞE.example", "https://xn--strae-oqa.example"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("http://日本.test", "http://xn--wgv71a.test"),
        ("http://１２７.0.0.1:80/", "http://127.0.0.1:80/"),
    ],
)
def test_a_host_in_another_script_is_sent_as_a_labels(tmp_path: Path, url: str, ascii_url: str) -> None:
    config = read(tmp_path, f'url: "{url}"')
    assert config.destinations["there"].target.url == ascii_url
    shown = CliRunner().invoke(cli, ["explain", "contact.created", "-c", str(tmp_path / "routes.yaml")])
    assert f"POST {ascii_url}" in shown.output


def test_a_private_name_or_insecure_may_be_sent_a_login_in_the_clear(tmp_path: Path) -> None:
    login = "auth: {bearer: s3cret}"
    for host in ("crm", "127.0.0.1", "10.0.0.7", "[::1]:80", "localhost", "a.localhost", "crm.default.svc", "a.lan."):
        assert read(tmp_path, f'url: "http://{host}/in", {login}').warnings == ()
    assert read(tmp_path, f'url: "http://crm.example.com", {login}, insecure: true').warnings == ()
    assert read(tmp_path, 'url: "http://crm.example.com"').warnings == ()
    assert "insecure: true" in str(insecure_hint(tmp_path))


def insecure_hint(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, 'url: "http://crm.example.com", auth: {bearer: s3cret}')
    return caught.value.problems[0].hint


# --- a redirect ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_dead_and_names_where_to(tmp_path: Path, status: int) -> None:
    to = [("location", "https://hooks.test/v2/s3cret-token?token=abc&s3cret-token")]
    with Sink(answer(status, headers=to)) as sink:
        result, attempt = attempted(tmp_path, f'url: "{sink.url}", auth: {{bearer: s3cret-token}}')
        assert len(sink.requests) == 1
    assert isinstance(result, Dead)
    assert f"answered {status}, to https://hooks.test/v2/***?token=***&***; " in attempt.reason
    assert attempt.reason.endswith("then replay")
