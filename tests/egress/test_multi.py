"""What the loop has to do for a transfer, and what becomes of transfers if libcurl refuses to go on."""

import asyncio
from collections import Counter
from pathlib import Path

import pycurl
import pytest
import uvloop

from gateway.egress import Door, Egress
from gateway.egress import multi as multi_module
from gateway.errors import EgressError
from gateway.model import HttpRequest
from tests.egress.certificates import Authority
from tests.egress.opening import opened
from tests.sink import Sink, answer

LONG_S = 30.0


def post(url: str) -> HttpRequest:
    return HttpRequest(method="POST", url=url, headers=(("webhook-id", "dlv_1"),), body=b"{}")


class Counted:
    """Calls everything through, and counts the calls by name."""

    def __init__(self, real: object, calls: Counter[str]) -> None:
        self._real = real
        self._calls = calls

    def __getattr__(self, name: str) -> object:
        self._calls[name] += 1
        return getattr(self._real, name)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Of the epoll set and of libcurl's multi handle."""
    counted: Counter[str] = Counter()
    epoll, multi = multi_module.select.epoll, pycurl.CurlMulti
    monkeypatch.setattr(multi_module.select, "epoll", lambda: Counted(epoll(), counted))
    monkeypatch.setattr(multi_module.pycurl, "CurlMulti", lambda: Counted(multi(), counted))
    return counted


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_that_is_used_again_is_watched_already(
    calls: Counter[str], tmp_path: Path, tls: bool, run
) -> None:
    authority = Authority()

    async def main(url: str, door: Door) -> Counter[str]:
        egress = Egress()
        try:
            for _ in range(3):
                await egress.send(post(url), timeout_s=LONG_S, door=door)
            calls.clear()
            for _ in range(20):
                await egress.send(post(url), timeout_s=LONG_S, door=door)
            return calls.copy()
        finally:
            await egress.close()

    with Sink(tls=authority.server(tmp_path) if tls else None) as sink:
        found = run(main(sink.url, Door(ca=authority.pem) if tls else Door()))
        assert sink.connections == 1
    assert (found["register"], found["modify"], found["unregister"]) == (0, 0, 0)
    assert found["add_handle"] == found["remove_handle"] == 20


def test_requests_of_one_turn_begin_together(calls: Counter[str]) -> None:
    async def main(url: str) -> Counter[str]:
        egress = Egress()
        try:
            await egress.send(post(url), timeout_s=LONG_S)
            calls.clear()
            attempts = [asyncio.create_task(egress.send(post(url), timeout_s=LONG_S)) for _ in range(30)]
            while calls["add_handle"] < 30:
                await asyncio.sleep(0)
            begun = calls.copy()
            await asyncio.gather(*attempts)
            return begun
        finally:
            await egress.close()

    with Sink(answer(after_s=0.05)) as sink:
        assert asyncio.run(main(sink.url))["socket_action"] <= 2


def test_what_libcurl_cannot_carry_on_ends_at_once() -> None:
    multi = pycurl.CurlMulti

    class Refusing:
        def __init__(self) -> None:
            self._real = multi()

        def socket_action(self, *_: object) -> None:
            raise pycurl.error(3, "out of memory")

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    async def main() -> list[object]:
        egress = Egress()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(multi_module.pycurl, "CurlMulti", Refusing)
            await opened(egress)
        try:
            both = (egress.send(post("http://127.0.0.1:1/"), timeout_s=LONG_S) for _ in range(2))
            return await asyncio.gather(*both, return_exceptions=True)
        finally:
            await egress.close()

    for error in asyncio.run(main()):
        assert isinstance(error, EgressError)
        assert str(error) == "out of memory"
