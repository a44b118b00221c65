"""`make audit` fails for a vulnerability, and for nothing that the network does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import audit

HASH = "0" * 64
LOCK = f"jinja2==3.1.2 --hash=sha256:{HASH}\nidna==3.10 --hash=sha256:{HASH}\n"
ADVISORY = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "versions": ["3.1.2"],
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.6"}]}],
        }
    ],
}


@contextmanager
def service(status: int, vulnerable: str = "") -> Iterator[str]:
    """The address of a service of advisories, in the format of OSV."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = {"vulns": [ADVISORY]} if asked["package"]["name"] == vulnerable else {}
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Audit a lock file by a service; what was printed, and the exit code."""
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def audited(url: str) -> tuple[int, str]:
        options = ["--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]
        code = audit.main([lock], options)
        return code, capsys.readouterr().out

    return audited


def test_a_vulnerable_package_fails_and_is_named_with_its_remedy(run):
    with service(200, vulnerable="jinja2") as url:
        code, said = run(url)
    assert code == 1
    assert "jinja2 3.1.2: PYSEC-2026-1, fixed in 3.1.6" in said
    assert "idna" not in said


def test_packages_without_an_advisory_pass(run):
    with service(200) as url:
        assert run(url) == (0, "requirements.lock: no known vulnerability in 2 packages\n")


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_service_that_gives_no_advisories_is_no_failure_and_is_said_loudly(run, status):
    with service(status) as url:
        code, said = run(url)
    assert code == 0
    assert "NOT AUDITED" in said


def test_a_closed_network_is_no_failure_and_is_said_loudly(run):
    code, said = run("http://127.0.0.1:9/v1/query")
    assert code == 0
    assert "NOT AUDITED, NO ADVISORIES CAN BE REACHED" in said


def test_a_lock_file_that_cannot_be_read_is_a_failure(tmp_path):
    (tmp_path / "requirements.lock").write_text("jinja2>=3\n")
    with pytest.raises(audit.AuditFailed):
        audit.audit(tmp_path / "requirements.lock")
