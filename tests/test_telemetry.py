"""The log and the metrics are declared in one place, and a pipe nobody reads stops nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from gateway import telemetry
from gateway.telemetry import LOG_EVENTS, LOG_LINES_DROPPED, LinePump

PACKAGE = Path(telemetry.__file__).parent


def run_python(code: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, **options)


def test_every_log_event_that_is_written_is_declared_and_every_declared_one_is_written():
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    written = {name for source in sources for name in re.findall(r"\blog\(\s*\"([a-z_.]+)\"", source)}
    chosen = {name for source in sources for name in re.findall(r"\"(delivery\.(?:dead|attempted))\"", source)}
    assert written | chosen == set(LOG_EVENTS)


def test_a_line_is_json_with_its_fields():
    done = run_python(
        "from gateway import telemetry as t\n"
        "t.configure_log('json')\n"
        "t.log('delivery.attempted', destination='crm', status=200, odd={1, 2})\n"
        "t.flush_log()"
    )
    line = json.loads(done.stderr)
    assert (line["event"], line["destination"], line["status"], line["level"]) == (
        "delivery.attempted",
        "crm",
        200,
        "info",
    )


def test_the_level_leaves_quieter_lines_out():
    done = run_python(
        "from gateway import telemetry as t\n"
        "t.configure_log('console', 'error')\n"
        "t.log('delivery.attempted'); t.log('delivery.dead', reason='no')\n"
        "t.flush_log()"
    )
    assert done.stderr.count("\n") == 1
    assert "delivery.dead" in done.stderr


def test_a_full_pipe_drops_lines_and_blocks_nobody():
    reading, writing = os.pipe()
    pump = LinePump(writing)
    dropped = LOG_LINES_DROPPED._value.get()
    for _ in range(30_000):
        pump.put(b"x" * 200)
    assert LOG_LINES_DROPPED._value.get() > dropped
    os.close(reading)
    pump.flush()


def test_a_closed_stderr_does_not_matter():
    done = run_python(
        "import os\nfrom gateway import telemetry as t\nos.close(2)\n"
        "t.configure_log('json')\nt.log('gateway.stopped')\nt.flush_log()\nprint('alive')"
    )
    assert done.stdout == "alive\n"
