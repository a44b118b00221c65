"""A request as a command: a shell sends the same, and no terminal is steered by it."""

import base64
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress import Door
from gateway.model import HttpRequest
from gateway.rehearsal import curl
from gateway.wording import printable
from tests.egress.test_ways import UnixSink
from tests.sink import Sink


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
    assert (
        curl.command(request, between=" ") == "curl -sS http://a.example -H 'x-a: 1' -H content-type: --data-raw '{}'"
    )


@pytest.mark.parametrize("body", [b"@/etc/hostname", b"@-", b"@", b"a=b&c", b"line\nline\r\n", b"<x"])
def test_no_body_begins_with_a_sign_that_curl_reads_as_a_file(body):
    words = words_of(HttpRequest(method="POST", url="http://a.example", headers=(), body=body))
    assert words[-2:] in (["--data-raw", body.decode()], ["--data-binary", "@-"])
    assert (words[0] == "printf") == (words[-1] == "@-" and words[-2] == "--data-binary")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("body", [b"@/etc/hostname", b"@", b'{"a": "@b"}', b"two\nlines\n", b"\x00\xff"])
@pytest.mark.parametrize("path", ["/a", "/a/../b/./c", "/x{1,2}[3-5]?a=[b]"])
def test_curl_sends_what_the_gateway_would(body, path):
    with Sink() as sink:
        headers = (("x-empty", ""), ("x-a", "@/etc/hostname"))
        made = curl.command(HttpRequest(method="POST", url=sink.url + path, headers=headers, body=body))
        subprocess.run(["sh", "-c", made], check=True, capture_output=True, timeout=30)
        [sent] = sink.requests
    assert (sent.path, sent.body) == (path, body)
    assert sent.headers["x-a"] == "@/etc/hostname"
    assert sent.headers["x-empty"] == ""
    assert "content-type" not in sent.headers


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_finds_a_unix_socket(tmp_path):
    with UnixSink(tmp_path / "app.sock") as sink:
        made = curl.command(HttpRequest(method="POST", url=f"{sink.url}/a?b=c", headers=(), body=b"x"))
        subprocess.run(["sh", "-c", made], check=True, capture_output=True, timeout=30)
        assert [each.path for each in sink.requests] == ["/a?b=c"]


def test_a_destination_of_its_own_way_is_reached_that_way():
    door = Door(proxy="http://ada:s3cret@proxy.lan:3128", cert="/c.pem", key="/k.pem", least_tls="1.3", http2=True)
    words = words_of(
        HttpRequest(method="POST", url="http://a.example", headers=(), body=b""), options=[*curl.options(door)]
    )
    proxy, cert, key = ["--proxy", "http://proxy.lan:3128"], ["--cert", "/c.pem"], ["--key", "/k.pem"]
    assert words[-8:] == [*proxy, *cert, *key, "--tlsv1.3", "--http2"]
