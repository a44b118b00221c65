"""The recipes in the documentation, word for word, against servers that behave as the vendors' pages say."""

import asyncio
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.config import load
from gateway.egress import Egress
from gateway.event.paths import assign, unassign
from gateway.model import Dead, Delivered, Delivery, Retry
from gateway.pipeline import deliver
from gateway.process import Gateway
from gateway.routing.cases import sample
from tests.cli.command import run
from tests.test_docs import ROOT, blocks

HOW_TO = ROOT / "docs" / "how-to"
ENVIRON = {
    "XOBITO_WEBHOOK_SECRET": "s",
    "ACME_WEBHOOK_SECRET": "s",
    "NORTH_WEBHOOK_SECRET": "s",
    "ACME_TOKEN": "acme-token",
    "NORTH_TOKEN": "north-token",
}


class Vendor:
    """A server on its own port; a subclass answers."""

    def __enter__(self):
        vendor = self
        vendor.requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                vendor.requests.append((self.path, body))
                status, answer = vendor.answer(self.path, self.headers, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_PATCH(self):
                self.do_POST()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def recipe(folder: Path, page: str, address: str, url: str):
    [example] = re.findall(r"^ *```yaml\n(.*?)^ *```$", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("   ") for line in example.splitlines()]
    assert address in example
    (folder / "routes.yaml").write_text("\n".join(lines).replace(address, url))
    return load(folder / "routes.yaml", environ=ENVIRON)


def sent(config, source: str, name: str = "contact.created", **changes):
    """The result of the first attempt at every delivery of a sample event; None removes a field."""
    payload = json.loads(sample(config.sources[source], name))
    for field, value in changes.items():
        path = ("data", "attributes", field)
        unassign(payload, path) if value is None else assign(payload, path, value)
    body = json.dumps(payload).encode()
    [received] = config.sources[source].received([(b"content-type", b"application/json")], body, now=1.0)
    return asyncio.run(_sent(config, source, received.event, received.payload))


async def _sent(config, source, event, payload):
    gateway = Gateway(config=config, store=None, egress=Egress())
    results = {}
    try:
        for route, destination in config.plan(
            config.sources[source], config.sources[source].naming.facts(event, payload)
        ):
            delivery = Delivery(id="dlv_1", event_id=event.id, route=route, destination=destination)
            results[route] = (await deliver(delivery, event, gateway)).result
    finally:
        await gateway.egress.close()
    return results


# --- every recipe ---


def recipes():
    """Each whole file in the how-tos that has tests of its own."""
    for page in sorted(HOW_TO.glob("*.md")):
        files = [text for language, text in blocks(page) if language == "yaml"]
        for number, text in enumerate(files, start=1):
            if re.search("^version:", text, re.MULTILINE) and re.search("^tests:", text, re.MULTILINE):
                yield pytest.param(text, id=f"{page.name}-{number}")


@pytest.mark.parametrize("text", list(recipes()))
def test_the_file_of_a_recipe_passes_check_and_test_as_a_reader_runs_them(tmp_path, text):
    (tmp_path / "routes.yaml").write_text(text, "utf-8")
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    for name, kept in (("google.json", "google.json"), ("salesforce.pem", "assertion-key.pem")):
        (tmp_path / name).symlink_to(ROOT / "tests" / "config" / "good" / "included" / kept)
    names = re.findall(r"\$\{([A-Z_]+)[}:]", text)
    environ = {name: f"https://{name.lower()}.example/x" if name.endswith("_URL") else name * 2 for name in names}
    checked = run("check", "--strict", "-c", "routes.yaml", cwd=tmp_path, environ=environ)
    assert checked.returncode == 0, checked.stdout
    tested = run("test", "-c", "routes.yaml", cwd=tmp_path)
    assert (tested.returncode, "none failed" in tested.stdout) == (0, True), tested.stdout


def test_each_vendor_with_a_page_has_a_recipe_that_is_tested():
    pages = {param.id.rpartition("-")[0] for param in recipes()}
    assert pages >= {f"{name}.md" for name in ("hubspot", "pipedrive", "notion", "salesforce", "google-sheets")}


# --- Xobito ---


class Xobito(Vendor):
    """``POST /api/v1/{subdomain}/contacts``: phone numbers and addresses are unique in a workspace."""

    def __init__(self):
        self.workspaces = {"acme": [], "north": []}
        self.left = 60

    def answer(self, path, headers, body):
        found = re.fullmatch("/api/v1/(acme|north)/contacts", path)
        if not found:
            return 404, {"status": "error", "message": "Not found"}
        if headers["authorization"] != f"Bearer {found[1]}-token" or headers["accept"] != "application/json":
            return 401, {"status": "error", "message": "Invalid API token"}
        if not self.left:
            return 429, {"message": "Too many requests", "retry_after": 45}
        self.left -= 1
        errors = self.errors(self.workspaces[found[1]], body)
        if errors:
            return 422, {"status": "error", "message": "Validation failed", "errors": errors}
        self.workspaces[found[1]].append(body)
        return 201, {"status": "success", "message": "Contact created successfully", "data": {"id": 452, **body}}

    def errors(self, contacts, body):
        errors = {
            field: [f"The {field} field is required."]
            for field in ("firstname", "phone", "type", "source_id", "status_id")
            if field not in body
        }
        if body.get("type") not in ("lead", "customer"):
            errors["type"] = ["The selected type is invalid."]
        for field in ("phone", "email"):
            if any(contact.get(field) == body[field] for contact in contacts if field in body):
                errors[field] = [f"The {field} has already been taken."]
        return errors


@pytest.fixture
def xobito():
    with Xobito() as vendor:
        yield vendor


def xobito_recipe(folder: Path, vendor: Xobito):
    return recipe(folder, "xobito-as-a-destination.md", "https://dash.xobito.com", vendor.url)


def test_a_contact_of_one_workspace_is_created_in_the_other_with_the_mark(tmp_path, xobito):
    assert sent(xobito_recipe(tmp_path, xobito), "acme", company=None) == {"acme-to-north": Delivered()}
    assert xobito.workspaces == {
        "acme": [],
        "north": [
            {
                "firstname": "John",
                "lastname": "Doe",
                "phone": "+14155551234",
                "email": "john@example.com",
                "type": "lead",
                "source_id": 9,
                "status_id": 1,
            }
        ],
    }


def test_what_was_created_by_the_gateway_does_not_go_back(tmp_path, xobito):
    config = xobito_recipe(tmp_path, xobito)
    sent(config, "acme")
    [created] = xobito.workspaces["north"]
    assert sent(config, "north", source_id=created["source_id"]) == {}
    sent(config, "north", source_id=2)
    assert sent(config, "acme", source_id=xobito.workspaces["acme"][0]["source_id"]) == {}


def test_a_create_that_is_repeated_counts_as_done(tmp_path, xobito):
    config = xobito_recipe(tmp_path, xobito)
    assert [sent(config, "acme") for _ in range(3)] == [{"acme-to-north": Delivered()}] * 3
    assert len(xobito.requests) == 3
    assert len(xobito.workspaces["north"]) == 1


def test_another_422_of_xobito_is_final_and_says_which_field(tmp_path, xobito):
    [verdict] = (sent(xobito_recipe(tmp_path, xobito), "acme", firstname=None)).values()
    assert isinstance(verdict, Dead)
    assert "attrs.firstname" in verdict.reason
    xobito.errors = lambda *_: {"phone": ["The phone is too long."]}
    [verdict] = (sent(xobito_recipe(tmp_path, xobito), "acme")).values()
    assert isinstance(verdict, Dead)
    assert "The phone is too long." in verdict.reason


def test_xobitos_limit_is_waited_for_as_long_as_its_json_says(tmp_path, xobito):
    xobito.left = 0
    [verdict] = (sent(xobito_recipe(tmp_path, xobito), "acme")).values()
    assert isinstance(verdict, Retry)
    assert verdict.after_s == 45


def test_a_guest_is_not_sent_for_the_api_takes_none(tmp_path, xobito):
    assert sent(xobito_recipe(tmp_path, xobito), "acme", type="guest") == {}


def test_a_refused_token_names_its_variable(tmp_path, xobito):
    config = xobito_recipe(tmp_path, xobito)
    xobito.answer = lambda *_: (401, {"status": "error", "message": "Invalid API token"})
    [verdict] = (sent(config, "acme")).values()
    assert isinstance(verdict, Retry), "nothing is given up while a person corrects it"
    assert "auth.bearer is ${NORTH_TOKEN}, which is read at start" in verdict.reason
    assert "north-token" not in verdict.reason
