"""The one HTTP client of the command line."""

import pytest

from gateway.cli import api
from gateway.cli.client import FAILURES, Client, NobodyListens, Unreachable
from gateway.cli.send import SendRefused, _client, _post, _with_query
from gateway.signatures import Request
from tests.egress.certificates import Authority
from tests.sink import Sink, answer, raw, reset

CLOSING = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def post(client: Client, target: str = "/") -> tuple[int, bytes]:
    return client.answer("POST", target, body=b"{}", headers={"x-a": "1"})


def test_all_requests_share_a_connection():
    with Sink(answer(202, b"yes")) as sink, Client(sink.url, timeout_s=30) as client:
        assert [post(client, f"/{number}") for number in range(5)] == [(202, b"yes")] * 5
    assert sink.connections == 1
    assert [(each.method, each.path, each.body) for each in sink.requests][4] == ("POST", "/4", b"{}")
    assert sink.requests[0].headers["x-a"] == "1"


def test_a_connection_that_was_closed_in_between_is_opened_again():
    with Sink(CLOSING) as sink, Client(sink.url, timeout_s=30) as client:
        assert [post(client)[0] for _ in range(3)] == [200] * 3
    assert len(sink.requests) == 3


def test_a_request_that_never_got_an_answer_is_not_repeated():
    with Sink(raw(b"")) as sink, Client(sink.url, timeout_s=30) as client:
        with pytest.raises(FAILURES):
            post(client)
        assert len(sink.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http:///in", "http://h:port", "http://h:99999", "http://[::1",
     "http://h/ü", "http://h/\x1b"],
)  # fmt: skip
def test_what_is_not_an_address_is_refused(url):
    with pytest.raises(ValueError):
        Client(url, timeout_s=1)


@pytest.mark.parametrize(
    "behaviour", [reset(), raw(b"nonsense\r\n\r\n"), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")]
)
def test_whatever_breaks_on_the_way_is_unreachable(behaviour):
    with Sink(behaviour) as sink, pytest.raises(Unreachable, match="is --url right") as caught:
        api.ask(sink.url, "/api/events")
    assert not isinstance(caught.value, NobodyListens)


def test_an_untrusted_certificate_is_named(tmp_path):
    with Sink(tls=Authority().server(tmp_path)) as sink, pytest.raises(Unreachable, match="certificate verify failed"):
        api.ask(sink.url, "/api/events")


def test_a_redirect_is_not_followed_and_gets_no_token(monkeypatch):
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "5f0c8a7be1d94263a7c41b0e92d86f35")
    with Sink(answer(200, b"{}")) as other, Sink(answer(307, b"", [("location", other.url)])) as sink:
        with pytest.raises(api.ApiRefused, match="answered 307"):
            api.ask(sink.url, "/api/events")
        assert other.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_request_says_why(stream):
    with (
        Sink(answer(400, b'{"error":"since: no"}')) as sink,
        pytest.raises(api.ApiMisused, match=r"^since: no$") as caught,
    ):
        if stream:
            with api.listening(sink.url, "/api/live", {}):
                pass
        else:
            api.ask(sink.url, "/api/events")
    assert caught.value.status == 400


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Sink(answer(200, b"{}")) as sink:
        assert api.ask(sink.url, "/api/events") == {}


# --- gateway send ---


class Source:
    path = "/in/shop"


@pytest.mark.parametrize(
    ("address", "secret", "path"),
    [
        ("", "", "/in/shop"),
        ("/", "", "/in/shop"),
        ("/hooks/", "", "/hooks"),
        ("/hooks?a=1", "", "/hooks?a=1"),
        ("", "s/1", "/in/shop/s/1"),
        ("/hooks?a=1", "s", "/hooks/s?a=1"),
    ],
)
def test_an_event_goes_to_its_source_unless_the_address_names_a_path(address, secret, path):
    with Sink() as sink:
        url = sink.url + address
        with _client(url, Source) as client:
            request = _with_query(client, Request(headers=[], body=b"{}", path_secret=secret.encode()))
            assert _post(client, url, Source, request) == (200, "ok")
    assert sink.requests[0].path == path


def test_no_gateway_to_send_to_is_said():
    with (
        _client("http://127.0.0.1:1", Source) as client,
        pytest.raises(NobodyListens, match="start `gateway dev`") as caught,
    ):
        _post(client, "http://127.0.0.1:1", Source, Request(headers=[], body=b"{}"))
    assert caught.value.exit_code == 3


def test_an_address_that_is_none_is_refused_with_an_example():
    with pytest.raises(SendRefused, match=r"for example http://127\.0\.0\.1:8080/in/shop"):
        _client("localhost", Source)
