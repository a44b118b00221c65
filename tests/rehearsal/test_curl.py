"""A request as a command: a shell sends the same, and no terminal is steered by it."""

import base64
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import HttpRequest
from gateway.rehearsal import curl
from gateway.wording import printable


def words_of(request: HttpRequest, **how: str) -> list[str]:
    return shlex.split(curl.command(request, **how).replace("\\\n", ""))


@given(st.one_of(st.text(min_size=1).map(lambda text: text.encode("utf-8", "replace")), st.binary(min_size=1)))
def test_any_body_is_the_same_behind_curl_and_steers_no_terminal(body):
    request = HttpRequest(method="POST", url="https://a.example/'x", headers=(("x-a", "it's"),), body=body)
    assert all(line == printable(line) for line in curl.command(request).split("\n"))
    words = words_of(request)
    assert "https://a.example/'x" in words
    assert "x-a: it's" in words
    given = base64.b64decode(words[2]) if words[0] == "printf" else words[-1].encode()
    assert given == body


@pytest.mark.parametrize(
    ("method", "body", "said"),
    [
        ("POST", b"{}", []),
        ("POST", b"", ["--request", "POST"]),
        ("PUT", b"{}", ["--request", "PUT"]),
        ("GET", b"", ["--request", "GET"]),
        ("HEAD", b"", ["--head"]),
    ],
)
def test_the_method_is_said_unless_the_body_says_it(method, body, said):
    words = words_of(HttpRequest(method=method, url="http://a.example", headers=(), body=body))
    assert words[: 3 + len(said)] == ["curl", "-sS", *said, "http://a.example"]


def test_a_command_can_be_one_line():
    request = HttpRequest(method="POST", url="http://a.example", headers=(("x-a", "1"),), body=b"{}")
    assert curl.command(request, between=" ") == "curl -sS http://a.example -H 'x-a: 1' --data-binary '{}'"
