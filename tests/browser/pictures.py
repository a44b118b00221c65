"""The pictures of the console in docs/pictures: python -m tests.browser.pictures (make pictures).

Drawn by the console's own pages from the examples in tests/console/given.py, so that they show an hour of traffic and
come out the same each time.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

from gateway import console
from tests.browser.conftest import OPTIONS
from tests.console import given

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


def pages() -> Mapping[str, bytes]:
    live = console.live_page(
        given.a_shell(dead=37), stats=given.stats(), destinations=given.destinations(), rows=given.rows(),
        filter=given.NO_FILTER, choices=given.CHOICES, paging=given.a_paging(),
    )  # fmt: skip
    done = given.a_progress(total=12, moved=12, pending=0, delivered=12, dead=0, finished=True, over=True)
    before = given.an_activity(2, subject="dead for slack-leads", reason="a template was wrong", progress=done)
    return {
        "/live-page": live,
        "/event": console.event_page(given.a_shell(page="", dead=37), given.an_event(), kinds=given.KINDS),
        "/destinations": console.destinations_page(given.a_shell(page="destinations", dead=37), given.destinations()),
        "/dead": console.dead_page(
            given.a_shell(page="dead", dead=1563), given.groups(), [given.an_activity(), before]
        ),
        "/console.css": console.stylesheet(),
        "/console.js": console.script(),
    }


#: Name, path, scheme, height.
PICTURES = (
    ("live", "/live-page", "light", 960),
    ("live-dark", "/live-page", "dark", 960),
    ("event", "/event", "light", 2040),
    ("event-dark", "/event", "dark", 960),
    ("destinations", "/destinations", "light", 800),
    ("dead-letters", "/dead", "light", 620),
)


@contextmanager
def served(found: Mapping[str, bytes]) -> Iterator[str]:
    """The pages on a port of this machine, and a stream in which nothing happens."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_stream = self.path.startswith("/live") and self.path not in found
            kinds = {"css": "text/css", "js": "text/javascript"}
            kind = "text/event-stream" if is_stream else kinds.get(self.path.rpartition(".")[2], "text/html")
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(b": nothing\n\n" if is_stream else found.get(self.path, b""))
            self.wfile.flush()
            if is_stream:
                ended.wait()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()


def main() -> None:
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with served(pages()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        for name, at, scheme, height in PICTURES:
            page = browser.new_page(
                viewport={"width": 1280, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            page.goto(address + at)
            page.evaluate("document.fonts.ready")
            page.wait_for_timeout(300)
            picture = FOLDER / f"{name}.png"
            page.screenshot(path=picture)
            # A third of the size, where it is installed; the colours of a page are few.
            if shutil.which("pngquant"):
                subprocess.run(["pngquant", "--force", "--ext", ".png", "--speed", "1", picture], check=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
