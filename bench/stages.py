"""Where the CPU of a delivery goes: a profile of the whole gateway under a steady load, by stage.

``.venv/bin/python bench/stages.py [--against CHECKOUT] [--rate 200] [--seconds 10]``. The gateway runs under cProfile, which makes
everything slower, small functions most of all: compare stages and checkouts, not these figures with others. The store's own
thread is not in it, nor is the start: what a run with a few events takes is subtracted. With ``--against``, another
checkout of the project (with a .venv of its own) is measured in the same way.
"""

import argparse
import os
import pstats
import re
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from run import HERE, ROUTES, SECRET, Process, measure, own_load, signed_requests

ROOT = HERE.parent
#: How the paths of a stage begin, in this and in older versions.
STAGES = {
    # The profiler takes a step that was cancelled for the caller of whatever the loop does next.
    "event loop": (
        "uvloop",
        "asyncio",
        "selectors",
        "concurrent",
        "threading",
        "contextlib",
        "gateway/dispatcher/steps",
    ),
    "the way in": ("gateway/server", "gateway/web", "uvicorn", "litestar", "httptools"),
    "verify": ("gateway/signatures", "hmac", "hashlib"),
    "parse, name, match": (
        "gateway/event",
        "gateway/routing",
        "gateway/facts",
        "gateway/match",
        "gateway/traces",
        "msgspec",
        "re2",
        "gateway/presets",
    ),
    "render": ("gateway/render", "jinja2", "markupsafe", "<template>", "gateway/config"),
    "destination": ("gateway/destinations", "gateway/retry", "tenacity"),
    "send": ("gateway/egress", "pycurl", "aiohttp", "httpx", "yarl", "multidict", "anyio", "aiohappyeyeballs"),
    "hide secrets": ("gateway/hiding", "gateway/masks"),
    "store": ("gateway/store", "apsw"),
    "hold and dispatch": (
        "gateway/dispatcher",
        "gateway/holds",
        "gateway/poison",
        "gateway/pipeline",
        "gateway/operate",
    ),
    "log and count": ("gateway/telemetry", "gateway/reporting", "structlog", "prometheus"),
}
#: Events of the run that is subtracted, and of every run before those that count.
WARM = 200
PROFILED = """\
import cProfile, runpy, sys, time
path = sys.argv.pop(1)
profile = cProfile.Profile(time.thread_time)
try:
    profile.runcall(runpy.run_module, "gateway", run_name="__main__", alter_sys=True)
finally:
    profile.dump_stats(path)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rate", type=int, default=200, help="events per second")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    roots = [ROOT] + ([options.against.resolve()] if options.against else [])
    columns = []
    for root in roots:
        start, whole = profiled(root, options, WARM), profiled(root, options, WARM + options.rate * options.seconds)
        whole.subtract(start)
        columns.append({stage: seconds / options.rate / options.seconds * 1e6 for stage, seconds in whole.items()})
    print(f"{'us of CPU per event':<22}" + "".join(f"{root.name:>12}" for root in roots))
    for stage in [*STAGES, "else"]:
        print(f"{stage:<22}" + "".join(f"{column.get(stage, 0):>12.0f}" for column in columns))
    print(f"{'all':<22}" + "".join(f"{sum(column.values()):>12.0f}" for column in columns))


def profiled(root: Path, options: argparse.Namespace, events: int) -> Counter[str]:
    """Seconds of CPU by stage, from the start to the end of the process."""
    python = root / ".venv" / "bin" / "python"
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        sink = Process([sys.executable, str(HERE / "sink.py")])
        cleanup.callback(sink.stop)
        (folder / "routes.yaml").write_text(ROUTES.format(secret=SECRET, port=int(sink.first_line)))
        signed_requests(folder / "paced", events, 1)
        log = cleanup.enter_context((folder / "log").open("w"))
        gateway = Process(
            [str(python), "-c", PROFILED, str(folder / "profile"), "serve",
             "-c", str(folder / "routes.yaml"), "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0",
             "--store", f"sqlite:///{folder}/gateway.db"],
            stderr=log, cwd=folder, env=os.environ | {"PYTHONPATH": str(root)},
        )  # fmt: skip
        try:
            port = int(re.search(r"ready http://[^:]+:(\d+)", gateway.first_line)[1])
            admin = re.search(r"admin=(\S+)", gateway.first_line)[1]
            load = lambda: own_load(port, folder / "paced", 32, options.rate)  # noqa: E731  what measure calls
            measured = measure(gateway, int(sink.first_line), admin, load)
        finally:
            gateway.stop()
        assert measured["delivered"] == events
        return by_stage(pstats.Stats(str(folder / "profile")), root)


def by_stage(stats: pstats.Stats, root: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for (path, _, _), (_, _, own, _, callers) in stats.stats.items():
        if path == "~" and callers:
            # What is written in C belongs to whoever called it.
            for (caller, _, _), (_, _, part, _) in callers.items():
                found[stage_of(caller, root)] += part
        else:
            found[stage_of(path, root)] += own
    return found


def stage_of(path: str, root: Path) -> str:
    own = path.removeprefix(f"{root}/")
    library = own.rpartition("site-packages/")[2]
    return next((stage for stage, begins in STAGES.items() if library.startswith(begins)), "else")


if __name__ == "__main__":
    main()
