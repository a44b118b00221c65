"""``make bench``: run the real gateway, a sink and a load of distinct signed events, and print the figures.

Options: ``make bench BENCH="--events 20000 --rate 1000 --seconds 10 --json"``. How to read the figures: bench/README.md.
"""

import argparse
import hashlib
import hmac
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from gateway.event.conditions import Clause
from gateway.event.match import Matcher, Rule

HERE = Path(__file__).parent
SECRET = "bench-secret"
SAMPLE = HERE.parent / "gateway" / "presets" / "xobito" / "contact.created.json"

ROUTES = """\
version: 1
sources:
  xobito: {{preset: xobito, secret: {secret}}}
destinations:
  crm:
    url: http://127.0.0.1:{port}/in
routes:
  - name: contacts
    match: contact.created
    to: crm
    path: /contacts/{{{{ attrs.id }}}}
    body:
      external_id: "{{{{ attrs.id }}}}"
      name: "{{{{ attrs.firstname }}}} {{{{ attrs.lastname }}}}"
      email: "{{{{ attrs.email | default(omit) }}}}"
      phone: "{{{{ attrs.phone | default(omit) }}}}"
"""

# wrk calls request() for each request; each thread sends its own part of the file.
WRK_SCRIPT = """\
local requests = {}
local at = 0
function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read(4)
    if not size then break end
    local a, b, c, d = size:byte(1, 4)
    requests[#requests + 1] = file:read(((a * 256 + b) * 256 + c) * 256 + d)
  end
  file:close()
end
function request()
  at = at + 1
  return requests[(at - 1) % #requests + 1]
end
"""


