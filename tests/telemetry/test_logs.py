"""Log lines are declared with their fields, each is one line, and the level leaves the quieter ones out."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway.telemetry.lines import FIELDS, LOG_EVENTS
from gateway.telemetry.logs import LONGEST_TRACEBACK

PACKAGE = Path(gateway.__file__).parent
LOGS = PACKAGE / "telemetry" / "logs.py"
#: Fields of every line.
COMMON = {"time", "level", "event"}


def run_python(code: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, **options)


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of ``log`` in the package: its place, and each name that it may write."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and is_log(node.func, path):
                for name in names_of(node.args[0]):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", name, node


def is_log(function: ast.expr, path: Path) -> bool:
    if path == LOGS:
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
        if path.parent == LOGS.parent:
            continue
        assert not re.search(r"^from gateway.telemetry(?! import sums$)", path.read_text(), re.MULTILINE)
        assert path.parent.name == "server" or not re.search(r"^import logging", path.read_text(), re.MULTILINE)


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


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "written",
    [
        "t.log('internal.error', exc_info=True)",
        "t.log('internal.error', exc_info=error)",
        "t.log('internal.error', exception=''.join(traceback.format_exception(error)))",
        "logging.getLogger('x').warning('failed', exc_info=True)",
        "logging.getLogger('x').exception('failed')",
    ],
)
@pytest.mark.parametrize("around", ["'a' * 10", "'a' * 16370", "'a' * 1_000_000"], ids=["short", "at the cut", "long"])
def test_a_traceback_has_no_secret_and_an_end_however_it_is_written(form, written, around):
    done = run_python(
        "import logging, traceback\n"
        "from gateway import telemetry as t\n"
        "from gateway.hiding.masks import Masks\n"
        f"t.configure_log('{form}')\n"
        "t.hide_in_log(Masks(['hush-1234567']).text)\n"
        f"try: raise RuntimeError('hush-1234567 ' + {around} + ' hush-1234567 the end')\n"
        f"except RuntimeError as error: {written}\n"
        "t.flush_log()"
    )
    text = json.loads(done.stderr)["exception"] if form == "json" else done.stderr
    assert text.rstrip().endswith("*** the end")
    assert "1234567" not in text
    assert len(text) <= LONGEST_TRACEBACK + 200


def test_a_line_of_a_library_without_an_exception_has_no_traceback():
    done = run_python(
        "import logging\n"
        "from gateway import telemetry as t\n"
        "t.configure_log('json')\n"
        "logging.getLogger('x').warning('careful')\n"
        "t.flush_log()"
    )
    line = json.loads(done.stderr)
    assert (line["message"], "exception" in line, "exc_info" in line) == ("careful", False, False)


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


def test_what_is_said_to_whoever_started_it_arrives():
    done = run_python("from gateway import telemetry as t\nt.say('ready')\nt.say('steady')")
    assert done.stdout == "ready\nsteady\n"


def test_the_log_alone_loads_no_library_for_metrics_or_terminals():
    done = run_python(
        "import sys\n"
        "from gateway import telemetry as t\n"
        "t.configure_log('json'); t.log('gateway.stopped'); t.flush_log()\n"
        "print({'prometheus_client', 'structlog'} & {*sys.modules})"
    )
    assert done.stdout == "set()\n"


def test_on_a_terminal_a_field_that_says_nothing_is_left_out_and_seconds_end_at_the_millisecond():
    done = run_python(
        "from gateway import telemetry as t\n"
        "t.configure_log('console')\n"
        "t.log('delivery.attempted', destination='crm', reason='', next_s=None, status=0, duration_ms=1.23456789)\n"
        "t.flush_log()"
    )
    assert re.search(r"delivery.attempted +destination=crm duration_ms=1.235 status=0$", done.stderr.rstrip())
