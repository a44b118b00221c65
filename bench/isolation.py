"""Whether a destination that hangs, or one with a mountain of waiting deliveries, slows the others down.

``.venv/bin/python bench/isolation.py``. Two comparisons within one run:

1. Five destinations at saturation, the fifth as quick as the others, and then hanging: what the four get.
2. Events for a quick destination at a fixed rate, alone, then beside ``--waiting`` deliveries of a paused one, and
   then while those drain: answer times and memory.
"""

import argparse
import json
import re
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

from run import HERE, SECRET, Process, accepted_by, own_load, show, signed_requests, sink_count, wait_delivered

FOUR = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
defaults: {{timeout: 5s}}
destinations:
  a: {{url: http://127.0.0.1:{sink}/a}}
  b: {{url: http://127.0.0.1:{sink}/b}}
  c: {{url: http://127.0.0.1:{sink}/c}}
  d: {{url: http://127.0.0.1:{sink}/d}}
  fifth: {{url: http://127.0.0.1:{fifth}/e}}
routes:
  - {{match: contact.created, to: [a, b, c, d, fifth], body: {{id: "{{{{ attrs.id }}}}"}}}}
"""
TWO = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
destinations:
  quick: {{url: http://127.0.0.1:{sink}/q}}
  slow: {{url: http://127.0.0.1:{fifth}/s}}
routes:
  - {{match: contact.created, where: {{attrs.id: {{lt: 10000000}}}}, to: slow, body: {{id: "{{{{ attrs.id }}}}"}}}}
  - {{match: contact.created, where: {{attrs.id: {{gte: 10000000}}}}, to: quick, body: {{id: "{{{{ attrs.id }}}}"}}}}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4_000, help="events at saturation, five deliveries each")
    parser.add_argument("--waiting", type=int, default=100_000, help="deliveries that wait for the paused destination")
    parser.add_argument("--rate", type=int, default=200, help="events per second beside them")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {"four_beside_a_quick_fifth": at_saturation(options.events, hangs=False)}
    found["four_beside_a_hanging_fifth"] = at_saturation(options.events, hangs=True)
    found.update(beside_a_mountain(options))
    show(found, as_json=options.json)


def at_saturation(events, *, hangs):
    with world(FOUR, hangs=hangs) as (gateway, port, _, sink, folder):
        requests = folder / "requests"
        signed_requests(requests, events, 1)
        began = time.perf_counter()
        load = own_load(port, requests, 32, 0)
        due = events * 4
        delivered = wait_delivered(sink, due)
        elapsed = time.perf_counter() - began
        return {
            "delivered_by_the_four": f"{delivered} of {due}",
            "delivered_per_s": round(delivered / elapsed),
            "ack_p99_ms": round(load["p99_ms"], 1),
            "cpu_us_per_event": round(gateway.cpu_s() / events * 1e6),
        }


def beside_a_mountain(options):
    with world(TWO, hangs=False) as (gateway, port, admin, sink, folder):
        hill, paced = folder / "hill", folder / "paced"
        signed_requests(hill, options.waiting, 1)
        post(f"{admin}/api/destinations/slow/pause", {"reason": "bench"})
        found = {"quick_alone": paced_load(gateway, port, sink, paced, options, 10_000_000)}
        before = gateway.rss_mib("VmRSS")
        own_load(port, hill, 32, 0)
        waiting = accepted_by(admin) - options.rate * options.seconds
        found["quick_beside_the_waiting"] = {
            "waiting": waiting,
            "rss_growth_mib": round(gateway.rss_mib("VmRSS") - before, 1),
            **paced_load(gateway, port, sink, paced, options, 20_000_000),
        }
        post(f"{admin}/api/destinations/slow/resume", {})
        found["quick_while_they_drain"] = paced_load(gateway, port, sink, paced, options, 30_000_000)
        return found


def paced_load(gateway, port, sink, path, options, start):
    signed_requests(path, options.rate * options.seconds, start)
    before, began = sink_count(sink)["deliveries"], time.perf_counter()
    load = own_load(port, path, 32, options.rate)
    wait_delivered(sink, before + options.rate * options.seconds)
    return {
        "ack_p50_ms": round(load["p50_ms"], 1),
        "ack_p99_ms": round(load["p99_ms"], 1),
        "all_delivered_after_s": round(time.perf_counter() - began, 1),
        "rss_mib": round(gateway.rss_mib("VmRSS"), 1),
    }


@contextmanager
def world(routes, *, hangs):
    """The gateway with a sink for the others and one for the fifth, which takes everything or never answers."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        sink = started(cleanup, [sys.executable, str(HERE / "sink.py")])
        if hangs:
            fifth = cleanup.enter_context(hanging())
        else:
            fifth = int(started(cleanup, [sys.executable, str(HERE / "sink.py")]).first_line)
        port = int(sink.first_line)
        (folder / "routes.yaml").write_text(routes.format(secret=SECRET, sink=port, fifth=fifth))
        log = cleanup.enter_context((folder / "log").open("w"))
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "routes.yaml")]
        command += ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db"]
        gateway = started(cleanup, command, stderr=log, cwd=folder)
        ingest = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
        admin = re.search(r"admin=(\S+)", gateway.first_line)[1]
        yield gateway, ingest, admin, port, folder


def started(cleanup, command, **options):
    process = Process(command, **options)
    cleanup.callback(process.stop)
    return process


@contextmanager
def hanging():
    """A server that accepts every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        kept = []

        def accept():
            while True:
                try:
                    kept.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


if __name__ == "__main__":
    main()
