"""The cost per event of metrics, log lines and traces: with and without them, in turns, in one process.

Blocks of events go through the door, the store and a delivery to a sink process. Only the HTTP server is left out, so the
share is an upper bound. Figures are CPU time of all threads, medians over the blocks.

    .venv/bin/python bench/telemetry.py [--blocks 30] [--events 200]
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from load import read_requests
from run import ROUTES, SECRET, Process, signed_requests

from gateway import telemetry
from gateway.config import load
from gateway.dispatcher import Dispatcher
from gateway.egress import Egress
from gateway.event import traces
from gateway.process import Gateway
from gateway.routing.peers import Senders
from gateway.store import open_store
from gateway.telemetry.families import Family
from gateway.web.door import Door
from gateway.web.health import Readiness
from gateway.web.rejections import Rejections

HERE = Path(__file__).parent


class Nothing:
    """Replaces a metric."""

    def inc(self):
        pass

    def set(self, value):
        pass

    def observe(self, value):
        pass


NOTHING = Nothing()
QUIET = {
    (telemetry, "log"): lambda *_, **__: None,
    (Family, "of"): lambda *_: NOTHING,
    (telemetry, "INGEST_SECONDS"): NOTHING,
    (telemetry, "COMMIT_SECONDS"): NOTHING,
}
UNTRACED = {
    (traces, "taken_over"): lambda headers: headers,
    (traces, "trace_id"): lambda _: None,
    (traces, "passed_on"): lambda _: (),
}
AS_IT_IS = {place: getattr(*place) for place in (*QUIET, *UNTRACED)}
VARIANTS = {
    "without": {**QUIET, **UNTRACED},
    "metrics_and_log": {**AS_IT_IS, **UNTRACED},
    "traces_too": AS_IT_IS,
}


def switch(to):
    for (owner, name), value in to.items():
        setattr(owner, name, value)


def scopes(path):
    """Each request as the server would pass it on."""
    for request in read_requests(path):
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
        yield {
            "type": "http", "method": "POST", "raw_path": b"/in/xobito", "query_string": b"", "client": ("127.0.0.1", 40_000),
            "headers": [(name, value) for name, _, value in lines],
        }, body  # fmt: skip


async def post(door, scope, body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            assert message["status"] == 202, message

    await door(scope, receive, send)


async def block(door, dispatcher, requests, at_once=16):
    """CPU time per event in seconds, until all of them are delivered."""
    began = time.process_time()
    for start in range(0, len(requests), at_once):
        await asyncio.gather(*(post(door, *request) for request in requests[start : start + at_once]))
        # Nobody claims what finds no free slot.
        await dispatcher.idle()
    return (time.process_time() - began) / len(requests)


async def measure(folder, options):
    config = load(folder / "routes.yaml", environ={})
    telemetry.in_force(
        sources=config.sources, routes=config.takers, entries=config.entries, destinations=config.destinations
    )
    store = await open_store(f"sqlite:///{folder}/gateway.db")
    gateway = Gateway(config=config, store=store, egress=Egress())
    dispatcher = Dispatcher(gateway)
    await dispatcher.recall()
    door = Door(gateway, dispatcher, Readiness(), Rejections(store, time.time), Senders(lambda: config.peers))
    requests = list(scopes(folder / "requests"))
    costs = {name: [] for name in VARIANTS}
    # The first round imports whatever is imported on first use.
    for number, name in enumerate([*VARIANTS] * (options.blocks + 1)):
        switch(VARIANTS[name])
        some = requests[number * options.events : (number + 1) * options.events]
        costs[name].append(await block(door, dispatcher, some))
    await gateway.egress.close()
    await store.close()
    return {name: statistics.median(each[1:]) * 1e6 for name, each in costs.items()}


def logged_to(path, work):
    """Run ``work`` with its log written to a file, so that writing it is measured, too."""
    stderr = os.dup(2)
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), 2)
    telemetry.configure_log("json")
    try:
        return uvloop.run(work)
    finally:
        telemetry.flush_log()
        os.dup2(stderr, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        sink = Process([sys.executable, str(HERE / "sink.py")])
        try:
            (folder / "routes.yaml").write_text(ROUTES.format(secret=SECRET, port=int(sink.first_line)))
            signed_requests(folder / "requests", len(VARIANTS) * (options.blocks + 1) * options.events, 1)
            costs = logged_to(folder / "log", measure(folder, options))
        finally:
            sink.stop()
    for name, cost in costs.items():
        print(f"{name:<16}{cost:6.0f} us  {cost / costs['without'] - 1:+.1%}")


if __name__ == "__main__":
    main()
