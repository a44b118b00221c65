"""The stream of a running gateway, taken apart, and what its refusals mean."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import api
from gateway.cli.api import Message, messages
from gateway.cli.client import NobodyListens, Unreachable


def lines(text):
    return text.encode().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param("data: a\n\n", [Message("message", "a")], id="no name"),
        pytest.param("event: events\ndata: {}\n\n", [Message("events", "{}")], id="a name"),
        pytest.param("data: a\ndata: b\n\n", [Message("message", "a\nb")], id="two lines"),
        pytest.param("data:a\r\n\r\n", [Message("message", "a")], id="no blank, and CRLF"),
        pytest.param("event: x\n\ndata: a\n\n", [Message("message", "a")], id="a name without data is nothing"),
        pytest.param("data: unfinished\n", [], id="the end comes first"),
        pytest.param(": still here\n\n", [Message("", "")], id="a comment"),
        pytest.param("id: 7\nretry: 5\nnonsense\n\n", [], id="other fields"),
        pytest.param("data: \udcff\n\n".replace("\udcff", "é"), [Message("message", "é")], id="not ASCII"),
    ],
)
def test_a_stream_is_its_messages(stream, expected):
    assert list(messages(lines(stream))) == expected


@given(st.lists(st.binary(max_size=30)))
def test_any_stream_is_read_without_an_error(chunks):
    for message in messages(chunks):
        assert isinstance(message, Message)


@pytest.fixture
def server():
    """Answers what its ``answer`` says: status and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, body = server.answer
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  its base class's name

        def log_message(self, *_):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.url = asked, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_empty_is_not_asked_for(server):
    server.answer = 200, b"{}"
    api.ask(server.url, "/api/events", query={"source": "", "type": "contact.*", "before": None, "limit": 5})
    assert server.asked[0][0] == "/api/events?type=contact.%2A&limit=5"


def test_a_key_travels_with_a_post(server):
    server.answer = 200, b"{}"
    api.ask(server.url, "/api/replay", {"ids": ["dlv_1"]}, key="k1")
    assert server.asked[0][1]["idempotency-key"] == "k1"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, json.dumps({"error": "since: no\x1b[2J"}).encode()), "^since: no\ufffd\\[2J$"),
        ((404, b'{"error":"no event or delivery evt_1"}'), "^no event or delivery evt_1$"),
        ((401, b'{"error":"who?"}'), "GATEWAY_ADMIN_TOKEN"),
        ((503, b'{"status":"no new events are accepted"}'), "503: no new events are accepted"),
        ((500, b"<html>"), "a gateway's admin address"),
        ((200, b"<html>"), "not a gateway's admin address"),
    ],
)
def test_a_refusal_says_why_and_steers_nothing(server, answer, said):
    server.answer = answer
    with pytest.raises(api.ApiRefused, match=said):
        api.ask(server.url, "/api/events")


@pytest.mark.parametrize(
    ("status", "path", "code"),
    [
        (400, "/api/events", 2),
        (404, "/api/events/evt_1", 1),
        (404, "/api/destinations/crn/pause", 2),
        (404, "/api/sources/xobto/handshake", 2),
        (409, "/api/replay", 1),
        (503, "/api/events", 1),
    ],
)
def test_what_was_mistyped_is_a_mistake_of_usage_and_what_is_gone_is_none(server, status, path, code):
    server.answer = status, b'{"error":"no"}'
    with pytest.raises(api.ApiRefused) as caught:
        api.ask(server.url, path)
    assert caught.value.exit_code == code


def test_no_gateway_at_the_usual_address_is_not_the_same_as_none_at_a_named_one(monkeypatch):
    monkeypatch.setenv("GATEWAY_ADMIN_BIND", "127.0.0.1:1")
    with pytest.raises(NobodyListens, match=r"no gateway is running at http://127\.0\.0\.1:1: start it"):
        api.ask("", "/api/events")
    with pytest.raises(Unreachable, match="is --url right") as caught:
        api.ask("http://127.0.0.1:1", "/api/events")
    assert not isinstance(caught.value, NobodyListens)
    assert caught.value.exit_code == NobodyListens.exit_code == 3


def test_a_stream_that_breaks_off_is_unreachable_and_not_the_readers_fault(server):
    server.answer = 200, b"data: 1\n\ndata: 2\n\n"
    with api.listening(server.url, "/api/live", {}) as stream:
        assert [each.data for each in stream] == ["1", "2"]
    with pytest.raises(BrokenPipeError), api.listening(server.url, "/api/live", {}):
        raise BrokenPipeError
