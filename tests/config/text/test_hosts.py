"""Urls and hosts as people write them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config.schema import ways
from gateway.config.schema.reading import Unfit, Words
from gateway.config.text import hosts
from gateway.config.text.reader import Scalar
from gateway.egress import unix
from gateway.egress.engine import origin, target
from gateway.errors import Place

PIECES = [
    *(
        "http://",
        "https://",
        "HTTP://",
        "http+unix://",
        "socks5h://",
        "unix:",
        "%2F",
        "%00",
        "%",
        "run",
        "/",
        "//",
        "\\",
    ),
    *("a.example", "127.0.0.1", "[::1]", "[", "]", ":", ":80", ":0", ":99999", "@", "me:x", "?", "#", ".", "-", "_"),
    *("ü", "１２７", "。", "xn--", "\r\n", "\0", " ", "\u202e", "\ud800", "a" * 64, "{{", "none"),
]
urls = st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text()


@given(url=urls)
@example("http+unix://%2Frun%2Fapp.sock?a=b")
@example("https://ü@a.example")
def test_a_url_has_a_problem_or_can_be_used(url: str) -> None:
    if hosts.url_problem(url) is not None:
        return
    sent = hosts.in_ascii(url)
    assert sent.isascii()
    assert sent.isprintable()
    assert hosts.url_problem(sent) is None
    assert target(sent).origin[0]
    assert isinstance(hosts.private(sent), str)


def words(text: str) -> Words:
    return Words(text, text, Scalar(Place("routes.yaml", 1), text, text, Place("routes.yaml", 1), empty=False))


def converted(convert, text: str) -> str | None:
    try:
        return convert(words(text), "it")
    except Unfit as problem:
        assert problem.message
        return None


@given(text=urls)
@example("http://me:p%40ss@a.example:80/")
def test_a_proxy_is_refused_or_has_a_host_and_a_port(text: str) -> None:
    found = converted(ways._proxy, text)
    if found is None or found == ways.NO_PROXY:
        return
    assert found.isascii()
    assert not set(found) & set(" \r\n\0")
    scheme, _, rest = found.partition("://")
    host, port, _ = origin(f"{scheme}://{rest.rpartition('@')[2]}")
    assert origin(found) == (host, port, origin(found)[2])
    assert rest.endswith(f":{port}") or int(rest.rpartition(":")[2]) == port


@given(text=urls)
def test_a_host_or_an_agent_smuggles_nothing_into_a_header(text: str) -> None:
    for convert in (ways._host, ways._user_agent):
        found = converted(convert, text)
        if found is not None:
            assert found
            assert found.isascii()
            assert found.isprintable()
            assert found == found.strip()


@pytest.mark.parametrize(
    ("url", "path", "asked"),
    [
        ("http+unix://%2Frun%2Fapp.sock", "/run/app.sock", "http://localhost/"),
        ("http+unix://%2Frun%2Fapp.sock/", "/run/app.sock", "http://localhost/"),
        ("http+unix://%2Frun%2Fapp.sock?a=b", "/run/app.sock", "http://localhost/?a=b"),
        ("http+unix://%2Frun%2Fa%20b.sock/x/%2F?a=/b", "/run/a b.sock", "http://localhost/x/%2F?a=/b"),
        ("http+unix://%2F" + "a" * 106, "/" + "a" * 106, "http://localhost/"),
    ],
)
def test_a_unix_socket_is_named_before_the_path_of_a_request(url: str, path: str, asked: str) -> None:
    assert hosts.url_problem(url) is None
    assert unix.parted(url) == (path, asked)


@pytest.mark.parametrize(
    ("host", "is_there"),
    [
        ("crm.example.com", True),
        ("CRM.Example.com.", True),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("lan.example", True),
        ("notlocal.locals", True),
        ("crm", False),
        ("crm.local", False),
        ("crm.LOCAL.", False),
        ("crm.internal", False),
        ("crm.lan", False),
        ("crm.home.arpa", False),
        ("crm.test", False),
        ("crm.default.svc", False),
        ("crm.default.svc.cluster.local", False),
        ("localhost", False),
        ("crm.localhost", False),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
    ],
)
def test_what_is_on_the_internet(host: str, is_there: bool) -> None:
    assert hosts.is_on_the_internet(host) is is_there
