"""Try a gateway that is installed somewhere, without its source tree: an event in, its delivery out, a stop.

``python3 release/trial.py PREFIX... `` tries the command ``PREFIX... gateway``. It has only the standard library, so that it
runs in front of whatever is tried: an environment, a container. ``--config`` and ``--store`` name the two folders as the
gateway sees them, if it sees them under other names.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SECRET = "secret-of-the-trial-0123456789"
ROUTES = f"""\
version: 1
sources:
  tried: {{verify: {{token: {{header: x-token}}}}, secret: {SECRET}, type: "{{payload.type}}"}}
destinations:
  archive: {{type: file, path: archive.ndjson}}
always:
  - {{name: keep, to: archive}}
"""
#: Far longer than a busy machine needs.
DEADLINE_S = 120


class TrialFailed(Exception):
    """The gateway did not do what it is for."""


def request(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    asked = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.status, answer.read()


def expect(*, happens: bool, what: str) -> None:
    if not happens:
        raise TrialFailed(what)
    print(f"  ok  {what}", flush=True)


@contextlib.contextmanager
def serving(command: list[str], folder: Path):
    """The ports of a running ``gateway serve``: ``(ingest, admin)``. It is stopped afterwards, and has to stop cleanly."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder)
        try:
            line = process.stdout.readline()
            ready = re.search(r"ready (http://\S+).*admin=(http://\S+)", line)
            expect(happens=bool(ready), what=f"it starts: {line.strip() or (folder / 'log').read_text()[-2000:]}")
            yield ready[1].rstrip("/"), ready[2].rstrip("/")
        finally:
            os.kill(innermost(process.pid), signal.SIGTERM)
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
    expect(happens=process.returncode == 0, what=f"it stops (exit {process.returncode})")


def innermost(pid: int) -> int:
    """The gateway itself: an engine in front of it would end it in its own way."""
    while children := " ".join(each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/children")).split():
        pid = int(children[-1])
    return pid


def trial(prefix: list[str], folder: Path, config: str, store: str) -> None:
    command = [*prefix, "gateway", "serve", "--config", f"{config}/routes.yaml", "--store", f"sqlite:///{store}/gateway.db",
               "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]  # fmt: skip
    with serving(command, folder) as (ingest, admin):
        body = json.dumps({"type": "trial", "at": time.time()}).encode()
        headers = {"x_token": SECRET, "content_type": "application/json"}
        expect(happens=request(f"{ingest}/in/tried", body, **headers)[0] == 202, what="an event is accepted")
        deadline = time.monotonic() + DEADLINE_S
        while not (arrived := delivered(admin)) and time.monotonic() < deadline:
            time.sleep(0.1)
        expect(happens=arrived == 1, what="and delivered")
        expect(happens=request(f"{admin}/readyz")[0] == 200, what="it says that it is ready")
        expect(happens=b"<html" in request(f"{admin}/", accept="text/html")[1], what="the console has its pages")


def delivered(admin: str) -> float:
    _, metrics = request(f"{admin}/metrics")
    return sum(map(float, re.findall(rb'gateway_delivery_attempts_total\{.*outcome="delivered".*\} (\S+)', metrics)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="an empty folder, outside the source tree")
    parser.add_argument("--config", help="that folder, as the gateway sees it")
    parser.add_argument("--store", help="the folder of the store, as the gateway sees it")
    parser.add_argument("prefix", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-trial-") as temporary:
        folder = options.folder or Path(temporary)
        (folder / "routes.yaml").write_text(ROUTES, "utf-8")
        config = options.config or str(folder)
        try:
            trial(options.prefix, folder, config, options.store or config)
        except (TrialFailed, OSError) as failed:
            log = (folder / "log").read_text("utf-8")[-4000:] if (folder / "log").exists() else ""
            print(f"THE TRIAL FAILED: {failed}\n{log}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
