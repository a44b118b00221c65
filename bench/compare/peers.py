"""Programs that can do the job: take a signed event at one address and forward it to another. Each as its manual says."""

import hashlib
import hmac
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "gateway" / "presets" / "xobito" / "contact.created.json"
SECRET = "secret-of-the-comparison-0123456789"


@dataclass(frozen=True, kw_only=True)
class Peer:
    name: str
    #: The command that serves on a port and forwards to a URL, with its files in a folder.
    command: Callable[[Path, int, str], list[str]]
    #: Where it takes events, and the body it takes them in.
    path: str
    body: Callable[[bytes], bytes] = lambda event: event
    #: The program that has to be there, and how to get it.
    program: str = sys.executable
    remedy: str = ""

    def missing(self) -> str:
        return "" if shutil.which(self.program) else f"{self.name}: {self.program} IS MISSING: {self.remedy}"

    def request(self, number: int, *, secret: str = SECRET) -> bytes:
        """Event ``number`` as an HTTP request. Every peer gets the same event, signed in the same way."""
        body = self.body(event(number))
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        head = f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        return f"{head}x-webhook-signature: {signature}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def event(number: int) -> bytes:
    payload = json.loads(SAMPLE.read_bytes())
    payload["data"]["id"] = payload["data"]["attributes"]["id"] = number
    payload["data"]["attributes"]["firstname"] = f"evt-{number}"
    return json.dumps(payload, separators=(",", ":")).encode()


def gateway(folder, port, url):
    (folder / "routes.yaml").write_text(
        f"version: 1\n"
        f"sources:\n  xobito: {{preset: xobito, secret: {SECRET}}}\n"
        f"destinations:\n  sink: {{url: '{url}'}}\n"
        f"routes:\n  - {{name: all, match: contact.created, to: sink}}\n"
    )
    return [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "routes.yaml"), "--bind", f"127.0.0.1:{port}",
            "--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db"]  # fmt: skip


def script(_folder, port, url):
    return [sys.executable, str(HERE / "script.py"), str(port), url, SECRET]


def script_forwards_first(folder, port, url):
    return [*script(folder, port, url), "first"]


def webhook(folder, port, url):
    forward = folder / "forward.sh"
    forward.write_text(
        f"#!/bin/sh\nexec curl --silent --fail --max-time 10 -H 'content-type: application/json'"
        f' --data-binary "$1" {url}\n'
    )
    forward.chmod(0o755)
    rule = {"type": "payload-hmac-sha256", "secret": SECRET,
            "parameter": {"source": "header", "name": "X-Webhook-Signature"}}  # fmt: skip
    hook = {
        "id": "events",
        "execute-command": str(forward),
        "pass-arguments-to-command": [{"source": "raw-request-body"}],
        "trigger-rule": {"match": rule},
        "trigger-rule-mismatch-http-response-code": 401,
    }
    (folder / "hooks.json").write_text(json.dumps([hook]))
    return ["webhook", "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port)]


def alertmanager(folder, port, url):
    (folder / "alertmanager.yml").write_text(
        f"route: {{receiver: sink, group_by: [id], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n"
        f"receivers:\n  - name: sink\n    webhook_configs: [{{url: '{url}', send_resolved: false}}]\n"
    )
    return ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error"]  # fmt: skip


def as_alert(body: bytes) -> bytes:
    """An alert of its own for each event, which is in an annotation."""
    number = json.loads(body)["data"]["id"]
    return json.dumps([{"labels": {"alertname": "event", "id": str(number)},
                        "annotations": {"payload": body.decode()}}]).encode()  # fmt: skip


VERIFY = """\
const body = Buffer.from(msg.payload);  // as it arrived: skipBodyParsing
const wanted = global.get('crypto').createHmac('sha256', 'SECRET').update(body).digest();
const given = Buffer.from(msg.req.headers['x-webhook-signature'] || '', 'hex');
if (given.length !== wanted.length || !global.get('crypto').timingSafeEqual(given, wanted)) {
    msg.statusCode = 401;
    return [msg, null];
}
msg.statusCode = 200;
return [msg, {payload: body, headers: {'content-type': 'application/json'}}];
"""


def node_red(folder, port, url):
    """Answers, and forwards beside that: ``http in -> verify -> http response``, ``-> http request``."""
    (folder / "settings.js").write_text(
        "module.exports = {flowFile: 'flows.json', credentialSecret: false, httpAdminRoot: false,"
        f" uiHost: '127.0.0.1', uiPort: {port}, telemetry: {{enabled: false}},"
        " functionGlobalContext: {crypto: require('crypto')}, logging: {console: {level: 'fatal'}}};\n"
    )
    nodes = [
        {"id": "tab", "type": "tab", "label": "events"},
        {"id": "in", "type": "http in", "z": "tab", "method": "post", "url": "/events", "skipBodyParsing": True, "wires": [["verify"]]},
        {"id": "verify", "type": "function", "z": "tab", "func": VERIFY.replace("SECRET", SECRET), "outputs": 2,
         "wires": [["answer"], ["forward"]]},
        {"id": "answer", "type": "http response", "z": "tab", "wires": []},
        {"id": "forward", "type": "http request", "z": "tab", "method": "POST", "url": url, "ret": "txt", "wires": [[]]},
    ]  # fmt: skip
    (folder / "flows.json").write_text(json.dumps(nodes))
    return [NODE_RED, "--userDir", str(folder), "--settings", str(folder / "settings.js")]


NODE_RED = str(HERE / "node_modules" / ".bin" / "node-red")
PEERS = [
    Peer(name="this gateway", command=gateway, path="/in/xobito"),
    Peer(name="script, answers first", command=script, path="/"),
    Peer(name="script, forwards first", command=script_forwards_first, path="/"),
    Peer(name="adnanh/webhook", command=webhook, path="/hooks/events", program="webhook",
         remedy="apt-get install webhook curl"),
    Peer(name="Node-RED", command=node_red, path="/events", program=NODE_RED, remedy="npm install --prefix bench/compare"),
    Peer(name="Alertmanager", command=alertmanager, path="/api/v2/alerts", body=as_alert,
         program="prometheus-alertmanager", remedy="apt-get install prometheus-alertmanager"),
]  # fmt: skip
