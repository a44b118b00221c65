"""The modules that a verb loads, which is most of its run time."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.store import open_store
from tests.store.given import new_event

#: Modules needed only to run a gateway or to compile routes.yaml.
HEAVY = {
    "jinja2", "yaml", "prometheus_client", "structlog", "litestar", "uvicorn", "aiohttp", "httpx", "re2", "cryptography",
    "tenacity", "gateway.config.compile", "gateway.routing", "gateway.pipeline", "gateway.telemetry",
}  # fmt: skip
RUN = """
import sys
from gateway.cli import main
import gateway.cli.tail
for line in sys.stdin.read().splitlines():
    sys.argv = ["gateway", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
print("loaded:", *sys.modules, file=sys.stderr)
"""
HISTORY = {
    "id": "evt_1", "type": "contact.created", "source": "xobito", "received_at": "2026-01-01T00:00:00.000Z", "size": 2,
    "intact": True, "headers": {}, "deliveries": [], "requests": [], "held_back": [], "payload": {}, "why_not_explained": "gone", "summary": "",
}  # fmt: skip
ANSWERS = {
    "/api/events": {"events": [HISTORY], "next": None},
    "/api/events/evt_1": HISTORY,
    "/api/dead": {"groups": [{"destination": "crm", "cause": "answered 422", "count": 1}]},
    "/api/deliveries": {"deliveries": [], "next": None},
    "/api/destinations": [],
    "/api/activity": {"activity": [], "next": None},
}
ANYWHERE = ["events", "events --json", "events --type contact.*", "dead", "dead --list", "activity", "--version"]
FROM_THE_API = [*ANYWHERE, "events --find john", "show evt_1", "show evt_1 --why", "destinations", "--help"]


def loaded(folder, verbs, **environ):
    # Most users have one.
    (folder / ".env").write_text("GATEWAY_ADMIN_TOKEN=5f0c8a7be1d94263a7c41b0e92d86f35\n")
    done = subprocess.run(
        [sys.executable, "-c", RUN], input="\n".join(verbs), cwd=folder, env={**environ, "PATH": ""},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return set(done.stderr.partition("loaded:")[2].split())


@pytest.fixture
def api():
    """Address of a server that answers like a gateway."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(ANSWERS[self.path.partition("?")[0]]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_verb_that_looks_at_a_running_gateway_loads_nothing_of_one(tmp_path, api):
    modules = loaded(tmp_path, FROM_THE_API, GATEWAY_ADMIN_BIND=api)
    assert "gateway.cli.show" in modules
    assert modules & (HEAVY | {"apsw", "asyncio"}) == set()


def test_a_verb_that_looks_at_a_store_loads_what_reads_it(tmp_path):
    async def fill():
        store = await open_store(f"sqlite:///{tmp_path}/gateway.db")
        await store.append([new_event()])
        await store.close()

    asyncio.run(fill())
    modules = loaded(tmp_path, ANYWHERE, GATEWAY_ADMIN_BIND="127.0.0.1:1")
    assert "apsw" in modules
    assert modules & HEAVY == set()


#: What a gateway that serves needs for its first attempt only, or to say something to a person.
LATER = {"pycurl", "httpx", "rich", "rich_click"}


def test_a_gateway_that_is_ready_has_not_loaded_what_its_first_attempt_needs(tmp_path):
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n"
        "destinations: {crm: {url: 'https://crm.example/in'}}\nroutes: [{name: all, match: '*', to: crm}]\n"
    )
    command = [sys.executable, "-X", "importtime", "-m", "gateway", "serve"]
    with (tmp_path / "said").open("w+") as said, subprocess.Popen(
        [*command, "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"],
        cwd=tmp_path, env={"PATH": ""}, stdout=subprocess.PIPE, stderr=said, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout.readline().startswith("ready")
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)
        said.seek(0)
        lines = said.read().splitlines()
    modules = {each.rpartition("|")[2].strip() for each in lines if each.startswith("import time:")}
    assert "gateway.routing" in modules
    assert modules & LATER == set()
