"""Whether a destination can be reached is found out by connecting, as an attempt would, and nothing is asked of it."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.egress import Door
from gateway.egress.reach import reach
from gateway.errors import AddressBlocked, EgressError, TimedOut
from tests.egress.certificates import Authority
from tests.sink import Sink

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
