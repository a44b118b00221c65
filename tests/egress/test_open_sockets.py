"""However attempts end, no connection stays behind."""

import asyncio
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.egress import Egress
from gateway.errors import EgressError
from gateway.model import HttpRequest
from tests.sink import Sink, answer, chunk_garbage, continue_flood, hang, header_flood, huge, raw, reset

ATTEMPTS = 10_000
AT_ONCE = 50
ENDINGS = {
    "/ok": (answer(), 30.0),
    "/closed": (answer(headers=[("connection", "close")]), 30.0),
    "/refused": (answer(503, b"no"), 30.0),
    "/reset": (reset(), 30.0),
    "/early": (reset(early=True), 30.0),
    "/nothing": (raw(b""), 30.0),
    "/garbage": (raw(b"\0\0\r\n\r\n"), 30.0),
    "/chunks": (chunk_garbage(), 30.0),
    "/long": (huge(1024 * 1024), 30.0),
    "/fields": (header_flood(), 30.0),
    "/interim": (continue_flood(), 30.0),
    "/hang": (hang(), 0.05),
}


def open_sockets(port: int) -> int:
    """Ours that lead to a port; the sink's own, in this process as well, do not."""

    def leads_there(link: Path) -> bool:
        with suppress(OSError):
            if str(link.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(link.name))) as copy:
                    return copy.family == socket.AF_INET and copy.getpeername()[1] == port
        return False

    return sum(map(leads_there, Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_attempts_that_end_in_every_way_leave_no_socket_open() -> None:
    async def main() -> tuple[int, int]:
        egress = Egress()

        async def attempt(number: int) -> None:
            path = paths[number % len(paths)]
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/" if path == "/nobody" else sink.url + path
            method = "POST" if number % 7 else "GET"
            body = b'{"id": 1}' if number % 7 else b""
            request = HttpRequest(method=method, url=url, headers=(("webhook-id", "dlv_1"),), body=body)
            with suppress(EgressError):
                await egress.send(request, timeout_s=ENDINGS.get(path, (None, 30.0))[1])

        async def batch(begin: int, count: int) -> None:
            for at in range(begin, begin + count, AT_ONCE):
                await asyncio.gather(*(attempt(number) for number in range(at, at + AT_ONCE)))

        await batch(0, 500)
        warm, memory = open_sockets(sink.port), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await batch(500, ATTEMPTS)
        during = open_sockets(sink.port)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        await egress.close()
        assert during <= warm + AT_ONCE
        return open_sockets(sink.port), grown

    paths = [*ENDINGS, "/nobody"]
    with socket.socket() as closed, Sink() as sink:
        closed.bind(("127.0.0.1", 0))
        for path, (behaviour, _) in ENDINGS.items():
            sink.at(path, behaviour)
        left, grown_kib = asyncio.run(main())
    assert left == 0
    # The sink's connections that hang for ever are in it.
    assert grown_kib < 64 * 1024
