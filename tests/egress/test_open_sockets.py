"""However attempts end, no connection stays behind."""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.egress.certificates import Authority
from tests.egress.proxy import Proxy
from tests.egress.test_http2 import OK as OK_OVER_HTTP2
from tests.egress.test_http2 import server as http2_server
from tests.egress.test_ways import UnixSink
from tests.sink import Sink, answer, chunk_garbage, continue_flood, hang, header_flood, huge, raw, reset

ATTEMPTS = 10_000
AT_ONCE = 250
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_attempts_of_every_kind_leave_no_socket_open(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "h2").mkdir()
    with ExitStack() as stack:
        enter = stack.enter_context
        sink, secure = enter(Sink()), enter(Sink(tls=authority.server(tmp_path)))
        for path, (behaviour, _) in ENDINGS.items():
            sink.at(path, behaviour)
            secure.at(path, behaviour)
        unix = enter(UnixSink(tmp_path / "app.sock"))
        proxy, refusing = enter(Proxy(sink.port)), enter(Proxy(sink.port, refuses=407))
        tunnel, failing = enter(Proxy(secure.port)), enter(Sink(on_connect=reset()))
        h2, h2_door, _ = enter(http2_server(tmp_path / "h2", OK_OVER_HTTP2))
        closed = enter(socket.socket())
        closed.bind(("127.0.0.1", 0))
        plain, ca = {}, {"ca": authority.pem}
        kinds = [kind(f"{each.url}{path}", door, *wait) for each, door in ((sink, plain), (secure, ca))
                 for path, (_, *wait) in ENDINGS.items()]  # fmt: skip
        kinds += [
            kind(f"http://127.0.0.1:{closed.getsockname()[1]}/", plain),
            kind(f"{sink.url}/hang", plain, is_given_up=True),
            kind(f"{secure.url}/hang", ca, is_given_up=True),
            kind(f"{unix.url}/in", plain),
            kind(f"{unix.url}nobody/in", plain),
            kind("http://hooks.example/ok", {"proxy": f"http://127.0.0.1:{proxy.port}"}),
            kind("http://hooks.example/ok", {"proxy": f"socks5h://127.0.0.1:{proxy.port}"}),
            kind("http://hooks.example/ok", {"proxy": f"http://127.0.0.1:{refusing.port}"}),
            kind("https://hooks.example/ok", {"proxy": f"http://127.0.0.1:{refusing.port}"}),
            kind(f"{secure.url}/ok", ca | {"proxy": f"http://127.0.0.1:{tunnel.port}"}),
            kind(f"{failing.url.replace('http', 'https')}/ok", plain),
            kind(f"{secure.url}/ok", plain),
            kind(f"{h2}ok", {"ca": h2_door.ca, "http2": True}),
            kind("http://169.254.169.254/", plain),
            kind("http://no-such-name.invalid/", plain),
            kind(f"http://localhost:{sink.port}/ok", {"public": True}),
        ]
        script = Path(__file__).with_name("leaking.py")
        ended = subprocess.run(
            [sys.executable, str(script), str(ATTEMPTS)], input=json.dumps(kinds), capture_output=True, text=True
        )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["left"] == 0
    assert found["during"] <= found["warm"] + AT_ONCE
    assert found["grown_kib"] < 16 * 1024
    # Of forty kinds some twelve answer: the attempts were real ones.
    assert ATTEMPTS / 5 < found["answered"] < ATTEMPTS / 2


def kind(url: str, door: dict[str, object], timeout_s: float = 30.0, *, is_given_up: bool = False) -> dict[str, object]:
    return {"url": url, "door": door, "timeout_s": timeout_s, "is_given_up": is_given_up}
