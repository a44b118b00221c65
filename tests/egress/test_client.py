"""httpx over the door: requests as httpx means them, answers whole or refused, and nothing kept from one to the next."""

import asyncio
import base64
import gzip
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from gateway.egress import Door, Egress
from gateway.egress.client import client
from gateway.errors import AnswerBroken, ConnectFailed, EgressError, TLSFailed
from tests.egress.certificates import Authority
from tests.egress.test_ways import UnixSink
from tests.sink import Sink, answer, huge

LONG_S = 30.0
PLAIN = Door()


def asked(
    main: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]],
    door: Door = PLAIN,
    **options: object,
) -> httpx.Response:
    async def run() -> httpx.Response:
        egress = Egress()
        try:
            async with client(egress, **({"door": door, "timeout_s": LONG_S, "most": 1000} | options)) as http:
                return await main(http)
        finally:
            await egress.close()

    return asyncio.run(run())


def test_a_form_is_posted_and_json_is_read() -> None:
    with Sink(answer(200, b'{"access_token": "t"}', [("content-type", "application/json")])) as sink:
        response = asked(lambda http: http.post(f"{sink.url}/token?a=b%2Fc", data={"grant_type": "x y"}))
        [request] = sink.requests
    assert response.json() == {"access_token": "t"}
    assert (request.method, request.path, request.body) == ("POST", "/token?a=b%2Fc", b"grant_type=x+y")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["user-agent"].startswith("gateway/")
    assert request.headers["host"] == f"127.0.0.1:{sink.port}"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_request_without_a_body_has_none(method: str) -> None:
    with Sink() as sink:
        assert asked(lambda http: http.request(method, sink.url)).status_code == 200
        [request] = sink.requests
    assert (request.method, request.body) == (method, b"")
    assert not {"content-type", "transfer-encoding", "content-length"} & set(request.headers)


def test_a_body_in_pieces_goes_out_with_its_length() -> None:
    async def pieces():
        yield b"one"
        yield b"two"

    with Sink() as sink:
        asked(lambda http: http.put(sink.url, content=pieces()))
        assert [(each.body, each.headers["content-length"]) for each in sink.requests] == [(b"onetwo", "6")]


def test_a_login_of_the_url_is_sent_once_as_a_header() -> None:
    with Sink() as sink:
        asked(lambda http: http.get(sink.url.replace("//", "//ann:s3cret@")))
        [request] = sink.requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"ann:s3cret").decode()
    assert request.path == "/"


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b", "ü"])
def test_a_header_that_http_cannot_carry_is_not_sent(value: str) -> None:
    with Sink() as sink:
        with pytest.raises(ConnectFailed, match="the header 'x-token' contains a line break"):
            asked(lambda http: http.get(sink.url, headers=[(b"x-token", value.encode("latin-1"))]))
        assert sink.connections == 0


def test_no_cookie_is_kept() -> None:
    async def twice(http: httpx.AsyncClient) -> httpx.Response:
        await http.get(sink.url)
        return await http.get(sink.url)

    with Sink(answer(200, b"ok", [("set-cookie", "a=b; Path=/")])) as sink:
        asked(twice)
        assert ["cookie" in each.headers for each in sink.requests] == [False, False]


@pytest.mark.parametrize("size", [999, 1000])
def test_an_answer_as_long_as_it_may_be_is_whole(size: int) -> None:
    with Sink(answer(200, b"x" * size)) as sink:
        assert asked(lambda http: http.get(sink.url)).content == b"x" * size


@pytest.mark.parametrize("behaviour", [answer(200, b"x" * 1001), huge(50_000_000)], ids=["a byte", "50 MB"])
def test_a_longer_answer_is_refused_not_cut(behaviour) -> None:
    with Sink(behaviour) as sink, pytest.raises(AnswerBroken, match="the answer is longer than 1000 bytes"):
        asked(lambda http: http.get(sink.url))


def test_a_packed_answer_is_never_unpacked() -> None:
    bomb = gzip.compress(bytes(500_000))
    with Sink(answer(200, bomb, [("content-encoding", "gzip")])) as sink:
        with pytest.raises(AnswerBroken, match="an encoding that nobody asked for"):
            asked(lambda http: http.get(sink.url))
        assert asked(lambda http: http.head(sink.url)).status_code == 200


def test_tls_is_verified_by_the_door(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:
        with pytest.raises(TLSFailed):
            asked(lambda http: http.get(sink.url))
        assert asked(lambda http: http.get(sink.url), Door(ca=authority.pem)).status_code == 200


def test_a_unix_socket_gets_every_request(tmp_path: Path) -> None:
    with UnixSink(tmp_path / "App.sock") as sink:
        response = asked(lambda http: http.get("http://localhost/a?b=c"), socket=str(tmp_path / "App.sock"))
        assert response.content == b"here"
        assert [each.path for each in sink.requests] == ["/a?b=c"]


def test_an_error_names_no_part_of_the_url() -> None:
    with pytest.raises(EgressError) as caught:
        asked(lambda http: http.get("http://127.0.0.1:1/s3cr3t-path?s3cr3t=query"))
    assert "s3cr3t" not in str(caught.value)


def test_an_attempt_does_not_load_httpx() -> None:
    code = """if True:
        import asyncio, sys
        from gateway.egress import Egress
        from gateway.errors import EgressError
        from gateway.model import HttpRequest

        async def main():
            egress = Egress()
            try:
                await egress.send(HttpRequest(method="POST", url="http://127.0.0.1:1/", headers=()), timeout_s=30)
            except EgressError:
                return "httpx" not in sys.modules and "pycurl" in sys.modules
            finally:
                await egress.close()

        sys.exit(not asyncio.run(main()))
    """
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
