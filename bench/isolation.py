"""Does a destination that hangs, or one with a huge backlog, slow the others down?

``.venv/bin/python bench/isolation.py`` makes three comparisons in one run:

1. Five destinations at saturation, with the fifth as quick as the others, then hanging: throughput of the other four, and
   the time from posting an event to its delivery. Then all five with a rate and an order, for the cost of the gates.
2. Five destinations at a fixed rate, with the fifth as quick as the others, then hanging, dead, and slow: the same times.
3. Events for a quick destination at a fixed rate: alone, then alongside ``--waiting`` deliveries for a dead one, then
   while those drain because it is alive again: answer times and memory.
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from run import HERE, SECRET, Process, own_load, show, signed_requests, sink_count, wait_delivered

FIVE = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: {secret}}}}}
defaults: {{timeout: 5s}}
destinations:
  a: {{url: "http://127.0.0.1:{sink}/a"GATES}}
  b: {{url: "http://127.0.0.1:{sink}/b"GATES}}
  c: {{url: "http://127.0.0.1:{sink}/c"GATES}}
  d: {{url: "http://127.0.0.1:{sink}/d"GATES}}
  fifth: {{url: "http://127.0.0.1:{fifth}/e"GATES}}
routes:
  - {{match: contact.created, to: [a, b, c, d, fifth], body: {{id: "{{{{ attrs.id }}}}"}}}}
"""
GATES = ", rate: 20000/s, order_by: attrs.id"
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
WARM, FIRST = 500, 1_000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4_000, help="events at saturation, five deliveries each")
    parser.add_argument("--waiting", type=int, default=100_000, help="deliveries waiting for the dead destination")
    parser.add_argument("--rate", type=int, default=200, help="events per second for the quick destination")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--paced", type=int, default=40, help="events per second for five destinations")
    parser.add_argument("--only", choices=["five", "paced", "mountain"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {}
    if options.only in (None, "five"):
        found["four_beside_a_quick_fifth"] = five(options.events, quick)
        found["four_beside_a_hanging_fifth"] = five(options.events, hanging)
        found["five_with_rate_and_order"] = five(options.events, quick, gates=GATES)
    if options.only in (None, "paced"):
        for fifth in (quick, hanging, dead, slow):
            figures = five(options.paced * options.seconds, fifth, rate=options.paced)
            found[f"at_{options.paced}_per_s_beside_a_{fifth.__name__}_fifth"] = figures
    if options.only in (None, "mountain"):
        found.update(beside_a_mountain(options))
    show(found, as_json=options.json)


def five(events, fifth, *, gates="", rate=0):
    """Five destinations, four of them quick; as fast as they are accepted, or at a rate."""
    with fifth() as fifth_port, world(FIVE.replace("GATES", gates), fifth_port) as (gateway, port, _, sink, folder):
        warm, requests = folder / "warm", folder / "requests"
        signed_requests(warm, WARM, FIRST + events)
        signed_requests(requests, events, FIRST)
        own_load(port, warm, 32, 0)
        wait_delivered(sink, WARM * 4)
        cpu, began = gateway.cpu_s(), time.perf_counter()
        load = own_load(port, requests, 32, rate, "--times")
        delivered = wait_delivered(sink, (WARM + events) * 4) - WARM * 4
        elapsed = time.perf_counter() - began
        return {
            "delivered_by_the_four": f"{delivered} of {events * 4}",
            "delivered_per_s": round(delivered / elapsed),
            **latencies(sink, load["times"]),
            "ack_p99_ms": round(load["p99_ms"], 1),
            "cpu_us_per_delivery": round((gateway.cpu_s() - cpu) / events / (5 if fifth is quick else 4) * 1e6),
        }


def latencies(sink, times):
    """Times from posting an event to the arrival of its delivery."""
    with urllib.request.urlopen(f"http://127.0.0.1:{sink}/arrivals", timeout=60) as response:
        arrivals = json.load(response)
    waits = sorted(at - times[number - FIRST] for number, at in arrivals if FIRST <= number < FIRST + len(times))
    return {
        "latency_p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "latency_p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
    }


def beside_a_mountain(options):
    with dead() as slow, world(TWO, slow) as (gateway, port, admin, sink, folder):
        hill, paced = folder / "hill", folder / "paced"
        signed_requests(hill, options.waiting, 1)
        found = {"quick_alone": paced_load(gateway, port, sink, paced, options, 10_000_000)}
        before = gateway.rss_mib("VmRSS")
        own_load(port, hill, 32, 0)
        growth = gateway.rss_mib("VmRSS") - before
        found["quick_beside_a_dead_one"] = {
            "rss_growth_mib": round(growth, 1),
            **paced_load(gateway, port, sink, paced, options, 20_000_000),
        }
        with quick(slow):
            post(f"{admin}/api/destinations/slow/resume", {})
            wait_delivered(slow, 1)
            began = time.perf_counter()
            drains = found["quick_while_they_drain"] = paced_load(gateway, port, sink, paced, options, 30_000_000)
            drained = sink_count(slow)["deliveries"]
            drains["drained_meanwhile"] = f"{drained} of {options.waiting}"
            drains["drained_per_s"] = round(drained / (time.perf_counter() - began))
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
def world(routes, fifth):
    """The gateway, with a sink for every destination except the one at port ``fifth``."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        port = cleanup.enter_context(quick())
        (folder / "routes.yaml").write_text(routes.format(secret=SECRET, sink=port, fifth=fifth))
        log = cleanup.enter_context((folder / "log").open("w"))
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(folder / "routes.yaml")]
        command += ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db"]
        gateway = Process(command, stderr=log, cwd=folder)
        cleanup.callback(gateway.stop)
        ingest = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
        admin = re.search(r"admin=(\S+)", gateway.first_line)[1]
        yield gateway, ingest, admin, port, folder


@contextmanager
def quick(port=0):
    """A destination that accepts everything; yields its port."""
    sink = Process([sys.executable, str(HERE / "sink.py"), str(port)])
    try:
        yield int(sink.first_line)
    finally:
        sink.stop()


@contextmanager
def dead():
    """A port that refuses every connection, reserved for a sink that may listen there later."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


@contextmanager
def hanging():
    """A server that accepts every connection and never answers."""
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


@contextmanager
def slow(after_s=4.0):
    """A server that answers every request after some seconds."""

    def answer(connection):
        with connection, suppress(OSError):
            while connection.recv(65_536):
                time.sleep(after_s)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def accept():
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


if __name__ == "__main__":
    main()
