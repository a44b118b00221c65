"""Do senders feel the upkeep? Answer times while a mountain of old events is pruned, next to those without one.

``.venv/bin/python bench/upkeep.py --keep /var/tmp/old`` fills a store with ``--events`` events that are 31 days old, each
with a delivered delivery and its attempt (once; it takes a few minutes for 940,000), starts the gateway on a copy of it, and
posts at a fixed rate while they are pruned. In turns with an empty store.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from run import HERE, ROUTES, SECRET, Process, own_load, signed_requests, wait_delivered

ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from operating import BATCH, new_event, outcome  # noqa: E402  beside this file

from gateway.store import open_store  # noqa: E402  found by the line above
from tests import disk  # noqa: E402  found by the line above

AGE_S = 31 * 86400.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=940_000, help="old events")
    parser.add_argument("--rate", type=int, default=300, help="events per second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0, help="milliseconds added to each fsync")
    parser.add_argument("--keep", type=Path, help="where the filled store is kept for the next run")
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        kept = options.keep or Path(folder)
        kept.mkdir(exist_ok=True)
        filled = kept / f"old-{options.events}.db"
        if not filled.exists():
            asyncio.run(fill(filled, options.events))
        versions = {"this": ROOT} if options.against is None else {"other": options.against.resolve(), "this": ROOT}
        for _ in range(options.turns):
            for version, root in versions.items():
                for said, store in (("empty store", None), (f"{options.events:,} old events", filled)):
                    print(version, "|", said, "|", json.dumps(measured(root, store, options)), flush=True)


async def fill(path, count):
    noise = random.Random(1)
    part = path.with_suffix(".part")
    store = await open_store(f"sqlite:///{part}", wall=lambda: time.time() - AGE_S)
    for start in range(0, count, BATCH):
        news = [new_event(number, waits=False) for number in range(start, min(start + BATCH, count))]
        appended = await store.append(news)
        await store.settle([outcome(lease, noise, dies=False) for one in appended for lease in one.leases])
    while await store.index(limit=1000):
        pass
    await store.close()
    part.rename(path)


def measured(root, store, options):
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        if store is not None:
            shutil.copy(store, folder / "gateway.db")
            # Otherwise the first checkpoint would write all of it to the disk.
            with (folder / "gateway.db").open("rb") as copied:
                os.fsync(copied.fileno())
        sink = Process([sys.executable, str(HERE / "sink.py")])
        cleanup.callback(sink.stop)
        (folder / "routes.yaml").write_text(ROUTES.format(secret=SECRET, port=int(sink.first_line)))
        log = cleanup.enter_context((folder / "log").open("w"))
        own = root / ".venv" / "bin" / "python"
        command = [str(own) if own.exists() else sys.executable, "-m", "gateway", "serve"]
        command += ["-c", str(folder / "routes.yaml"), "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]
        command += ["--store", f"sqlite:///{folder}/gateway.db"]
        environ = {**os.environ, **disk.slow(options.delay / 1000), "PYTHONPATH": str(root), "GATEWAY_LOG": "json"}
        gateway = Process(command, stderr=log, cwd=folder, env=environ)
        cleanup.callback(gateway.stop)
        port = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
        requests = folder / "requests"
        signed_requests(requests, options.rate * options.seconds, 50_000_000)
        load = own_load(port, requests, 64, options.rate)
        pruned = sum(
            json.loads(line)["removed"]
            for line in (folder / "log").open()
            if '"store.pruned"' in line and line[0] == "{"
        )
        wait_delivered(int(sink.first_line), options.rate * options.seconds, 60)
        return {
            "accepted_per_s": round(load["per_second"]),
            **{name: round(load[name], 1) for name in ("p50_ms", "p99_ms", "max_ms")},
            "pruned_meanwhile": pruned,
            "log_mib": round((folder / "gateway.db-wal").stat().st_size / 2**20, 1),
            "rss_mib": round(gateway.rss_mib("VmHWM")),
        }


if __name__ == "__main__":
    main()
