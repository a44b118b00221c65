"""A vendor's API on a port of its own, as its pages describe it: a subclass keeps its records and answers."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit


class Call(NamedTuple):
    """One request."""

    method: str
    #: Without its query, decoded.
    path: str
    query: dict[str, str]
    headers: Any
    #: Its JSON, or None.
    body: Any


Answer = tuple[int, object] | tuple[int, object, dict[str, str]]


class Vendor:
    """Answers each request under a lock, so that what a vendor does at once is done at once here."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        #: Seconds between the effect of a request and its answer.
        self.answers_after_s = 0.0

    def answer(self, call: Call) -> Answer:
        """The status and the JSON of the answer, and its headers, if it has any; bytes are sent as they are."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"] or 0))
                address = urlsplit(self.path)
                body = json.loads(data) if data else None
                call = Call(self.command, unquote(address.path), dict(parse_qsl(address.query)), self.headers, body)
                with vendor._lock:
                    vendor.calls.append(call)
                    status, answer, *more = vendor.answer(call)
                time.sleep(vendor.answers_after_s)
                sent = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(sent)))
                for name, value in dict(*more).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  as http.server calls them

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