def signed_requests(path, count, start, records=0):
    """``count`` distinct events as ready-made HTTP requests, about ``records`` contacts; 0: each about a contact of its own."""
    payload = json.loads(SAMPLE.read_bytes())
    with path.open("wb") as file:
        for number in range(start, start + count):
            payload["data"]["id"] = payload["data"]["attributes"]["id"] = number % records if records else number
            payload["data"]["attributes"]["phone"] = f"+{number}"
            body = json.dumps(payload, separators=(",", ":")).encode()
            signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            head = (
                f"POST /in/xobito HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                f"x-webhook-signature: {signature}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            request = head.encode() + body
            file.write(struct.pack(">I", len(request)) + request)


class Process:
    """A child process, ended by its pid."""

    def __init__(self, command, **options):
        self.began = time.perf_counter()
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.first_line = self.popen.stdout.readline()
        self.ready_s = time.perf_counter() - self.began
        if not self.first_line:
            sys.exit(f"{command[0]} did not start (exit {self.popen.wait()})")

    def tree(self):
        """The process and those that it has started."""
        pid = self.popen.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def cpu_s(self):
        """CPU time so far of all threads of all processes, in seconds, as counted by the scheduler."""
        threads = [thread for pid in self.tree() for thread in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def rss_mib(self, key):
        """Of all processes together."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.tree()]
        return sum(int(re.search(rf"{key}:\s+(\d+)", status)[1]) for status in statuses) / 1024

    def stop(self):
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(40)


def sink_count(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=10) as response:
        return json.load(response)


def wait_delivered(port, count, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        got = sink_count(port)["deliveries"]
        if got >= count:
            return got
        time.sleep(0.05)
    return sink_count(port)["deliveries"]


def accepted_by(admin):
    with urllib.request.urlopen(f"{admin}/metrics", timeout=10) as response:
        text = response.read().decode()
    return int(sum(float(n) for n in re.findall(r'events_received_total{.*outcome="accepted".*} (\S+)', text)))


def closed_loop(port, requests, count, connections, folder, use_wrk):
    """At saturation. wrk is stopped by time and has more requests than it can send, so it repeats none."""
    if use_wrk:
        script = folder / "load.lua"
        script.write_text(WRK_SCRIPT)
        seconds = max(3, count // 4000)
        out = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script),
             f"http://127.0.0.1:{port}/in/xobito", "--", str(requests)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return {"per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "generator": "wrk",
                "p50_ms": milliseconds(out, "50%"), "p99_ms": milliseconds(out, "99%")}  # fmt: skip
    return {**own_load(port, requests, connections, 0), "generator": "bench/load.py"}


def milliseconds(out, label):
    number, unit = re.search(rf"{label}\s+([\d.]+)(us|ms|s)", out).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def own_load(port, requests, connections, rate, *more):
    command = [sys.executable, str(HERE / "load.py"), str(requests), "--port", str(port)]
    command += ["--connections", str(connections), "--rate", str(rate), *more]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(gateway, sink_port, admin, load, each=1):
    """Run one load. Returns what it cost until the last delivery arrived; ``each``: deliveries of an event."""
    cpu, before = gateway.cpu_s(), accepted_by(admin)
    delivered = sink_count(sink_port)["deliveries"]
    began = time.perf_counter()
    result = load()
    accepted = accepted_by(admin) - before
    delivered = wait_delivered(sink_port, delivered + accepted * each) - delivered
    elapsed = time.perf_counter() - began
    used = gateway.cpu_s() - cpu
    return {
        "generator": result.get("generator", "bench/load.py"),
        "accepted": accepted,
        "delivered": delivered,
        "accepted_per_s": round(result["per_second"]),
        "delivered_per_s": round(delivered / elapsed),
        "ack_p50_ms": round(result["p50_ms"], 2),
        "ack_p99_ms": round(result["p99_ms"], 2),
        "cpu_us_per_event": round(used / max(accepted, 1) * 1e6),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events in the closed loop")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=int, default=1000, help="events per second at the fixed rate")
    parser.add_argument("--seconds", type=int, default=10, help="how long the fixed rate lasts")
    parser.add_argument("--workers", type=int, default=1, help="as of gateway serve")
    parser.add_argument("--track", type=int, default=0, metavar="N", help="remember what is known of N contacts")
    parser.add_argument("--no-wrk", action="store_true", help="use bench/load.py even if wrk is installed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        sink = Process([sys.executable, str(HERE / "sink.py")])
        cleanup.callback(sink.stop)
        sink_port = int(sink.first_line)
        (folder / "routes.yaml").write_text(
            ROUTES.format(secret=SECRET + ", track: 180d" * bool(options.track), port=sink_port)
        )
        log = cleanup.enter_context((folder / "log").open("w"))
        gateway = Process(
            [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "routes.yaml"), "--bind", "127.0.0.1:0",
             "--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db", "--workers", str(options.workers)],
            stderr=log, cwd=folder,
        )  # fmt: skip
        cleanup.callback(gateway.stop)
        show(figures(gateway, sink_port, folder, options), as_json=options.json)


def figures(gateway, sink_port, folder, options):
    port = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
    admin = re.search(r"admin=(\S+)", gateway.first_line)[1]
    time.sleep(1)
    idle = gateway.rss_mib("VmRSS")
    warm, saturated, paced = folder / "warm", folder / "saturated", folder / "paced"
    signed_requests(warm, 500, 20_000_000, options.track)
    signed_requests(saturated, options.events, 1, options.track)
    signed_requests(paced, options.rate * options.seconds, 10_000_000, options.track)
    measure(gateway, sink_port, admin, lambda: own_load(port, warm, options.connections, 0))
    use_wrk = bool(shutil.which("wrk")) and not options.no_wrk
    return {
        "ready_s": round(gateway.ready_s, 2),
        "rss_idle_mib": round(idle, 1),
        "match_10000_routes_us": round(matching_us(10_000), 1),
        "closed_loop": measure(
            gateway, sink_port, admin,
            lambda: closed_loop(port, saturated, options.events, options.connections, folder, use_wrk),
        ),
        f"at_{options.rate}_per_s": measure(
            gateway, sink_port, admin, lambda: own_load(port, paced, options.connections, options.rate)
        ),
        "rss_peak_mib": round(gateway.rss_mib("VmHWM"), 1),
    }  # fmt: skip


def matching_us(routes, events=2_000):
    """One event against many routes: half differ by type, half have one type and differ by the value of a field."""
    half = routes // 2
    rules = [Rule(patterns=(f"type{number}.created",)) for number in range(half)]
    rules += [
        Rule(patterns=("contact.*",), where=(Clause(path=("attrs", "tenant_id"), values=(number,)),))
        for number in range(half)
    ]
    matcher = Matcher(rules)
    seen = [
        {"event": {"type": "contact.created", "source": "xobito"}, "attrs": {"tenant_id": number}}
        for number in range(events)
    ]
    matcher.match(seen[0])
    began = time.process_time()
    for facts in seen:
        matcher.match(facts)
    return (time.process_time() - began) / events * 1e6


def show(figures, *, as_json):
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"\n{name.replace('_', ' ')}")
            for key, figure in value.items():
                print(f"  {key.replace('_', ' '):<20} {figure}")
        else:
            print(f"{name.replace('_', ' '):<22} {value}")


if __name__ == "__main__":
    main()
