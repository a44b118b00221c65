"""The log and the metrics are declared in one place, labels are few, and a pipe nobody reads stops nothing."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from gateway import telemetry
from gateway.telemetry import FIELDS, LOG_EVENTS, LOG_LINES_DROPPED, METRICS, OTHER, Family, LinePump

PACKAGE = Path(telemetry.__file__).parent
#: Of every line.
COMMON = {"time", "level", "event"}


def run_python(code: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, **options)


# --- the log ---


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of ``log`` in the package: where it stands, and the name of the line, of each that it may be."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and is_log(node.func, path):
                for name in names_of(node.args[0]):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", name, node


def is_log(function: ast.expr, path: Path) -> bool:
    if path.name == "telemetry.py":
        return isinstance(function, ast.Name) and function.id == "log"
    return isinstance(function, ast.Attribute) and ast.unparse(function) == "telemetry.log"


def names_of(written: ast.expr) -> list[str]:
    if isinstance(written, ast.IfExp):
        return names_of(written.body) + names_of(written.orelse)
    return [ast.literal_eval(written)]


def fields_of(call: ast.Call) -> set[str | None]:
    return {"exception" if keyword.arg == "exc_info" else keyword.arg for keyword in call.keywords}


def test_every_line_that_is_written_is_declared_with_its_fields():
    undeclared = [
        f"{place}: {name} {sorted(map(str, extra))}"
        for place, name, call in calls()
        if (extra := fields_of(call) - set(LOG_EVENTS[name].fields))
    ]
    assert undeclared == []


def test_every_line_and_field_that_is_declared_is_written():
    written = {(name, field) for _, name, call in calls() for field in fields_of(call)}
    declared = {(name, field) for name, event in LOG_EVENTS.items() for field in event.fields}
    assert declared == written
    assert {name for _, name, _ in calls()} == set(LOG_EVENTS)
    assert {field for _, field in declared} | COMMON == set(FIELDS)


def test_nothing_is_written_past_the_log():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"^from gateway.telemetry import", path.read_text(), re.MULTILINE)
        assert path.name in {"telemetry.py", "server.py"} or not re.search(
            r"^import logging", path.read_text(), re.MULTILINE
        )


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_has_its_name_its_level_and_its_fields(form):
    done = run_python(
        "from gateway import telemetry as t\n"
        f"t.configure_log('{form}')\n"
        "t.log('delivery.attempted', destination='crm', status=200)\n"
        "t.flush_log()"
    )
    assert done.stderr.count("\n") == 1
    if form == "json":
        line = json.loads(done.stderr)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", line.pop("time"))
        assert line == {"level": "info", "event": "delivery.attempted", "destination": "crm", "status": 200}
    else:
        assert re.search(r"\[info +\] delivery.attempted +destination=crm status=200", done.stderr)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_in_its_line(form):
    done = run_python(
        "from gateway import telemetry as t\n"
        f"t.configure_log('{form}')\n"
        "try: {}['key']\n"
        "except KeyError: t.log('internal.error', exc_info=True)\n"
        "t.flush_log()"
    )
    text = json.loads(done.stderr)["exception"] if form == "json" else done.stderr
    assert text.rstrip().endswith("KeyError: 'key'")
    assert "Traceback" in text


def test_the_level_leaves_quieter_lines_out():
    done = run_python(
        "from gateway import telemetry as t\n"
        "t.configure_log('console', 'error')\n"
        "t.log('delivery.attempted'); t.log('delivery.dead', reason='no')\n"
        "t.flush_log()"
    )
    assert done.stderr.count("\n") == 1
    assert "delivery.dead" in done.stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_whatever_a_sender_has_written_is_one_line_that_steers_nothing(form):
    done = run_python(
        "from gateway import telemetry as t\n"
        f"t.configure_log('{form}')\n"
        r"t.log('event.rejected', reason='a\nb\x1b[2J\u202e\ud800')" + "\n"
        "t.flush_log()"
    )
    assert done.stderr.count("\n") == 1
    assert "\x1b[2J" not in done.stderr
    assert form == "json" or "\u202e" not in done.stderr


def test_what_a_library_says_is_a_line_too():
    done = run_python(
        "import logging, warnings\n"
        "from gateway import telemetry as t\n"
        "t.configure_log('json')\n"
        "logging.getLogger('asyncio').error('a task %s', 'failed')\n"
        "logging.getLogger('asyncio').info('nothing')\n"
        "warnings.warn('old')\n"
        "t.flush_log()"
    )
    first, second = map(json.loads, done.stderr.splitlines())
    assert (first["event"], first["logger"], first["message"]) == ("library.warning", "asyncio", "a task failed")
    assert "UserWarning: old" in second["message"]


def dropped() -> float:
    return LOG_LINES_DROPPED._value.get()


def test_a_full_pipe_drops_lines_and_blocks_nobody():
    reading, writing = os.pipe()
    pump = LinePump(writing)
    before = dropped()
    for _ in range(30_000):
        pump.put(b"x" * 200)
    assert dropped() > before
    os.close(reading)
    pump.flush()


def test_a_closed_pipe_drops_what_was_meant_for_it():
    reading, writing = os.pipe()
    os.close(reading)
    pump, before = LinePump(writing), dropped()
    pump.put(b"one")
    pump.put(b"two")
    pump.flush()
    assert dropped() == before + 2


def test_lines_are_whole_and_in_order():
    reading, writing = os.pipe()
    pump = LinePump(writing)
    for number in range(1000):
        pump.put(b"%d" % number)
    pump.flush()
    assert os.read(reading, 65536).split() == [b"%d" % number for number in range(1000)]


def test_what_is_said_to_whoever_started_it_arrives():
    done = run_python("from gateway import telemetry as t\nt.say('ready')\nt.say('steady')")
    assert done.stdout == "ready\nsteady\n"


# --- the metrics ---


def scraped() -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    families = text_string_to_metric_families(telemetry.metrics().decode())
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture
def family():
    """A counter by destination of which ``crm`` and ``slack`` are in force."""
    made = Family(Counter, "gateway_test_total", "", ("destination", "outcome"), begins=[("delivered",)])
    made.follow({"crm", "slack"})
    yield made
    del METRICS["gateway_test_total"]
    telemetry.REGISTRY.unregister(made._metric)


def values() -> dict[tuple[str, str], float]:
    found = scraped().get("gateway_test_total", {})
    return {(dict(labels)["destination"], dict(labels)["outcome"]): value for labels, value in found.items()}


def test_every_name_in_force_begins_at_zero(family):
    assert values() == {("crm", "delivered"): 0, ("slack", "delivered"): 0}


def test_a_name_that_is_not_in_force_is_another(family):
    family.of("crm", "dead").inc()
    for name in ("gone", "somebody's text", ""):
        family.of(name, "dead").inc()
    assert values() == {
        ("crm", "delivered"): 0, ("crm", "dead"): 1, ("slack", "delivered"): 0, (OTHER, "dead"): 3,
    }  # fmt: skip


def test_a_name_that_is_removed_is_dropped_and_the_others_count_on(family):
    family.of("crm", "delivered").inc()
    family.of("slack", "dead").inc()
    family.follow({"crm", "new"})
    family.of("slack", "dead").inc()
    assert values() == {("crm", "delivered"): 1, ("new", "delivered"): 0, (OTHER, "dead"): 1}


def test_a_destination_called_other_is_counted_as_any(family):
    family.follow({"crm", OTHER})
    family.follow({"crm"})
    family.of("gone", "delivered").inc()
    assert values()[(OTHER, "delivered")] == 1


def test_names_of_metrics_are_as_prometheus_has_them():
    for name, declared in METRICS.items():
        assert re.fullmatch(r"gateway_[a-z_]+", name)
        assert name.endswith("_total") == (declared.type == "counter")
        assert declared.type != "histogram" or name.endswith("_seconds")
        assert declared.about.endswith(".")
        assert set(declared.labels) <= {"source", "route", "destination", "outcome", "reason", "state", "version"}


def test_no_series_says_when_it_was_made():
    assert not [name for name in scraped() if name.endswith("_created")]


def test_the_process_tells_of_itself():
    assert scraped()["process_resident_memory_bytes"][()] > 1_000_000


def test_gauges_of_destinations_are_all_of_those_that_have_one_and_no_family():
    by_destination = {name for name, each in METRICS.items() if each.type == "gauge" and "destination" in each.labels}
    assert {gauge._name for gauge in telemetry.OF_DESTINATIONS} == by_destination
    assert all(isinstance(gauge, Gauge) for gauge in telemetry.OF_DESTINATIONS)
