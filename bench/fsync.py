"""What slow disks cost: senders at a fixed rate, and how much of it is delivered meanwhile, at several delays of fsync.

``.venv/bin/python bench/fsync.py`` runs the real gateway under a library that delays each fsync (tests/disk/shim.c; it
needs ``cc``) and prints a row for each delay and rate. With ``--against CHECKOUT``, which needs its own ``.venv`` or takes
this one, the other version has its turn before each row.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from run import HERE, ROUTES, SECRET, Process, own_load, signed_requests, sink_count, wait_delivered

ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from tests import disk  # noqa: E402  found by the line above

WARM = 300
COLUMNS = ("version", "fsync ms", "events/s", "accepted/s", "delivered meanwhile", "drained after s", "fsync p50 ms",
           "ack p50 ms", "ack p99 ms", "p99 in fsyncs", "statuses")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", default="0,10,20,50,100", help="milliseconds added to each fsync")
    parser.add_argument("--rates", default="50,200,300,1000", help="events per second")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--answer", type=float, default=0, help="milliseconds until the destination answers")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    versions = {"this": ROOT} if options.against is None else {"other": options.against.resolve(), "this": ROOT}
    rows = []
    if not options.json:
        print(" | ".join(COLUMNS))
    for delay in map(float, options.delays.split(",")):
        for rate in map(int, options.rates.split(",")):
            for version, root in versions.items():
                rows.append([version, *measured(root, delay / 1000, rate, options)])
                if not options.json:
                    print(" | ".join(map(str, rows[-1])), flush=True)
    if options.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=2))


def measured(root, delay_s, rate, options):
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        sink = Process([sys.executable, str(HERE / "sink.py"), "0", str(options.answer / 1000)])
        cleanup.callback(sink.stop)
        sink_port = int(sink.first_line)
        text = ROUTES.format(secret=SECRET, port=sink_port)
        text = text.replace("/in\n", f"/in\n    concurrency: {options.concurrency}\n")
        (folder / "routes.yaml").write_text(text)
        gateway = served(root, folder, delay_s, cleanup)
        port = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
        requests, warm = folder / "requests", folder / "warm"
        signed_requests(warm, WARM, 20_000_000)
        own_load(port, warm, 32, 0)
        wait_delivered(sink_port, WARM)
        count = int(rate * options.seconds)
        signed_requests(requests, count, 1)
        fsync_s = fsync_takes(folder, delay_s)
        began = time.perf_counter()
        load = own_load(port, requests, options.connections, rate)
        meanwhile = sink_count(sink_port)["deliveries"] - WARM
        wait_delivered(sink_port, count + WARM, 60)
        drained = time.perf_counter() - began - load["seconds"]
        return [
            round(delay_s * 1000, 1), rate, round(load["per_second"]), f"{meanwhile / count:.0%}", round(drained, 1),
            round(fsync_s * 1000, 1), round(load["p50_ms"], 1), round(load["p99_ms"], 1),
            # On a tmpfs without a delay there is nothing to compare with.
            round(load["p99_ms"] / 1000 / fsync_s, 1) if fsync_s > 0.001 else "-", load["statuses"],
        ]  # fmt: skip


def served(root, folder, delay_s, cleanup):
    """The gateway of the checkout at ``root``."""
    log = cleanup.enter_context((folder / "log").open("w"))
    own = root / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    environ = {**os.environ, **disk.slow(delay_s), "PYTHONPATH": str(root), "GATEWAY_LOG": "json"}
    command = [python, "-m", "gateway", "serve", "-c", str(folder / "routes.yaml"), "--bind", "127.0.0.1:0"]
    command += ["--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db"]
    gateway = Process(command, stderr=log, cwd=folder, env=environ)
    cleanup.callback(gateway.stop)
    return gateway


def fsync_takes(folder, delay_s, tries=15):
    """The median time of an fdatasync of a page here, with the delay; seconds."""
    times = []
    with (folder / "probe").open("wb") as file:
        for _ in range(tries):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[tries // 2] + delay_s


if __name__ == "__main__":
    main()
