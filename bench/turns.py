"""This checkout and others in turns: what an event costs, and how many are delivered, as ratios.

``.venv/bin/python bench/turns.py CHECKOUT [CHECKOUT ...]``. Each checkout needs a ``.venv`` of its own (``make install``). In
each turn every checkout runs each case once, in the opposite order of the turn before; the ratio of a turn is that of two
runs a few seconds apart, so that other work on the machine disturbs both. The first checkout is what the others, and at last
this one, are compared with. Cases:

- ``saturated``: 32 senders that post as fast as they are answered; ``many``: 64 of them;
- ``1000`` and ``100``: that many events per second;
- ``order`` and ``rate``: saturated, with an order by the record, and with a rate that is never reached;
- ``hanging``: five destinations of which one hangs; delivered to the other four;
- ``waiting``: saturated, beside 100,000 deliveries that wait for a destination that is down;
- ``workers``: saturated, with ``--workers 2`` here; a checkout that does not have it runs as one process.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from isolation import FIVE, TWO, dead, hanging
from run import HERE, ROUTES, SECRET, Process, measure, own_load, signed_requests

ROOT = HERE.parent
WARM = 400
WAITING = 100_000
Figures = Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--cases", default="saturated,1000,100", help="separated by commas; or all")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--events", type=int, default=6_000, help="of a saturated case")
    parser.add_argument("--seconds", type=int, default=5, help="of a case with a rate")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    roots = [*(each.resolve() for each in options.checkouts), ROOT]
    found: dict[str, dict[str, list[Figures]]] = {}
    for case in CASES if options.cases == "all" else options.cases.split(","):
        runs = found[case] = {str(root): [] for root in roots}
        for turn in range(options.turns):
            for root in roots if turn % 2 == 0 else reversed(roots):
                runs[str(root)].append(CASES[case](root, options))
        if not options.json:
            show(case, runs)
    if options.json:
        print(json.dumps(found, indent=2))


def show(case: str, runs: Mapping[str, list[Figures]]) -> None:
    first, *_ = runs.values()
    print(f"\n{case:<24}{'CPU us':>9}{'ratio':>18}{'delivered/s':>13}{'ratio':>18}{'ack p99 ms':>12}{'peak MiB':>10}")
    for root, figures in runs.items():
        row = f"{Path(root).name[:23]:<24}"
        for key in ("cpu_us_per_event", "delivered_per_s"):
            row += f"{statistics.median(each[key] for each in figures):>{9 if key.startswith('cpu') else 13}.0f}"
            ratios = [mine[key] / other[key] for mine, other in zip(figures, first, strict=True)]
            row += f"{statistics.median(ratios):>6.2f} ({min(ratios):.2f}-{max(ratios):.2f})".rjust(18)
        row += f"{statistics.median(each['ack_p99_ms'] for each in figures):>12.1f}"
        print(row + f"{statistics.median(each['peak_mib'] for each in figures):>10.0f}", flush=True)


@contextmanager
def running(root: Path, routes: str, *more: str) -> Iterator[tuple[Process, int, str, int, Path]]:
    """The gateway of a checkout, its port, its admin address, the port of a sink, and a folder."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        sink = Process([sys.executable, str(HERE / "sink.py")])
        cleanup.callback(sink.stop)
        (folder / "routes.yaml").write_text(routes.replace("SINK", sink.first_line.strip()))
        log = cleanup.enter_context((folder / "log").open("w"))
        gateway = Process(
            [str(root / ".venv/bin/python"), "-m", "gateway", "serve", "-c", "routes.yaml", "--bind", "127.0.0.1:0",
             "--admin-bind", "127.0.0.1:0", "--store", f"sqlite:///{folder}/gateway.db", *more],
            stderr=log, cwd=folder, env=os.environ | {"PYTHONPATH": str(root)},
        )  # fmt: skip
        cleanup.callback(gateway.stop)
        port = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
        yield gateway, port, re.search(r"admin=(\S+)", gateway.first_line)[1], int(sink.first_line), folder


def plain(rate: int = 0, connections: int = 32, settings: str = "") -> Callable[[Path, argparse.Namespace], Figures]:
    """One destination with these settings, at a rate or saturated."""

    def run(root: Path, options: argparse.Namespace) -> Figures:
        routes = ROUTES.format(secret=SECRET, port="SINK").replace("/in\n", f"/in\n{settings}", 1)
        with running(root, routes) as (gateway, port, admin, sink, folder):
            return measured(gateway, port, admin, sink, folder, options, rate=rate, connections=connections)

    return run


def measured(gateway, port, admin, sink, folder, options, *, rate=0, connections=32, first=1, each=1) -> Figures:
    """The cost of some events, after a few that are not counted."""
    warm, requests = folder / "warm", folder / "requests"
    signed_requests(warm, WARM, 50_000_000)
    signed_requests(requests, rate * options.seconds or options.events, first)
    measure(gateway, sink, admin, lambda: own_load(port, warm, connections, 0), each)
    figures = measure(gateway, sink, admin, lambda: own_load(port, requests, connections, rate), each)
    return {**figures, "peak_mib": gateway.rss_mib("VmHWM")}


def beside_a_hanging_one(root: Path, options: argparse.Namespace) -> Figures:
    with hanging() as fifth:
        routes = FIVE.replace("GATES", "").format(secret=SECRET, sink="SINK", fifth=fifth)
        with running(root, routes) as (gateway, port, admin, sink, folder):
            return measured(gateway, port, admin, sink, folder, options, each=4)


def beside_a_mountain(root: Path, options: argparse.Namespace) -> Figures:
    with dead() as down:
        routes = TWO.format(secret=SECRET, sink="SINK", fifth=down)
        with running(root, routes) as (gateway, port, admin, sink, folder):
            signed_requests(folder / "hill", WAITING, 1)
            own_load(port, folder / "hill", 32, 0)
            return measured(gateway, port, admin, sink, folder, options, first=20_000_000)


def with_workers(root: Path, options: argparse.Namespace) -> Figures:
    known = subprocess.run(
        [str(root / ".venv/bin/python"), "-m", "gateway", "serve", "--help"],
        capture_output=True, text=True, check=True, cwd=root,
    ).stdout  # fmt: skip
    more = ("--workers", "2") if "--workers" in known else ()
    with running(root, ROUTES.format(secret=SECRET, port="SINK"), *more) as (gateway, port, admin, sink, folder):
        return measured(gateway, port, admin, sink, folder, options)


CASES: Mapping[str, Callable[[Path, argparse.Namespace], Figures]] = {
    "saturated": plain(),
    "many": plain(connections=64),
    "1000": plain(1000),
    "100": plain(100),
    "order": plain(settings="    order_by: attrs.id\n"),
    "rate": plain(settings="    rate: 20000/s\n"),
    "hanging": beside_a_hanging_one,
    "waiting": beside_a_mountain,
    "workers": with_workers,
}


if __name__ == "__main__":
    main()
